"""Partial content: what a 206 holds, and how it joins what is stored (RFC 9110 §14.4, §15.3.7.3; RFC 9111 §3.3, §3.4)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from netstack.cache.entry import Entry

# RFC 9110 §14.4: range-resp = first-pos "-" last-pos "/" ( complete-length / "*" )
_RANGE = re.compile(r"bytes[ ]+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Octets of a representation, from `first` up to `stop`; `size` is that of the whole, None when it was not told."""

    first: int
    stop: int
    size: int | None


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a combined body: of the stored one, or of the one that is received."""

    stored: bool
    offset: int
    length: int


def span(fields: Mapping[str, str]) -> Span | None:
    """The octets of a single-part 206, None when Content-Range is absent, invalid or of another unit."""
    match = _RANGE.fullmatch(fields.get("content-range", ""))
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    size = None if match[3] == "*" else int(match[3])
    if last < first or (size is not None and size <= last):
        return None
    length = fields.get("content-length")
    if length is not None and length != str(last - first + 1):
        return None
    return Span(first, last + 1, size)


def joins(entry: Entry, new: Span, tag: str | None) -> tuple[Piece, ...] | None:
    """How the octets received extend the ones that are stored to one longer run; None when they do not.

    They need the same strong validator, and to overlap or touch; where they overlap what is stored is kept.
    """
    if tag is None or entry.strong != tag or entry.stop is None or entry.status != 200:
        return None
    if entry.length is not None and new.size is not None and entry.length != new.size:
        return None
    if new.first > entry.stop or new.stop < entry.first:
        return None
    pieces = [
        Piece(False, 0, entry.first - new.first),
        Piece(True, 0, entry.stop - entry.first),
        Piece(False, entry.stop - new.first, new.stop - entry.stop),
    ]
    return tuple(each for each in pieces if each.length > 0)
