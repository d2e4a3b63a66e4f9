"""The start of the disk tier: what there is is learned segment by segment, the newest first, while service goes on."""

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.logger import Logger

from netstack.cache import records
from netstack.cache.files import REMOVED, Files, cost_of
from netstack.cache.lane import A_TURN, Work, failed
from netstack.cache.records import EVERYWHERE, Corrupt, Table
from netstack.cache.segments import LARGE, MAIN, Segment, parse_name, read_large, read_table, scan
from netstack.kernel.disk import Disk, OpenFile
from netstack.kernel.machine import Machine

FORMAT = "format"
"""The file that says what the others are."""
_STEP = 1000
"""Records put into the index before others get their turn."""

Listing = tuple[bytes, list[tuple[str, int, int]], list[tuple[int, int, int]], int]
"""Secret; letter, number and size of each file; removals; files that had to go."""


class Warming:
    """Until it is over, the index does not have all that is on disk."""

    log = Logger()

    def __init__(self, machine: Machine, files: Files) -> None:
        self.files = files
        self._name = machine.name
        self.secret = b""
        """Known once `listed`."""
        self.listed = False
        self.going_on = True
        self.failed: Callable[[OSError], object] = lambda error: None
        """Called when nothing can be known of the disk; `work` tries again."""
        self._fresh = machine.rng.getrandbits(128).to_bytes(16, "little")
        self._begun = False
        self._unread: list[Segment] = []
        """The newest last."""
        self._purges: dict[int, int] = {}
        """Of a hash, the segments in which it is no more: those with a lower number."""
        self._entering: tuple[Segment, Table, int, set[int]] | None = None
        """A segment whose records are put into the index, how many of them remain, and which are dead."""

    def begin(self) -> None:
        """Read what there is."""
        self._begun = True

    def stop(self) -> None:
        """Read no more."""
        self._begun = False

    def purge(self, hashed: int) -> None:
        """What has this hash and is not known yet is no more."""
        if self.going_on:
            self._purges[hashed] = self.files.number + 1
            self.files.kill_before(hashed)

    def work(self) -> Work | None:
        """The next piece."""
        if not self.going_on or not self._begun:
            return None
        if not self.listed:
            return Work(lambda: _list(self.files.disk, self._fresh), self._learn, cost_of(0))
        if self._entering is not None:
            self._enter(*self._entering)
            return A_TURN
        while self._unread:
            segment = self._unread.pop()
            if not segment.gone:
                return Work(partial(_read, self.files.disk, segment), partial(self._read, segment), cost_of(0))
        self.going_on = False
        self._purges = {}
        self.files.known()
        self.log.info(
            "{name}: {objects} objects are on the cache's disk, in {octets} octets; {torn} files lacked their end",
            name=self._name, objects=len(self.files.index), octets=self.files.taken, torn=self.files.counts.torn,
        )  # fmt: skip
        return None

    def _learn(self, result: Any) -> None:
        error = failed(result)
        if error is not None:
            self.failed(error)
            return
        self.secret, found, removals, torn = result
        files = self.files
        files.counts.torn += torn
        for letter, number, size in found:
            segment = Segment(letter, number, size)
            files.add(segment, main=letter in (MAIN, LARGE))
            files.number = max(files.number, number)
            self._unread.append(segment)
        for number, offset, hashed in removals:
            files.number = max(files.number, number)
            if offset == EVERYWHERE:
                self._purges[hashed] = max(number, self._purges.get(hashed, 0))
            elif number in files.segments:
                files.segments[number].dead.append(offset)
        self.listed = True

    def _read(self, segment: Segment, result: Any) -> None:
        """A segment's table, or what could be found in it."""
        files = self.files
        if segment.gone:
            return
        if isinstance(result, Table):
            table, sealed = result, True
        elif isinstance(result, tuple):
            table, torn = result
            sealed = False
            files.counts.torn += torn
        else:
            if failed(result) is None:
                files.counts.torn += 1
            files.drop(segment)
            return
        if not len(table):
            files.drop(segment)
            return
        if not sealed:
            segment.table = table
            files.grow(segment, len(table) * records.ROW + records.TABLE_END)
            files.sealing.append(segment)
        self._entering = segment, table, len(table), set(segment.dead)

    def _enter(self, segment: Segment, table: Table, rows: int, dead: set[int]) -> None:
        """Some of a segment's records, from its end on."""
        files, purges, number = self.files, self._purges, segment.number
        some = max(0, rows - _STEP)
        if segment.gone:
            self._entering = None
            return
        for row in range(rows - 1, some - 1, -1):
            hashed, offset = table.hashes[row], table.offsets[row]
            if offset in dead:
                continue
            if purges and purges.get(hashed, 0) > number:
                files.kill(segment, offset)
            elif len(files.index) < files.limits.objects:
                files.entered(segment, hashed, offset, table.sizes[row], 0)
        if some:
            self._entering = segment, table, some, dead
        else:
            self._entering = None
            if not segment.slots:
                files.drop(segment)


def _list(disk: Disk, fresh: bytes) -> Listing:
    """What is there, after what cannot be of use is removed."""
    names = [("segments", name) for name in _names(disk, "segments")]
    names += [(f"large/{part}", name) for part in _names(disk, "large") for name in _names(disk, f"large/{part}")]
    torn = 0
    try:
        secret = records.parse_format(disk.read(FORMAT))
        data = disk.read(REMOVED)  # without this file nobody knows what was removed
        removals = list(records.parse_removals(data))
    except (Corrupt, FileNotFoundError) as error:
        for directory, name in names:
            disk.remove(f"{directory}/{name}")
        if not isinstance(error, FileNotFoundError):
            torn = len(names)
        disk.write(REMOVED, b"")
        disk.write(FORMAT, records.format_of(fresh))
        return fresh, [], [], torn
    if len(data) % records.REMOVAL:
        disk.write(REMOVED, data[: -(len(data) % records.REMOVAL)])
    found = []
    for directory, name in names:
        parsed = parse_name(name)
        path = f"{directory}/{name}"
        if parsed is None or Segment(*parsed).path != path:
            continue
        found.append((*parsed, disk.stat(path).size))
    return secret, sorted(found, key=lambda it: it[1]), removals, torn


def _names(disk: Disk, directory: str) -> list[str]:
    try:
        return disk.list(directory)
    except FileNotFoundError:
        return []


def _read(disk: Disk, segment: Segment) -> Table | tuple[Table, bool] | Corrupt:
    file: OpenFile = disk.open(segment.path)
    if segment.letter == LARGE:
        try:
            head, _, _ = read_large(file, file.stat.size)
        except Corrupt as error:
            return error
        finally:
            file.close()
        table = Table()
        table.add(head.hash, 0, file.stat.size)
        return table
    segment.file = file
    try:
        return read_table(file)
    except Corrupt:
        return scan(file)
