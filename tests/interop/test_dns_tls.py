"""Other people's programs and DNS over TLS (RFC 7858): clients of ours, and transfers (RFC 9103)."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.addresses import own_address
from tests.interop.dns_secure import NAME, Trust
from tests.interop.programs import need
from tests.interop.test_dns_programs import HEAD, free_port, run
from tests.processes import running, twistd

PORT = free_port()
ZONE = (
    "@ NS dns\ndns A {}\ngaia.cs A 10.1.0.3\nwww CNAME gaia.cs\n"
    + "".join(f"many A 10.2.0.{number}\n" for number in range(1, 100))
    + "".join(f"large{n} TXT {' '.join([chr(34) + 'x' * 250 + chr(34)] * 250)}\n" for n in (1, 2))
)

TAC = """
import time
from twisted.application.service import Application
from twisted.internet import reactor
from netstack.dns import ZoneText
from netstack.kernel.real import real_machine
from netstack.kernel.tls import HostTLS
from netstack.taps import dns, resolver
from netstack.taps.changing import Changing

application = Application("internet")
listen = ("udp:{port}", "tcp:{port}", "tls:{tls}")

def add(tap, config, name, address):
    tls = HostTLS.from_files(reactor, time.time, {trust.certificate!r}, {trust.key!r}, {trust.ca!r})
    tap.build(config, real_machine(name, (address,), tls=tls)).setServiceParent(application)

zones = tuple(ZoneText(*zone) for zone in {zones!r})
add(dns, dns.Config(zones, listen, changing=Changing(transfer=(("*", "127.0.0.0/8"),))), "ours", {ours!r})
hints = (("a.root-servers.net", {ours!r}),)
add(resolver, resolver.Config(hints, listen, port={port}), "resolver", {resolver!r})
reactor.callWhenRunning(print, "all is ready")
"""


@dataclass(frozen=True)
class Net:
    """Our servers' addresses."""

    ours: str
    resolver: str
    trust: Trust
    tls: int


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    directory = tmp_path_factory.mktemp("dot")
    made = Net(own_address(), own_address(), Trust(directory), PORT + 1)
    zones = [
        (".", HEAD + f"@ NS a.root-servers.net.\na.root-servers.net. A {made.ours}\n"
         f"umass.edu. NS {NAME}.\n{NAME}. A {made.ours}\n"),
        ("umass.edu", HEAD + ZONE.format(made.ours)),
    ]  # fmt: skip
    (directory / "internet.tac").write_text(TAC.format(port=PORT, zones=zones, **vars(made)))
    with ExitStack() as stack:
        stack.enter_context(running(*twistd("--python", str(directory / "internet.tac")), ready="all is ready"))
        yield made


CA, HOST, GAIA = "+tls-ca={ca}", f"+tls-host={NAME}", "gaia.cs.umass.edu"


@pytest.mark.parametrize("server", ["ours", "resolver"])
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (
            ("kdig", "+tls", CA, HOST, "+padding=128", GAIA),
            ("10.1.0.3", "TLS1.3", "certificate is trusted", "PADDING", "468 B"),
        ),
        (("kdig", "+tls", CA, HOST, "+keepopen", GAIA, "www.umass.edu", "many.umass.edu"), ("10.1.0.3", "10.2.0.99")),
        (("kdig", "+tls", "+tls-ca={other}", HOST, GAIA), ("issuer is unknown",)),
        (("kdig", "+tls", CA, "+tls-host=www.umass.edu", GAIA), ("name in the certificate does not match",)),
        (
            ("dig", "+tls", "+keepalive", "+padding=128", GAIA),
            ("10.1.0.3", "(TLS)", "TCP KEEPALIVE: 10.0 secs", "PAD", "rcvd: 468"),
        ),
        (
            ("dig", CA, "+tls-hostname=" + NAME, "large1.umass.edu", "TXT"),
            ("status: NOERROR", "ANSWER: 1", "rcvd: 628"),
        ),
        (("dig", CA, "+tls-hostname=www.umass.edu", GAIA), ("TLS peer certificate verification",)),
    ],
)
def test_clients(net: Net, server: str, program: tuple[str, ...], expected: tuple[str, ...]) -> None:
    name, *options = [word.format(ca=net.trust.ca, other=net.trust.other) for word in program]
    loud = "-d" if name == "kdig" else "+tries=1"
    written = run(name, loud, f"@{getattr(net, server)}", "-p", str(net.tls), *options)
    assert [text for text in expected if text not in written] == [], written


def openssl(net: Net, sent: bytes, *options: str) -> bytes:
    """What s_client writes."""
    arguments = (need("openssl"), "s_client", "-connect", f"{net.ours}:{net.tls}", *options)
    return subprocess.run(arguments, input=sent, capture_output=True, timeout=20, check=False).stdout


def test_alpn(net: Net) -> None:
    """dot is agreed on; a client that offers other protocols alone is answered as one that offers none."""
    for offered, said in (("dot", b"ALPN protocol: dot"), ("h2", b"No ALPN negotiated")):
        written = openssl(net, b"", "-alpn", offered, "-CAfile", net.trust.ca, "-verify_return_error")
        assert said in written
        assert b"Verify return code: 0 (ok)" in written


@pytest.mark.parametrize("program", ["dig", "kdig"])
def test_a_zone_is_transferred(net: Net, program: str) -> None:
    written = run(program, "+tls", f"@{net.ours}", "-p", str(net.tls), "umass.edu", "AXFR")
    assert written.count("SOA") == 2, written
    assert "10.2.0.99" in written


def test_no_zone_by_an_old_version_of_tls(net: Net) -> None:
    """RFC 9103 §7. Questions are answered: RFC 7858 takes 1.2 as well."""
    header, name = b"\0\7\0\0\0\1\0\0\0\0\0\0", b"\5umass\3edu\0"
    for rdtype, rcode in ((b"\0\xfc\0\1", 5), (b"\0\6\0\1", 0)):
        query = header + name + rdtype
        assert openssl(net, len(query).to_bytes(2, "big") + query, "-tls1_2", "-quiet")[5] & 15 == rcode
