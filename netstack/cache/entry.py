"""What is known of a stored response beside its body; everything that a hit needs is an instant or ready octets."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntFlag
from math import floor
from zlib import crc32

_VERSION = b"nse1"
_NUMBERS = struct.Struct("!6dqqqqqHB")
_SHORT = struct.Struct("!H")
_LONG = struct.Struct("!I")
_NONE = 0xFFFF
MOST_OCTETS = 0xFFFE
"""Of one selecting value, entity tag or key in `to_bytes`."""

Selecting = tuple[str | None, ...]
"""Normalised values of the fields that Vary names, None for a field that the request did not have."""


class Broken(ValueError):
    """These octets are no entry, or not the one that was written."""


class Flags(IntFlag):
    """What a stored response may not be used for, or is."""

    VALIDATE = 1
    """Never without validation: no-cache (RFC 9111 §5.2.2.4), or it was found out of date."""
    STRICT = 2
    """Never stale: must-revalidate, proxy-revalidate, s-maxage (RFC 9111 §4.2.4)."""
    HEURISTIC = 4
    """Its lifetime is a guess (RFC 9111 §4.2.2)."""
    IMMUTABLE = 8
    """RFC 8246"""
    ADOPTED = 16
    """The names in `vary` are those of another response of the same key (RFC 9111 §4.1, last paragraph)."""


NO_FLAGS = Flags(0)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One stored response. Times are wall seconds, sizes octets of the representation."""

    key: bytes
    status: int
    head: bytes
    """Field lines, each with its CRLF, as they are served: Date and Via among them, without Content-Length, Age, our
    Cache-Status, and whatever belonged to the connection."""
    request_time: float
    """A clock that shows less than this has jumped back: then nothing is fresh."""
    response_time: float
    born: float
    """When its age was zero: current_age is `wall - born` (RFC 9111 §4.2.3)."""
    fresh_until: float
    """Fresh while `request_time <= wall < fresh_until`; 0 when it must always be validated."""
    stale_while: float
    """Until then it may be served while it is validated (RFC 5861 §3)."""
    stale_error: float
    """Until then it may be served when the origin fails (RFC 5861 §4)."""
    date: int
    """The Date field; of several the most recent one is used (RFC 9111 §4)."""
    flags: Flags = NO_FLAGS
    length: int | None = None
    """Of the whole representation; None while that is not known."""
    first: int = 0
    stop: int | None = None
    """The octets from `first` up to `stop` are stored; None while they are coming."""
    etag: str | None = None
    modified: int | None = None
    vary: tuple[str, ...] = ()
    """Names in lower case; ("*",) matches nothing (RFC 9110 §12.5.5)."""
    selecting: tuple[Selecting, ...] = ()
    """Requests with any of these values are served by it."""

    @property
    def whole(self) -> bool:
        """Nothing of the representation is missing (RFC 9111 §3.3)."""
        return self.first == 0 and self.stop is not None and self.stop == self.length

    @property
    def stored(self) -> int:
        """Octets of the body that are stored."""
        return 0 if self.stop is None else self.stop - self.first

    @property
    def strong(self) -> str | None:
        """The entity tag if it is strong (RFC 9110 §8.8.1)."""
        return None if self.etag is None or self.etag.startswith("W/") else self.etag

    def fresh(self, wall: float) -> bool:
        """Whether it may be served without asking anybody (RFC 9111 §4.2)."""
        return self.request_time <= wall < self.fresh_until

    def age(self, wall: float) -> int:
        """The value of Age (RFC 9111 §5.1), in whole seconds of the clock: the same for every moment of one."""
        return max(0, floor(wall) - floor(self.born))

    def ttl(self, wall: float) -> int:
        """Whole seconds that it stays fresh, negative when it is stale (RFC 9211 §2.4)."""
        return floor(self.fresh_until) - floor(wall)

    def fields(self) -> list[tuple[str, str]]:
        """The field lines of `head`."""
        return list(head_lines(self.head))

    def field(self, name: str) -> str | None:
        """The value of a field, lines joined; `name` is in lower case."""
        values = [value for each, value in head_lines(self.head) if each.lower() == name]
        return ", ".join(values) if values else None

    def to_bytes(self) -> bytes:
        """Octets that `from_bytes` reads, with a checksum; for the store."""
        numbers = _NUMBERS.pack(
            self.request_time, self.response_time, self.born, self.fresh_until, self.stale_while, self.stale_error,
            self.date, -1 if self.length is None else self.length, self.first,
            -1 if self.stop is None else self.stop, -1 if self.modified is None else self.modified,
            self.status, self.flags,
        )  # fmt: skip
        strings: list[str | None] = [self.key.decode("latin-1"), self.etag, ",".join(self.vary) or None]
        for values in self.selecting:
            strings.extend(values)
        packed = [numbers, _LONG.pack(len(self.head)), self.head, _SHORT.pack(len(self.selecting))]
        for each in strings:
            octets = b"" if each is None else each.encode("latin-1")
            packed += [_SHORT.pack(_NONE if each is None else len(octets)), octets]
        rest = b"".join(packed)
        return _VERSION + _LONG.pack(crc32(rest)) + rest

    @classmethod
    def from_bytes(cls, data: bytes) -> "Entry":
        """The entry that `to_bytes` wrote; raises Broken for anything else."""
        rest = data[8:]
        if data[:4] != _VERSION or len(data) < 8 or _LONG.unpack_from(data, 4)[0] != crc32(rest):
            raise Broken("not an entry of this version, or damaged")
        try:
            return cls._read(rest)
        except (struct.error, ValueError, IndexError) as error:
            raise Broken("damaged") from error

    @classmethod
    def _read(cls, rest: bytes) -> "Entry":
        (
            request_time, response_time, born, fresh_until, stale_while, stale_error,
            date, length, first, stop, modified, status, flags,
        ) = _NUMBERS.unpack_from(rest)  # fmt: skip
        at = _NUMBERS.size
        size = _LONG.unpack_from(rest, at)[0]
        at += 4
        head = rest[at : at + size]
        at += size
        sets = _SHORT.unpack_from(rest, at)[0]
        strings = list(_strings(rest, at + 2))
        key, etag, names = strings[:3]
        vary = () if names is None else tuple(names.split(","))
        values = strings[3:]
        if key is None or len(head) != size or len(values) != sets * len(vary):
            raise Broken("damaged")
        return cls(
            key.encode("latin-1"), status, head, request_time, response_time, born, fresh_until, stale_while, stale_error,
            date, Flags(flags), None if length < 0 else length, first, None if stop < 0 else stop, etag,
            None if modified < 0 else modified, vary,
            tuple(tuple(values[n * len(vary) : (n + 1) * len(vary)]) for n in range(sets)),
        )  # fmt: skip


def head_lines(head: bytes) -> Iterator[tuple[str, str]]:
    """The field lines of ready octets."""
    for line in head.decode("latin-1").split("\r\n"):
        if line:
            name, _, value = line.partition(":")
            yield name, value.strip(" \t")


def most_recent(entries: Sequence[Entry]) -> Entry:
    """RFC 9111 §4: by the Date field; of one second, what was received last."""
    return max(entries, key=lambda entry: (entry.date, entry.response_time))


def _strings(rest: bytes, at: int) -> Iterator[str | None]:
    while at < len(rest):
        size = _SHORT.unpack_from(rest, at)[0]
        at += 2
        if size == _NONE:
            yield None
            continue
        if at + size > len(rest):
            raise Broken("damaged")
        yield rest[at : at + size].decode("latin-1")
        at += size
