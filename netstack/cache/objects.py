"""What a store holds: a stored object, and one that is being received, which many may read meanwhile."""

from bisect import bisect_right
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from zlib import crc32

from netstack.cache.eviction import USES, Item
from netstack.sansio import FileSlice

if TYPE_CHECKING:
    from netstack.cache.store import Store


class Stored(Item):
    """A stored object. `body` and `part` count a use; a hot path that sends octets which it keeps itself calls `use`."""

    __slots__ = ("body_octets", "decoded", "entry", "key", "meta", "removed", "size")

    def __init__(self, key: bytes, meta: bytes, body: bytes, octets: int) -> None:
        super().__init__(octets)
        self.key = key
        self.meta = meta
        self.size = len(body)
        """Of the body, in octets."""
        self.body_octets = body
        self.entry: Any = None
        """What its user made of `meta`: set by `Store.keep`, None again when there is no room for it."""
        self.decoded = 0
        """Octets that `entry` takes, as its user said."""
        self.removed = False
        """It is in the store no more."""

    @property
    def mark(self) -> int:
        return crc32(self.key)

    def use(self) -> None:
        """It was served once more."""
        if self.uses < USES:
            self.uses += 1

    def body(self) -> bytes | FileSlice:
        """All of the body; a slice's file is closed by whoever sends it."""
        if self.uses < USES:
            self.uses += 1
        return self.body_octets

    def part(self, offset: int, length: int) -> bytes | FileSlice:
        """Some octets of the body."""
        if self.uses < USES:
            self.uses += 1
        return self.body_octets[offset : offset + length]

    def hold(self) -> None:
        """It is not evicted until as many calls of `release` have come; it may be removed."""
        self.held += 1

    def release(self) -> None:
        """The end of one `hold`."""
        self.held -= 1


class Gone(LookupError):
    """Octets of an object being received that are kept no more."""


class Writing:
    """An object that is being received. It can be read from any place while it grows, and after its end.

    What will not be stored (`storing` is False) is kept only for its readers: octets that none of them needs are dropped by
    `forget`, and whoever receives should wait while `full`. Whoever began it closes it when nobody reads it any more.
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
        self.start = 0
        """The first octet that can be read."""
        self.ended = False
        """By `end` or `abort`: no more octets come."""
        self.on_room: Callable[[], None] | None = None
        """Called when it was `full` and is no more."""
        self._stored: Stored | None = None
        self._pieces: list[bytes] = []
        self._offsets: list[int] = []

    @property
    def waiting(self) -> int:
        """Octets in memory."""
        return self.size - self.start

    @property
    def full(self) -> bool:
        """Too many octets wait for readers, of an object that is not stored: read no more of them from the origin."""
        return not self.storing and self.waiting > self._store.window

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

        Raises Gone for octets before `start`.
        """
        if offset < self.start:
            raise Gone(f"octet {offset} of an object that is kept from {self.start} on")
        if offset >= self.size:
            return b""
        place = bisect_right(self._offsets, offset) - 1
        piece, skipped = self._pieces[place], offset - self._offsets[place]
        return piece if not skipped and len(piece) <= limit else piece[skipped : skipped + limit]

    def forget(self, offset: int) -> None:
        """No reader needs octets before `offset`; they go unless they will be stored."""
        if self.storing or offset <= self.start:
            return
        was_full = self.full
        count = bisect_right(self._offsets, offset) - 1 if offset < self.size else len(self._pieces)
        gone = sum(map(len, self._pieces[:count]))
        del self._pieces[:count], self._offsets[:count]
        self.start += gone
        self._store.shrunk(gone)
        if was_full and not self.full and self.on_room is not None:
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
        self.abort()
        if self._stored is not None:
            self._stored.release()
            self._stored = None
        elif self._pieces:
            self._store.shrunk(self.waiting)
        self._pieces, self._offsets, self.start = [], [], self.size

    def __del__(self) -> None:
        self.close()

    def taken(self) -> bytes:
        """All of the body in one piece, for the store."""
        if len(self._pieces) > 1:
            self._pieces, self._offsets = [b"".join(self._pieces)], [0]
        return self._pieces[0] if self._pieces else b""
