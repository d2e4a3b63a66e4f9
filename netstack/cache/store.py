"""The store of a Web cache: opaque metadata and a body under a key, in memory and on disk, each bounded."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict

from netstack.cache.disk import DiskTier
from netstack.cache.limits import StoreCounts, StoreLimits
from netstack.cache.listing import on_disk
from netstack.cache.memory import OVERHEAD, Memory
from netstack.cache.objects import Stored, Writing
from netstack.kernel.machine import Machine

__all__ = ["Store", "StoreCounts", "StoreLimits", "Stored", "Writing"]


class Store:
    """What a cache keeps. All is called in the reactor's thread, and nothing waits for the disk but what is awaited."""

    def __init__(self, machine: Machine, limits: StoreLimits | None = None, directory: str = "store") -> None:
        """`directory`: on the machine's disk, for the disk tier."""
        self.machine = machine
        self.limits = limits or StoreLimits()
        self.counts = StoreCounts()
        self.memory = Memory(self.limits.memory, self.limits.objects, self.limits.memory // 4)
        self.disk: DiskTier | None = None
        if self.limits.disk:
            self.disk = DiskTier(machine, self.memory, self.limits, self.counts, directory)
        self._receiving: dict[bytes, set[Writing]] = {}

    # Life

    def start(self) -> None:
        """Begin to learn what is on disk; until that is done, some of it is not found."""
        if self.disk is not None:
            self.disk.start()

    async def stop(self) -> None:
        """Write to disk what waits for it."""
        if self.disk is not None:
            await self.disk.stop()
        self.memory.clear()

    async def flush(self) -> None:
        """What was stored and removed until now is on disk, if the disk takes it."""
        if self.disk is not None:
            await self.disk.flush()

    async def removals(self) -> None:
        """What was removed until now does not come back after a crash, if the disk takes that."""
        if self.disk is not None:
            await self.disk.removals()

    # Objects

    def find(self, key: bytes) -> tuple[Stored, ...] | None:
        """All variants of a key; None when the disk would have to be waited for: then `load` tells."""
        found = self.memory.find(key)
        if found is not None:
            return found
        return () if self.disk is None else self.disk.find(key)

    async def load(self, key: bytes) -> tuple[Stored, ...]:
        """All variants of a key, also those that must be read from the disk first."""
        return self.memory.here(key) if self.disk is None else await self.disk.load(key)

    def begin(self, key: bytes, meta: bytes, length: int | None = None, storing: bool = True) -> Writing:
        """An object that is being received, with the length of its body if that is known; one not to be stored, too."""
        if storing and length is not None and length > self._largest:
            self.counts.too_large += 1
            storing = False
        writing = Writing(self, key, meta, length, storing)
        self._receiving.setdefault(key, set()).add(writing)
        return writing

    def freshen(self, stored: Stored, meta: bytes) -> Stored:
        """New metadata for the same body (RFC 9111 §4.3.4); what has been removed stays so.

        Another object comes back where it was evicted from memory, and read again meanwhile.
        """
        stored = self._again(stored)
        if stored.resident:
            self.counts.freshened += 1
            self.memory.freshen(stored, meta)
            stored.hold()
            self.memory.make_room()
            stored.release()
            if self.disk is not None:
                self.disk.write(stored)
        return stored

    def keep(self, stored: Stored, entry: object, octets: int) -> None:
        """Set `stored.entry` to what was made of its metadata, which takes about so many octets of memory."""
        self.memory.keep(stored, entry, octets)

    def discard(self, stored: Stored) -> None:
        """Remove one variant."""
        stored = self._again(stored)
        if not stored.removed:
            self.counts.removed += 1
            self.memory.remove(stored)
            stored.removed = True
            if self.disk is not None:
                self.disk.forget(stored)

    def remove(self, key: bytes) -> int:
        """Remove all variants, and do not store those that are being received now; how many there were."""
        for writing in self._receiving.get(key, ()):
            if writing.storing:
                self.counts.overtaken += 1
                self._give_up(writing)
        here = self.memory.here(key)
        for stored in here:
            self.discard(stored)
        count = 0 if self.disk is None else self.disk.remove(key)
        self.counts.removed += count
        return len(here) + count

    def list(self, prefix: bytes = b"") -> Iterator[Stored]:
        """Objects in memory whose key begins so; what goes before the iterator has come to it is left out."""
        return self.memory.variants(prefix)

    async def everything(self, prefix: bytes = b"") -> AsyncIterator[Stored]:
        """Objects whose key begins so, in no order; those that are on disk alone have no body here."""
        for stored in self.memory.variants(prefix):
            yield stored
        if self.disk is not None:
            async for stored in on_disk(self.disk, prefix):
                yield stored

    def receiving(self, prefix: bytes) -> tuple[bytes, ...]:
        """Keys of objects that are being received, which begin so."""
        return tuple(key for key in self._receiving if key.startswith(prefix))

    def usage(self) -> dict[str, float]:
        """Octets by tier, and the number of objects."""
        usage = {"memory": float(self.memory.used), "objects": float(len(self.memory))}
        if self.disk is not None:
            usage["disk"] = float(self.disk.files.taken)
            usage["objects"] += len(self.disk.files.index) - len(self.disk.files.resident)
        return usage

    def events(self) -> dict[str, int]:
        """What happened to objects, by the names of StoreCounts."""
        told = {key: count for key, count in asdict(self.counts).items() if not key.endswith("octets")}
        return {**told, "evicted_from_memory": self.memory.evicted}

    def _again(self, stored: Stored) -> Stored:
        if stored.resident or stored.removed or self.disk is None:
            return stored
        again = self.disk.again(stored)
        if again is None:
            stored.removed = True
            return stored
        return again

    # For objects being received

    @property
    def window(self) -> int:
        """Octets of an object being received that may wait; none where memory is full of what is held."""
        return self.limits.window if self.memory.used <= self.memory.octets else 0

    @property
    def _inline(self) -> int:
        return min(self.limits.object, self.limits.inline, self.limits.memory // 4)

    @property
    def _largest(self) -> int:
        return self._inline if self.disk is None else max(self._inline, min(self.limits.object, self.limits.disk // 4))

    def grown(self, writing: Writing, octets: int) -> None:
        """For Writing: so many more octets in memory."""
        memory = self.memory
        memory.growing += octets
        if writing.storing and writing.spill is None and max(writing.size, writing.length or 0) > self._inline:
            self._spill(writing)
        if writing.storing and writing.size > self._largest:
            self.counts.too_large += 1
            self._give_up(writing)
        if memory.used > memory.octets and not memory.make_room() and writing.storing and writing.spill is None:
            self.counts.no_room += 1
            self._give_up(writing)
        if writing.storing and writing.spill is not None and writing.much and self.disk is not None:
            self.disk.spills.feed(writing.spill)

    def _spill(self, writing: Writing) -> None:
        """It is too large for memory."""
        writing.spill = None if self.disk is None else self.disk.spill(writing)
        if writing.spill is None:
            if self.disk is None:
                self.counts.too_large += 1
            else:
                self.counts.not_written += 1
            writing.give_up()

    def _give_up(self, writing: Writing) -> None:
        if writing.spill is not None and self.disk is not None:
            self.disk.spills.cancel(writing.spill)
        writing.give_up()

    def shrunk(self, octets: int) -> None:
        """For Writing: so many octets less."""
        self.memory.growing -= octets

    def received(self, writing: Writing) -> Stored | None:
        """For Writing: it is complete."""
        self._let_go(writing)
        if writing.length is not None and writing.size != writing.length:
            self.counts.incomplete += 1
            self._give_up(writing)
        if not writing.storing:
            return None
        spill = writing.spill
        body = writing.whole() if spill is None else None
        octets = OVERHEAD + len(writing.key) + len(writing.meta) + len(body or b"")
        stored = Stored(writing.key, writing.meta, body, octets, writing.size)
        growing = 0 if spill is not None else writing.size
        self.memory.growing -= growing
        fits = stored.octets <= self.limits.memory // 2  # the key and the metadata count, too
        if not fits or not self.memory.make_room(stored.octets, 1):
            self.memory.growing += growing
            if fits:
                self.counts.no_room += 1
            else:
                self.counts.too_large += 1
            self._give_up(writing)
            return None
        self.counts.stored += 1
        self._add(stored)
        if self.disk is not None and spill is None:
            self.disk.write(stored)
        elif self.disk is not None and spill is not None:
            stored.files, stored.segment, spill.stored = self.disk.files, spill.segment, stored
            stored.hold()
            self.disk.spills.feed(spill)
        return stored

    def _add(self, stored: Stored) -> None:
        """Put it into memory; of too many variants the oldest goes."""
        key = stored.key
        self.memory.add(stored, whole=self.disk is None or not self.disk.has(key))
        for oldest in self.memory.here(key)[self.limits.variants :]:
            self.discard(oldest)

    def aborted(self, writing: Writing) -> None:
        """For Writing: it will not be complete."""
        self._let_go(writing)
        if writing.storing:
            self.counts.incomplete += 1
            self._give_up(writing)

    def _let_go(self, writing: Writing) -> None:
        under_key = self._receiving[writing.key]
        under_key.discard(writing)
        if not under_key:
            del self._receiving[writing.key]
