"""Signing what a change touches (RFC 3007 §4): its RRsets, the chain around them, the SOA; pure."""

from base64 import b32hexdecode
from collections.abc import Collection, Iterable

from dns.name import Name
from dns.rdata import Rdata
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.dnssec.names import hashed, hashed_name
from netstack.dns.dnssec.signatures import Period, Signed, signature
from netstack.dns.dnssec.signer import (
    MADE_HERE,
    Signing,
    authoritative,
    key_rrsets,
    nsec,
    nsec3,
    nsec3_parameters,
    nsec3_windows,
    sign_zone,
    types_at,
)
from netstack.dns.history import Difference, Record, between, difference, records_of
from netstack.dns.serial import following, newer, serial_of
from netstack.dns.zone import Zone, cutting


def mend(
    old: Zone, draft: Zone, touched: Iterable[Name], signing: Signing, wall: float, again: Collection[Signed] = ()
) -> Difference | None:
    """What leads from a signed version to the next signed one, under a new serial; None: nothing is to be done.

    `draft` is `old` with other data at the names that are `touched`, its signatures and chain as they were. `again`: RRsets
    to be signed anew whether they changed or not. Raises ZoneError.
    """
    touched = set(touched)
    bare = [name for name in touched if name in draft.nodes and MADE_HERE.issuperset(draft.nodes[name].rrsets)]
    if bare:  # only signatures and denials are left there
        draft = draft.with_names({name: () for name in bare if draft.nodes[name].rrsets})
    if _whole(old, draft, signing):
        new = sign_zone(with_serial(draft, next_serial(old, draft)), signing, wall)
        return difference(old, new)
    return _Mending(old, draft, signing, Period.of_some(wall, signing.policy.validity), frozenset(again)).run(touched)


def resumed(stored: Zone, configured: Zone | None, signing: Signing, wall: float) -> Difference | None:
    """What leads from the version that a server kept to the one that it serves now; None: the same.

    `configured`: the unsigned version that counts now; None: the one that is kept. Keys of another life count for nothing.
    """
    draft, touched = (stored, set[Name]()) if configured is None else revised(stored, configured)
    signature = stored.nodes[stored.origin].signatures.get(RdataType.SOA) or ()
    if {rdata.key_tag for rdata in signature} <= {key.tag for key in signing.published}:
        return mend(stored, draft, touched, signing, wall)
    return difference(stored, sign_zone(with_serial(draft, next_serial(stored, draft)), signing, wall))


def revised(old: Zone, plain: Zone) -> tuple[Zone, set[Name]]:
    """A draft for `mend` with the data of an unsigned version, and the names where it differs from the signed one.

    The SOA counts as another where more than its serial is, or where its serial is newer.
    """
    origin = old.origin
    names: dict[Name, list[RRset]] = {}
    for name in old.nodes.keys() | plain.nodes.keys():
        before = [rrset for rrset in old.rrsets_at(name) if rrset.rdtype not in MADE_HERE]
        after = [rrset for rrset in plain.rrsets_at(name) if rrset.rdtype not in MADE_HERE]
        if name == origin:
            serials = serial_of(old.soa), serial_of(plain.soa)
            soa = plain.soa if newer(serials[1], serials[0]) else _soa(plain.soa, serials[0])
            after = [soa if rrset.rdtype == RdataType.SOA else rrset for rrset in after]
            names[name] = after
        elif _content(before) != _content(after):
            names[name] = after
    return old.with_names(names), set(names)


def _content(rrsets: Iterable[RRset]) -> dict[RdataType, tuple[int, frozenset[Rdata]]]:
    return {rrset.rdtype: (rrset.ttl, frozenset(rrset)) for rrset in rrsets}


def next_serial(old: Zone, draft: Zone) -> int:
    """The draft's serial where it is newer, else the one after the old one's."""
    serial = serial_of(draft.soa)
    return serial if newer(serial, serial_of(old.soa)) else following(serial_of(old.soa))


def with_serial(zone: Zone, serial: int) -> Zone:
    """The zone under another serial number."""
    if serial_of(zone.soa) == serial:
        return zone
    kept = [rrset for rrset in zone.rrsets_at(zone.origin) if rrset.rdtype != RdataType.SOA]
    return zone.with_names({zone.origin: [*kept, _soa(zone.soa, serial)]})


def _soa(soa: RRset, serial: int) -> RRset:
    made = RRset(soa.name, soa.rdclass, RdataType.SOA)
    made.ttl = soa.ttl
    made.items = dict.fromkeys([soa[0].replace(serial=serial)])
    return made


def _whole(old: Zone, draft: Zone, signing: Signing) -> bool:
    """Whether the whole chain changes: its TTL (RFC 9077), its kind, or its parameters."""
    apex = old.nodes[old.origin].rrsets
    parameters = apex.get(RdataType.NSEC3PARAM)
    if signing.policy.denial == "nsec":
        there = RdataType.NSEC in apex and parameters is None
    else:
        there = parameters is not None and set(parameters) == set(nsec3_parameters(old.origin)) and bool(old.hashed)
    return not there or old.negative_soa.ttl != draft.negative_soa.ttl


class _Mending:
    def __init__(self, old: Zone, draft: Zone, signing: Signing, period: Period, again: frozenset[Signed]) -> None:
        self.old = old
        self.draft = draft
        self.signing = signing
        self.period = period
        self.again = again
        self.data: dict[Name, dict[RdataType, RRset]] = {}
        """The RRsets of the names in question as they will be, without signatures."""
        self.hashes: dict[Name, RRset | None] = {}
        """The NSEC3 RRsets in question as they will be; None: gone."""
        self.deleted: list[Record] = []
        self.added: list[Record] = []

    def run(self, touched: Iterable[Name]) -> Difference | None:
        origin = self.old.origin
        for name in self._affected(touched):
            self.data[name] = self._data(name)
        ttl = self.draft.soa.ttl
        self.data[origin].update(key_rrsets(self.data[origin], origin, ttl, self.signing))
        if self.signing.policy.denial == "nsec":
            self._mend_nsec()
        else:
            self.data[origin][RdataType.NSEC3PARAM] = nsec3_parameters(origin)
            self._mend_nsec3()
        soa = self.draft.soa
        changed = soa is not self.old.soa and soa != self.old.soa
        self.data[origin].pop(RdataType.SOA, None)
        for name, rrsets in self.data.items():
            self._compare(name, self.old.rrsets_at(name), rrsets.values())
        for name, rrset in self.hashes.items():
            self._compare(name, self.old.hashed_at(name), () if rrset is None else (rrset,))
        if not changed and not self.deleted and not self.added and (origin, RdataType.SOA) not in self.again:
            return None
        soa = _soa(soa, next_serial(self.old, self.draft))
        before = self.old.nodes[origin].signatures.get(RdataType.SOA)
        self._between(before, signature(soa, self.signing.of_data, self.period))
        return Difference(self.old.soa, soa, tuple(self.deleted), tuple(self.added))

    def _affected(self, touched: Iterable[Name]) -> set[Name]:
        """The names whose records, place in the chain or authority may be others now."""
        old, draft, origin = self.old, self.draft, self.old.origin
        there = {name for name in touched if name in old.nodes or name in draft.nodes}
        names = {*there, origin, *(name for name, covers in self.again if covers != RdataType.NSEC3)}
        for name in there:
            if cutting(old.nodes.get(name)) != cutting(draft.nodes.get(name)):
                names.update(old.order.below(name))
                names.update(draft.order.below(name))
            while name != origin and (name := name.parent()) != origin:
                if all(name in zone.nodes and zone.nodes[name].rrsets for zone in (old, draft)):
                    break
                names.add(name)  # it comes to be, or ceases, with the names below
        return names

    def _data(self, name: Name) -> dict[RdataType, RRset]:
        node = self.draft.nodes.get(name)
        return {} if node is None else {it: rrset for it, rrset in node.rrsets.items() if it not in MADE_HERE}

    def _cut(self, name: Name) -> Name | None:
        node = self.draft.nodes.get(name)
        return None if node is None else node.cut

    # The chain (RFC 4034 §4)

    def _member(self, name: Name) -> bool:
        """Whether a name will have an NSEC record."""
        rrsets = self.data.get(name)
        if rrsets is None:
            return RdataType.NSEC in self.draft.nodes[name].rrsets
        return bool(rrsets) and self._cut(name) in (None, name)

    def _mend_nsec(self) -> None:
        order, ttl = self.draft.order, self.draft.negative_soa.ttl
        dirty: set[Name] = set()
        for name in tuple(self.data):
            node = self.old.nodes.get(name)
            was = node is not None and RdataType.NSEC in node.rrsets
            if self._member(name):
                dirty.add(name)
            if was is not self._member(name):
                at = order.before(name)
                while not self._member(order[at]):
                    cut = self._cut(order[at])
                    at = at - 1 if cut is None else min(at - 1, order.upto(cut))  # glue has none
                dirty.add(order[at])
        records = {name: self._nsec(name, ttl) for name in dirty}
        for name, record in records.items():
            if name not in self.data:
                self.data[name] = self._data(name)
            self.data[name][RdataType.NSEC] = record

    def _nsec(self, name: Name, ttl: int) -> RRset:
        order = self.draft.order
        at = order.after(name)
        while at < len(order) and not self._member(order[at]):
            at += 1
        types = types_at(self.data.get(name) or self._data(name), self._cut(name))
        return nsec(name, ttl, order[at if at < len(order) else 0], types)

    # The hashed chain (RFC 5155 §7.1)

    def _mend_nsec3(self) -> None:
        origin, ttl = self.old.origin, self.draft.negative_soa.ttl
        owners: dict[Name, Name] = {}
        there: dict[Name, bool] = {}
        for name in self.data:
            owner = hashed_name(hashed(name, b"", 0), origin)
            owners[owner] = name
            there[owner] = (name in self.draft.nodes or name == origin) and self._cut(name) in (None, name)
        added = [owner for owner, is_there in there.items() if is_there and owner not in self.old.hashed]
        removed = [owner for owner, is_there in there.items() if not is_there and owner in self.old.hashed]
        order = self.old.hashed_order.altered(added, removed)
        dirty = {owner for owner, is_there in there.items() if is_there}
        for owner in (*added, *removed):
            dirty.add(order[order.before(owner)])
        dirty.update(name for name, covers in self.again if covers == RdataType.NSEC3 and name in self.old.hashed)
        for owner in dirty.difference(removed):
            following_owner = order[order.after(owner) % len(order)]
            if owner in owners:
                name = owners[owner]
                windows = nsec3_windows(name, origin, types_at(self.data[name], self._cut(name)), self._cut(name))
            else:
                windows = self.old.hashed[owner].rrsets[RdataType.NSEC3][0].windows
            self.hashes[owner] = nsec3(owner, ttl, _digest(following_owner), windows)
        self.hashes.update(dict.fromkeys(removed))

    # The difference

    def _compare(self, name: Name, before: Iterable[RRset], after: Iterable[RRset]) -> None:
        """What is deleted and added at a name; what did not change keeps its signatures."""
        old = {_kind(rrset): rrset for rrset in before if RdataType.SOA not in (rrset.rdtype, rrset.covers)}
        for rrset in after:
            was = old.pop((rrset.rdtype, RdataType.NONE), None)
            kept = old.pop((RdataType.RRSIG, rrset.rdtype), None)
            self._between(was, rrset)
            if not authoritative(self._cut(name), name, rrset.rdtype):
                self._between(kept, None)
                continue
            same = was is not None and was.ttl == rrset.ttl and was.items.keys() == rrset.items.keys()
            if kept is None or not same or (name, rrset.rdtype) in self.again:
                self._between(kept, signature(rrset, self.signing.signers(rrset.rdtype), self.period))
        for rrset in old.values():
            self._between(rrset, None)

    def _between(self, was: RRset | None, now: RRset | None) -> None:
        if was is not None and now is not None:
            gone, come = between(was, now)
            self.deleted += gone
            self.added += come
        elif was is not None:
            self.deleted += records_of(was)
        elif now is not None:
            self.added += records_of(now)


def _kind(rrset: RRset) -> tuple[RdataType, RdataType]:
    return rrset.rdtype, rrset.covers


def _digest(owner: Name) -> bytes:
    return b32hexdecode(owner.labels[0].upper())
