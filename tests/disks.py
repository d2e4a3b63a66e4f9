"""Disks that fail in a way that the simulated one does not."""

import errno
from typing import Any


class NoNewFiles:
    """A disk that takes no new file to append to while it `refuses`."""

    def __init__(self, disk: Any) -> None:
        self.disk = disk
        self.refuses = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.disk, name)

    def append(self, path: str) -> Any:
        if self.refuses:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.disk.append(path)
