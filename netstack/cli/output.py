"""Files that commands write."""

import os

from netstack.cli.errors import CommandError


def write(path: str, data: bytes, mtime: float | None = None) -> None:
    """Create a file or replace it as a whole; raises CommandError that names it. What is no regular file is written to."""
    try:
        where = os.path.realpath(path)
        if os.path.exists(where) and not os.path.isfile(where):
            with open(where, "wb") as device:
                device.write(data)
            return
        folder, name = os.path.split(where)
        new = os.path.join(folder, f".{name[:200]}.{os.getpid()}.new")
        mode = os.stat(where).st_mode & 0o777 if os.path.exists(where) else 0o666
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
                file.write(data)
            if mtime is not None:
                os.utime(new, (mtime, mtime))
            os.replace(new, where)
        except OSError:
            if os.path.exists(new):
                os.remove(new)
            raise
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
