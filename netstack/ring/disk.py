"""A node's records on disk: what it said it has is there after any crash.

Changes are appended to a log; those that come together share one write and one sync. Once most of the log is out of
date a snapshot of all records is written beside it, and takes its place when it is whole. Merging makes order and
repetition harmless.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.kernel.disk import AppendedFile, Appender
from netstack.kernel.machine import Machine
from netstack.ring.records import Record
from netstack.ring.stored import (
    Frame,
    decode_record,
    decode_seen,
    encode_drop,
    encode_record,
    encode_seen,
    scan,
)
from netstack.sansio.bounds import all_positive

COST = 0.002
"""Seconds that a write with its sync takes, in the simulation alone."""
_LOG, _SNAPSHOT = "log-", "snapshot-"
_log = Logger()


class LogFull(Exception):
    """As much waits to be written as may."""


@dataclass(frozen=True, slots=True)
class LogLimits:
    """Bounds of what is kept; sizes in octets, times in seconds."""

    segment: int = 16 * 1024 * 1024
    """A log that has grown beyond, and beyond what the last snapshot had, is replaced by a snapshot."""
    waiting: int = 64 * 1024 * 1024
    """Of changes that wait to be written."""
    together: int = 1000
    """Changes of one write."""
    chunk: int = 200
    """Records of a snapshot that are written at once."""
    seen: float = 3600.0
    """Between two notes that the node was up."""

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(slots=True)
class _Change:
    records: Sequence[Record]
    dropped: Sequence[bytes]
    octets: int
    wall: float
    durable: Deferred[None]


class RecordLog:
    """One for each node; only one process may have it. Implements the service's Keeper."""

    def __init__(
        self,
        machine: Machine,
        limits: LogLimits | None = None,
        longest_away: float = inf,
        directory: str = "records",
        held: Callable[[], Iterable[Record]] = tuple,
    ) -> None:
        """`longest_away`: seconds for which it is known what was removed. `held` gives all records as they are now, for
        snapshots. Nothing is read or written before `open`.
        """
        self.commits = self.snapshots = 0
        self.damaged = 0
        """Files that ended in the middle of a frame."""
        self.failed = 0
        """Writes that the disk did not take."""
        self.held = held
        self._machine = machine
        self._limits = limits or LogLimits()
        self._longest_away = longest_away
        self._directory = directory
        self._number = 0
        self._file: AppendedFile | None = None
        """The newest log."""
        self._names: list[str] = []
        """Files whose contents a snapshot would take the place of, and the newest."""
        self._size = self._base = 0
        """Octets of the log since the last snapshot, and of that."""
        self._queue: deque[_Change] = deque()
        self._waiting = 0
        self._busy = self._copying = self._closed = False
        self._seen: IDelayedCall | None = None
        self._idle: list[Deferred[None]] = []

    # Opening

    def open(self) -> list[Record]:
        """What is kept; nothing when the node was away for longer than it is known what was removed. Blocks.

        Also after `close`, once that has come to its end.
        """
        disk, wall = self._machine.disk, self._machine.wall()
        self._closed, self._names, self._size, self._base = False, [], 0, 0
        try:
            names = disk.list(self._directory)
        except FileNotFoundError:
            names = []
        snapshots = [_number(name) for name in names if name.startswith(_SNAPSHOT) and not name.endswith(".new")]
        newest = max(snapshots, default=0)
        records: dict[bytes, list[Record]] = {}
        seen = 0.0
        for name in sorted(names, key=lambda name: (_number(name), name.startswith(_LOG))):
            number = _number(name)
            self._number = max(self._number, number)
            is_old = number < newest or (number == newest and name.startswith(_LOG))
            if name.endswith(".new") or is_old:
                self._remove(f"{self._directory}/{name}")
                continue
            path = f"{self._directory}/{name}"
            self._names.append(path)
            seen = max(seen, self._read(path, records, wall))
        if records and wall - seen > self._longest_away:
            _log.warn(
                "the node was away for {days:.1f} days: its {count} keys may hold what was removed since, and are left out",
                days=(wall - seen) / 86400, count=len(records),
            )  # fmt: skip
            for path in self._names:
                self._remove(path)
            self._names, records = [], {}
        self._note()
        return [each for parts in records.values() for each in parts]

    def _read(self, path: str, records: dict[bytes, list[Record]], wall: float) -> float:
        """Into `records`; when the node was last up, as this file says."""
        seen = 0.0
        if path.rpartition("/")[2].startswith(_LOG):  # what a killed process wrote may not be on the disk yet
            appender = self._machine.disk.append(path)
            appender.sync()
            appender.close()
        file = self._machine.disk.open(path)
        try:
            end = 0
            for found in scan(file.read_at, file.stat.size):
                end = found.end
                if found.kind is Frame.SEEN:
                    seen = max(seen, decode_seen(found.body))
                elif found.kind is Frame.DROP:
                    records.pop(found.body, None)
                else:
                    try:
                        record = decode_record(found.body, wall)
                    except ValueError:
                        self.damaged += 1
                        continue
                    records.setdefault(record.key, []).append(record)
            if end < file.stat.size:
                self.damaged += 1
                _log.warn("{path}: {count} octets after a crash are no whole record", path=path, count=file.stat.size - end)
            if path.rpartition("/")[2].startswith(_SNAPSHOT):
                self._base = file.stat.size
            else:
                self._size += file.stat.size
        finally:
            file.close()
        return seen

    # Writing

    def keep(self, records: Sequence[Record], dropped: Sequence[bytes]) -> Deferred[None]:
        """Merge records into what is kept, drop keys; fires when both are durable. Fails with OSError or LogFull."""
        durable: Deferred[None] = Deferred()
        octets = sum(len(value.data) + 100 for record in records for value in record.values) + 100 * (
            len(records) + len(dropped)
        )
        if self._closed or self._waiting + octets > self._limits.waiting:
            durable.errback(Failure(LogFull("the log is closed" if self._closed else "too much waits to be written")))
            return durable
        self._waiting += octets
        self._queue.append(_Change(records, dropped, octets, self._machine.wall(), durable))
        self._go_on()
        return durable

    def close(self) -> Deferred[None]:
        """Take nothing more; fires when what waits is written."""
        self._closed = True
        if self._seen is not None:
            self._seen.cancel()
            self._seen = None
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        self._go_on()
        return idle

    def _go_on(self) -> None:
        if self._busy:
            return
        if not self._queue:
            if self._closed and not self._copying:
                self._close_file()
                idle, self._idle = self._idle, []
                for each in idle:
                    each.callback(None)
            return
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._limits.together))]
        file, wall = self._current(), self._machine.wall()
        self._busy = True

        def write() -> int:
            """In a thread: the octets that were written."""
            octets = b"".join(
                [encode_seen(wall)]
                + [
                    part
                    for change in batch
                    for part in (
                        *(encode_record(record, change.wall) for record in change.records),
                        *map(encode_drop, change.dropped),
                    )
                ]
            )
            file.append(octets)
            return len(octets)

        self._machine.offload(write, COST).addBoth(lambda result: self._finished(batch, result))

    def _finished(self, batch: Sequence[_Change], result: int | Failure) -> None:
        self._busy = False
        self._waiting -= sum(change.octets for change in batch)
        if isinstance(result, Failure):
            self.failed += 1
            self._close_file()  # nobody knows how much is there: the next change goes into a new file
        else:
            self.commits += 1
            self._size += result
        for change in batch:
            if isinstance(result, Failure):
                change.durable.errback(result)
            else:
                change.durable.callback(None)
        if self._size > max(self._limits.segment, 2 * self._base) and not self._copying and not self._closed:
            self._copy()
        self._go_on()

    def _current(self) -> AppendedFile:
        """Made when something is written to it."""
        if self._file is None:
            self._number += 1
            self._names.append(f"{self._directory}/{_LOG}{self._number:016x}")
            self._file = AppendedFile(self._machine.disk, self._names[-1])
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _note(self) -> None:
        """That the node is up, for who has nothing else to write."""
        self._seen = None
        if not self._closed:
            self.keep((), ()).addErrback(lambda failure: None)
            self._seen = self._machine.reactor.callLater(self._limits.seen, self._note)

    # Snapshots

    def _copy(self) -> None:
        """Write all records, as they are now or later, into a file that takes the place of those before it."""
        self._copying = True
        self._close_file()  # what changes from now on goes into a log that is read after the snapshot
        old, self._names, self._size = self._names, [], 0
        number = self._number
        path = f"{self._directory}/{_SNAPSHOT}{number:016x}"
        self._number += 1
        try:
            appender = self._machine.disk.append(f"{path}.new")
        except OSError:
            self._copied(old, path, 0, Failure())
            return
        self._chunk(iter(self.held()), appender, old, path, 0)

    def _chunk(self, records: Iterator[Record], appender: Appender, old: list[str], path: str, size: int) -> None:
        some, wall = list(islice(records, self._limits.chunk)), self._machine.wall()

        def write() -> int:
            octets = b"".join([encode_seen(wall), *(encode_record(record, wall) for record in some)])
            appender.write(octets)
            if not some:
                appender.sync()
                self._machine.disk.rename(f"{path}.new", path)
            return len(octets)

        def written(result: int | Failure) -> None:
            if isinstance(result, Failure) or not some:
                appender.close()
                self._copied(old, path, size, result)
            else:
                self._chunk(records, appender, old, path, size + result)

        self._machine.offload(write, COST).addBoth(written)

    def _copied(self, old: list[str], path: str, size: int, result: int | Failure) -> None:
        self._copying = False
        if isinstance(result, Failure):
            self.failed += 1
            self._names = [*old, *self._names]
            self._remove(f"{path}.new")
            self._size = 0  # it is tried again once as much has come
        else:
            self.snapshots += 1
            self._names = [path, *self._names]
            self._base = size
            for each in old:
                self._remove(each)
        self._go_on()

    def _remove(self, path: str) -> None:
        try:
            self._machine.disk.remove_all([path])
        except OSError as error:
            _log.warn("{path} cannot be removed: {error}", path=path, error=error)


def _number(name: str) -> int:
    try:
        return int(name.removesuffix(".new").rpartition("-")[2], 16)
    except ValueError:
        return 0
