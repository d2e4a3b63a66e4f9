"""Hosts of a world in one real process: their machines and services, bound all at once or not at all.

Loopback has all hosts in one process; a namespace or a pod has one. Nothing here chooses addresses or makes certificates.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.task import deferLater

from netstack.kernel.authority import TLSError
from netstack.kernel.disk import RealDisk
from netstack.kernel.health import health_listener
from netstack.kernel.journal import Journal
from netstack.kernel.listen import Listener, ListenError
from netstack.kernel.machine import Ports
from netstack.kernel.real import real_machine
from netstack.world import mail
from netstack.world.addresses import AddressTable
from netstack.world.certificates import Certificates
from netstack.world.compose import Composer
from netstack.world.model import World
from netstack.world.problems import WorldError
from netstack.world.running import BringUpError, Running, RunningHost
from netstack.world.sites import SiteLinks

TRANSFERS = 3.0
"""Seconds that secondaries get to have their zones before the world says that it is up."""
HEALTH_PORT = 9100
"""Standard port of the health responder of every host that has services."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the real world a world, or a part of it, runs."""

    name: str
    """What keeps worlds apart on one machine."""
    state_directory: Path
    hosts: tuple[str, ...] | None = None
    """Those that this process carries; None: all."""
    listen_on: tuple[str, ...] | None = None
    """The addresses that a host listens on, where they are not those of the table (a pod behind a Service)."""
    seed: int = 1


class ProcessHosts:
    """Brings the hosts up: `build`, `bind`, `start`; then `stop`. `running` is what they are."""

    def __init__(
        self,
        world: World,
        table: AddressTable,
        place: Place,
        certificates: Certificates,
        links: SiteLinks | None = None,
        reactor: Any = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor as installed

            reactor = installed
        self.reactor = reactor
        self.place = place
        self.certificates = certificates
        self.composer = Composer(world, table, certificates.pem)
        self._links = links
        self._disk = RealDisk(place.state_directory)
        self._bound: list[Listener] = []
        self._started: list[Any] = []
        self._ended: list[Deferred[Any]] = []
        """Listeners that are being closed because another one could not be bound."""
        ports = Ports(table.port_offset)
        self.running = Running(
            world,
            place.name,
            table,
            {},
            Journal(names=table.name, standard=ports.standard),
            links or SiteLinks(world, table, shaped=False),
            place.seed,
            certificates.file,
            place.state_directory,
            self.stop,
        )

    @property
    def names(self) -> Iterable[str]:
        """The hosts that this process carries."""
        return self.running.world.hosts if self.place.hosts is None else self.place.hosts

    def build(self) -> None:
        """Make machines and services; raises BringUpError."""
        try:
            for name in self.names:
                self.running.hosts[name] = self._host(name)
        except WorldError:
            raise
        except (OSError, TLSError, ValueError) as error:
            raise BringUpError(f"cannot build {name}: {error}") from error

    def bind(self) -> None:
        """Bind every listener of every host; when one cannot be bound, none is, and BringUpError says why."""
        try:
            for host in self.running.hosts.values():
                for listener in host.listeners:
                    listener.bind()
                    self._bound.append(listener)
        except ListenError as error:
            for listener in self._bound:
                self._ended.append(maybeDeferred(listener.stopService))
            self._bound.clear()
            raise BringUpError(str(error)) from error

    def start(self) -> None:
        """Start every service."""
        for host in self.running.hosts.values():
            services: list[Any] = [service.service for service in host.services]
            for service in services if host.monitor is None else [*services, host.monitor]:
                service.startService()
                self._started.append(service)
            host.state = "ready"

    async def up(self) -> Running:
        """All three steps; what a failure left open is closed before it is raised."""
        try:
            self.build()
            self.bind()
            self.start()
            await self._transfers()
        except BaseException:
            await self.stop()
            raise
        return self.running

    async def stop(self) -> None:
        """Drain and stop, the last started first."""
        started, self._started = self._started[::-1], []
        bound, self._bound = self._bound, []
        waits, self._ended = self._ended, []
        waits.extend(maybeDeferred(service.stopService) for service in started)
        waits.extend(maybeDeferred(listener.stopService) for listener in bound if listener.port is not None)
        await DeferredList(waits, consumeErrors=True)
        for host in self.running.hosts.values():
            host.state = "down"

    async def _transfers(self) -> None:
        """Let secondaries get their zones first; one that cannot is up all the same, and tries again."""
        deadline = self.reactor.seconds() + TRANSFERS
        while self.running.awaited() and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, 0.005)

    def _host(self, name: str) -> RunningHost:
        host = self.running.world.hosts[name]
        table, place = self.running.table, self.place
        machine = real_machine(
            name,
            place.listen_on or table.hosts[name],
            port_offset=table.port_offset,
            journal=self.running.journal,
            tls=self.certificates.tls(name, self.reactor, mail.anchored(self.running.world, host)),
            reactor=self.reactor,
            links=self._links,
            disk=self._disk.below(f"hosts/{name}"),
        )
        machine.resolver = self.composer.resolver(host, machine)
        running = RunningHost(host, machine, self.composer.services(host, machine))
        if running.services or place.hosts is not None:
            running.monitor = health_listener(machine, machine.port(HEALTH_PORT), running.not_ready)
        return running
