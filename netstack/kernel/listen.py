"""Listeners and outgoing connections: one endpoint syntax for stream, datagram and TLS; bind errors are raised, by name.

Syntax: `KIND:PORT[:interface=ADDRESS]` with KIND `tcp`, `udp` or `tls`, as in Twisted's endpoint strings; an IPv6 address
has its colons escaped by a backslash or stands in brackets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ClientFactory

from netstack.kernel.driver import DatagramDriver, DatagramRole, Role, StreamDriver, StreamFactory
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import Traffic
from netstack.sansio import DatagramEngine, Engine

Kind = Literal["tcp", "udp", "tls"]
KINDS: tuple[Kind, ...] = ("tcp", "udp", "tls")


class ListenError(Exception):
    """An endpoint cannot be bound; the text names the address and says what to do."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen."""

    kind: Kind
    port: int
    interface: str = ""
    """An address; empty for all."""

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """From the syntax above; raises ValueError that says what was expected."""
        wrong = ValueError(f"{text!r} is not an endpoint; expected KIND:PORT[:interface=ADDRESS], KIND tcp, udp or tls")
        kind, _, rest = text.replace("\\:", "\0").partition(":")
        port, _, option = rest.partition(":")
        key, _, interface = option.partition("=")
        if kind not in KINDS or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise wrong
        if option and key != "interface":
            raise wrong
        return cls(kind, int(port), interface.replace("\0", ":").strip("[]"))

    def __str__(self) -> str:
        escaped = self.interface.replace(":", "\\:")
        return f"{self.kind}:{self.port}" + (f":interface={escaped}" if escaped else "")


class Listener(Service):
    """One bound endpoint. It binds in `privilegedStartService` (before twistd drops root) or else in `startService`."""

    def __init__(self, machine: Machine, endpoint: Endpoint) -> None:
        self.machine = machine
        self.endpoint = endpoint
        self.port: IListeningPort | None = None

    def bind(self) -> None:
        """Bind once; raises ListenError."""
        if self.port is None:
            try:
                self.port = self._listen()
            except CannotListenError as error:
                raise ListenError(f"cannot listen on {self.endpoint} for {self.machine.name}: {_reason(error)}") from error

    def privilegedStartService(self) -> None:
        self.bind()

    def startService(self) -> None:
        self.bind()
        super().startService()  # type: ignore[no-untyped-call]

    def stopService(self) -> Deferred[Any] | None:
        super().stopService()  # type: ignore[no-untyped-call]
        port, self.port = self.port, None
        return None if port is None else maybeDeferred(port.stopListening)

    def _listen(self) -> IListeningPort:
        raise AssertionError("a Listener is a StreamListener or a DatagramListener")


class StreamListener(Listener):
    """Accepts stream connections, under TLS for `tls` endpoints; drains them when stopped."""

    def __init__(
        self,
        machine: Machine,
        endpoint: Endpoint,
        protocol: str,
        engine: Callable[[], Engine],
        role: Callable[[], Role],
        traffic: Traffic,
        limits: StreamLimits | None = None,
        alpn: Sequence[str] = (),
        grace: float = 5.0,
    ) -> None:
        super().__init__(machine, endpoint)
        self.alpn = alpn
        self.grace = grace
        """Seconds that open connections get to end by themselves when the service stops."""
        self.factory = StreamFactory(machine, protocol, engine, role, traffic, limits, endpoint.kind == "tls")

    def _listen(self) -> IListeningPort:
        factory: Any = self.factory
        if self.endpoint.kind == "tls":
            factory = self.machine.tls.server(factory, self.alpn)
        return self.machine.reactor.listenTCP(self.endpoint.port, factory, backlog=1024, interface=self.endpoint.interface)

    def stopService(self) -> Deferred[Any]:
        waits: list[Deferred[Any]] = [maybeDeferred(super().stopService)]
        for driver in tuple(self.factory.drivers):
            driver.drain()
        if self.factory.drivers:
            waits.append(self._drained())
        return DeferredList(waits)

    def _drained(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        reactor, drivers = self.machine.reactor, self.factory.drivers
        deadline = reactor.seconds() + self.grace

        def look() -> None:
            if not drivers:
                done.callback(None)
            elif reactor.seconds() < deadline:
                reactor.callLater(0.02, look)
            else:
                for driver in tuple(drivers):
                    driver.abort("stopped")
                reactor.callLater(0, done.callback, None)

        look()
        return done


class DatagramListener(Listener):
    """Binds a datagram socket."""

    def __init__(self, machine: Machine, endpoint: Endpoint, driver: DatagramDriver) -> None:
        super().__init__(machine, endpoint)
        self.driver = driver

    def _listen(self) -> IListeningPort:
        return self.machine.reactor.listenUDP(
            self.endpoint.port, self.driver, interface=self.endpoint.interface, maxPacketSize=65535
        )


def open_datagram(
    machine: Machine, protocol: str, engine: DatagramEngine, role: DatagramRole, traffic: Traffic, port: int = 0
) -> DatagramDriver:
    """A client's datagram socket on the machine's first address; port 0 takes any. Raises ListenError."""
    driver = DatagramDriver(machine, protocol, engine, role, traffic)
    try:
        machine.reactor.listenUDP(port, driver, interface=machine.address, maxPacketSize=65535)
    except CannotListenError as error:
        raise ListenError(f"cannot open udp {machine.address} port {port} for {machine.name}: {_reason(error)}") from error
    return driver


def connect_stream(
    machine: Machine,
    address: str,
    port: int,
    protocol: str,
    engine: Engine,
    role: Role,
    traffic: Traffic,
    limits: StreamLimits | None = None,
    tls_name: str | None = None,
    alpn: Sequence[str] = (),
) -> Deferred[StreamDriver]:
    """Connect from the machine's first address; fires with the driver when the connection is up (before a TLS handshake).

    `tls_name` asks for TLS and is the name that the server's certificate must carry. Fails with Twisted's ConnectError.
    """
    limits = limits or machine.limits
    connected: Deferred[StreamDriver] = Deferred()
    driver = StreamDriver(machine, protocol, engine, role, traffic, limits, tls_name is not None)
    factory: Any = _OnceFactory(driver, connected)
    if tls_name is not None:
        factory = machine.tls.client(factory, tls_name, alpn)
    bind = (machine.address, 0) if (":" in machine.address) == (":" in address) else None
    machine.reactor.connectTCP(address, port, factory, timeout=limits.connect, bindAddress=bind)
    return connected


class _OnceFactory(ClientFactory):
    noisy = False

    def __init__(self, driver: StreamDriver, connected: Deferred[StreamDriver]) -> None:
        self.driver = driver
        self.connected = connected

    def buildProtocol(self, addr: object) -> StreamDriver:
        self.driver.machine.reactor.callLater(0, self._up)
        return self.driver

    def _up(self) -> None:
        if not self.connected.called:
            self.connected.callback(self.driver)

    def clientConnectionFailed(self, connector: object, reason: Any) -> None:
        if not self.connected.called:
            self.connected.errback(reason)


def _reason(error: CannotListenError) -> str:
    number = getattr(error.socketError, "errno", None)
    text = getattr(error.socketError, "strerror", None) or str(error.socketError)
    hints = {
        13: "; ports below 1024 need root: choose another port or run the world with a port offset",
        98: "; another process listens there: stop it or choose another port or address",
        99: "; no interface of this machine has that address",
    }
    return text + hints.get(number or 0, "")
