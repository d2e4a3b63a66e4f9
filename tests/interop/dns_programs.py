"""BIND, Unbound and NSD as tests start them, and the port that they and ours share on their addresses."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from tests.addresses import own_address
from tests.interop.programs import need
from tests.processes import Running, running


def free_port() -> int:
    """A port below those of clients that nothing uses on 127.0.0.1: BIND listens on no loopback address but this one.

    Processes that run tests at once look in ranges of their own, for what is free now may be taken by the other soon.
    """
    start = 10_000 + os.getpid() % 100 * 200
    for port in range(start, start + 200):
        with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            try:
                stream.bind(("127.0.0.1", port))
                datagrams.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def _standard_port() -> bool:
    """Whether port 53 may be bound."""
    with socket.socket() as probe:
        try:
            probe.bind((own_address(), 53))
        except PermissionError:
            return False
        return True


PORT = free_port()
STANDARD = _standard_port()
needs_standard_port = pytest.mark.skipif(not STANDARD, reason="it asks servers on port 53, which may not be bound here")

HEAD = "$TTL 2d\n@ SOA dns hostmaster 2026112001 2h 1h 2w 1h\n"

NAMED = """
options {{
    directory "{directory}"; pid-file none; session-keyfile "{directory}/key"; listen-on-v6 {{ none; }};
    listen-on port {port} {{ {address}; }}; {options}
}};
controls {{ }};
logging {{ category default {{ default_stderr; }}; }};
{zones}
"""


@contextmanager
def named(directory: Path, address: str, options: str, zones: str, port: int = PORT) -> Iterator[Running]:
    """BIND in the foreground, once it answers: it says that it is running a little before it listens."""
    directory.mkdir()
    text = NAMED.format(directory=directory, port=port, address=address, options=options, zones=zones)
    (directory / "named.conf").write_text(text)
    arguments = (need("named"), "-g", "-n", "1", "-c", str(directory / "named.conf"))
    with running(*arguments, ready=" running") as started:
        query = dns.message.make_query("version.bind", "TXT", "CH")

        def answers() -> bool:
            try:
                return all(ask(query, address, port=port, timeout=1) for ask in (dns.query.tcp, dns.query.udp))
            except dns.exception.Timeout:
                return False

        started.wait_until(answers, "BIND answers")
        yield started


UNBOUND = """server:
    directory: "{directory}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    interface: {address}@{port}
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: no
    do-ip6: no
    module-config: "{modules}"
    qname-minimisation-strict: yes
    {more}
remote-control:
    control-enable: no
"""


@contextmanager
def unbound(directory: Path, address: str, more: str, modules: str = "iterator") -> Iterator[Running]:
    """Unbound in the foreground on `PORT`; `more` begins within its `server` clause."""
    text = UNBOUND.format(directory=directory, address=address, port=PORT, modules=modules, more=more)
    (directory / "unbound.conf").write_text(text)
    with running(need("unbound"), "-d", "-c", str(directory / "unbound.conf"), ready="start of service") as started:
        yield started


NSD = """
server:
    ip-address: {address}@{port}
    port: {port}
    username: ""
    chroot: ""
    zonesdir: "{directory}"
    pidfile: ""
    xfrdir: "{directory}"
    zonelistfile: "{directory}/list"
    database: ""
    xfrdfile: "{directory}/xfrd"
    server-count: 1
    {more}
remote-control:
    control-enable: no
{zones}
"""


@contextmanager
def nsd(directory: Path, address: str, zones: str, more: str = "") -> Iterator[Running]:
    """NSD in the foreground on `PORT`, with zone files of the directory; `more` is within its `server` clause."""
    text = NSD.format(directory=directory, address=address, port=PORT, more=more, zones=zones)
    (directory / "nsd.conf").write_text(text)
    with running(need("nsd"), "-d", "-c", str(directory / "nsd.conf"), ready="nsd started") as started:
        yield started


def run(*arguments: str) -> str:
    """What a program writes."""
    done = subprocess.run((need(arguments[0]), *arguments[1:]), capture_output=True, text=True, timeout=20, check=False)
    return done.stdout + done.stderr
