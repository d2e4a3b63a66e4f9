"""What a store holds: a stored object, and one that is being received, which many may read meanwhile."""

from bisect import bisect_right
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from zlib import crc32

from netstack.cache.eviction import USES, Item
from netstack.sansio import FileSlice

if TYPE_CHECKING:
    from netstack.cache.files import Files
    from netstack.cache.segments import Segment
    from netstack.cache.spilling import Spill
    from netstack.cache.store import Store


class Stored(Item):
    """A stored object. `body` and `part` count a use; a hot path that sends octets which it keeps itself calls `use`."""

    __slots__ = (
        "body_octets", "decoded", "entry", "files", "key", "meta",
        "queued", "removed", "resident", "segment", "size", "slot",
    )  # fmt: skip

    def __init__(self, key: bytes, meta: bytes, body: bytes | None, octets: int, size: int) -> None:
        super().__init__(octets)
        self.key = key
        self.meta = meta
        self.size = size
        """Of the body, in octets."""
        self.body_octets = body
        """None: it is in a file of its own."""
        self.entry: Any = None
        """What its user made of `meta`: set by `Store.keep`, None again when there is no room for it."""
        self.decoded = 0
        """Octets that `entry` takes, as its user said."""
        self.removed = False
        """It is in the store no more."""
        self.resident = False
        """It is in the memory tier."""
        self.slot = 0
        """Of the disk tier's index; below 0 where it is on disk and was in memory; 0 where it is not on disk."""
        self.queued = False
        """It waits to be written to disk."""
        self.segment: Segment | None = None
        self.files: Files | None = None
        """Of a large object."""

    @property
    def mark(self) -> int:
        return crc32(self.key)

    def use(self) -> None:
        """It was served once more."""
        if self.uses < USES:
            self.uses += 1

    def body(self) -> bytes | FileSlice:
        """All of the body; a slice's file is closed by whoever sends it. Raises OSError where the file has gone."""
        if self.uses < USES:
            self.uses += 1
        return self._slice(0, self.size) if self.body_octets is None else self.body_octets

    def part(self, offset: int, length: int) -> bytes | FileSlice:
        """Some octets of the body; otherwise the same."""
        if self.uses < USES:
            self.uses += 1
        if self.body_octets is None:
            return self._slice(offset, max(0, min(length, self.size - offset)))
        return self.body_octets[offset : offset + length]

    def _slice(self, offset: int, length: int) -> FileSlice:
        assert self.files is not None and self.segment is not None  # noqa: S101, PT018  a large object has both
        return FileSlice(self.files.lend(self.segment), offset, length)

    def hold(self) -> None:
        """It is not evicted until as many calls of `release` have come; it may be removed."""
        self.held += 1

    def release(self) -> None:
        """The end of one `hold`."""
        self.held -= 1


class Gone(LookupError):
    """Octets of an object being received that are kept no more."""


SPILLED = 256 * 1024
"""Octets of a large object that are written to disk together."""


class Writing:
    """An object that is being received. It can be read from any place while it grows, and after its end.

    What is too large for memory goes to disk as it comes. What will not be stored (`storing` is False) is kept only for its
    readers: octets that none of them needs are dropped by `forget`. Whoever receives should wait while `full`. Whoever began
    it closes it when nobody reads it any more.
    """

    def __init__(self, store: "Store", key: bytes, meta: bytes, length: int | None, storing: bool) -> None:
        self._store = store
        self.key = key
        self.meta = meta
        self.length = length
        """What was promised of the body, or None."""
        self.storing = storing
        self.size = 0
        """Octets of the body so far."""
        self.ended = False
        """By `end` or `abort`: no more octets come."""
        self.on_room: Callable[[], None] | None = None
        """Called when it was `full` and is no more, and when it will not be stored after all: what was read can go."""
        self.spill: Spill | None = None
        """Of one that goes to disk."""
        self._stored: Stored | None = None
        self._closed = False
        self._pieces: list[bytes] = []
        self._offsets: list[int] = []
        self._base = 0
        """The first octet in memory."""
        self._lost = False
        """Octets before `_base` are nowhere."""

    @property
    def start(self) -> int:
        """The first octet that can be read."""
        return self._base if self._lost or self.spill is None else 0

    @property
    def waiting(self) -> int:
        """Octets in memory."""
        return self.size - self._base

    @property
    def much(self) -> bool:
        """Enough waits for the disk to be written; so it does when no more may come before that."""
        return self.waiting >= SPILLED or self.full

    @property
    def full(self) -> bool:
        """Too many octets wait for readers or for the disk: read no more of them from the origin."""
        return (not self.storing or self.spill is not None) and self.waiting > self._store.window

    def write(self, data: bytes) -> None:
        """The next octets of the body."""
        if self.ended:
            raise ValueError("the object has ended")
        if not data:
            return
        self._pieces.append(data)
        self._offsets.append(self.size)
        self.size += len(data)
        self._store.grown(self, len(data))

    def read(self, offset: int, limit: int) -> bytes:
        """At most `limit` octets from `offset`, as many as are at hand in one piece; none where they have not come yet.

        Raises Gone for octets before `start`, and OSError.
        """
        if offset < self._base:
            spill = self.spill
            if spill is None or self._lost or spill.segment.file is None:
                raise Gone(f"octet {offset} of an object that is kept from {self._base} on")
            return spill.segment.file.read_at(offset, min(limit, self._base - offset))
        if offset >= self.size:
            return b""
        place = bisect_right(self._offsets, offset) - 1
        piece, skipped = self._pieces[place], offset - self._offsets[place]
        return piece if not skipped and len(piece) <= limit else piece[skipped : skipped + limit]

    def forget(self, offset: int) -> None:
        """No reader needs octets before `offset`; they go unless they will be stored."""
        if self.storing or offset <= self._base:
            return
        count = bisect_right(self._offsets, offset) - 1 if offset < self.size else len(self._pieces)
        if count:
            self._lost = True
            self._drop(count)

    def _drop(self, count: int) -> None:
        """The first pieces need not be in memory any more."""
        gone = sum(map(len, self._pieces[:count]))
        del self._pieces[:count], self._offsets[:count]
        self._base += gone
        self._store.shrunk(gone)
        if self.on_room is not None and not self.ended and not self.full:  # maybe it was not: `full` depends on all memory
            self.on_room()

    def end(self, meta: bytes | None = None) -> Stored | None:
        """The body is complete; `meta` replaces what `begin` was given. None where it is not stored.

        A body that is not as long as promised is not stored.
        """
        if self.ended:
            raise ValueError("the object has ended")
        self.ended = True
        if meta is not None:
            self.meta = meta
        stored = self._stored = self._store.received(self)
        if stored is not None:
            stored.hold()
        return stored

    def abort(self) -> None:
        """It will never be complete: not stored; what came can be read until its readers let go of it."""
        if not self.ended:
            self.ended = True
            self._store.aborted(self)

    def close(self) -> None:
        """Nobody reads it any more; it is aborted unless it has ended. Once or more often."""
        if self._closed:
            return
        self._closed = True
        self.abort()
        if self._stored is not None:
            self._stored.release()
        if self._stored is None or self.spill is None:  # what is still to be written to disk stays until it is
            self._free()

    def __del__(self) -> None:
        self.close()

    def _free(self) -> None:
        if self._stored is None or self.spill is not None:
            self._store.shrunk(self.waiting)
        self._pieces, self._offsets, self._base = [], [], self.size

    # For the store

    def whole(self) -> bytes:
        """All of the body in one piece."""
        if len(self._pieces) > 1:
            self._pieces, self._offsets = [b"".join(self._pieces)], [0]
        return self._pieces[0] if self._pieces else b""

    def unflushed(self) -> bytes:
        """What is not on disk yet."""
        if len(self._pieces) > 1:
            self._pieces, self._offsets = [b"".join(self._pieces)], [self._base]
        return self._pieces[0] if self._pieces else b""

    def flushed(self, octets: int) -> None:
        """So many more octets are on disk."""
        if octets:
            self._drop(bisect_right(self._offsets, self._base + octets - 1))

    def spilled(self) -> None:
        """All of it is on disk."""
        if self._closed:
            self._free()

    def failed(self) -> None:
        """The disk takes no more of it; what waits can still be read."""
        if self._closed:
            self.storing = False
            self._free()
        else:
            self.give_up()

    def give_up(self) -> None:
        """It is received for its readers alone."""
        self.storing = False
        if self.on_room is not None and not self.ended:
            self.on_room()
