"""Other people's programs and DNS over TLS (RFC 7858): clients of ours, and transfers (RFC 9103)."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.query
import pytest
from dns.rcode import Rcode

from tests.addresses import own_address
from tests.interop.dns_programs import HEAD, PORT, free_port, named, run, unbound
from tests.interop.dns_secure import NAME, Trust
from tests.interop.programs import need
from tests.processes import running, twistd

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
for name, address, server in {forwarding!r}:
    add(resolver, resolver.Config((), listen, forward=(server,), features=("no-remember-failures",)), name, address)
other = HostTLS.from_files(reactor, time.time, {trust.certificate!r}, {trust.key!r}, {trust.other!r})
copies = Changing(secondary=(("bind.test", "tls://127.0.0.1:{bind_tls}#{name}"),))
add(dns, dns.Config((), listen, changing=copies), "secondary", {secondary!r})
copies = Changing(secondary=(("bind.test", "tls://127.0.0.1:{bind_tls}#www.umass.edu"),))
add(dns, dns.Config((), listen, changing=copies), "doubtful", {doubtful!r})
config = resolver.Config((), listen, forward=("tls://127.0.0.1:{bind_tls}#{name}",))
resolver.build(config, real_machine("strange", ({strange!r},), tls=other)).setServiceParent(application)
reactor.callWhenRunning(print, "all is ready")
"""


@dataclass(frozen=True)
class Net:
    """Our servers' addresses, and Unbound's; those of the second group forward over TLS, of the third transfer."""

    ours: str
    resolver: str
    unbound: str

    to_bind: str
    to_unbound: str
    misnamed: str
    strange: str

    secondary: str
    doubtful: str
    trust: Trust
    tls: int


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    directory = tmp_path_factory.mktemp("dot")
    made = Net(*(own_address() for _ in range(9)), Trust(directory), PORT + 1)
    bind_tls = PORT + 2
    forwarding = [
        ("to-bind", made.to_bind, f"tls://127.0.0.1:{bind_tls}#{NAME}"),
        ("to-unbound", made.to_unbound, f"tls://{made.unbound}:{made.tls}#{NAME}"),
        ("misnamed", made.misnamed, f"tls://127.0.0.1:{bind_tls}#www.umass.edu"),
    ]
    zones = [
        (".", HEAD + f"@ NS a.root-servers.net.\na.root-servers.net. A {made.ours}\n"
         f"umass.edu. NS {NAME}.\n{NAME}. A {made.ours}\n"),
        ("umass.edu", HEAD + ZONE.format(made.ours)),
    ]  # fmt: skip
    (directory / "internet.tac").write_text(
        TAC.format(port=PORT, zones=zones, forwarding=forwarding, bind_tls=bind_tls, name=NAME, **vars(made))
    )
    key, certificate = made.trust.key, made.trust.certificate
    (directory / "bind.zone").write_text(zones[1][1].replace(made.ours, "127.0.0.1"))
    tls = f'tls local {{ key-file "{key}"; cert-file "{certificate}"; }};'
    primary = f'zone "bind.test" {{ type primary; file "{directory}/bind.zone"; }};'
    options = f"recursion yes; dnssec-validation no; listen-on port {bind_tls} tls local {{ 127.0.0.1; }};"
    secure = f"""
    interface: {made.unbound}@{made.tls}
    tls-port: {made.tls}
    tls-service-key: {key}
    tls-service-pem: {certificate}
stub-zone:
    name: "umass.edu"
    stub-addr: {made.ours}@{PORT}"""
    with ExitStack() as stack:
        stack.enter_context(running(*twistd("--python", str(directory / "internet.tac")), ready="all is ready"))
        stack.enter_context(named(directory / "named", "127.0.0.1", options, primary + tls))
        stack.enter_context(unbound(directory, made.unbound, secure))
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
    context = ssl.create_default_context(cafile=net.trust.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    for rdtype, rcode in (("AXFR", Rcode.REFUSED), ("SOA", Rcode.NOERROR)):
        with context.wrap_socket(socket.create_connection((net.ours, net.tls), 10), server_hostname=NAME) as stream:
            dns.query.send_tcp(stream, dns.message.make_query("umass.edu", rdtype))
            reply, _ = dns.query.receive_tcp(stream)
        assert reply.rcode() == rcode


@pytest.mark.parametrize(("server", "zone"), [("to_bind", "bind.test"), ("to_unbound", "umass.edu")])
def test_we_forward_over_tls(net: Net, server: str, zone: str) -> None:
    for name, expected in (("gaia.cs", "10.1.0.3"), ("www", "10.1.0.3"), ("many", "10.2.0.99"), ("nowhere", "NXDOMAIN")):
        written = run("dig", "+tries=1", f"@{getattr(net, server)}", "-p", str(PORT), f"{name}.{zone}")
        assert expected in written, written


@pytest.mark.parametrize(
    ("server", "why"),
    [("misnamed", "www.umass.edu: its certificate is for another name"), ("strange", "not issued by a CA that is trusted")],
)
def test_we_do_not_ask_whom_we_cannot_trust(net: Net, server: str, why: str) -> None:
    written = run("dig", "+tries=1", f"@{getattr(net, server)}", "-p", str(PORT), "gaia.cs.bind.test")
    assert "status: SERVFAIL" in written, written
    assert "EDE: 22" in written
    assert why in written


@pytest.mark.parametrize(("name", "answered"), [(NAME, True), ("www.umass.edu", False)])
def test_unbound_forwards_to_us_over_tls(net: Net, tmp_path: Path, name: str, answered: bool) -> None:
    """It verifies our certificate, and does not ask us under another name."""
    address = own_address()
    more = f"""
    tls-cert-bundle: {net.trust.ca}
forward-zone:
    name: "."
    forward-tls-upstream: yes
    forward-addr: {net.resolver}@{net.tls}#{name}"""
    with unbound(tmp_path, address, more):
        for asked, expected in (("gaia.cs", "10.1.0.3"), ("many", "10.2.0.99"), ("nowhere", "NXDOMAIN")):
            written = run("dig", "+tries=1", f"@{address}", "-p", str(PORT), f"{asked}.umass.edu")
            assert (expected if answered else "SERVFAIL") in written, written


def serial(server: str, zone: str, port: int = PORT) -> str:
    """What a server says of a zone that it is to transfer, once it has had the time."""
    written = ""
    for _ in range(20):
        written = run("dig", "+tries=1", "+short", f"@{server}", "-p", str(port), zone, "SOA")
        if written.strip():
            break
        run("sleep", "0.2")
    return written


def test_we_transfer_from_bind_over_tls(net: Net) -> None:
    """Unless its certificate is for another name."""
    assert "2026112001" in serial(net.secondary, "bind.test")
    written = run("dig", "+tries=1", f"@{net.secondary}", "-p", str(PORT), "many.bind.test", "+tcp")
    assert "10.2.0.99" in written
    assert "SERVFAIL" in run("dig", "+tries=1", f"@{net.doubtful}", "-p", str(PORT), "bind.test", "SOA")


def test_bind_transfers_from_us_over_tls(net: Net, tmp_path: Path) -> None:
    zone = f"""
tls ours {{ ca-file "{net.trust.ca}"; remote-hostname "{NAME}"; }};
tls other {{ ca-file "{net.trust.other}"; remote-hostname "{NAME}"; }};
zone "umass.edu" {{ type secondary; file "copy"; primaries {{ {net.ours} port {net.tls} tls ours; }}; }};
zone "." {{ type secondary; file "other"; primaries {{ {net.ours} port {net.tls} tls other; }}; }};
"""
    port = free_port()
    with named(tmp_path / "named", "127.0.0.1", "recursion no;", zone, port):
        assert "2026112001" in serial("127.0.0.1", "umass.edu", port)
        assert "SERVFAIL" in run("dig", "+tries=1", "@127.0.0.1", "-p", str(port), ".", "SOA")
