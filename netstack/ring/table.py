"""The copies of records that a node has: merged with others', expiring, counted, and summed up over their places."""

import heapq
from collections.abc import Iterator
from hashlib import sha1, sha256
from math import inf

from netstack.ring.records import NEVER, DataOptions, Record, Value, Version, digest_of
from netstack.ring.sums import Sums

OVERHEAD = 100
"""Octets that a value is counted for beside its own."""


def place_of(key: bytes) -> int:
    """A key's place among all."""
    return int.from_bytes(sha1(key, usedforsecurity=False).digest(), "big")


def name_of(data: bytes) -> bytes:
    """A value's name."""
    return sha256(data).digest()[:16]


class Full(Exception):
    """It would be more than the node may keep, or than a key may have."""


class _Entry:
    """A value; `until` is monotonic."""

    __slots__ = ("data", "dead", "until", "version")

    def __init__(self, version: Version, until: float, dead: bool, data: bytes) -> None:
        self.version = version
        self.until = until
        self.dead = dead
        self.data = data


class Held:
    """A key's record."""

    __slots__ = ("batch", "cleared", "cleared_until", "digest", "key", "octets", "position", "seen", "values")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.position = place_of(key)
        self.cleared = NEVER
        self.cleared_until = 0.0
        self.values: dict[bytes, _Entry] = {}
        self.digest = 0
        self.octets = 0
        self.batch = 0
        """The last one that it was made durable in, or will be."""
        self.seen = 0.0
        """When it was found not to be this node's to keep; 0 when it was not."""

    @property
    def newest(self) -> Version:
        """The greatest version in it."""
        return max([self.cleared, *(entry.version for entry in self.values.values())])

    def has(self, version: Version) -> bool:
        """Whether a change is in it."""
        return self.cleared == version or any(entry.version == version for entry in self.values.values())

    def ends(self) -> Iterator[float]:
        """When something in it is over."""
        yield from (entry.until for entry in self.values.values())
        if self.cleared != NEVER:
            yield self.cleared_until

    def record(self, now: float, names: frozenset[bytes] | None = None) -> Record:
        """As it is sent or kept; `names`: with these values alone."""
        values = tuple(
            Value(name, entry.version, max(0.0, entry.until - now), entry.dead, entry.data)
            for name, entry in self.values.items()
            if names is None or name in names
        )
        return Record(self.key, self.cleared, max(0.0, self.cleared_until - now), values)


class Table:
    """By key. All times are monotonic."""

    def __init__(self, options: DataOptions) -> None:
        self.options = options
        self.sums: Sums[Held] = Sums()
        self.octets = 0
        self.newest = 0
        """The greatest counter of a version that it has seen."""
        self._held: dict[bytes, Held] = {}
        self._ends: list[tuple[float, bytes]] = []
        self._most_ends = 1000

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    def get(self, key: bytes) -> Held | None:
        return self._held.get(key)

    def merge(self, record: Record, now: float) -> bool:
        """Take what is newer in a record; whether there was any. Raises Full, and ValueError for what cannot be one."""
        self._check(record)
        held = self._held.get(record.key)
        if held is None and len(self._held) >= self.options.keys:
            raise Full(f"{len(self._held)} keys are kept already")
        more = [value for value in record.values if _is_news(held, record.cleared, value)]
        octets = sum(len(value.data) + OVERHEAD for value in more)
        if more and self.octets + octets + len(record.key) > self.options.octets:
            raise Full(f"{self.octets} octets are kept already")
        clears = record.cleared > (held.cleared if held is not None else NEVER)
        if not more and not clears:
            return False
        if held is not None and len(held.values) + len(more) > 8 * self.options.values and not clears:
            raise Full(f"{len(held.values)} values under one key")
        if held is None:
            held = self._held[record.key] = Held(record.key)
            self.sums.add(held)
        if clears:
            held.cleared, held.cleared_until = record.cleared, now + min(record.life, self.options.tombstone)
            self._ends_at(held.cleared_until, held.key)
            self.newest = max(self.newest, record.cleared.counter)
            for name in [name for name, entry in held.values.items() if entry.version < record.cleared]:
                del held.values[name]
        for value in more:
            until = now + (min(value.life, self.options.tombstone) if value.dead else value.life)
            held.values[value.name] = _Entry(value.version, until, value.dead, value.data)
            self._ends_at(until, held.key)
            self.newest = max(self.newest, value.version.counter)
        self._changed(held)
        return True

    def retract(self, key: bytes, version: Version) -> bool:
        """Take a change back, as far as it is there; whether any of it was."""
        held = self._held.get(key)
        if held is None or not held.has(version):
            return False
        for name in [name for name, entry in held.values.items() if entry.version == version]:
            del held.values[name]
        if held.cleared == version:
            held.cleared = NEVER
        self._changed(held)
        return True

    def drop(self, key: bytes) -> None:
        """It is not this node's to keep."""
        held = self._held.pop(key)
        self.sums.discard(held)
        self.octets -= held.octets

    def expire(self, now: float) -> None:
        """Values whose life is over die; dead ones that are known long enough are forgotten."""
        while self._ends and self._ends[0][0] <= now:
            held = self._held.get(heapq.heappop(self._ends)[1])
            if held is not None and self._expire(held, now):
                self._changed(held)

    def next_end(self) -> float:
        """When `expire` has something to do."""
        return self._ends[0][0] if self._ends else inf

    def _expire(self, held: Held, now: float) -> bool:
        over = [(name, entry) for name, entry in held.values.items() if entry.until <= now]
        for name, entry in over:
            if entry.dead:
                del held.values[name]
            else:
                entry.dead, entry.data, entry.until = True, b"", now + self.options.lateness
                self._ends_at(entry.until, held.key)
        forgets = held.cleared != NEVER and held.cleared_until <= now
        if forgets:
            held.cleared = NEVER
        return bool(over) or forgets

    def _changed(self, held: Held) -> None:
        before, held.seen = held.octets, 0.0
        held.octets = len(held.key) + sum(len(entry.data) + OVERHEAD for entry in held.values.values())
        self.octets += held.octets - before
        if not held.values and held.cleared == NEVER:
            self.drop(held.key)
            return
        digest = held.digest
        held.digest = digest_of(
            held.key, held.cleared, [(name, entry.version, entry.dead) for name, entry in held.values.items()]
        )
        self.sums.changed(held, digest)

    def _ends_at(self, until: float, key: bytes) -> None:
        if until == inf:
            return
        heapq.heappush(self._ends, (until, key))
        if len(self._ends) >= self._most_ends:  # most are of what was replaced meanwhile
            self._ends = [(when, each.key) for each in self._held.values() for when in each.ends() if when < inf]
            heapq.heapify(self._ends)
            self._most_ends = 1000 + 2 * len(self._ends)

    def _check(self, record: Record) -> None:
        options = self.options
        if not 0 < len(record.key) <= options.key_octets:
            raise ValueError(f"a key of {len(record.key)} octets")
        for value in record.values:
            if len(value.data) > options.value_octets or (value.dead and value.data):
                raise ValueError(f"a value of {len(value.data)} octets")
            if not value.dead and value.name != name_of(value.data):
                raise ValueError("a value under a wrong name")
            if not value.life >= 0:
                raise ValueError(f"a life of {value.life} s")


def _is_news(held: Held | None, cleared: Version, value: Value) -> bool:
    if value.version < cleared:
        return False
    if held is None:
        return True
    if value.version < held.cleared:
        return False
    known = held.values.get(value.name)
    return (
        known is None or value.version > known.version or (value.version == known.version and value.dead and not known.dead)
    )
