"""Parts of files on their way to a stream transport: by sendfile(2) where it can be used, else read and written."""

import os
from typing import Any

from netstack.kernel.transport import unsent
from netstack.sansio import FileSlice

CHUNK = 128 * 1024
"""Octets of a file read and written at once where sendfile(2) cannot be used."""
TURN = 2 * 1024 * 1024
"""Octets of a file sent before other connections get their turn."""


class FileChanged(Exception):
    """A file has become shorter than what was promised of it."""


def sent_directly(transport: Any, part: FileSlice) -> int | None:
    """Octets that a plain transport's socket took at once; None where sendfile(2) cannot be used. Raises FileChanged."""
    descriptor = part.file.fileno()
    if descriptor < 0 or unsent(transport):
        return None
    try:
        sent = os.sendfile(transport.fileno(), descriptor, part.offset, min(TURN, part.length))
    except BlockingIOError:
        return 0
    except OSError:
        return None  # this file or socket cannot: the plain way shows what is wrong
    if sent == 0:
        raise FileChanged
    return sent


def read_part(part: FileSlice) -> bytes:
    """The next octets; raises FileChanged where there are none."""
    data = part.file.read_at(part.offset, min(CHUNK, part.length))
    if not data:
        raise FileChanged
    return data


def rest_of(part: FileSlice, done: int) -> FileSlice | None:
    """What remains after `done` octets; None, and the file is closed, when that was all."""
    if done < part.length:
        return FileSlice(part.file, part.offset + done, part.length - done)
    part.file.close()
    return None
