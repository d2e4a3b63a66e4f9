"""Room on disk: the oldest segment of a queue goes, and what of it is used is copied to the main queue (S3-FIFO)."""

from typing import Any

from netstack.cache import records
from netstack.cache.eviction import CHANCES, SMALL, USES
from netstack.cache.files import CHECKED, Files, cost_of
from netstack.cache.lane import A_TURN, Work, failed
from netstack.cache.memory import Memory
from netstack.cache.records import Corrupt
from netstack.cache.segments import LARGE, MAIN, Segment, read_record

_STEP = 1000
"""Records looked at before others get their turn."""
_COPIED = 1 << 20
"""Octets copied in one piece of work."""


class Cleaning:
    """One segment at a time, a step at a time."""

    def __init__(self, files: Files, memory: Memory) -> None:
        self.files = files
        self.memory = memory
        self._segment: Segment | None = None
        self._seen = 0
        self._kept: dict[int, int] = {}
        """Slots to be copied, with the uses that they have then."""

    def work(self, octets: int, objects: int) -> Work | None:
        """What is to be done so that there is room for so much more; None: nothing, or nothing can."""
        files, going_on = self.files, False
        for _ in range(CHANCES):
            segment = self._segment
            if segment is not None and segment.gone:
                segment = self._segment = None
            if segment is None:
                reserve = 2 * files.segment_octets  # for what is copied
                if files.taken + octets + reserve <= files.room and len(files.index) + objects <= files.limits.objects:
                    return None
                segment = self._victim()
                if segment is None:
                    return None
                if segment.letter == LARGE:
                    kept = self._large(segment)
                    if kept is None:
                        return files.upkeep()
                    going_on = going_on or kept
                    continue
                if files.active.get(segment.letter) is segment:
                    files.retire(segment)
                if segment in files.sealing:
                    return files.upkeep()
                self._segment, self._seen, self._kept = segment, 0, {}
            if self._seen < len(segment.slots):
                self._look(segment)
                return A_TURN
            if self._kept:
                return self._copy(segment)
            files.drop(segment)
            self._segment = None
            return files.upkeep()
        return A_TURN if going_on else None

    def _victim(self) -> Segment | None:
        files = self.files
        small = files.small and (files.small_octets * SMALL > files.room or not files.main)
        return next(iter((files.small if small else files.main).values()), None)

    def _uses(self, slot: int) -> int:
        """How often it was used, as memory knows better where it is there, too."""
        stored = self.files.resident.get(slot)
        if stored is None:
            return self.files.index.flags[slot] & USES
        return max(self.files.index.flags[slot] & USES, USES - 1 if stored.queue is self.memory.queues.main else stored.uses)

    def _large(self, segment: Segment) -> bool | None:
        """A large object goes (None) or moves to the main queue's end: True where it may go the next time but few."""
        files = self.files
        small = segment.number in files.small
        slots = [slot for slot in segment.slots if files.index.files[slot] == segment.number]
        stored = files.resident.get(slots[0]) if slots else None
        if segment.writing is not None or segment.lent or (stored is not None and stored.held):
            files.promote(segment)
            return False
        elif slots and self._uses(slots[0]) > (1 if small else 0):
            uses = 0 if small else (files.index.flags[slots[0]] & USES) - 1
            files.index.flags[slots[0]] = files.index.flags[slots[0]] & CHECKED | max(0, uses)
            if stored is not None:
                stored.uses = max(0, stored.uses - 1)
                if stored.queue is self.memory.queues.main:
                    self.memory.queues.demote(stored)
            files.promote(segment)
            return True
        if small and slots:
            files.remember(files.index.hashes[slots[0]])
        self._evict(segment, slots)
        files.drop(segment)
        return None

    def _look(self, segment: Segment) -> None:
        """Decide about some records."""
        files, index = self.files, self.files.index
        small = segment.number in files.small
        gone: dict[int, None] = {}
        for slot in segment.slots[self._seen : self._seen + _STEP]:
            if index.files[slot] == segment.number and slot not in self._kept:
                uses = self._uses(slot)
                if uses > (1 if small else 0):
                    self._kept[slot] = 0 if small else uses - 1
                else:
                    if small:
                        files.remember(index.hashes[slot])
                    gone[slot] = None
        self._evict(segment, list(gone))
        self._seen += _STEP
        if self._seen >= len(segment.slots):
            self._bound(segment, small)

    def _bound(self, segment: Segment, small: bool) -> None:
        """No more is copied than there is room for; of the main queue half a segment, so that each one makes room."""
        files = self.files
        left = max(0, files.room - files.taken)
        if not small:
            left = min(left, segment.octets // 2)
        for slot in sorted(self._kept, key=self._kept.__getitem__, reverse=True):
            left -= files.index.sizes[slot] + records.ROW
            if left < 0:
                del self._kept[slot]
                self._evict(segment, [slot])

    def _evict(self, segment: Segment, slots: list[int]) -> None:
        files = self.files
        for slot in slots:
            stored = files.release(slot, dead=False)
            files.counts.evicted_from_disk += 1
            if stored is not None and stored.segment is segment:
                self.memory.remove(stored)
                stored.removed = True

    def _copy(self, segment: Segment) -> Work:
        """Some of the records that stay go to the main queue's end."""
        files, index = self.files, self.files.index
        rows: list[tuple[int, int, int, int, Segment, int, int]] = []
        octets = 0
        while self._kept and octets < _COPIED:
            slot, uses = self._kept.popitem()
            if index.files[slot] != segment.number:
                continue  # it was removed meanwhile
            size = index.sizes[slot]
            target, at = files.place(MAIN, size)
            rows.append((slot, index.hashes[slot], index.offsets[slot], size, target, at, uses))
            octets += size

        def run() -> set[int]:
            file, corrupt = segment.open(files.disk), set()
            parts: dict[int, list[bytes]] = {}
            targets = {row[4].number: row[4] for row in rows}
            for slot, _, offset, size, target, _, _ in rows:
                data = read_record(file, offset, size)
                try:
                    records.parse_record(data)
                except Corrupt:
                    corrupt.add(slot)
                    data = bytes(size)
                parts.setdefault(target.number, []).append(data)
            for number, pieces in parts.items():
                targets[number].append(files.disk, b"".join(pieces))
            return corrupt

        def done(result: Any) -> None:
            error = failed(result)
            if error is not None:
                files.failed(error)
                for target in {row[4].number: row[4] for row in rows}.values():
                    files.abandon(target)
                files.drop(segment)
                return
            for slot, hashed, offset, size, target, at, uses in rows:
                if target.table is not None:
                    target.table.add(hashed, at, size)
                if index.files[slot] != segment.number or index.offsets[slot] != offset:
                    files.kill(target, at)  # removed meanwhile
                elif slot in result:
                    files.counts.corrupt += 1
                    files.release(slot, dead=False)
                    files.kill(target, at)
                else:
                    index.files[slot], index.offsets[slot] = target.number, at
                    index.flags[slot] = CHECKED | uses
                    target.slots.append(slot)
                    files.counts.copied += 1

        return Work(run, done, cost_of(2 * octets))
