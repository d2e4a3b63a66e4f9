"""The files of the disk tier as their owner sees them in the reactor's thread: which there are, and what is in each."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from netstack.cache import records
from netstack.cache.eviction import Ghost
from netstack.cache.index import Index
from netstack.cache.lane import Work, failed
from netstack.cache.limits import StoreCounts, StoreLimits
from netstack.cache.records import ROW, TABLE_END, Table
from netstack.cache.segments import LARGE, MAIN, Lent, Segment
from netstack.kernel.disk import AppendedFile, Disk

if TYPE_CHECKING:
    from netstack.cache.objects import Stored

LARGEST_SEGMENT = 64 * 1024 * 1024
_PARTS = 64
"""Segments of a full disk tier, at least."""
REMOVED = "removed"
"""The file of removals."""
USES = 3
CHECKED = 4
"""Flags of a slot: how often its object was used, and that its body is as it was written."""
OPEN = 256
"""Large files that are kept open."""
_TOGETHER = 64
"""Files removed in one piece of work."""
_FEW_REMOVALS = 4096
"""The file of removals is not written anew for fewer."""


class Files:
    """Segments in their two queues, the index, the room that they take, and what is to be done with files that go."""

    def __init__(self, disk: Disk, limits: StoreLimits, counts: StoreCounts) -> None:
        self.disk = disk
        self.limits = limits
        self.counts = counts
        self.room = limits.disk
        """Octets that the disk tier may take; fewer while the file system is full."""
        self.used = 0
        self.segment_octets = min(LARGEST_SEGMENT, limits.disk // _PARTS)
        self.index = Index(min(limits.objects, limits.disk // 1024))
        self.ghost = Ghost(1024)
        self.resident: dict[int, Stored] = {}
        """Of a slot, its object where that is in memory, too."""
        self.segments: dict[int, Segment] = {}
        self.small: dict[int, Segment] = {}
        self.main: dict[int, Segment] = {}
        """The queues, the oldest segment first."""
        self.small_octets = 0
        self.number = 0
        """The highest so far."""
        self.active: dict[str, Segment] = {}
        """By its letter, the segment that is written to."""
        self.sealing: list[Segment] = []
        self.leaving: list[Segment] = []
        """Their names are to be removed."""
        self.left: list[Segment] = []
        """Without a name, but being sent to somebody: they take room until they are not."""
        self._open: dict[int, Segment] = {}
        """Large files that were read, the last one last."""
        self.rewrite = False
        """The file of removals is to be written anew."""
        self.failed: Callable[[OSError], object] = lambda error: None
        """Called when the disk did not do what it was asked for."""
        self._purges: list[bytes] = []
        """Removals of what is not known yet."""
        self._removals: list[bytes] = []
        self._removed = AppendedFile(disk, REMOVED)
        self._rows = 0
        """Removals in the file."""

    # Room

    @property
    def taken(self) -> int:
        """Octets of all files."""
        return self.used + self._rows * records.REMOVAL

    def add(self, segment: Segment, main: bool) -> None:
        """A file that is there, or will be."""
        self.segments[segment.number] = segment
        (self.main if main else self.small)[segment.number] = segment
        self.used += segment.octets
        self.small_octets += 0 if main else segment.octets

    def grow(self, segment: Segment, octets: int) -> None:
        """More is written to it."""
        segment.octets += octets
        self.used += octets
        if segment.number in self.small:
            self.small_octets += octets

    def promote(self, segment: Segment) -> None:
        """To the end of the main queue."""
        if self.small.pop(segment.number, None) is not None:
            self.small_octets -= segment.octets
        self.main.pop(segment.number, None)
        self.main[segment.number] = segment

    def next(self, letter: str, main: bool) -> Segment:
        """A new one."""
        self.number += 1
        segment = Segment(letter, self.number)
        self.add(segment, main)
        return segment

    def place(self, letter: str, size: int) -> tuple[Segment, int]:
        """Where a record goes: the segment of a queue that is written to, and the offset."""
        segment = self.active.get(letter)
        if segment is not None and segment.end and segment.end + size > self.segment_octets:
            self.retire(segment)
            segment = None
        if segment is None:
            segment = self.active[letter] = self.next(letter, letter == MAIN)
            segment.table = Table()
            self.grow(segment, TABLE_END)
        offset = segment.end
        segment.end += size
        self.grow(segment, size + ROW)
        return segment, offset

    def retire(self, segment: Segment) -> None:
        """Nothing more goes into it; its table is to be written."""
        del self.active[segment.letter]
        self.sealing.append(segment)

    def abandon(self, segment: Segment) -> None:
        """Nobody knows what its last octets are: its records are found one by one after a restart."""
        if self.active.get(segment.letter) is segment:
            del self.active[segment.letter]
        if segment in self.sealing:
            self.sealing.remove(segment)
        segment.table = None
        segment.let_go()
        if not segment.slots and segment.number in self.segments:
            self.drop(segment)

    # Records

    def entered(self, segment: Segment, hashed: int, offset: int, size: int, flags: int) -> int:
        """A record is in its file now; its slot."""
        slot = self.index.add(hashed, segment.number, offset, size, flags)
        segment.slots.append(slot)
        return slot

    def kill(self, segment: Segment, offset: int) -> None:
        """A record must not be found again, also after a restart."""
        if segment.letter == LARGE:
            self.drop(segment)
        elif not segment.gone:
            segment.dead.append(offset)
            self._removals.append(records.removal(segment.number, offset))

    def kill_before(self, hashed: int) -> None:
        """So for all records of a hash that are not known yet."""
        row = records.removal(self.number + 1, records.EVERYWHERE, hashed)
        self._purges.append(row)
        self._removals.append(row)

    def known(self) -> None:
        """All records of former runs are known."""
        self._purges = []
        self.rewrite = True

    def release(self, slot: int, dead: bool) -> "Stored | None":
        """A slot's record is no more: evicted, or `dead`; its object where that was in memory, too."""
        index = self.index
        segment, offset = self.segments.get(index.files[slot]), index.offsets[slot]
        index.remove(slot)
        if dead and segment is not None:
            self.kill(segment, offset)
        stored = self.resident.pop(slot, None)
        if stored is not None:
            stored.slot = 0
        return stored

    def lend(self, segment: Segment) -> Lent:
        """The body of a large object, to be sent. Raises OSError where its file is gone."""
        if segment.writing is None:
            segment.open(self.disk)
            self._open.pop(segment.number, None)
            self._open[segment.number] = segment
            if len(self._open) > OPEN:
                self._close_one()
        return Lent(segment)

    def _close_one(self) -> None:
        for segment in self._open.values():
            if not segment.lent and segment.writing is None:
                del self._open[segment.number]
                segment.file = None
                return

    def remember(self, hashed: int) -> None:
        """It left the small queue."""
        if len(self.index) > len(self.ghost):
            self.ghost = Ghost(2 * len(self.ghost))  # an empty one: to fill it would take long
        self.ghost.remember(hashed & 0xFFFFFFFF)

    def was_here(self, hashed: int) -> bool:
        """Whether it left the small queue a short while ago."""
        return self.ghost.forget(hashed & 0xFFFFFFFF, max(1024, len(self.index)))

    def drop(self, segment: Segment) -> None:
        """The file goes, with what is still in it."""
        if segment.gone:
            return
        segment.gone = True
        number, files = segment.number, self.index.files
        for slot in segment.slots:
            if files[slot] == number:
                self.release(slot, dead=False)
        del self.segments[number]
        if self.small.pop(number, None) is not None:
            self.small_octets -= segment.octets
        self.main.pop(number, None)
        self._open.pop(number, None)
        if self.active.get(segment.letter) is segment:
            del self.active[segment.letter]
        if segment in self.sealing:
            self.sealing.remove(segment)
        self.leaving.append(segment)

    # Work

    def upkeep(self) -> Work | None:
        """What is to be done about removals, files that go, and tables; in this order."""
        return self._journal() or self._unlink() or self._seal()

    def _journal(self) -> Work | None:
        rows = sum(len(segment.dead) for segment in self.segments.values()) if self._rows > _FEW_REMOVALS else self._rows
        if self.rewrite or self._rows > 2 * rows + _FEW_REMOVALS:
            return self._write_removals()
        if not self._removals:
            return None
        data, self._removals = b"".join(self._removals), []

        def done(result: Any) -> None:
            error = failed(result)
            if error is not None:
                self.rewrite = True
                self.failed(error)
            else:
                self._rows += len(data) // records.REMOVAL

        return Work(lambda: self._removed.append(data), done, cost_of(len(data)))

    def _write_removals(self) -> Work:
        segments = [(segment.number, segment.dead[:]) for segment in self.segments.values() if segment.dead]
        kept = self._purges[:]
        self._removals, self.rewrite = [], False
        rows = sum(len(dead) for _, dead in segments) + len(kept)

        def run() -> None:
            self._removed.close()
            parts = [records.removal(number, offset) for number, dead in segments for offset in dead]
            self.disk.write(REMOVED, b"".join(parts + kept))

        def done(result: Any) -> None:
            error = failed(result)
            if error is not None:
                self.rewrite = True
                self.failed(error)
            else:
                self._rows = rows

        return Work(run, done, cost_of(rows * records.REMOVAL))

    def _unlink(self) -> Work | None:
        if self.left:
            for segment in [it for it in self.left if not it.lent]:
                self.left.remove(segment)
                self.used -= segment.octets
        if not self.leaving:
            return None
        segments, self.leaving = self.leaving[:_TOGETHER], self.leaving[_TOGETHER:]
        return Work(lambda: _unlinked(self.disk, segments), lambda result: self._unlinked(result, segments), cost_of(0))

    def _unlinked(self, result: Any, segments: Iterable[Segment]) -> None:
        error = failed(result)
        if error is not None:
            self.failed(error)  # a file that stays is read again after a restart, and its room is not counted until then
        for segment in segments:
            if segment.lent:
                self.left.append(segment)
            else:
                self.used -= segment.octets

    def _seal(self) -> Work | None:
        if not self.sealing:
            return None
        segment = self.sealing.pop()

        def done(result: Any) -> None:
            segment.table = None
            error = failed(result)
            if error is not None:
                segment.let_go()
                self.failed(error)
            elif self.room < self.limits.disk:
                self.room = min(self.limits.disk, self.room + self.segment_octets)

        rows = 0 if segment.table is None else len(segment.table)
        return Work(lambda: segment.seal(self.disk), done, cost_of(ROW * rows))


def _unlinked(disk: Disk, segments: Iterable[Segment]) -> None:
    for segment in segments:
        segment.let_go()
        try:
            disk.remove(segment.path)
        except FileNotFoundError:
            continue


def cost_of(octets: int) -> float:
    """Seconds in the simulation."""
    return 0.0002 + octets / 300e6
