"""The memory tier: objects by their keys, bounded in octets and count."""

from collections import OrderedDict
from collections.abc import Iterator

from netstack.cache.eviction import S3FIFO
from netstack.cache.objects import Stored

OVERHEAD = 480
"""Octets of memory that an object takes beside its key, metadata and body; `tests/bench/store.py` measures it."""


class Memory:
    """All variants of a key are found together, the newest first."""

    def __init__(self, octets: int, objects: int, decoded: int) -> None:
        self.octets = octets
        self.objects = objects
        self.decoded = decoded
        """Octets for what users keep with objects (`Stored.entry`); a part of all."""
        self.growing = 0
        """Octets of objects that are being received."""
        self.evicted = 0
        self._keys: dict[bytes, tuple[Stored, ...]] = {}
        self._queues: S3FIFO[Stored] = S3FIFO(octets, octets // 16384)
        self._entries: OrderedDict[Stored, None] = OrderedDict()
        """Those with an entry."""
        self._kept = 0
        self.find = self._keys.get

    def __len__(self) -> int:
        return len(self._queues)

    @property
    def used(self) -> int:
        """Octets of all, with those of the index."""
        return self._queues.octets + self.growing + self._queues.ghost.octets

    def keys(self) -> list[bytes]:
        """All that are there now."""
        return list(self._keys)

    def add(self, stored: Stored, most: int) -> None:
        """One more variant of its key; above `most` the oldest one goes."""
        variants = self._keys.get(stored.key, ())
        for old in variants[max(0, most - 1) :]:
            self._drop(old)
        self._keys[stored.key] = (stored, *variants[: max(0, most - 1)])
        self._queues.add(stored)

    def freshen(self, stored: Stored, meta: bytes) -> None:
        """Other metadata, and what was made of the former ones is forgotten."""
        self._forget_entry(stored)
        self._queues.resize(stored, stored.octets + len(meta) - len(stored.meta))
        stored.meta = meta

    def remove(self, stored: Stored) -> None:
        """It goes, whatever holds it."""
        if stored.removed:
            return
        rest = tuple(it for it in self._keys[stored.key] if it is not stored)
        if rest:
            self._keys[stored.key] = rest
        else:
            del self._keys[stored.key]
        self._drop(stored)

    def _drop(self, stored: Stored) -> None:
        self._queues.remove(stored)
        self._forget_entry(stored)
        stored.removed = True

    def make_room(self, octets: int = 0, objects: int = 0) -> bool:
        """Evict until so many more fit; False when what is left is held."""
        while self.used + octets > self.octets or len(self._queues) + objects > self.objects:
            stored = self._queues.evict()
            if stored is None:
                return False
            self.evicted += 1
            self.remove(stored)
        return True

    def keep(self, stored: Stored, entry: object, octets: int) -> None:
        """Keep with an object what its user made of it, which takes so many octets; others' entries make room."""
        if stored.removed or not 0 < octets <= self.decoded:
            return
        self._entries[stored] = None
        self._kept += octets - stored.decoded
        self._queues.resize(stored, stored.octets + octets - stored.decoded)
        stored.entry, stored.decoded = entry, octets
        while self._kept > self.decoded:
            self._forget_entry(next(iter(self._entries)))
        self.make_room()

    def _forget_entry(self, stored: Stored) -> None:
        if stored.decoded:
            del self._entries[stored]
            self._kept -= stored.decoded
            self._queues.resize(stored, stored.octets - stored.decoded)
        stored.entry, stored.decoded = None, 0

    def variants(self, prefix: bytes) -> Iterator[Stored]:
        """Those whose key begins so, in no order; what goes meanwhile is left out."""
        for key in self.keys():
            if key.startswith(prefix):
                yield from self._keys.get(key, ())
