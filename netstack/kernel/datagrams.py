"""The driver of datagram engines: one engine over one socket, which knows many peers (`driver.py` has that of streams)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from twisted.internet.base import BasePort
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port as UDPPort
from twisted.python.failure import Failure

from netstack.kernel.links import Link, carry, shaped
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import Traffic
from netstack.sansio import (
    Address,
    Command,
    DatagramEngine,
    Event,
    RemoteProtocolError,
)

DATAGRAMS_UNDER_WAY = 10_000
"""Datagrams of one socket that are on shaped links at the same time; one more is lost."""


class DatagramRole(Protocol):
    """Answers the events of a datagram engine."""

    def handle(self, event: Event, socket: "DatagramDriver") -> None:
        """An event of the engine. May call `socket.send`, now or later."""


class Bypass(Protocol):
    """The short way of a hot path, around events, engine and role. It is off while the host's journal is on."""

    def answer(self, data: bytes, source: Callable[[], Address]) -> bytes | None:
        """The reply to a datagram, empty when none is due; None: it takes the plain path. `source()` tells the sender,
        during the call."""

    def answered(self, count: int, seconds: float) -> None:
        """So many replies went out together, so long after the first of their queries was read."""


class DatagramDriver(DatagramProtocol):
    """Drives one engine over one datagram socket."""

    noisy = False

    def __init__(
        self,
        machine: Machine,
        protocol: str,
        engine: DatagramEngine,
        role: DatagramRole,
        traffic: Traffic,
        bypass: Bypass | None = None,
    ) -> None:
        self.machine = machine
        self.protocol_name = protocol
        self.engine = engine
        self.role = role
        self.traffic = traffic
        self.bypass = bypass
        self.local: Address = ("", 0)
        self._timer: IDelayedCall | None = None
        self._due = 0.0
        self._busy = False
        self._under_way = 0
        self._sendto: Callable[[bytes, Address], object] | None = None

    def startProtocol(self) -> None:
        transport: Any = self.transport
        host = transport.getHost()
        self.local = (host.host, host.port)
        # Twisted's write looks at the address's form each time; ours come from the socket or from engines
        self._sendto = transport.socket.sendto if isinstance(transport, UDPPort) else transport.write
        self.machine.journal.opened("udp", self.local)

    def stopProtocol(self) -> None:
        self.machine.journal.closed("udp", self.local)
        self._sendto = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def datagramReceived(self, data: bytes, addr: Address) -> None:
        links = self.machine.links
        if links is not None and not links.senders_elsewhere and ("udp", addr) not in self.machine.journal.ours:
            path = links.path(addr[0], self._address())
            if shaped(path):  # nobody has delayed it for a foreign sender
                self._carry(path, data, lambda: self._received(data, addr))
                return
        self._received(data, addr)

    def _received(self, data: bytes, addr: Address) -> None:
        traffic, machine = self.traffic, self.machine
        traffic.datagrams_received += 1
        traffic.received += len(data)
        bypass = self.bypass
        if bypass is not None and machine.name not in machine.journal.enabled:
            began = machine.reactor.seconds()
            reply = bypass.answer(data, lambda: addr)
            if reply is not None:
                if not reply:
                    return
                self._write(reply, addr)
                bypass.answered(1, machine.reactor.seconds() - began)
                return
        self.plain(data, addr)

    def plain(self, data: bytes, addr: Address) -> None:
        """A datagram that the bypass left, counted before: through engine and role."""
        self._step(self.engine.receive, data, self.machine.now(), addr)

    def bypassing(self) -> Bypass | None:
        """The bypass, if datagrams may go around this driver: no journal is kept and no link is imitated."""
        machine = self.machine
        return self.bypass if machine.links is None and machine.name not in machine.journal.enabled else None

    def sent(self, count: int, octets: int, of: int, seconds: float) -> None:
        """`count` of `of` replies of the bypass went out, with so many octets."""
        traffic = self.traffic
        traffic.datagrams_sent += count
        traffic.sent += octets
        traffic.datagrams_dropped += of - count
        if self.bypass is not None:
            self.bypass.answered(of, seconds)

    def send(self, command: Command) -> None:
        """Hand a command to the engine and write what comes of it."""
        self.engine.recording = self.machine.name in self.machine.journal.enabled
        self.engine.send(command, self.machine.now())
        if not self._busy:
            self._flush()

    def close(self) -> Deferred[None]:
        """Stop; fires when the socket is closed."""
        transport: Any = self.transport
        if transport is None:
            return succeed(None)
        return maybeDeferred(transport.stopListening)

    def _step(self, feed: Callable[..., Iterable[Event]], *arguments: Any) -> None:
        self.engine.recording = self.machine.name in self.machine.journal.enabled
        self._busy = True
        try:
            for event in feed(*arguments):
                if self.engine.recording:
                    self._journal()  # what was received, before what the role does about it
                self.role.handle(event, self)
        except RemoteProtocolError:
            self.traffic.protocol_errors += 1
        finally:
            self._busy = False
        self._flush()

    def _journal(self) -> None:
        wall, journal = self.machine.wall(), self.machine.journal
        for message in self.engine.messages():
            if message.remote is not None:
                journal.write(
                    wall, "udp", self.protocol_name, message.sent, self.local, message.remote,
                    message.summary, message.data, omitted=message.omitted,
                )  # fmt: skip

    def _flush(self) -> None:
        engine = self.engine
        if engine.recording:
            self._journal()
        for data, destination in engine.data_to_send():
            self._write(data, destination)
        due = engine.next_timer()
        timer = self._timer
        if due is None or self._sendto is None or (timer is not None and self._due <= due):
            return  # one that fires too early sets itself anew
        if timer is not None:
            timer.cancel()
        self._due = due
        reactor = self.machine.reactor
        self._timer = reactor.callLater(max(0.0, due - reactor.seconds()), self._on_timer)

    def _write(self, data: bytes, destination: Address) -> None:
        """Send, unless the socket is closed; what the system refuses (too long, port 0) is counted, as lost as any other."""
        links = self.machine.links
        if links is not None:
            path = links.path(self._address(), destination[0])
            if shaped(path):
                self._carry(path, data, lambda: self._put(data, destination))
                return
        self._put(data, destination)

    def _carry(self, path: Sequence[Link], data: bytes, arrived: Callable[[], None]) -> None:
        """Over links (loopback): later, or never."""
        if self._under_way >= DATAGRAMS_UNDER_WAY:
            self.traffic.datagrams_dropped += 1
            return
        self._under_way += 1
        carry(self.machine.reactor, self.machine.rng, path, len(data), lambda: self._landed(arrived), self._lost)

    def _landed(self, arrived: Callable[[], None]) -> None:
        self._under_way -= 1
        if self._sendto is not None:
            arrived()

    def _lost(self) -> None:
        self._under_way -= 1
        self.traffic.datagrams_dropped += 1

    def _address(self) -> str:
        return self.machine.address if self.local[0] in ("0.0.0.0", "::") else self.local[0]  # noqa: S104  compared, not bound

    def _put(self, data: bytes, destination: Address) -> None:
        if self._sendto is None:
            return
        try:
            self._sendto(data, destination)
        except (OSError, MessageLengthError):
            self.traffic.datagrams_dropped += 1
            return
        self.traffic.datagrams_sent += 1
        self.traffic.sent += len(data)

    def _on_timer(self) -> None:
        self._timer = None
        now = self.machine.now()
        due = self.engine.next_timer()
        if due is not None and due <= now.monotonic:
            self._step(self.engine.on_timer, now)
        else:
            self._flush()


class QuietPort(UDPPort):
    """A UDP port that comes and goes without a line in the log: a resolver opens one for each query."""

    def _bindSocket(self) -> None:
        try:
            bound = self.createInternetSocket()
            bound.bind((self.interface, self.port))
        except OSError as error:
            raise CannotListenError(self.interface, self.port, error) from error
        self._realPortNumber = bound.getsockname()[1]
        self.connected = True
        self.socket = bound
        self.fileno = bound.fileno  # type: ignore[method-assign]

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The socket is closed."""
        self._realPortNumber = None
        BasePort.connectionLost(self, reason)
        self.protocol.doStop()
        self.socket.close()
        del self.socket, self.fileno
        stopped: Deferred[None] | None = self.__dict__.pop("d", None)
        if stopped is not None:
            stopped.callback(None)
