"""DNAME (RFC 6672): what a zone may hold, what a server makes of it, what a resolver believes, what is secure."""

from collections.abc import Callable

import dns.flags
import dns.message
import dns.name
import pytest
from dns.message import Message
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.authority import Authority, fixed
from netstack.dns.dnssec.keys import anchors
from netstack.dns.dnssec.signer import DENIALS, Denial, Policy, sign
from netstack.dns.hardening import HARDENED, Hardening
from netstack.dns.history import changed
from netstack.dns.update import Refused, Update, apply, parse_update
from netstack.dns.zone import Zone, ZoneError
from tests.dns.dnssec.signed import NOW, keys
from tests.dns.internet import Answer, Internet, server
from tests.dns.test_authority import SOA, ask, show

LABEL = "a" * 63
LONG = f"{LABEL}.{LABEL}.{LABEL}.{'b' * 40}"
ZONE = f"""
@ NS dns
dns A 10.0.0.1
old DNAME new
host.new A 10.0.0.2
alias.new CNAME host.new
deep.er.new TXT deep
away DNAME elsewhere.org.
far DNAME {"x." * 20}new
loop DNAME x.loop
www CNAME host.old
sub NS dns.sub
dns.sub A 10.0.0.4
under DNAME sub
*.wild DNAME new
host.old2 A 10.0.0.9
"""
SOA_TEXT = "foo.com. SOA ns. hostmaster. 1 7200 3600 1209600 3600"
OLD = "old.foo.com. DNAME new.foo.com."


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(
        [
            Zone.from_text("foo.com", SOA + ZONE),
            Zone.from_text("moved.net", SOA + "@ NS dns.foo.com.\n@ DNAME new.foo.com.\n@ TXT here\n"),
        ],
        fixed,
    )


@pytest.mark.parametrize(
    ("name", "rdtype", "expected"),
    [
        ("host.old.foo.com", "A", f"NOERROR AA | {OLD}, host.old.foo.com. CNAME host.new.foo.com., "
                                  "host.new.foo.com. A 10.0.0.2 |  | "),
        ("HOST.OLD.foo.com", "A", "NOERROR AA | OLD.foo.com. DNAME new.foo.com., "
                                  "HOST.OLD.foo.com. CNAME HOST.new.foo.com., HOST.new.foo.com. A 10.0.0.2 |  | "),
        ("alias.old.foo.com", "A", f"NOERROR AA | {OLD}, alias.old.foo.com. CNAME alias.new.foo.com., "
                                   "alias.new.foo.com. CNAME host.new.foo.com., host.new.foo.com. A 10.0.0.2 |  | "),
        ("www.foo.com", "A", f"NOERROR AA | www.foo.com. CNAME host.old.foo.com., {OLD}, "
                             "host.old.foo.com. CNAME host.new.foo.com., host.new.foo.com. A 10.0.0.2 |  | "),
        ("deep.er.old.foo.com", "TXT", f'NOERROR AA | {OLD}, deep.er.old.foo.com. CNAME deep.er.new.foo.com., '
                                       'deep.er.new.foo.com. TXT "deep" |  | '),
        ("er.old.foo.com", "TXT", f"NOERROR AA | {OLD}, er.old.foo.com. CNAME er.new.foo.com. | {SOA_TEXT} | "),
        ("no.old.foo.com", "A", f"NXDOMAIN AA | {OLD}, no.old.foo.com. CNAME no.new.foo.com. | {SOA_TEXT} | "),
        ("x.away.foo.com", "A", "NOERROR AA | away.foo.com. DNAME elsewhere.org., "
                                "x.away.foo.com. CNAME x.elsewhere.org. |  | "),
        ("x.under.foo.com", "A", "NOERROR AA | under.foo.com. DNAME sub.foo.com., x.under.foo.com. CNAME x.sub.foo.com. | "
                                 "sub.foo.com. NS dns.sub.foo.com. | dns.sub.foo.com. A 10.0.0.4"),
        # the owner itself is not redirected (RFC 6672 §2.3)
        ("old.foo.com", "DNAME", f"NOERROR AA | {OLD} |  | "),
        ("old.foo.com", "A", f"NOERROR AA |  | {SOA_TEXT} | "),
        ("host.old.foo.com", "DNAME", f"NOERROR AA | {OLD}, host.old.foo.com. CNAME host.new.foo.com. | {SOA_TEXT} | "),
        ("host.old.foo.com", "CNAME", f"NOERROR AA | {OLD}, host.old.foo.com. CNAME host.new.foo.com. |  | "),
        # at the apex all names below are redirected, the apex is not (RFC 6672 §2.3)
        ("moved.net", "TXT", 'NOERROR AA | moved.net. TXT "here" |  | '),
        ("host.moved.net", "A", "NOERROR AA | moved.net. DNAME new.foo.com., host.moved.net. CNAME host.new.foo.com., "
                                "host.new.foo.com. A 10.0.0.2 |  | "),
        # names that grow too long (RFC 6672 §2.2)
        (f"{LONG}.far.foo.com", "A", f"YXDOMAIN AA | far.foo.com. DNAME {'x.' * 20}new.foo.com. |  | "),
        # a wildcard's DNAME redirects nothing that the wildcard stands for (RFC 6672 §3.3)
        ("a.wild.foo.com", "DNAME", "NOERROR AA | a.wild.foo.com. DNAME new.foo.com. |  | "),
        ("host.a.wild.foo.com", "A", f"NOERROR AA |  | {SOA_TEXT} | "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_answers(authority: Authority, name: str, rdtype: str, expected: str, stream: bool) -> None:
    assert show(ask(authority, name, rdtype, stream)) == expected


def test_a_dname_that_leads_into_itself_ends(authority: Authority) -> None:
    message = ask(authority, "a.loop.foo.com", "A", stream=True)
    assert message.rcode() == Rcode.NOERROR
    assert [rrset.rdtype for rrset in message.answer] == [RdataType.DNAME] + [RdataType.CNAME] * 9


def test_the_alias_has_the_ttl_of_the_dname(authority: Authority) -> None:
    assert {rrset.ttl for rrset in ask(authority, "host.old.foo.com").answer} == {2 * 86400}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("old DNAME new\nx.old A 10.0.0.1\n", "x.old.foo.com: expected no names below a DNAME record"),
        ("old DNAME new\nx.old NS dns\ny.x.old A 10.0.0.1\n", "x.old.foo.com: expected no names below a DNAME record"),
        ("@ DNAME new.org.\n", "dns.foo.com: expected no names below a DNAME record"),
        ("old DNAME new\nold NS dns\n", "old.foo.com: expected no DNAME record beside a delegation"),
        ("old DNAME new\nold CNAME dns\n", "CNAME"),
    ],
)
def test_zones_that_are_refused(text: str, expected: str) -> None:
    with pytest.raises(ZoneError, match=expected):
        Zone.from_text("foo.com", SOA + "@ NS dns\ndns A 10.0.0.1\n" + text)


def test_what_a_transfer_brings_below_a_dname_is_hidden() -> None:
    read = Zone.from_text("foo.com", SOA + "@ NS dns\ndns A 10.0.0.1\nx.old A 10.0.0.3\ny.x.old A 10.0.0.3\n")
    extra = Zone.from_text("foo.com", SOA + "@ NS dns\nold DNAME new\n").nodes[dns.name.from_text("old.foo.com")]
    zone = Zone(read.origin, [*read, *extra.rrsets.values()])
    expected = "NXDOMAIN AA | old.foo.com. DNAME new.foo.com., {0}.old.foo.com. CNAME {0}.new.foo.com. | " + SOA_TEXT + " | "
    for name in ("x", "y.x"):
        assert show(ask(Authority([zone], fixed), f"{name}.old.foo.com")) == expected.format(name)
    shown = zone.with_names({dns.name.from_text("old.foo.com"): []})
    assert show(ask(Authority([shown], fixed), "y.x.old.foo.com")) == "NOERROR AA | y.x.old.foo.com. A 10.0.0.3 |  | "
    hidden = shown.with_names({dns.name.from_text("old.foo.com"): list(extra.rrsets.values())})
    assert show(ask(Authority([hidden], fixed), "x.old.foo.com")) == expected.format("x")


def update_of(*changes: tuple[str, str, str]) -> bytes:
    made = dns.message.from_text(
        "id 1\nopcode UPDATE\n;ZONE\nfoo.com. IN SOA\n;UPDATE\n" + "\n".join(map(" ".join, changes))
    )
    return made.to_wire()


def after_update(zone: Zone, update: Update) -> Zone:
    found = apply(zone, update, lambda name, rdtype: True)
    return zone if found is None else changed(zone, [found])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("x.old.foo.com.", "300 IN A", "10.0.0.1"), None),  # RFC 6672 §5.2
        (("old.foo.com.", "300 IN DNAME", "newer.foo.com."), ["newer.foo.com."]),
        (("old.foo.com.", "300 IN CNAME", "host.new.foo.com."), ["new.foo.com."]),
        (("sub.foo.com.", "300 IN DNAME", "new.foo.com."), None),
    ],
)
def test_updates(change: tuple[str, str, str], expected: list[str] | None) -> None:
    zone = Zone.from_text("foo.com", SOA + ZONE)
    update = parse_update(update_of(change))
    if expected is None:
        with pytest.raises((Refused, ZoneError)):
            after_update(zone, update)
        return
    after = after_update(zone, update)
    rrset = after.nodes[dns.name.from_text("old.foo.com")].rrsets[RdataType.DNAME]
    assert [str(rdata.target) for rdata in rrset] == expected


# The resolver

NEW = "@ NS dns\ndns A 10.0.0.5\nhost A 10.1.0.1\nother A 10.1.0.2\n"
LEADS = (
    f"@ NS dns\ndns A 10.0.0.4\nold DNAME new.edu.\nfar DNAME {'x.' * 20}new.edu.\nself DNAME x.self\nwww CNAME host.old\n"
)


def internet(change: Callable[[Message], object] | None = None, **options: object) -> Internet:
    root = "@ NS a.root-servers.net.\na.root-servers.net. A 10.0.0.1\nedu. NS a.edu.\na.edu. A 10.0.0.2\n"
    edu = "@ NS a\na A 10.0.0.2\numass NS dns.umass\ndns.umass A 10.0.0.4\nnew NS dns.new\ndns.new A 10.0.0.5\n"
    servers: dict[str, Answer] = {
        "10.0.0.1": server((".", root)),
        "10.0.0.2": server(("edu", edu)),
        "10.0.0.4": server(("umass.edu", LEADS)),
        "10.0.0.5": server(("new.edu", NEW)),
    }
    honest = servers["10.0.0.4"]

    def changed(data: bytes, stream: bool) -> bytes | None:
        reply = honest(data, stream)
        if not isinstance(reply, bytes) or change is None:
            return None
        message = dns.message.from_wire(reply)
        change(message)
        return message.to_wire()

    if change is not None:
        servers["10.0.0.4"] = changed
    return Internet(servers, **options)


def lines(outcome: object) -> list[str]:
    return [f"{rrset.name} {rrset.rdtype.name} {rrset[0]}" for rrset in outcome.answer]  # type: ignore[attr-defined]


HOST = [
    "old.umass.edu. DNAME new.edu.",
    "host.old.umass.edu. CNAME host.new.edu.",
    "host.new.edu. A 10.1.0.1",
]


@pytest.mark.parametrize("hardening", [Hardening(), HARDENED])
def test_the_resolver_follows_and_remembers(hardening: Hardening) -> None:
    net = internet(hardening=hardening)
    assert lines(net.resolve("host.old.umass.edu")) == HOST
    net.log.clear()
    assert lines(net.resolve("host.old.umass.edu")) == HOST
    assert net.log == []
    found = net.resolve("other.old.umass.edu")  # by the DNAME that is known (RFC 6672 §3.4.1)
    assert lines(found) == [HOST[0], "other.old.umass.edu. CNAME other.new.edu.", "other.new.edu. A 10.1.0.2"]
    assert {address for address, _ in net.log} == {"10.0.0.5"}
    assert lines(net.resolve("old.umass.edu", "DNAME")) == HOST[:1]
    assert lines(net.resolve("x.old.umass.edu", "CNAME")) == [HOST[0], "x.old.umass.edu. CNAME x.new.edu."]
    assert lines(net.resolve("www.umass.edu")) == ["www.umass.edu. CNAME host.old.umass.edu.", *HOST]
    net.now += 1000
    assert {2 * 86400 - rrset.ttl for rrset in net.resolve("host.old.umass.edu").answer} <= {1000, 1001}


@pytest.mark.parametrize("hardening", [Hardening(), HARDENED])
def test_the_resolver_says_when_names_grow_too_long(hardening: Hardening) -> None:
    for _ in range(2):
        outcome = internet(hardening=hardening).resolve(f"{LONG}.far.umass.edu")
        assert outcome.rcode == Rcode.YXDOMAIN
        assert lines(outcome) == [f"far.umass.edu. DNAME {'x.' * 20}new.edu."]


def test_the_resolver_ends_where_a_dname_leads_into_itself() -> None:
    assert internet().resolve("a.self.umass.edu").rcode == Rcode.SERVFAIL


def test_an_expired_dname_is_better_than_no_answer() -> None:
    net = internet(hardening=Hardening(serve_stale=True))
    assert lines(net.resolve("host.old.umass.edu")) == HOST
    net.servers.clear()
    net.now += 2 * 86400 + 60
    outcome = net.resolve("host.old.umass.edu")
    assert (lines(outcome), outcome.error and outcome.error.code) == (HOST, 3)
    assert {rrset.ttl for rrset in outcome.answer} == {30}


def lie(message: Message) -> None:
    """The CNAME leads elsewhere than the DNAME says."""
    for rrset in message.answer:
        if rrset.rdtype == RdataType.CNAME:
            rrset.items = {dns.rdata.from_text("IN", "CNAME", "evil.edu."): None}


def without_alias(message: Message) -> None:
    """As servers answered that kept RFC 2672 to the letter."""
    message.answer = [rrset for rrset in message.answer if rrset.rdtype == RdataType.DNAME]


def above(message: Message) -> None:
    """A DNAME of a zone that the server does not serve."""
    message.answer = [dns.rrset.from_text("edu.", 300, "IN", "DNAME", "evil.")]


def too_long(message: Message) -> None:
    message.answer = []
    message.set_rcode(Rcode.YXDOMAIN)


@pytest.mark.parametrize(
    ("change", "expected"), [(lie, HOST), (without_alias, HOST), (above, []), (too_long, [])]
)  # fmt: skip
def test_what_servers_make_of_a_dname_is_not_believed(change: Callable[[Message], object], expected: list[str]) -> None:
    outcome = internet(change).resolve("host.old.umass.edu")
    assert lines(outcome) == expected


def test_a_forwarder_follows_too() -> None:
    servers = internet().servers
    inner = internet()

    def recursive(data: bytes, stream: bool) -> bytes:
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        outcome = inner.resolve(str(query.question[0].name), query.question[0].rdtype.name)
        reply.set_rcode(outcome.rcode)
        reply.answer = list(outcome.answer)
        lie(reply)
        return reply.to_wire()

    net = Internet({**servers, "10.0.0.9": recursive}, forward={dns.name.root: ["10.0.0.9"]})
    assert lines(net.resolve("host.old.umass.edu")) == HOST
    assert net.resolve(f"{LONG}.far.umass.edu").rcode == Rcode.YXDOMAIN


# DNSSEC


def signed_internet(denial: Denial, change: Callable[[Message], object] | None = None) -> Internet:
    def of(origin: str, text: str) -> Answer:
        authority = Authority([sign(Zone.from_text(origin, SOA + text), keys(origin), Policy(denial), NOW)], fixed)

        def answer(data: bytes, stream: bool) -> bytes | None:
            reply = authority.answer(data, stream)
            if reply is None or change is None or origin != "umass.edu":
                return None if reply is None else reply.data
            message = dns.message.from_wire(reply.data)
            change(message)
            return message.to_wire()

        return answer

    root = (
        "@ NS a.root-servers.net.\na.root-servers.net. A 10.0.0.1\numass.edu. NS dns.umass.edu.\n"
        "dns.umass.edu. A 10.0.0.4\nnew.edu. NS dns.new.edu.\ndns.new.edu. A 10.0.0.5\n"
    )
    ds = [*anchors(keys("umass.edu")), *anchors(keys("new.edu"))]
    servers = {
        "10.0.0.1": of(".", root + "\n".join(ds)),
        "10.0.0.4": of("umass.edu", LEADS),
        "10.0.0.5": of("new.edu", NEW),
    }
    return Internet(servers, anchors=anchors(keys(".")), wall=NOW, hardening=HARDENED)


@pytest.mark.parametrize("denial", DENIALS)
def test_a_signed_dname_is_secure(denial: Denial) -> None:
    net = signed_internet(denial)
    for asked, rcode in (
        ("host.old.umass.edu", Rcode.NOERROR),
        ("www.umass.edu", Rcode.NOERROR),
        ("nowhere.old.umass.edu", Rcode.NXDOMAIN),
        ("old.umass.edu", Rcode.NOERROR),
        (f"{LONG}.far.umass.edu", Rcode.YXDOMAIN),
    ):
        outcome = net.resolve(asked)
        assert (outcome.rcode, outcome.secure) == (rcode, True), (asked, outcome.error)
    assert lines(net.resolve("host.old.umass.edu")) == HOST
    assert net.resolve("host.old.umass.edu", "DS").secure
    assert signed_internet(denial).resolve("nowhere.old.umass.edu", "CNAME").secure


def unsigned(message: Message) -> None:
    message.answer = [rrset for rrset in message.answer if rrset.rdtype != RdataType.RRSIG]


def moved(message: Message) -> None:
    for rrset in message.answer:
        if rrset.rdtype == RdataType.DNAME:
            rrset.items = {dns.rdata.from_text("IN", "DNAME", "evil.edu."): None}


@pytest.mark.parametrize("change", [unsigned, moved])
def test_a_forged_dname_is_bogus(change: Callable[[Message], object]) -> None:
    outcome = signed_internet("nsec", change).resolve("host.old.umass.edu")
    assert (outcome.rcode, outcome.secure) == (Rcode.SERVFAIL, False)


def test_signatures_of_a_dname_are_given_to_those_who_ask() -> None:
    zone = sign(Zone.from_text("umass.edu", SOA + LEADS), keys("umass.edu"), Policy("nsec"), NOW)
    message = ask(Authority([zone], fixed), "host.old.umass.edu", "A", True, want_dnssec=True)
    assert [(rrset.rdtype, rrset.covers) for rrset in message.answer] == [
        (RdataType.DNAME, RdataType.NONE),
        (RdataType.RRSIG, RdataType.DNAME),
        (RdataType.CNAME, RdataType.NONE),
    ]
