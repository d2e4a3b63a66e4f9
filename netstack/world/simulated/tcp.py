"""TCP over simulated links: a socket as Twisted's own transports use one, and those transports over it.

`Socket` answers what `twisted.internet.tcp` asks of `socket.socket`, so that buffers, producers, half close, connectors and
accept loops are Twisted's own. Below it: segments in order, an acknowledgement for every two segments taken by the
application, a fixed window, retransmission by timer. A segment that a link drops is known to be lost at once (the simulation
sees everything) and sent again after the time-out.
"""

import errno
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp

from netstack.sansio import Address
from netstack.world.simulated.scheduler import NANOSECONDS, nanoseconds

if TYPE_CHECKING:
    from netstack.world.simulated.network import Path
    from netstack.world.simulated.reactor import SimulatedReactor

SEGMENT = 1460
"""Octets of payload in one segment."""
TRAIN = 44 * SEGMENT
"""Octets handed over as one event where neither rate nor loss can tell the segments apart."""
HEADERS = 40
"""Octets of IPv4 and TCP headers."""
RETRANSMISSION = 0.2
"""First retransmission time-out, seconds; the time without progress is doubled each time (RFC 6298 §5)."""
RETRANSMISSION_MOST = 120.0
GIVE_UP = 900.0
"""Seconds without progress until a connection is given up."""
SYN_RETRIES = 6
"""Of a connection request, after 1, 2, 4, ... seconds."""
INITIAL_WINDOW = 10 * SEGMENT
"""With slow start (RFC 6928 §2)."""

SYN, SYN_ACK, ACK, DATA, FIN, RST = range(6)


def packet_size(payload: int) -> int:
    """Octets on the wire, headers of all the segments included."""
    return payload + HEADERS * (-(-payload // SEGMENT) or 1)


def error(number: int) -> OSError:
    """The OSError of an errno."""
    return OSError(number, os.strerror(number))


class Socket:
    """One end of a simulated connection, or a listening socket."""

    __slots__ = (
        "accepted", "acknowledged", "backlog", "broken", "closed", "confirmed", "congestion", "connected", "connecting",
        "early", "end_arrived", "end_sent", "expected", "family", "flight", "inbox", "linger", "listener",
        "listening", "local", "number", "options", "peer", "power", "progress", "reactor", "reader", "reading_soon",
        "remote", "sequence", "taken", "threshold", "undelivered", "window", "writer", "writing_soon",
    )  # fmt: skip

    def __init__(self, reactor: "SimulatedReactor", family: int = socket.AF_INET) -> None:
        self.reactor = reactor
        self.family = family
        self.power = reactor.host.power
        self.number = reactor.next_descriptor()
        self.reader: Any = None
        self.writer: Any = None
        self.reading_soon = self.writing_soon = False
        self.local: Address = ("", 0)
        self.remote: Address = ("", 0)
        self.options: dict[tuple[int, int], Any] = {}
        self.linger = True
        self.listening = self.connecting = self.connected = self.closed = False
        self.broken = 0
        """The errno that reading and writing meet."""
        self.listener: Socket | None = None
        self.backlog = 0
        self.accepted: deque[Socket] = deque()
        self.peer: Socket | None = None
        self.window = reactor.window
        self.flight = self.confirmed = self.taken = self.acknowledged = 0
        """Sent and not confirmed; confirmed by the peer; taken by the application here; of that, told to the peer."""
        self.congestion = self.threshold = 0
        self.sequence = self.expected = 0
        self.undelivered = self.progress = 0
        """Segments on their way, and when one last arrived."""
        self.early: dict[int, tuple[int, bytes]] = {}
        self.inbox: deque[bytes] = deque()
        self.end_sent = self.end_arrived = False

    # What Twisted's transports call

    def setblocking(self, blocking: bool) -> None:
        pass

    def fileno(self) -> int:
        return -1 if self.closed else self.number

    def getsockname(self) -> tuple[Any, ...]:
        return self._full(self.local)

    def getpeername(self) -> tuple[Any, ...]:
        if not self.connected:
            raise error(errno.ENOTCONN)
        return self._full(self.remote)

    def _full(self, address: Address) -> tuple[Any, ...]:
        if self.family == socket.AF_INET6:
            return (address[0] or "::", address[1], 0, 0)
        return (address[0] or "0.0.0.0", address[1])  # noqa: S104  as the system writes it

    def getsockopt(self, level: int, option: int) -> Any:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            return self.broken
        return self.options.get((level, option), 0)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self.linger = False
        self.options[level, option] = value

    def bind(self, address: tuple[Any, ...]) -> None:
        self.local = self.reactor.bind_stream(address[0], address[1])

    def listen(self, backlog: int) -> None:
        self.reactor.listeners[self.local] = self
        self.listening = True
        self.backlog = backlog

    def accept(self) -> tuple["Socket", tuple[Any, ...]]:
        while self.accepted:
            found = self.accepted.popleft()
            if not found.closed:
                return found, found._full(found.remote)
        raise error(errno.EAGAIN)

    def connect_ex(self, address: tuple[Any, ...]) -> int:
        if self.connected:
            return errno.EISCONN
        if self.connecting:
            return errno.EALREADY
        if self.broken:
            return self.broken
        self.connecting = True
        self.remote = (address[0], address[1])
        reactor = self.reactor
        host = self.local[0] or reactor.source_for(address[0])
        if host is None:
            self.broken = errno.ENETUNREACH
            return self.broken
        self.local = (host, self.local[1] or reactor.ephemeral_port())
        reactor.hold(self)
        self._request(0)
        return errno.EINPROGRESS

    def recv(self, size: int) -> bytes:
        inbox = self.inbox
        if inbox:
            data = inbox.popleft()
            if inbox and len(data) < size:
                parts = [data]
                have = len(data)
                while inbox and have < size:
                    parts.append(inbox.popleft())
                    have += len(parts[-1])
                data = b"".join(parts)
            if len(data) > size:
                inbox.appendleft(data[size:])
                data = data[:size]
            self.taken += len(data)
            if self.taken - self.acknowledged >= 2 * SEGMENT:
                self._acknowledge()
            return data
        if self.broken:
            raise error(self.broken)
        if self.end_arrived:
            return b""
        raise error(errno.EAGAIN)

    def send(self, data: memoryview | bytes) -> int:
        if self.broken or self.end_sent:
            raise error(self.broken or errno.EPIPE)
        room = self._room()
        if room <= 0:
            raise error(errno.EAGAIN)
        count = min(room, len(data))
        step = self._step()
        for start in range(0, count, step):
            self._segment(DATA, bytes(data[start : min(start + step, count)]))
        return count

    def shutdown(self, how: int) -> None:
        if not self.connected or self.broken:
            raise error(errno.ENOTCONN)
        if how != socket.SHUT_RD:
            self._end()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        reactor = self.reactor
        if self.listening:
            if reactor.listeners.get(self.local) is self:
                del reactor.listeners[self.local]
            for waiting in self.accepted:
                waiting.linger = False
                waiting.close()
            return
        if self.connected and not self.broken:
            if self.inbox or not self.linger:
                self.broken = errno.ECONNRESET
                self._transmit(RST, -1, b"", 0)
            else:
                self._end()
        self.reactor.release(self)

    # Readiness, for the reactor

    @property
    def readable(self) -> bool:
        """Whether reading would not block."""
        return bool(self.inbox or self.end_arrived or self.broken or self.accepted)

    @property
    def writable(self) -> bool:
        """Whether writing would not block."""
        return bool(self.broken or (self.connected and self._room() > 0))

    def want_read(self) -> None:
        """A reader was added: call it when there is something."""
        if not self.reading_soon and self.readable:
            self.reading_soon = True
            self.reactor.soon(self._read)

    def want_write(self) -> None:
        """A writer was added: call it when there is room."""
        if not self.writing_soon and self.writable:
            self.writing_soon = True
            self.reactor.soon(self._write)

    def _read(self) -> None:
        self.reading_soon = False
        if self.reader is not None and self.readable:
            self.reactor.read(self.reader)
            if self.reader is not None:
                self.want_read()

    def _write(self) -> None:
        self.writing_soon = False
        if self.writer is not None and self.writable:
            self.reactor.write(self.writer)
            if self.writer is not None:
                self.want_write()

    def _arrived(self) -> None:
        """Something to read came in while the network's own event runs: read at once."""
        reactor = self.reactor
        if self.reader is not None and not self.reading_soon and reactor.alive:
            reactor.scheduler.current = reactor
            self._read()

    # Sending

    def _room(self) -> int:
        if self.congestion:
            return min(self.window, self.congestion) - self.flight
        return self.window - self.flight

    def _step(self) -> int:
        path = self._route()
        if self.congestion or path is None:
            return SEGMENT
        for link in path:
            if link.rate is not None or link.loss:
                return SEGMENT
        return TRAIN

    def _route(self) -> "Path | None":
        host = self.reactor.host
        network = host.network
        there = network.find(self.remote[0], host)
        return None if there is None else network.path(host, there)

    def _segment(self, kind: int, data: bytes) -> None:
        self.flight += len(data)
        if not self.undelivered:
            self.progress = self.reactor.scheduler.now
        self.undelivered += 1
        number = self.sequence
        self.sequence = number + 1
        self._transmit(kind, number, data, 0)

    def _end(self) -> None:
        if not self.end_sent:
            self.end_sent = True
            self._segment(FIN, b"")

    def _request(self, tries: int) -> None:
        if not self.closed and not self.connected:
            self._transmit(SYN, -1, b"", tries)

    def _transmit(self, kind: int, number: int, data: bytes, tries: int) -> None:
        host = self.reactor.host
        if host.power != self.power:
            return
        network = host.network
        there = network.find(self.remote[0], host)
        size = packet_size(len(data))
        if there is None:
            host.packets.extend((network.scheduler.now, host.ident + self.local[1], -1, size))
            self._lost(kind, number, data, tries)
            return
        host.packets.extend((network.scheduler.now, host.ident + self.local[1], there.ident + self.remote[1], size))
        network.carry(network.path(host, there), size, self._deliver, (kind, number, data, tries), self._lost)

    def _lost(self, kind: int, number: int, data: bytes, tries: int) -> None:
        """The network dropped a segment: send it again after the time-out."""
        if kind == RST or self.reactor.host.power != self.power or self.broken:
            return
        scheduler = self.reactor.scheduler
        if kind == SYN:
            if tries >= SYN_RETRIES:
                self._broke(errno.ETIMEDOUT)
            else:
                scheduler.at(scheduler.now + (NANOSECONDS << tries), None, self._request, tries + 1)
            return
        if self.congestion:
            self.threshold = self.congestion = max(self.congestion // 2, 2 * SEGMENT)
        stuck = scheduler.now - self.progress
        if stuck > GIVE_UP * NANOSECONDS:
            self._broke(errno.ETIMEDOUT)
        else:
            wait = min(max(stuck, nanoseconds(RETRANSMISSION)), nanoseconds(RETRANSMISSION_MOST))
            scheduler.at(scheduler.now + wait, None, self._again, kind, number, data, tries + 1)

    def _again(self, kind: int, number: int, data: bytes, tries: int) -> None:
        if not self.broken:
            self._transmit(kind, number, data, tries)

    # Arriving: these run in the other host's name

    def _deliver(self, kind: int, number: int, data: bytes, tries: int) -> None:
        """At the host of the other end."""
        host = self.reactor.host
        there = host.network.find(self.remote[0], host)
        if there is None or not there.powered:
            self._lost(kind, number, data, tries)
            return
        if kind == SYN:
            if there.reactor is None:
                self._refuse(there, errno.ECONNREFUSED)
            else:
                self._knock(there.reactor, tries)
            return
        self.undelivered -= 1
        self.progress = self.reactor.scheduler.now
        peer = self.peer
        if peer is None or peer.power != there.power:
            self._refuse(there)
        elif kind == RST:
            peer._broke(errno.ECONNRESET)
        elif peer.broken:
            if kind == DATA:
                self._refuse(there)
        elif number == peer.expected and not peer.early:
            peer.expected = number + 1
            peer._take(kind, data)
        elif number >= peer.expected:
            peer.early[number] = (kind, data)
            while peer.expected in peer.early:
                kind, data = peer.early.pop(peer.expected)
                peer.expected += 1
                peer._take(kind, data)

    def _refuse(self, there: Any, number: int = errno.ECONNRESET) -> None:
        """A reset comes back from where nobody knows this connection."""
        host = self.reactor.host
        network = host.network
        host.packets.extend((network.scheduler.now, there.ident + self.remote[1], host.ident + self.local[1], HEADERS))
        network.carry(network.path(there, host), HEADERS, self._broke, (number,))

    def _knock(self, reactor: "SimulatedReactor", tries: int) -> None:
        """A request to connect."""
        listener = reactor.listeners.get(self.remote) or reactor.listeners.get(("", self.remote[1]))
        if listener is None or (":" in self.remote[0]) != (listener.family == socket.AF_INET6):
            self._refuse(reactor.host, errno.ECONNREFUSED)
            return
        if len(listener.accepted) >= listener.backlog:
            self._lost(SYN, -1, b"", tries)
            return
        child = Socket(reactor, listener.family)
        child.local, child.remote = self.remote, self.local
        child.listener = listener
        child.peer, self.peer = self, child
        reactor.hold(child)
        child._segment(SYN_ACK, b"")

    def _take(self, kind: int, data: bytes) -> None:
        """The next segment in order."""
        if kind == DATA:
            if self.closed:
                peer = self.peer
                self.broken = errno.ECONNRESET
                if peer is not None:
                    self._transmit(RST, -1, b"", 0)
                return
            self.inbox.append(data)
            self._arrived()
        elif kind == FIN:
            self.end_arrived = True
            if not self.closed:
                self._arrived()
        elif kind == SYN_ACK:
            if self.closed:
                self.broken = errno.ECONNRESET
                self._transmit(RST, -1, b"", 0)
                return
            self._established()
            self._segment(ACK, b"")
            if self.writer is not None and not self.writing_soon and self.reactor.alive:
                self.reactor.scheduler.current = self.reactor
                self._write()
        else:
            self._established()
            listener, self.listener = self.listener, None
            if listener is None or listener.closed:
                self.linger = False
                self.close()
            else:
                listener.accepted.append(self)
                listener._arrived()

    def _established(self) -> None:
        self.connected = True
        self.connecting = False
        if self.reactor.slow_start:
            self.congestion = INITIAL_WINDOW
            self.threshold = self.window

    def _acknowledge(self) -> None:
        """Give the sender its room back."""
        peer = self.peer
        host = self.reactor.host
        if peer is None or host.power != self.power:
            return
        self.acknowledged = total = self.taken
        network = host.network
        there = peer.reactor.host
        host.packets.extend((network.scheduler.now, host.ident + self.local[1], there.ident + self.remote[1], HEADERS))
        network.carry(network.path(host, there), HEADERS, peer._acknowledged, (total,), self._acknowledgement_lost)

    def _acknowledgement_lost(self, total: int) -> None:
        scheduler = self.reactor.scheduler
        scheduler.at(scheduler.now + nanoseconds(RETRANSMISSION), None, self._acknowledge_again, total)

    def _acknowledge_again(self, total: int) -> None:
        if self.acknowledged == total and not self.broken:  # else a later one covered it
            self._acknowledge()

    def _acknowledged(self, total: int) -> None:
        """The peer took `total` octets so far."""
        if self.broken or self.reactor.host.power != self.power:
            return
        count = total - self.confirmed
        if count <= 0:
            return
        self.confirmed = total
        self.flight -= count
        if self.congestion:
            if self.congestion < self.threshold:
                self.congestion += count
            else:
                self.congestion += max(1, SEGMENT * count // self.congestion)
        if self.writer is not None and self.reactor.alive:
            self.want_write()

    def _broke(self, number: int) -> None:
        """The connection is reset, refused or timed out."""
        if self.broken or self.reactor.host.power != self.power:
            return
        self.broken = number
        if self.listener is not None:  # nobody has accepted it, so nobody will close it
            self.reactor.release(self)
        reactor = self.reactor
        if self.closed or not reactor.alive:
            return
        if self.listener is not None:
            self.listener = None
        elif self.reader is not None:
            self._arrived()
        elif self.writer is not None:
            reactor.scheduler.current = reactor
            self._write()


class ServerTransport(tcp.Server):
    """Twisted's transport of an accepted connection; a type of its own, so that nobody looks for a real socket."""


class ClientTransport(tcp.Client):
    """Twisted's transport of a connection that was made."""

    def createInternetSocket(self) -> Any:
        return Socket(self._simulated, self.addressFamily)

    def __init__(self, host: str, port: int, bind: Any, connector: Any, reactor: Any) -> None:
        self._simulated = reactor
        super().__init__(host, port, bind, connector, reactor)  # type: ignore[no-untyped-call]


class Connector(tcp.Connector):
    """Twisted's connector, which makes simulated transports."""

    def _makeTransport(self) -> ClientTransport:
        return ClientTransport(self.host, self.port, self.bindAddress, self, self.reactor)


class StreamPort(tcp.Port):
    """Twisted's listening port over a simulated socket."""

    transport = ServerTransport

    def createInternetSocket(self) -> Any:
        reactor: Any = self.reactor
        return Socket(reactor, self.addressFamily)
