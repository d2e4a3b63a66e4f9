"""Databases on both disks: one commit for many, failures that cost their own work alone, bounds, crashes."""

import sqlite3
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from netstack.kernel.database import GATHERING, Database, DatabaseBusy, DatabaseLimits, Together
from netstack.kernel.disk import Disk, RealDisk
from netstack.world.simulated import Simulation
from netstack.world.simulated.offload import InlineOffload

SCHEMA = ("CREATE TABLE IF NOT EXISTS word (text TEXT UNIQUE)",)


class Stage:
    def __init__(self, disk: Disk, **limits: Any) -> None:
        self.clock = Clock()
        offload: Any = InlineOffload(self.clock)  # type: ignore[arg-type]
        self.database = Database(disk, "kept/words.sqlite", SCHEMA, DatabaseLimits(**limits), offload)

    def add(self, word: str) -> list[object]:
        return self.outcome(lambda database: database.execute("INSERT INTO word VALUES (?)", (word,)).rowcount)

    def outcome(self, work: Any) -> list[object]:
        """What becomes of it, once that is known."""
        seen: list[object] = []
        done: Deferred[object] = self.database.run(work)
        done.addCallbacks(seen.append, lambda failure: seen.append(failure.value))
        return seen

    def words(self) -> object:
        found = self.outcome(lambda database: [row[0] for row in database.execute("SELECT text FROM word ORDER BY text")])
        self.clock.pump([1] * 5)
        return found[0]


@pytest.fixture(params=["real", "simulated"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    if request.param == "real":
        return RealDisk(tmp_path)
    return Simulation(1).host("www.test", "10.0.0.1").disk


def test_many_share_a_commit_and_are_told_after_it(disk: Disk) -> None:
    stage = Stage(disk)
    first = stage.add("one")
    others = [stage.add(word) for word in ("two", "three", "one", "four")]
    assert [first, *others] == [[]] * 5, "nothing is promised before the commit"
    stage.clock.advance(1)
    assert (first, others) == ([1], [[]] * 4)
    stage.clock.advance(1)
    told = [str(outcome[0]) for outcome in others]
    assert told == ["1", "1", "UNIQUE constraint failed: word.text", "1"]
    assert stage.database.commits == 2
    assert stage.words() == ["four", "one", "three", "two"]


def test_items_that_come_together_are_one_piece_of_work(disk: Disk) -> None:
    stage = Stage(disk, waiting=5)
    told: list[object] = []

    def work(database: sqlite3.Connection, words: Sequence[str]) -> list[str]:
        database.executemany("INSERT INTO word VALUES (?)", [(word,) for word in words])
        return list(words)

    def done(words: Sequence[str], result: Any) -> None:
        told.append((words, result.value if isinstance(result, Failure) else result))

    clock: Any = stage.clock
    together = Together(stage.database, work, done, clock)
    together.add("one", patient=True)
    together.add("two", patient=True)
    stage.clock.advance(GATHERING / 2)
    assert stage.database.commits == 0
    together.add("three")  # nobody else comes: nobody waits any longer
    for word in ("four", "five"):
        together.add(word)
    stage.clock.pump([1] * 3)
    assert told == [(["one", "two", "three"], ["one", "two", "three"]), (["four", "five"], ["four", "five"])]
    together.add("six", patient=True)
    stage.clock.advance(GATHERING)
    stage.clock.advance(1)
    assert told[2:] == [(["six"], ["six"])]
    together.add("seven")
    for word in ("one", "eight", "nine", "ten", "eleven"):
        together.add(word)
    with pytest.raises(DatabaseBusy):
        together.add("twelve")
    stage.clock.pump([1] * 3)
    assert [type(outcome).__name__ for _, outcome in told[3:]] == ["list", "IntegrityError"]  # type: ignore[misc]
    assert stage.words() == ["five", "four", "one", "seven", "six", "three", "two"]


def test_work_that_fails_changes_nothing(disk: Disk) -> None:
    stage = Stage(disk)

    def half(database: sqlite3.Connection) -> None:
        database.execute("INSERT INTO word VALUES ('half')")
        raise RuntimeError("a bug")

    failed, good = stage.outcome(half), stage.add("whole")
    stage.clock.pump([1] * 5)
    assert isinstance(failed[0], RuntimeError)
    assert good == [1]
    assert stage.words() == ["whole"]


def test_bounds(disk: Disk) -> None:
    stage = Stage(disk, waiting=2, together=1, octets=20_000)
    outcomes = [stage.add(word) for word in ("one", "two", "three")]
    with pytest.raises(DatabaseBusy, match="2 pieces of work wait"):
        stage.add("four")
    stage.clock.pump([1] * 5)
    assert outcomes == [[1]] * 3
    large = stage.add("x" * 50_000)
    stage.clock.pump([1] * 5)
    assert isinstance(large[0], sqlite3.Error)
    assert stage.words() == ["one", "three", "two"], "and goes on"


def test_what_was_committed_is_there_for_the_next_one(disk: Disk) -> None:
    stage = Stage(disk)
    stage.add("kept")
    stage.database.close()
    with pytest.raises(DatabaseBusy):
        stage.add("late")
    stage.clock.pump([1] * 5)
    assert Stage(disk).words() == ["kept"]


def test_without_power_there_is_what_was_committed() -> None:
    simulation = Simulation(1)
    host = simulation.host("www.test", "10.0.0.1")
    host.start()
    stage = Stage(host.disk)
    kept = stage.add("kept")
    stage.clock.advance(1)
    lost = stage.add("lost")
    connection = host.disk.database("kept/words.sqlite")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO word VALUES ('half')")
    host.power_off()
    assert (kept, lost) == ([1], [])
    host.boot()
    assert Stage(host.disk).words() == ["kept"]


def test_files_are_the_owner_s_alone(tmp_path: Path) -> None:
    stage = Stage(RealDisk(tmp_path))
    stage.add("kept")
    stage.clock.advance(1)
    files = sorted((tmp_path / "kept").iterdir())
    assert [file.name for file in files] == ["words.sqlite", "words.sqlite-shm", "words.sqlite-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize("name", ["waiting", "together", "octets", "lock_seconds"])
def test_bounds_are_above_zero(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        DatabaseLimits(**{name: 0})


@pytest.mark.parametrize("path", ["../words.sqlite", "/words.sqlite"])
def test_none_outside_of_the_root(disk: Disk, path: str) -> None:
    with pytest.raises(PermissionError):
        disk.database(path)
