"""Files of one host: the interface, and the real disk under one root. The simulated disk is `world/simulated`'s."""

from dataclasses import dataclass
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

    def append(self, path: str) -> Appender: ...

    def rename(self, old: str, new: str) -> None:
        """Atomic; durable on return."""

    def remove(self, path: str) -> None: ...

    def make_directory(self, path: str) -> None:
        """With parents; no error when it exists."""
