"""Streams over loopback that behave as if they crossed links: between a socket and the protocol (or TLS) above it.

What a driver of ours writes enters a queue of time stamps and reaches the socket when it would have arrived over there.
A foreign peer (a browser, dig) has nobody who does that for it: what it sends waits here instead. Order is kept; a lost
segment is one that comes later. A connection is charged its handshake: the client's side comes up after one round trip, the
server's after one and a half. There is no congestion control: at most `StreamLimits.output_high` octets are under way.
"""

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from random import Random
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from netstack.kernel.limits import StreamLimits
from netstack.kernel.links import RETRANSMISSION, SEGMENT, Link, handshake, segment_arrival, shaped
from netstack.kernel.machine import Machine
from netstack.kernel.reactor import Reactor


class End(Enum):
    """What a queue carries beside octets."""

    FIN = 1
    CLOSE = 2


Item = bytes | End


class Pipe:
    """Items cross a path in order; `deliver` gets those that arrived, together."""

    def __init__(
        self, reactor: Reactor, rng: Random, path: Sequence[Link], timeout: float, deliver: Callable[[list[Item]], None]
    ) -> None:
        self._reactor = reactor
        self._rng = rng
        self._path = tuple(path)
        self._timeout = timeout
        self._deliver = deliver
        self._reached: list[deque[tuple[float, Item]]] = [deque() for _ in range(len(path) + 1)]
        """For each link, what will reach it, and when; last: what will arrive."""
        self._last = [0.0] * (len(path) + 1)
        self._timer: IDelayedCall | None = None
        self._due = 0.0

    def put(self, item: Item) -> None:
        """Send an item now."""
        now = self._reactor.seconds()
        if isinstance(item, bytes) and len(item) > SEGMENT and self._segments():
            for start in range(0, len(item), SEGMENT):
                self._enter(0, now, item[start : start + SEGMENT])
        else:
            self._enter(0, now, item)
        self._arm()

    def stop(self) -> None:
        """Drop all that is under way."""
        for queue in self._reached:
            queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _segments(self) -> bool:
        """Whether the size of packets matters."""
        return any(link.settings is not None and (link.settings.rate_bps or link.settings.loss) for link in self._path)

    def _enter(self, hop: int, at: float, item: Item) -> None:
        """An item reaches a link: go on to the end, or to the next link after one with a queue."""
        octets = len(item) if isinstance(item, bytes) else 0
        path = self._path
        while hop < len(path):
            link = path[hop]
            at = segment_arrival(link, at, octets, self._rng, self._timeout)
            hop += 1
            if link.settings is not None and link.settings.rate_bps:
                break
        at = max(at, self._last[hop])
        self._last[hop] = at
        self._reached[hop].append((at, item))

    def _arm(self) -> None:
        heads = [queue[0][0] for queue in self._reached if queue]
        if not heads:
            return
        due = min(heads)
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._reactor.callLater(max(0.0, due - self._reactor.seconds()), self._turn)

    def _turn(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        *links, last = self._reached
        for hop, queue in enumerate(links):
            while queue and queue[0][0] <= now:
                self._enter(hop, *queue.popleft())
        arrived: list[Item] = []
        while last and last[0][0] <= now:
            arrived.append(last.popleft()[1])
        self._arm()
        if arrived:
            self._deliver(arrived)


@implementer(IPushProducer)
class _Throttle:
    """What the socket's transport pauses when its peer does not read."""

    def __init__(self, shaper: "Shaper") -> None:
        self._shaper = shaper

    def pauseProducing(self) -> None:
        self._shaper.block(True)

    def resumeProducing(self) -> None:
        self._shaper.block(False)

    def stopProducing(self) -> None:
        pass


@implementer(IHalfCloseableProtocol)
class Shaper(Protocol):
    """The socket's protocol, and the transport of the protocol above."""

    disconnecting = False

    def __init__(self, machine: Machine, protocol: Any, client: bool, limits: StreamLimits) -> None:
        self.protocol = protocol
        self.producer: Any = None
        self._machine = machine
        self._client = client
        self._limits = limits
        self._opened = self._lost = self._paused = self._blocked = self._stopped = self._eof = False
        self._reading = True
        self._foreign: bool | None = None
        self._opening: IDelayedCall | None = None
        self._outgoing = 0
        """Octets written and not yet with the socket."""
        self._incoming = 0
        """Octets read and not yet with the protocol."""
        self._outbox: deque[Item] = deque()
        self._inbox: deque[Item] = deque()

    # What the socket's transport calls

    def connectionMade(self) -> None:
        socket: Any = self.transport
        self._host, self._peer = local, remote = socket.getHost(), socket.getPeer()
        links, reactor, rng = self._machine.links, self._machine.reactor, self._machine.rng
        out = links.path(local.host, remote.host) if links is not None else ()
        back = links.path(remote.host, local.host) if links is not None else ()
        if not shaped(out) and not shaped(back):
            socket.protocol = self.protocol
            self.protocol.makeConnection(socket)
            return
        self._remote = (remote.host, remote.port)
        there, here = handshake(out), handshake(back)
        timeout = max(RETRANSMISSION, there + here)
        self._out = Pipe(reactor, rng, out, timeout, self._arrived_there)
        self._back = Pipe(reactor, rng, back, timeout, self._arrived_here)
        socket.setTcpNoDelay(True)
        socket.registerProducer(_Throttle(self), True)
        self._opening = reactor.callLater(there + here if self._client else here + there + here, self._open)

    def dataReceived(self, data: bytes) -> None:
        self._incoming += len(data)
        if self._is_foreign():
            self._back.put(data)
        else:
            self._inbox.append(data)
            self._pump()
        self._read_or_not()

    def readConnectionLost(self) -> None:
        self._eof = True
        if self._is_foreign():
            self._back.put(End.FIN)
        else:
            self._inbox.append(End.FIN)
            self._pump()

    def writeConnectionLost(self) -> None:
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        if not self._opened:
            self._open()
        self._out.stop()
        self._back.stop()
        if self.producer is not None:
            self.producer.stopProducing()
        self.protocol.connectionLost(reason)

    def block(self, blocked: bool) -> None:
        """The socket takes no more, or again."""
        self._blocked = blocked
        if not blocked:
            self._arrived_there([])

    # What the protocol above calls: a transport

    def getHost(self) -> Any:
        return self._host

    def getPeer(self) -> Any:
        return self._peer

    def setTcpNoDelay(self, enabled: bool) -> None:
        """It is set."""

    def write(self, data: bytes) -> None:
        if self.disconnecting or self._lost or not data:
            return
        self._outgoing += len(data)
        self._out.put(data)
        if self.producer is not None and self._outgoing > self._limits.output_high and not self._stopped:
            self._stopped = True
            self.producer.pauseProducing()

    def writeSequence(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def loseWriteConnection(self) -> None:
        if not self._lost:
            self._out.put(End.FIN)

    def loseConnection(self) -> None:
        if not self.disconnecting and not self._lost:
            self.disconnecting = True
            self._out.put(End.CLOSE)

    def abortConnection(self) -> None:
        self.disconnecting = True
        self._out.stop()
        self._back.stop()
        socket: Any = self.transport
        socket.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._lost:
            producer.stopProducing()
        else:
            self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None
        self._stopped = False

    def pauseProducing(self) -> None:
        self._paused = True
        self._read_or_not()

    def resumeProducing(self) -> None:
        self._paused = False
        if not self._lost:
            self._machine.reactor.callLater(0, self._pump)
            self._read_or_not()

    def stopProducing(self) -> None:
        self.loseConnection()

    # Between the two

    def _open(self) -> None:
        self._opened = True
        if self._opening is not None and self._opening.active():
            self._opening.cancel()
        self.protocol.makeConnection(self)
        self._pump()

    def _is_foreign(self) -> bool:
        """Whether the peer is no driver of ours; known when it sends, for a driver's socket is in the journal by then."""
        if self._foreign is None:
            links, journal = self._machine.links, self._machine.journal
            elsewhere = links is not None and links.senders_elsewhere
            self._foreign = not elsewhere and ("tcp", self._remote) not in journal.ours
        return self._foreign

    def _arrived_there(self, items: list[Item]) -> None:
        """Hand to the socket what has crossed the path."""
        self._outbox.extend(items)
        socket: Any = self.transport
        outbox = self._outbox
        while outbox and not self._blocked and not self._lost:
            parts = []
            while outbox and isinstance(outbox[0], bytes):
                parts.append(outbox.popleft())
            if parts:
                data = b"".join(parts)  # type: ignore[arg-type]  # only octets
                self._outgoing -= len(data)
                socket.write(data)
            elif outbox.popleft() is End.FIN:
                socket.loseWriteConnection()
            else:
                socket.unregisterProducer()
                socket.loseConnection()
        if self._stopped and self._outgoing <= self._limits.output_low and not self._blocked:
            self._stopped = False
            if self.producer is not None:
                self.producer.resumeProducing()

    def _arrived_here(self, items: list[Item]) -> None:
        self._inbox.extend(items)
        self._pump()

    def _pump(self) -> None:
        """Hand to the protocol what has crossed the path."""
        inbox = self._inbox
        while inbox and self._opened and not self._paused and not self._lost and not self.disconnecting:
            item = inbox.popleft()
            if isinstance(item, bytes):
                self._incoming -= len(item)
                self.protocol.dataReceived(item)
            elif IHalfCloseableProtocol.providedBy(self.protocol):
                self.protocol.readConnectionLost()
            else:
                self.loseConnection()
        if not self._lost:
            self._read_or_not()

    def _read_or_not(self) -> None:
        bound = self._limits.output_high if self._reading else self._limits.output_low
        wanted = self._incoming <= bound and not (self._paused and not self._foreign)
        if wanted != self._reading and not self._eof and not self._lost:
            self._reading = wanted
            socket: Any = self.transport
            if wanted:
                socket.resumeProducing()
            else:
                socket.pauseProducing()


class ShapedFactory:
    """Puts a Shaper below each protocol of another factory."""

    noisy = False

    def __init__(self, machine: Machine, factory: Any, client: bool, limits: StreamLimits) -> None:
        self._machine = machine
        self._factory = factory
        self._client = client
        self._limits = limits

    def buildProtocol(self, address: object) -> Shaper | None:
        protocol = self._factory.buildProtocol(address)
        return None if protocol is None else Shaper(self._machine, protocol, self._client, self._limits)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)
