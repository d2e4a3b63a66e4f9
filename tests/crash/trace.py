"""What a process asked the system to do with its files and sockets, in order: a command under strace, and its output read.

The order is that of the tracer, which lets no call begin before it has seen what the process did earlier: a call that ended
before another one began was over when that one had any effect.
"""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

WRITES = frozenset(["write", "writev", "pwrite64", "pwritev", "pwritev2"])
SENDS = frozenset(["sendto", "sendmsg", *WRITES])
SYNCS = frozenset(["fsync", "fdatasync"])
_MAKES = "open openat creat mkdir mkdirat rename renameat renameat2 unlink unlinkat rmdir ftruncate lseek"
_UNKNOWN = "truncate link linkat symlink symlinkat fallocate copy_file_range sendfile splice mmap"
"""May change files in ways that nothing here understands: a test in which one does fails."""
_REPLIES = "sendto sendmsg recvfrom"
_TRACED = ",".join(f"?{name}" for name in [*sorted(WRITES | SYNCS), *f"{_MAKES} {_UNKNOWN} {_REPLIES}".split()])
_LONGEST = 1 << 26
"""Octets of one call; one that has more is cut off, and not read."""

_LINE = re.compile(r"(\d+) +(\d+\.\d+) (?:<\.\.\. ([\w?]+) resumed>(.*)|([\w?]+)\((.*)|([+-]{3} .*))", re.DOTALL)
_END = re.compile(r"\) += (-?\w+|\?)([^\"]*)$")
_DESCRIPTOR = re.compile(r"(?:AT_FDCWD|\b(\d+))<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_UNFINISHED = " <unfinished ...>"


@dataclass(slots=True, eq=False)
class Call:
    """One system call. `begun` and `ended` are places in the order of all; one that was cut off by the end of its process
    has not ended, and nobody knows what it did."""

    name: str
    begun: int
    time: float
    """Seconds since 1970, when it began."""
    text: str
    """Its arguments."""
    ended: int | None = None
    result: int = 0
    """Below zero: it failed."""

    @property
    def descriptors(self) -> list[tuple[int, str]]:
        """Arguments that are descriptors: numbers (-1: the working directory) and paths, empty for a file without a name."""
        found = _DESCRIPTOR.finditer(self.text)
        return [(int(each[1] or -1), "" if each[3] else _octets(each[2]).decode()) for each in found]

    @property
    def paths(self) -> list[str]:
        """Arguments that are paths, complete."""
        found = []
        start = 0
        for match in _STRING.finditer(self.text):
            path = _octets(match[1]).decode()
            above = _DESCRIPTOR.search(self.text, start, match.start())
            found.append(path if path.startswith("/") or above is None else f"{_octets(above[2]).decode()}/{path}")
            start = match.end()
        return found

    @property
    def data(self) -> bytes:
        """What it wrote or sent, or what was received: all of its buffers, as far as they were taken."""
        parts = []
        for match in _STRING.finditer(self.text):
            assert not match[2], f"{self.name}: a call of more than {_LONGEST} octets"
            parts.append(_octets(match[1]))
        return b"".join(parts)[: self.result if self.ended is not None else None]

    @property
    def last_number(self) -> int:
        """The last argument: an offset or a length."""
        return int(self.text.rpartition(",")[2].strip(" )"))

    def has(self, flag: str) -> bool:
        """Whether a flag is among the arguments."""
        return re.search(rf"\b{flag}\b", self.text) is not None


class Tracing:
    """strace around a command. The process that is started is the command itself, the tracer its grandchild."""

    def __init__(self, strace: str, output: Path) -> None:
        self._strace = strace
        self.output = output

    def around(self, *command: str, killed_at: int = 0) -> tuple[str, ...]:
        """The command line. `killed_at`: it is killed (SIGKILL) when a thread asks for a sync for that many times."""
        options = ["-D", "-f", "-q", "-y", "-xx", "-ttt", "-s", str(_LONGEST)]
        if killed_at:
            options += ["-e", f"inject=fdatasync:signal=SIGKILL:when={killed_at}"]
        else:  # faster: the other calls go past the tracer; but then it injects no signal
            options += ["--seccomp-bpf"]
        return (self._strace, *options, "-o", str(self.output), "-e", f"trace={_TRACED}", *command)

    def calls(self, process: int, start: int = 0, seconds: float = 30.0) -> list[Call]:
        """All of them, once the process has ended; `start` is the place of the first."""
        end = time.monotonic() + seconds
        last = re.compile(rf"^{process} +\S+ \+\+\+ (exited|killed) ".encode(), re.MULTILINE)
        while last.search(_tail(self.output)) is None:
            assert time.monotonic() < end, "strace did not come to an end"
            Event().wait(0.02)
        with self.output.open(encoding="ascii", errors="strict") as lines:
            return read(lines, start)


def read(lines: Iterable[str], start: int = 0) -> list[Call]:
    """Calls in the order in which they began, of all threads; `start` is the place of the first."""
    found: list[Call] = []
    open_calls: dict[str, Call] = {}
    for place, line in enumerate(lines, start):
        match = _LINE.match(line.rstrip("\n"))
        assert match is not None, f"not a line of strace: {line[:200]!r}"
        thread, when, resumed, rest, name, text, _note = match.groups()
        if name is not None:
            call = Call(name, place, float(when), text)
            found.append(call)
            if text.endswith(_UNFINISHED):
                call.text = text.removesuffix(_UNFINISHED)
                open_calls[thread] = call
                continue
        elif resumed is not None:
            call = open_calls.pop(thread)
            assert call.name == resumed, (call.name, resumed)
            call.text += rest
        else:
            continue
        _finish(call, place)
    return found


def steps(calls: Sequence[Call]) -> list[tuple[int, bool, Call]]:
    """Places in order, where calls begin, and where they have ended (True)."""
    found = [(call.begun, False, call) for call in calls]
    found += [(call.ended, True, call) for call in calls if call.ended is not None]
    return sorted(found, key=lambda step: step[:2])


def after(calls: Sequence[Call]) -> int:
    """The place after the last one."""
    return max((call.ended or call.begun for call in calls), default=-1) + 1


def _finish(call: Call, place: int) -> None:
    match = _END.search(call.text)
    assert match is not None, f"{call.name}: no result in {call.text[-200:]!r}"
    call.text = call.text[: match.start()]
    if match[1] != "?":  # its process ended in it
        call.ended, call.result = place, int(match[1], 0)


def _octets(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _tail(path: Path) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        return file.read()
