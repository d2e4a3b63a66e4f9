"""Trust anchors that follow their zone's keys (RFC 5011): what a key set makes of those that are trusted; pure.

A key is trusted when it was seen for `HOLD` seconds, in sets that a trusted key signed. Time counts from one look to the
next, and a look's worth is bounded: neither a clock that is set nor an outage shortens the wait by more than one look.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import dns.dnssec
import dns.exception
import dns.name
import dns.rdata
from dns.name import Name
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS
from dns.rdtypes.ANY.RRSIG import RRSIG
from dns.rrset import RRset

from netstack.dns.dnssec.keys import ENTRY_POINT, REVOKED
from netstack.dns.dnssec.verify import ALGORITHMS, KEYS, Bogus, Effort, entry_keys, signatures_of, supported, verify

HOLD = 30 * 86400.0
"""RFC 5011 §2.4.1: add hold-down time, seconds."""
LONGEST, SHORTEST = 15 * 86400.0, 3600.0
"""Seconds between two looks (RFC 5011 §2.3)."""
MOST = 16
"""Keys of one zone that are followed, revoked ones included."""

State = Literal["pending", "valid", "missing", "revoked"]


@dataclass(frozen=True, slots=True)
class Followed:
    """One key, without the REVOKE bit. `held`: seconds that a pending one was seen for."""

    record: DNSKEY
    state: State
    held: float = 0.0


@dataclass(frozen=True, slots=True)
class Point:
    """A trust point (RFC 5011 §2): the anchors that were configured, and the zone's keys as they were followed since."""

    zone: Name
    configured: tuple[DS, ...]
    keys: tuple[Followed, ...] = ()
    looked: float | None = None
    """When the keys were seen last (seconds since 1970)."""

    @property
    def trusted(self) -> tuple[DS, ...]:
        """What counts now: the keys in use, or what was configured until they were seen first.

        Where all are revoked, what no key can match: all is bogus then until others are configured.
        """
        if not self.keys:
            return self.configured
        keys: list[Any] = [each.record for each in self.keys if each.state in ("valid", "missing")]
        keys = keys or [each.record.replace(flags=each.record.flags | REVOKED) for each in self.keys]
        return tuple(dns.dnssec.make_ds(self.zone, key, "SHA256") for key in keys)


def observe(point: Point, keys: RRset, proof: Sequence[RRset], wall: float) -> Point:
    """What is so after the zone's DNSKEY RRset was fetched; raises Bogus unless a trusted key signed it (RFC 5011 §2.2)."""
    effort, signatures = Effort(), signatures_of(proof, point.zone, RdataType.DNSKEY)
    passed = 0.0 if point.looked is None else min(LONGEST, max(0.0, wall - point.looked))
    known = {each.record: each for each in point.keys}
    records = [record for record in list(keys)[:KEYS] if record.algorithm in ALGORITHMS and record.flags & ENTRY_POINT]
    revoked = {}
    for record in records:
        plain = record.replace(flags=record.flags & ~REVOKED)
        if record.flags & REVOKED and plain in known and _signed(keys, signatures, point.zone, [record], wall, effort):
            revoked[plain] = Followed(plain, "revoked")
    trusted = [each.record for each in point.keys if each.state in ("valid", "missing") and each.record not in revoked]
    if not point.keys:
        trusted = entry_keys(point.zone, keys, supported(point.configured))
        known = {record: Followed(record, "valid") for record in trusted}
    try:
        verify(keys, signatures, point.zone, trusted, wall, effort)
    except Bogus:
        if not revoked:
            raise
        return replace(point, keys=tuple(revoked.get(record, each) for record, each in known.items()))
    there = {record for record in records if not record.flags & REVOKED}
    found = []
    for record, each in known.items():
        if each.state == "revoked" or record in revoked:  # for ever (RFC 5011 §4.2)
            each = revoked.get(record, each)
        elif each.state == "pending":
            each = replace(each, held=each.held + passed) if record in there else replace(each, held=-1.0)
            each = Followed(record, "valid") if each.held >= HOLD else each
        else:
            each = Followed(record, "valid" if record in there else "missing")
        if each.held >= 0:
            found.append(each)
    new = [Followed(record, "pending") for record in records if record in there and record not in known]
    return replace(point, keys=tuple([*found, *new][:MOST]), looked=wall)


def wait(keys: RRset, proof: Sequence[RRset], wall: float, failed: bool = False) -> float:
    """Seconds until the next look: half of the TTL and of the signatures' rest; tenths after failures (RFC 5011 §2.3)."""
    ends = [each.expiration - wall for each in signatures_of(proof, keys.name, RdataType.DNSKEY)]
    part, longest = (10, 86400.0) if failed else (2, LONGEST)
    return max(SHORTEST, min(longest, keys.ttl / part, *(end / part for end in ends)))


def to_text(point: Point) -> str:
    """As it is kept on disk."""
    keys = [{"record": each.record.to_text(), "state": each.state, "held": each.held} for each in point.keys]
    return json.dumps({"configured": _texts(point.configured), "looked": point.looked, "keys": keys}, indent=1) + "\n"


def from_text(zone: Name, configured: Iterable[DS], text: str) -> Point:
    """From the disk; as at the beginning when other anchors are configured now. Raises ValueError."""
    point = Point(zone, tuple(configured))
    try:
        read = json.loads(text)
        if read["configured"] != _texts(point.configured):
            return point
        keys = []
        for each in read["keys"]:
            record = dns.rdata.from_text(RdataClass.IN, RdataType.DNSKEY, each["record"])
            if not isinstance(record, DNSKEY) or each["state"] not in ("pending", "valid", "missing", "revoked"):
                raise ValueError("expected keys and their states")
            keys.append(Followed(record, each["state"], float(each["held"])))
        looked = None if read["looked"] is None else float(read["looked"])
    except (KeyError, TypeError, dns.exception.DNSException) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return replace(point, keys=tuple(keys), looked=looked)


def _texts(ds: Iterable[DS]) -> list[str]:
    return sorted(each.to_text() for each in ds)


def _signed(keys: RRset, signatures: Sequence[RRSIG], zone: Name, by: Sequence[DNSKEY], wall: float, effort: Effort) -> bool:
    try:
        verify(keys, signatures, zone, by, wall, effort)
    except Bogus:
        return False
    return True
