"""A simulated host: addresses, a clock, a disk, and one reactor and machine for each boot."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from netstack.kernel.authority import Leaf
from netstack.kernel.machine import Machine
from netstack.world.simulated.disk import SimulatedDisk
from netstack.world.simulated.reactor import SimulatedReactor
from netstack.world.simulated.scheduler import NANOSECONDS

if TYPE_CHECKING:
    from netstack.world.simulated.network import AccessNetwork, Network, Path
    from netstack.world.simulated.simulation import Simulation


class SimulatedHost:
    """One host. It is up from the start; `kill`, `power_off` and `boot` are its life."""

    __slots__ = (
        "_disk", "addresses", "boots", "ended", "ident", "leaf", "machine", "name", "network",
        "number", "packets", "power", "powered", "program", "reactor", "routes", "simulation", "site", "skew",
    )  # fmt: skip

    def __init__(self, simulation: "Simulation", name: str, addresses: tuple[str, ...], number: int) -> None:
        self.simulation = simulation
        self.name = name
        self.addresses = addresses
        self.number = number
        self.ident = number << 16
        """Added to a port it makes an end in the hash of packets."""
        self.packets = simulation.packets.pending
        self.network: Network = simulation.network
        self.routes: dict[SimulatedHost, Path] = {}
        self.site: AccessNetwork | None = None
        """The access network that it stands in; None: at the core."""
        self.skew = 0.0
        """Seconds by which its wall clock is ahead; set it to make the clock jump."""
        self.powered = True
        """Whether its kernel lives, which refuses what no process takes."""
        self.power = 0
        """Counts losses of power: what an earlier kernel sent is no longer repeated."""
        self.boots = 0
        self.program: Callable[[SimulatedHost], object] | None = None
        """Called in the host's name at each boot; builds and starts its services."""
        self.ended: Callable[[], None] | None = None
        """Called when a process or its machine has ended."""
        self.machine: Machine | None = None
        """Of this boot, once Simulation.machine made it."""
        self.leaf: Leaf | None = None
        """Its certificate, kept from boot to boot."""
        self._disk: SimulatedDisk | None = None
        self.reactor: SimulatedReactor | None = None
        """Of this boot; None while the host is down."""
        self._up()

    def __repr__(self) -> str:
        return f"<host {self.name}>"

    def wall(self) -> float:
        """Seconds since 1970 by this host's clock."""
        simulation = self.simulation
        return simulation.epoch + simulation.scheduler.now / NANOSECONDS + self.skew

    @property
    def disk(self) -> SimulatedDisk:
        """Keeps its files from boot to boot."""
        if self._disk is None:
            self._disk = SimulatedDisk(self.wall, self.rng("disk"))
        return self._disk

    def rng(self, purpose: str) -> Random:
        """A generator of its own for a purpose, the same for the same seed."""
        return Random(f"{self.simulation.seed}/{self.name}/{self.boots}/{purpose}")

    @property
    def up(self) -> bool:
        """Whether its process runs."""
        return self.reactor is not None

    def _up(self) -> None:
        self.boots += 1
        self.powered = True
        simulation = self.simulation
        self.reactor = SimulatedReactor(self, simulation.scheduler, simulation.window, simulation.slow_start)

    def boot(self) -> None:
        """Start again after `kill` or `power_off`, and run the program."""
        if self.reactor is not None:
            raise ValueError(f"{self.name} is up")
        if self._disk is not None:
            self._disk.restarted()
        self._up()
        self.start()

    def start(self) -> None:
        """Run the program of this boot, as an event of its own."""
        if self.program is not None and self.reactor is not None:
            self.reactor.soon(self.program, self)

    def kill(self) -> None:
        """The process dies; the kernel lives: it closes sockets, keeps what was written to files, refuses connections."""
        reactor = self.reactor
        if reactor is None:
            return
        self._down()
        for socket in (*reactor.listeners.values(), *reactor.streams):
            socket.close()

    def power_off(self) -> None:
        """Silence: peers hear nothing more, what was not synced to the disk is lost."""
        if self.reactor is None:
            return
        self._down()
        self.powered = False
        self.power += 1
        if self._disk is not None:
            self._disk.power_lost()

    def _down(self) -> None:
        reactor, self.reactor = self.reactor, None
        machine, self.machine = self.machine, None
        if reactor is not None:
            reactor.die()
        if machine is not None:
            ours = machine.journal.ours
            for end in [end for end in ours if end[1][0] in self.addresses]:
                del ours[end]
        if self.ended is not None:
            self.ended()
