"""A directory whose files one service alone may change: held by an flock(2), which ends with the process."""

import errno
import fcntl
import os

LOCK = "lock"


def hold(directory: str) -> int:
    """A descriptor that holds the directory, which is made if need be, as long as it is open in any process.

    Raises OSError (EBUSY) that names the process that holds it already, or why the directory cannot be used.
    """
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory) from None
    descriptor = os.open(os.path.join(directory, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        os.close(descriptor)
        by = f" (process {holder})" if holder.isdigit() else ""
        raise OSError(
            errno.EBUSY,
            f"another service keeps its files here{by}: stop it, or give this one a --state of its own",
            directory,
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor
