"""The machine of a real process: the system's clocks, entropy, sockets and disk."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from twisted.internet.base import ReactorBase

from netstack.kernel.disk import Disk, RealDisk
from netstack.kernel.journal import Journal
from netstack.kernel.machine import Machine, Ports
from netstack.kernel.offload import ThreadOffload
from netstack.kernel.resolver import NoResolver, Resolver
from netstack.kernel.tls import TLS, HostTLS
from netstack.kernel.turns import quick

if TYPE_CHECKING:
    from netstack.kernel.links import Links


def real_machine(
    name: str,
    addresses: Sequence[str] = ("127.0.0.1",),
    state_directory: str | Path | None = None,
    port_offset: int = 0,
    resolver: Resolver | None = None,
    journal: Journal | None = None,
    registry: CollectorRegistry | None = None,
    tls: TLS | None = None,
    reactor: Any = None,
    links: "Links | None" = None,
    disk: Disk | None = None,
) -> Machine:
    """A Machine on this process's reactor (the global one unless another is given).

    Without `state_directory` files live under `$XDG_STATE_HOME/netstack/standalone/hosts/NAME`, made at the first write.
    A `disk` is used in its place: one of many below the same disk syncs the directories above that one once for all of them.
    Without `tls` the machine has no certificate and trusts nobody; without `resolver` it knows no names.
    """
    if reactor is None:
        from twisted.internet import reactor as installed  # not before a process has chosen its reactor

        reactor = installed
    steady(reactor)
    ports = Ports(port_offset)
    return Machine(
        name=name,
        addresses=tuple(addresses),
        reactor=reactor,
        wall=time.time,
        rng=SystemRandom(),
        disk=disk or RealDisk(state_directory or default_state_directory() / "standalone" / "hosts" / name),
        registry=registry or CollectorRegistry(),
        resolver=resolver or NoResolver(),
        tls=tls or HostTLS(reactor, time.time),
        journal=journal if journal is not None else Journal(standard=ports.standard),
        offload=ThreadOffload(reactor),
        ports=ports,
        links=links,
    )


def steady(reactor: Any) -> None:
    """Have a reactor's timers follow the monotonic clock: Twisted's follow the system's time, which is set now and then.

    Done by whoever runs a reactor, before; one that runs already or has timers keeps its clock, and its turns (`turns.py`).
    """
    if isinstance(reactor, ReactorBase) and not reactor.running and not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic
        quick(reactor)


def default_state_directory() -> Path:
    """`$XDG_STATE_HOME/netstack`, by default `~/.local/state/netstack`; below it one directory for each world."""
    base = os.environ.get("XDG_STATE_HOME")
    return Path(base if base and os.path.isabs(base) else Path.home() / ".local" / "state") / "netstack"
