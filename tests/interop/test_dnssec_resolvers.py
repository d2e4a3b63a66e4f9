"""Validation, ours and other people's: one signed hierarchy of ours, a zone that BIND signed, and zones that are bogus."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import pytest
from dns.message import Message

from netstack.dns.dnssec.keys import anchors
from netstack.dns.dnssec.signer import DENIALS, Denial, Policy, sign
from netstack.dns.zone import Zone
from tests.addresses import own_address
from tests.dns.dnssec.signed import ZONE, keys, master_file, signed_zone
from tests.interop.dns_programs import HEAD, PORT, STANDARD, free_port, named, needs_standard_port, run, unbound
from tests.processes import running, twistd

BOGUS = {"flipped.edu": 6, "expired.edu": 7, "wrongds.edu": 9, "stripped.edu": 10}
"""Zones that must be refused, with the extended error that says why."""
LISTEN = tuple(f"{kind}:{port}" for kind in ("udp", "tcp") for port in ((PORT, 53) if STANDARD else (PORT,)))

TAC = """
from twisted.application.service import Application
from twisted.internet import reactor
from netstack.dns import ZoneText
from netstack.kernel.real import real_machine
from netstack.taps import dns, resolver

application = Application("internet")

def serve(name, address, zones):
    config = dns.Config(tuple(ZoneText(*zone) for zone in zones), {listen})
    dns.build(config, real_machine(name, (address,))).setServiceParent(application)

serve("root", {root!r}, {root_zones!r})
serve("ours", {ours!r}, {zones!r})
resolver.build(
    resolver.Config((("a.root-servers.net", {root!r}),), ("udp:{port}", "tcp:{port}"), port={port}, anchors={anchors!r}),
    real_machine("resolver", ({resolver!r},)),
).setServiceParent(application)
reactor.callWhenRunning(print, "all is ready")
"""


@dataclass(frozen=True)
class Net:
    """Addresses: our root, our server of edu and all below, our resolver, BIND as server of bind.test; the trust anchor."""

    root: str
    ours: str
    resolver: str
    anchor: str
    key: str
    """The root's DNSKEY as BIND's trust-anchors have it."""


def _bind_zone(directory: Path, address: str) -> tuple[str, str]:
    """bind.test, signed by dnssec-keygen and dnssec-signzone with NSEC3: the configuration and the DS records."""
    (directory / "zone").write_text(ZONE.replace("ADDRESS", address))
    for options in (("-f", "KSK"), ()):
        run("dnssec-keygen", "-q", "-K", str(directory), "-a", "ECDSAP256SHA256", *options, "bind.test")
    signed = directory / "signed"
    run("dnssec-signzone", "-3", "-", "-S", "-K", str(directory), "-d", str(directory), "-o", "bind.test",
        "-f", str(signed), str(directory / "zone"))  # fmt: skip
    return f'zone "bind.test" {{ type primary; file "{signed}"; }};', (directory / "dsset-bind.test.").read_text()


def _bogus(origin: str) -> str:
    """A zone's master file, spoiled in the manner of its name."""
    wall = time.time() - (90 * 86400 if origin.startswith("expired") else 0)
    text = master_file(signed_zone(origin, wall=wall, seed=9 if origin.startswith("wrongds") else 0))
    if origin.startswith("flipped"):
        return text.replace("10.1.0.3", "6.6.6.6")
    if origin.startswith("stripped"):
        return "".join(line + "\n" for line in text.splitlines() if " RRSIG A " not in line)
    return text


@pytest.fixture(scope="module", params=DENIALS)
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    denial: Denial = request.param
    directory = tmp_path_factory.mktemp("dnssec")
    bind_zone, bind_ds = _bind_zone(directory, "127.0.0.1")
    (key,) = keys(".")
    flags, protocol, algorithm, data = key.record.to_text().split(maxsplit=3)
    made = Net(own_address(), own_address(), own_address(), anchors([key])[0], f'{flags} {protocol} {algorithm} "{data}"')
    policy, wall = Policy(denial), time.time()
    root = (
        HEAD + f"@ NS a.root-servers.net.\na.root-servers.net. A {made.root}\nedu. NS a.edu-servers.net.\n"
        f"a.edu-servers.net. A {made.ours}\nbind.test. NS dns.bind.test.\ndns.bind.test. A 127.0.0.1\n{bind_ds}"
        + "".join(f"{ds}\n" for ds in anchors(keys("edu")))
    )
    below = ("umass.edu", *BOGUS)
    edu = HEAD + "@ NS a.edu-servers.net.\nplain NS a.edu-servers.net.\n" + "".join(
        f"{zone}. NS dns.{zone}.\ndns.{zone}. A {made.ours}\n{ds}\n" for zone in below for ds in anchors(keys(zone))
    )  # fmt: skip
    umass = ZONE.replace("ADDRESS", made.ours)

    def signed(origin: str, text: str) -> tuple[str, str]:
        return origin, master_file(sign(Zone.from_text(origin, text), keys(origin), policy, wall))

    zones = [
        signed("edu", edu),
        signed("umass.edu", umass),
        ("plain.edu", HEAD + "@ NS a.edu-servers.net.\nwww A 10.9.0.1\n"),
        *((origin, _bogus(origin)) for origin in BOGUS),
    ]
    (directory / "internet.tac").write_text(
        TAC.format(port=PORT, root=made.root, ours=made.ours, resolver=made.resolver, anchors=(made.anchor,),
                   root_zones=[signed(".", root)], zones=zones, listen=LISTEN)
    )  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(running(*twistd("--python", str(directory / "internet.tac")), ready="all is ready"))
        options = "recursion no; minimal-responses yes; dnssec-validation no;"
        stack.enter_context(named(directory / "named", "127.0.0.1", options, bind_zone))
        yield made


def ask(
    address: str, name: str, rdtype: str = "A", flags: int = dns.flags.RD, dnssec: bool = True, port: int = PORT
) -> Message:
    query = dns.message.make_query(name, rdtype, use_edns=0, want_dnssec=dnssec, payload=1232)
    query.flags = dns.flags.Flag(flags)
    for _ in range(4):  # as clients do; BIND leaves the first query after its start without a reply now and then
        with suppress(dns.exception.Timeout):
            return dns.query.udp_with_fallback(query, address, port=port, timeout=5)[0]
    raise AssertionError(f"no reply to {name} {rdtype}")


def check_validates(address: str, port: int = PORT, bind: bool = False, unchecked: bool = True) -> None:
    """A resolver with our trust anchor: what is signed has AD, what is not has none, what is bogus is SERVFAIL."""
    for name, rdtype, expected in (
        ("gaia.cs.umass.edu", "A", "10.1.0.3"),
        ("www.umass.edu", "A", "10.1.0.3"),
        ("x.wild.umass.edu", "A", "10.1.0.9"),
        ("umass.edu", "DNSKEY", "257 3 13"),
        ("umass.edu", "DS", " 13 2 "),
        ("gaia.cs.bind.test", "A", "10.1.0.3"),
        ("x.wild.bind.test", "A", "10.1.0.9"),
    ):
        if name.endswith("bind.test") and not bind:
            continue  # it is served on another port than these resolvers ask
        reply = ask(address, name, rdtype, port=port)
        assert expected in reply.to_text(), reply
        assert reply.flags & dns.flags.AD, reply
        assert " RRSIG " in reply.to_text()
    for name, rdtype, rcode in (
        ("nowhere.umass.edu", "A", "NXDOMAIN"),
        ("gaia.cs.umass.edu", "MX", "NOERROR"),
        ("cs.umass.edu", "A", "NOERROR"),
        ("x.wild.umass.edu", "MX", "NOERROR"),
        ("plain.edu", "DS", "NOERROR"),
        ("nowhere.bind.test", "A", "NXDOMAIN"),
        ("cs.bind.test", "TXT", "NOERROR"),
        ("x.wild.bind.test", "MX", "NOERROR"),
    ):
        if name.endswith("bind.test") and not bind:
            continue  # it is served on another port than these resolvers ask
        reply = ask(address, name, rdtype, port=port)
        assert reply.rcode().name == rcode, reply
        assert not reply.answer
        assert reply.flags & dns.flags.AD, reply
    plain = ask(address, "www.plain.edu", port=port)
    assert "10.9.0.1" in plain.to_text()
    assert not plain.flags & dns.flags.AD
    for origin in BOGUS:
        reply = ask(address, f"gaia.cs.{origin}", port=port)
        assert reply.rcode().name == "SERVFAIL", reply
        assert not reply.answer
        if not unchecked:
            continue
        given = ask(address, f"gaia.cs.{origin}", flags=dns.flags.RD | dns.flags.CD, port=port)
        assert given.rcode().name == "NOERROR", given
        assert ("6.6.6.6" if origin == "flipped.edu" else "10.1.0.3") in given.to_text()


def test_our_resolver_validates(net: Net) -> None:
    check_validates(net.resolver, bind=True)


def test_what_our_resolver_says_of_it(net: Net) -> None:
    for origin, code in BOGUS.items():
        errors = [
            option for option in ask(net.resolver, f"gaia.cs.{origin}").options if isinstance(option, dns.edns.EDEOption)
        ]
        assert [int(error.code) for error in errors] == [code], origin
    without = ask(net.resolver, "gaia.cs.umass.edu", dnssec=False)
    assert not without.flags & dns.flags.AD
    assert "RRSIG" not in without.to_text()
    assert ask(net.resolver, "gaia.cs.umass.edu", flags=dns.flags.RD | dns.flags.AD, dnssec=False).flags & dns.flags.AD
    written = run("dig", f"@{net.resolver}", "-p", str(PORT), "+dnssec", "gaia.cs.flipped.edu")
    assert "EDE: 6 (DNSSEC Bogus)" in written
    assert " ad" in run("dig", f"@{net.resolver}", "-p", str(PORT), "+dnssec", "gaia.cs.umass.edu")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("gaia.cs.umass.edu A", "; fully validated\ngaia.cs.umass.edu."),
        ("x.wild.umass.edu A", "; fully validated\nx.wild.umass.edu."),
        ("nowhere.umass.edu A", "; negative response, fully validated"),
        ("x.wild.umass.edu MX", "; negative response, fully validated"),
        ("gaia.cs.bind.test A", "; fully validated\ngaia.cs.bind.test."),
        ("www.plain.edu A", "; unsigned answer"),
        ("gaia.cs.flipped.edu A", "resolution failed"),
        ("gaia.cs.expired.edu A", "resolution failed"),
        ("gaia.cs.wrongds.edu A", "resolution failed"),
    ],
)
def test_delv_validates_through_our_resolver(net: Net, asked: str, expected: str, tmp_path: Path) -> None:
    """It asks with CD and follows the chain from the root itself: all that proves must come through."""
    (tmp_path / "anchor").write_text(f"trust-anchors {{ . static-key {net.key}; }};\n")
    written = run("delv", f"@{net.resolver}", "-p", str(PORT), "-a", str(tmp_path / "anchor"), "+root=.", *asked.split())
    assert expected in written, written


@needs_standard_port
def test_unbound_validates_our_hierarchy(net: Net, tmp_path: Path) -> None:
    address = own_address()
    (tmp_path / "root.hints").write_text(f". 3600 NS a.root-servers.net.\na.root-servers.net. 3600 A {net.root}\n")
    more = f'root-hints: "{tmp_path}/root.hints"\n    trust-anchor: "{net.anchor}"'
    with unbound(tmp_path, address, more, "validator iterator"):
        check_validates(address)


@needs_standard_port
def test_bind_validates_our_hierarchy(net: Net, tmp_path: Path) -> None:
    (tmp_path / "hints").write_text(f". 3600 NS a.root-servers.net.\na.root-servers.net. 3600 A {net.root}\n")
    options = "recursion yes; dnssec-validation yes; empty-zones-enable no;"
    zones = f'zone "." {{ type hint; file "{tmp_path}/hints"; }};\ntrust-anchors {{ . static-key {net.key}; }};'
    port = free_port()
    with named(tmp_path / "named", "127.0.0.1", options, zones, port):
        check_validates("127.0.0.1", port, unchecked=False)
