"""Other people's DNS programs against ours: clients, BIND and Unbound as resolvers, BIND as authoritative server."""

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

from tests.addresses import own_address
from tests.interop.dns_programs import HEAD, PORT, STANDARD, free_port, named, needs_standard_port, run, unbound
from tests.processes import running, twistd

ZONE = HEAD + """
@            NS    dns
             MX    10 mail
             MX    20 relay.far.example.net.
             A     10.1.0.1
             TXT   "v=spf1 -all" "second string"
             CAA   0 issue "ca.test"
             HTTPS 1 . alpn="h2,http/1.1" ipv4hint=10.1.0.1
dns          A     ADDRESS
mail         A     10.1.0.2
             AAAA  2001:db8::2
gaia.cs      A     10.1.0.3
www          CNAME gaia.cs
alias2       CNAME www
dangling     CNAME nowhere
away         CNAME www.elsewhere.org.
below        CNAME host.phys
loop         CNAME loop2
loop2        CNAME loop
cnn          A     10.1.1.1
             A     10.1.1.2
             A     10.1.1.3
many         A     10.2.0.1
$GENERATE 2-100 many A 10.2.0.$
_sip._tcp    SRV   0 5 5060 mail
_dns         SVCB  1 dns alpn=dot
odd          TYPE65280 \\# 3 010203
a.b.c        TXT   deep
*.wild       A     10.1.0.9
             TXT   wild
x.y.wild     A     10.1.0.10
*.wcname     CNAME gaia.cs
1.0          PTR   gaia.cs
phys         NS    dns.phys
             NS    dns.elsewhere.org.
dns.phys     A     10.1.0.20
             AAAA  2001:db8::20
bare         NS    ns.elsewhere.org.
moved        DNAME cs
"""  # fmt: skip


def _zone(address: str) -> str:
    return ZONE.replace("ADDRESS", address)


QUESTIONS = [
    f"{name}{'.' if name else ''}ZONE {rdtype}"
    for names, rdtypes in [
        (("",), "A AAAA NS MX SOA TXT CAA HTTPS SVCB TYPE65280"),
        (("dns", "mail", "gaia.cs", "cs", "cnn", "b.c", "c"), "A AAAA MX"),
        (("www", "alias2", "dangling", "away"), "A CNAME TXT"),
        (("moved", "gaia.moved", "no.moved"), "A DNAME"),
        (("loop", "wcname", "x.wcname", "nowhere", "nowhere.gaia.cs", "x.www"), "A"),
        (("x.wild", "a.b.wild", "wild", "y.wild", "z.y.wild", "x.x.y.wild", "*.wild"), "A MX"),
        (("x.wild",), "TXT AAAA"),
        (("_sip._tcp", "_tcp"), "SRV"),
        (("_dns",), "SVCB HTTPS"),
        (("odd",), "TYPE65280 TYPE65281"),
        (("1.0",), "PTR"),
        (("phys", "host.phys", "dns.phys", "bare", "x.bare"), "A NS"),
        (("phys",), "DS MX"),
        (("many",), "A"),
        (("WWW", "DnS"), "A"),
    ]
    for name in names
    for rdtype in rdtypes.split()
]


@dataclass(frozen=True)
class Net:
    """Addresses: our root, our server of edu and umass.edu, our resolver, and BIND, which serves bind.test."""

    root: str
    ours: str
    resolver: str
    bind: str
    directory: Path


TAC = """
from twisted.application.service import Application
from twisted.internet import reactor
from netstack.dns import ZoneText
from netstack.kernel.real import real_machine
from netstack.taps import dns, resolver

application = Application("internet")

def serve(name, address, *zones):
    config = dns.Config(tuple(ZoneText(*zone) for zone in zones), {listen})
    dns.build(config, real_machine(name, (address,))).setServiceParent(application)

serve("root", {root!r}, (".", {root_zone!r}))
serve("ours", {ours!r}, ("edu", {edu!r}), ("umass.edu", {umass!r}))
resolver.build(
    resolver.Config((("a.root-servers.net", {root!r}),), ("udp:{port}", "tcp:{port}"), profile="textbook", port={port}),
    real_machine("resolver", ({resolver!r},)),
).setServiceParent(application)
reactor.callWhenRunning(print, "all is ready")
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    directory = tmp_path_factory.mktemp("dns")
    made = Net(own_address(), own_address(), own_address(), "127.0.0.1", directory)
    root_zone = (
        HEAD + f"@ NS a.root-servers.net.\na.root-servers.net. A {made.root}\n"
        f"edu. NS a.edu-servers.net.\na.edu-servers.net. A {made.ours}\n"
        f"bind.test. NS dns.bind.test.\ndns.bind.test. A {made.bind}\n"
    )
    edu = HEAD + f"@ NS a.edu-servers.net.\numass NS dns.umass\ndns.umass A {made.ours}\n"
    ports = (PORT, 53) if STANDARD else (PORT,)
    listen = tuple(f"{kind}:{port}" for kind in ("udp", "tcp") for port in ports)
    (directory / "internet.tac").write_text(
        TAC.format(port=PORT, root=made.root, ours=made.ours, resolver=made.resolver, root_zone=root_zone, edu=edu,
                   umass=_zone(made.ours), listen=listen)
    )  # fmt: skip
    (directory / "bind.zone").write_text(_zone(made.bind))
    zones = f'zone "bind.test" {{ type primary; file "{directory}/bind.zone"; }};'
    with ExitStack() as stack:
        stack.enter_context(running(*twistd("--python", str(directory / "internet.tac")), ready="all is ready"))
        options = "recursion no; minimal-responses yes; dnssec-validation no;"
        stack.enter_context(named(directory / "named", made.bind, options, zones))
        yield made


@pytest.mark.parametrize(
    ("options", "expected", "unexpected"),
    [
        (("gaia.cs.umass.edu",), ("status: NOERROR", "flags: qr aa rd;", "10.1.0.3", "udp: 1232"), ("Malformed",)),
        (("gaia.cs.umass.edu", "+tcp"), ("10.1.0.3", "(TCP)"), ()),
        (("gaia.cs.umass.edu", "+noedns"), ("10.1.0.3",), ("EDNS",)),
        (("gaia.cs.umass.edu", "+dnssec", "+norec"), ("10.1.0.3", "flags: do;", "flags: qr aa;"), ("WARNING",)),
        (("gaia.cs.umass.edu", "+edns=1", "+noednsneg"), ("status: BADVERS",), ("10.1.0.3",)),
        (("gaia.cs.umass.edu", "+ednsopt=65001:0102"), ("10.1.0.3",), ()),
        (("gaia.cs.umass.edu", "+cookie", "+nsid", "+padding=128"), ("10.1.0.3",), ()),
        (("gaia.cs.umass.edu", "+opcode=STATUS"), ("status: NOTIMP",), ()),
        (("gaia.cs.umass.edu", "+header-only"), ("status: FORMERR",), ()),
        (("many.umass.edu", "+short"), ("10.2.0.1\n", "10.2.0.100\n"), ()),
        (("many.umass.edu", "+ignore"), ("flags: qr aa tc rd",), ("10.2.0.7",)),
        (("odd.umass.edu", "TYPE65280"), ("\\# 3 010203",), ()),
        (("umass.edu", "HTTPS"), ('1 . alpn="h2,http/1.1" ipv4hint=10.1.0.1',), ()),
        (("nowhere.umass.edu",), ("status: NXDOMAIN", "umass.edu.\t\t3600\tIN\tSOA"), ()),
        (("umass.edu", "AXFR"), ("Transfer failed",), ()),
        (("version.bind", "CH", "TXT"), ("status: REFUSED",), ()),
        (("www.elsewhere.org",), ("status: REFUSED", "EDE: 20 (Not Authoritative)"), ()),
        (("+keepopen", "+tcp", "dns.umass.edu", "mail.umass.edu", "www.umass.edu"), ("10.1.0.2", "10.1.0.3"), ()),
    ],
)
def test_dig(net: Net, options: tuple[str, ...], expected: tuple[str, ...], unexpected: tuple[str, ...]) -> None:
    written = run("dig", "+tries=1", f"@{net.ours}", "-p", str(PORT), *options)
    assert [text for text in expected if text not in written] == [], written
    assert [text for text in unexpected if text in written] == [], written


@pytest.mark.parametrize("server", ["ours", "resolver"])
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (("kdig", "@{}", "-p", str(PORT), "gaia.cs.umass.edu"), "10.1.0.3"),
        (("kdig", "+tcp", "@{}", "-p", str(PORT), "many.umass.edu"), "10.2.0.100"),
        (("drill", "-p", str(PORT), "www.umass.edu", "@{}"), "CNAME\tgaia.cs.umass.edu."),
        (("nslookup", f"-port={PORT}", "www.umass.edu", "{}"), "Address: 10.1.0.3"),
        (("host", "-p", str(PORT), "umass.edu", "{}"), "mail is handled by 10 mail.umass.edu."),
        (("host", "-p", str(PORT), "gaia.moved.umass.edu", "{}"), "gaia.cs.umass.edu has address 10.1.0.3"),
        (("drill", "-p", str(PORT), "gaia.moved.umass.edu", "@{}"), "DNAME\tcs.umass.edu."),
        (("nslookup", f"-port={PORT}", "gaia.moved.umass.edu", "{}"), "Address: 10.1.0.3"),
        (("kdig", "@{}", "-p", str(PORT), "gaia.moved.umass.edu"), "gaia.cs.umass.edu."),
        (("host", "-p", str(PORT), "-t", "SRV", "_sip._tcp.umass.edu", "{}"), "0 5 5060 mail.umass.edu."),
    ],
)
def test_other_clients(net: Net, server: str, program: tuple[str, ...], expected: str) -> None:
    written = run(*(argument.format(getattr(net, server)) for argument in program))
    assert expected in written


def reply(address: str, asked: str, stream: bool = False) -> tuple[object, ...]:
    """RCODE, AA, TC, answer and authority, of any order of records."""
    name, rdtype = asked.split()
    query = dns.message.make_query(name, rdtype, use_edns=0, payload=1232)
    query.flags &= ~dns.flags.RD
    ask = dns.query.tcp if stream else dns.query.udp
    message = ask(query, address, port=PORT, timeout=5)
    sections = [
        sorted(line.lower() for rrset in section for line in rrset.to_text().splitlines())
        for section in (message.answer, message.authority)
    ]
    kept = message.flags & (dns.flags.AA | dns.flags.TC | dns.flags.QR | dns.flags.RA)
    return (message.rcode().name, dns.flags.to_text(kept), *sections)


@pytest.mark.parametrize("stream", [False, True], ids=["udp", "tcp"])
def test_our_answers_are_binds(net: Net, stream: bool) -> None:
    different = {}
    for asked in QUESTIONS:
        ours = reply(net.ours, asked.replace("ZONE", "umass.edu"), stream)
        theirs = reply(net.bind, asked.replace("ZONE", "bind.test"), stream)
        shown = str(theirs).replace("bind.test", "umass.edu").replace(net.bind, net.ours)
        if str(ours) != shown:
            different[asked] = (str(ours), shown)
    assert len(QUESTIONS) >= 60
    assert different == {}


@pytest.mark.parametrize("stream", [False, True], ids=["udp", "tcp"])
def test_our_resolver_asks_bind(net: Net, stream: bool) -> None:
    """Names in BIND's zone by our resolver: the answers that BIND gives itself, without AA."""
    for asked in QUESTIONS:
        if any(word in asked for word in ("phys", "bare", "away", "below", "loop")):
            continue  # these lead to servers that do not exist
        name, rdtype = asked.replace("ZONE", "bind.test").split()
        query = dns.message.make_query(name, rdtype, use_edns=0, payload=1232)
        direct = dns.query.tcp(query, net.bind, port=PORT, timeout=5)
        ask = (
            dns.query.tcp if stream else lambda *arguments, **options: dns.query.udp_with_fallback(*arguments, **options)[0]
        )
        through = ask(query, net.resolver, port=PORT, timeout=5)
        assert through.rcode() == direct.rcode(), asked
        assert through.flags & (dns.flags.AA | dns.flags.RA) == dns.flags.RA
        assert sorted(map(str, through.answer)) == sorted(map(str, direct.answer)) or [
            sorted(map(str, rrset)) for rrset in through.answer
        ] == [sorted(map(str, rrset)) for rrset in direct.answer], asked


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("gaia.cs.umass.edu",), ("status: NOERROR", "flags: qr rd ra;", "10.1.0.3")),
        (("gaia.cs.umass.edu", "+tcp"), ("10.1.0.3", "(TCP)")),
        (("gaia.cs.umass.edu", "+norec"), ("status: REFUSED",)),
        (("umass.edu", "ANY", "+notcp"), ('HINFO\t"RFC8482" ""',)),
        (("nowhere.umass.edu",), ("status: NXDOMAIN", "SOA")),
        (("umass.edu", "HTTPS"), ('1 . alpn="h2,http/1.1"',)),
        (("odd.umass.edu", "TYPE65280"), ("\\# 3 010203",)),
        (("many.umass.edu", "+short"), ("10.2.0.1\n", "10.2.0.100\n")),
        (("loop.umass.edu",), ("status: SERVFAIL",)),
        (("gaia.cs.umass.edu", "+edns=3", "+noednsneg"), ("status: BADVERS",)),
        (("dns.bind.test",), ("status: NOERROR",)),
    ],
)
def test_dig_asks_our_resolver(net: Net, options: tuple[str, ...], expected: tuple[str, ...]) -> None:
    written = run("dig", "+tries=1", f"@{net.resolver}", "-p", str(PORT), *options)
    assert [text for text in expected if text not in written] == [], written


def resolves(address: str, port: int) -> None:
    """A resolver of somebody else's finds what is in our hierarchy, and that something is not there."""
    for asked, expected in (
        ("gaia.cs.umass.edu A", "10.1.0.3"),
        ("alias2.umass.edu A", "10.1.0.3"),
        ("x.wild.umass.edu TXT", "wild"),
        ("many.umass.edu A", "10.2.0.100"),
        ("umass.edu HTTPS", "alpn"),
        ("odd.umass.edu TYPE65280", "010203"),
        ("gaia.moved.umass.edu A", "10.1.0.3"),
        ("nowhere.umass.edu A", "NXDOMAIN"),
        ("www.nowhere A", "NXDOMAIN"),
    ):
        name, rdtype = asked.split()
        query = dns.message.make_query(name, rdtype, use_edns=0, payload=1232)
        message = None
        for _ in range(3):  # as clients do; BIND leaves the first query after its start without a reply now and then
            with suppress(dns.exception.Timeout):
                message, _ = dns.query.udp_with_fallback(query, address, port=port, timeout=5)
                break
        assert expected in str(message), f"{asked}: {message}"


@pytest.fixture
def hints(net: Net, tmp_path: Path) -> Path:
    """Root hints in a file."""
    path = tmp_path / "hints"
    path.write_text(f". 3600000 NS a.root-servers.net.\na.root-servers.net. 3600000 A {net.root}\n")
    return path


@needs_standard_port
def test_bind_resolves_through_our_hierarchy(hints: Path, tmp_path: Path) -> None:
    options = "recursion yes; dnssec-validation no; empty-zones-enable no; qname-minimization strict;"
    zones = f'zone "." {{ type hint; file "{hints}"; }};'
    port = free_port()
    with named(tmp_path / "named", "127.0.0.1", options, zones, port):
        resolves("127.0.0.1", port)


@pytest.mark.parametrize("way", [pytest.param("hints", marks=needs_standard_port), "stubs"])
def test_unbound_resolves_through_our_hierarchy(net: Net, hints: Path, tmp_path: Path, way: str) -> None:
    address = own_address()
    more = f'root-hints: "{hints}"'
    if way == "stubs":
        stubs = ((".", net.root), ("edu", net.ours), ("umass.edu", net.ours))
        more = "".join(f'\nstub-zone:\n    name: "{name}"\n    stub-addr: {server}@{PORT}' for name, server in stubs)
    with unbound(tmp_path, address, more):
        resolves(address, PORT)
