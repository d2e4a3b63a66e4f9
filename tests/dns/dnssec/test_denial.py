"""What denials prove: all that is true, nothing that is not, and at a bounded cost."""

import dns.dnssec
import dns.name
import dns.rdata
import pytest
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.dnssec.denial import Denial, ManyIterations
from netstack.dns.dnssec.evidence import DENIALS as DENIAL_TYPES
from netstack.dns.dnssec.evidence import evidence
from netstack.dns.dnssec.signer import DENIALS
from netstack.dns.dnssec.verify import KEYS_PER_TAG, SIGNATURES, Bogus, Effort, signatures_of, verify
from netstack.dns.zone import Alias, Delegation, Found, Zone
from tests.dns.dnssec.signed import NOW, ask, authority, keys, signed_zone

ORIGIN = dns.name.from_text("umass.edu")
TYPES = [RdataType.A, RdataType.MX, RdataType.NS, RdataType.DS, RdataType.TXT, RdataType.SOA]
SIGNED: dict[str, Zone] = {denial: signed_zone("umass.edu", denial=denial) for denial in DENIALS}
SERVERS = {denial: authority(zone) for denial, zone in SIGNED.items()}


def chain(zone: Zone) -> list[RRset]:
    """Every denial that the zone has."""
    return [rrset for rrset in zone if rrset.rdtype in DENIAL_TYPES]


def denial(zone: Zone, records: list[RRset] | None = None, effort: Effort | None = None) -> Denial:
    return Denial(ORIGIN, chain(zone) if records is None else records, effort or Effort(hashes=100_000))


names = st.lists(
    st.sampled_from(
        ["a", "b", "c", "www", "wild", "y", "z", "x", "cs", "gaia", "phys", "safe", "dns", "0", "*", "far", "off", "zz"]
    ),
    max_size=4,
).map(lambda labels: Name([*(label.encode() for label in labels), *ORIGIN.labels]))


@given(kind=st.sampled_from(DENIALS), name=names, rdtype=st.sampled_from(TYPES))
def test_nothing_that_is_there_can_be_denied(kind: str, name: Name, rdtype: RdataType) -> None:
    """With the whole chain at hand: whoever forges may choose any records of it."""
    zone = SIGNED[kind]
    result = zone.lookup(name, rdtype)
    judge = denial(zone)
    if isinstance(result, Found | Alias):
        assert not judge.no_data(name, rdtype)
        assert not judge.no_name(name)
    if isinstance(result, Delegation):
        assert not judge.no_name(name)
        if rdtype != RdataType.DS:
            assert not judge.no_data(name, rdtype)
        assert judge.cut(result.cut) != "none"
    if name in zone.nodes and zone.nodes[name].cut is None:
        assert not judge.no_name(name)
        assert not judge.no_closer(name, len(name) - 2)


@given(kind=st.sampled_from(DENIALS), name=names, rdtype=st.sampled_from(TYPES))
def test_replies_bring_what_proves_them(kind: str, name: Name, rdtype: RdataType) -> None:
    reply = ask(SERVERS[kind], f"{name} {rdtype.name}")
    records = [rrset for rrset in evidence(reply) if rrset.rdtype in DENIAL_TYPES]
    judge = denial(SIGNED[kind], records, Effort())
    if reply.answer or (name == ORIGIN and rdtype == RdataType.DS):
        return  # of a zone's own DS records its parent speaks
    if reply.rcode() == Rcode.NXDOMAIN:
        assert judge.no_name(name)
    elif any(rrset.rdtype == RdataType.SOA for rrset in reply.authority):
        assert judge.no_data(name, rdtype)
    elif not any(rrset.rdtype == RdataType.DS for rrset in reply.authority):
        assert judge.cut(reply.authority[0].name) == "insecure"


def with_fields(rrset: RRset, **fields: object) -> RRset:
    copy = RRset(rrset.name, rrset.rdclass, rrset.rdtype)
    copy.items = dict.fromkeys([rrset[0].replace(**fields)])
    return copy


def test_opt_out_proves_less() -> None:
    records = [with_fields(rrset, flags=1) for rrset in chain(SIGNED["nsec3"]) if rrset.rdtype == RdataType.NSEC3]
    nowhere = dns.name.from_text("nowhere.umass.edu")
    judge = denial(SIGNED["nsec3"], records)
    assert judge.no_name(nowhere)
    assert judge.opt_out
    assert judge.cut(nowhere) == "insecure", "a delegation may hide there"
    strict = denial(SIGNED["nsec3"])
    assert strict.no_name(nowhere)
    assert not strict.opt_out
    assert strict.cut(nowhere) == "none"


def test_many_iterations_are_not_done() -> None:
    records = [with_fields(rrset, iterations=51) for rrset in chain(SIGNED["nsec3"]) if rrset.rdtype == RdataType.NSEC3]
    with pytest.raises(ManyIterations):
        denial(SIGNED["nsec3"], records)


def test_hashing_is_bounded() -> None:
    """A name of many labels, below a zone that asks for many hashes of each (CVE-2023-50868)."""
    records = [with_fields(rrset, iterations=50) for rrset in chain(SIGNED["nsec3"]) if rrset.rdtype == RdataType.NSEC3]
    effort = Effort()
    judge = denial(SIGNED["nsec3"], records, effort)
    with pytest.raises(Bogus, match="too many names to hash"):
        judge.no_name(Name([*[b"x"] * 110, *ORIGIN.labels]))
    assert effort.hashes < 0


def test_keys_with_one_tag_and_many_signatures_are_bounded() -> None:
    """KeyTrap (CVE-2023-50387): every signature would fit every key."""
    zone = SIGNED["nsec"]
    apex = zone.nodes[ORIGIN]
    (good,) = keys("umass.edu")
    wanted, data = good.tag, good.record.key
    colliding = []
    for number in range(100):  # moving octets by an even distance keeps their sum, hence the tag (RFC 4034 appendix B)
        first, last = data[number % 30], data[number % 30 + 32]
        if first == last:
            continue
        moved = bytearray(data)
        moved[number % 30], moved[number % 30 + 32] = last, first
        moved[30 + number % 2], moved[62 + number % 2] = data[62 + number % 2], data[30 + number % 2]
        colliding.append(good.record.replace(key=bytes(moved)))
    assert {dns.dnssec.key_id(key) for key in colliding} == {wanted}
    (signature,) = apex.signatures[RdataType.A]
    forged = [signature.replace(signature=bytes([n]) + signature.signature[1:]) for n in range(100)]
    came = RRset(ORIGIN, signature.rdclass, RdataType.RRSIG)
    came.items = dict.fromkeys(forged)
    effort = Effort(signatures=1000)
    with pytest.raises(Bogus, match="is wrong"):
        verify(apex.rrsets[RdataType.A], signatures_of([came], ORIGIN, RdataType.A), ORIGIN, colliding, NOW, effort)
    assert 1000 - effort.signatures == KEYS_PER_TAG * SIGNATURES
    with pytest.raises(Bogus, match="too many signatures"):
        verify(apex.rrsets[RdataType.A], forged, ORIGIN, colliding, NOW, Effort())
