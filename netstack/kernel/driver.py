"""The one adapter from an engine to Twisted: feeds it, writes for it, runs its timers, keeps its bounds.

Only drivers read clocks and touch transports. An engine's event goes to the role; the events that are the driver's own
(StartTLS, CloseWrite, Close, Abort) are carried out here.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IHandshakeListener, IPushProducer
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.tcp import Client as TCPClient
from twisted.internet.tcp import Server as TCPServer
from twisted.python.failure import Failure
from zope.interface import implementer

from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import Traffic
from netstack.sansio import (
    Abort,
    Address,
    Close,
    CloseWrite,
    Command,
    DatagramEngine,
    Engine,
    Event,
    FileSlice,
    Peer,
    RemoteProtocolError,
    Security,
    StartTLS,
)

FILE_CHUNK = 128 * 1024
LINGER_READ = 5.0
"""Seconds for which input is still read and dropped after the last octet was sent, so that the peer can read it
(RFC 9112 §9.6: closing with unread input makes the kernel reset the connection)."""


class Connection(Protocol):
    """What a role may do with its connection; StreamDriver is the implementation."""

    machine: Machine
    peer: Peer

    @property
    def writable(self) -> bool: ...

    def send(self, command: Command) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Role(Protocol):
    """Answers an engine's events; one object for each connection."""

    def handle(self, event: Event, connection: Connection) -> None:
        """An event of the engine. May call `connection.send`, now or later."""

    def lost(self, reason: str) -> None:
        """The connection is gone: "closed", "reset", "timeout", "protocol error" or Twisted's text."""


class Producing(Protocol):
    """What a role adds when it sends more than fits into the buffer."""

    def writable(self, connection: Connection) -> None:
        """The queued output was taken; go on sending."""


class Draining(Protocol):
    """What a role adds to end gracefully when the service stops."""

    def drain(self, connection: Connection) -> None:
        """The service stops: finish what is in hand, then close."""


def send_now(transport: Any, data: bytes) -> None:
    """Write to a plain TCP transport, straight to the socket when nothing is queued: half the CPU of a small reply."""
    if transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting or not transport.connected:
        transport.write(data)
        return
    try:
        sent = transport.socket.send(data)
    except BlockingIOError:
        sent = 0
    except OSError:
        transport.write(data)  # meets the same error inside the reactor, which then reports the lost connection
        return
    if sent < len(data):
        transport.write(data[sent:])


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class StreamDriver(TwistedProtocol):
    """Drives one engine over one stream connection."""

    def __init__(
        self,
        machine: Machine,
        protocol: str,
        engine: Engine,
        role: Role,
        traffic: Traffic,
        limits: StreamLimits,
        secure: bool = False,
        on_lost: Callable[["StreamDriver"], None] | None = None,
    ) -> None:
        self.machine = machine
        self.protocol_name = protocol
        self.engine = engine
        self.role = role
        self.traffic = traffic
        self.limits = limits
        self.peer = Peer(("", 0), ("", 0))
        self._tls = secure
        self._on_lost = on_lost
        self._seconds = machine.reactor.seconds
        self._direct = False
        self._paused = False
        self._reading = True
        self._busy = False
        self._again = False
        self._closing = False
        self._gone = False
        self._reason: str | None = None
        self._outbox: deque[bytes | FileSlice] = deque()
        self._timer: IDelayedCall | None = None
        self._active = 0.0
        self._deadline: float | None = None
        """While a handshake or the close is under way: when to give up."""

    # What Twisted calls

    def connectionMade(self) -> None:
        transport: Any = self.transport
        local, remote = transport.getHost(), transport.getPeer()
        self.peer = Peer((local.host, local.port), (remote.host, remote.port))
        self._direct = type(transport) in (TCPServer, TCPClient)
        transport.setTcpNoDelay(True)
        if self._direct:
            transport.bufferSize = self.limits.output_high
        transport.registerProducer(self, True)
        self.traffic.active += 1
        self.traffic.connections += 1
        self.machine.journal.opened("tcp", self.peer.local)
        self._active = self._seconds()
        if self._tls:
            self._until(self.limits.handshake)
        else:
            self._step(self.engine.connected, self.peer)

    def handshakeCompleted(self) -> None:
        transport: Any = self.transport
        connection = transport.getHandle()
        alpn = transport.negotiatedProtocol
        name = connection.get_servername()
        self._deadline = None
        self.peer = Peer(
            self.peer.local,
            self.peer.remote,
            security=Security(
                connection.get_protocol_version_name(),
                connection.get_cipher_name() or "",
                name.decode("ascii", "replace") if name else None,
                alpn.decode("ascii") if alpn else None,
            ),
        )
        self._step(self.engine.connected, self.peer)

    def dataReceived(self, data: bytes) -> None:
        self.traffic.received += len(data)
        if not self._closing:
            self._step(self.engine.receive, data)

    def readConnectionLost(self) -> None:
        if self._closing:
            self._finish()
        elif self._deadline is not None:
            self.abort("closed in the handshake")
        else:
            self._step(self.engine.eof)

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008  Twisted's signature
        if self._gone:
            return
        self._gone = self._closing = True
        self.traffic.active -= 1
        self.machine.journal.closed("tcp", self.peer.local)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._drop_output()
        if self._reason is None:
            self._reason = "closed" if reason.check(ConnectionDone) else reason.getErrorMessage()
        self.role.lost(self._reason)
        if self._on_lost is not None:
            self._on_lost(self)

    # IPushProducer: the transport's buffer is full, empty again, or gone

    def pauseProducing(self) -> None:
        self._paused = True
        self._read_or_not()

    def resumeProducing(self) -> None:
        if self._gone:
            return
        self._paused = False
        self._flush()
        if self._paused:
            return
        if not self._closing:
            writable = getattr(self.role, "writable", None)
            if writable is not None:
                writable(self)
            self._step(self.engine.receive, b"")
        self._read_or_not()

    def stopProducing(self) -> None:
        pass

    # Connection: what a role calls

    @property
    def writable(self) -> bool:
        """False while queued output waits for the peer; the role's `writable` is called when it may go on."""
        return not self._paused and not self._gone

    def send(self, command: Command) -> None:
        """Hand a command to the engine and write what comes of it; raises LocalProtocolError in a wrong state.

        Nothing happens once the connection is closing: the peer that asked is not there to read it.
        """
        if self._closing:
            return
        self.engine.send(command, self.machine.now())
        if self._busy:
            self._again = True
        else:
            self._step(self.engine.receive, b"")

    def close(self) -> None:
        """Send what is queued, then close."""
        if self._closing:
            return
        self._closing = True
        self._until(self.limits.linger)
        if not self._busy:
            self._flush()

    def abort(self, reason: str = "aborted") -> None:
        """Reset the connection now."""
        self._closing = True
        if self._reason is None:
            self._reason = reason
        self._drop_output()
        transport: Any = self.transport
        if transport is not None and not self._gone:
            transport.abortConnection()

    def drain(self) -> None:
        """The service stops."""
        drain = getattr(self.role, "drain", None)
        if drain is None:
            self.close()
        else:
            drain(self)

    # The step

    def _step(self, feed: Callable[..., Iterable[Event]], *arguments: Any) -> None:
        """Feed the engine, hand its events on, write, set the timer."""
        if self._busy:
            self._again = True
            return
        self._busy = True
        machine, engine = self.machine, self.engine
        now = machine.now()
        self._active = now.monotonic
        engine.recording = machine.name in machine.journal.enabled
        try:
            for event in feed(*arguments, now):
                self._dispatch(event)
            while self._again and not self._paused and not self._closing:
                self._again = False
                for event in engine.receive(b"", now):
                    self._dispatch(event)
        except RemoteProtocolError:
            self.traffic.protocol_errors += 1
            self._reason = "protocol error"
            self.close()
        finally:
            self._busy = self._again = False
        if self._gone:
            return
        self._collect()
        self._flush()
        if not self._closing:
            due = self.engine.next_timer()
            idle = self._active + self.limits.idle
            self._arm(idle if due is None or due > idle else due)
            if self._reading != (engine.wants_data() and not self._paused):
                self._read_or_not()

    def _dispatch(self, event: Event) -> None:
        kind = type(event)
        if kind is Close:
            self.close()
        elif kind is Abort:
            self.abort()
        elif kind is CloseWrite:
            self._collect()
            self._flush()
            self._half_close()
        elif kind is StartTLS:
            self._collect()
            self._flush()
            self._start_tls()
        else:
            self.role.handle(event, self)

    def _collect(self) -> None:
        """Take the engine's output and messages."""
        engine = self.engine
        if engine.recording:
            wall = self.machine.wall()
            peer = self.peer
            for message in engine.messages():
                self.machine.journal.write(
                    wall, "tcp", self.protocol_name, message.sent, peer.local, peer.remote,
                    message.summary, message.data, peer.security is not None, message.omitted,
                )  # fmt: skip
        self._outbox.extend(engine.data_to_send())

    def _flush(self) -> None:
        """Write the outbox as far as the transport takes it."""
        outbox = self._outbox
        transport: Any = self.transport
        while outbox and not self._paused:
            item = outbox.popleft()
            if isinstance(item, FileSlice):
                data = self._next_chunk(item)
                if data is None:
                    return
            elif outbox and isinstance(outbox[0], bytes):
                parts = [item]
                while outbox and isinstance(outbox[0], bytes):
                    parts.append(outbox.popleft())  # type: ignore[arg-type]  # just tested
                data = b"".join(parts)
            else:
                data = item
            self.traffic.sent += len(data)
            if self._direct:
                send_now(transport, data)
            else:
                transport.write(data)
        if self._closing and not outbox and not self._gone:
            self._close_transport()

    def _next_chunk(self, part: FileSlice) -> bytes | None:
        """The next octets of a file; a file that has become shorter breaks the connection (its length was promised)."""
        data = part.file.read_at(part.offset, min(FILE_CHUNK, part.length))
        if not data:
            part.file.close()
            self.abort("file changed")
            return None
        if len(data) < part.length:
            self._outbox.appendleft(FileSlice(part.file, part.offset + len(data), part.length - len(data)))
        else:
            part.file.close()
        return data

    def _drop_output(self) -> None:
        for item in self._outbox:
            if isinstance(item, FileSlice):
                item.file.close()
        self._outbox.clear()

    # Closing

    def _close_transport(self) -> None:
        """All is written to the transport: send FIN, read on for a while so that our last octets are not reset away."""
        transport: Any = self.transport
        transport.unregisterProducer()
        if self._tls:
            transport.loseConnection()
        else:
            transport.loseWriteConnection()
            transport.resumeProducing()
            self._until(min(LINGER_READ, self.limits.linger))

    def _finish(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()

    def _half_close(self) -> None:
        transport: Any = self.transport
        if not self._tls:  # TLS has no half close that peers agree on
            transport.loseWriteConnection()

    def _start_tls(self) -> None:
        self._tls = True
        self._direct = False
        transport: Any = self.transport
        transport.unregisterProducer()
        self.transport = self.machine.tls.start(transport, self, None)
        self._until(self.limits.handshake)

    # Reading and time

    def _read_or_not(self) -> None:
        wanted = self._closing or (not self._paused and self.engine.wants_data())
        if wanted != self._reading:
            self._reading = wanted
            transport: Any = self.transport
            if wanted:
                transport.resumeProducing()
            else:
                transport.pauseProducing()

    def _arm(self, due: float) -> None:
        """Call `_on_timer` at `due` or a little before; moving a timer later is left to when it fires."""
        timer = self._timer
        if timer is not None and timer.active():
            if timer.getTime() <= due:
                return
            timer.cancel()
        self._timer = self.machine.reactor.callLater(max(0.0, due - self._seconds()), self._on_timer)

    def _until(self, seconds: float) -> None:
        """Give up, unless what is under way ends within so many seconds."""
        self._deadline = self._seconds() + seconds
        self._arm(self._deadline)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._seconds()
        if self._deadline is not None:
            if now < self._deadline:
                self._arm(self._deadline)
            else:
                self.traffic.timeouts += 1
                self.abort("timeout")
            return
        due = self.engine.next_timer()
        idle = self._active + self.limits.idle
        if due is not None and due <= now:
            active = self._active
            self._step(self.engine.on_timer)
            self._active = active
        elif now >= idle:
            self.traffic.timeouts += 1
            self._reason = "timeout"
            self.close()
        else:
            self._arm(idle if due is None or due > idle else due)


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
        self.drivers: set[StreamDriver] = set()

    def buildProtocol(self, address: object) -> StreamDriver | None:
        if len(self.drivers) >= self.limits.connections:
            self.traffic.refused += 1
            return None
        driver = StreamDriver(
            self.machine, self.protocol_name, self.engine(), self.role(), self.traffic, self.limits, self.secure,
            self.drivers.discard,
        )  # fmt: skip
        self.drivers.add(driver)
        return driver

    def doStart(self) -> None:
        pass

    def doStop(self) -> None:
        pass


class DatagramRole(Protocol):
    """Answers the events of a datagram engine."""

    def handle(self, event: Event, socket: "DatagramDriver") -> None:
        """An event of the engine. May call `socket.send`, now or later."""


class DatagramDriver(DatagramProtocol):
    """Drives one engine over one datagram socket.

    `answer` is the bypass of hot paths: datagram and source in, reply or None (not mine: take the plain path) out. It is
    off while the host's journal is on.
    """

    noisy = False

    def __init__(
        self,
        machine: Machine,
        protocol: str,
        engine: DatagramEngine,
        role: DatagramRole,
        traffic: Traffic,
        answer: Callable[[bytes, Address], bytes | None] | None = None,
    ) -> None:
        self.machine = machine
        self.protocol_name = protocol
        self.engine = engine
        self.role = role
        self.traffic = traffic
        self.answer = answer
        self.local: Address = ("", 0)
        self._timer: IDelayedCall | None = None
        self._busy = False

    def startProtocol(self) -> None:
        transport: Any = self.transport
        host = transport.getHost()
        self.local = (host.host, host.port)
        self.machine.journal.opened("udp", self.local)

    def stopProtocol(self) -> None:
        self.machine.journal.closed("udp", self.local)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def datagramReceived(self, data: bytes, addr: Address) -> None:
        traffic, machine = self.traffic, self.machine
        traffic.datagrams_received += 1
        traffic.received += len(data)
        if self.answer is not None and machine.name not in machine.journal.enabled:
            reply = self.answer(data, addr)
            if reply is not None:
                self._write(reply, addr)
                return
        self._step(self.engine.receive, data, machine.now(), addr)

    def send(self, command: Command) -> None:
        """Hand a command to the engine and write what comes of it."""
        self.engine.recording = self.machine.name in self.machine.journal.enabled
        self.engine.send(command, self.machine.now())
        if not self._busy:
            self._flush()

    def close(self) -> Deferred[None]:
        """Stop; fires when the socket is closed."""
        transport: Any = self.transport
        stopped: Deferred[None] | None = transport.stopListening()
        return stopped if stopped is not None else Deferred.fromCoroutine(_nothing())

    def _step(self, feed: Callable[..., Iterable[Event]], *arguments: Any) -> None:
        self.engine.recording = self.machine.name in self.machine.journal.enabled
        self._busy = True
        try:
            for event in feed(*arguments):
                self.role.handle(event, self)
        except RemoteProtocolError:
            self.traffic.protocol_errors += 1
        finally:
            self._busy = False
        self._flush()

    def _flush(self) -> None:
        engine = self.engine
        if engine.recording:
            wall = self.machine.wall()
            for message in engine.messages():
                if message.remote is not None:
                    self.machine.journal.write(
                        wall, "udp", self.protocol_name, message.sent, self.local, message.remote,
                        message.summary, message.data,
                    )  # fmt: skip
        for data, destination in engine.data_to_send():
            self._write(data, destination)
        due = engine.next_timer()
        timer = self._timer
        if timer is not None and timer.active():
            if due is not None and timer.getTime() <= due:
                return
            timer.cancel()
            self._timer = None
        if due is not None:
            reactor = self.machine.reactor
            self._timer = reactor.callLater(max(0.0, due - reactor.seconds()), self._on_timer)

    def _write(self, data: bytes, destination: Address) -> None:
        transport: Any = self.transport
        if transport is None:
            return
        self.traffic.datagrams_sent += 1
        self.traffic.sent += len(data)
        transport.write(data, destination)

    def _on_timer(self) -> None:
        self._timer = None
        now = self.machine.now()
        due = self.engine.next_timer()
        if due is not None and due <= now.monotonic:
            self._step(self.engine.on_timer, now)
        else:
            self._flush()


async def _nothing() -> None:
    return None
