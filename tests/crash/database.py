"""A process with a database: `python -m tests.crash.database DIRECTORY ROWS` says how many rows there are, adds some, each
in a commit of its own, says so, and dies."""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from netstack.kernel.database import Database, DatabaseLimits
from netstack.kernel.disk import RealDisk


def at_once(work: Callable[[], Any], cost: float = 0.0) -> Deferred[Any]:
    """In this thread."""
    return maybeDeferred(work)


def count(database: sqlite3.Connection) -> int:
    """Rows."""
    [[rows]] = database.execute("SELECT COUNT(*) FROM row")
    return int(rows)


def add(database: sqlite3.Connection) -> int:
    """One more."""
    database.execute("INSERT INTO row VALUES (randomblob(5000))")
    return count(database)


def main(directory: str, rows: int) -> None:
    database = Database(RealDisk(directory), "rows", ["CREATE TABLE IF NOT EXISTS row (x)"], DatabaseLimits(), at_once)
    for work in [count, *[add] * rows]:
        database.run(work).addCallback(lambda rows: os.write(1, b"%d rows\n" % rows))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
