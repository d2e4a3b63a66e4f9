"""Where a message's octets are: paths of an account's directory, and contents that are read alike from files and memory."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress

from netstack.kernel.disk import Disk, FileStat, OpenFile

FILES = "files"
INCOMING = "incoming"
LEDGER = "ledger"
_EACH = 1000
"""Files of one directory."""


def path_of(file: int) -> str:
    """A file's path; its number is never used again."""
    return f"{FILES}/{file // _EACH}/{file}"


def incoming_path(number: int) -> str:
    """Where a message is that is not committed yet."""
    return f"{INCOMING}/{number}"


def incoming_number(path: str) -> int:
    """The number in such a path."""
    return int(path.rpartition("/")[2])


def above(disk: Disk, last: int) -> Iterator[int]:
    """Files whose numbers are above the last that the index knows of."""
    for directory in listed(disk, FILES):
        if directory >= last // _EACH:
            yield from (file for file in listed(disk, f"{FILES}/{directory}") if file > last)


def listed(disk: Disk, path: str) -> list[int]:
    """Names that are numbers, ascending; none where there is no such directory."""
    with suppress(FileNotFoundError):
        return sorted(int(name) for name in disk.list(path) if name.isascii() and name.isdigit() and len(name) < 19)
    return []


class Held:
    """Implements OpenFile: octets that are in memory."""

    __slots__ = ("_octets", "stat")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.stat = FileStat(len(octets), 0.0, False)

    def fileno(self) -> int:
        return -1

    def read_at(self, offset: int, length: int) -> bytes:
        return self._octets[offset : offset + length]

    def read_now(self, offset: int, length: int) -> bytes | None:
        return self.read_at(offset, length)

    def close(self) -> None:
        pass


def checked(file: OpenFile, size: int) -> OpenFile:
    """The same file; raises OSError (EIO) where it is not as long as it was."""
    if file.stat.size != size:
        file.close()
        raise OSError(errno.EIO, os.strerror(errno.EIO), f"a message of {size} octets has {file.stat.size}")
    return file
