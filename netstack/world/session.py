"""A world as a blocking program uses it, the same on every substrate: labs, fixtures and behaviour tests stand on it.

with open_session("textbook", "simulated", seed=7) as internet:
    internet.record()
    internet.resolve("gaia.cs.umass.edu", host="cse.nyu.edu")
    print(ladder(internet.rows()))
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

from netstack.kernel.journal import Row
from netstack.kernel.pcapng import export
from netstack.world import loader
from netstack.world.model import World
from netstack.world.problems import nearest, one_of
from netstack.world.quantities import parse_delay, parse_loss, parse_rate
from netstack.world.running import BringUpError, Running
from netstack.world.sites import Direction

if TYPE_CHECKING:
    from netstack.http.client import ClientOptions, Result
    from netstack.world.loopback import LoopbackOptions
    from netstack.world.reactor_thread import ReactorThread
    from netstack.world.simulated.world import SimulatedWorld

UPPER = 12000
NETWORKS_TRIED = 4
PARSED: Mapping[str, Callable[[object], float | None]] = {
    "delay": parse_delay,
    "rate_bps": parse_rate,
    "loss": parse_loss,
}
"""How settings of links are read; None stays what it is."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a host's resolver said."""

    rcode: str
    records: tuple[str, ...]
    """Of the type asked for, in presentation format, in the order of the answer."""


class Session(ABC):
    """One world that is up. `close` it in the end; none of its methods may be called from within the world."""

    running: Running

    @abstractmethod
    def ask(self, host: str, f: Callable[..., Any], *arguments: Any, within: float = 60.0) -> Any:
        """`f(machine, *arguments)` in a host's name: a function, a coroutine function or one that returns a Deferred."""

    @abstractmethod
    def drive(self, f: Callable[..., Any], *arguments: Any, within: float = 60.0) -> Any:
        """`f(running, *arguments)`, like `ask`, for what concerns the world and no single host."""

    def everywhere(self, f: Callable[..., Any], *arguments: Any, within: float = 60.0) -> None:
        """`f(running, *arguments)` in each process that carries hosts; `running.hosts` has those that are carried there."""
        self.drive(f, *arguments, within=within)

    @abstractmethod
    def seconds(self) -> float:
        """Of the world's clock, monotonic."""

    @abstractmethod
    def stop_host(self, host: str) -> None:
        """The host's services end: connections to it are refused."""

    @abstractmethod
    def start_host(self, host: str) -> None:
        """The reverse of `stop_host`."""

    @abstractmethod
    def close(self) -> None:
        """Stop everything."""

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def world(self) -> World:
        """What is up."""
        return self.running.world

    @property
    def client(self) -> str:
        """A host where a person sits: without services, at a site with a resolver."""
        for host in self.world.hosts.values():
            if not host.services and self.world.sites[host.site].resolver is not None:
                return host.name
        raise LookupError(f"{self.world.name} has no host without services whose site has a resolver")

    def address(self, host: str) -> str:
        """The first address of a host or of one of its aliases."""
        for one in self.world.hosts.values():
            if host == one.name or host in one.aliases:
                return self.running.table.first(one.name)
        close = nearest(host, [also for one in self.world.hosts.values() for also in (one.name, *one.aliases)])
        raise LookupError(f"there is no host {host} in {self.world.name}{close}")

    # What hosts do

    def resolve(self, name: str, rdtype: str = "A", host: str | None = None, patience: float = 20.0) -> Lookup:
        """Ask the resolver of a host's site, once, from that host; ResolutionError after `patience` seconds."""
        host = self._known(host or self.client)
        server = self.world.resolver_of(host)
        if server is None:
            raise LookupError(f"the site of {host} has no resolver")
        return _lookup(
            self.ask(host, _query, self.running.table.first(server), name, rdtype, patience, within=120.0), rdtype
        )

    def fetch(self, url: str, host: str | None = None, options: "ClientOptions | None" = None) -> "Result":
        """GET a URL from a host, which resolves the name itself; raises FetchError."""
        result: Result = self.ask(host or self.client, _fetch, url, options, within=120.0)
        return result

    def upper(
        self, sentence: bytes, server: str, transport: Literal["tcp", "udp"] = "tcp", host: str | None = None
    ) -> bytes:
        """Ask an uppercase server; raises NoAnswer or Twisted's ConnectError."""
        answer: bytes = self.ask(host or self.client, _upper, self.address(server), sentence, transport)
        return answer

    # The world

    def record(self, *hosts: str) -> None:
        """Switch the journal on, for all hosts unless some are named, and forget what it has."""
        self.drive(_record, hosts)

    def rows(self) -> list[Row]:
        """What the journal has."""
        found: list[Row] = self.drive(_rows)
        return found

    def capture(self, file: str | os.PathLike[str]) -> int:
        """Write the journal as pcapng, for Wireshark; the number of packets."""
        return export(Path(file), self.rows())

    def clear(self) -> None:
        """Forget the journal's rows."""
        self.drive(lambda running: running.journal.clear())

    def flush(self) -> int:
        """Empty all caches; how many there were."""
        flushed: int = self.drive(lambda running: running.flush())
        return flushed

    def link(self, site: str, direction: Direction = "both", **settings: Any) -> None:
        """Change `rate_bps`, `delay` (seconds, or "250 ms"), `loss` or `queue` of a site's access link.

        Raises LookupError for no such site, ValueError for a value that cannot be.
        """
        if site not in self.world.sites:
            raise LookupError(f"there is no site {site} in {self.world.name}; expected {one_of(self.world.sites)}")
        for name, parse in PARSED.items():
            if settings.get(name) is not None:
                settings[name] = parse(settings[name])
        self.drive(lambda running: running.links.change(site, direction, **settings))

    def _known(self, host: str) -> str:
        """The host of that name; raises LookupError."""
        if host not in self.world.hosts:
            raise LookupError(f"there is no host {host} in {self.world.name}{nearest(host, self.world.hosts)}")
        return host


class SimulatedSession(Session):
    """A world in virtual time."""

    def __init__(self, world: World, seed: int | str | None = None, **options: Any) -> None:
        """`options` are those of `simulated.world.bring_up`."""
        from netstack.world.simulated.world import bring_up

        self.up: SimulatedWorld = bring_up(world, seed, **options)
        self.running: Running = self.up.running

    def ask(self, host: str, f: Callable[..., Any], *arguments: Any, within: float = 3600.0) -> Any:
        return self.up.ask(self._known(host), f, *arguments, within=within)

    def drive(self, f: Callable[..., Any], *arguments: Any, within: float = 3600.0) -> Any:
        return self.up.drive(f, *arguments, within=within)

    def seconds(self) -> float:
        return float(self.up.simulation.now)

    def stop_host(self, host: str) -> None:
        self.up.host(host).kill()

    def start_host(self, host: str) -> None:
        self.up.host(host).boot()
        self.up.simulation.run(for_seconds=0.001)

    def close(self) -> None:
        self.up.stop()


class LoopbackSession(Session):
    """A world on 127.x, its reactor in a thread."""

    def __init__(
        self,
        world: World,
        thread: "ReactorThread | None" = None,
        options: "LoopbackOptions | None" = None,
        folder: "TemporaryDirectory[str] | None" = None,
    ) -> None:
        """Without `thread` it has one of its own, which ends with it, as does `folder`.

        Where options leave the network open and addresses of the first one are taken (by a world whose locks we don't
        see, such as another user's), others are tried.
        """
        from netstack.world.loopback import LoopbackOptions
        from netstack.world.reactor_thread import ReactorThread

        options = options or LoopbackOptions()
        self._own = thread is None
        self._folder = folder
        self.thread = thread or ReactorThread()
        try:
            self.running: Running = self._bring_up(world, options)
        except BaseException:
            self._end_thread()
            raise

    def _bring_up(self, world: World, options: "LoopbackOptions") -> Running:
        from netstack.world.loopback import bring_up

        name = options.name or world.name
        preferred = options.network
        for attempt in range(1 if preferred is not None else NETWORKS_TRIED):
            network = preferred if attempt == 0 else 1 + crc32(f"{name}/{attempt}".encode()) % 254
            try:
                up: Running = self.thread.call(bring_up, world, replace(options, network=network), self.thread.reactor)
            except BringUpError as error:
                last = error
            else:
                return up
        raise last

    def ask(self, host: str, f: Callable[..., Any], *arguments: Any, within: float = 60.0) -> Any:
        return self.thread.call(f, self.running.hosts[self._known(host)].machine, *arguments, within=within)

    def drive(self, f: Callable[..., Any], *arguments: Any, within: float = 60.0) -> Any:
        return self.thread.call(f, self.running, *arguments, within=within)

    def seconds(self) -> float:
        return float(self.thread.reactor.seconds())

    def stop_host(self, host: str) -> None:
        self.drive(_stop_host, host)

    def start_host(self, host: str) -> None:
        self.drive(_start_host, host)

    def close(self) -> None:
        try:
            self.thread.call(self.running.stop)
        finally:
            self._end_thread()
            if self._folder is not None:
                self._folder.cleanup()

    def _end_thread(self) -> None:
        if self._own:
            self.thread.stop()


def open_session(world: World | str, on: str = "simulated", seed: int | None = None, shaped: bool = True) -> Session:
    """Bring a world up, by value, file or name; raises WorldError, BringUpError.

    `shaped`: with the links of the world file, else without delay, loss or bound on their rate.
    It stands apart from worlds that `netstack up` runs, and leaves nothing behind.
    """
    if isinstance(world, str):
        world = loader.load(world)
    if on == "simulated":
        return SimulatedSession(world, seed, shaped=shaped)
    if on == "loopback":
        from netstack.world.loopback import LoopbackOptions

        folder = TemporaryDirectory(prefix="netstack-")
        name = f"session-{os.getpid()}"
        options = LoopbackOptions(name=name, state_directory=Path(folder.name), shaped=shaped, seed=seed)
        try:
            return LoopbackSession(world, options=options, folder=folder)
        except BaseException:
            folder.cleanup()
            raise
    if on == "namespaces":
        from netstack.world.namespaces.session import NamespacesSession

        return NamespacesSession(world, seed, shaped)
    raise ValueError(f"no session on {on}; expected simulated, loopback or namespaces")


async def _query(machine: Any, server: str, name: str, rdtype: str, patience: float) -> Any:
    from netstack.dns.client import query

    return await query(machine, (server, machine.port(53)), name, rdtype, patience=patience, attempts=1)


def _lookup(reply: Any, rdtype: str) -> Lookup:
    from dns.rcode import Rcode
    from dns.rdatatype import RdataType

    wanted = RdataType.from_text(rdtype)
    records = tuple(rdata.to_text() for rrset in reply.answer if rrset.rdtype == wanted for rdata in rrset)
    return Lookup(Rcode.to_text(reply.rcode()), records)


async def _fetch(machine: Any, url: str, options: Any) -> Any:
    from netstack.http.client import fetch

    return await fetch(machine, url, options=options)


async def _upper(machine: Any, address: str, sentence: bytes, transport: str) -> bytes:
    from netstack.sockets.client import ask_datagram, ask_stream

    asking = ask_datagram if transport == "udp" else ask_stream
    return await asking(machine, address, machine.port(UPPER), sentence)


def _record(running: Running, hosts: Sequence[str]) -> None:
    running.journal.clear()
    running.journal.enable(*(hosts or running.hosts))


def _rows(running: Running) -> list[Row]:
    return list(running.journal)


async def _stop_host(running: Running, host: str) -> None:
    from twisted.internet.defer import maybeDeferred

    for service in running.hosts[host].services:
        stopping: Any = service.service
        await maybeDeferred(stopping.stopService)
    running.hosts[host].state = "down"


def _start_host(running: Running, host: str) -> None:
    for service in running.hosts[host].services:
        starting: Any = service.service
        starting.privilegedStartService()
        starting.startService()
    running.hosts[host].state = "ready"
