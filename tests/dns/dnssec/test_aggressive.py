"""Denials used again (RFC 8198): never another answer than the servers would give, and hardly ever their work."""

from random import Random
from typing import Any

import dns.name
import pytest
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.NSEC3 import NSEC3

from netstack.dns.dnssec.aggressive import Spans
from netstack.dns.dnssec.denial import OPT_OUT
from netstack.dns.dnssec.signer import DENIALS, Denial
from netstack.dns.events import STALE_NXDOMAIN, ExtendedError
from netstack.dns.hardening import TEXTBOOK, hardening
from netstack.dns.limits import ResolverLimits
from netstack.dns.wire import Question
from netstack.dns.zone import Zone
from tests.dns.dnssec.signed import NOW, QUESTIONS, ZONE, signed_zone
from tests.dns.dnssec.test_validator import TRUST, UMASS, internet, servers, zones
from tests.dns.internet import Internet, question

AGGRESSIVE = hardening(TEXTBOOK, ("aggressive-nsec",))
TYPES = ("A", "TXT", "MX", "AAAA", "DS", "NS")


def names(random: Random, number: int) -> list[str]:
    """Questions about names that are there, near those that are, and far from them."""
    known = [asked.replace("ZONE", "umass.edu") for asked in QUESTIONS]
    found = []
    for _ in range(number):
        name, rdtype = random.choice(known).split()
        new = f"n{random.randrange(50)}."
        prefix = random.choice(["", "", "x.", "a.b.", new, f"{new}wild.", "0.", "zz."])
        found.append(f"{prefix}{name} {random.choice([rdtype, *TYPES])}")
    return found


def seen(up: Internet, asked: str) -> tuple[Any, ...]:
    name, rdtype = asked.split()
    if rdtype in ("NSEC", "NSEC3"):
        rdtype = "A"
    outcome = up.resolve(name, rdtype)
    answer = sorted(f"{rrset.name} {rdata}".lower() for rrset in outcome.answer for rdata in rrset)
    soa = None if outcome.soa is None else str(outcome.soa.name)
    return outcome.rcode, answer, soa, outcome.secure


@pytest.mark.parametrize("denial", DENIALS)
def test_answers_are_those_of_a_resolver_that_asks(denial: Denial) -> None:
    """The feature against its absence, for hundreds of questions in any order."""
    ours, theirs = internet(denial, hardening=AGGRESSIVE), internet(denial)
    for asked in names(Random(1), 250):
        assert seen(ours, asked) == seen(theirs, asked), asked
    counts = ours.resolver.counts
    assert counts.synthesised > 60
    assert counts.queries_udp < theirs.resolver.counts.queries_udp - 60


@pytest.mark.parametrize("denial", DENIALS)
def test_a_flood_of_random_names_costs_the_servers_next_to_nothing(denial: Denial) -> None:
    up = internet(denial, hardening=AGGRESSIVE)
    random = Random(7)
    for number in range(400):
        outcome = up.resolve(f"{random.getrandbits(40):x}.umass.edu")
        assert (outcome.rcode, outcome.secure) == (Rcode.NXDOMAIN, True), number
    asked = sum(1 for address, _ in up.log if address == UMASS)
    assert asked < 45, "no more than the zone has spans, its keys and what finds them"
    before = len(up.log)
    for _ in range(100):
        up.resolve(f"{random.getrandbits(40):x}.umass.edu")
    assert len(up.log) - before <= 3


def test_the_proof_that_is_given_holds_for_whoever_validates_for_himself() -> None:
    """What follows from known denials has the signatures with it, as an answer of the servers has."""
    up = internet("nsec", hardening=AGGRESSIVE)
    up.resolve("aaa.umass.edu")
    outcome = up.resolve("aab.umass.edu")
    assert up.resolver.counts.synthesised == 1
    assert {each.rdtype for each in outcome.proof} == {RdataType.NSEC, RdataType.RRSIG}
    assert {each.covers for each in outcome.proof if each.rdtype == RdataType.RRSIG} == {RdataType.SOA, RdataType.NSEC}
    wild = up.resolve("one.wild.umass.edu"), up.resolve("two.wild.umass.edu")
    assert up.resolver.counts.synthesised == 2
    assert [str(outcome.answer[0].name) for outcome in wild] == ["one.wild.umass.edu.", "two.wild.umass.edu."]
    assert wild[0].answer[0][0] == wild[1].answer[0][0]


@pytest.mark.parametrize("denial", DENIALS)
def test_what_is_known_ends_with_its_ttl(denial: Denial) -> None:
    up = internet(denial, hardening=AGGRESSIVE)
    up.resolve("aaa.umass.edu")
    up.now += 1800
    first = up.resolve("aab.umass.edu") if denial == "nsec" else up.resolve("aaa.umass.edu", "TXT")
    if denial == "nsec":
        assert first.soa is not None
        assert first.soa.ttl <= 1800
    up.now += 1801
    before = len(up.log)
    up.resolve("aac.umass.edu")
    assert len(up.log) > before


def test_a_name_that_comes_to_be_is_seen_when_the_denial_ends() -> None:
    made = zones()
    up = Internet(servers(made), anchors=TRUST, wall=NOW, hardening=AGGRESSIVE)
    assert up.resolve("new.umass.edu").rcode == Rcode.NXDOMAIN
    text = ZONE.replace("ADDRESS", UMASS) + "new A 10.9.9.9\n"
    up.servers[UMASS] = servers({"umass.edu": signed_zone("umass.edu", text)})[UMASS]
    assert up.resolve("new.umass.edu").rcode == Rcode.NXDOMAIN
    up.now += 3601
    assert up.resolve("new.umass.edu").rcode == Rcode.NOERROR


def test_a_stale_denial_is_given_and_not_learned_anew() -> None:
    """What has expired is better than no answer (RFC 8767); nothing else follows from it."""
    made = servers(zones())
    up = Internet(dict(made), anchors=TRUST, wall=NOW, hardening=hardening(AGGRESSIVE, ("serve-stale",)))
    up.resolve("aaa.umass.edu")
    up.now += 3700
    up.servers[UMASS] = lambda data, stream: None
    assert up.resolve("aaa.umass.edu").error == ExtendedError(STALE_NXDOMAIN)
    up.servers[UMASS] = made[UMASS]
    before = len(up.log)
    assert up.resolve("aab.umass.edu").rcode == Rcode.NXDOMAIN
    assert len(up.log) > before


def test_bounds() -> None:
    up = internet("nsec", hardening=AGGRESSIVE, limits=ResolverLimits(denials=6))
    random = Random(3)
    for _ in range(60):
        up.resolve(f"{random.getrandbits(40):x}.umass.edu")
        spans = up.resolver.trust.spans
        assert len(spans) <= 6
        assert sum(len(zone.keys) for zone in spans._zones.values()) <= 6
        assert all(len(zone.keys) == len(zone.spans) for zone in spans._zones.values())
    up.resolver.flush()
    assert len(spans) == 0
    assert not spans._zones


def test_hashes_are_bounded() -> None:
    """A question with a hundred labels under a zone with NSEC3 is asked for, not hashed away (KeyTrap)."""
    up = internet("nsec3", hardening=AGGRESSIVE)
    up.resolve("aaa.umass.edu")
    spans: Spans = up.resolver.trust.spans
    long = question(".".join("a" * 100) + ".umass.edu")
    assert spans.answer(long, up.now) is None


def test_spans_with_opt_out_are_not_used() -> None:
    zone: Zone = signed_zone("umass.edu", denial="nsec3")
    spans = Spans(100, 3600)
    soa = zone.nodes[zone.origin]
    spans.soa(zone.origin, zone.soa, soa.signatures[RdataType.SOA][0], 0.0, NOW)
    for name, node in zone.hashed.items():
        rrset = node.rrsets[RdataType.NSEC3].copy()
        record: NSEC3 = rrset[0]
        rrset.items = {record.replace(flags=OPT_OUT): None}
        spans.denial(zone.origin, rrset, node.signatures[RdataType.NSEC3][0], 0.0, NOW)
        assert name.parent() == zone.origin
    assert len(spans) == 1
    assert spans.answer(Question(dns.name.from_text("x.umass.edu"), RdataType.A), 0.0) is None


def test_the_feature_is_a_switch() -> None:
    assert internet().resolver.trust.spans is None
    assert internet(hardening=hardening(AGGRESSIVE, ("no-aggressive-nsec",))).resolver.trust.spans is None
