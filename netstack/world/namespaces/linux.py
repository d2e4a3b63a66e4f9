"""The few calls of Linux that namespaces need and the standard library of Python 3.11 lacks (namespaces(7))."""

import ctypes
import os
import signal
from contextlib import ExitStack
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x4_0000
_PR_SET_PDEATHSIG = 1


class NotAllowed(Exception):
    """The system does not let this user make namespaces; the text says what to do."""


def unshare(flags: int) -> None:
    """Move this process into new namespaces (unshare(2)); raises OSError."""
    _check(_LIBC.unshare(flags), "unshare")


def become_root_of_namespace() -> None:
    """Enter a new user namespace in which this user is root, with its own network, mounts and host name.

    It gives an ordinary user the rights that the world needs over what the world makes, and takes from root those over
    the rest of the machine. The process must have one thread.
    """
    uid, gid = os.getuid(), os.getgid()
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS)
    except OSError as error:
        raise NotAllowed(
            f"this system does not allow user namespaces ({error.strerror}): "
            "try sysctl kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0, "
            "or bring the world up on loopback"
        ) from error
    Path("/proc/self/setgroups").write_text("deny")  # required before gid_map (user_namespaces(7))
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _mount(b"none", b"/", _MS_REC | _MS_PRIVATE)


def bind_file(source: Path, target: Path) -> None:
    """Let `source` be seen at `target` in this mount namespace; a link is followed, a missing target raises OSError."""
    _mount(bytes(source), bytes(target.resolve(strict=True)), _MS_BIND)


def set_host_name(name: str) -> None:
    """sethostname(2), cut to its 64 octets."""
    encoded = name.encode()[:64]
    _check(_LIBC.sethostname(encoded, len(encoded)), "sethostname")


def die_with_parent() -> None:
    """Be killed when the parent dies, however it dies (PR_SET_PDEATHSIG)."""
    _check(_LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")


def enter(pid: int) -> None:
    """Move this process into the namespaces of `pid` (setns(2)); raises OSError."""
    with ExitStack() as stack:
        # All are opened before the first is entered, because a new mount namespace may show another /proc. Entering the
        # user namespace that one is in already is an error (EINVAL).
        spaces = [stack.enter_context(open(f"/proc/{pid}/ns/{name}", "rb")) for name in ("user", "uts", "net", "mnt")]
        for space in spaces:
            if not os.path.samestat(os.fstat(space.fileno()), os.stat(space.name.replace(str(pid), "self"))):
                _check(_LIBC.setns(space.fileno(), 0), f"setns {space.name}")


def _mount(source: bytes, target: bytes, flags: int) -> None:
    _check(_LIBC.mount(source, target, None, flags, None), f"mount {target.decode()}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
