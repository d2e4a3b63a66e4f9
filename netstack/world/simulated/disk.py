"""A disk in memory with the promises of a real one: what was not synced is lost when the power goes, renames are atomic."""

import errno
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from random import Random

from netstack.kernel.disk import Appender, Disk, FileStat, OpenFile


class _File:
    __slots__ = ("data", "durable", "mtime")

    def __init__(self, data: bytes | bytearray, mtime: float, durable: int) -> None:
        self.data = bytearray(data)
        self.mtime = mtime
        self.durable = durable
        """Octets that survive a loss of power."""


class _Opened:
    """Implements OpenFile: goes on reading the file it opened, also when the name means another one by now."""

    def __init__(self, file: _File, stat: FileStat) -> None:
        self._file = file
        self.stat = stat

    def fileno(self) -> int:
        return -1

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self._file.data[offset : offset + length])

    def read_now(self, offset: int, length: int) -> bytes | None:
        """None: every read takes time here, that of the offload in which it is done."""
        return None

    def close(self) -> None:
        pass


def _full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


class _Appending:
    """Implements Appender."""

    def __init__(self, disk: "SimulatedDisk", file: _File) -> None:
        self._disk = disk
        self._file = file
        self._boot = disk.boot
        self._closed = False

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the file is closed")

    def write(self, data: bytes) -> None:
        self._check()
        if self._boot == self._disk.boot:
            self._disk.writes += 1
            free = len(data) if self._disk.room == inf else max(0, int(min(len(data), self._disk.room - self._disk.used)))
            self._file.data += data[:free]
            self._file.mtime = self._disk.wall()
            if free < len(data):
                raise _full()

    def sync(self) -> None:
        self._check()
        if self._boot == self._disk.boot:
            self._disk.syncs += 1
            self._file.durable = len(self._file.data)

    def close(self) -> None:
        self._closed = True


class _MemoryDatabase(sqlite3.Connection):
    """A database that outlives its host's boots: what is not committed when it is closed is lost."""

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()


class SimulatedDisk:
    """Implements kernel.disk.Disk. It outlives its host's boots; a power loss drops what was not synced.

    Of an unsynced tail a random part survives, chosen by the seed: programs must cope with any.
    """

    def __init__(self, wall: Callable[[], float], rng: Random) -> None:
        self.wall = wall
        self.boot = 0
        self.writes = self.syncs = 0
        self.room = inf
        """Octets that fit; an append that is too much for it is cut off there, as on real disks."""
        self._rng = rng
        self._files: dict[str, _File] = {}
        self._directories: set[str] = {""}
        self._databases: dict[str, _MemoryDatabase] = {}

    @property
    def used(self) -> int:
        """Octets of all files."""
        return sum(len(file.data) for file in self._files.values())

    def power_lost(self) -> None:
        """What the host's power_off does."""
        self.boot += 1
        for file in self._files.values():
            tail = len(file.data) - file.durable
            if tail > 0:
                del file.data[file.durable + self._rng.randrange(tail + 1) :]
                file.durable = len(file.data)
        self._roll_back()

    def restarted(self) -> None:
        """Appenders of an earlier boot write no more; the kernel kept what they wrote."""
        self.boot += 1
        self._roll_back()

    def _roll_back(self) -> None:
        for database in self._databases.values():
            database.close()

    def database(self, path: str) -> sqlite3.Connection:
        where = self._path(path)
        self.make_directory(where.rpartition("/")[0])
        if where not in self._databases:
            self._databases[where] = sqlite3.connect(":memory:", isolation_level=None, factory=_MemoryDatabase)
        return self._databases[where]

    def below(self, path: str) -> Disk:
        return _Below(self, _inside(path))

    def _path(self, path: str) -> str:
        return _inside(path)

    def _file(self, path: str) -> _File:
        where = self._path(path)
        if where in self._directories:
            raise IsADirectoryError(path)
        try:
            return self._files[where]
        except KeyError:
            self._parents_are_directories(where)
            raise FileNotFoundError(path) from None

    def _parents_are_directories(self, where: str) -> None:
        for parent in _parents(where):
            if parent in self._files:
                raise NotADirectoryError(parent)

    def stat(self, path: str) -> FileStat:
        where = self._path(path)
        if where in self._directories:
            return FileStat(0, 0.0, True)
        file = self._file(path)
        return FileStat(len(file.data), file.mtime, False)

    def open(self, path: str) -> OpenFile:
        return _Opened(self._file(path), self.stat(path))

    def read(self, path: str) -> bytes:
        return bytes(self._file(path).data)

    def list(self, path: str) -> list[str]:
        where = self._path(path)
        if where not in self._directories:
            self._file(path)
            raise NotADirectoryError(path)
        start = where + "/" if where else ""
        names = (name[len(start) :] for name in (*self._files, *self._directories) if name.startswith(start))
        return sorted({name for name in names if name and "/" not in name})

    def write(self, path: str, data: bytes, mtime: float | None = None) -> None:
        where = self._new(path)
        if self.room < inf and self.used + len(data) > self.room:  # the old file stays until the new one is there
            raise _full()
        self.writes += 1
        self.syncs += 1
        self._files[where] = _File(data, self.wall() if mtime is None else mtime, len(data))

    def write_all(self, files: Sequence[tuple[str, bytes]]) -> None:
        for path, data in files:
            self.write(path, data)

    def _new(self, path: str) -> str:
        where = self._path(path)
        if where in self._directories:
            raise IsADirectoryError(path)
        self._parents_are_directories(where)
        self._directories.update(_parents(where))
        return where

    def append(self, path: str) -> Appender:
        where = self._new(path)
        file = self._files.get(where)
        if file is None:
            file = self._files[where] = _File(b"", self.wall(), 0)
        return _Appending(self, file)

    def rename(self, old: str, new: str) -> None:
        source = self._path(old)
        if source in self._directories:
            target = self._path(new)
            if target in self._files:
                raise NotADirectoryError(new)
            self._move_directory(source, target)
            return
        file = self._file(old)
        where = self._new(new)
        del self._files[source]
        self._files[where] = file

    def _move_directory(self, source: str, target: str) -> None:
        if not source or target == source or target.startswith(source + "/"):
            raise PermissionError(f"cannot move {source!r} into itself")
        if target in self._directories and self.list(target):
            raise FileExistsError(target)
        self._directories.update(_parents(target))

        def moved(name: str) -> str:
            return target + name[len(source) :] if name == source or name.startswith(source + "/") else name

        self._files = {moved(name): file for name, file in self._files.items()}
        self._directories = {moved(name) for name in self._directories}

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        for old, new in pairs:
            with suppress(FileNotFoundError):
                self.rename(old, new)

    def remove(self, path: str) -> None:
        self._file(path)
        del self._files[self._path(path)]

    def remove_all(self, paths: Sequence[str]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):
                self.remove(path)

    def make_directory(self, path: str) -> None:
        where = self._path(path)
        if where in self._files:
            raise FileExistsError(path)
        self._parents_are_directories(where)
        self._directories.update((*_parents(where), where))


class _Below:
    """A disk seen from one of its directories."""

    def __init__(self, disk: SimulatedDisk, root: str) -> None:
        self._disk = disk
        self._root = root

    def _at(self, path: str) -> str:
        inside = _inside(path)
        return f"{self._root}/{inside}" if self._root and inside else self._root or inside

    def below(self, path: str) -> Disk:
        return _Below(self._disk, self._at(path))

    def stat(self, path: str) -> FileStat:
        return self._disk.stat(self._at(path))

    def open(self, path: str) -> OpenFile:
        return self._disk.open(self._at(path))

    def read(self, path: str) -> bytes:
        return self._disk.read(self._at(path))

    def list(self, path: str) -> list[str]:
        return self._disk.list(self._at(path))

    def write(self, path: str, data: bytes, mtime: float | None = None) -> None:
        self._disk.write(self._at(path), data, mtime)

    def write_all(self, files: Sequence[tuple[str, bytes]]) -> None:
        self._disk.write_all([(self._at(path), data) for path, data in files])

    def append(self, path: str) -> Appender:
        return self._disk.append(self._at(path))

    def rename(self, old: str, new: str) -> None:
        self._disk.rename(self._at(old), self._at(new))

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._disk.rename_all([(self._at(old), self._at(new)) for old, new in pairs])

    def remove(self, path: str) -> None:
        self._disk.remove(self._at(path))

    def remove_all(self, paths: Sequence[str]) -> None:
        self._disk.remove_all([self._at(path) for path in paths])

    def make_directory(self, path: str) -> None:
        self._disk.make_directory(self._at(path))

    def database(self, path: str) -> sqlite3.Connection:
        return self._disk.database(self._at(path))


def _inside(path: str) -> str:
    """The path without "." and ".."; raises PermissionError when it leads out."""
    if path.startswith("/"):
        raise PermissionError(errno.EACCES, "it leads out of the disk", path)
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise PermissionError(errno.EACCES, "it leads out of the disk", path)
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _parents(where: str) -> list[str]:
    parts = where.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
