"""The simulated substrate: a World's hosts, services and links on a Simulation, in the shape of every running world."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred

from netstack.kernel.journal import Journal
from netstack.kernel.links import LinkSettings
from netstack.world import mail
from netstack.world.addresses import addresses
from netstack.world.compose import Composer, certified
from netstack.world.model import Host, World
from netstack.world.running import BringUpError, Running, RunningHost
from netstack.world.simulated.host import SimulatedHost
from netstack.world.simulated.network import AccessNetwork, Link
from netstack.world.simulated.scheduler import NANOSECONDS
from netstack.world.simulated.simulation import Simulation
from netstack.world.sites import Direction, SiteLinks

T = TypeVar("T")

TRANSFERS = 60.0
"""Virtual seconds that secondaries get to have their zones; a world that lacks one after that is up all the same."""
DRAIN = 60.0
"""Virtual seconds that services get to stop."""


class SimulatedLinks(SiteLinks):
    """Site links that the simulated network follows."""

    def __init__(self, world: World, table: Any, shaped: bool = True) -> None:
        super().__init__(world, table, shaped)
        self.networks = {name: AccessNetwork(self.up[name], self.down[name], self.lan[name]) for name in world.sites}

    def change(self, site: str, direction: Direction = "both", **settings: Any) -> None:
        super().change(site, direction, **settings)
        self.networks[site].up.set(self.up[site])
        self.networks[site].down.set(self.down[site])

    def carried(self, site: str, direction: Literal["up", "down", "lan"]) -> tuple[int, float]:
        link: Link = getattr(self.networks[site], direction)
        return link.carried, link.free / NANOSECONDS


class SimulatedWorld:
    """A world that is up in virtual time. `running` is what every other substrate offers too.

    Nothing happens but inside `ask`, `drive` and `simulation.run`.
    """

    def __init__(self, world: World, simulation: Simulation, running: Running, composer: Composer) -> None:
        self.world = world
        self.simulation = simulation
        self.running = running
        self._composer = composer
        self.certified = dict(certified(world))
        """The names in the certificates of hosts that have one."""

    def host(self, name: str) -> SimulatedHost:
        """The simulated host: to kill, boot, cut off, or set its clock."""
        return self.simulation.hosts[name]

    def ask(self, host: str, f: Callable[..., Any], *arguments: Any, within: float = 3600.0) -> Any:
        """Run `f(machine, *arguments)` in a host's name, a coroutine function or one that returns a Deferred; its result."""
        return self.simulation.ask(self.host(host), f, self.running.hosts[host].machine, *arguments, within=within)

    def drive(self, f: Callable[..., Any], *arguments: Any, host: str | None = None, within: float = 3600.0) -> Any:
        """Run what works on a Running (`f(running, *arguments)`) until it is done, in the name of `host` or of the first."""
        acting = self.host(host if host is not None else next(iter(self.running.hosts)))
        return self.simulation.ask(acting, f, self.running, *arguments, within=within)

    def stop(self) -> None:
        """Drain and stop all services, in virtual time."""
        waits = []
        for running in self.running.hosts.values():
            host = self.host(running.name)
            if host.reactor is not None and running.state != "down":
                waits.append(self.simulation.call(host, _stop, running))
        self.running.stopping = None
        self.simulation.run(until=self.simulation.now + DRAIN, stop=lambda: all(wait.done for wait in waits))
        for running in self.running.hosts.values():
            running.state = "down"

    def start(self, host: Host) -> None:
        """What a host does at each boot: build its services and let them listen."""
        running = self.running.hosts[host.name]
        simulated = self.host(host.name)
        machine = self.simulation.machine(
            simulated, names=self.certified.get(host.name, ()), anchored=mail.anchored(self.world, host)
        )
        machine.resolver = self._composer.resolver(host, machine)
        running.machine = machine
        running.state = "starting"
        running.services = self._composer.services(host, machine)
        for service in running.services:
            for listener in service.listeners:
                listener.bind()
            started: Any = service.service
            started.startService()
        running.state = "ready"


def bring_up(
    world: World,
    seed: int | str | None = None,
    *,
    name: str | None = None,
    core: LinkSettings | None = None,
    shaped: bool = True,
    journal: bool = False,
    slow_start: bool = False,
) -> SimulatedWorld:
    """Build a world and run it until every host is ready; raises BringUpError.

    `core` is what lies between the sites' access links, nothing by default; not `shaped`, sites have no links either.
    `journal` switches the journal of all hosts on from the start.
    """
    seed = world.seed if seed is None else seed
    table = addresses(world, "simulated")
    rows = Journal(names=table.name)
    simulation = Simulation(seed, core or LinkSettings(), journal=rows, slow_start=slow_start)
    links = SimulatedLinks(world, table, shaped)
    composer = Composer(world, table, simulation.authority.pem())
    hosts: dict[str, RunningHost] = {}
    running = Running(world, name or world.name, table, hosts, rows, links, seed if isinstance(seed, int) else world.seed)
    up = SimulatedWorld(world, simulation, running, composer)
    if journal:
        rows.enable(*world.hosts)
    for host in world.hosts.values():
        simulated = simulation.host(host.name, *table.hosts[host.name], site=links.networks[host.site])
        machine = simulation.machine(simulated, names=up.certified.get(host.name, ()), anchored=mail.anchored(world, host))
        hosts[host.name] = RunningHost(host, machine)
        simulated.program = _program(up, host)
        simulated.ended = _ended(hosts[host.name])
        simulated.start()
    simulation.run(until=simulation.now, stop=lambda: bool(simulation.problems), check=False)
    problems, _ = simulation.forget_problems()
    if problems:
        raise BringUpError(problems[0].getErrorMessage()) from problems[0].value
    waiting = [host.name for host in hosts.values() if host.state != "ready"]
    if waiting:
        raise BringUpError(f"not ready: {', '.join(waiting)}")

    if running.awaited():
        simulation.run(until=simulation.now + TRANSFERS, stop=lambda: not running.awaited())

    async def stop() -> None:
        up.stop()

    running.stopping = stop
    return up


def _program(up: SimulatedWorld, host: Host) -> Callable[[SimulatedHost], None]:
    def program(simulated: SimulatedHost) -> None:
        up.start(host)

    return program


def _ended(running: RunningHost) -> Callable[[], None]:
    def ended() -> None:
        running.state = "down"

    return ended


def _stop(running: RunningHost) -> Deferred[Any]:
    return DeferredList([maybeDeferred(service.service.stopService) for service in running.services])
