"""Files of one host: the interface, and the real disk under one root. The simulated disk is `world/simulated`'s."""

import errno
import itertools
import os
import sqlite3
import stat as modes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from netstack.sansio import Readable


@dataclass(frozen=True, slots=True)
class FileStat:
    """`size` in octets, `mtime` in seconds since 1970 (UTC)."""

    size: int
    mtime: float
    is_directory: bool


class OpenFile(Readable, Protocol):
    """A file open for reading, with the stat taken when it was opened."""

    stat: FileStat

    def read_now(self, offset: int, length: int) -> bytes | None:
        """What `read_at` gives, or None where that would wait for the disk, or for some of the octets."""


class Appender(Protocol):
    """A file open for appending."""

    def write(self, data: bytes) -> None:
        """Append to the file; it survives a crash only after `sync`."""

    def sync(self) -> None:
        """fdatasync(2): what was written survives power loss."""

    def close(self) -> None: ...


class Disk(Protocol):
    """Paths are relative, separated by "/"; one that leads out of the root, also by a link, raises PermissionError.

    Missing files raise FileNotFoundError, directories IsADirectoryError or NotADirectoryError, as the system does.
    """

    def stat(self, path: str) -> FileStat: ...

    def open(self, path: str) -> OpenFile: ...

    def read(self, path: str) -> bytes: ...

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted."""

    def write(self, path: str, data: bytes, mtime: float | None = None) -> None:
        """Create or replace atomically, parents made; durable on return (write, fsync, rename, fsync of the directory)."""

    def write_all(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Create or replace many files, parents made; all durable on return, for little more than the price of one.

        Not atomic: after a crash, or an error, before that any of them may be there, missing or cut off.
        """

    def append(self, path: str) -> Appender: ...

    def rename(self, old: str, new: str) -> None:
        """Atomic; durable on return."""

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Rename many files, those that are there, each of them atomically; all durable on return."""

    def remove(self, path: str) -> None: ...

    def remove_all(self, paths: Sequence[str]) -> None:
        """Remove many files, those that are there; durable on return."""

    def make_directory(self, path: str) -> None:
        """With parents; no error when it exists."""

    def below(self, path: str) -> "Disk":
        """The same files seen from a directory, which is the root then: nothing outside of it can be reached."""

    def database(self, path: str) -> sqlite3.Connection:
        """An SQLite database, made with its parents if need be; transactions are the caller's (`kernel.database`)."""


class AppendedFile:
    """A file that grows: opened when something is written for the first time, and again after `close` or an error."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._appender: Appender | None = None

    def append(self, data: bytes) -> None:
        """On disk when this returns; raises OSError, and then nobody knows how much of it is there."""
        if self._appender is None:
            self._appender = self._disk.append(self._path)
        try:
            self._appender.write(data)
            self._appender.sync()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Once or more often."""
        appender, self._appender = self._appender, None
        if appender is not None:
            appender.close()


_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
"""preadv2(2): only what the system has in memory."""


class RealFile:
    """A regular file of the real disk, open for reading; safe to read from several places at once."""

    __slots__ = ("_descriptor", "stat")

    def __init__(self, descriptor: int, stat: FileStat) -> None:
        self._descriptor = descriptor
        self.stat = stat

    def fileno(self) -> int:
        return self._descriptor

    def read_at(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    def read_now(self, offset: int, length: int) -> bytes | None:
        if not _NOWAIT:
            return None
        octets = bytearray(length)
        try:
            count = os.preadv(self._descriptor, (octets,), offset, _NOWAIT)
        except OSError:  # not in memory, or a file system that cannot tell: who waits for it learns what else is wrong
            return None
        return bytes(octets) if count == length else None

    def close(self) -> None:
        """Once or more often."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


class RealAppender:
    """A file of the real disk, open for appending."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Once or more often."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


TEMPORARY = ".writing-"
"""Files whose names begin so are unfinished writes, left over after a crash: never listed."""


_OPEN = 200
"""Files open at once while many are written together."""
_SYNCING = 8
"""Threads that sync them."""
_REMEMBERED = 10_000
"""Paths that need no sync any more."""


class RealDisk:
    """The files under `root`, which is made at the first write. Files are the owner's alone (modes 0600, 0700).

    Every path is resolved, links followed, before it is used; what lies outside of the root then is refused. A directory
    that somebody else changes into a link between that moment and the next is not guarded against: the root is ours.
    Devices, pipes and sockets are refused.
    """

    def __init__(self, root: str | Path, above: "RealDisk | None" = None) -> None:
        """`above`: the disk that this is a directory of."""
        self.root = os.path.realpath(root)
        self._above = above
        self._count = itertools.count()
        self._durable: set[str] = set()
        """Paths whose names are known to be on the disk."""
        self._syncers: ThreadPoolExecutor = ThreadPoolExecutor(_SYNCING, "sync") if above is None else above._syncers
        """Threads, made when they are needed."""

    def below(self, path: str) -> "RealDisk":
        return RealDisk(self._resolve(path), self)

    def stat(self, path: str) -> FileStat:
        return _stat(os.stat(self._resolve(path)))

    def open(self, path: str) -> RealFile:
        descriptor = os.open(self._resolve(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            if modes.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            if not modes.S_ISREG(found.st_mode):
                raise PermissionError(errno.EACCES, "not a regular file", path)
        except OSError:
            os.close(descriptor)
            raise
        return RealFile(descriptor, _stat(found))

    def read(self, path: str) -> bytes:
        file = self.open(path)
        try:
            parts = []
            offset = 0
            while part := file.read_at(offset, 1 << 20):
                parts.append(part)
                offset += len(part)
            return b"".join(parts)
        finally:
            file.close()

    def list(self, path: str) -> list[str]:
        return sorted(name for name in os.listdir(self._resolve(path)) if not name.startswith(TEMPORARY))

    def write(self, path: str, data: bytes, mtime: float | None = None) -> None:
        target = self._target(path)
        parent = os.path.dirname(target)
        self._make(parent)
        if os.path.isdir(target):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        temporary = os.path.join(parent, f"{TEMPORARY}{os.getpid()}-{next(self._count)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                if mtime is not None:
                    os.utime(descriptor, (mtime, mtime))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, target)
        except OSError:
            os.unlink(temporary)
            raise
        _sync_directory(parent)

    def write_all(self, files: Sequence[tuple[str, bytes]]) -> None:
        known: dict[str, str] = {}
        parents: set[str] = set()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        for start in range(0, len(files), _OPEN):
            descriptors: list[int] = []
            try:
                for path, data in files[start : start + _OPEN]:
                    target = self._place(path, known)
                    if (parent := os.path.dirname(target)) not in parents:
                        self._make(parent)
                        parents.add(parent)
                    descriptors.append(os.open(target, flags, 0o600))
                    view = memoryview(data)
                    while view:
                        view = view[os.write(descriptors[-1], view) :]
                _sync_all(descriptors, self._syncers)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
        for parent in parents:
            _sync_directory(parent)

    def append(self, path: str) -> RealAppender:
        target = self._target(path)
        self._make(os.path.dirname(target))
        known = target in self._durable and os.path.exists(target)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        appender = RealAppender(os.open(target, flags, 0o600))
        if not known:
            _sync_directory(os.path.dirname(target))
            self._is_durable(target)
        return appender

    def rename(self, old: str, new: str) -> None:
        source, target = self._target(old), self._target(new)
        self._make(os.path.dirname(target))
        os.rename(source, target)
        _sync_directory(os.path.dirname(target))
        if os.path.dirname(source) != os.path.dirname(target):
            _sync_directory(os.path.dirname(source))

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        parents: dict[str, None] = {}  # in order: where a file comes to is synced before where it was
        sources: dict[str, None] = {}
        known: dict[str, str] = {}
        for old, new in pairs:
            source, target = self._place(old, known), self._place(new, known)
            parent = os.path.dirname(target)
            if parent not in parents:
                self._make(parent)
            with suppress(FileNotFoundError):
                os.rename(source, target)
            parents[parent] = sources[os.path.dirname(source)] = None
        for parent in parents | sources:
            if os.path.isdir(parent):
                _sync_directory(parent)

    def remove(self, path: str) -> None:
        target = self._target(path)
        os.unlink(target)
        _sync_directory(os.path.dirname(target))

    def remove_all(self, paths: Sequence[str]) -> None:
        parents = set()
        known: dict[str, str] = {}
        for path in paths:
            target = self._place(path, known)
            with suppress(FileNotFoundError):
                os.unlink(target)
                parents.add(os.path.dirname(target))
        for parent in parents:
            _sync_directory(parent)

    def make_directory(self, path: str) -> None:
        self._make(self._resolve(path))

    def database(self, path: str) -> sqlite3.Connection:
        target = self._target(path)
        self._make(os.path.dirname(target))
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        os.close(os.open(target, flags, 0o600))  # whose mode SQLite takes for its other files
        _sync_directory(os.path.dirname(target))
        return sqlite3.connect(target, isolation_level=None, check_same_thread=False)

    def _resolve(self, path: str) -> str:
        """The system's path, without links; names that the system cannot have do not exist."""
        if path.startswith("/"):
            raise PermissionError(errno.EACCES, "paths are relative to the root", path)
        plain = self._without_links(path)
        if plain is not None:
            return plain
        try:
            resolved = os.path.realpath(os.path.join(self.root, path))
            if path.endswith("/") and os.path.exists(resolved) and not os.path.isdir(resolved):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        except ValueError:  # NUL, lone surrogates
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
        self._check(resolved, path)
        if any(len(os.fsencode(part)) > 255 for part in resolved.split("/")) or len(os.fsencode(resolved)) > 4095:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return resolved

    def _without_links(self, path: str) -> str | None:
        """The system's path where that is plain to see: every part exists, none is a link, none has a meaning of its own."""
        resolved = self.root.rstrip("/")
        for part in path.split("/"):
            if part in ("", ".", ".."):
                return None
            resolved = f"{resolved}/{part}"
            try:
                if modes.S_ISLNK(os.lstat(resolved).st_mode):
                    return None
            except (OSError, ValueError):
                return None
        return resolved

    def _target(self, path: str) -> str:
        """The same for a file to be made, replaced or removed: the name itself is not followed when it is a link."""
        self._resolve(path)
        parent, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", "..") or path.endswith("/"):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return os.path.join(self._resolve(parent), name)

    def _place(self, path: str, known: dict[str, str]) -> str:
        """As `_target`, for one of many: a directory that is `known` is not resolved again."""
        parent, name = os.path.split(path)
        if parent not in known or name in ("", ".", ".."):
            known[parent] = os.path.dirname(self._target(path))
        return f"{known[parent]}/{name}"

    def _check(self, resolved: str, path: str) -> None:
        if resolved != self.root and not resolved.startswith(self.root.rstrip("/") + "/"):
            raise PermissionError(errno.EACCES, "leads out of the root", path)

    def _make(self, directory: str) -> None:
        """Make it if need be. Its name is durable then, and those of all above it: they may be of a process that was killed
        before it synced them."""
        if directory in self._durable and os.path.isdir(directory):
            return
        parent = os.path.dirname(directory)
        if directory == self.root and self._above is not None:
            self._above._make(directory)
        elif parent != directory:
            if not os.path.isdir(directory) or os.access(parent, os.W_OK):  # else it is not of our making
                self._make(parent)
            if not os.path.isdir(directory):
                if os.path.lexists(directory) and not os.path.isdir(directory):  # nor has another thread made it just now
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory)
                with suppress(FileExistsError):  # by another thread, meanwhile
                    os.mkdir(directory, 0o700)
            if os.access(parent, os.R_OK):
                _sync_directory(parent)
        self._is_durable(directory)

    def _is_durable(self, path: str) -> None:
        if len(self._durable) >= _REMEMBERED:
            self._durable.clear()
        self._durable.add(path)


def _stat(found: os.stat_result) -> FileStat:
    return FileStat(found.st_size, found.st_mtime, modes.S_ISDIR(found.st_mode))


def _sync_all(descriptors: Sequence[int], threads: ThreadPoolExecutor) -> None:
    """fsync(2) of each. Several at once share the commits of the system's journal, and the disk's own flushes: ten times as
    fast as one after another."""
    for descriptor in descriptors:  # begin to write, without waiting
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    parts = [descriptors[start::_SYNCING] for start in range(min(_SYNCING, len(descriptors)))]
    # A part for each thread, since handing one over costs more than to sync it. All are done before anybody closes a file.
    others = [threads.submit(_sync_each, part) for part in parts[1:]]
    try:
        _sync_each(parts[0] if parts else ())
    finally:
        wait(others)
    for each in others:
        each.result()


def _sync_each(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.fsync(descriptor)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
