"""Nodes of a ring as services on hosts of the simulated Internet."""

from typing import Any

from netstack.kernel.listen import Endpoint
from netstack.ring.engine import RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.joining import Joining
from netstack.ring.links import LinkLimits
from netstack.ring.metrics import ring_counts
from netstack.ring.peer import Peer
from netstack.ring.records import DataOptions
from netstack.ring.service import RingService
from netstack.ring.stream import StreamBounds
from netstack.ring.wire import Codec
from netstack.world.simulated import Simulation

PORT = 4160
CHAPTER = (1, 3, 4, 5, 8, 10, 12, 15)


class Town:
    """Hosts `node1`, `node2`, ... with a node each, which join through the first."""

    def __init__(self, idents: tuple[int, ...] = CHAPTER, bits: int = 4, seed: int = 1, **options: Any) -> None:
        self.simulation = Simulation(seed)
        self.circle = Circle(bits)
        self.options = RingOptions(**options)
        self.joining = Joining()
        self.limits = LinkLimits()
        self.bounds = StreamBounds()
        self.services: dict[int, RingService] = {}
        self.hosts: dict[int, Any] = {}
        first = ""
        for ident in idents:
            self.add(ident, *filter(None, [first]))
            first = first or self.contact(ident).address
            self.run(0.0)

    def contact(self, ident: int) -> Contact:
        return Contact(ident, f"192.0.2.{ident + 1}:{PORT}")

    def add(self, ident: int, *through: str, network: str = "test", begin: bool = False, address: str = "") -> Any:
        """One more host; its node joins through others."""
        name = address or f"192.0.2.{ident + 1}"
        host = self.hosts[ident] = self.simulation.host(f"node{ident}{address}", name)

        def program(_: Any) -> None:
            machine = self.simulation.machine(host)
            me = Contact(ident, f"{machine.address}:{PORT}")
            data = DataOptions(copies=min(3, self.options.successors + 1))
            made = lambda kept: Peer(self.circle, me, self.options, data, machine.rng, kept)  # noqa: E731
            service: Any = RingService(
                machine, made, Codec(self.circle), network, [Endpoint("tcp", PORT, machine.address)],
                ring_counts(machine.registry), Joining(through, begin), self.limits, self.bounds,
            )  # fmt: skip
            self.services[ident] = service
            service.privilegedStartService()
            service.startService()

        host.program = program
        host.start()
        return host

    def run(self, seconds: float) -> None:
        self.simulation.run(for_seconds=seconds)

    def ask(self, ident: int, what: str, *arguments: Any) -> Any:
        """Call a method of a node's service that returns a Deferred."""
        return self.simulation.ask(self.hosts[ident], lambda: getattr(self.services[ident], what)(*arguments))

    def successors(self) -> dict[int, list[int]]:
        return {ident: [each.ident for each in one.peer.node.successors] for ident, one in sorted(self.services.items())}
