"""The memory tier: objects by their keys, bounded in octets and count."""

from collections import OrderedDict
from collections.abc import Callable, Iterator

from netstack.cache.eviction import S3FIFO
from netstack.cache.objects import Stored
from netstack.kernel.background import untracked

OVERHEAD = 480
"""Octets of memory that an object takes beside its key, metadata and body; `tests/bench/cache_store.py` measures it."""


class Memory:
    """Variants of a key are found together. Where the disk may have more of them, they are not all here (`some`)."""

    def __init__(self, octets: int, objects: int, decoded: int) -> None:
        self.octets = octets
        self.objects = objects
        self.decoded = decoded
        """Octets for what users keep with objects (`Stored.entry`); a part of all."""
        self.growing = 0
        """Octets of objects that are being received."""
        self.index: Callable[[], int] = _nothing
        """Octets of the disk tier's index."""
        self.on_evicted: Callable[[Stored], object] = _gone
        self.evicted = 0
        self.queues: S3FIFO[Stored] = S3FIFO(octets, octets // 16384)
        self._keys: dict[bytes, tuple[Stored, ...]] = {}
        self._some: dict[bytes, tuple[Stored, ...]] = {}
        self._entries: OrderedDict[Stored, None] = OrderedDict()
        """Those with an entry."""
        self._kept = 0
        self.find = self._keys.get
        """All variants of a key, the last one added first; None where there are none, or more on the disk."""

    def __len__(self) -> int:
        return len(self.queues)

    @property
    def used(self) -> int:
        """Octets of all, with those of the indexes."""
        return self.queues.octets + self.growing + self.queues.ghost.octets + self.index()

    def keys(self) -> list[bytes]:
        """All that are there now."""
        return [*self._keys, *self._some]

    def here(self, key: bytes) -> tuple[Stored, ...]:
        """The variants of a key that are in memory."""
        return self._keys.get(key) or self._some.get(key, ())

    def set_whole(self, key: bytes, whole: bool) -> None:
        """Whether all variants of a key are in memory."""
        source, target = (self._some, self._keys) if whole else (self._keys, self._some)
        variants = source.pop(key, None)
        if variants is not None:
            target[key] = variants

    def add(self, stored: Stored, whole: bool = True) -> None:
        """One more variant; `whole` says of a key that is new here whether all its variants are."""
        key = stored.key
        under = self._keys if key in self._keys or (whole and key not in self._some) else self._some
        self._put(under, key, (stored, *under.get(key, ())))
        untracked(stored)
        stored.resident = True
        self.queues.add(stored)

    def _put(self, under: dict[bytes, tuple[Stored, ...]], key: bytes, variants: tuple[Stored, ...]) -> None:
        untracked(variants)  # the links of queues are the only cycles, and those are undone
        under[key] = variants

    def freshen(self, stored: Stored, meta: bytes) -> None:
        """Other metadata, and what was made of the former ones is forgotten."""
        self._forget_entry(stored)
        self.queues.resize(stored, stored.octets + len(meta) - len(stored.meta))
        stored.meta = meta

    def remove(self, stored: Stored) -> None:
        """It leaves memory, whatever holds it."""
        if not stored.resident:
            return
        under = self._keys if stored.key in self._keys else self._some
        rest = tuple(it for it in under[stored.key] if it is not stored)
        if rest:
            self._put(under, stored.key, rest)
        else:
            del under[stored.key]
        self.queues.remove(stored)
        self._forget_entry(stored)
        stored.resident = False

    def clear(self) -> None:
        """Undo the links between objects, which nobody else would: the collector does not see them."""
        for stored in self.variants(b""):
            stored.resident, stored.removed = False, True
        for queue in (self.queues.small, self.queues.main):
            while queue.first is not None:
                queue.take(queue.first)
        self._entries.clear()
        self._keys.clear()
        self._some.clear()

    def __del__(self) -> None:
        self.clear()

    def make_room(self, octets: int = 0, objects: int = 0) -> bool:
        """Evict until so many more fit; False when what is left is held."""
        while self.used + octets > self.octets or len(self.queues) + objects > self.objects:
            stored = self.queues.evict()
            if stored is None:
                return False
            self.evicted += 1
            self.remove(stored)
            self.on_evicted(stored)
        return True

    def keep(self, stored: Stored, entry: object, octets: int) -> None:
        """Keep with an object what its user made of it, which takes so many octets; others' entries make room."""
        if not stored.resident or not 0 < octets <= self.decoded:
            return
        self._entries[stored] = None
        self._kept += octets - stored.decoded
        self.queues.resize(stored, stored.octets + octets - stored.decoded)
        stored.entry, stored.decoded = entry, octets
        while self._kept > self.decoded:
            self._forget_entry(next(iter(self._entries)))
        self.make_room()

    def _forget_entry(self, stored: Stored) -> None:
        if stored.decoded:
            del self._entries[stored]
            self._kept -= stored.decoded
            self.queues.resize(stored, stored.octets - stored.decoded)
        stored.entry, stored.decoded = None, 0

    def variants(self, prefix: bytes) -> Iterator[Stored]:
        """Those whose key begins so, in no order; what goes meanwhile is left out."""
        for key in self.keys():
            if key.startswith(prefix):
                yield from self.here(key)


def _nothing() -> int:
    return 0


def _gone(stored: Stored) -> None:
    """There is no other tier."""
    stored.removed = True
