"""Signing a zone (RFC 4035 §2): DNSKEY, NSEC or NSEC3 chain, a signature for every authoritative RRset. Pure and repeatable:
signatures are deterministic (RFC 6979), so that the same zone, keys and times give the same octets. `mending` signs a part.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import dns.rdataclass
from dns.dnssectypes import NSEC3Hash
from dns.name import Name
from dns.rdata import Rdata
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.CDNSKEY import CDNSKEY
from dns.rdtypes.ANY.CDS import CDS
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.NSEC import NSEC
from dns.rdtypes.ANY.NSEC import Bitmap as NSECBitmap
from dns.rdtypes.ANY.NSEC3 import NSEC3
from dns.rdtypes.ANY.NSEC3 import Bitmap as NSEC3Bitmap
from dns.rdtypes.ANY.NSEC3PARAM import NSEC3PARAM
from dns.rrset import RRset

from netstack.dns.dnssec.keys import Key
from netstack.dns.dnssec.names import hashed, hashed_name
from netstack.dns.dnssec.signatures import BACKDATED, Period, signature
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone, ZoneError

Denial = Literal["nsec", "nsec3"]
DENIALS: tuple[Denial, ...] = ("nsec", "nsec3")
MADE_HERE = frozenset({RdataType.RRSIG, RdataType.NSEC, RdataType.NSEC3, RdataType.NSEC3PARAM})
"""Types that a signer makes: those of an earlier signing are dropped."""
OF_KEYS = frozenset({RdataType.DNSKEY, RdataType.CDS, RdataType.CDNSKEY})
"""Types that tell of keys and are signed by those that the parent's DS records point at (RFC 7344 §4.1)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a zone is signed."""

    denial: Denial = "nsec"
    validity: int = 14 * 86400
    """Seconds that signatures hold; each is made anew when a quarter of it is left."""
    split: bool = False
    """A KSK and a ZSK instead of one key for both."""

    def __post_init__(self) -> None:
        if self.denial not in DENIALS:
            raise ValueError(f"denial: expected one of {', '.join(DENIALS)}, got {self.denial!r}")
        if not 2 * BACKDATED <= self.validity <= 10 * 365 * 86400:
            raise ValueError(f"validity: expected {2 * BACKDATED} seconds to ten years, got {self.validity}")


@dataclass(frozen=True, slots=True)
class Signing:
    """A zone's keys and what each of them does; it changes while keys are rolled over (RFC 7583 §3)."""

    published: tuple[Key, ...]
    """Their DNSKEY records are in the zone."""
    of_keys: tuple[Key, ...]
    """They sign the RRsets of `OF_KEYS`."""
    of_data: tuple[Key, ...]
    """They sign all others."""
    policy: Policy = Policy()
    withdrawn: tuple[DNSKEY, ...] = ()
    """Records of keys that were ours; others that the zone has stay."""
    announced: tuple[Key, ...] = ()
    """The keys that the parent's DS records should point at, told by CDS and CDNSKEY (RFC 7344); none: nothing is told."""

    @classmethod
    def of(cls, keys: Sequence[Key], policy: Policy) -> "Signing":
        """KSKs sign the keys, ZSKs the rest; where one kind is missing the other does its work."""
        entry = tuple(key for key in keys if key.entry_point)
        return cls(tuple(keys), entry, tuple(key for key in keys if not key.entry_point) or entry, policy)

    def signers(self, rdtype: RdataType) -> tuple[Key, ...]:
        """The keys for an RRset of a type."""
        return self.of_keys if rdtype in OF_KEYS else self.of_data


def sign(zone: Zone, keys: Sequence[Key], policy: Policy, wall: float) -> Zone:
    """As `sign_zone`, with keys that do what their flags say."""
    return sign_zone(zone, Signing.of(keys, policy), wall)


def sign_zone(zone: Zone, signing: Signing, wall: float, progress: Callable[[int, int], None] | None = None) -> Zone:
    """The zone signed at a time (seconds since 1970); raises ZoneError. DNSKEY records that it has stay beside ours.

    `progress` is called now and then with the RRsets that are signed and all that are to be.
    """
    if not signing.of_keys:
        raise ZoneError(f"zone {name_text(zone.origin)}: expected a key with the SEP flag to sign with")
    if any(key.zone != zone.origin for key in signing.published):
        raise ZoneError(f"zone {name_text(zone.origin)}: a key belongs to another zone")
    plain = unsigned(zone, signing)
    rrsets = [rrset for rrset in plain if authoritative(plain.nodes[rrset.name].cut, rrset.name, rrset.rdtype)]
    chain = list(_nsec(plain) if signing.policy.denial == "nsec" else _nsec3(plain))
    made = [*plain, *chain]
    period = Period.of_all(wall, signing.policy.validity)
    wanted = [*rrsets, *chain]
    for at, rrset in enumerate(wanted):
        if progress is not None and at % 1000 == 0:
            progress(at, len(wanted))
        made.append(signature(rrset, signing.signers(rrset.rdtype), period))
    return Zone(plain.origin, made)


def unsigned(zone: Zone, signing: Signing | None = None) -> Zone:
    """The zone without what a signer makes, with the records of its keys; None: those that it has."""
    apex = dict(zone.nodes[zone.origin].rrsets)
    told = {} if signing is None else key_rrsets(apex, zone.origin, zone.soa.ttl, signing)
    rrsets = (rrset for rrset in zone if rrset.rdtype not in MADE_HERE)
    kept = [rrset for rrset in rrsets if not (rrset.name == zone.origin and rrset.rdtype in told)]
    return Zone(zone.origin, [*kept, *told.values()])


def key_rrsets(apex: Mapping[RdataType, RRset], origin: Name, ttl: int, signing: Signing) -> dict[RdataType, RRset]:
    """The RRsets at the origin that tell of keys, where they are ours to make."""
    ours = {key.record for key in signing.published}
    kept = [record for record in apex.get(RdataType.DNSKEY, ()) if record not in signing.withdrawn and record not in ours]
    found = {RdataType.DNSKEY: _rrset(origin, RdataType.DNSKEY, ttl, [*kept, *(key.record for key in signing.published)])}
    if signing.announced:
        ds = [key.ds for key in signing.announced]
        cds = [_new(CDS, RdataType.CDS, each.key_tag, each.algorithm, each.digest_type, each.digest) for each in ds]
        records = [key.record for key in signing.announced]
        keys = [_new(CDNSKEY, RdataType.CDNSKEY, it.flags, it.protocol, it.algorithm, it.key) for it in records]
        found[RdataType.CDS] = _rrset(origin, RdataType.CDS, ttl, cds)
        found[RdataType.CDNSKEY] = _rrset(origin, RdataType.CDNSKEY, ttl, keys)
    return found


def authoritative(cut: Name | None, name: Name, rdtype: RdataType) -> bool:
    """What is signed: not glue, and not the NS records of a delegation (RFC 4035 §2.2)."""
    return cut is None or (cut == name and rdtype in (RdataType.DS, RdataType.NSEC))


def types_at(types: Iterable[RdataType], cut: Name | None) -> set[RdataType]:
    """The types of a name's bit map besides those of the chain itself; at a cut only what the parent answers for."""
    held = set(types)
    return held & {RdataType.NS, RdataType.DS} if cut is not None and RdataType.NS in held else held


def nsec(name: Name, ttl: int, following: Name, types: set[RdataType]) -> RRset:
    """RFC 4034 §4."""
    windows = NSECBitmap.from_rdtypes(list(types | {RdataType.NSEC, RdataType.RRSIG})).windows
    return _rrset(name, RdataType.NSEC, ttl, [_new(NSEC, RdataType.NSEC, following, windows)])


def nsec3(owner: Name, ttl: int, following: bytes, windows: object) -> RRset:
    """No salt, iterations or opt-out (RFC 9276 §3.1)."""
    record = _new(NSEC3, RdataType.NSEC3, NSEC3Hash.SHA1, 0, 0, b"", following, windows)
    return _rrset(owner, RdataType.NSEC3, ttl, [record])


def nsec3_windows(name: Name, origin: Name, types: set[RdataType], cut: Name | None) -> object:
    """The bit map of a name's NSEC3 record (RFC 5155 §7.1)."""
    shown = set(types)
    if shown - {RdataType.NS} or (shown and cut is None):
        shown.add(RdataType.RRSIG)
    if name == origin:
        shown.add(RdataType.NSEC3PARAM)
    return NSEC3Bitmap.from_rdtypes(list(shown)).windows


def nsec3_parameters(origin: Name) -> RRset:
    """RFC 5155 §4."""
    parameters = _new(NSEC3PARAM, RdataType.NSEC3PARAM, NSEC3Hash.SHA1, 0, 0, b"")
    return _rrset(origin, RdataType.NSEC3PARAM, 0, [parameters])


def _nsec(zone: Zone) -> Iterator[RRset]:
    """A record for each name that has one, in canonical order (RFC 4034 §6.1)."""
    ttl = zone.negative_soa.ttl  # RFC 9077
    order = zone.order
    names = [name for name in order if zone.nodes[name].rrsets and zone.nodes[name].cut in (None, name)]
    for name, following in zip(names, [*names[1:], *names[:1]], strict=True):
        node = zone.nodes[name]
        yield nsec(name, ttl, following, types_at(node.rrsets, node.cut))


def _nsec3(zone: Zone) -> Iterator[RRset]:
    """Hashes of all names, empty ones too."""
    ttl = zone.negative_soa.ttl
    yield nsec3_parameters(zone.origin)
    digests = sorted((hashed(name, b"", 0), name) for name, node in zone.nodes.items() if node.cut in (None, name))
    for (digest, name), (following, _) in zip(digests, [*digests[1:], digests[0]], strict=True):
        node = zone.nodes[name]
        windows = nsec3_windows(name, zone.origin, types_at(node.rrsets, node.cut), node.cut)
        yield nsec3(hashed_name(digest, zone.origin), ttl, following, windows)


def _new(kind: Callable[..., Rdata], rdtype: RdataType, *fields: object) -> Rdata:
    return kind(dns.rdataclass.IN, rdtype, *fields)


def _rrset(name: Name, rdtype: RdataType, ttl: int, rdatas: Iterable[Rdata]) -> RRset:
    made = RRset(name, dns.rdataclass.IN, rdtype)
    made.update_ttl(ttl)
    made.items = dict.fromkeys(rdatas)
    return made
