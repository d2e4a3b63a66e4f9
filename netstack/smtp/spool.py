"""Messages that were acknowledged and have not reached everybody: on disk, synced, before anybody is told (RFC 5321 §6.1).

Messages that come together share one write and one sync. Files only grow; one whose messages are all done is removed, and
one in which little is left has that copied to the newest. A crash loses nothing that was acknowledged.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar
from zlib import crc32

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.kernel.disk import AppendedFile, Disk, OpenFile
from netstack.kernel.machine import Machine
from netstack.sansio.bounds import all_positive
from netstack.smtp.records import Found, Record, encode, scan

COST = 0.002
"""Seconds that a write with its sync takes, in the simulation alone."""
PATIENCE = 0.05
"""Seconds that what became of a message waits for others, before it is written."""
GATHERING = 0.005
"""Seconds that a message waits for others that will soon come."""
OTHERS = "others"
"""In a record's head: numbers and heads of more messages with the same content."""
Head = dict[str, Any]
Kept = TypeVar("Kept")
_log = Logger()


class SpoolFull(Exception):
    """As much waits to be written, or is kept, as may."""


class Damaged(Exception):
    """What the disk gives back is not what was written."""


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """Bounds of a spool; sizes in octets."""

    segment: int = 64 * 1024 * 1024
    """A file that has grown beyond is followed by a new one."""
    waiting: int = 256 * 1024 * 1024
    """Of messages that wait to be written."""
    together: int = 1000
    """Records of one write."""
    messages: int = 1_000_000
    """Kept at once."""
    octets: int = 16 * 1024 * 1024 * 1024
    """Of all files."""

    def __post_init__(self) -> None:
        all_positive(self)


class _Segment:
    """One file."""

    __slots__ = ("file", "live", "live_octets", "name", "size")

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self.live = self.live_octets = 0
        """Messages in it that are not done, and their octets."""
        self.file: OpenFile | None = None

    def opened(self, disk: Disk) -> OpenFile:
        """For reading."""
        if self.file is None:
            self.file = disk.open(self.name)
        return self.file

    def records(self, disk: Disk) -> Iterator[Found]:
        """All that are whole."""
        return scan(self.opened(disk).read_at, self.size)


@dataclass(slots=True)
class Place:
    """Where a message's content is."""

    segment: _Segment
    offset: int
    length: int
    check: int


@dataclass(slots=True)
class _Item:
    """A record to be written."""

    kind: Record
    number: int
    head: Head | None
    content: bytes
    written: Deferred[int]
    is_copy: bool = False
    others: Sequence[int] = ()
    """Numbers of more messages with this content."""


class Spool:
    """One for each queue; only one process may have it."""

    def __init__(
        self, machine: Machine, limits: SpoolLimits, describe: Callable[[int], Head], directory: str = "queue"
    ) -> None:
        """`describe` gives the head of a message that is kept as it is now, changes included."""
        self.commits = 0
        self.damaged = 0
        """Files that ended in the middle of a record, and contents that were not what was written."""
        self._machine = machine
        self._limits = limits
        self._describe = describe
        self._directory = directory
        self._places: dict[int, Place] = {}
        self._segments: list[_Segment] = []
        self._file: AppendedFile | None = None
        """The newest one; the next record goes into a new one where there is none."""
        self._next = 1
        self._queue: deque[_Item] = deque()
        self._waiting = 0
        self._busy = self._closed = False
        self._patient = self._gathering = False
        """The newest message may wait for others; the timer is set for that."""
        self._urgent = 0
        """Messages that wait to be written."""
        self._timer: IDelayedCall | None = None
        self._on_idle: list[Deferred[None]] = []

    def __len__(self) -> int:
        return len(self._places)

    @property
    def octets(self) -> int:
        """Of all files."""
        return sum(segment.size for segment in self._segments)

    def open(self, made: Callable[[Head], Kept], changed: Callable[[Kept, Head], Kept]) -> list[tuple[int, Kept]]:
        """Numbers of what is kept, oldest first, and what was `made` of each head and then `changed` by each change: what
        each takes does not grow with its changes. Blocks for as long as it takes to read the heads."""
        disk = self._machine.disk
        kept: dict[int, Kept] = {}
        try:
            names = [name for name in disk.list(self._directory) if name.startswith("segment-")]
            # Numbers were given to messages of which nothing is here: none is given again
            self._next = int(self._machine.wall() * 1e6)
        except FileNotFoundError:
            names = []
            disk.make_directory(self._directory)
        for name in names:
            segment = _Segment(f"{self._directory}/{name}")
            self._segments.append(segment)
            self._next = max(self._next, int(name.removeprefix("segment-"), 16) + 1)
            segment.size = segment.opened(disk).stat.size
        newest = next((each for each in reversed(self._segments) if any(each.records(disk))), None)
        torn: set[int] = set()
        for segment in self._segments:
            torn |= self._read(segment, kept, made, changed, verify=segment is newest)
        if newest is not None:  # it may be of a process that was killed before it synced it, and earlier files go now
            newest_file = disk.append(newest.name)
            newest_file.sync()
            newest_file.close()
        for number in torn - kept.keys():
            self._never_came(number)
        for segment in [*self._segments]:
            self._drop_if_done(segment)
        return sorted(kept.items(), key=itemgetter(0))

    def take_number(self) -> int:
        """A number for a message that `accept` will be given."""
        number = self._next
        self._next += 1
        return number

    def accept(
        self, head: Head, content: bytes, number: int | None = None, others: Sequence[tuple[int, Head]] = (),
        patient: bool = False,
    ) -> Deferred[int]:  # fmt: skip
        """Keep a message: fires with its number once it survives a loss of power. Raises SpoolFull; fails with OSError.

        `others` are messages with the same content, kept together with it or not at all. `patient`: more will come soon.
        """
        if len(self._places) + len(others) >= self._limits.messages or self.octets >= self._limits.octets:
            raise SpoolFull("the queue is full")
        if self._waiting + len(content) > self._limits.waiting:
            raise SpoolFull("too much waits to be written")
        if others:
            head = {**head, OTHERS: others}
        number = self.take_number() if number is None else number
        return self._write(Record.MESSAGE, number, head, content, others=[each for each, _ in others], patient=patient)

    def change(self, number: int, change: Head) -> Deferred[int]:
        """Note something about a message; fires when that survives."""
        return self._write(Record.CHANGE, number, change, b"") if number in self._places else succeed(number)

    def done(self, number: int) -> Deferred[int]:
        """Nothing more is to be done for a message: forget it."""
        place = self._places.pop(number, None)
        if place is None:
            return succeed(number)
        place.segment.live -= 1
        place.segment.live_octets -= place.length
        written = self._write(Record.DONE, number, None, b"")
        written.addCallback(lambda _: self._tidy(place.segment, number))
        return written

    def content(self, number: int) -> bytes:
        """A message's octets; raises KeyError, Damaged, OSError."""
        place = self._places[number]
        segment = place.segment
        content = segment.opened(self._machine.disk).read_at(place.offset, place.length)
        if crc32(content) != place.check:
            self.damaged += 1
            raise Damaged(f"message {number:X} in {segment.name} is damaged")
        return content

    def length(self, number: int) -> int:
        """Octets of a message; raises KeyError."""
        return self._places[number].length

    def close(self) -> Deferred[None]:
        """Take nothing more; fires when what waits is written."""
        self._closed = True
        idle: Deferred[None] = Deferred()
        self._on_idle.append(idle)
        self._go_on()
        return idle

    # Writing

    def _write(
        self, kind: Record, number: int, head: Head | None, content: bytes, is_copy: bool = False,
        others: Sequence[int] = (), patient: bool = False,
    ) -> Deferred[int]:  # fmt: skip
        if self._closed:
            raise SpoolFull("the spool is closed")
        item = _Item(kind, number, head, content, Deferred(), is_copy, others)
        self._queue.append(item)
        self._waiting += len(content)
        if kind is Record.MESSAGE:
            self._urgent += 1
            self._patient = patient
            self._hurry()
        elif not self._busy and self._timer is None:  # nobody waits for it: it goes with the next message
            self._timer = self._machine.reactor.callLater(PATIENCE, self._patience_ends)
        return item.written

    def _hurry(self) -> None:
        """A message waits."""
        if not self._patient:
            self._go_on()
        elif not self._busy and not self._gathering:
            if self._timer is not None:
                self._timer.cancel()
            self._gathering = True
            self._timer = self._machine.reactor.callLater(GATHERING, self._patience_ends)

    def _patience_ends(self) -> None:
        self._timer = None
        self._go_on()

    def _go_on(self) -> None:
        if self._busy:
            return
        self._gathering = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._queue:
            if self._closed:
                self._close_files()
            return
        batch = [self._queue.popleft() for _ in range(min(self._limits.together, len(self._queue)))]
        self._urgent -= sum(item.kind is Record.MESSAGE for item in batch)
        segment, file = self._current(batch[0].number)
        self._busy = True

        def write() -> list[int]:
            """In a thread: the octets of each record."""
            records = [encode(item.kind, item.number, item.head, item.content) for item in batch]
            file.append(b"".join(records))
            return [len(record) for record in records]

        def finished(result: list[int] | Failure) -> None:
            self._busy = False
            self.commits += 1
            if isinstance(result, Failure):
                self._give_up(segment)
                self._failed(batch, result)
            else:
                self._written(segment, batch, result)
            if self._closed:
                self._go_on()
            elif self._urgent:
                self._hurry()
            elif self._queue and self._timer is None:
                self._timer = self._machine.reactor.callLater(PATIENCE, self._patience_ends)

        self._machine.offload(write, COST).addBoth(finished)

    def _current(self, number: int) -> tuple[_Segment, AppendedFile]:
        """The newest file, or a new one."""
        if self._file is not None and self._segments[-1].size < self._limits.segment:
            return self._segments[-1], self._file
        self._close_file()
        first = max(number, self._next - 1)
        name = f"{self._directory}/segment-{first:016x}"
        while any(each.name == name for each in self._segments):
            self._next += 1
            name = f"{self._directory}/segment-{self._next - 1:016x}"
        segment, self._file = _Segment(name), AppendedFile(self._machine.disk, name)
        self._segments.append(segment)
        if len(self._segments) > 1:
            self._drop_if_done(self._segments[-2])
        return segment, self._file

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _give_up(self, segment: _Segment) -> None:
        """Nobody knows how much of a failed write is there: the next record goes into a new file."""
        self._close_file()
        self._next += 1  # its name is not used again, though it may not be possible to remove it now
        if segment.size == 0:
            self._segments.remove(segment)
            self._remove(segment)

    def _never_came(self, number: int) -> None:
        """A message that nobody was told is here: a later start must not take what the disk has of it for one."""
        if not self._closed:
            self._write(Record.DONE, number, None, b"").addErrback(lambda _: None)

    def _failed(self, batch: list[_Item], failure: Failure) -> None:
        for item in batch:
            self._waiting -= len(item.content)
            item.written.errback(failure)
            if item.kind is Record.MESSAGE and not item.is_copy:
                for number in (item.number, *item.others):
                    self._never_came(number)

    def _written(self, segment: _Segment, batch: list[_Item], sizes: list[int]) -> None:
        for item, size in zip(batch, sizes, strict=True):
            self._waiting -= len(item.content)
            segment.size += size
            if item.kind is Record.MESSAGE and (not item.is_copy or item.number in self._places):
                place = Place(segment, segment.size - len(item.content), len(item.content), crc32(item.content))
                for number in (item.number, *item.others):
                    self._keep(number, place)
            item.written.callback(item.number)

    def _keep(self, number: int, place: Place) -> None:
        before = self._places.get(number)
        if before is not None:  # it was copied
            before.segment.live -= 1
            before.segment.live_octets -= before.length
        self._places[number] = place
        place.segment.live += 1
        place.segment.live_octets += place.length

    # Reading

    def _read(
        self, segment: _Segment, kept: dict[int, Kept], made: Callable[[Head], Kept],
        changed: Callable[[Kept, Head], Kept], verify: bool,
    ) -> set[int]:  # fmt: skip
        """`verify`: the contents too, since this file may have been written when the power went; torn ones come back."""
        end = 0
        torn: set[int] = set()
        for found in segment.records(self._machine.disk):
            end = found.end
            self._next = max(self._next, found.number + 1)
            if verify and crc32(segment.opened(self._machine.disk).read_at(found.offset, found.length)) != found.check:
                self.damaged += 1  # written, but not synced when the power went: nobody was told of it
                torn.update((found.number, *(number for number, _ in found.head.get(OTHERS, ()))))
            elif found.kind is Record.MESSAGE:
                head, place = dict(found.head), Place(segment, found.offset, found.length, found.check)
                for number, its_head in ((found.number, head), *head.pop(OTHERS, ())):
                    kept[number] = made(its_head)
                    self._keep(number, place)
                    self._next = max(self._next, number + 1)
            elif found.number in kept and found.kind is Record.CHANGE:
                kept[found.number] = changed(kept[found.number], dict(found.head))
            elif found.number in kept:
                del kept[found.number]
                place = self._places.pop(found.number)
                place.segment.live -= 1
                place.segment.live_octets -= place.length
        if end < segment.size:
            self.damaged += 1
            count = segment.size - end
            _log.warn("{name}: {count} octets after a crash are no whole record", name=segment.name, count=count)
        return torn

    # Files that are no longer needed

    def _tidy(self, segment: _Segment, number: int) -> int:
        if segment is not self._segments[-1] and segment in self._segments:
            if segment.live == 0:
                self._drop_if_done(segment)
            elif segment.live_octets * 8 < segment.size and segment.size >= self._limits.segment // 2:
                self._copy(segment)
        return number

    def _drop_if_done(self, segment: _Segment) -> None:
        """Remove a file of which nothing is left, and nothing in later files refers to: changes follow their message."""
        if segment.live or segment is self._segments[-1] or segment not in self._segments:
            return
        if segment is not self._segments[0]:
            return  # a DONE in it may be of a message in an earlier file: those go first
        self._segments.remove(segment)
        self._remove(segment)
        self._drop_if_done(self._segments[0])

    def _remove(self, segment: _Segment) -> None:
        if segment.file is not None:
            segment.file.close()
        try:
            self._machine.disk.remove_all([segment.name])
        except OSError as error:
            _log.warn("{name} cannot be removed: {error}", name=segment.name, error=error)

    def _copy(self, segment: _Segment) -> None:
        for number, place in [*self._places.items()]:
            if place.segment is segment:
                try:
                    content = self.content(number)
                except (Damaged, OSError) as error:
                    _log.error("message {number} stays where it is: {error}", number=f"{number:X}", error=error)
                    continue
                copied = self._write(Record.MESSAGE, number, self._describe(number), content, is_copy=True)
                copied.addCallbacks(lambda _: self._drop_if_done(segment), lambda failure: None)

    def _close_files(self) -> None:
        self._close_file()
        for segment in self._segments:
            if segment.file is not None:
                segment.file.close()
                segment.file = None
        waiting, self._on_idle = self._on_idle, []
        for each in waiting:
            each.callback(None)
