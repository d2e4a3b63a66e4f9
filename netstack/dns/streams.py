"""A client's streams to servers, TCP and TLS: kept for a while, shared by many queries (RFC 7766 §6.2.1), bounded.

A query whose stream ends before its reply, or says nothing while others would be answered, is sent once more on a new one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from netstack.dns.engine import ClientStream
from netstack.dns.events import ReplyReceived, SendQuery, StreamCounts
from netstack.dns.metrics import handshakes
from netstack.dns.padding import kept_for, query_on_stream
from netstack.dns.upstream import ALPN
from netstack.kernel.driver import StreamDriver
from netstack.kernel.listen import connect_stream
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.roles import Connection
from netstack.sansio import Address, Event

DOT = 853
"""RFC 7858 §3.1."""
Received = Callable[[bytes, Address], None]
Lost = Callable[[str], None]
"""With the reason."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a stream leads. With a `name` it is under TLS, and the server's certificate must be for that name.

    `encrypted` without a name: under TLS with whoever is there (RFC 9539 §4.6.9).
    """

    address: str
    port: int
    name: str | None = None
    encrypted: bool = False

    @property
    def secure(self) -> bool:
        """Whether it is under TLS."""
        return self.encrypted or self.name is not None


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Times in seconds."""

    streams: int = 100
    """Open at once; for one more the one that rests longest is closed, and where none rests the query fails."""
    pipeline: int = 100
    """Queries in hand on one stream; more take another."""
    idle: float = 10.0
    """A stream without queries is kept for so long, or for as long as its server says if that is less (RFC 7828)."""


class StreamPool:
    """The streams of one client; `close` it in the end."""

    def __init__(self, machine: Machine, limits: PoolLimits | None = None) -> None:
        self.machine = machine
        self.limits = limits or PoolLimits()
        self.counts = StreamCounts()
        self.traffic = traffic(machine.registry, "dns", "client")
        self.secured = handshakes(machine.registry, "client")
        self._streams: dict[_Stream, None] = {}
        """The open ones and those on their way, in the order of their last use."""

    def __len__(self) -> int:
        return len(self._streams)

    def take(self, query: "PooledUpstream") -> None:
        """Send a query on a stream of its server's."""
        stream = next((it for it in self._streams if it.server == query.server and it.has_room), None)
        if stream is None and len(self._streams) >= self.limits.streams:
            resting = next((it for it in self._streams if it.rests), None)
            if resting is None:
                query.fail(f"{self.limits.streams} streams are open")
                return
            resting.close()
        if stream is None:
            stream = _Stream(self, query.server)
            self.counts.opened += 1
        else:
            self.counts.reused += 1
            del self._streams[stream]
        self._streams[stream] = None
        stream.add(query)
        stream.begin()

    def probe(self, server: Server, told: Callable[[bool], None]) -> None:
        """Find out whether a stream to a server comes up; it is kept.

        Not while half of the streams are open: then nothing is told.
        """
        if len(self._streams) * 2 >= self.limits.streams:
            return
        stream = _Stream(self, server)
        stream.told = told
        self.counts.opened += 1
        self._streams[stream] = None
        stream.begin()

    def forget(self, stream: "_Stream") -> None:
        """It is gone."""
        self._streams.pop(stream, None)

    def close(self) -> None:
        """Close all; nobody is told."""
        for stream in tuple(self._streams):
            stream.close()


class PooledUpstream:
    """One query on a stream that it shares; an `Upstream`. Replies are given out as if they came from `destination`."""

    def __init__(self, pool: StreamPool, server: Server, destination: Address, received: Received, lost: Lost) -> None:
        self.server = server
        self.data = b""
        self.sent = 0.0
        self.stream: _Stream | None = None
        self._pool = pool
        self._destination = destination
        self._received: Received | None = received
        self._lost = lost
        self._again = False

    def send(self, data: bytes) -> None:
        if not self.data:
            self.data = data
            self._pool.take(self)
        elif self.stream is not None and self.stream.answered and self.stream.mute_since(self.sent):
            self.repeat()  # a new connection would not have been awaited longer

    def close(self) -> None:
        self._received = None
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.leave(self)

    def repeat(self) -> bool:
        """Send it on a new stream, if this was not done before."""
        if self._again or self._received is None:
            return False
        self._again = True
        self._pool.counts.repeated += 1
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.leave(self)
        self._pool.take(self)
        return True

    def reply(self, data: bytes) -> None:
        """Its reply has come."""
        self.stream = None
        if self._received is not None:
            self._received(data, self._destination)

    def fail(self, reason: str) -> None:
        """There will be no reply. Told a little later: whoever sends a query is not told of its end meanwhile."""
        self.stream = None
        self._pool.machine.reactor.callLater(0, self._fail, reason)

    def _fail(self, reason: str) -> None:
        if self._received is not None:
            self._received = None
            self._lost(reason)


class _Stream:
    """The role of one connection, from before it is up."""

    def __init__(self, pool: StreamPool, server: Server) -> None:
        self.pool = pool
        self.server = server
        self.answered = 0
        self.told: Callable[[bool], None] | None = None
        """Waits to hear whether it comes up."""
        self._queries: dict[int, PooledUpstream | None] = {}
        """By the id on this stream; None: nobody waits for the reply any more, but it may come."""
        self._waiting = 0
        self._driver: StreamDriver | None = None
        self._connecting: Deferred[StreamDriver] | None = None
        self._retired = self._gone = False
        self._idle = pool.limits.idle
        self._heard = float("-inf")
        self._timer: IDelayedCall | None = None

    # What the pool asks and wants

    @property
    def has_room(self) -> bool:
        return not self._retired and len(self._queries) < self.pool.limits.pipeline

    @property
    def rests(self) -> bool:
        return self._waiting == 0

    def begin(self) -> None:
        """Connect, unless that was done."""
        if self._connecting is not None or self._gone:
            return
        pool, server = self.pool, self.server
        self._connecting = connect_stream(
            pool.machine, server.address, server.port, "dns", ClientStream(), self, pool.traffic,
            tls_name=server.name, alpn=ALPN, encrypted=server.encrypted,
        )  # fmt: skip
        self._connecting.addCallbacks(self._connected, self._failed)

    def add(self, query: PooledUpstream) -> None:
        """Another query; it is sent when the connection is up."""
        identity = self.pool.machine.rng.getrandbits(16)
        while identity in self._queries:
            identity = (identity + 1) & 0xFFFF
        self._queries[identity] = query
        self._waiting += 1
        query.stream = self
        query.sent = self.pool.machine.reactor.seconds()
        self._stop_timer()
        if self._driver is not None:
            self._send(identity, query)

    def leave(self, query: PooledUpstream) -> None:
        """The query is not wanted any more. A stream that said nothing since it was sent takes no others."""
        for identity, waiting in self._queries.items():
            if waiting is query:
                self._queries[identity] = None
                self._waiting -= 1
                self._retired = self._retired or self.mute_since(query.sent)
                self._rest()
                return

    def mute_since(self, when: float) -> bool:
        """Whether it is up and gave no message since."""
        return self._driver is not None and self._heard < when

    def close(self) -> None:
        """End it now."""
        self._gone = True
        self._stop_timer()
        self.pool.forget(self)
        if self._driver is not None:
            self._driver.close()
        elif self._connecting is not None:
            self._connecting.cancel()

    # Role

    def handle(self, event: Event, connection: Connection) -> None:
        if not isinstance(event, ReplyReceived):
            return
        data = event.data
        identity = int.from_bytes(data[:2], "big")
        if identity not in self._queries:
            return
        query = self._queries.pop(identity)
        self._heard = self.pool.machine.reactor.seconds()
        self.answered += 1
        told = kept_for(data)
        if told is not None:
            self._idle = min(self.pool.limits.idle, told)
            self._retired = self._retired or told == 0
        if query is not None:
            self._waiting -= 1
            query.reply(query.data[:2] + data[2:])
        self._rest()

    def lost(self, reason: str) -> None:
        self._end(f"the connection was {reason}" if reason in ("closed", "reset", "aborted") else reason)

    # Inside

    def _connected(self, driver: StreamDriver) -> None:
        self._driver = driver
        if self._gone:
            driver.close()
            return
        if driver.peer.security is not None:
            self.pool.secured()
        self._tell(True)
        for identity, query in self._queries.items():
            if query is not None:
                self._send(identity, query)
        self._rest()

    def _send(self, identity: int, query: PooledUpstream) -> None:
        if self._driver is not None:
            octets = query_on_stream(query.data, self.server.secure)
            self._driver.send(SendQuery(identity.to_bytes(2, "big") + octets[2:]))

    def _failed(self, failure: Failure) -> None:
        self._end(failure.getErrorMessage())

    def _end(self, reason: str) -> None:
        """The connection is gone, or did not come up. Servers may close one whenever they like (RFC 7766 §6.2.4)."""
        if self._gone:
            return
        self._gone = self._retired = True
        self._tell(False)
        self._stop_timer()
        self.pool.forget(self)
        for query in tuple(self._queries.values()):
            if query is not None and not (self.answered and query.repeat()):
                query.fail(reason)

    def _tell(self, success: bool) -> None:
        told, self.told = self.told, None
        if told is not None:
            told(success)

    def _rest(self) -> None:
        """Without queries it is kept for a while."""
        if self._waiting or self._gone:
            return
        self._stop_timer()
        if self._retired:
            self.close()
        else:
            self._timer = self.pool.machine.reactor.callLater(self._idle, self.close)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
