"""Other people's programs against the hardened resolver: cookies and extended errors as dig and kdig see them.

BIND and Unbound are the servers that we forward to, and forward to us.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.query
import pytest

from tests.addresses import own_address
from tests.interop.dns_programs import HEAD, PORT, free_port, named, run, unbound
from tests.processes import running, twistd

TAC = """
from twisted.application.service import Application
from twisted.internet import reactor
from netstack.dns import ZoneText
from netstack.dns.limits import ServerLimits
from netstack.kernel.real import real_machine
from netstack.taps import dns, resolver

application = Application("internet")
listen = ("udp:{port}", "tcp:{port}")

def add(tap, config, name, address):
    tap.build(config, real_machine(name, (address,))).setServiceParent(application)

zones = tuple(ZoneText(*zone) for zone in {zones!r})
add(dns, dns.Config(zones, listen, cookies="required"), "ours", {ours!r})
add(dns, dns.Config(zones, listen, limits=ServerLimits(response_rate=3)), "limited", {limited!r})
hints = (("a.root-servers.net", {ours!r}),)
add(resolver, resolver.Config(hints, listen, port={port}, cookies="required"), "resolver", {resolver!r})
add(resolver, resolver.Config((), listen, port={port}, forward=("127.0.0.1",)), "to-bind", {to_bind!r})
add(resolver, resolver.Config((), listen, port={port}, forward=({unbound!r},)), "to-unbound", {to_unbound!r})
add(resolver, resolver.Config(hints, listen, allow=("10.0.0.0/8",)), "closed", {closed!r})
reactor.callWhenRunning(print, "all is ready")
"""


@dataclass(frozen=True)
class Net:
    """Addresses of ours, and Unbound's."""

    ours: str
    limited: str
    resolver: str
    to_bind: str
    to_unbound: str
    closed: str
    unbound: str


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    directory = tmp_path_factory.mktemp("dns")
    made = Net(*(own_address() for _ in range(7)))
    zones = [
        (".", HEAD + f"@ NS a.root-servers.net.\na.root-servers.net. A {made.ours}\n"
         f"edu. NS dns.edu.\ndns.edu. A {made.ours}\n"),
        ("edu", HEAD + f"@ NS dns\ndns A {made.ours}\numass NS dns\nlost NS dns\n"),
        ("umass.edu", HEAD + f"@ NS dns\ndns A {made.ours}\ngaia.cs A 10.1.0.3\nwww CNAME gaia.cs\n"
         + "".join(f"many A 10.2.0.{number}\n" for number in range(1, 100))),
    ]  # fmt: skip
    (directory / "internet.tac").write_text(TAC.format(port=PORT, zones=zones, **vars(made)))
    (directory / "bind.zone").write_text(zones[2][1].replace(made.ours, "127.0.0.1"))
    zone = f'zone "bind.test" {{ type primary; file "{directory}/bind.zone"; }};'
    stub = f'\nstub-zone:\n    name: "umass.edu"\n    stub-addr: {made.ours}@{PORT}'
    with ExitStack() as stack:
        stack.enter_context(running(*twistd("--python", str(directory / "internet.tac")), ready="all is ready"))
        options = "recursion yes; dnssec-validation no; require-server-cookie yes;"
        stack.enter_context(named(directory / "named", "127.0.0.1", options, zone))
        stack.enter_context(unbound(directory, made.unbound, stub))
        yield made


@pytest.mark.parametrize(
    ("server", "options", "expected", "unexpected"),
    [
        ("ours", ("+cookie", "+nobadcookie", "gaia.cs.umass.edu"), ("status: BADCOOKIE", "(good)"), ("10.1.0.3",)),
        ("ours", ("+cookie", "gaia.cs.umass.edu"), ("status: NOERROR", "(good)", "10.1.0.3"), ("echoed", "bad)")),
        ("ours", ("+cookie", "many.umass.edu", "+ignore"), ("flags: qr aa tc", "(good)"), ("10.2.0.7",)),
        ("ours", ("+cookie", "many.umass.edu"), ("10.2.0.99", "(good)"), ()),
        ("ours", ("+cookie=0102030405060708ff", "+nobadcookie", "umass.edu"), ("status: FORMERR",), ()),
        ("resolver", ("+cookie", "www.umass.edu"), ("status: NOERROR", "(good)", "10.1.0.3"), ("echoed",)),
        # one dig asks twice, so that the second question finds what became of the first
        ("resolver", ("x.lost.edu", "x.lost.edu"), ("EDE: 22 (No Reachable Authority)", "EDE: 13 (Cached Error)"), ()),
        ("closed", ("umass.edu",), ("status: REFUSED", "EDE: 18 (Prohibited)"), ()),
        ("to_bind", ("www.bind.test", "+cookie"), ("status: NOERROR", "flags: qr rd ra;", "10.1.0.3"), ()),
        ("to_bind", ("many.bind.test",), ("status: NOERROR", "10.2.0.99"), ()),
        ("to_bind", ("nowhere.bind.test",), ("status: NXDOMAIN", "SOA"), ()),
        ("to_bind", ("x.y.nowhere.bind.test", "TXT"), ("status: NXDOMAIN", "SOA"), ()),
        ("to_unbound", ("www.umass.edu",), ("status: NOERROR", "flags: qr rd ra;", "10.1.0.3"), ()),
        ("to_unbound", ("nowhere.umass.edu",), ("status: NXDOMAIN", "SOA"), ()),
        ("to_unbound", ("gaia.cs.umass.edu", "TXT"), ("status: NOERROR", "ANSWER: 0", "SOA"), ()),
    ],
)  # fmt: skip
def test_dig(
    net: Net, server: str, options: tuple[str, ...], expected: tuple[str, ...], unexpected: tuple[str, ...]
) -> None:
    written = run("dig", "+tries=1", f"@{getattr(net, server)}", "-p", str(PORT), *options)
    assert [text for text in expected if text not in written] == [], written
    assert [text for text in unexpected if text in written] == [], written


@pytest.mark.parametrize("server", ["ours", "resolver"])
def test_kdig(net: Net, server: str) -> None:
    written = run("kdig", "+cookie", f"@{getattr(net, server)}", "-p", str(PORT), "gaia.cs.umass.edu")
    assert "10.1.0.3" in written
    assert "COOKIE" in written


def test_replies_to_a_flood_are_held_back(net: Net) -> None:
    """dig without cookies: three answers a second; then TC, which leads dig to TCP, or nothing."""
    query = dns.message.make_query("gaia.cs.umass.edu", "A", use_edns=0)
    answered = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((net.limited, PORT))
        for _ in range(12):
            client.send(query.to_wire())
        dns.query.tcp(dns.message.make_query("umass.edu", "SOA"), net.limited, 20, PORT)  # it has come to those by then
        client.settimeout(1)
        with suppress(TimeoutError):
            while True:
                answered += bool(dns.message.from_wire(client.recv(65535)).answer)
    assert 3 <= answered <= 9  # tokens come back meanwhile
    assert "10.1.0.3" in run(
        "dig", "+tries=4", "+timeout=1", "+nocookie", f"@{net.limited}", "-p", str(PORT), "gaia.cs.umass.edu"
    )


def found_through(address: str, port: int) -> None:
    """A forwarder of somebody else's gives what our resolver finds."""
    for name, rdtype, expected in (
        ("gaia.cs.umass.edu", "A", "10.1.0.3"), ("www.umass.edu", "A", "10.1.0.3"), ("many.umass.edu", "A", "10.2.0.99"),
        ("nowhere.umass.edu", "A", "NXDOMAIN"), ("umass.edu", "MX", "SOA"),
    ):  # fmt: skip
        query = dns.message.make_query(name, rdtype, use_edns=0, payload=1232)
        message, _ = dns.query.udp_with_fallback(query, address, port=port, timeout=5)
        assert expected in str(message), f"{name}: {message}"


def test_bind_forwards_to_us(net: Net, tmp_path: Path) -> None:
    options = (
        f"recursion yes; dnssec-validation no; forward only; forwarders {{ {net.resolver} port {PORT}; }}; "
        "empty-zones-enable no; send-cookie yes;"
    )
    port = free_port()
    with named(tmp_path / "named", "127.0.0.1", options, "", port):
        found_through("127.0.0.1", port)


def test_unbound_forwards_to_us(net: Net, tmp_path: Path) -> None:
    address = own_address()
    more = f'use-caps-for-id: yes\nforward-zone:\n    name: "."\n    forward-addr: {net.resolver}@{PORT}'
    with unbound(tmp_path, address, more):
        found_through(address, PORT)
