"""Dynamic updates (RFC 2136): prerequisites, the prescan, the changes, all or nothing; pure.

What a change is allowed to touch is the policy's (RFC 3007); the serial goes up with every change (RFC 2136 §3.6).
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import dns.exception
import dns.name
import dns.rdata
from dns.name import Name
from dns.rcode import Rcode
from dns.rdata import Rdata
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.history import Difference, Record, between, copied, records_of
from netstack.dns.serial import following, newer, serial_of
from netstack.dns.wire import HEADER, MalformedMessage
from netstack.dns.zone import Redirection, Zone

_META = frozenset(
    {RdataType.AXFR, RdataType.IXFR, RdataType.MAILA, RdataType.MAILB, RdataType.OPT, RdataType.TSIG, RdataType.TKEY}
)
_BESIDE_CNAME = frozenset({RdataType.CNAME, RdataType.RRSIG, RdataType.NSEC, RdataType.NSEC3})
_SIGNER = frozenset({RdataType.RRSIG, RdataType.NSEC, RdataType.NSEC3, RdataType.NSEC3PARAM})
"""Records that whoever signs the zone makes (RFC 3007 §4.3); an update that brings them is refused."""

OURS = frozenset({RdataType.DNSKEY, RdataType.CDS, RdataType.CDNSKEY})
"""Records at the origin of a zone that is signed here which follow from its keys, not from updates."""

_OF_CUT = frozenset({RdataType.NS, RdataType.DS})
"""Records that stand at a cut and nowhere else below it."""

Allowed = Callable[[Name, RdataType], bool]
"""Whether whoever asks may change records of a name and type."""


class Entry(NamedTuple):
    """One record of an update's sections, whose class and TTL say what is meant."""

    name: Name
    rdtype: RdataType
    rdclass: int
    ttl: int
    rdata: Rdata | None
    """None: it has no octets."""


class Update(NamedTuple):
    """An update as it came (RFC 2136 §2)."""

    zone: Name
    rdclass: int
    prerequisites: tuple[Entry, ...]
    changes: tuple[Entry, ...]


def parse_update(data: bytes) -> Update:
    """Read an update, its TSIG record taken away before; raises MalformedMessage."""
    zones, prerequisites, changes, additional = struct.unpack("!4H", data[4:HEADER])
    try:
        name, used = dns.name.from_wire(data, HEADER)
        at = HEADER + used
        rdtype, rdclass = struct.unpack("!HH", data[at : at + 4])
        if zones != 1 or rdtype != RdataType.SOA:
            raise MalformedMessage("the zone section is not one SOA (RFC 2136 §3.1.1)")
        at += 4
        found = []
        for _ in range(prerequisites + changes + additional):
            entry, at = _entry(data, at)
            found.append(entry)
        if at != len(data):
            raise MalformedMessage("octets after the last record")
    except (dns.exception.DNSException, struct.error, IndexError, ValueError) as error:
        raise MalformedMessage(f"{type(error).__name__}: {error}") from error
    return Update(name, rdclass, tuple(found[:prerequisites]), tuple(found[prerequisites : prerequisites + changes]))


def _entry(data: bytes, at: int) -> tuple[Entry, int]:
    name, used = dns.name.from_wire(data, at)
    at += used
    number, rdclass, ttl, length = struct.unpack("!HHIH", data[at : at + 10])
    at += 10
    if at + length > len(data):
        raise MalformedMessage("a record is cut off")
    rdtype = RdataType.make(number)
    rdata = dns.rdata.from_wire(RdataClass.IN, rdtype, data, at, length) if length else None
    return Entry(name, rdtype, rdclass, ttl, rdata), at + length


class Refused(Exception):
    """The update is not carried out; nothing of it is."""

    def __init__(self, rcode: Rcode, reason: str) -> None:
        super().__init__(reason)
        self.rcode = rcode


def apply(zone: Zone, update: Update, allowed: Allowed, signed: bool = False) -> Difference | None:
    """What an update changes; None: nothing. Raises Refused.

    The order is that of RFC 2136 §3: prerequisites, permissions, prescan, changes. `zone` stays as it is. `signed`: we sign
    it and say what its keys are; signatures and denials follow later, from what has changed.
    """
    kept = frozenset({RdataType.SOA, RdataType.NS}) | (OURS if signed else frozenset())
    _check_prerequisites(zone, update)
    for entry in update.changes:
        for rdtype in _touched(zone, entry, kept):
            if (
                rdtype in _SIGNER
                or (signed and rdtype in OURS and entry.name == zone.origin)
                or not allowed(entry.name, rdtype)
            ):
                raise Refused(Rcode.REFUSED, f"{entry.name} {rdtype.name} may not be changed by this key")
    _prescan(zone, update)
    draft = _Draft(zone, kept)
    for entry in update.changes:
        if entry.rdclass == RdataClass.IN:
            draft.add(entry)
        elif entry.rdclass == RdataClass.ANY:
            draft.delete_rrsets(entry)
        else:
            draft.delete_record(entry)
    return draft.difference()


def _touched(zone: Zone, entry: Entry, kept: frozenset[RdataType]) -> list[RdataType]:
    """The types that a change is about; those that are there when it deletes all."""
    if entry.rdtype != RdataType.ANY or entry.rdclass != RdataClass.ANY:
        return [entry.rdtype]
    staying = kept if entry.name == zone.origin else ()
    return [rrset.rdtype for rrset in _plain(zone, entry.name) if rrset.rdtype not in staying]


def _check_prerequisites(zone: Zone, update: Update) -> None:
    """RFC 2136 §3.2."""
    exact: dict[tuple[Name, RdataType], set[Rdata]] = {}
    for entry in update.prerequisites:
        name, rdtype, rdclass, ttl, rdata = entry
        if ttl != 0:
            raise Refused(Rcode.FORMERR, "a prerequisite with a TTL")
        if not name.is_subdomain(zone.origin):
            raise Refused(Rcode.NOTZONE, f"{name} is not in the zone")
        kept = zone.rrsets_at(name)
        if rdclass == RdataClass.IN:
            if rdata is None or rdtype == RdataType.ANY or rdtype in _META:
                raise Refused(Rcode.FORMERR, "a prerequisite of a value without one")
            exact.setdefault((name, rdtype), set()).add(rdata)
            continue
        if rdclass not in (RdataClass.ANY, RdataClass.NONE) or rdata is not None:
            raise Refused(Rcode.FORMERR, "a prerequisite of an unknown kind")
        wanted = rdclass == RdataClass.ANY
        if rdtype == RdataType.ANY:
            if bool(kept) is not wanted:
                rcode = Rcode.NXDOMAIN if wanted else Rcode.YXDOMAIN
                raise Refused(rcode, f"{name} is {'not ' if wanted else ''}in use")
        elif any(rrset.rdtype == rdtype for rrset in kept) is not wanted:
            rcode = Rcode.NXRRSET if wanted else Rcode.YXRRSET
            raise Refused(rcode, f"{name} has {'no' if wanted else 'a'} {rdtype.name}")
    for (name, rdtype), rdatas in exact.items():
        if rdatas != {rdata for rrset in zone.rrsets_at(name) if rrset.rdtype == rdtype for rdata in rrset}:
            raise Refused(Rcode.NXRRSET, f"{name} {rdtype.name} has other values")


def _prescan(zone: Zone, update: Update) -> None:
    """RFC 2136 §3.4.1."""
    for name, rdtype, rdclass, ttl, rdata in update.changes:
        if not name.is_subdomain(zone.origin):
            raise Refused(Rcode.NOTZONE, f"{name} is not in the zone")
        if rdclass == RdataClass.IN:
            good = rdata is not None and rdtype != RdataType.ANY
        elif rdclass == RdataClass.ANY:
            good = ttl == 0 and rdata is None
        else:
            good = rdclass == RdataClass.NONE and ttl == 0 and rdata is not None and rdtype != RdataType.ANY
        if not good or rdtype in _META:
            raise Refused(Rcode.FORMERR, f"a change of {name} that is none of RFC 2136 §2.5")


def only_delegations(before: Zone, after: Zone, records: Iterable[Record]) -> None:
    """Raises Refused unless all that was changed are delegations and their glue: what the zone says itself stays as it was.

    `records` are those deleted or added. NS and DS belong to a cut, addresses lie at or below one, and a cut appears or
    goes only where nothing else is hidden by it or would be left over from it (RFC 1034 §4.2.1, RFC 9471).
    """
    names = {record.name for record in records}
    for name in names:
        if name == before.origin or name == after.origin:
            raise Refused(Rcode.REFUSED, "the zone's own records may not be changed by this key")
        for zone in (before, after):
            for rrset in _plain(zone, name):
                cut = zone.nodes[name].cut
                if cut is None or (rrset.rdtype in _OF_CUT and cut != name):
                    raise Refused(Rcode.REFUSED, f"{name} {rrset.rdtype.name} is not part of a delegation")
    moved = {name for name in names if (_cut(before, name) == name) is not (_cut(after, name) == name)}
    if not moved:
        return
    for name in {*before.nodes, *after.nodes}:
        if name not in names and any(name.is_subdomain(cut) for cut in moved):
            for zone in (before, after):
                if _plain(zone, name):
                    raise Refused(Rcode.REFUSED, f"{name} would be hidden by a delegation, or left over from one")


def _cut(zone: Zone, name: Name) -> Name | None:
    node = zone.nodes.get(name)
    return None if node is None else node.cut


class _Draft:
    """The RRsets that an update touches, as they will be (RFC 2136 §3.4.2)."""

    def __init__(self, zone: Zone, kept: frozenset[RdataType]) -> None:
        """`kept`: types at the origin that a deletion of all types leaves."""
        self.zone = zone
        self.kept = kept
        self.soa = zone.soa
        self._names: dict[Name, dict[RdataType, RRset]] = {}

    def _at(self, name: Name) -> dict[RdataType, RRset]:
        found = self._names.get(name)
        if found is None:
            found = self._names[name] = {rrset.rdtype: copied(rrset) for rrset in _plain(self.zone, name)}
        return found

    def add(self, entry: Entry) -> None:
        """RFC 2136 §3.4.2.2: what would contradict a CNAME or turn the serial back is left out in silence."""
        name, rdtype, _, ttl, rdata = entry
        if rdata is None:
            return
        if isinstance(self.zone.lookup(name, rdtype), Redirection):
            raise Refused(Rcode.REFUSED, f"{name} is below a DNAME (RFC 6672 §5.2)")
        kept = self._at(name)
        if rdtype == RdataType.SOA:
            soa: Any = rdata
            if name == self.zone.origin and newer(soa.serial, serial_of(self.soa)):
                self.soa = _one(name, ttl, rdata)
            return
        if rdtype == RdataType.CNAME:
            if not _BESIDE_CNAME.issuperset(kept):
                return
            kept[rdtype] = _one(name, ttl, rdata)
            return
        if RdataType.CNAME in kept and rdtype not in _BESIDE_CNAME:
            return
        if rdtype == RdataType.DNAME:
            kept[rdtype] = _one(name, ttl, rdata)
            return
        rrset = kept.get(rdtype)
        if rrset is None:
            kept[rdtype] = _one(name, ttl, rdata)
            return
        rrset.items[rdata] = None
        rrset.ttl = ttl

    def delete_rrsets(self, entry: Entry) -> None:
        """RFC 2136 §3.4.2.3: at the zone's origin SOA and NS stay."""
        kept = self._at(entry.name)
        staying = self.kept if entry.name == self.zone.origin else frozenset()
        for rdtype in [entry.rdtype] if entry.rdtype != RdataType.ANY else list(kept):
            if rdtype not in staying:
                kept.pop(rdtype, None)

    def delete_record(self, entry: Entry) -> None:
        """RFC 2136 §3.4.2.4: never the SOA, nor the last NS of the zone's origin."""
        name, rdtype, _, _, rdata = entry
        rrset = self._at(name).get(rdtype)
        if rrset is None or rdata is None or rdata not in rrset.items or rdtype == RdataType.SOA:
            return
        if rdtype == RdataType.NS and name == self.zone.origin and len(rrset) == 1:
            return
        del rrset.items[rdata]
        if not rrset.items:
            del self._at(name)[rdtype]

    def difference(self) -> Difference | None:
        """What has changed, under a new serial; None: nothing."""
        deleted: list[Record] = []
        added: list[Record] = []
        for name in self._names:
            for was, now in self._pairs(name):
                if was is None:
                    added += records_of(now) if now is not None else ()
                elif now is None:
                    deleted += records_of(was)
                else:
                    gone, come = between(was, now)
                    deleted += gone
                    added += come
        if self.soa is self.zone.soa:
            if not deleted and not added:
                return None
            rdata: Any = self.soa[0]
            self.soa = _one(self.soa.name, self.soa.ttl, rdata.replace(serial=following(rdata.serial)))
        return Difference(self.zone.soa, self.soa, tuple(deleted), tuple(added))

    def _pairs(self, name: Name) -> Iterator[tuple[RRset | None, RRset | None]]:
        before = {rrset.rdtype: rrset for rrset in _plain(self.zone, name)}
        after = self._names[name]
        for rdtype in {**before, **after}:
            if rdtype != RdataType.SOA:
                yield before.get(rdtype), after.get(rdtype)


def _plain(zone: Zone, name: Name) -> list[RRset]:
    """The RRsets of a name but the signer's."""
    return [rrset for rrset in zone.rrsets_at(name) if rrset.rdtype not in _SIGNER]


def _one(name: Name, ttl: int, rdata: Rdata) -> RRset:
    made = RRset(name, RdataClass.IN, rdata.rdtype)
    made.ttl = ttl
    made.items = {rdata: None}
    return made
