"""Parts of files on their way to a stream transport: by sendfile(2) where it can be used, else read and written."""

import os
from typing import Any

from netstack.kernel.transport import unsent
from netstack.sansio import FileSlice

CHUNK = 128 * 1024
"""Octets of a file read and written at once where sendfile(2) cannot be used."""
TURN = 4 * 1024 * 1024
"""Octets of a file sent before other connections get their turn."""


class FileChanged(Exception):
    """A file has become shorter than what was promised of it."""


class Part:
    """A part of a file on its way to a transport; whoever has it closes it."""

    __slots__ = ("_descriptor", "_file", "_offset", "left")

    def __init__(self, part: FileSlice) -> None:
        self._file = part.file
        self._descriptor = part.file.fileno()
        self._offset = part.offset
        self.left = part.length
        """Octets that are still to be sent."""

    def send(self, transport: Any) -> int | None:
        """Octets that a plain transport's socket took at once; None where sendfile(2) cannot be used. Raises FileChanged."""
        left = self.left
        if self._descriptor < 0 or not left or unsent(transport):
            return None
        try:
            sent = os.sendfile(transport.socket.fileno(), self._descriptor, self._offset, TURN if left > TURN else left)
        except BlockingIOError:
            return 0
        except OSError:
            return None  # this file or socket cannot: the plain way shows what is wrong
        if sent == 0:
            raise FileChanged
        self._offset += sent
        self.left = left - sent
        return sent

    def read(self) -> bytes:
        """The next octets; raises FileChanged where there should be some and are none."""
        if not self.left:
            return b""
        data = self._file.read_at(self._offset, min(CHUNK, self.left))
        if not data:
            raise FileChanged
        self._offset += len(data)
        self.left -= len(data)
        return data

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
