"""A signed zone that changes: what is signed anew is what the whole zone's signing would make, and no more than that."""

from typing import Any

import dns.dnssec
import dns.name
import dns.rdata
import pytest
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.dns.dnssec.mending import mend
from netstack.dns.dnssec.signatures import due
from netstack.dns.dnssec.signer import DENIALS, Denial, Policy, Signing, sign, unsigned
from netstack.dns.history import Record, changed, difference, rrsets_of
from netstack.dns.serial import serial_of
from netstack.dns.zone import Zone, ZoneError
from tests.dns.dnssec.signed import NOW, ZONE, keys, signed_zone

UMASS = dns.name.from_text("umass.edu")
SIGNED = {denial: signed_zone("umass.edu", denial=denial) for denial in DENIALS}
DATA = {
    "A": "10.9.0.1", "TXT": "text", "NS": "ns.elsewhere.org.", "MX": "10 mail", "DS": "4711 13 2 " + "AB" * 32,
    "AAAA": "2001:db8::9", "DNAME": "old.example.",
}  # fmt: skip


def rrset(name: str, rdtype: str) -> Any:
    rdata = dns.rdata.from_text(RdataClass.IN, rdtype, DATA[rdtype], UMASS, False)
    return rrsets_of([Record(dns.name.from_text(name, UMASS), 300, rdata)])[0]


def draft_of(zone: Zone, changes: list[tuple[str, str, bool]]) -> tuple[Zone, set[dns.name.Name]]:
    """The zone with RRsets put in place (True) or taken away, its signatures as they were."""
    names: dict[dns.name.Name, dict[Any, Any]] = {}
    for name, rdtype, put in changes:
        owner = dns.name.from_text(name, UMASS)
        held = names.setdefault(owner, {(each.rdtype, each.covers): each for each in zone.rrsets_at(owner)})
        if any(kind[0] == RdataType.CNAME for kind in held) or (owner == UMASS and rdtype == "NS"):
            continue
        held.pop((RdataType.from_text(rdtype), RdataType.NONE), None)
        if put:
            made = rrset(name, rdtype)
            held[made.rdtype, made.covers] = made
    return zone.with_names({name: list(held.values()) for name, held in names.items()}), set(names)


def content(zone: Zone) -> set[str]:
    """All but what depends on the time: signatures by what they cover."""
    return {
        f"{each.name} rrsig {each.covers.name} {each.ttl}".lower() if each.rdtype == RdataType.RRSIG else str(each).lower()
        for each in zone
        if each.rdtype != RdataType.SOA
    }


def check(zone: Zone, wall: float) -> None:
    keys_there = zone.nodes[zone.origin].rrsets[RdataType.DNSKEY]
    for nodes in (zone.nodes, zone.hashed):
        for node in nodes.values():
            for covers, signature in node.signatures.items():
                dns.dnssec.validate(node.rrsets[covers], signature, {zone.origin: keys_there}, now=wall)


NAMES = st.sampled_from(
    ["", "new", "a.new", "x.a.new", "mail", "b.c", "c", "a.b.c", "cs", "www", "phys", "dns.phys", "z.phys", "safe", "*.wild",
     "*.new", "gaia.cs", "far.off", "off", "UPPER.case", "0", "zzz"]
)  # fmt: skip
CHANGES = st.lists(st.tuples(NAMES, st.sampled_from(sorted(DATA)), st.booleans()), max_size=6)


@settings(max_examples=35, deadline=None)
@given(denial=st.sampled_from(DENIALS), steps=st.lists(CHANGES, min_size=1, max_size=3))
def test_a_mended_zone_is_the_signed_one(denial: Denial, steps: list[list[tuple[str, str, bool]]]) -> None:
    zone, policy = SIGNED[denial], Policy(denial)
    signing = Signing.of(keys("umass.edu"), policy)
    for at, changes in enumerate(steps):
        try:
            draft, touched = draft_of(zone, changes)
        except ZoneError:  # NS and DNAME of one name
            continue
        found = mend(zone, draft, touched, signing, NOW + at)
        whole = sign(unsigned(draft), keys("umass.edu"), policy, NOW)
        if found is None:
            assert content(zone) == content(whole)
            continue
        before, zone = zone, changed(zone, [found])
        assert serial_of(zone.soa) == serial_of(before.soa) + 1
        assert content(zone) == content(whole)
        assert set(zone.nodes) == set(whole.nodes)
        assert list(zone.order) == sorted(zone.nodes)
        assert {name: node.cut for name, node in zone.nodes.items()} == {
            name: node.cut for name, node in whole.nodes.items()
        }
        exact = difference(before, zone)
        assert set(found.deleted) == set(exact.deleted)
        assert set(found.added) == set(exact.added)
    check(zone, NOW + len(steps))


@pytest.mark.parametrize("denial", DENIALS)
def test_only_what_a_change_touches_is_signed_anew(denial: Denial) -> None:
    text = ZONE + "".join(f"h{number} A 10.2.{number // 256}.{number % 256}\n" for number in range(300))
    zone = signed_zone("umass.edu", text, denial)
    signing = Signing.of(keys("umass.edu"), Policy(denial))
    for changes, most in [
        ([("h7", "TXT", True)], 3),  # the RRset, the name's denial, the SOA
        ([("h7x", "A", True)], 4),  # and the denial before it
        ([("h7", "A", False)], 2),
    ]:
        draft, touched = draft_of(zone, changes)
        found = mend(zone, draft, touched, signing, NOW + 60)
        assert found is not None
        signatures = [each for each in found.added if each.rdtype == RdataType.RRSIG]
        assert len(signatures) == most
        zone = changed(zone, [found])
    check(zone, NOW + 60)


@pytest.mark.parametrize("denial", DENIALS)
def test_a_change_of_the_negative_ttl_makes_the_chain_anew(denial: Denial) -> None:
    zone = SIGNED[denial]
    text = ZONE.replace("ADDRESS", "10.1.0.8").replace("2w 1h", "2w 2h").replace(" 7 2h", " 8 2h")
    found = mend(zone, Zone.from_text("umass.edu", text), (), Signing.of(keys("umass.edu"), Policy(denial)), NOW)
    assert found is not None
    new = changed(zone, [found])
    assert content(new) == content(sign(new, keys("umass.edu"), Policy(denial), NOW))
    chain = [each for each in new if each.rdtype in (RdataType.NSEC, RdataType.NSEC3)]
    assert {each.ttl for each in chain} == {7200}
    check(new, NOW)


@pytest.mark.parametrize("denial", DENIALS)
def test_signatures_are_renewed_a_few_at_a_time(denial: Denial) -> None:
    """Those that end first come first; by half of the validity all have been, and none was ever too old."""
    zone, policy = SIGNED[denial], Policy(denial)
    signing = Signing.of(keys("umass.edu"), policy)
    tags = {key.tag: frozenset({True, False}) for key in keys("umass.edu")}
    wall, steps = NOW, 0
    total = sum(1 for each in zone if each.rdtype == RdataType.RRSIG)
    while wall < NOW + policy.validity:
        found = due(zone, wall, wall + policy.validity / 4, tags)
        assert not found.dead
        if not found.now:
            wall = found.next - policy.validity / 4
            continue
        some = found.now[:5]
        made = mend(zone, zone, (), signing, wall, some)
        assert made is not None
        assert sum(1 for each in made.added if each.rdtype == RdataType.RRSIG) <= len(some) + 1
        zone = changed(zone, [made])
        steps += 1
    assert total / 5 <= steps < 3 * total
    check(zone, wall)
    assert content(zone) == content(SIGNED[denial])


def test_a_clock_that_was_set_back_makes_signatures_due() -> None:
    tags = {key.tag: frozenset({True, False}) for key in keys("umass.edu")}
    found = due(SIGNED["nsec"], NOW - 86400, NOW, tags)
    assert found.dead == len(found.now) == sum(1 for each in SIGNED["nsec"] if each.rdtype == RdataType.RRSIG)
