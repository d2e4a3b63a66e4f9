"""What comes with records to prove them: signatures and denials, picked out of replies and kept beside them; pure."""

from collections.abc import Iterable, Sequence

from dns.message import Message
from dns.name import Name
from dns.rdatatype import RdataType
from dns.rrset import RRset

DENIALS = (RdataType.NSEC, RdataType.NSEC3)
MOST = 64
"""RRsets of one reply that are looked at."""


def evidence(message: Message) -> list[RRset]:
    """All signatures and denials of a reply's answer and authority sections."""
    found = [
        rrset
        for section in (message.answer, message.authority)
        for rrset in section[:MOST]
        if rrset.rdtype == RdataType.RRSIG or rrset.rdtype in DENIALS
    ]
    return found[:MOST]


def of_records(rrset: RRset, found: Sequence[RRset]) -> tuple[RRset, ...]:
    """What proves an RRset: its signatures, and the denials when it was made from a wildcard."""
    signatures = [each for each in found if _covers(each, rrset.name, rrset.rdtype)]
    labels = len(rrset.name) - 1 - rrset.name.is_wild()
    if any(rdata.labels < labels for each in signatures for rdata in each):
        return (*signatures, *_chain(found))
    return tuple(signatures)


def of_absence(soa: RRset | None, found: Sequence[RRset]) -> tuple[RRset, ...]:
    """What proves that something is not there: denials and the signatures over them and over the SOA."""
    signatures = [each for each in found if soa is not None and _covers(each, soa.name, RdataType.SOA)]
    return (*signatures, *_chain(found))


def signed_ttl(rrset: RRset, found: Sequence[RRset]) -> int:
    """The TTL, at most the one that was signed (RFC 4035 §5.3.3): who forges it cannot have the cache keep the records."""
    signed = (rdata.original_ttl for each in found if _covers(each, rrset.name, rrset.rdtype) for rdata in each)
    return int(min((rrset.ttl, *signed)))


def without_double(proof: Iterable[RRset]) -> list[RRset]:
    """Each RRset once: several records of an answer may have come with the same one."""
    return list({(rrset.name, rrset.rdtype, rrset.covers): rrset for rrset in proof}.values())


def _chain(found: Sequence[RRset]) -> list[RRset]:
    return [each for each in found if each.rdtype in DENIALS or each.covers in DENIALS]


def _covers(signature: RRset, name: Name, rdtype: RdataType) -> bool:
    return signature.rdtype == RdataType.RRSIG and signature.name == name and signature.covers == rdtype
