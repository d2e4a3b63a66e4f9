"""Hosts as processes in namespaces of their own: import once, fork, enter; everything is gone when the supervisor is.

The supervisor has no reactor: it forks the hosts, joins them by a bridge, waits until all are ready, then waits for the
end. A host is killed with its supervisor, and a namespace vanishes with its last process: nothing has to be cleaned up.
"""

import os
import selectors
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from netstack.world.namespaces import linux, network

_WIRED = b"w"
_NETWORK = b"n"
_READY = b"r"
_FAILED = b"f"
_REPORT = 4096
_STDERR = 2


class HostFailed(Exception):
    """A host did not come up; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What a namespace is made of."""

    name: str
    addresses: tuple[str, ...]
    files: Mapping[Path, Path]
    """Path in the host -> the file to be seen there (resolv.conf, trusted CAs); missing targets are passed over."""


@dataclass(slots=True)
class _Child:
    plan: HostPlan
    pid: int
    reports: int
    orders: int


class Supervisor:
    """Starts the hosts and ends them.

    `run(plan, ready)` is called in each host's process: it brings the services up, calls `ready()` and returns when the
    host is to stop; what it raises before `ready` is the reason given by HostFailed.
    """

    def __init__(
        self,
        plans: Sequence[HostPlan],
        prefix: int,
        run: Callable[[HostPlan, Callable[[], None]], None],
        patience: float = 30.0,
    ) -> None:
        self.plans = plans
        self.prefix = prefix
        self.run = run
        self.patience = patience
        """Seconds that the hosts get to become ready."""
        self._children: list[_Child] = []

    @property
    def pids(self) -> dict[str, int]:
        """Host name -> process."""
        return {child.plan.name: child.pid for child in self._children}

    def start(self) -> None:
        """Returns when every host is ready; raises HostFailed after ending those that had started."""
        linux.become_root_of_namespace()
        deadline = monotonic() + self.patience
        try:
            for plan in self.plans:
                self._children.append(self._fork(plan))
            self._await(_NETWORK, deadline)
            network.wire([child.pid for child in self._children])
            for child in self._children:
                os.write(child.orders, _WIRED)
            self._await(_READY, deadline)
        except BaseException:
            self.stop(grace=0.0)
            raise

    def wait(self) -> str:
        """Block until a host ends; its name. KeyboardInterrupt and other signals' exceptions pass through."""
        pid, _ = os.wait()
        for child in self._children:
            if child.pid == pid:
                self._children.remove(child)
                return child.plan.name
        return ""

    def stop(self, grace: float = 10.0) -> None:
        """SIGTERM to all hosts, SIGKILL to those that are still there after `grace` seconds."""
        for child in self._children:
            _signal(child.pid, signal.SIGTERM if grace else signal.SIGKILL)
        deadline = monotonic() + grace
        for child in self._children:
            while not _ended(child.pid):
                if monotonic() >= deadline:
                    _signal(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
                    break
                signal.sigtimedwait({signal.SIGCHLD}, 0.02)
        self._children.clear()

    def _fork(self, plan: HostPlan) -> _Child:
        reports, to_parent = os.pipe()
        from_parent, orders = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            os.close(to_parent)
            os.close(from_parent)
            return _Child(plan, pid, reports, orders)
        status = 1
        try:
            linux.die_with_parent()
            self._host(plan, from_parent, to_parent)
            status = 0
        except Exception as error:
            text = str(error) or traceback.format_exc()
            os.write(to_parent, _FAILED + text.encode()[: _REPORT - 1])
        finally:
            sys.stdout.flush()
            os._exit(status)

    def _host(self, plan: HostPlan, orders: int, reports: int) -> None:
        """The life of a host's process."""
        for descriptor in map(int, os.listdir("/proc/self/fd")):  # the supervisor's pipes and locks are not a host's
            if descriptor > _STDERR and descriptor not in (orders, reports):
                with suppress(OSError):  # the one by which the directory was listed
                    os.close(descriptor)
        linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS | linux.CLONE_NEWUTS)
        os.write(reports, _NETWORK)
        if os.read(orders, 1) != _WIRED:
            return
        network.configure(plan.addresses, self.prefix)
        linux.set_host_name(plan.name)
        for target, source in plan.files.items():
            if target.exists():
                linux.bind_file(source, target)

        def ready() -> None:
            os.write(reports, _READY)

        self.run(plan, ready)

    def _await(self, report: bytes, deadline: float) -> None:
        """Until every host has sent `report`."""
        with selectors.DefaultSelector() as selector:
            for child in self._children:
                selector.register(child.reports, selectors.EVENT_READ, child)
            while selector.get_map():
                found = selector.select(max(0.0, deadline - monotonic()))
                if not found:
                    names = ", ".join(key.data.plan.name for key in selector.get_map().values())
                    raise HostFailed(f"not ready within {self.patience:g} s: {names}")
                for key, _ in found:
                    got = os.read(key.fd, 1)
                    if got != report:
                        text = (
                            os.read(key.fd, _REPORT).decode(errors="replace") if got == _FAILED else "ended without a word"
                        )
                        raise HostFailed(f"{key.data.plan.name}: {text}")
                    selector.unregister(key.fd)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
