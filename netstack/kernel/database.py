"""A host's SQLite database: work in transactions off the reactor's thread, many in one commit, told when it is durable."""

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from netstack.kernel.disk import Disk
from netstack.kernel.offload import Offload
from netstack.kernel.reactor import Reactor

T = TypeVar("T")
Item = TypeVar("Item")
COST = 0.002
"""Seconds that a commit takes, in the simulation alone."""
GATHERING = 0.005
"""Seconds that what others will soon join waits for them."""
_PAGE = 4096
CHECKPOINT = 4000
"""Pages of the log after which a commit copies them into the file, once each, however often they changed."""


@dataclass(frozen=True, slots=True)
class DatabaseLimits:
    """Bounds of one database."""

    waiting: int = 1000
    """Pieces of work that wait for their turn."""
    together: int = 100
    """Pieces of work of one commit."""
    octets: int = 1024 * 1024 * 1024
    """Of the file; then nothing is written any more."""
    lock_seconds: float = 5.0
    """Time for another process to be done with the file."""

    def __post_init__(self) -> None:
        for name in ("waiting", "together", "octets", "lock_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected a number above 0, got {getattr(self, name)!r}")


class DatabaseBusy(Exception):
    """As much work waits as may."""


class Database:
    """A file of a disk, opened for the first piece of work; `schema` is run then, statement by statement."""

    def __init__(self, disk: Disk, path: str, schema: Sequence[str], limits: DatabaseLimits, offload: Offload) -> None:
        self.limits = limits
        self.commits = 0
        self._disk = disk
        self._offload = offload
        self._path = path
        self._schema = schema
        self._waiting: deque[tuple[Callable[[sqlite3.Connection], Any] | Together[Any], Deferred[Any]]] = deque()
        self._connection: sqlite3.Connection | None = None
        self._busy = self._closed = False

    def run(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """Fires with what `work` returns once that is committed, or with its exception; then it has changed nothing.

        `work` runs in a thread, in its turn. Raises DatabaseBusy. Failures of the whole commit are sqlite3.Error.
        """
        self._check_room()
        done: Deferred[T] = Deferred()
        self._waiting.append((work, done))
        self._next()
        return done

    def enter(self, group: "Together[Any]", done: Deferred[Any]) -> None:
        """As `run`, of all items that the group has when its turn comes. Raises DatabaseBusy."""
        self._check_room()
        self._waiting.append((group, done))
        self._next()

    def close(self) -> None:
        """Take no more work; the file is closed when what waits is done."""
        self._closed = True
        self._end()

    def _check_room(self) -> None:
        if self._closed or len(self._waiting) >= self.limits.waiting:
            raise DatabaseBusy(f"{self._path}: {len(self._waiting)} pieces of work wait already")

    def _next(self) -> None:
        if self._busy or not self._waiting:
            self._end()
            return
        batch = [self._waiting.popleft() for _ in range(min(self.limits.together, len(self._waiting)))]
        works = [work.taken() if isinstance(work, Together) else work for work, _ in batch]
        self._busy = True

        def finished(results: list[Any] | Failure) -> None:
            self.commits += 1
            for number, (_, done) in enumerate(batch):  # who asks for more now waits, so that it is one commit again
                result = results if isinstance(results, Failure) else results[number]
                done.errback(result) if isinstance(result, Failure) else done.callback(result)
            self._busy = False
            self._next()

        self._offload(lambda: self._commit(works), COST).addBoth(finished)

    def _end(self) -> None:
        if self._closed and not self._busy and self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _commit(self, batch: Sequence[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        """In a thread: each piece of work by itself, all of them in one transaction."""
        connection = self._connection or self._open()
        results: list[Any] = []
        connection.execute("BEGIN IMMEDIATE")
        try:
            if len(batch) == 1:  # what a savepoint remembers of each page is not needed
                return [self._commit_one(connection, batch[0])]
            for work in batch:
                connection.execute("SAVEPOINT work")
                try:
                    results.append(work(connection))
                except Exception:
                    results.append(Failure())
                    connection.execute("ROLLBACK TO work")  # fails, and so does all, where SQLite has given up by itself
                connection.execute("RELEASE work")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results

    def _commit_one(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Any]) -> Any:
        try:
            result = work(connection)
        except Exception:
            result = Failure()
            connection.execute("ROLLBACK")  # fails where SQLite has given up by itself
        else:
            connection.execute("COMMIT")
        return result

    def _open(self) -> sqlite3.Connection:
        connection = self._disk.database(self._path)
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(self.limits.lock_seconds * 1000)}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_checkpoint")  # syncs what a process wrote that was killed before it could
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA temp_store = MEMORY")
            [size] = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA max_page_count = {max(1, self.limits.octets // (size or _PAGE))}")
            connection.execute("BEGIN IMMEDIATE")
            for statement in self._schema:
                connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection


class Together(Generic[Item]):
    """Items of one kind: those that wait for their turn at the same time are one piece of work, with few statements."""

    def __init__(
        self,
        database: Database,
        work: Callable[[sqlite3.Connection, Sequence[Item]], Any],
        done: Callable[[Sequence[Item], Any], None],
        reactor: Reactor,
    ) -> None:
        """`done` is told the items of a piece of work, and what `work` returned once that is committed, or the Failure."""
        self._database = database
        self._work = work
        self._done = done
        self._reactor = reactor
        self._items: list[Item] = []
        self._asked: Deferred[Any] | None = None
        """For the turn that the items wait for."""
        self._timer: IDelayedCall | None = None

    def add(self, item: Item, patient: bool = False) -> None:
        """`patient`: others come soon, and it may wait GATHERING seconds for them. Raises DatabaseBusy."""
        if len(self._items) >= self._database.limits.waiting:
            raise DatabaseBusy(f"{len(self._items)} items wait already")
        self._items.append(item)
        if self._asked is not None:
            return
        if not patient:
            self._ask()
        elif self._timer is None:
            self._timer = self._reactor.callLater(GATHERING, self._gathered)

    def taken(self) -> Callable[[sqlite3.Connection], Any]:
        """The database's: it is their turn, and who comes from now on waits for the next one."""
        items, self._items = self._items, []
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.addBoth(lambda result: self._done(items, result))
        return lambda connection: self._work(connection, items)

    def _gathered(self) -> None:
        self._timer = None
        self._ask()

    def _ask(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        done: Deferred[Any] = Deferred()
        self._asked = done
        try:
            self._database.enter(self, done)
        except DatabaseBusy:
            self.taken()
            done.errback(Failure())
