"""One RRset's signatures (RFC 4034 §3, §6), and when they end: at various times, not all at once; pure."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import dns.rdataclass
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from dns.name import Name
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.RRSIG import RRSIG
from dns.rrset import RRset

from netstack.dns.dnssec.keys import ALGORITHM, Key
from netstack.dns.zone import Zone

BACKDATED = 3600
"""Seconds by which signatures begin in the past: clocks differ."""
_SCHEME = ec.ECDSA(SHA256(), deterministic_signing=True)
_ALL = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Period:
    """When signatures hold (seconds since 1970): each ends up to `spread` seconds before the end, as its name decides."""

    inception: int
    end: int
    spread: int

    @classmethod
    def of_all(cls, wall: float, validity: int) -> "Period":
        """For a whole zone: the ends lie in the second half."""
        return cls(int(wall) - BACKDATED, int(wall) + validity, validity // 2)

    @classmethod
    def of_some(cls, wall: float, validity: int) -> "Period":
        """For single RRsets."""
        return cls(int(wall) - BACKDATED, int(wall) + validity, validity // 16)

    def expiration(self, owner: bytes, rdtype: RdataType) -> int:
        """The end for one RRset."""
        return self.end - (self.spread * crc32(owner, rdtype) >> 32)


def signature(rrset: RRset, keys: Sequence[Key], period: Period) -> RRset:
    """An RRset's signatures by these keys, as one RRset of RRSIG records."""
    owner = rrset.name.to_digestable()
    labels = len(rrset.name) - 1 - rrset.name.is_wild()
    expiration = period.expiration(owner, rrset.rdtype)
    head = owner + struct.pack("!HHI", rrset.rdtype, rrset.rdclass, rrset.ttl)
    rdatas = sorted({rdata.to_digestable() for rdata in rrset})
    records = b"".join(head + struct.pack("!H", len(octets)) + octets for octets in rdatas)
    made = RRset(rrset.name, dns.rdataclass.IN, RdataType.RRSIG, rrset.rdtype)
    made.update_ttl(rrset.ttl)
    for key in keys:
        times = expiration & _ALL, period.inception & _ALL
        fields = (rrset.rdtype, ALGORITHM, labels, rrset.ttl, *times, key.tag)
        signed = struct.pack("!HBBIIIH", *fields) + key.zone.to_digestable() + records
        r, s = decode_dss_signature(key.private.sign(signed, _SCHEME))
        octets = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        record = RRSIG(dns.rdataclass.IN, RdataType.RRSIG, *fields, key.zone, octets)  # type: ignore[no-untyped-call]
        made.items[record] = None
    return made


Signed = tuple[Name, RdataType]
"""An RRset whose signatures are meant."""


def all_signatures(zone: Zone) -> Iterator[RRset]:
    """Every RRSIG RRset of a zone."""
    for nodes in (zone.nodes, zone.hashed):
        for node in nodes.values():
            yield from node.signatures.values()


@dataclass(slots=True)
class Due:
    """What is to be signed anew, the most urgent first, and when more will be."""

    now: list[Signed]
    next: float
    """Seconds since 1970."""
    dead: int = 0
    """Of those, how many hold no longer, or not yet."""
    tags: frozenset[int] = frozenset()
    """Keys of the signatures over the zone's data."""
    longest_ttl: int = 0


def due(zone: Zone, wall: float, before: float, keys: dict[int, frozenset[bool]]) -> Due:
    """Signatures that end before a time, that begin in the future (the clock was set back), or by other keys than `keys`.

    `keys`: tag -> for which RRsets, True for those that tell of keys, False for others.
    """
    found: list[tuple[int, Signed]] = []
    following = wall + (1 << 30)
    dead = longest_ttl = 0
    of_data: set[int] = set()
    for rrset in all_signatures(zone):
        tags = set()
        end, begin = 1 << 32, 0
        for rdata in rrset:
            tags.add(rdata.key_tag)
            end, begin = min(end, rdata.expiration), max(begin, rdata.inception)
        of_keys = rrset.covers in (RdataType.DNSKEY, RdataType.CDS, RdataType.CDNSKEY)
        longest_ttl = max(longest_ttl, rrset.ttl)
        if not of_keys:
            of_data |= tags
        wanted = {tag for tag, what in keys.items() if of_keys in what}
        if end <= wall or begin > wall:
            dead += 1
        if end <= before or begin > wall or tags != wanted:
            found.append((end, (rrset.name, rrset.covers)))
        else:
            following = min(following, end)
    found.sort(key=lambda each: each[0])
    return Due([each for _, each in found], following, dead, frozenset(of_data), longest_ttl)
