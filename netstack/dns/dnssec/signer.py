"""Signing a zone (RFC 4035 §2): DNSKEY, NSEC or NSEC3 chain, a signature for every authoritative RRset. Pure and repeatable:
signatures are deterministic (RFC 6979), so that the same zone, keys and times give the same octets.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import dns.dnssec
import dns.rdataclass
from dns.dnssectypes import NSEC3Hash
from dns.name import Name
from dns.rdata import Rdata
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.NSEC import NSEC
from dns.rdtypes.ANY.NSEC import Bitmap as NSECBitmap
from dns.rdtypes.ANY.NSEC3 import NSEC3
from dns.rdtypes.ANY.NSEC3 import Bitmap as NSEC3Bitmap
from dns.rdtypes.ANY.NSEC3PARAM import NSEC3PARAM
from dns.rrset import RRset

from netstack.dns.dnssec.keys import Key
from netstack.dns.dnssec.names import hashed, hashed_name
from netstack.dns.wire import name_text
from netstack.dns.zone import Node, Zone, ZoneError

Denial = Literal["nsec", "nsec3"]
DENIALS: tuple[Denial, ...] = ("nsec", "nsec3")
MADE_HERE = frozenset({RdataType.RRSIG, RdataType.NSEC, RdataType.NSEC3, RdataType.NSEC3PARAM})
"""Types that a signer makes: those of an earlier signing are dropped."""
BACKDATED = 3600
"""Seconds by which signatures begin in the past: clocks differ."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a zone is signed."""

    denial: Denial = "nsec"
    validity: int = 14 * 86400
    """Seconds that signatures hold; they are made anew when a quarter of it is left."""
    split: bool = False
    """A KSK and a ZSK instead of one key for both."""

    def __post_init__(self) -> None:
        if self.denial not in DENIALS:
            raise ValueError(f"denial: expected one of {', '.join(DENIALS)}, got {self.denial!r}")
        if not 2 * BACKDATED <= self.validity <= 10 * 365 * 86400:
            raise ValueError(f"validity: expected {2 * BACKDATED} seconds to ten years, got {self.validity}")


def sign(zone: Zone, keys: Sequence[Key], policy: Policy, wall: float) -> Zone:
    """The zone signed at a time (seconds since 1970); raises ZoneError. DNSKEY records that it has stay beside `keys`."""
    if not any(key.entry_point for key in keys):
        raise ZoneError(f"zone {name_text(zone.origin)}: expected a key with the SEP flag to sign with")
    if any(key.zone != zone.origin for key in keys):
        raise ZoneError(f"zone {name_text(zone.origin)}: a key belongs to another zone")
    plain = Zone(zone.origin, _unsigned(zone, keys))
    rrsets = [rrset for rrset in plain if _authoritative(plain, rrset)]
    chain = list(_nsec(plain) if policy.denial == "nsec" else _nsec3(plain))
    inception, expiration = int(wall) - BACKDATED, int(wall) + policy.validity
    signatures = [_signature(rrset, keys, inception, expiration) for rrset in [*rrsets, *chain]]
    return Zone(plain.origin, [*plain, *chain, *signatures])


def types_at(node: Node) -> set[RdataType]:
    """The types of a name's bit map besides those of the chain itself; at a cut only what the parent answers for."""
    held = set(node.rrsets)
    cut = node.rrsets.get(RdataType.NS)
    if node.cut is not None and cut is not None:
        held &= {RdataType.NS, RdataType.DS}
    return held


def in_zone(zone: Zone, name: Name) -> bool:
    """Whether the zone is authoritative for a name, or delegates it right there; else it is below a cut."""
    node = zone.nodes[name]
    return node.cut is None or node.cut == name


def _unsigned(zone: Zone, keys: Sequence[Key]) -> Iterator[RRset]:
    ttl = zone.soa.ttl
    kept = zone.nodes[zone.origin].rrsets.get(RdataType.DNSKEY)
    for rrset in zone:
        if rrset.rdtype not in MADE_HERE and rrset is not kept:
            yield rrset
    records = [*(kept or ()), *(key.record for key in keys)]
    yield _rrset(zone.origin, RdataType.DNSKEY, ttl, dict.fromkeys(records))


def _authoritative(zone: Zone, rrset: RRset) -> bool:
    """What is signed: not glue, and not the NS records of a delegation (RFC 4035 §2.2)."""
    cut = zone.nodes[rrset.name].cut
    return cut is None or (cut == rrset.name and rrset.rdtype == RdataType.DS)


def _nsec(zone: Zone) -> Iterator[RRset]:
    """A record for each name that has one, in canonical order (RFC 4034 §4, §6.1)."""
    ttl = zone.negative_soa.ttl  # RFC 9077
    names = sorted(name for name, node in zone.nodes.items() if node.rrsets and in_zone(zone, name))
    for name, following in zip(names, [*names[1:], names[0]], strict=True):
        types = types_at(zone.nodes[name]) | {RdataType.NSEC, RdataType.RRSIG}
        windows = NSECBitmap.from_rdtypes(list(types)).windows
        yield _rrset(name, RdataType.NSEC, ttl, [_new(NSEC, RdataType.NSEC, following, windows)])


def _nsec3(zone: Zone) -> Iterator[RRset]:
    """Hashes of all names, empty ones too; no salt, iterations or opt-out (RFC 5155 §7.1, RFC 9276 §3.1)."""
    ttl = zone.negative_soa.ttl
    parameters = _new(NSEC3PARAM, RdataType.NSEC3PARAM, NSEC3Hash.SHA1, 0, 0, b"")
    apex = _rrset(zone.origin, RdataType.NSEC3PARAM, 0, [parameters])
    yield apex
    digests = sorted((hashed(name, b"", 0), name) for name in zone.nodes if in_zone(zone, name))
    for (digest, name), (following, _) in zip(digests, [*digests[1:], digests[0]], strict=True):
        node = zone.nodes[name]
        types = types_at(node)
        if types - {RdataType.NS} or (types and node.cut is None):
            types.add(RdataType.RRSIG)
        if name == zone.origin:
            types.add(RdataType.NSEC3PARAM)
        windows = NSEC3Bitmap.from_rdtypes(list(types)).windows
        record = _new(NSEC3, RdataType.NSEC3, NSEC3Hash.SHA1, 0, 0, b"", following, windows)
        yield _rrset(hashed_name(digest, zone.origin), RdataType.NSEC3, ttl, [record])


def _signature(rrset: RRset, keys: Sequence[Key], inception: int, expiration: int) -> RRset:
    """Signatures by the key for this type: the KSK's for DNSKEY, the ZSK's for the rest (or the one key's for all)."""
    ours = [key for key in keys if key.entry_point]
    if rrset.rdtype != RdataType.DNSKEY:
        ours = [key for key in keys if not key.entry_point] or ours
    made = [
        dns.dnssec.sign(
            rrset, key.private, key.zone, key.record, inception=inception, expiration=expiration, deterministic=True
        )
        for key in ours
    ]
    return _rrset(rrset.name, RdataType.RRSIG, rrset.ttl, made, rrset.rdtype)


def _new(kind: Callable[..., Rdata], rdtype: RdataType, *fields: object) -> Rdata:
    return kind(dns.rdataclass.IN, rdtype, *fields)


def _rrset(name: Name, rdtype: RdataType, ttl: int, rdatas: Iterable[Rdata], covers: RdataType = RdataType.NONE) -> RRset:
    made = RRset(name, dns.rdataclass.IN, rdtype, covers)
    made.update_ttl(ttl)
    made.items = dict.fromkeys(rdatas)
    return made
