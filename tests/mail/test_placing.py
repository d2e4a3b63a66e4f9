"""Large messages that come together are written to their files in one pass."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from netstack.kernel.disk import RealDisk
from netstack.mail.store.intake import Incoming
from netstack.mail.store.placing import Placing
from netstack.mail.store.schema import Quota


class Later:
    """Work for threads, done when the test says so."""

    def __init__(self) -> None:
        self.works: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, work: Callable[[], Any], cost: float = 0.0) -> Deferred[Any]:
        self.works.append((work, Deferred()))
        return self.works[-1][1]

    def do(self) -> None:
        work, done = self.works.pop(0)
        try:
            done.callback(work())
        except OSError as error:
            done.errback(error)


def message(number: int) -> Incoming:
    return Incoming(b"Return-Path: <>\r\n", b"Subject: %d\r\n\r\n" % number, 0.0, 0, "", None, Quota(10, 10**6))


def test_those_that_come_during_a_pass_are_the_next_one(tmp_path: Path) -> None:
    later, disk = Later(), RealDisk(tmp_path)
    placing = Placing(disk, later)
    seen: list[tuple[str | None, str, bool]] = []
    for number in range(4):
        placing.add(message(number), f"incoming/{number}").addCallback(
            lambda found: seen.append((found[0].source, found[0].summary.subject, found[1]))
        )
    assert len(later.works) == 1
    later.do()
    assert seen == [("incoming/0", "0", False)]
    assert len(later.works) == 1
    later.do()
    assert seen[1:] == [("incoming/1", "1", True), ("incoming/2", "2", True), ("incoming/3", "3", False)]
    assert [disk.read(f"incoming/{number}") for number in range(4)] == [
        b"Return-Path: <>\r\nSubject: %d\r\n\r\n" % number for number in range(4)
    ]
    assert not later.works


def test_what_cannot_be_written_is_told_to_all_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later, disk = Later(), RealDisk(tmp_path)
    placing = Placing(disk, later)
    write = disk.write_all

    def full(files: Any) -> None:
        write(files[:1])
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(disk, "write_all", full)
    seen: list[Any] = []
    for number in range(3):
        placing.add(message(number), f"incoming/{number}").addErrback(lambda failure: seen.append(failure.value.errno))
    later.do()
    later.do()
    assert seen == [errno.ENOSPC] * 3
    assert disk.list("incoming") == []
