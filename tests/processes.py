"""Our own services as processes: started as a user starts them, ended as an operator ends them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).resolve().parent.parent
TWISTD = str(Path(sys.executable).with_name("twistd"))
TROUBLE = ("Traceback", "Unhandled", "#error", "#critical")
"""What a log must not hold, whatever came over the wire."""


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

    def wait_for(self, text: str, count: int = 1, seconds: float = 60.0) -> None:
        """Until `count` lines hold `text`; fails with the log when the process ends or time is up first."""
        end = time.monotonic() + seconds
        while sum(text in line for line in self.lines) < count:
            over = time.monotonic() > end or (self.process.poll() is not None and not self._reader.is_alive())
            assert not over, f"no {text!r} in:\n{''.join(self.lines)}"
            self.wait_a_little()

    def wait_a_little(self) -> None:
        """Give the process time, before what it does is looked at again."""
        self._reader.join(0.02)

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

    def end(self, seconds: float = 20.0) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
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
    assert not started.trouble(), "".join(started.lines)
    assert status in (0, -signal.SIGTERM), "".join(started.lines)  # twistd ends by the signal that it got


def twistd(*arguments: str) -> tuple[str, ...]:
    """The command line of a service in the foreground."""
    return (TWISTD, "--nodaemon", "--pidfile=", *arguments)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has taken, user and system. Raises OSError."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
