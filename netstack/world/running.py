"""A world that is up: the same shape on every substrate. The control socket, the labs and the tests work on it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from twisted.application.service import IService, IServiceCollection

from netstack.kernel.health import unbound
from netstack.kernel.journal import Journal
from netstack.kernel.listen import Endpoint, Listener
from netstack.kernel.machine import Machine
from netstack.world.addresses import AddressTable, Substrate
from netstack.world.model import Host, World
from netstack.world.sites import SiteLinks

State = Literal["starting", "ready", "down"]


class BringUpError(Exception):
    """The world, or one host, could not be brought up; nothing of it is left running."""


@dataclass(slots=True)
class RunningService:
    """One service of a host, as its tap built it."""

    name: str
    plugin: str
    service: IService

    @property
    def listeners(self) -> list[Listener]:
        """What it listens with."""
        return list(_listeners(self.service))

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where it listens: the ports in use, not the standard ones."""
        return [listener.endpoint for listener in self.listeners]


@dataclass(slots=True)
class RunningHost:
    """One host. `machine` and `services` are those of its present boot."""

    host: Host
    machine: Machine
    services: list[RunningService] = field(default_factory=list)
    state: State = "starting"
    monitor: Listener | None = None
    """Its health responder: `/livez`, `/readyz`, `/metrics`."""

    @property
    def name(self) -> str:
        """The host's name."""
        return self.host.name

    @property
    def health(self) -> str | None:
        """URL that says whether the host is ready; None without a responder."""
        if self.monitor is None:
            return None
        endpoint = self.monitor.endpoint
        return f"http://{endpoint.interface or self.machine.address}:{endpoint.port}/readyz"

    @property
    def listeners(self) -> list[Listener]:
        """Everything that the host listens with."""
        own = [listener for service in self.services for listener in service.listeners]
        return own if self.monitor is None else [*own, self.monitor]

    def not_ready(self) -> list[str]:
        """The endpoints of its services that are not bound."""
        return [name for service in self.services for name in unbound(service.service)]

    def status(self) -> dict[str, Any]:
        """The host as `status --json` shows it."""
        return {
            "address": self.machine.address,
            "addresses": list(self.machine.addresses),
            "site": self.host.site,
            "state": self.state,
            "health": self.health,
            "services": [
                {
                    "name": service.name,
                    "plugin": "netstack-" + service.plugin,
                    "endpoints": [_endpoint(endpoint, self.machine.address) for endpoint in service.endpoints],
                    "health": self.health,
                }
                for service in self.services
            ],
        }


@dataclass(slots=True)
class Running:
    """All hosts of a world that this process has brought up."""

    world: World
    name: str
    """What keeps worlds apart on one machine; by default the world's own name."""
    table: AddressTable
    hosts: dict[str, RunningHost]
    journal: Journal
    links: SiteLinks
    seed: int = 1
    ca: Path | None = None
    """PEM file of the world's CA."""
    state_directory: Path | None = None
    stopping: Callable[[], Awaitable[None]] | None = None
    """What `stop` does on this substrate."""

    @property
    def substrate(self) -> Substrate:
        """Where it runs."""
        return self.table.substrate

    @property
    def port_offset(self) -> int:
        """What is added to every standard port."""
        return self.table.port_offset

    def status(self) -> dict[str, Any]:
        """The world as `netstack status --json` shows it."""
        return {
            "world": self.name,
            "substrate": self.substrate,
            "seed": self.seed,
            "port_offset": self.port_offset,
            "ca": None if self.ca is None else str(self.ca),
            "state": None if self.state_directory is None else str(self.state_directory),
            "hosts": {name: host.status() for name, host in self.hosts.items()},
        }

    def flush(self, hosts: Iterable[str] | None = None) -> int:
        """Empty the caches of services that have one (a `flush` method), on all hosts or on those named; how many."""
        names = self.hosts if hosts is None else hosts
        flushed = 0
        for name in names:
            for running in self.hosts[name].services:
                flush = getattr(running.service, "flush", None)
                if flush is not None:
                    flush()
                    flushed += 1
        return flushed

    def awaited(self) -> int:
        """Zones that secondaries have not got yet: a world that has just begun is complete when there are none."""
        asked = (getattr(running.service, "awaited", None) for host in self.hosts.values() for running in host.services)
        return sum(count() for count in asked if count is not None)

    def with_plugin(self, plugin: str) -> Iterator[tuple[RunningHost, RunningService]]:
        """Every service of a plugin, with its host."""
        for host in self.hosts.values():
            for service in host.services:
                if service.plugin == plugin:
                    yield host, service

    async def stop(self) -> None:
        """Drain and stop everything; does nothing the second time."""
        stopping, self.stopping = self.stopping, None
        if stopping is not None:
            await stopping()
            for host in self.hosts.values():
                host.state = "down"


def _listeners(service: Any) -> Iterator[Listener]:
    if isinstance(service, Listener):
        yield service
    elif IServiceCollection.providedBy(service):
        for child in service:
            yield from _listeners(child)


def _endpoint(endpoint: Endpoint, address: str) -> Mapping[str, object]:
    return {
        "transport": "udp" if endpoint.kind == "udp" else "tcp",
        "address": endpoint.interface or address,
        "port": endpoint.port,
        "tls": endpoint.kind == "tls",
    }
