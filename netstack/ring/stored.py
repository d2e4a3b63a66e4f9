"""Records as octets on disk: frames that only grow a file, each with checks of its own. Lives are wall times there.

frame  = magic (2) kind (1) length (4) check of length and body (4) body
SEEN   = wall time (8): the node was up then
RECORD = key, cleared version, wall time until that may be forgotten, values
DROP   = a key that is not kept any more
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct, error
from zlib import crc32

from netstack.ring.records import Record, Value, Version

_HEAD = Struct(">2sBII")
_MAGIC = b"RK"
_CLEARED = Struct(">HQQdH")
_VALUE = Struct(">QQd?I")
_TIME = Struct(">d")
_NAME = 16
LONGEST = 64 * 1024 * 1024
"""Octets of one frame."""


class Frame(IntEnum):
    """What a frame says."""

    SEEN = 1
    RECORD = 2
    DROP = 3


@dataclass(frozen=True, slots=True)
class Found:
    """A frame in a file."""

    kind: Frame
    body: bytes
    end: int


def encode_record(record: Record, wall: float) -> bytes:
    """With lives as times on the wall's clock."""
    parts = [_CLEARED.pack(len(record.key), *record.cleared, wall + record.life, len(record.values)), record.key]
    for value in record.values:
        parts.append(_VALUE.pack(*value.version, wall + value.life, value.dead, len(value.data)))
        parts.extend((value.name, value.data))
    return _frame(Frame.RECORD, b"".join(parts))


def encode_drop(key: bytes) -> bytes:
    return _frame(Frame.DROP, key)


def encode_seen(wall: float) -> bytes:
    return _frame(Frame.SEEN, _TIME.pack(wall))


def decode_record(body: bytes, wall: float) -> Record:
    """With lives from now; what is over has none left. Raises ValueError for what is no record."""
    try:
        size, counter, origin, until, count = _CLEARED.unpack_from(body)
        at = _CLEARED.size + size
        key = body[_CLEARED.size : at]
        values = []
        for _ in range(count):
            of, giver, ends, dead, length = _VALUE.unpack_from(body, at)
            at += _VALUE.size
            name, data = body[at : at + _NAME], body[at + _NAME : at + _NAME + length]
            at += _NAME + length
            values.append(Value(name, Version(of, giver), max(0.0, ends - wall), dead, data))
    except error as wrong:
        raise ValueError(f"no record: {wrong}") from None
    if at != len(body):
        raise ValueError(f"no record: it has {len(body)} octets, {at} were expected")
    return Record(key, Version(counter, origin), max(0.0, until - wall), tuple(values))


def decode_seen(body: bytes) -> float:
    found: float = _TIME.unpack(body)[0]
    return found


def scan(read_at: Callable[[int, int], bytes], size: int) -> Iterator[Found]:
    """The frames of a file of `size` octets, up to its end or the first that is not whole."""
    offset = 0
    while offset + _HEAD.size <= size:
        magic, kind, length, check = _HEAD.unpack(read_at(offset, _HEAD.size))
        end = offset + _HEAD.size + length
        if magic != _MAGIC or kind not in (1, 2, 3) or length > LONGEST or end > size:
            return
        body = read_at(offset + _HEAD.size, length)
        if _check(kind, body) != check:
            return
        yield Found(Frame(kind), body, end)
        offset = end


def _frame(kind: Frame, body: bytes) -> bytes:
    return _HEAD.pack(_MAGIC, kind, len(body), _check(kind, body)) + body


def _check(kind: int, body: bytes) -> int:
    return crc32(body, crc32(len(body).to_bytes(4, "big") + bytes((kind,))))
