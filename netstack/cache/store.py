"""The store of a Web cache: opaque metadata and a body under a key, in memory and on disk, each bounded."""

from collections.abc import Iterator
from dataclasses import dataclass

from netstack.cache.memory import OVERHEAD, Memory
from netstack.cache.objects import Stored, Writing
from netstack.kernel.machine import Machine
from netstack.sansio.bounds import all_positive


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Bounds of one store. Raises ValueError for those that cannot be kept."""

    memory: int = 256 * 1024 * 1024
    """Octets of memory: objects, their metadata and the index."""
    objects: int = 2_000_000
    """Objects in memory; as many on disk."""
    object: int = 1024 * 1024 * 1024
    """Octets of the largest body that is stored."""
    inline: int = 1024 * 1024
    """Octets of the largest body that memory keeps; without a disk tier, of the largest body that is stored."""
    variants: int = 64
    """Variants of one key; then the oldest goes."""
    window: int = 1024 * 1024
    """Octets of an object that is not stored, which wait for its slowest reader."""

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(slots=True)
class StoreCounts:
    """What a store counts, from its start."""

    stored: int = 0
    """Objects."""
    freshened: int = 0
    removed: int = 0
    evicted: int = 0
    """From memory to make room."""
    too_large: int = 0
    """Bodies not stored, for their size."""
    no_room: int = 0
    """Not stored, because all that is there is held."""
    incomplete: int = 0
    """Not stored, because less or more came than was promised, or because the fetch was given up."""
    overtaken: int = 0
    """Not stored, because its key was removed while it was received."""


class Store:
    """What a cache keeps. Everything here is called in the reactor's thread and returns at once."""

    def __init__(self, machine: Machine, limits: StoreLimits | None = None) -> None:
        self.machine = machine
        self.limits = limits or StoreLimits()
        self.counts = StoreCounts()
        self.memory = Memory(self.limits.memory, self.limits.objects, self.limits.memory // 4)
        self._receiving: dict[bytes, set[Writing]] = {}

    def find(self, key: bytes) -> tuple[Stored, ...] | None:
        """All variants of a key, the newest first; None when the disk has to be asked: then `load` tells."""
        return self.memory.find(key, ())

    async def load(self, key: bytes) -> tuple[Stored, ...]:
        """All variants of a key, also those that must be read from the disk first."""
        return self.memory.find(key, ())

    def begin(self, key: bytes, meta: bytes, length: int | None = None, storing: bool = True) -> Writing:
        """An object that is being received, with the length of its body if that is known; one not to be stored, too."""
        if storing and length is not None and length > self._largest:
            self.counts.too_large += 1
            storing = False
        writing = Writing(self, key, meta, length, storing)
        self._receiving.setdefault(key, set()).add(writing)
        return writing

    def freshen(self, stored: Stored, meta: bytes) -> Stored:
        """New metadata for the same body (RFC 9111 §4.3.4); what has been removed stays so."""
        if not stored.removed:
            self.counts.freshened += 1
            self.memory.freshen(stored, meta)
            self.memory.make_room()
        return stored

    def keep(self, stored: Stored, entry: object, octets: int) -> None:
        """Set `stored.entry` to what was made of its metadata, which takes about so many octets of memory."""
        self.memory.keep(stored, entry, octets)

    def discard(self, stored: Stored) -> None:
        """Remove one variant."""
        if not stored.removed:
            self.counts.removed += 1
            self.memory.remove(stored)

    def remove(self, key: bytes) -> int:
        """Remove all variants, and do not store those that are being received now; how many there were."""
        for writing in self._receiving.get(key, ()):
            if writing.storing:
                writing.storing = False
                self.counts.overtaken += 1
        found = self.memory.find(key, ())
        for stored in found:
            self.discard(stored)
        return len(found)

    def list(self, prefix: bytes = b"") -> Iterator[Stored]:
        """Objects whose key begins so; what goes before the iterator has come to it is left out."""
        return self.memory.variants(prefix)

    def usage(self) -> dict[str, float]:
        """Octets by tier, and the number of objects."""
        return {"memory": float(self.memory.used), "objects": float(len(self.memory))}

    @property
    def window(self) -> int:
        """Octets of an object not stored that may wait for its readers; none where memory is full of what is held."""
        return self.limits.window if self.memory.used <= self.memory.octets else 0

    @property
    def _largest(self) -> int:
        return min(self.limits.object, self.limits.inline, self.limits.memory // 4)

    def grown(self, writing: Writing, octets: int) -> None:
        """For Writing: so many more octets in memory."""
        memory = self.memory
        memory.growing += octets
        if writing.storing and writing.size > self._largest:
            writing.storing = False
            self.counts.too_large += 1
        if memory.used > memory.octets and not memory.make_room() and writing.storing:
            writing.storing = False
            self.counts.no_room += 1

    def shrunk(self, octets: int) -> None:
        """For Writing: so many octets less."""
        self.memory.growing -= octets

    def received(self, writing: Writing) -> Stored | None:
        """For Writing: it is complete."""
        self._let_go(writing)
        if writing.length is not None and writing.size != writing.length:
            self.counts.incomplete += 1
            writing.storing = False
        if not writing.storing:
            return None
        body = writing.taken()
        stored = Stored(writing.key, writing.meta, body, OVERHEAD + len(writing.key) + len(writing.meta) + len(body))
        self.memory.growing -= writing.size
        fits = stored.octets <= self.limits.memory // 2  # the key and the metadata count, too
        if not fits or not self.memory.make_room(stored.octets, 1):
            self.memory.growing += writing.size
            if fits:
                self.counts.no_room += 1
            else:
                self.counts.too_large += 1
            writing.storing = False
            return None
        self.counts.stored += 1
        self.memory.add(stored, self.limits.variants)
        return stored

    def aborted(self, writing: Writing) -> None:
        """For Writing: it will not be complete."""
        self._let_go(writing)
        if writing.storing:
            self.counts.incomplete += 1
            writing.storing = False

    def _let_go(self, writing: Writing) -> None:
        under_key = self._receiving[writing.key]
        under_key.discard(writing)
        if not under_key:
            del self._receiving[writing.key]
