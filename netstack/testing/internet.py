"""The worlds that the fixtures give to tests: one on loopback beside the test's own thread, one in virtual time."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from netstack.kernel.journal import Row, Selection
from netstack.kernel.ladder import listing
from netstack.world.loopback import LoopbackOptions
from netstack.world.model import World
from netstack.world.running import Running
from netstack.world.session import LoopbackSession, SimulatedSession
from netstack.world.sites import Direction

if TYPE_CHECKING:
    import requests

    from netstack.world.reactor_thread import ReactorThread

STANDARD = {"http": 80, "https": 443, "ftp": 21}
SHOWN = 20
"""Messages that an error lists."""


class Internet(LoopbackSession):
    """A world on loopback addresses of its own, for tests that block: requests, smtplib, plain sockets, subprocesses."""

    def __init__(
        self, world: World, thread: "ReactorThread", name: str, state_directory: Path, port_offset: int | None = None
    ) -> None:
        options = LoopbackOptions(name=name, state_directory=state_directory, port_offset=port_offset)
        super().__init__(world, thread, options)
        self._links = {site: self.running.links.settings(site) for site in world.sites}
        self._stopped: set[str] = set()
        self.reset()

    # Where things are

    @property
    def ca(self) -> str:
        """PEM file of the world's CA: `requests.get(url, verify=internet.ca)`."""
        return str(self.running.ca)

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Addresses of every host name and alias."""
        table = self.running.table.hosts
        return {name: table[host.name] for host in self.world.hosts.values() for name in (host.name, *host.aliases)}

    def port(self, standard: int) -> int:
        """The port in use for a standard one."""
        return standard + self.running.port_offset

    def endpoint(self, host: str, standard: int) -> tuple[str, int]:
        """Address and port in use of a service, for a socket."""
        return self.address(host), self.port(standard)

    def url(self, url: str) -> str:
        """The URL with the port in use, for programs that are not in this process (they need the name as well)."""
        parts = urlsplit(url)
        port = parts.port or self.port(STANDARD[parts.scheme])
        if parts.hostname is None or port == STANDARD.get(parts.scheme):
            return url
        return urlunsplit(parts._replace(netloc=f"{parts.hostname}:{port}"))

    @contextmanager
    def named(self) -> Iterator[None]:
        """Inside, `socket.getaddrinfo` knows the world's names, and default TLS contexts trust its CA.

        Standard ports become those in use, so `requests.get("https://www.someschool.edu/")` and
        `smtplib.SMTP("mail.hamburger.edu", 25)` work as written. Other names are looked up as before.
        """
        names, offset, original = self.names, self.running.port_offset, socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
            name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
            found = names.get(name.rstrip(".").lower()) if isinstance(name, str) else None
            if found is None:
                return original(host, port, *arguments, **options)
            if isinstance(port, str):
                port = int(port) if port.isdigit() else socket.getservbyname(port)
            actual = port + offset if port and port < 32768 else port
            return [entry for address in found for entry in original(address, actual, *arguments, **options)]

        trust = {name: os.environ.get(name) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")}
        os.environ.update(dict.fromkeys(trust, self.ca))
        socket.getaddrinfo = getaddrinfo
        try:
            yield
        finally:
            socket.getaddrinfo = original
            for variable, before in trust.items():
                if before is None:
                    del os.environ[variable]
                else:
                    os.environ[variable] = before

    def session(self) -> "requests.Session":
        """A requests session that trusts the world's CA and takes no proxy from the environment."""
        import requests

        session = requests.Session()
        session.trust_env = False
        session.verify = self.ca
        return session

    # What happened

    @property
    def journal(self) -> list[Row]:
        """The messages since the test began; every host records."""
        return self.rows()

    def messages(self, protocol: str = "", host: str = "", text: str = "") -> list[Row]:
        """Those of a protocol, to or from a host (by name or address), with a text in their summary."""
        wanted = Selection(frozenset(filter(None, [host])), frozenset(filter(None, [protocol])), text)
        return [row for row in self.rows() if wanted(row)]

    def wait_for_message(self, predicate: Callable[[Row], bool], timeout: float = 5.0) -> Row:
        """The first message, also of those already seen, for which `predicate` holds; TimeoutError lists what came."""
        try:
            found: Row = self.drive(_first, predicate, within=timeout)
        except TimeoutError:
            seen = self.rows()[-SHOWN:]
            came = f"the last ones were:\n{listing(seen)}" if seen else "none came at all"
            raise TimeoutError(f"no such message within {timeout:g} s; {came}") from None
        return found

    # Faults

    def stop_host(self, host: str) -> None:
        self._stopped.add(host)
        super().stop_host(host)

    def start_host(self, host: str) -> None:
        self._stopped.discard(host)
        super().start_host(host)

    def reset(self) -> None:
        """As after the start: hosts up, links as they were, caches empty, stores reset, journal empty and on."""
        for host in tuple(self._stopped):
            self.start_host(host)
        self.drive(_reset, self._links)


class SimulatedInternet(SimulatedSession):
    """A world in virtual time, for tests that repeat exactly. Time passes in `run`, `ask` and what uses them, not else."""

    @property
    def simulation(self) -> Any:
        """The simulation below (netstack/world/simulated/README.md)."""
        return self.up.simulation

    @property
    def journal(self) -> list[Row]:
        """The messages so far; every host records."""
        return list(self.running.journal)

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.seconds()

    def run(self, until: float) -> None:
        """Let the world go on until a time, in seconds since its start; raises SimulationFailed when a service broke."""
        self.simulation.run(until=until)

    def call(self, host: str, f: Callable[..., Any], *arguments: Any) -> Any:
        """Begin `f(machine, *arguments)` in a host's name; an Outcome, to be looked at after `run`."""
        simulated = self.up.host(host)
        return self.simulation.call(simulated, f, self.running.hosts[host].machine, *arguments)

    def kill(self, host: str) -> None:
        """The host's process dies; connections are closed, files keep what was written."""
        self.up.host(host).kill()

    def power_off(self, host: str) -> None:
        """The host falls silent; what was not synced is lost."""
        self.up.host(host).power_off()

    def boot(self, host: str) -> None:
        """Start a host again."""
        self.start_host(host)

    def cut(self, a: str, b: str) -> None:
        """No packet passes between two hosts any more."""
        self.simulation.network.cut(self.up.host(a), self.up.host(b))

    def heal(self, a: str, b: str) -> None:
        """The reverse of `cut`."""
        self.simulation.network.heal(self.up.host(a), self.up.host(b))

    def clock(self, host: str, skew: float) -> None:
        """Set a host's wall clock so many seconds ahead of the true time."""
        self.up.host(host).skew = skew

    def hashes(self) -> Sequence[str]:
        """Of all packets and of the journal; equal for equal runs."""
        found: tuple[str, str] = self.simulation.hashes()
        return found


async def _first(running: Running, predicate: Callable[[Row], bool]) -> Row:
    from twisted.internet.defer import Deferred

    for row in running.journal:
        if predicate(row):
            return row
    waiting: Deferred[Row] = Deferred()

    def written(row: Row) -> None:
        if not waiting.called and predicate(row):
            waiting.callback(row)

    leave = running.journal.subscribe(written)
    try:
        return await waiting
    finally:
        leave()


def _reset(running: Running, links: dict[str, dict[str, Any]]) -> None:
    directions: tuple[Direction, ...] = ("up", "down")
    for site, settings in links.items():
        for direction in directions:
            wanted = settings[direction]
            if running.links.settings(site)[direction] != wanted:
                running.links.change(
                    site, direction,
                    rate_bps=wanted.rate_bps, delay=wanted.delay, loss=wanted.loss, queue=wanted.queue,
                )  # fmt: skip
    for host in running.hosts.values():
        for service in host.services:
            reset = getattr(service.service, "reset", None)
            if reset is not None:
                reset()
    running.flush()
    running.journal.clear()
    running.journal.enable(*running.hosts)
