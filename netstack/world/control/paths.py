"""Where a world's control socket and state lie, and who holds its name.

A name is held by an flock(2) on a file, which the kernel gives back when the process dies, however it dies. What a dead
process left behind (its socket) is therefore nobody's, and the next holder of the name removes it.
"""

import fcntl
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

SOCKET = "control.sock"
LOCK = "lock"
LONGEST_SOCKET = 107
"""Octets of a Unix socket's path (sun_path of sockaddr_un, unix(7), without its final zero)."""
WORLD_NAME = "letters, digits, - and _, at most 60"
"""What the name of a world is made of, for errors: it names directories."""


def is_world_name(text: str) -> bool:
    """Whether a text is WORLD_NAME."""
    return 0 < len(text) <= 60 and all(char.isascii() and (char.isalnum() or char in "-_") for char in text)


class NoPrivateDirectory(Exception):
    """The directory of the control sockets is not ours alone; the text says what is wrong with it."""


class AlreadyRunning(Exception):
    """Another process holds the name."""

    def __init__(self, name: str, pid: int | None) -> None:
        super().__init__(
            f"a world named {name} is already running"
            + (f" (process {pid})" if pid else "")
            + f"; stop it with: netstack down --name {name}; or choose another name with --name"
        )
        self.pid = pid


def runtime_root(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory of all control sockets: $XDG_RUNTIME_DIR/netstack, or /tmp/netstack-UID where the variable is unset."""
    base = environment.get("XDG_RUNTIME_DIR")
    return Path(base) / "netstack" if base else Path(gettempdir()) / f"netstack-{os.getuid()}"


def runtime_directory(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The directory of one world's control socket, made if need be; raises NoPrivateDirectory."""
    root = runtime_root(environment)
    if len(os.fsencode(root / name / SOCKET)) > LONGEST_SOCKET:
        raise NoPrivateDirectory(f"{root / name} is too long for a Unix socket's path: set XDG_RUNTIME_DIR to a shorter one")
    for directory in (root, root / name):
        make_private(directory)
    return root / name


def control_socket(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The path of one world's control socket; nothing is made."""
    return runtime_root(environment) / name / SOCKET


def make_private(directory: Path) -> None:
    """Make a directory of mode 0700, or check that it is a real one, ours and closed to others."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise NoPrivateDirectory(f"cannot make {directory}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise NoPrivateDirectory(f"{directory} is not a directory: remove it")
    if found.st_uid != os.getuid():
        raise NoPrivateDirectory(
            f"{directory} belongs to user {found.st_uid}: set XDG_RUNTIME_DIR to a directory of your own"
        )
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise NoPrivateDirectory(f"{directory} is open to other users (mode {mode:o}): chmod 700 {directory}")


def names_in_use(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The names of the worlds that run now, sorted."""
    root = runtime_root(environment)
    try:
        entries = sorted(entry.name for entry in root.iterdir() if (entry / SOCKET).exists())
    except OSError:
        return []
    return [name for name in entries if _held(root / name / LOCK)]


def _held(lock: Path) -> bool:
    try:
        with lock.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@dataclass(slots=True)
class Claim:
    """A name held by this process until `release` or its death."""

    name: str
    directory: Path
    descriptor: int

    @classmethod
    def take(cls, name: str, environment: Mapping[str, str] = os.environ) -> "Claim":
        """Take a world's name and clear away what a dead holder left; raises AlreadyRunning or NoPrivateDirectory."""
        directory = runtime_directory(name, environment)
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).strip()
            os.close(descriptor)
            raise AlreadyRunning(name, int(holder) if holder.isdigit() else None) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        (directory / SOCKET).unlink(missing_ok=True)
        return cls(name, directory, descriptor)

    @property
    def socket(self) -> Path:
        """Where this world's control socket belongs."""
        return self.directory / SOCKET

    def release(self) -> None:
        """Give the name back; the lock file stays, for a lock on a removed file would hold nothing."""
        if self.descriptor >= 0:
            (self.directory / SOCKET).unlink(missing_ok=True)
            os.ftruncate(self.descriptor, 0)
            os.close(self.descriptor)
            self.descriptor = -1
