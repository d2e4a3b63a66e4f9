"""The disk tier: what is found there, and what is written to it, behind the backs of those who wait for neither."""

from collections import deque
from errno import EDQUOT, ENOSPC
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from netstack.cache import records
from netstack.cache.cleaning import Cleaning
from netstack.cache.files import CHECKED, USES, Files, cost_of
from netstack.cache.index import hash_of
from netstack.cache.lane import A_TURN, Lane, Work, failed
from netstack.cache.limits import StoreCounts, StoreLimits
from netstack.cache.memory import OVERHEAD, Memory
from netstack.cache.objects import Stored, Writing
from netstack.cache.records import Corrupt, Head
from netstack.cache.segments import LARGE, MAIN, SMALL, Segment, check_body, read_large, read_record
from netstack.cache.spilling import Spill, Spills
from netstack.cache.warming import Warming
from netstack.kernel.disk import Disk
from netstack.kernel.machine import Machine

_BATCH = 256
"""Objects written in one piece of work: the interpreter is not kept from others for long."""
_BATCH_OCTETS = 1 << 20
_PATIENCE = 3
"""Times that objects are read again when they were moved meanwhile."""

Entered = tuple[Head, bytes, bytes, bytes | None] | Exception
Found = tuple[int, Head, bytes, bytes, bytes | None]
"""Slot, head, key, metadata and body (None: of a large object) as they stand on disk."""


class DiskTier:
    """Objects by the hashes of their keys. Objects found are put into memory, where there is room."""

    log = Logger()

    def __init__(self, machine: Machine, memory: Memory, limits: StoreLimits, counts: StoreCounts, directory: str) -> None:
        self.machine = machine
        self.memory = memory
        self.limits = limits
        self.counts = counts
        self.files = Files(machine.disk.below(directory), limits, counts)
        self.files.failed = self._pause
        self.lane = Lane(machine.reactor, machine.offload, self._following)
        self.cleaning = Cleaning(self.files, memory)
        self.warming = Warming(machine, self.files)
        self.warming.failed = self._pause
        self.spills = Spills(self.files, self.hash_of, self.lane.go)
        self.spills.forget = self._unwritten
        self._batch_octets = min(_BATCH_OCTETS, self.files.segment_octets)
        self._queue: deque[tuple[Stored, int]] = deque()
        self.behind = 0
        """Octets that wait to be written."""
        self._most_behind = min(limits.behind, limits.memory // 4)  # what waits is held in memory
        self._turn = False
        """Writing goes before learning what is there, every second time."""
        self._waiting: list[Deferred[None]] = []
        self._early: list[bytes] = []
        """Keys removed before anything is known of the disk."""
        self._paused: IDelayedCall | None = None
        self.stopping = False
        """Nothing more is learned of the disk."""
        memory.index = lambda: self.files.index.octets + self.files.ghost.octets
        memory.on_evicted = self._evicted_from_memory

    @property
    def works(self) -> bool:
        """Whether the disk has taken all that it was given lately."""
        return self._paused is None

    # Life

    def start(self) -> None:
        """Learn what is on the disk, while service begins."""
        self.warming.begin()
        self.lane.go()

    async def flush(self) -> None:
        """What was stored and removed until now is on disk, if the disk takes it."""
        await self.lane.idle()

    async def removals(self) -> None:
        """What was removed until now is on disk, if the disk takes it: also while objects are written without an end."""
        if self._paused is None and self.warming.listed:
            waiter: Deferred[None] = Deferred()
            self._waiting.append(waiter)
            self.lane.go()
            await waiter

    async def stop(self) -> None:
        """Write what waits, and the tables of the segments, so that the next start is quick."""
        self.stopping = True
        self.warming.stop()
        if self._paused is not None and self._paused.active():
            self._paused.cancel()
            self._give_up_queue()
        self._paused = None
        await self.lane.idle()
        for segment in list(self.files.active.values()):
            self.files.retire(segment)
        await self.lane.idle()

    # Finding

    def hash_of(self, key: bytes) -> int:
        """In this store."""
        return hash_of(key, self.warming.secret)

    def has(self, key: bytes) -> bool:
        """Whether there may be objects with this key on disk."""
        return self.warming.going_on or bool(self.files.index.find(self.hash_of(key)))

    def find(self, key: bytes) -> tuple[Stored, ...] | None:
        """All variants, also those in memory; None when the disk would have to be waited for."""
        if not self.warming.listed:
            return self.memory.here(key)
        found: list[Found] = []
        for slot in self._wanted(key):
            got = self._read_now(slot)
            if got is None:
                return None
            found.append(got)
        return self._admit(key, found)

    async def load(self, key: bytes) -> tuple[Stored, ...]:
        """The same, with waiting."""
        for _ in range(_PATIENCE if self.warming.listed else 0):
            wanted = [(slot, *self._place(slot)) for slot in self._wanted(key)]
            if not wanted:
                break
            cost = cost_of(sum(it[3] for it in wanted))
            got = await self.machine.offload(partial(_read_all, self.files.disk, wanted), cost)
            found: list[Found] = []
            moved = False
            for (slot, segment, offset, *_), result in zip(wanted, got, strict=True):
                if self.files.index.files[slot] != segment.number or self.files.index.offsets[slot] != offset:
                    moved = True
                elif isinstance(result, Exception):
                    self._bad(slot, result)
                else:
                    found.append((slot, *result))
            if not moved:
                return self._admit(key, found)
        return self.memory.here(key)

    def _wanted(self, key: bytes) -> list[int]:
        """Slots of the key's hash that are not in memory."""
        resident = self.files.resident
        return [slot for slot in self.files.index.find(self.hash_of(key)) if slot not in resident]

    def _place(self, slot: int) -> tuple[Segment, int, int, bool]:
        index = self.files.index
        return (
            self.files.segments[index.files[slot]],
            index.offsets[slot],
            index.sizes[slot],
            bool(index.flags[slot] & CHECKED),
        )

    def _read_now(self, slot: int) -> Found | None:
        segment, offset, size, _ = self._place(slot)
        if segment.letter == LARGE or segment.file is None or size > _BATCH_OCTETS:
            return None
        data = segment.file.read_now(offset, size)
        if data is None:
            return None
        try:
            return (slot, *records.parse_record(data))
        except Corrupt:
            return None  # let `load` see to it

    def _bad(self, slot: int, error: Exception) -> None:
        """What cannot be read is no more."""
        if isinstance(error, OSError):
            self.counts.disk_failed += 1
            self.log.error("{name}: an object cannot be read from disk: {error}", name=self.machine.name, error=str(error))
        else:
            self.counts.corrupt += 1
        self.files.release(slot, dead=True)
        self.lane.go()

    def _admit(self, key: bytes, found: list[Found]) -> tuple[Stored, ...]:
        """Into memory with what was read; all variants of the key."""
        index, memory, own = self.files.index, self.memory, []
        seen: set[tuple[bytes, int]] = set()
        others: set[int] = set()
        for slot, head, name, meta, body in found:
            index.flags[slot] |= CHECKED
            if name != key:
                others.add(slot)  # another key with the same hash
                continue
            if slot in self.files.resident:
                continue  # somebody else was quicker
            if (meta, head.body_sum) in seen:  # a copy was made of it just before a kill
                self.files.release(slot, dead=True)
                continue
            seen.add((meta, head.body_sum))
            if index.flags[slot] & USES < USES:
                index.flags[slot] += 1
            octets = OVERHEAD + len(key) + len(meta) + (0 if body is None else len(body))
            stored = Stored(key, meta, body, octets, head.body)
            stored.slot = slot
            if body is None:
                stored.files, stored.segment = self.files, self.files.segments[index.files[slot]]
            own.append(stored)
        for stored in own:
            self.counts.loaded += 1
            slot = stored.slot
            if memory.make_room(stored.octets, 1):
                memory.add(stored, whole=False)
                self.files.resident[slot] = stored
            else:
                stored.slot = -slot
        if not self.warming.going_on and others.issuperset(self._wanted(key)):
            memory.set_whole(key, True)
        return (*(it for it in own if not it.resident), *memory.here(key))

    # Writing

    def write(self, stored: Stored) -> None:
        """Write an object, or what it has become, when its turn has come."""
        if stored.segment is not None:
            self.spills.amend(stored)
        elif not stored.queued:
            size = self._size(stored)
            fits = len(stored.key) <= 0xFFFF and size <= self.limits.disk // 16
            if not fits or self.behind + size > self._most_behind or self._paused is not None:
                self._unwritten(stored)
                return
            stored.queued = True
            stored.hold()
            self.behind += size
            self._queue.append((stored, size))
            self.lane.go()

    def spill(self, writing: Writing) -> Spill | None:
        """A large object that is being received; None where it cannot be written now."""
        if self._paused is not None or self.stopping or not self.warming.listed:
            return None
        return self.spills.begin(writing)

    def _size(self, stored: Stored) -> int:
        return records.HEAD + len(stored.key) + len(stored.meta) + stored.size

    def _unwritten(self, stored: Stored) -> None:
        """It is in memory alone, without an older copy of it on disk."""
        self.counts.not_written += 1
        if stored.slot > 0:
            self.files.release(stored.slot, dead=True)
            self.lane.go()
        if stored.segment is not None:
            self.memory.remove(stored)
            stored.removed = True

    def _following(self) -> Work | None:
        """For the lane."""
        self.memory.make_room()  # the index may have grown
        if self._paused is not None:
            self._removals_done()
            return self.warming.work() if self.warming.listed else None
        if not self.warming.listed:
            return self.warming.work()
        if self._early:
            keys, self._early = self._early, []
            for key in keys:
                self.warming.purge(self.hash_of(key))
        self._turn = not self._turn
        work = self.files.upkeep()
        if work is None:
            self._removals_done()
            work = self._writing() if self._turn else None
        return work or self.warming.work() or (None if self._turn else self._writing())

    def _removals_done(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def _writing(self) -> Work | None:
        spilled = self.spills.needs
        octets, objects = 0, 0
        if spilled is not None:
            octets, objects = spilled, 1
        elif self._queue:
            octets, objects = self._queue[0][1] + records.ROW + records.TABLE_END, min(len(self._queue), _BATCH)
            octets = max(octets, min(self.behind, self._batch_octets))
        if not self.warming.going_on:
            work = self.cleaning.work(octets, objects)
            if work is not None:
                return work
        if not objects:
            return self.spills.amendment()
        files = self.files
        if files.taken + octets <= files.room and len(files.index) < self.limits.objects:
            return self._batch() if spilled is None else self.spills.work()
        if self.warming.going_on:
            return None
        if spilled is not None:
            self.spills.refuse()
        else:
            self._unqueue()
        return A_TURN

    def _unqueue(self) -> None:
        """The first in the queue is not written."""
        stored, size = self._queue.popleft()
        self.behind -= size
        stored.queued = False
        stored.release()
        if not stored.removed:
            self._unwritten(stored)

    def _batch(self) -> Work | None:
        """Objects from the queue, each to the end of the segment that its queue has."""
        files, room = self.files, self.files.room - self.files.taken
        rows: list[tuple[Stored, bytes, int, Segment, int, int]] = []
        octets = 0
        most = min(_BATCH, self.limits.objects - len(files.index))
        while self._queue and len(rows) < most and octets < self._batch_octets:
            stored, counted = self._queue[0]
            size = self._size(stored)
            taken = size + records.ROW + records.TABLE_END
            if rows and octets + taken > room:
                break
            self._queue.popleft()
            self.behind -= counted
            stored.queued = False
            if stored.removed:
                stored.release()
                continue
            octets += taken
            hashed = self.hash_of(stored.key)
            used = stored.slot and files.index.flags[stored.slot] & USES
            letter = MAIN if used or files.was_here(hashed) else SMALL
            segment, offset = files.place(letter, size)
            rows.append((stored, stored.meta, hashed, segment, offset, size))

        def run() -> None:
            parts: dict[int, list[bytes]] = {}
            segments = {row[3].number: row[3] for row in rows}
            for stored, meta, hashed, segment, _, _ in rows:
                body = stored.body_octets
                assert body is not None  # noqa: S101  no large ones come here
                parts.setdefault(segment.number, []).extend(records.record(stored.key, meta, body, hashed))
            for number, pieces in parts.items():
                segments[number].append(files.disk, b"".join(pieces))

        return Work(run, lambda result: self._written(rows, result), cost_of(octets))

    def _written(self, rows: list[tuple[Stored, bytes, int, Segment, int, int]], result: Any) -> None:
        files, error = self.files, failed(result)
        if error is not None:
            self._pause(error)
            for segment in {row[3].number: row[3] for row in rows}.values():
                files.abandon(segment)
            for stored, *_ in rows:
                stored.release()
                if not stored.removed and not stored.queued:
                    self._unwritten(stored)
            return
        for stored, _, hashed, segment, offset, size in rows:
            stored.release()
            self.counts.written += 1
            self.counts.written_octets += size
            if segment.table is not None:
                segment.table.add(hashed, offset, size)
            if stored.slot > 0:
                files.release(stored.slot, dead=True)
            if stored.removed:
                files.kill(segment, offset)
                continue
            stored.slot = files.entered(segment, hashed, offset, size, CHECKED)
            files.resident[stored.slot] = stored

    # Removing

    def forget(self, stored: Stored) -> None:
        """One object is removed."""
        if stored.slot > 0:
            self.files.release(stored.slot, dead=True)
        elif stored.segment is not None and stored.segment.writing is None:
            self.files.drop(stored.segment)
        self.lane.go()

    def remove(self, key: bytes) -> int:
        """All variants of a key; how many were on disk alone."""
        if not self.warming.listed:
            self._early.append(key)
            return 0
        hashed, count = self.hash_of(key), 0
        for slot in self.files.index.find(hashed):
            stored = self.files.release(slot, dead=True)
            if stored is None:
                count += 1
            else:
                self.memory.remove(stored)
                stored.removed = True
        self.warming.purge(hashed)
        self.lane.go()
        return count

    def _evicted_from_memory(self, stored: Stored) -> None:
        if stored.slot <= 0:
            stored.removed = stored.slot == 0
            return
        slot, index = stored.slot, self.files.index
        del self.files.resident[slot]
        index.flags[slot] = index.flags[slot] & CHECKED | max(index.flags[slot] & USES, min(stored.uses, USES))
        stored.slot = -slot
        self.memory.set_whole(stored.key, False)

    def again(self, stored: Stored) -> Stored | None:
        """The object that an evicted one is now, in memory; None where it is no more."""
        slot, index = -stored.slot, self.files.index
        if slot <= 0 or not index.files[slot] or index.hashes[slot] != self.hash_of(stored.key):
            return None
        other = self.files.resident.get(slot)
        if other is None and self.memory.make_room(stored.octets, 1):
            self.memory.add(stored, whole=False)
            self.files.resident[slot] = stored
            stored.slot, other = slot, stored
        return other

    # Faults

    def _pause(self, error: OSError) -> None:
        """The disk is full or failed: nothing is written for a while, and less is kept there if there is no room for it."""
        self.counts.disk_failed += 1
        if error.errno in (ENOSPC, EDQUOT):
            self.files.room = max(0, min(self.files.room, self.files.taken - 2 * self.files.segment_octets))
        if self._paused is None and not self.stopping:
            self.log.warn(
                "{name}: nothing is written to the cache's disk for {seconds} s: {error}",
                name=self.machine.name, seconds=self.limits.retry, error=str(error),
            )  # fmt: skip
            self._paused = self.machine.reactor.callLater(self.limits.retry, self._go_on)
        self._give_up_queue()

    def _give_up_queue(self) -> None:
        while self._queue:
            self._unqueue()

    def _go_on(self) -> None:
        """Try again; there must be room for a try, or nobody would ever know that there is."""
        self._paused = None
        files = self.files
        files.room = max(files.room, min(self.limits.disk, files.used + 2 * files.segment_octets))
        self.lane.go()


def _read_all(disk: Disk, wanted: list[tuple[int, Segment, int, int, bool]]) -> list[Entered]:
    """What stands at each place, or why it cannot be had; beside the reactor."""
    return [_read(disk, segment, offset, size, checked) for _, segment, offset, size, checked in wanted]


def _read(disk: Disk, segment: Segment, offset: int, size: int, checked: bool) -> Entered:
    try:
        file = segment.open(disk)
        if segment.letter != LARGE:
            return records.parse_record(read_record(file, offset, size))
        head, key, meta = read_large(file, size)
        if not checked:
            check_body(file, head)
        return head, key, meta, None
    except (OSError, Corrupt) as error:
        return error
