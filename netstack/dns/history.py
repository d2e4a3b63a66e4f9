"""How a zone changes: records, differences between two versions, a bounded history of them (RFC 1995 §5); pure."""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
from dns.name import Name
from dns.rdata import Rdata
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.serial import serial_of
from netstack.dns.zone import Zone, ZoneError


class Record(NamedTuple):
    """One resource record of class IN."""

    name: Name
    ttl: int
    rdata: Rdata

    @property
    def rdtype(self) -> RdataType:
        """Its type."""
        return RdataType(self.rdata.rdtype)


class Difference(NamedTuple):
    """What leads from one version of a zone to the next; the SOA records are in `old` and `new` alone."""

    old: RRset
    new: RRset
    deleted: tuple[Record, ...]
    added: tuple[Record, ...]

    @property
    def size(self) -> int:
        """Records, those of the SOA included."""
        return 2 + len(self.deleted) + len(self.added)


RRsetKey = tuple[Name, RdataType, RdataType]
"""Name, type and, for signatures, the type that they cover."""


def records_of(rrset: RRset) -> Iterator[Record]:
    """The records of an RRset."""
    return (Record(rrset.name, rrset.ttl, rdata) for rdata in rrset)


def rrsets_of(records: Iterable[Record]) -> list[RRset]:
    """Records gathered in RRsets; the last TTL of an RRset counts for all of it (RFC 2181 §5.2)."""
    made: dict[RRsetKey, RRset] = {}
    for name, ttl, rdata in records:
        key = (name, rdata.rdtype, rdata.covers())
        rrset = made.get(key)
        if rrset is None:
            rrset = made[key] = RRset(name, RdataClass.IN, rdata.rdtype, rdata.covers())
        rrset.items[rdata] = None
        rrset.ttl = ttl
    return list(made.values())


def changed(zone: Zone, differences: Iterable[Difference]) -> Zone:
    """The zone after the differences, in order; raises ZoneError when they do not fit or break it. `zone` stays as it is."""
    names: dict[Name, dict[RRsetKey, RRset]] = {}
    """What the differences touch, as it will be."""
    soa = zone.soa
    for difference in differences:
        if serial_of(difference.old) != serial_of(soa):
            raise ZoneError(f"a difference from serial {serial_of(difference.old)}, expected {serial_of(soa)}")
        for record in difference.deleted:
            rrsets = _at(names, zone, record.name)
            key = (record.name, record.rdtype, record.rdata.covers())
            kept = rrsets.get(key)
            if kept is None or record.rdata not in kept.items:
                raise ZoneError(f"a difference deletes {record.name} {record.rdtype.name}, which is not there")
            del kept.items[record.rdata]
            if not kept.items:
                del rrsets[key]
        for record in difference.added:
            rrsets = _at(names, zone, record.name)
            key = (record.name, record.rdtype, record.rdata.covers())
            kept = rrsets.get(key)
            if kept is None:
                kept = rrsets[key] = RRset(record.name, RdataClass.IN, record.rdtype, record.rdata.covers())
            kept.items.pop(record.rdata, None)
            kept.items[record.rdata] = None
            kept.ttl = record.ttl
        soa = difference.new
    _at(names, zone, soa.name)[_key(soa)] = soa
    return zone.with_names({name: list(rrsets.values()) for name, rrsets in names.items()})


def _at(names: dict[Name, dict[RRsetKey, RRset]], zone: Zone, name: Name) -> dict[RRsetKey, RRset]:
    found = names.get(name)
    if found is None:
        kept = [*zone.rrsets_at(name), *zone.hashed_at(name)]
        found = names[name] = {_key(rrset): copied(rrset) for rrset in kept}
    return found


def difference(old: Zone, new: Zone) -> Difference:
    """What leads from one version to another."""
    before = {_key(rrset): rrset for rrset in old if rrset.rdtype != RdataType.SOA}
    deleted: list[Record] = []
    added: list[Record] = []
    for rrset in new:
        if rrset.rdtype == RdataType.SOA:
            continue
        was = before.pop(_key(rrset), None)
        if was is None:
            added += records_of(rrset)
        elif was is not rrset:
            gone, come = between(was, rrset)
            deleted += gone
            added += come
    for rrset in before.values():
        deleted += records_of(rrset)
    return Difference(old.soa, new.soa, tuple(deleted), tuple(added))


def between(old: RRset, new: RRset) -> tuple[list[Record], list[Record]]:
    """Records deleted and added between two versions of one RRset; a new TTL replaces them all."""
    if old.ttl != new.ttl:
        return list(records_of(old)), list(records_of(new))
    return (
        [record for record in records_of(old) if record.rdata not in new.items],
        [record for record in records_of(new) if record.rdata not in old.items],
    )


def _key(rrset: RRset) -> RRsetKey:
    return rrset.name, rrset.rdtype, rrset.covers


def copied(rrset: RRset) -> RRset:
    """Another RRset of the same records."""
    made = RRset(rrset.name, rrset.rdclass, rrset.rdtype, rrset.covers)
    made.ttl = rrset.ttl
    made.items = dict(rrset.items)
    return made


class History:
    """The latest differences of one zone, each the next one's beginning; the oldest go first."""

    def __init__(self, differences: int = 1000, records: int = 100_000) -> None:
        self.most_differences = differences
        self.most_records = records
        self.records = 0
        self._differences: deque[Difference] = deque()

    def add(self, difference: Difference) -> None:
        """The latest. One that does not follow from the one before ends what was known."""
        kept = self._differences
        if kept and serial_of(kept[-1].new) != serial_of(difference.old):
            self.clear()
        kept.append(difference)
        self.records += difference.size
        while len(kept) > self.most_differences or (kept and self.records > self.most_records):
            self.records -= kept.popleft().size

    def clear(self) -> None:
        """Forget all: whoever asks gets the whole zone."""
        self._differences.clear()
        self.records = 0

    def since(self, serial: int) -> list[Difference] | None:
        """The differences from a version to the latest; None where that version is not known."""
        found: list[Difference] = []
        for each in reversed(self._differences):
            found.append(each)
            if serial_of(each.old) == serial:
                return found[::-1]
        return None

    def __iter__(self) -> Iterator[Difference]:
        return iter(self._differences)

    def __len__(self) -> int:
        return len(self._differences)


# Octets, for disks


def to_octets(difference: Difference) -> bytes:
    """A difference as it is kept in a journal."""
    soas = [*records_of(difference.old), *records_of(difference.new)]
    head = struct.pack("!II", len(difference.deleted), len(difference.added))
    return head + records_to_octets((*soas, *difference.deleted, *difference.added))


def from_octets(data: bytes) -> Difference:
    """From a journal; raises ValueError when the octets are not whole."""
    if len(data) < 8:
        raise ValueError("shorter than its head")
    deleted, added = struct.unpack("!II", data[:8])
    found = list(records_from_octets(data[8:]))
    if len(found) != 2 + deleted + added or any(record.rdtype != RdataType.SOA for record in found[:2]):
        raise ValueError("not the records that its head speaks of")
    old, new = (rrsets_of([record])[0] for record in found[:2])
    return Difference(old, new, tuple(found[2 : 2 + deleted]), tuple(found[2 + deleted :]))


def zone_to_octets(zone: Zone) -> bytes:
    """All of a zone, to be kept or sent to another process."""
    return records_to_octets(record for rrset in zone for record in records_of(rrset))


def zone_from_octets(origin: Name, data: bytes) -> Zone:
    """From these; raises ValueError when the octets are not whole, ZoneError when they are no zone."""
    return Zone(origin, rrsets_of(records_from_octets(data)))


def records_to_octets(records: Iterable[Record]) -> bytes:
    """Records in wire format without compression."""
    parts: list[bytes] = []
    for name, ttl, rdata in records:
        octets = rdata.to_wire() or b""
        parts += (name.to_wire() or b"", struct.pack("!HIH", rdata.rdtype, ttl, len(octets)), octets)
    return b"".join(parts)


def records_from_octets(data: bytes) -> Iterator[Record]:
    """The records; raises ValueError where the octets are none."""
    at = 0
    try:
        while at < len(data):
            name, used = dns.name.from_wire(data, at)
            at += used
            rdtype, ttl, length = struct.unpack("!HIH", data[at : at + 8])
            at += 8
            if at + length > len(data):
                raise ValueError("a record is cut off")
            yield Record(name, ttl, dns.rdata.from_wire(RdataClass.IN, RdataType.make(rdtype), data, at, length))
            at += length
    except (dns.exception.DNSException, struct.error, IndexError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
