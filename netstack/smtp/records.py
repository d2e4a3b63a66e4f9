"""What the spool's files hold: records of a head in JSON and some octets, each with its checks.

A file is a sequence of records that only grows. Lengths and head have a check of their own, so that damage in a message's
content costs that message alone; after a damaged head nobody knows where the next record begins.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Any
from zlib import crc32

_HEAD = Struct(">4sBQIQII")
"""Magic, kind, number, octets of the head, octets of the content, check of the content, check of all before and the head."""
_MAGIC = b"NSq1"
LONGEST_HEAD = 16 * 1024 * 1024


class Record(IntEnum):
    """What a record says of a message."""

    MESSAGE = 1
    """It is here now, with all that is known of it."""
    CHANGE = 2
    DONE = 3
    """Nothing more is to be done for it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A record in a file; the content is `length` octets from `offset`."""

    kind: Record
    number: int
    head: Mapping[str, Any]
    offset: int
    length: int
    check: int
    end: int


def encode(kind: Record, number: int, head: Mapping[str, Any] | None = None, content: bytes = b"") -> bytes:
    """One record; raises ValueError for a head beyond LONGEST_HEAD."""
    text = json.dumps(head, separators=(",", ":")).encode() if head is not None else b""
    if len(text) > LONGEST_HEAD:
        raise ValueError(f"a head of {len(text)} octets")
    fixed = _HEAD.pack(_MAGIC, kind, number, len(text), len(content), crc32(content), 0)[:-4]
    return fixed + crc32(text, crc32(fixed)).to_bytes(4, "big") + text + content


def scan(read_at: Callable[[int, int], bytes], size: int) -> Iterator[Found]:
    """The records of a file of `size` octets, up to its end or the first that is not whole (a crash tore it)."""
    offset = 0
    while offset + _HEAD.size <= size:
        fixed = read_at(offset, _HEAD.size)
        if len(fixed) < _HEAD.size:
            return
        magic, kind, number, text_length, length, check, head_check = _HEAD.unpack(fixed)
        start = offset + _HEAD.size
        end = start + text_length + length
        if magic != _MAGIC or kind not in (1, 2, 3) or text_length > LONGEST_HEAD or end > size:
            return
        text = read_at(start, text_length)
        if crc32(text, crc32(fixed[:-4])) != head_check:
            return
        yield Found(Record(kind), number, json.loads(text) if text else {}, start + text_length, length, check, end)
        offset = end
