"""One query to one server and what comes back, on a socket of its own whose port is random (RFC 5452 §9.2)."""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from netstack.dns.engine import ClientStream, Datagrams
from netstack.dns.events import ReplyReceived, SendQuery
from netstack.dns.identity import FIRST_PORT, PORTS
from netstack.kernel.datagrams import DatagramDriver
from netstack.kernel.driver import StreamDriver
from netstack.kernel.listen import ListenError, connect_stream, open_datagram
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.roles import Connection
from netstack.sansio import Address, Event, Peer

ALPN = ("dot",)
"""RFC 7858, RFC 9103."""
_PORT_TRIES = 8

Received = Callable[[bytes, Address], None]
Lost = Callable[[], None]


class Upstream(Protocol):
    """A socket for one query."""

    def send(self, data: bytes) -> None:
        """Send the query, or send it again."""

    def close(self) -> None:
        """Nothing more is wanted; no callback comes after this."""


class DatagramUpstream:
    """Over UDP. Whatever arrives, from wherever, is given to `received`: the caller compares source, id and question."""

    def __init__(self, machine: Machine, destination: Address, received: Received, ports: int = PORTS) -> None:
        """Opens the socket, on one of the first `ports` ports; raises ListenError."""
        self._destination = destination
        self._received: Received | None = received
        self._driver = _open(machine, self, ports)

    def send(self, data: bytes) -> None:
        self._driver.send(SendQuery(data, self._destination))

    def close(self) -> None:
        if self._received is not None:
            self._received = None
            self._driver.close()

    def handle(self, event: Event, socket: DatagramDriver) -> None:
        if isinstance(event, ReplyReceived) and event.source is not None and self._received is not None:
            self._received(event.data, event.source)


class SharedSocket:
    """One socket for the queries of all, whose port forgers need not guess (`Identity.source_port`): for labs."""

    def __init__(self, machine: Machine) -> None:
        """Opens the socket; raises ListenError."""
        self._waiting: list[SharedUpstream] = []
        counted = traffic(machine.registry, "dns", "client")
        self._driver = open_datagram(machine, "dns", Datagrams(server=False), self, counted, FIRST_PORT)

    def open(self, destination: Address, received: Received) -> "SharedUpstream":
        """For one query."""
        upstream = SharedUpstream(self, destination, received)
        self._waiting.append(upstream)
        return upstream

    def send(self, data: bytes, destination: Address) -> None:
        self._driver.send(SendQuery(data, destination))

    def forget(self, upstream: "SharedUpstream") -> None:
        if upstream in self._waiting:
            self._waiting.remove(upstream)

    def close(self) -> None:
        """Nothing more is wanted."""
        self._waiting.clear()
        self._driver.close()

    def handle(self, event: Event, socket: DatagramDriver) -> None:
        """A reply goes to the query of its id and server, else to any: somebody has to count it."""
        if isinstance(event, ReplyReceived) and event.source is not None and self._waiting:
            source, identity = event.source, event.data[:2]
            meant = (it for it in self._waiting if it.destination == source and it.identity == identity)
            next(meant, self._waiting[0]).received(event.data, source)


class SharedUpstream:
    """One query's part of a shared socket."""

    def __init__(self, shared: SharedSocket, destination: Address, received: Received) -> None:
        self._shared = shared
        self.destination = destination
        self.received = received
        self.identity = b""

    def send(self, data: bytes) -> None:
        self.identity = data[:2]
        self._shared.send(data, self.destination)

    def close(self) -> None:
        self._shared.forget(self)


class StreamUpstream:
    """Over TCP: one connection, one query (RFC 7766 §5)."""

    def __init__(
        self, machine: Machine, destination: Address, received: Received, lost: Lost, name: str | None = None
    ) -> None:
        """With a `name` it is under TLS, and the server's certificate must be for that name."""
        self._destination = destination
        self._received: Received | None = received
        self._lost = lost
        self._waiting: bytes | None = None
        self._driver: StreamDriver | None = None
        counted = traffic(machine.registry, "dns", "client")
        connecting = connect_stream(machine, *destination, "dns", ClientStream(), self, counted, tls_name=name, alpn=ALPN)
        connecting.addCallbacks(self._connected, self._failed)

    def send(self, data: bytes) -> None:
        if self._driver is not None or self._waiting is not None:
            return  # TCP repeats by itself
        self._waiting = data

    def close(self) -> None:
        self._received = None
        if self._driver is not None:
            self._driver.close()

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, ReplyReceived) and self._received is not None:
            self._received(event.data, self._destination)

    def lost(self, reason: str) -> None:
        if self._received is not None:
            self._received = None
            self._lost()

    def _connected(self, driver: StreamDriver) -> None:
        self._driver = driver
        if self._received is None:
            driver.close()
        elif self._waiting is not None:
            driver.send(SendQuery(self._waiting))

    def _failed(self, failure: Failure) -> None:
        self.lost(failure.getErrorMessage())


class HTTPSUpstream:
    """One query over HTTPS. `ask` gives the reply later, or fails with an error whose text says why."""

    def __init__(
        self, ask: Callable[[bytes], Deferred[bytes]], destination: Address, received: Received, lost: Callable[[str], None]
    ) -> None:
        self._ask = ask
        self._destination = destination
        self._received: Received | None = received
        self._lost = lost
        self._asking: Deferred[bytes] | None = None

    def send(self, data: bytes) -> None:
        if self._asking is None:
            self._asking = self._ask(data)
            self._asking.addCallbacks(lambda reply: self._replied(data[:2] + reply[2:]), self._failed)

    def close(self) -> None:
        self._received = None
        if self._asking is not None:
            self._asking.cancel()

    def _replied(self, reply: bytes) -> None:
        if self._received is not None:
            self._received(reply, self._destination)

    def _failed(self, failure: Failure) -> None:
        if self._received is not None:
            self._received = None
            self._lost(failure.getErrorMessage())


def too_old(peer: Peer) -> bool:
    """Under TLS zones are transferred by version 1.3 alone (RFC 9103 §7)."""
    return peer.security is not None and peer.security.version != "TLSv1.3"


def _open(machine: Machine, role: DatagramUpstream, ports: int) -> DatagramDriver:
    counted = traffic(machine.registry, "dns", "client")
    for _ in range(_PORT_TRIES):
        try:
            port = machine.rng.randrange(FIRST_PORT, FIRST_PORT + ports)
            return open_datagram(machine, "dns", Datagrams(server=False), role, counted, port)
        except ListenError:
            continue
    return open_datagram(machine, "dns", Datagrams(server=False), role, counted)
