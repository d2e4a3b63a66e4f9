"""Committed messages on their way into their files, many together, and with them the ledger's lines; old files go away."""

import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from netstack.kernel.disk import Disk, OpenFile
from netstack.kernel.machine import Machine
from netstack.mail.metrics import Counts
from netstack.mail.store import files
from netstack.mail.store.errors import StoreError, StoreFailed
from netstack.mail.store.limits import StoreLimits
from netstack.mail.store.recovery import ledger_lines

COST = 0.005
"""Seconds that a pass takes, in the simulation alone."""
TOGETHER, TOGETHER_OCTETS = 500, 8 * 1024 * 1024
"""Messages, and about how many octets, of one pass."""
AGAIN = 5.0
"""Seconds until a pass that failed is tried again."""
_PER_MESSAGE = 64
"""Octets that a message needs in a ledger, about."""


class Room:
    """For committed messages that are not in their files yet, of all accounts of a store."""

    def __init__(self, octets: int, counts: Counts) -> None:
        self.free = octets
        self.counts = counts
        self.failing = 0
        """Accounts whose last pass failed."""
        self._octets = octets
        self._waiting: deque[Deferred[None]] = deque()

    async def take(self, octets: int) -> None:
        """Wait until there is room. Raises StoreFailed where none comes."""
        while octets > self.free and self.free < self._octets:
            if self.failing:
                raise StoreFailed("messages cannot be written to their files")
            turn: Deferred[None] = Deferred()
            self._waiting.append(turn)
            await turn
        self.hold(octets)

    def hold(self, octets: int) -> None:
        """Take room without waiting."""
        self.free -= octets
        self.counts.unsettled = self._octets - self.free

    def give(self, octets: int) -> None:
        """Room is there again; or none comes, and those who wait are told."""
        self.free += octets
        self.counts.unsettled = self._octets - self.free
        waiting, self._waiting = self._waiting, deque()
        for turn in waiting:
            turn.callback(None)


class Settler:
    """One account's. `run` is work of its index."""

    log = Logger()

    def __init__(
        self, machine: Machine, disk: Disk, run: Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]],
        limits: StoreLimits, room: Room,
    ) -> None:  # fmt: skip
        self._machine = machine
        self._disk = disk
        self._run = run
        self._limits = limits
        self._room = room
        self._unsettled: dict[int, tuple[int, bytes | str]] = {}
        self._lines: list[bytes] = []
        self._removing = False
        self._ledger_octets = self._ledger_needed = 0
        self._is_ledger_whole = True
        self._timer: Any = None
        self._pass: Deferred[None] | None = None
        self._failing = self._closing = False

    @property
    def idle(self) -> bool:
        """Whether all is where it belongs."""
        waits = self._unsettled or self._lines or self._removing or not self._is_ledger_whole
        return not (waits or self._pass is not None)

    def arrived(self, file: int, size: int, content: bytes | str) -> None:
        """A committed message, with room taken for it; its octets, or the path of a file that they are in."""
        self._unsettled[file] = (size, content)
        self.soon()

    def tell(self, *lines: bytes) -> None:
        """Lines for the ledger."""
        self._lines.extend(lines)
        self.soon()

    def removed(self) -> None:
        """There are files that nobody has any more."""
        self._removing = True
        self.soon()

    def began(self, ledger: int, messages: int) -> None:
        """At the start: octets of the ledger, and how many messages there are."""
        self._ledger_octets, self._ledger_needed = ledger, messages * _PER_MESSAGE

    def untold(self) -> None:
        """The ledger's end was lost, maybe in the middle of a line: it is written anew."""
        self._is_ledger_whole = False
        self.soon()

    def content(self, file: int) -> OpenFile:
        """To be read from wherever it is now. Raises OSError."""
        _, held = self._unsettled.get(file, (0, None))
        if isinstance(held, bytes):
            return files.Held(held)
        if isinstance(held, str):
            with suppress(FileNotFoundError):
                return self._disk.open(held)
        return self._disk.open(files.path_of(file))

    def soon(self) -> None:
        """Have a pass, unless one is to come."""
        if self._timer is None and self._pass is None and not self._closing:
            self._timer = self._machine.reactor.callLater(
                AGAIN if self._failing else self._limits.settle_seconds, self._start
            )

    def _start(self) -> None:
        self._timer = None
        self._pass = Deferred.fromCoroutine(self._passes())

    async def close(self) -> None:
        """When all is settled, or cannot be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._closing = True
        if self._pass is not None:
            await self._joined()
        if not self.idle:
            await self._passes()
        self._room.give(sum(size for size, _ in self._unsettled.values()))  # they are in the index, for the next time

    async def _joined(self) -> None:
        done: Deferred[None] = Deferred()
        if self._pass is not None:
            self._pass.addBoth(lambda _: done.callback(None))
            await done

    async def _passes(self) -> None:
        try:
            await self._one()
            while len(self._unsettled) >= TOGETHER or (self._closing and (self._unsettled or self._lines)):
                await self._one()
            self._failed(False)
        except (OSError, StoreError) as error:
            self.log.error("Messages wait to be written to their files: {error}", error=error)
            self._failed(True)
        finally:
            self._pass = None
        if not self.idle:
            self.soon()

    def _failed(self, failing: bool) -> None:
        if failing != self._failing:
            self._room.failing += 1 if failing else -1
            self._failing = failing
        if failing:
            self._room.counts.failures += 1
            self._room.give(0)

    async def _one(self) -> None:
        batch: list[tuple[int, int, bytes | str]] = []
        octets = 0
        for file, (size, content) in islice(self._unsettled.items(), TOGETHER):
            if octets > TOGETHER_OCTETS:
                break
            batch.append((file, size, content))
            octets += size if isinstance(content, bytes) else 0
        lines, self._lines = self._lines, []
        try:
            await self._machine.offload(lambda: self._write(batch, lines), COST)
        except OSError:
            self._lines[:0] = lines
            raise
        self._ledger_octets += sum(map(len, lines))
        found = await self._run(lambda database: _written(database, [file for file, _, _ in batch]))
        self._room.counts.settled += len(batch)
        for file, size, _ in batch:
            del self._unsettled[file]
            self._room.give(size)
        gone = [file for file in found if file not in self._unsettled]
        self._removing = len(gone) < len(found)
        if gone:
            await self._machine.offload(lambda: self._disk.remove_all([files.path_of(file) for file in gone]), COST)
            self._room.counts.removed += len(gone)
            self._removing |= await self._run(lambda database: _removed(database, gone))
        if not self._is_ledger_whole or self._ledger_octets > 2 * self._ledger_needed + self._limits.ledger:
            await self._rewrite()

    def _write(self, batch: Sequence[tuple[int, int, bytes | str]], lines: Sequence[bytes]) -> None:
        """In a thread."""
        self._disk.write_all([(files.path_of(file), held) for file, _, held in batch if isinstance(held, bytes)])
        self._disk.rename_all([(held, files.path_of(file)) for file, _, held in batch if isinstance(held, str)])
        if lines:
            appender = self._disk.append(files.LEDGER)
            try:
                appender.write(b"".join(lines))
                appender.sync()
            finally:
                appender.close()

    async def _rewrite(self) -> None:
        """The ledger anew. Lines that wait, and that it has already, say nothing else than it does."""
        told = b"".join(await self._run(ledger_lines))
        await self._machine.offload(lambda: self._disk.write(files.LEDGER, told), COST)
        self._ledger_octets = self._ledger_needed = len(told)
        self._is_ledger_whole = True


def _written(database: sqlite3.Connection, settled: Sequence[int]) -> list[int]:
    """Forget the octets of what is in its file; what may be removed comes back."""
    first, last = min(settled, default=0), max(settled, default=0)
    if last - first == len(settled) - 1:
        database.execute("DELETE FROM arrived WHERE file BETWEEN ? AND ?", (first, last))
    else:
        database.executemany("DELETE FROM arrived WHERE file = ?", [(file,) for file in settled])
    return [file for (file,) in database.execute("SELECT file FROM removing LIMIT 1000")]


def _removed(database: sqlite3.Connection, gone: Sequence[int]) -> bool:
    """Whether there is more to be removed."""
    database.executemany("DELETE FROM removing WHERE file = ?", [(file,) for file in gone])
    return database.execute("SELECT 1 FROM removing LIMIT 1").fetchone() is not None
