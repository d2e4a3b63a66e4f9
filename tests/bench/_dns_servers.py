"""The servers that `tests/bench/dns.py` measures: ours in several forms, NSD, BIND and Unbound, each on its core."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dns.message

from tests.processes import cpu_of

ORIGIN = "bench.test"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
PORT = 5300
HIT = re.compile(r"Queries completed:\s+(\d+).*?Run time \(s\):\s+([\d.]+)", re.DOTALL)
LOST = re.compile(r"Queries lost:\s+(\d+)")
ONE = re.compile(r"^> \w+ \S+ \S+ ([\d.]+)$", re.MULTILINE)
COOKIE = ["-e", "-E", "10:0102030405060708"]


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one server."""

    rate: float
    cpu: float
    """Seconds of the server's processes for each query."""
    lost: int


@dataclass(slots=True)
class Subject:
    """A server on an address of its own; `start` gives its command."""

    name: str
    address: str
    start: Callable[[Path, str], list[str]]
    process: subprocess.Popen[bytes] | None = None
    seconds: float = 0.0
    """From its start to its first reply."""
    empty: int = 0
    """Octets in memory then."""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


def serve(kind: str, address: str, zone: str) -> None:
    """One of ours, until it is killed.

    authoritative; again: no reply is kept; rates: with limits that nobody reaches; single: no batches; plain: with
    dnspython alone; resolver.
    """
    from twisted.internet import reactor

    from netstack.dns.limits import ServerLimits
    from netstack.dns.source import Source
    from netstack.kernel import listen
    from netstack.kernel.disk import RealDisk
    from netstack.kernel.real import real_machine
    from netstack.taps import dns as dns_tap
    from netstack.taps import resolver as resolver_tap

    machine = real_machine("bench", (address,), port_offset=PORT - 53)
    service: object
    if kind == "resolver":
        service = resolver_tap.build(resolver_tap.Config(hints=(("ns.bench.test", zone),)), machine)
    else:
        limits = {"again": ServerLimits(compiled_bytes=1), "rates": ServerLimits(client_rate=1e9, response_rate=1e9)}
        source = Source(ORIGIN, RealDisk(Path(zone).parent), Path(zone).name)
        service = dns_tap.build(dns_tap.Config(zones=(source,), limits=limits.get(kind, ServerLimits())), machine)
    for listener in getattr(service, "listeners", ()):
        if isinstance(listener, listen.DatagramListener) and kind == "plain":
            listener.driver.bypass = None
            listener.driver.role.assembler = SimpleNamespace(answer=lambda *_: None)  # type: ignore[attr-defined]
    if kind == "single":
        patched: Any = listen
        patched.available = lambda reactor: False
    service.startService()
    reactor.run()


def ours(kind: str, zone: Path | str) -> Callable[[Path, str], list[str]]:
    return lambda directory, address: [sys.executable, "-m", "tests.bench.dns", "--serve", kind, address, str(zone)]


def nsd(zone: Path) -> Callable[[Path, str], list[str]]:
    def start(directory: Path, address: str) -> list[str]:
        conf = directory / "nsd.conf"
        conf.write_text(
            f'server:\n  ip-address: {address}@{PORT}\n  server-count: 1\n  username: ""\n  chroot: ""\n  database: ""\n'
            f'  pidfile: "{directory}/nsd.pid"\n  zonesdir: "{directory}"\n  xfrdfile: "{directory}/xfrd"\n'
            f'  zonelistfile: "{directory}/list"\n  xfrdir: "{directory}"\n  logfile: "{directory}/nsd.log"\n'
            f"  minimal-responses: yes\n  answer-cookie: yes\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n"
            f'zone:\n  name: {ORIGIN}\n  zonefile: "{zone}"\nzone:\n  name: .\n  zonefile: "{zone.with_name("root.zone")}"\n'
        )
        return ["nsd", "-d", "-c", str(conf)]

    return start


def bind(what: str) -> Callable[[Path, str], list[str]]:
    """`what`: the rest of its options, and its zone."""

    def start(directory: Path, address: str) -> list[str]:
        conf = directory / "named.conf"
        conf.write_text(
            f'options {{ directory "{directory}"; listen-on port {PORT} {{ {address}; }}; listen-on-v6 {{ none; }}; '
            f'pid-file none; session-keyfile "{directory}/key"; minimal-responses yes; '
            f"dnssec-validation no; querylog no; {what}"
        )
        return ["named", "-f", "-c", str(conf), "-n", "1", "-U", "1"]

    return start


def bind_zone(zone: Path) -> Callable[[Path, str], list[str]]:
    logging = "logging { category default { default_stderr; }; };\n"
    return bind(f'recursion no; }};\ncontrols {{ }};\n{logging}zone "{ORIGIN}" {{ type primary; file "{zone}"; }};\n')


def bind_resolver(upstream: str) -> Callable[[Path, str], list[str]]:
    logging = "logging { category default { default_stderr; }; };\n"
    forward = f'zone "{ORIGIN}" {{ type forward; forward only; forwarders {{ {upstream} port {PORT}; }}; }};\n'
    options = "recursion yes; allow-query { 127.0.0.0/8; }; max-cache-size 128m; empty-zones-enable no; };\n"
    return bind(f"{options}controls {{ }};\n{logging}{forward}")


def unbound(upstream: str) -> Callable[[Path, str], list[str]]:
    def start(directory: Path, address: str) -> list[str]:
        conf = directory / "unbound.conf"
        conf.write_text(
            f'server:\n  interface: {address}@{PORT}\n  num-threads: 1\n  do-daemonize: no\n  username: ""\n  chroot: ""\n'
            f'  directory: "{directory}"\n  pidfile: ""\n  use-syslog: no\n  logfile: "{directory}/unbound.log"\n'
            f'  access-control: 127.0.0.0/8 allow\n  module-config: "iterator"\n  do-not-query-localhost: no\n'
            f'  local-zone: "test." nodefault\n  msg-cache-size: 64m\n  rrset-cache-size: 128m\n'
            f'stub-zone:\n  name: "{ORIGIN}"\n  stub-addr: {upstream}@{PORT}\n'
        )
        return ["unbound", "-d", "-c", str(conf)]

    return start


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def processor_seconds(pid: int) -> float:
    """User and system time of a process with its threads and children."""
    seconds = 0.0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            seconds += cpu_of(each)
    return seconds


def resident(pid: int) -> int:
    """Octets in memory of a process and those below it; what they share is counted by the share."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def up(subject: Subject, directory: Path) -> None:
    """Start it on its core and wait for its first reply."""
    room = directory / re.sub(r"\W+", "-", subject.name + subject.address)
    room.mkdir()
    began = time.monotonic()
    with (room / "output").open("wb") as output:
        command = ["taskset", "-c", str(SERVER_CORE), *subject.start(room, subject.address)]
        subject.process = subprocess.Popen(command, stdout=output, stderr=output)
    query = dns.message.make_query(f"host0.{ORIGIN}", "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect((subject.address, PORT))
        for _ in range(1200):
            if subject.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                client.send(query)
                if client.recv(65535)[3] & 15 == 0:
                    subject.seconds, subject.empty = time.monotonic() - began, resident(subject.process.pid)
                    return
            time.sleep(0.05)
    raise SystemExit(f"{subject.name} does not answer: {(room / 'output').read_text()[-2000:]}")


@contextlib.contextmanager
def running(subjects: list[Subject], directory: Path) -> Iterator[None]:
    try:
        for subject in subjects:
            up(subject, directory)
        yield
    finally:
        for subject in subjects:
            if subject.process is not None:
                subject.process.send_signal(signal.SIGTERM)
        for subject in subjects:
            if subject.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    subject.process.wait(5)
                subject.process.kill()
                subject.process.wait()


def dnsperf(subject: Subject, queries: Path, *options: str) -> str:
    """What it prints; it runs on the other core, with 8 sockets."""
    command = ["dnsperf", "-s", subject.address, "-p", str(PORT), "-d", str(queries), "-c", "8", *options]
    return subprocess.run(["taskset", "-c", str(LOAD_CORE), *command], capture_output=True, text=True, check=True).stdout


def warm(subject: Subject, each: Path, *options: str) -> None:
    """Each question once, not faster than all are answered."""
    dnsperf(subject, each, "-n", "1", "-q", "20", *options)


def load(subject: Subject, queries: Path, seconds: float, *options: str) -> Run:
    """100 queries in flight."""
    before = processor_seconds(subject.pid)
    said = dnsperf(subject, queries, "-l", str(seconds), "-q", "100", *options)
    used = processor_seconds(subject.pid) - before
    hit, lost = HIT.search(said), LOST.search(said)
    if hit is None or lost is None:
        raise SystemExit(f"dnsperf says: {said}")
    count = max(1, int(hit[1]))
    return Run(count / float(hit[2]), used / count, int(lost[1]))


def slowest(subject: Subject, queries: Path, rate: float) -> float:
    """Seconds within which 99 of 100 replies come when so many queries are sent in a second."""
    said = dnsperf(subject, queries, "-l", "1", "-Q", str(max(100, int(rate))), "-v")
    found = sorted(map(float, ONE.findall(said)))
    return found[int(len(found) * 0.99)] if found else float("nan")
