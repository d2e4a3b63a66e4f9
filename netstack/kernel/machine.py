"""Everything that a service needs from outside, the same type on every substrate."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from netstack.kernel.disk import Disk
from netstack.kernel.journal import Journal
from netstack.kernel.limits import StreamLimits
from netstack.kernel.reactor import Reactor
from netstack.kernel.resolver import Resolver
from netstack.sansio import Now

if TYPE_CHECKING:
    from netstack.kernel.links import Links
    from netstack.kernel.offload import Offload
    from netstack.kernel.tls import TLS
    from netstack.kernel.workers.worker import Worker


@dataclass(frozen=True, slots=True)
class Ports:
    """Standard port -> port in use: all of a world's ports are standard or all are shifted by one offset."""

    offset: int = 0

    def actual(self, standard: int) -> int:
        """The port to bind or connect to."""
        return standard + self.offset

    def standard(self, actual: int) -> int:
        """The standard port of one in use; ports that cannot be shifted ones (client ports) come back unchanged."""
        shifted = actual - self.offset
        return shifted if 0 < shifted < 32768 and actual < 32768 else actual


@dataclass(slots=True)
class Machine:
    """One host. Services and drivers get it; engines never do."""

    name: str
    addresses: tuple[str, ...]
    """The host's own, the first is the default for listening and for outgoing flows."""
    reactor: Reactor
    wall: Callable[[], float]
    rng: Random
    disk: Disk
    registry: CollectorRegistry
    resolver: Resolver
    tls: "TLS"
    journal: Journal
    offload: "Offload"
    ports: Ports = field(default_factory=Ports)
    limits: StreamLimits = field(default_factory=StreamLimits)
    links: "Links | None" = None
    """Shapes what drivers send (loopback); None where the substrate's network does it."""
    worker: "Worker | None" = None
    """This process among those of one service (`--workers`); None: the service has this one."""

    def now(self) -> Now:
        """Both clocks."""
        return Now(self.reactor.seconds(), self.wall())

    def port(self, standard: int) -> int:
        """The port in use for a standard one."""
        return self.ports.actual(standard)

    @property
    def address(self) -> str:
        """The first address."""
        return self.addresses[0]
