"""Dynamic updates in memory: the tables of RFC 2136 §2.4, §2.5 and §3, policies, and whatever octets come."""

from collections.abc import Callable

import dns.name
import dns.rdatatype
import dns.update
import pytest
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.dns.access import Access, Grant, UpdatePolicy
from netstack.dns.authority import Authority, Reply
from netstack.dns.history import changed
from netstack.dns.nameserver import Nameserver, Plain
from netstack.dns.serial import serial_of
from netstack.dns.tsig import Key
from netstack.dns.update import Refused, apply, only_delegations, parse_update
from netstack.dns.wire import MalformedMessage
from netstack.dns.zone import Zone
from netstack.sansio import Now

ZONE = Zone.from_text(
    "umass.edu",
    "$TTL 2d\n@ SOA dns h 10 2h 1h 2w 1h\n@ NS dns\n@ MX 5 mail\n"
    "dns A 10.0.0.1\nmail A 10.0.0.2\nmail A 10.0.0.3\nmail TXT x\nwww CNAME mail\n",
)
Build = Callable[[dns.update.UpdateMessage], object]


def everybody(name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> bool:
    return True


def wire(*builds: Build) -> bytes:
    message = dns.update.UpdateMessage("umass.edu")
    for build in builds:
        build(message)
    return message.to_wire()


def after(*builds: Build, zone: Zone = ZONE) -> list[str]:
    """The records that are other than before, gone ones with a minus."""
    found = apply(zone, parse_update(wire(*builds)), everybody)
    if found is None:
        return []
    new = changed(zone, [found])
    before = {line for rrset in zone for line in rrset.to_text().splitlines()}
    now = {line for rrset in new for line in rrset.to_text().splitlines()}
    lines = [f"-{line}" for line in before - now] + [f"+{line}" for line in now - before]
    return sorted(line.replace(" IN", "").replace(".umass.edu.", "") for line in lines if " SOA " not in line)


def refusal(*builds: Build) -> Rcode:
    with pytest.raises(Refused) as raised:
        apply(ZONE, parse_update(wire(*builds)), everybody)
    return raised.value.rcode


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda m: m.add("new", 60, "A", "10.9.9.9"), ["+new 60 A 10.9.9.9"]),
        (lambda m: m.add("mail", 172800, "A", "10.0.0.4"), ["+mail 172800 A 10.0.0.4"]),
        (lambda m: m.add("mail", 172800, "A", "10.0.0.2"), []),
        (lambda m: m.add("mail", 60, "TXT", "x"), ['+mail 60 TXT "x"', '-mail 172800 TXT "x"']),
        (lambda m: m.add("www", 60, "A", "10.0.0.4"), []),  # data beside a CNAME is left out in silence
        (lambda m: m.add("mail", 60, "CNAME", "dns"), []),
        (lambda m: m.add("www", 172800, "CNAME", "dns"), ["+www 172800 CNAME dns", "-www 172800 CNAME mail"]),
        (lambda m: m.delete("mail"), ["-mail 172800 A 10.0.0.2", "-mail 172800 A 10.0.0.3", '-mail 172800 TXT "x"']),
        (lambda m: m.delete("mail", "A"), ["-mail 172800 A 10.0.0.2", "-mail 172800 A 10.0.0.3"]),
        (lambda m: m.delete("mail", "A", "10.0.0.2"), ["-mail 172800 A 10.0.0.2"]),
        (lambda m: m.delete("mail", "A", "10.0.0.99"), []),
        (lambda m: m.delete("nobody"), []),
        (lambda m: m.delete("@"), ["-umass.edu. 172800 MX 5 mail"]),  # SOA and NS stay
        (lambda m: m.delete("@", "NS"), []),
        (lambda m: m.delete("@", "NS", "dns"), []),  # the last one
        (lambda m: m.delete("@", "SOA"), []),
    ],
)  # fmt: skip
def test_changes(build: Build, expected: list[str]) -> None:
    assert after(build) == expected


def test_the_order_of_changes_counts() -> None:
    assert after(lambda m: m.add("a", 60, "A", "10.1.1.1"), lambda m: m.delete("a")) == []
    assert after(lambda m: m.replace("mail", 172800, "A", "10.0.0.2")) == ["-mail 172800 A 10.0.0.3"]
    two = after(lambda m: m.add("@", 172800, "NS", "ns2"), lambda m: m.delete("@", "NS", "dns"))
    assert two == ["+umass.edu. 172800 NS ns2", "-umass.edu. 172800 NS dns"]


def test_the_serial_goes_up_with_every_change() -> None:
    def serial(*builds: Build) -> int | None:
        found = apply(ZONE, parse_update(wire(*builds)), everybody)
        return None if found is None else serial_of(found.new)

    assert serial(lambda m: m.add("new", 60, "A", "10.9.9.9")) == 11
    assert serial(lambda m: m.delete("nobody")) is None
    soa = "dns h {} 7200 3600 1209600 3600"
    assert serial(lambda m: m.add("@", 172800, "SOA", soa.format(4000))) == 4000
    assert serial(lambda m: m.add("@", 172800, "SOA", soa.format(9))) is None
    both = (lambda m: m.add("@", 172800, "SOA", soa.format(20)), lambda m: m.add("new", 60, "A", "10.9.9.9"))
    assert serial(*both) == 20


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda m: m.present("mail"), None),
        (lambda m: m.present("nobody"), Rcode.NXDOMAIN),
        (lambda m: m.absent("nobody"), None),
        (lambda m: m.absent("mail"), Rcode.YXDOMAIN),
        (lambda m: m.present("mail", "A"), None),
        (lambda m: m.present("mail", "MX"), Rcode.NXRRSET),
        (lambda m: m.absent("mail", "MX"), None),
        (lambda m: m.absent("mail", "A"), Rcode.YXRRSET),
        (lambda m: [m.present("mail", "A", "10.0.0.3"), m.present("mail", "A", "10.0.0.2")], None),
        (lambda m: m.present("mail", "A", "10.0.0.2"), Rcode.NXRRSET),
        (lambda m: m.present("mail", "A", "10.0.0.2", "10.0.0.9"), Rcode.NXRRSET),
        (lambda m: m.present("nobody", "A", "10.0.0.2"), Rcode.NXRRSET),
        (lambda m: m.present("elsewhere.org."), Rcode.NOTZONE),
    ],
)
def test_prerequisites(build: Build, expected: Rcode | None) -> None:
    change: Build = lambda m: m.add("new", 172800, "A", "10.9.9.9")  # noqa: E731
    if expected is None:
        assert after(build, change) == ["+new 172800 A 10.9.9.9"]
    else:
        assert refusal(build, change) == expected


def raw(section: int, rdtype: int, rdclass: int, ttl: int, rdata: bytes, name: bytes = b"\3new\xc0\x0c") -> bytes:
    """An update of one record, whatever it is; section 1 is the prerequisites."""
    counts = [1, *(1 if number == section else 0 for number in (1, 2)), 0]
    head = b"\0\7\x28\0" + b"".join(count.to_bytes(2, "big") for count in counts)
    fixed = rdtype.to_bytes(2, "big") + rdclass.to_bytes(2, "big") + ttl.to_bytes(4, "big")
    return head + b"\5umass\3edu\0\0\6\0\1" + name + fixed + len(rdata).to_bytes(2, "big") + rdata


ANY, NONE, IN, CH = RdataClass.ANY, RdataClass.NONE, RdataClass.IN, RdataClass.CH
ADDRESS = b"\12\0\0\1"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (raw(1, 1, ANY, 5, b""), Rcode.FORMERR),
        (raw(1, 1, ANY, 0, ADDRESS), Rcode.FORMERR),
        (raw(1, 1, NONE, 0, ADDRESS), Rcode.FORMERR),
        (raw(1, 1, IN, 0, b""), Rcode.FORMERR),
        (raw(1, 1, CH, 0, b""), Rcode.FORMERR),
        (raw(2, 1, IN, 5, b""), Rcode.FORMERR),
        (raw(2, 255, IN, 5, b""), Rcode.FORMERR),
        (raw(2, 252, ANY, 0, b""), Rcode.FORMERR),
        (raw(2, 1, ANY, 5, b""), Rcode.FORMERR),
        (raw(2, 1, ANY, 0, ADDRESS), Rcode.FORMERR),
        (raw(2, 1, NONE, 5, ADDRESS), Rcode.FORMERR),
        (raw(2, 255, NONE, 0, b""), Rcode.FORMERR),
        (raw(2, 1, CH, 0, ADDRESS), Rcode.FORMERR),
        (raw(2, 1, IN, 5, ADDRESS, b"\3new\3org\0"), Rcode.NOTZONE),
        (raw(2, 46, ANY, 0, b""), Rcode.REFUSED),
    ],
)
def test_updates_that_are_none(data: bytes, expected: Rcode) -> None:
    with pytest.raises(Refused) as raised:
        apply(ZONE, parse_update(data), everybody)
    assert raised.value.rcode == expected


GOOD = raw(2, 1, IN, 5, ADDRESS)


@pytest.mark.parametrize(
    "data",
    [
        GOOD[:4] + b"\0\0" + GOOD[6:],  # no zone, two, or one that is no SOA (RFC 2136 §3.1.1)
        GOOD[:4] + b"\0\2" + GOOD[6:],
        GOOD.replace(b"edu\0\0\6", b"edu\0\0\1"),
        GOOD[:8] + b"\0\2" + GOOD[10:],  # counts that promise more than there is, or less
        GOOD[:8] + b"\xff\xff" + GOOD[10:],
        GOOD[:8] + b"\0\0" + GOOD[10:],
        GOOD[:10] + b"\0\1" + GOOD[12:],
        GOOD + b"\0",
        GOOD[:-1],
        raw(2, 1, IN, 5, ADDRESS[:3]),  # an A record of three octets, a name that is cut off, one that goes on
        raw(2, 2, IN, 5, b"\3dns"),
        raw(2, 1, IN, 5, ADDRESS, b"\xc0\x1b"),  # pointers to themselves, forwards, behind the end
        raw(2, 2, IN, 5, b"\xc0\x30"),
        raw(2, 1, IN, 5, ADDRESS, b"\xff\xff"),
        raw(2, 1, IN, 5, ADDRESS, b"\x40a\0"),  # a label of a kind that there is not (RFC 6891 §5)
        raw(2, 1, IN, 5, ADDRESS, (b"\x3f" + b"a" * 63) * 4 + b"\0"),
        (GOOD[:8] + b"\0\x40" + GOOD[10:])[:12],
    ],
)
def test_updates_that_are_malformed(data: bytes) -> None:
    """RFC 2136 §2.2, §3.1.1: FORMERR, with the id and the opcode of the request."""
    with pytest.raises(MalformedMessage):
        parse_update(data)
    made = Nameserver(Authority([ZONE]), {}, {})
    outcome = made.receive(data, True, "10.0.0.9", Now(0.0, 0.0))
    assert isinstance(outcome, Reply)
    assert outcome.rcode == Rcode.FORMERR
    assert outcome.data[:3] == b"\0\7\xa8"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GOOD.replace(b"\0\6\0\1", b"\0\6\0\3"), Rcode.NOTAUTH),
        (GOOD.replace(b"\5umass", b"\5smith"), Rcode.NOTAUTH),
        (GOOD, Rcode.REFUSED),
        *((GOOD[:2] + bytes([opcode << 3]) + GOOD[3:], Rcode.NOTIMP) for opcode in (1, 2, 3, 6, 15)),
    ],
)
def test_what_the_server_says_of_others(data: bytes, expected: Rcode) -> None:
    made = Nameserver(Authority([ZONE]), {}, {})
    outcome = made.receive(data, True, "10.0.0.9", Now(0.0, 0.0))
    if outcome is Plain.QUESTION:
        reply = made.authority.answer(data, True)
        assert reply is not None
        assert (reply.rcode, reply.data[:2]) == (expected, b"\0\7")
    else:
        assert isinstance(outcome, Reply)
        assert outcome.rcode == expected


def test_nothing_is_done_when_one_part_is_refused() -> None:
    before = sorted(rrset.to_text() for rrset in ZONE)
    assert (
        refusal(lambda m: m.add("new", 60, "A", "10.9.9.9"), lambda m: m.add("x.org.", 60, "A", "10.9.9.9")) == Rcode.NOTZONE
    )
    assert sorted(rrset.to_text() for rrset in ZONE) == before


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40), st.integers(12, 70))
def test_whatever_octets_come(junk: bytes, at: int) -> None:
    good = wire(lambda m: m.present("mail"), lambda m: m.add("new", 60, "A", "10.9.9.9"))
    for data in (good[:12] + junk, good[:at] + junk + good[at + len(junk) :], good[:at]):
        try:
            found = apply(ZONE, parse_update(data), everybody)
        except (MalformedMessage, Refused):
            continue
        if found is not None:
            apex = [rrset for rrset in changed(ZONE, [found]) if rrset.rdtype in (dns.rdatatype.SOA, dns.rdatatype.NS)]
            assert [len(rrset) for rrset in apex if rrset.rdtype == dns.rdatatype.SOA] == [1]
            assert any(rrset.rdtype == dns.rdatatype.NS and rrset.name == ZONE.origin for rrset in apex)


REGISTRAR, HOST = Key.make("registrar", b"x"), Key.make("host.umass.edu", b"y")


@pytest.mark.parametrize(
    ("grant", "key", "name", "rdtype", "expected"),
    [
        ("registrar zone", REGISTRAR, "a.b", "SOA", True),
        ("registrar zone", HOST, "a.b", "A", False),
        ("registrar zone NS DS", REGISTRAR, "a", "NS", True),
        ("registrar zone NS DS", REGISTRAR, "a", "A", False),
        ("registrar subdomain dyn.umass.edu", REGISTRAR, "x.dyn", "A", True),
        ("registrar subdomain dyn.umass.edu", REGISTRAR, "x.dyn", "NS", False),
        ("registrar subdomain dyn.umass.edu NS", REGISTRAR, "x.dyn", "NS", True),
        ("registrar subdomain dyn.umass.edu", REGISTRAR, "dynx", "A", False),
        ("registrar name www.umass.edu", REGISTRAR, "www", "A", True),
        ("registrar name www.umass.edu", REGISTRAR, "x.www", "A", False),
        ("host.umass.edu self", HOST, "host", "A", True),
        ("host.umass.edu self", HOST, "x.host", "A", False),
        ("host.umass.edu selfsub", HOST, "x.host", "TXT", True),
    ],
)
def test_grants(grant: str, key: Key, name: str, rdtype: str, expected: bool) -> None:
    policy = UpdatePolicy([Grant.parse(grant)])
    owner = dns.name.from_text(name, dns.name.from_text("UMass.edu"))
    assert policy.allows(key, owner, dns.rdatatype.from_text(rdtype)) is expected
    assert not policy.allows(None, owner, dns.rdatatype.from_text(rdtype))


@pytest.mark.parametrize("text", ["", "key", "key everything", "key subdomain", "key name a..b", "key zone NOTYPE"])
def test_grants_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Grant.parse(text)


def test_deleting_a_name_needs_the_right_to_all_its_types() -> None:
    policy = UpdatePolicy([Grant.parse("registrar zone A")])
    update = parse_update(wire(lambda m: m.delete("mail")))
    with pytest.raises(Refused, match="TXT"):
        apply(ZONE, update, lambda name, rdtype: policy.allows(REGISTRAR, name, rdtype))
    update = parse_update(wire(lambda m: m.delete("dns")))
    assert apply(ZONE, update, lambda name, rdtype: policy.allows(REGISTRAR, name, rdtype)) is not None


def test_access() -> None:
    access = Access.of(["registrar", "10.0.0.0/8", "2001:db8::/32"])
    assert access.allows(REGISTRAR, "192.0.2.1")
    assert access.allows(None, "10.1.2.3")
    assert access.allows(HOST, "2001:db8::1%eth0")
    assert not access.allows(HOST, "192.0.2.1")
    assert not Access().allows(REGISTRAR, "10.1.2.3")


TLD = Zone.from_text(
    "umass.edu",
    "$TTL 2d\n@ SOA dns h 10 2h 1h 2w 1h\n@ NS dns\ndns A 10.0.0.1\nhost.deep A 10.0.0.2\n"
    "cs NS ns.cs\ncs DS 12345 13 2 " + "aa" * 32 + "\nns.cs A 10.1.0.1\nns.cs AAAA 2001:db8::1\n"
    "old NS ns.old\nns.old A 10.2.0.1\n",
)


def remove_old(message: dns.update.UpdateMessage) -> None:
    message.delete("old", "NS")
    message.delete("ns.old", "A")


@pytest.mark.parametrize(
    ("builds", "allowed"),
    [
        ((lambda m: m.add("new", 60, "NS", "ns.cs"),), True),
        ((lambda m: m.add("new", 60, "NS", "ns.new"), lambda m: m.add("ns.new", 60, "A", "10.3.0.1")), True),
        ((lambda m: m.add("new", 60, "NS", "ns.new"), lambda m: m.add("ns.new", 60, "AAAA", "2001:db8::2")), True),
        ((lambda m: m.add("cs", 172800, "DS", "54321 13 2 " + "bb" * 32),), True),
        ((lambda m: m.delete("cs", "DS"),), True),
        ((lambda m: m.add("ns.cs", 172800, "A", "10.1.0.2"),), True),
        ((remove_old,), True),
        ((lambda m: m.add("@", 60, "NS", "ns.evil."),), False),
        ((lambda m: m.add("@", 60, "A", "10.6.6.6"),), False),
        ((lambda m: m.add("dns", 60, "A", "10.6.6.6"),), False),  # a host of the zone itself
        ((lambda m: m.delete("dns", "A"),), False),
        ((lambda m: m.add("dns", 60, "NS", "ns.evil."),), False),  # would hide it
        ((lambda m: m.add("deep", 60, "NS", "ns.evil."),), False),  # would hide host.deep
        ((lambda m: m.add("lonely", 60, "A", "10.6.6.6"),), False),
        ((lambda m: m.add("lonely", 60, "DS", "1 13 2 " + "aa" * 32),), False),
        ((lambda m: m.add("below.cs", 60, "NS", "ns.evil."),), False),  # not at the cut
        ((lambda m: m.delete("old", "NS"),), False),  # its glue would become a host's address
        ((lambda m: m.add("cs", 60, "MX", "5 ns.cs"),), False),
        ((lambda m: m.add("cs", 60, "TXT", "x"),), False),
    ],
)  # fmt: skip
def test_a_registrar_changes_delegations_and_nothing_else(builds: tuple[Build, ...], allowed: bool) -> None:
    policy = UpdatePolicy([Grant.parse("registrar delegations")])

    def carried_out() -> Zone | None:
        update = parse_update(wire(*builds))
        found = apply(TLD, update, lambda name, rdtype: policy.allows(REGISTRAR, name, rdtype))
        if found is None:
            return None
        after = changed(TLD, [found])
        only_delegations(TLD, after, (*found.deleted, *found.added))
        return after

    if allowed:
        assert carried_out() is not None
    else:
        with pytest.raises(Refused) as raised:
            carried_out()
        assert raised.value.rcode == Rcode.REFUSED


def test_a_grant_of_delegations_leaves_wider_ones_as_they_are() -> None:
    policy = UpdatePolicy([Grant.parse("registrar delegations"), Grant.parse("registrar name dns.umass.edu A")])
    owner = dns.name.from_text("dns.umass.edu")
    assert policy.within_delegations(REGISTRAR, dns.name.from_text("cs.umass.edu"), dns.rdatatype.NS)
    assert not policy.within_delegations(REGISTRAR, owner, dns.rdatatype.A)
    assert policy.within_delegations(REGISTRAR, owner, dns.rdatatype.NS)
    assert not policy.within_delegations(HOST, owner, dns.rdatatype.NS)
    narrower = UpdatePolicy([Grant.parse("registrar delegations NS MX")])
    assert [narrower.allows(REGISTRAR, owner, each) for each in (dns.rdatatype.NS, dns.rdatatype.DS, dns.rdatatype.MX)] == [
        True, False, False,
    ]  # fmt: skip
