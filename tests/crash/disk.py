"""A disk whose power may fail: what is on it after each call of a trace, and what may be left of that.

What POSIX promises, and no more: fsync(2) or fdatasync(2) of a file makes its octets and its length durable, and nothing
about its name; fsync of a directory makes the names in it durable, and nothing about the files or about its own name in its
parent. A rename is one step. All else may be there or not, in any order, octets by sectors. Real file systems promise more
(ext4 makes all names durable with any fsync): what they leave is among what is left here.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.crash.trace import SENDS, SYNCS, WRITES, Call


@dataclass(frozen=True, slots=True, eq=False)
class Octets:
    """A change of a file, over at `ended`: octets at an offset, or where there are none, its length."""

    ended: int
    at: int
    data: bytes | None

    def apply(self, octets: bytearray) -> None:
        if self.data is None:
            del octets[self.at :]
            octets.extend(bytes(self.at - len(octets)))
        else:
            _put(octets, self.at, self.data)


@dataclass(slots=True)
class File:
    now: bytearray = field(default_factory=bytearray)
    synced: bytearray = field(default_factory=bytearray)
    pending: list[Octets] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """A change of names: each in a directory, and what it means then, None for nothing."""

    ended: int
    parts: tuple[tuple["Directory", str, "Node | None"], ...]


@dataclass(slots=True, eq=False)
class Directory:
    now: dict[str, "Node"] = field(default_factory=dict)
    synced: dict[str, "Node"] = field(default_factory=dict)
    pending: list[Names] = field(default_factory=list)


Node = File | Directory


@dataclass(slots=True)
class _Open:
    node: Node
    appends: bool
    at: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of what was not synced: each change by a chance of its own, octets torn at sectors."""

    chance: float
    """0: nothing; 1: all."""
    sector: int = 512
    until: int = -1
    """What was over at that place of the trace is all there, as on a disk that is written in order."""

    def keeps(self, change: Octets | Names, rng: Random) -> bool:
        return change.ended <= self.until or rng.random() < self.chance


NOTHING = Left(0.0)
ALL = Left(1.0)


class Disk:
    """The files below a directory that was there, and empty, before the first call."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.top = Directory()
        self._open: dict[int, _Open] = {}
        self._covered: dict[int, list[Octets | Names]] = {}
        """What syncs that have not ended make durable."""

    # What the calls do

    def began(self, call: Call) -> None:
        """A sync covers what is over now."""
        if call.name in SYNCS and (opened := self._file(call)) is not None:
            self._covered[call.begun] = [*opened.node.pending]

    def ended(self, call: Call) -> None:
        """It has had its effect. Fails for a call that would have one that is not known here."""
        if call.name in SYNCS:
            self._sync(call)
        elif call.result < 0:
            return
        elif call.name.startswith(("open", "creat")):
            self._opened(call)
        elif call.name in WRITES or call.name == "ftruncate":
            self._changed(call)
        elif call.name == "lseek":
            if (opened := self._file(call)) is not None:
                opened.at = call.result
        elif call.name.startswith(("mkdir", "rename", "unlink", "rmdir")):
            self._named(call)
        else:
            self._unknown(call)

    def step(self, call: Call, ended: bool) -> None:
        """As in `steps` of a trace."""
        if ended:
            self.ended(call)
        else:
            self.began(call)

    def restarted(self, copy: Path, calls: Iterable[Call] = ()) -> None:
        """The process is dead, the system lives, and the real disk is as in a copy: it shows what the calls have done that
        did not come back. Fails where it is not as the trace says.
        """
        for call in calls:
            if call.ended is None:
                self._cut_off(call, copy)
        self._open.clear()
        self._covered.clear()
        there = {str(path.relative_to(copy)): _octets(path) for path in copy.rglob("*")}
        expected = {path: bytes(node.now) if isinstance(node, File) else None for path, node in _below(self.top)}
        assert there.keys() == expected.keys(), f"on the disk, or as traced: {sorted(there.keys() ^ expected.keys())}"
        wrong = [path for path in there if there[path] != expected[path] and not path.endswith("-shm")]
        assert not wrong, f"not on the disk as it was traced: {wrong}"

    def _cut_off(self, call: Call, copy: Path) -> None:
        opened = self._file(call)
        if opened is not None and isinstance(opened.node, File):
            path = next((copy / path for path, node in _below(self.top) if node is opened.node), None)
            if call.name in WRITES and path is not None:
                at = self._place(call, opened)
                self._record(opened.node, Octets(call.begun, at, path.read_bytes()[at : at + len(call.data)]))
            elif call.name == "ftruncate" and path is not None and path.stat().st_size == call.last_number:
                self._changed(call)
        elif call.name not in SENDS and call.paths and (found := self._find(call.paths[0])) is not None:
            path = copy / os.path.relpath(call.paths[0], self.root)
            if path.exists() != (found[2] is not None) or (
                call.has("O_TRUNC") and path.exists() and not path.stat().st_size
            ):
                self.ended(call)

    def _opened(self, call: Call) -> None:
        self._open.pop(call.result, None)
        found = self._find(call.paths[0])
        if found is None:
            return
        directory, name, node = found
        if node is None:
            assert call.has("O_CREAT"), f"opened, and not known: {call.paths}"
            node = File()
            self._mean(call, [(directory, name, node)])
        elif call.has("O_TRUNC") and isinstance(node, File) and node.now:
            self._record(node, Octets(_over(call), 0, None))
        self._open[call.result] = _Open(node, call.has("O_APPEND"))

    def _changed(self, call: Call) -> None:
        opened = self._file(call)
        if opened is None:
            return
        assert isinstance(opened.node, File)
        if call.name == "ftruncate":
            self._record(opened.node, Octets(_over(call), call.last_number, None))
            return
        data, at = call.data, self._place(call, opened)
        if not call.name.startswith("p"):
            opened.at = at + len(data)
        self._record(opened.node, Octets(_over(call), at, data))

    def _place(self, call: Call, opened: _Open) -> int:
        if opened.appends and isinstance(opened.node, File):
            return len(opened.node.now)
        return call.last_number if call.name.startswith("p") else opened.at

    @staticmethod
    def _record(file: File, change: Octets) -> None:
        change.apply(file.now)
        file.pending.append(change)

    def _sync(self, call: Call) -> None:
        opened = self._file(call)
        for change in self._covered.pop(call.begun, ()):
            if call.result < 0 or opened is None:
                continue
            if isinstance(change, Names):
                _make_durable(change)
            elif isinstance(opened.node, File) and change in opened.node.pending:
                opened.node.pending.remove(change)
                change.apply(opened.node.synced)

    def _named(self, call: Call) -> None:
        found = [self._find(path) for path in call.paths]
        if None in found:
            assert found == [None] * len(found), f"{call.name} across the root: {call.paths}"
        elif call.name.startswith("rename"):
            [(source, old, node), (target, new, _)] = [each for each in found if each is not None]
            self._mean(call, [(source, old, None), (target, new, node)])
        else:
            [(directory, name, _)] = [each for each in found if each is not None]
            self._mean(call, [(directory, name, Directory() if call.name.startswith("mkdir") else None)])

    def _mean(self, call: Call, parts: list[tuple[Directory, str, Node | None]]) -> None:
        change = Names(_over(call), tuple(parts))
        for directory, name, node in parts:
            _set(directory.now, name, node)
        for directory in _directories(change):
            directory.pending.append(change)

    def _unknown(self, call: Call) -> None:
        if call.name == "mmap" and not (call.has("MAP_SHARED") and call.has("PROT_WRITE")):
            return
        paths = [*call.paths, *(path for _, path in call.descriptors[: 1 if call.name == "sendfile" else None])]
        within = [path for path in paths if self._is_within(path) and not path.endswith("-shm")]
        assert not within, f"{call.name} of {within}: nothing here knows what that does"

    def _file(self, call: Call) -> _Open | None:
        """What the first descriptor is open for, if that is here."""
        number, path = (call.descriptors or [(-1, "/")])[0]
        return self._open.get(number) if path == "" or self._is_within(path) else None

    def _is_within(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + "/")

    def _find(self, path: str) -> tuple[Directory, str, Node | None] | None:
        """The directory that a path is in, its name there, and what it means now."""
        assert path.startswith("/"), f"{path}: relative to what?"
        if not self._is_within(path):
            return None
        directory: Node = self.top
        *parents, name = os.path.relpath(path, self.root).split("/")
        if name == ".":
            return self.top, name, self.top
        for parent in parents:
            assert isinstance(directory, Directory)
            directory = directory.now[parent]
        assert isinstance(directory, Directory)
        return directory, name, directory.now.get(name)

    # What is left

    def left(self, left: Left, rng: Random) -> Iterator[tuple[str, bytes | None]]:
        """Paths and octets, None for directories, after a loss of power.

        What SQLite maps into memory (`-shm`) is worth nothing then, and is noise.
        """
        kept: dict[Names, bool] = {}

        def names(directory: Directory) -> dict[str, Node]:
            there = dict(directory.synced)
            for change in directory.pending:
                if kept.setdefault(change, left.keeps(change, rng)):
                    for where, name, node in change.parts:
                        if where is directory:
                            _set(there, name, node)
            return there

        def below(directory: Directory, path: str) -> Iterator[tuple[str, bytes | None]]:
            for name, node in sorted(names(directory).items(), key=lambda item: item[0]):
                if isinstance(node, Directory):
                    yield path + name, None
                    yield from below(node, f"{path}{name}/")
                else:
                    octets = _torn(node, left, rng)
                    yield path + name, rng.randbytes(len(octets)) if name.endswith("-shm") else octets

        return below(self.top, "")

    def write(self, target: Path, left: Left, rng: Random) -> None:
        """A copy of what is left, into an empty directory."""
        for path, octets in self.left(left, rng):
            if octets is None:
                (target / path).mkdir(mode=0o700)
            else:
                (target / path).write_bytes(octets)


def _over(call: Call) -> int:
    return call.begun if call.ended is None else call.ended


def _directories(change: Names) -> list[Directory]:
    return list(dict.fromkeys(directory for directory, _, _ in change.parts))


def _make_durable(change: Names) -> None:
    """In all its directories, for it is one step; before it what came earlier under the same names."""
    for directory, name, _ in change.parts:
        for earlier in [each for each in directory.pending if each.ended < change.ended]:
            if any(where is directory and old == name for where, old, _ in earlier.parts):
                _make_durable(earlier)
    for directory, name, node in change.parts if change in change.parts[0][0].pending else ():
        _set(directory.synced, name, node)
    for directory in _directories(change):
        directory.pending = [each for each in directory.pending if each is not change]


def _torn(file: File, left: Left, rng: Random) -> bytes:
    """What was synced, and sectors of what was not."""
    octets = bytearray(file.synced)
    for change in file.pending:
        if change.data is None or change.ended <= left.until:
            if left.keeps(change, rng):
                change.apply(octets)
            continue
        start, end = change.at, change.at + len(change.data)
        while start < end:
            next_start = min(end, (start // left.sector + 1) * left.sector)
            if left.keeps(change, rng):
                _put(octets, start, change.data[start - change.at : next_start - change.at])
            start = next_start
    if 0 < left.chance < 1 and len(octets) < len(file.now) and rng.random() < 0.3:
        octets.extend(bytes(rng.randint(1, len(file.now) - len(octets))))  # the length is there, and the octets are not
    return bytes(octets)


def _put(octets: bytearray, at: int, data: bytes) -> None:
    octets.extend(bytes(max(0, at - len(octets))))
    octets[at : at + len(data)] = data


def _set(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _octets(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _below(directory: Directory, path: str = "") -> Iterator[tuple[str, Node]]:
    """Paths as they are now."""
    for name, node in directory.now.items():
        yield path + name, node
        if isinstance(node, Directory):
            yield from _below(node, f"{path}{name}/")
