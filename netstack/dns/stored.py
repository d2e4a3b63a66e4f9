"""A zone served from its compiled file, whose names are read when they are asked for; pure, the file comes from outside.

Of a name the index costs 16 octets of memory; names that are asked for again and again are remembered, `REMEMBERED` of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, ValuesView
from zlib import crc32

import dns.name
import dns.rdata
from dns.name import Name
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.nodes import Node, Nodes
from netstack.dns.octets import RRsetOctets, octets_of
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone, ZoneError, ZoneUnavailable
from netstack.dns.zonefile import CHUNK, HEAD, MAGIC, NO_CUT, RRSET, Summary, ZoneFileError, index_of, summary
from netstack.sansio import Readable

REMEMBERED = 10_000
"""Names at hand; of these the half that was not asked for of late is forgotten. Names asked for once are not remembered:
they are many, and the reply may be kept."""
_GUESS = 512
"""Octets read of a name's record at first; few are longer."""

_NO_SIGNATURES: Mapping[RdataType, RRset] = {}

Damaged = Callable[[str], None]


class StoredNode(Node):
    """A name's record; its RRsets take the form that is needed, when it is needed."""

    __slots__ = ("_cut", "_length", "_made", "_places", "_raw", "turning")

    def __init__(self, raw: bytes, length: int, cut: int) -> None:
        self._raw = raw
        self._length = length
        self._cut = cut
        self._octets = {}
        self.signatures = _NO_SIGNATURES
        self.turns = {}
        self.turning = False
        """Some RRset of it has more than one record."""
        self._made: dict[RdataType, RRset] | None = None
        self._places: dict[int, tuple[int, int, int]] = {}
        """Of each type: TTL, records, and where the first one begins."""
        at, end = HEAD.size + length, len(raw)
        while at < end:
            rdtype, ttl, count = RRSET.unpack_from(raw, at)
            if count > 1:
                self.turning = True
            at += RRSET.size
            self._places[rdtype] = ttl, count, at
            for _ in range(count):
                at += 2 + (raw[at] << 8 | raw[at + 1])

    @property
    def _owner(self) -> bytes:
        return self._raw[HEAD.size : HEAD.size + self._length]

    @property
    def name(self) -> Name:  # type: ignore[override]
        """As it was written first."""
        return dns.name.from_wire(self._owner, 0)[0]

    @property
    def cut(self) -> Name | None:  # type: ignore[override]
        """The delegation at or above this name."""
        return None if self._cut == NO_CUT else dns.name.from_wire(self._owner, self._cut)[0]

    def octets(self, rdtype: int) -> RRsetOctets | None:
        made = self._octets.get(rdtype)
        if made is None:
            place = self._places.get(rdtype)
            if place is None:
                return None
            made = self._octets[rdtype] = RRsetOctets(self._owner, rdtype, place[0], self._rdatas(place))
        return made

    @property
    def rrsets(self) -> dict[RdataType, RRset]:  # type: ignore[override]
        """The library's form of all of them."""
        if self._made is None:
            self._made, name = {}, self.name
            for number, place in self._places.items():
                rdtype = RdataType(number)
                rrset = RRset(name, RdataClass.IN, rdtype)
                rrset.update_ttl(place[0])
                for rdata in self._rdatas(place):
                    rrset.add(dns.rdata.from_wire(RdataClass.IN, rdtype, rdata, 0, len(rdata)))
                self._made[rdtype] = rrset
        return self._made

    def _rdatas(self, place: tuple[int, int, int]) -> list[bytes]:
        _, count, at = place
        raw, found = self._raw, []
        for _ in range(count):
            end = at + 2 + (raw[at] << 8 | raw[at + 1])
            found.append(raw[at + 2 : end])
            at = end
        return found


class StoredNodes(Nodes):
    """The names of one file. What was damaged since the zone was opened raises ZoneUnavailable, after `damaged` was told."""

    __slots__ = ("_about", "_file", "_index", "_old", "_once", "_young", "damaged")

    def __init__(self, file: Readable, about: Summary) -> None:
        super().__init__()
        self._file = file
        self._about = about
        self._index = index_of(file, about)
        self._young: dict[bytes, Node] = {}
        self._old: dict[bytes, Node] = {}
        self._once: set[int] = set()
        """Checksums of names that were asked for once, of late."""
        self.find = self._find
        self.damaged: Damaged = lambda why: None

    def _find(self, key: bytes) -> Node | None:
        node = self._young.get(key)
        if node is not None:
            return node
        node = self._old.get(key)
        if node is None:
            node = self._read(key)
            if node is None:
                return None
            if not node.turning:
                hashed = crc32(key)
                if hashed not in self._once:
                    if len(self._once) >= REMEMBERED:
                        self._once.clear()
                    self._once.add(hashed)
                    return node
        self._young[key] = node
        if len(self._young) > REMEMBERED // 2:
            self._old, self._young = self._young, {}
        return node

    def _read(self, key: bytes) -> StoredNode | None:
        index, slots = self._index, self._about.slots
        hashed = crc32(key)
        place = hashed % slots
        slot = index[place]
        while slot:
            if slot >> 32 == hashed:
                raw, length, cut = self._record((slot & 0xFFFFFFFF) << 3)
                if raw[HEAD.size : HEAD.size + length].lower() == key:
                    return StoredNode(raw, length, cut)
            place = place + 1 if place + 1 < slots else 0
            slot = index[place]
        return None

    def _record(self, at: int) -> tuple[bytes, int, int]:
        """A name's record, its name's length, its cut."""
        raw = self._file.read_at(at, _GUESS)
        if len(raw) >= HEAD.size:
            crc, octets, cut, length = HEAD.unpack_from(raw)
            if HEAD.size < octets <= self._about.index_at - at:
                if octets > len(raw):
                    raw = b"".join(_pieces(self._file, at, at + octets))
                raw = raw[:octets]
                if len(raw) == octets and crc32(raw[4:]) == crc:
                    return raw, length, cut
        why = "the compiled zone file has changed since it was opened; replace such files by renaming, then restart"
        self.damaged(why)
        raise ZoneUnavailable(why)

    def _all(self) -> Iterator[Node]:
        """Every name in the file's order, a part of the file at a time; none of them is remembered."""
        at, end, start = len(MAGIC), self._about.index_at, 0
        part = b""
        while at < end:
            here = at - start
            octets = int.from_bytes(part[here + 4 : here + 8], "big") if len(part) - here >= 8 else 0
            if octets == 0 or here + octets > len(part):
                part, start, here = b"".join(_pieces(self._file, at, min(end, at + max(CHUNK, octets)))), at, 0
                octets = int.from_bytes(part[4:8], "big")
                if octets > len(part):
                    part = b"".join(_pieces(self._file, at, min(end, at + octets)))
            raw = part[here : here + octets]
            if len(raw) != octets or octets <= HEAD.size or crc32(raw[4:]) != int.from_bytes(raw[:4], "big"):
                self._record(at)
                return
            yield StoredNode(raw, raw[9], raw[8])
            at += octets + -octets % 8

    def __contains__(self, name: object) -> bool:
        return isinstance(name, Name) and self._find(octets_of(name)) is not None

    def __setitem__(self, name: Name, node: Node) -> None:
        raise ZoneError(f"{name_text(name)}: a compiled zone cannot be changed")

    def __delitem__(self, name: Name) -> None:
        raise ZoneError(f"{name_text(name)}: a compiled zone cannot be changed")

    def __iter__(self) -> Iterator[Name]:
        return (node.name for node in self._all())

    def __len__(self) -> int:
        return self._about.names

    def values(self) -> ValuesView[Node]:
        return _Values(self)

    def copy(self) -> Nodes:
        raise ZoneError("a compiled zone cannot be changed")


class _Values(ValuesView[Node]):
    """Nodes, without a look-up for each."""

    def __init__(self, nodes: StoredNodes) -> None:
        super().__init__(nodes)
        self._nodes = nodes

    def __iter__(self) -> Iterator[Node]:
        return self._nodes._all()


class StoredZone(Zone):
    """A zone in a compiled file, which must not be closed while the zone is served. It does not change."""

    def __init__(self, origin: Name, file: Readable, size: int) -> None:
        """`size`: of the file, octets. Raises ZoneFileError."""
        self.origin = origin
        self.octets = octets_of(origin)
        self.about = summary(file, size)
        if self.about.origin != self.octets:
            found = name_text(dns.name.from_wire(self.about.origin, 0)[0])
            raise ZoneFileError(f"expected the zone {name_text(origin)}, got {found}")
        self.stored = StoredNodes(file, self.about)
        self.nodes, self.hashed = self.stored, Nodes()
        self._order = self._hashed_order = None
        self._check_apex()

    def watched(self, damaged: Callable[[Zone, str], None]) -> None:
        self.stored.damaged = lambda why: damaged(self, why)

    def snapshot(self) -> Iterable[RRset]:
        """It does not change: read while it is sent."""
        return self

    def with_names(self, names: Mapping[Name, Iterable[RRset]]) -> Zone:
        raise ZoneError(f"zone {name_text(self.origin)}: a compiled zone cannot be changed")


def _pieces(file: Readable, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        piece = file.read_at(start, end - start)
        if not piece:
            return
        yield piece
        start += len(piece)
