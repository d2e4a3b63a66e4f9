"""Our own services as processes: started as a user starts them, ended as an operator ends them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread, get_native_id
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent
TWISTD = str(Path(sys.executable).with_name("twistd"))
TROUBLE = ("Traceback", "Unhandled", "#error", "#critical")
"""What a log must not hold, whatever came over the wire."""
PATIENCE = 60.0
"""Seconds in which what must happen has happened, on a slow disk and a machine that is busy."""
PAUSE = 0.02
"""Seconds between two looks at what is waited for."""
T = TypeVar("T")


def wait_until(found: Callable[[], T | None], what: str, seconds: float = PATIENCE, told: Callable[[], str] = str) -> T:
    """The first result of `found` that is true; an OSError is none: who is asked may not listen yet, or any more.

    Fails, when time is up, with what was waited for, what was found last, and `told()`.
    """
    end = time.monotonic() + seconds
    while True:
        result: T | OSError | None
        try:
            result = found()
        except OSError as error:
            result = error
        else:
            if result:
                return result
        assert time.monotonic() < end, f"{what}: not within {seconds} seconds, last {result!r}\n{told()}"
        time.sleep(PAUSE)


class Running:
    """A process and what it wrote so far."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.lines: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def wait_for(self, text: str, count: int = 1, seconds: float = PATIENCE) -> None:
        """Until `count` lines hold `text`; fails with the log when the process ends or time is up first."""
        self.wait_until(lambda: sum(text in line for line in self.lines) >= count, f"{count} lines with {text!r}", seconds)

    def wait_until(self, found: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
        """As the function of this name; fails with the log, also as soon as the process has ended."""

        def look() -> T | None:
            if self.process.poll() is None or self._reader.is_alive():
                return found()
            with suppress(OSError):  # all that it wrote is known
                if result := found():
                    return result
            raise AssertionError(f"{what}: the process has ended\n{self.log}")

        return wait_until(look, what, seconds, lambda: self.log)

    def wait_a_little(self) -> None:
        """Give the process time, before what it does is looked at again."""
        time.sleep(PAUSE)

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return "".join(self.lines)

    def trouble(self) -> list[str]:
        """Lines of the log that report an error of ours."""
        return [line for line in self.lines if any(word in line for word in TROUBLE)]

    def resident(self) -> int:
        """Octets of memory in use (resident set)."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu(self) -> float:
        """Seconds of CPU that the process has taken, user and system."""
        return cpu_of(self.process.pid)

    def descriptors(self) -> int:
        """Open files and sockets of the process."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self, seconds: float = PATIENCE) -> int:
        """SIGTERM; the exit status. Fails with the log when the process does not end in that time."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"not ended within {seconds} seconds of SIGTERM\n{self.log}") from None
        self._reader.join(5)
        return status


def environment_of(**more: str) -> dict[str, str]:
    """Of a process that runs what is here."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


@contextmanager
def running(*arguments: str, ready: str, count: int = 1, **environment: str) -> Iterator[Running]:
    """A process that has logged `ready` `count` times; it must end at SIGTERM with nothing wrong in its log."""
    started = Running(arguments, environment_of(**environment))
    try:
        started.wait_for(ready, count)
        yield started
    finally:
        status = started.end()
    assert not started.trouble(), started.log
    assert status in (0, -signal.SIGTERM), started.log  # twistd ends by the signal that it got


def twistd(*arguments: str) -> tuple[str, ...]:
    """The command line of a service in the foreground."""
    return (TWISTD, "--nodaemon", "--pidfile=", *arguments)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has taken, user and system. Raises OSError."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """A stop watch of what a process does for this thread: it stands while one of both is ready to run, and every core at
    other work. Their first threads count."""

    def __init__(self, process: Running) -> None:
        self._places = [f"/proc/{process.process.pid}/schedstat", f"/proc/self/task/{get_native_id()}/schedstat"]
        self._begin = self._now()

    def _now(self) -> float:
        return time.monotonic() - sum(int(Path(each).read_text().split()[1]) for each in self._places) / 1e9

    def seconds(self) -> float:
        """Since it was made."""
        return self._now() - self._begin


def family(pid: int) -> set[int]:
    """A process, its children, and theirs, down to great-grandchildren."""
    found, parents = {pid}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    for _ in range(3):
        found |= {each for each, parent in parents.items() if parent in found}
    return found
