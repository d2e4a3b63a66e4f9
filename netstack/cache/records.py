"""What stands in the files of a store: records, the table that ends a segment, removals. Octets in, values out.

A segment is a row of records, then a table of them; without the table (the process was killed) the records are found one
after another. A large object is a file of its own: the body, then the key, the metadata and the head. All integers are
little-endian; whatever fails its checksum does not exist.
"""

import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from zlib import crc32

VERSION = 1
"""Of the format of all files; a store of another version is emptied."""
MAGIC = b"nsCO"
_HEAD = Struct("<4sHHIQQI")
HEAD = _HEAD.size + 4
"""Octets of a record's head."""
_TABLE = Struct("<4sIQI")
TABLE = _TABLE.size
"""Octets at the end of a segment, behind the rows of its table."""
TABLE_MAGIC = b"nsCT"
ROW = 16
"""Octets of one row of a table: hash, offset, size."""
_REMOVAL = Struct("<IIQ")
REMOVAL = _REMOVAL.size + 4
EVERYWHERE = 0xFFFFFFFF
"""In place of an offset: whatever has this hash, in all segments before this one."""
_FORMAT = Struct("<4sI16s")
_LONGEST_KEY = 0xFFFF


class Corrupt(ValueError):
    """These octets are not what was written."""


@dataclass(frozen=True, slots=True)
class Head:
    """Of one record: `hash` is that of the key, `body_sum` the checksum of the body."""

    key: int
    meta: int
    body: int
    hash: int
    body_sum: int

    @property
    def size(self) -> int:
        """Octets of the whole record."""
        return HEAD + self.key + self.meta + self.body


def head_of(key: bytes, meta: bytes, body: int, body_sum: int, hashed: int) -> bytes:
    """A record's head; its checksum is over the key and the metadata, too. Raises ValueError where they are too long."""
    if len(key) > _LONGEST_KEY:
        raise ValueError(f"a key of {len(key)} octets: the longest has {_LONGEST_KEY}")
    packed = _HEAD.pack(MAGIC, VERSION, len(key), len(meta), body, hashed, body_sum)
    return packed + crc32(meta, crc32(key, crc32(packed))).to_bytes(4, "little")


def record(key: bytes, meta: bytes, body: bytes, hashed: int) -> tuple[bytes, bytes, bytes, bytes]:
    """A record of a segment, in pieces."""
    return head_of(key, meta, len(body), crc32(body), hashed), key, meta, body


def parse_head(data: bytes) -> Head:
    """The head that the octets begin with, not checked against the key and metadata. Raises Corrupt."""
    if len(data) < HEAD:
        raise Corrupt("a head is cut off")
    magic, version, key, meta, body, hashed, body_sum = _HEAD.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise Corrupt("no head of a record")
    return Head(key, meta, body, hashed, body_sum)


def names_of(head: Head, packed: bytes, data: bytes) -> tuple[bytes, bytes]:
    """The key and the metadata, which `data` begins with. Raises Corrupt."""
    key, meta = data[: head.key], data[head.key : head.key + head.meta]
    found = int.from_bytes(packed[HEAD - 4 : HEAD], "little")
    if len(key) < head.key or len(meta) < head.meta or crc32(meta, crc32(key, crc32(packed[: HEAD - 4]))) != found:
        raise Corrupt("the head of a record fails its checksum")
    return key, meta


def parse_record(data: bytes) -> tuple[Head, bytes, bytes, bytes]:
    """Head, key, metadata and body of a whole record. Raises Corrupt."""
    head = parse_head(data)
    if head.size != len(data):
        raise Corrupt("a record of another size")
    key, meta = names_of(head, data, data[HEAD : HEAD + head.key + head.meta])
    body = data[HEAD + head.key + head.meta :]
    if crc32(body) != head.body_sum:
        raise Corrupt("a body fails its checksum")
    return head, key, meta, body


class Table:
    """The rows of a segment: hashes, offsets and sizes of its records, in columns."""

    __slots__ = ("hashes", "offsets", "sizes")

    def __init__(self) -> None:
        self.hashes = array("Q")
        self.offsets = array("I")
        self.sizes = array("I")

    def __len__(self) -> int:
        return len(self.hashes)

    def add(self, hashed: int, offset: int, size: int) -> None:
        """One more record."""
        self.hashes.append(hashed)
        self.offsets.append(offset)
        self.sizes.append(size)

    def to_bytes(self) -> bytes:
        """The rows, and what ends the segment."""
        rows = b"".join(_little(column).tobytes() for column in (self.hashes, self.offsets, self.sizes))
        end = _TABLE.pack(TABLE_MAGIC, VERSION, len(self), crc32(rows))
        return rows + end + crc32(end).to_bytes(4, "little")

    @classmethod
    def from_bytes(cls, rows: bytes, count: int, checksum: int) -> "Table":
        """The rows alone. Raises Corrupt."""
        if len(rows) != ROW * count or crc32(rows) != checksum:
            raise Corrupt("a table fails its checksum")
        table = cls()
        table.hashes.frombytes(rows[: 8 * count])
        table.offsets.frombytes(rows[8 * count : 12 * count])
        table.sizes.frombytes(rows[12 * count :])
        for column in (table.hashes, table.offsets, table.sizes):
            if sys.byteorder == "big":
                column.byteswap()
        return table


TABLE_END = TABLE + 4


def parse_table_end(data: bytes) -> tuple[int, int]:
    """Count and checksum of a table's rows, from the last octets of a segment. Raises Corrupt."""
    if len(data) != TABLE_END or crc32(data[:TABLE]) != int.from_bytes(data[TABLE:], "little"):
        raise Corrupt("a segment without a table")
    magic, version, count, checksum = _TABLE.unpack(data[:TABLE])
    if magic != TABLE_MAGIC or version != VERSION:
        raise Corrupt("a segment without a table")
    return count, checksum


def _little(column: "array[int]") -> "array[int]":
    if sys.byteorder == "little":
        return column
    swapped = array(column.typecode, column)
    swapped.byteswap()
    return swapped


def removal(segment: int, offset: int, hashed: int = 0) -> bytes:
    """One record that is no more; or with EVERYWHERE all records of a hash in segments with a lower number."""
    packed = _REMOVAL.pack(segment, offset, hashed)
    return packed + crc32(packed).to_bytes(4, "little")


def parse_removals(data: bytes) -> Iterator[tuple[int, int, int]]:
    """All of them; one that was not written to its end at the last is left out. Raises Corrupt."""
    for at in range(0, len(data) - REMOVAL + 1, REMOVAL):
        packed = data[at : at + REMOVAL - 4]
        if crc32(packed) != int.from_bytes(data[at + REMOVAL - 4 : at + REMOVAL], "little"):
            raise Corrupt("a removal fails its checksum")
        yield _REMOVAL.unpack(packed)


def format_of(secret: bytes) -> bytes:
    """The file that says what the others are; `secret` is the key of the hashes."""
    packed = _FORMAT.pack(MAGIC, VERSION, secret)
    return packed + crc32(packed).to_bytes(4, "little")


def parse_format(data: bytes) -> bytes:
    """The secret. Raises Corrupt, also for another version."""
    if len(data) != _FORMAT.size + 4 or crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise Corrupt("the store's format is not known")
    magic, version, secret = _FORMAT.unpack(data[:-4])
    if magic != MAGIC or version != VERSION:
        raise Corrupt("the store has another format")
    return bytes(secret)
