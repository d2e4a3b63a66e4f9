"""Compiled zone files: a zone's records as octets and an index of its names, so that nothing is parsed at the start; pure.

Layout, integers big-endian but for the index: `MAGIC`; a record of each name, at a multiple of 8 octets, the apex first; the
index, a table of `slots` numbers of 64 bits (little-endian), open addressing from the CRC-32 of the name's octets in lower
case: that CRC above, the record's place divided by 8 below, 0 where there is none; the trailer of `TRAILER` octets. A name's
record: CRC-32 of the rest, its length, how many octets of the name are before the delegation at or above it (255: there is
none), the name; then for each RRset type, TTL, count, and each record's data after its length.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

import dns.name
from dns.rdatatype import RdataType

from netstack.dns.master import SINGLE
from netstack.dns.masterfile import Record
from netstack.dns.wire import name_text, type_text
from netstack.dns.zone import ZoneError
from netstack.sansio import Readable

VERSION = 1
MAGIC = b"NSZONE\r\n" + VERSION.to_bytes(8, "big")
TRAILER = 512
NO_CUT = 255
HEADER = len(MAGIC)
CHUNK = 1 << 20
HEAD = struct.Struct(">IIBB")
"""Of a name's record: CRC, length with all before it, cut, length of the name."""
RRSET = struct.Struct(">HIH")
_TRAILER = struct.Struct(">8sQQQQQIIB")
"""Magic, octets of the file, names, records, where the index begins, slots, CRC of what is before it, CRC of the index, and
the length of the origin, which follows."""
_SOA = int(RdataType.SOA)
_SIGNED = {RdataType.RRSIG, RdataType.NSEC, RdataType.NSEC3, RdataType.NSEC3PARAM, RdataType.DNSKEY}


class ZoneFileError(ZoneError):
    """The file is no compiled zone that can be served; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a compiled zone file says of itself."""

    origin: bytes
    """The origin's octets, in lower case."""
    octets: int
    names: int
    records: int
    index_at: int
    slots: int
    data_crc: int
    index_crc: int
    digest: bytes
    """Differs where two files do."""


class Compiler:
    """Takes a zone's records, gives the file."""

    def __init__(self, origin: bytes) -> None:
        self.origin = origin.lower()
        self.names = 0
        self.records = 0
        self._found: dict[bytes, list[Record]] = {}

    def add(self, record: Record) -> None:
        """A record within the zone."""
        key = record.owner.lower()
        if key == record.owner:
            key = record.owner  # the same object: it is kept once
        found = self._found.get(key)
        if found is None:
            self._found[key] = [record]
        else:
            found.append(record)

    def chunks(self, progress: Callable[[int, int], None] = lambda done, all: None) -> Iterator[bytes]:
        """The file in pieces; `progress` is told how many names of how many are done. Raises ZoneError."""
        found = self._found
        self._check_apex(found.get(self.origin, []))
        cuts, redirected = self._with(RdataType.NS) - {self.origin}, self._with(RdataType.DNAME)
        order = [self.origin, *(name for name in found if name != self.origin), *self._between()]
        total, slots = len(order), 2 * len(order) + 1
        index = array("Q", bytes(8 * slots))
        at, held, crc = len(MAGIC), 0, crc32(MAGIC)
        yield MAGIC
        pieces: list[bytes] = []
        for done, name in enumerate(order):
            records = found.get(name, [])
            body = self._node(name, records, _cut(name, self.origin, cuts, redirected))
            hashed = crc32(name)
            place = hashed % slots
            while index[place]:
                place = place + 1 if place + 1 < slots else 0
            index[place] = hashed << 32 | at >> 3
            at += len(body)
            held += len(body)
            pieces.append(body)
            if held >= CHUNK or done + 1 == total:
                joined = b"".join(pieces)
                crc = crc32(joined, crc)
                yield joined
                pieces, held = [], 0
                progress(done, total)
        if sys.byteorder == "big":
            index.byteswap()
        table = index.tobytes()
        yield table
        self.names = total
        trailer = _TRAILER.pack(
            MAGIC[:8], at + len(table) + TRAILER, total, self.records, at, slots, crc, crc32(table), len(self.origin)
        )
        trailer = (trailer + self.origin).ljust(TRAILER - 4, b"\0")
        yield trailer + crc32(trailer).to_bytes(4, "big")
        progress(total, total)

    def _node(self, name: bytes, records: list[Record], cut: int) -> bytes:
        parts = [records[0].owner if records else name]
        for rdtype, (ttl, rdatas) in rrsets_of(name, records, name == self.origin).items():
            self.records += len(rdatas)
            parts.append(RRSET.pack(rdtype, ttl, len(rdatas)))
            for rdata in rdatas.values():
                parts.append(len(rdata).to_bytes(2, "big") + rdata)
        body = b"".join(parts)
        rest = HEAD.pack(0, HEAD.size + len(body), cut, len(name))[4:] + body
        return crc32(rest).to_bytes(4, "big") + rest + bytes(-(4 + len(rest)) % 8)

    def _with(self, rdtype: RdataType) -> set[bytes]:
        """Names that have a type."""
        wanted = int(rdtype)
        return {name for name, records in self._found.items() if any(record.rdtype == wanted for record in records)}

    def _between(self) -> list[bytes]:
        """Names that exist only because names below them do (RFC 4592 §2.2.2)."""
        found, apex = self._found, len(self.origin)
        made: dict[bytes, None] = {}
        for name in found:
            parent = name[name[0] + 1 :]
            while len(parent) > apex and parent not in found and parent not in made:
                made[parent] = None
                parent = parent[parent[0] + 1 :]
        return list(made)

    def _check_apex(self, records: list[Record]) -> None:
        types = {record.rdtype for record in records}
        for rdtype, what in ((RdataType.SOA, "a SOA record"), (RdataType.NS, "at least one NS record")):
            if rdtype not in types:
                raise ZoneError(f"zone {_text(self.origin)}: expected {what} at the origin")


def rrsets_of(name: bytes, records: list[Record], apex: bool) -> dict[int, tuple[int, dict[bytes, bytes]]]:
    """By type, in the order in which they come first: TTL, the first one for all (RFC 2181 §5.2), and data by its digest.

    Raises ZoneError.
    """
    found: dict[int, tuple[int, dict[bytes, bytes]]] = {}
    for record in records:
        rdtype = record.rdtype
        before = found.get(rdtype)
        if before is None:
            if rdtype in _SIGNED:
                raise ZoneError(f"{_text(name)}: signed zones are not compiled; serve the master file")
            if rdtype == _SOA and not apex:
                raise ZoneError(f"{_text(name)}: expected a SOA record at the origin alone")
            found[rdtype] = record.ttl, {record.digest: record.rdata}
            continue
        rdatas = before[1]
        if rdtype in SINGLE and record.digest not in rdatas:
            raise ZoneError(f"{_text(name)}: expected one {type_text(RdataType(rdtype))} record")
        rdatas.setdefault(record.digest, record.rdata)
    if len(found) > 1:
        if RdataType.CNAME in found:
            raise ZoneError(f"{_text(name)}: expected no other data beside a CNAME record (RFC 1034 §3.6.2)")
        if RdataType.DNAME in found and RdataType.NS in found and not apex:
            raise ZoneError(f"{_text(name)}: expected no DNAME record beside a delegation (RFC 6672 §2.3)")
    return found


def _cut(name: bytes, origin: bytes, cuts: set[bytes], redirected: set[bytes]) -> int:
    """How many octets of a name are before the highest delegation at or above it."""
    found, at = NO_CUT, 0
    while len(name) - at > len(origin):
        key = name[at:]
        if key in cuts:
            found = at
        if at and key in redirected:
            raise ZoneError(f"{_text(name)}: expected no names below a DNAME record (RFC 6672 §2.4)")
        at += name[at] + 1
    if at and origin in redirected:
        raise ZoneError(f"{_text(name)}: expected no names below a DNAME record (RFC 6672 §2.4)")
    return found


def _text(name: bytes) -> str:
    return name_text(dns.name.from_wire(name, 0)[0])


# Reading


def is_compiled(start: bytes) -> bool:
    """Whether a file that begins so, with `HEADER` octets or more, was compiled, by whatever version."""
    return start[:8] == MAGIC[:8]


def summary(file: Readable, size: int) -> Summary:
    """Check a file of so many octets and read its trailer; raises ZoneFileError. The octets of names are checked one by one
    as well, when they are read."""
    again = "compile the master file again (netstack zone compile)"
    magic = file.read_at(0, len(MAGIC))
    if not is_compiled(magic):
        raise ZoneFileError(f"not a compiled zone file; {again}")
    version = int.from_bytes(magic[8:], "big")
    if version != VERSION:
        raise ZoneFileError(f"a compiled zone file of version {version}; this server reads version {VERSION}; {again}")
    raw = file.read_at(size - TRAILER, TRAILER) if size >= len(MAGIC) + TRAILER else b""
    if len(raw) != TRAILER or crc32(raw[:-4]).to_bytes(4, "big") != raw[-4:]:
        raise ZoneFileError(f"the end of the file is missing or damaged; {again}")
    _, octets, names, records, index_at, slots, data_crc, index_crc, length = _TRAILER.unpack_from(raw)
    if octets != size or index_at + 8 * slots + TRAILER != size:
        raise ZoneFileError(f"expected {octets} octets, got {size}; {again}")
    origin = raw[_TRAILER.size : _TRAILER.size + length]
    if _checked(_parts(file, 0, index_at)) != data_crc:
        raise ZoneFileError(f"its records are damaged (checksum); {again}")
    return Summary(origin, octets, names, records, index_at, slots, data_crc, index_crc, raw)


def index_of(file: Readable, about: Summary) -> "array[int]":
    """The index; raises ZoneFileError."""
    index = array("Q")
    crc = 0
    for part in _parts(file, about.index_at, about.index_at + 8 * about.slots):
        crc = crc32(part, crc)
        index.frombytes(part)
    if crc != about.index_crc:
        raise ZoneFileError("its index is damaged (checksum); compile the master file again (netstack zone compile)")
    if sys.byteorder == "big":
        index.byteswap()
    return index


def _parts(file: Readable, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        part = file.read_at(start, min(CHUNK, end - start))
        if not part:
            return
        yield part
        start += len(part)


def _checked(parts: Iterable[bytes]) -> int:
    crc = 0
    for part in parts:
        crc = crc32(part, crc)
    return crc
