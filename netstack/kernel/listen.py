"""Listeners and outgoing connections: one endpoint syntax for stream, datagram and TLS; bind errors are raised, by name.

Syntax: `KIND:PORT[:interface=ADDRESS]` with KIND `tcp`, `udp` or `tls`, as in Twisted's endpoint strings; an IPv6 address
has its colons escaped by a backslash or stands in brackets.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from netstack.kernel.accepting import Nursery, first_look
from netstack.kernel.authority import TLSError
from netstack.kernel.batch import BatchedPort, available
from netstack.kernel.datagrams import DatagramDriver, DatagramRole, QuietPort
from netstack.kernel.driver import StreamDriver
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import Traffic
from netstack.kernel.roles import Role
from netstack.kernel.secure import accept_secure
from netstack.kernel.shaper import ShapedFactory
from netstack.kernel.transport import accept_plainly
from netstack.sansio import DatagramEngine, Engine

Kind = Literal["tcp", "udp", "tls"]
KINDS: tuple[Kind, ...] = ("tcp", "udp", "tls")
BACKLOG = 1024
"""Connections that the system holds until they are accepted."""


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


class StreamFactory:
    """Makes a StreamDriver for each connection of a listener; keeps the limit on open ones."""

    noisy = False
    numPorts = 0

    def __init__(
        self,
        machine: Machine,
        protocol: str,
        engine: Callable[[], Engine],
        role: Callable[[], Role],
        traffic: Traffic,
        limits: StreamLimits | None = None,
        secure: bool = False,
    ) -> None:
        self.machine = machine
        self.protocol_name = protocol
        self.engine = engine
        self.role = role
        self.traffic = traffic
        self.limits = limits or machine.limits
        self.secure = secure
        self.nursery = Nursery(machine.reactor, first_look(self.limits))
        self.drivers: dict[StreamDriver, None] = {}
        """The open ones in the order they came: what is done to all of them repeats from run to run."""
        self._waiting: list[Deferred[None]] = []

    def empty(self) -> Deferred[None]:
        """Fires when no connection is open."""
        waiting: Deferred[None] = Deferred()
        if self.drivers:
            self._waiting.append(waiting)
        else:
            waiting.callback(None)
        return waiting

    def _lost(self, driver: StreamDriver) -> None:
        self.drivers.pop(driver, None)
        if self._waiting and not self.drivers:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    def buildProtocol(self, address: object) -> StreamDriver | None:
        if len(self.drivers) >= self.limits.connections:
            self.traffic.refused += 1
            return None
        driver = StreamDriver(
            self.machine, self.protocol_name, self.engine(), self.role(), self.traffic, self.limits, self.secure,
            self._lost, nursery=self.nursery,
        )  # fmt: skip
        self.drivers[driver] = None
        return driver

    def doStart(self) -> None:
        pass

    def doStop(self) -> None:
        pass


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
                raise ListenError(f"cannot listen on {self.endpoint} for {self.machine.name}: {_reason(error)}") from None

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

    def _inherited(self) -> Any:
        """The socket that this worker's parent has bound, if there is one."""
        return None if self.machine.worker is None else self.machine.worker.inherited(str(self.endpoint))


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
        if self.machine.links is not None:
            factory = ShapedFactory(self.machine, factory, False, self.factory.limits)
        inherited = self._inherited()
        reactor: Any = self.machine.reactor
        port: IListeningPort
        if inherited is not None:
            with inherited:
                inherited.listen(BACKLOG)
                port = reactor.adoptStreamPort(inherited.fileno(), inherited.family, factory)
        else:
            port = reactor.listenTCP(self.endpoint.port, factory, backlog=BACKLOG, interface=self.endpoint.interface)
        self.factory.nursery.no_delay, self.factory.nursery.local = accept_plainly(port)
        if self.endpoint.kind == "tls" and self.machine.links is None:
            accept_secure(port, self.factory, self.machine.tls.accepting(self.alpn))
        return port

    def stopService(self) -> Deferred[Any]:
        """No more connections; those that are open end by themselves within `grace` seconds or are reset."""
        closed = maybeDeferred(super().stopService)
        for driver in tuple(self.factory.drivers):
            driver.drain()
        drained = self.factory.empty()
        if not drained.called:
            late = self.machine.reactor.callLater(self.grace, self._reset)
            drained.addCallback(lambda _: late.cancel() if late.active() else None)
        return DeferredList([closed, drained])

    def _reset(self) -> None:
        for driver in tuple(self.factory.drivers):
            driver.abort("stopped")


class DatagramListener(Listener):
    """Binds a datagram socket."""

    def __init__(self, machine: Machine, endpoint: Endpoint, driver: DatagramDriver, buffer: int = 0) -> None:
        """`buffer`: octets that may wait in the system for us to read them, as far as it grants so many; 0: as it likes."""
        super().__init__(machine, endpoint)
        self.driver = driver
        self._buffer = buffer

    def _listen(self) -> IListeningPort:
        bound = self._bound()
        own = getattr(bound, "socket", None)
        if self._buffer and isinstance(own, socket.socket):  # not in a simulation
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        return bound

    def _bound(self) -> IListeningPort:
        reactor: Any = self.machine.reactor
        inherited = self._inherited()
        bound: IListeningPort
        if self.driver.bypass is not None and available(reactor):
            make: Any = BatchedPort
            if inherited is not None:
                with inherited:
                    made = make._fromListeningDescriptor(reactor, inherited.fileno(), inherited.family, self.driver, 65535)
            else:
                made = make(self.endpoint.port, self.driver, self.endpoint.interface, 65535, reactor)
            made.startListening()
            bound = made
            return bound
        if inherited is not None:
            with inherited:
                bound = reactor.adoptDatagramPort(inherited.fileno(), inherited.family, self.driver, 65535)
            return bound
        return self.machine.reactor.listenUDP(
            self.endpoint.port, self.driver, interface=self.endpoint.interface, maxPacketSize=65535
        )


def open_datagram(
    machine: Machine, protocol: str, engine: DatagramEngine, role: DatagramRole, traffic: Traffic, port: int = 0
) -> DatagramDriver:
    """A client's datagram socket on the machine's first address; port 0 takes any. Raises ListenError."""
    driver = DatagramDriver(machine, protocol, engine, role, traffic)
    try:
        reactor: Any = machine.reactor
        if isinstance(reactor, PosixReactorBase):
            quiet: Any = QuietPort
            quiet(port, driver, machine.address, 65535, reactor).startListening()
        else:
            reactor.listenUDP(port, driver, interface=machine.address, maxPacketSize=65535)
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
    start_tls_name: str | None = None,
    encrypted: bool = False,
    verify: bool = True,
) -> Deferred[StreamDriver]:
    """Connect from the machine's first address; fires with the driver when the connection, also under TLS, is up.

    `tls_name` asks for TLS and is the name that the server's certificate must carry; `start_tls_name` is that name for an
    engine that asks with StartTLS; without `verify` the caller judges it. `encrypted` asks for TLS with whoever is there.
    Fails with Twisted's ConnectError, with
    TLSError when the server's certificate is not acceptable or no CA is trusted here, and with whatever else ended a
    handshake. Cancelling gives up.
    """
    limits = limits or machine.limits
    attempt = _Attempt()
    driver = StreamDriver(
        machine, protocol, engine, role, traffic, limits, encrypted or tls_name is not None, attempt.lost, attempt.up,
        tls_name or start_tls_name, verify=verify,
    )  # fmt: skip
    attempt.driver = driver
    factory: Any = _OnceFactory(driver, attempt)
    if tls_name is not None:
        try:
            factory = machine.tls.client(factory, tls_name, alpn)
        except TLSError:
            attempt.failed(Failure())
            return attempt.connected
    elif encrypted:
        factory = machine.tls.opportunistic(factory, alpn)
    if machine.links is not None:
        factory = ShapedFactory(machine, factory, True, limits)
    bind = (machine.address, 0) if (":" in machine.address) == (":" in address) else None
    attempt.connector = machine.reactor.connectTCP(address, port, factory, timeout=limits.connect, bindAddress=bind)
    return attempt.connected


class _Attempt:
    """One connection on its way up."""

    def __init__(self) -> None:
        self.connector: Any = None
        self.driver: StreamDriver | None = None
        self.cancelled = False
        self.connected: Deferred[StreamDriver] = Deferred(self._cancel)

    def up(self, driver: StreamDriver) -> None:
        if not self.connected.called:
            self.connected.callback(driver)

    def lost(self, driver: StreamDriver) -> None:
        if driver.failure is not None:
            self.failed(driver.failure)

    def failed(self, reason: Failure) -> None:
        if not self.connected.called and not self.cancelled:
            self.connected.errback(reason)

    def _cancel(self, connected: "Deferred[StreamDriver]") -> None:
        self.cancelled = True
        if self.driver is not None and self.driver.transport is not None:
            self.driver.abort("cancelled")
        else:
            self.connector.disconnect()


class _OnceFactory(ClientFactory):
    noisy = False

    def __init__(self, driver: StreamDriver, attempt: _Attempt) -> None:
        self.driver = driver
        self.attempt = attempt

    def buildProtocol(self, addr: object) -> StreamDriver:
        return self.driver

    def clientConnectionFailed(self, connector: object, reason: Any) -> None:
        self.attempt.failed(reason)


def _reason(error: CannotListenError) -> str:
    return refusal(error.socketError)


def refusal(error: object) -> str:
    """Why the system does not bind, and what to do."""
    number = getattr(error, "errno", None)
    text = getattr(error, "strerror", None) or str(error)
    hints = {
        13: "; ports below 1024 need root: choose another port or run the world with a port offset",
        98: "; another process listens there: stop it or choose another port or address",
        99: "; no interface of this machine has that address",
    }
    return text + hints.get(number or 0, "")
