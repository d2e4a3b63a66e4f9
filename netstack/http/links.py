"""Connections of a client that requests share: one after another on HTTP/1, or pipelined; at once on HTTP/2."""

from collections.abc import Sequence
from typing import Protocol

from netstack.http.engine import ClientEngine
from netstack.http.engine.http2 import HTTP2ClientEngine
from netstack.http.events import (
    BodyReceived,
    BodyTaken,
    InterimReceived,
    OnStream,
    ResetStream,
    ResponseEnded,
    ResponseReceived,
    SendRequest,
    StartRequest,
    StreamReset,
    ToStream,
)
from netstack.http.faults import ErrorType
from netstack.http.limits import HTTPLimits
from netstack.http.places import Place
from netstack.http.wire import Response
from netstack.kernel.roles import Connection
from netstack.sansio import Command, Engine, Event

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HIGH = 64 * 1024
"""Octets of a request's body that wait for a window of HTTP/2; then its sender is asked to pause."""


class FetchError(Exception):
    """There is no response; the text says why: the URL, the name, the connection, TLS, time or the server's octets."""

    repeatable = False
    """The server did nothing about the request: any may be sent again."""
    heard = False
    """Some of a response came."""

    def __init__(self, message: str, kind: ErrorType = ErrorType.HTTP_PROTOCOL_ERROR, rcode: str | None = None) -> None:
        """`rcode`: what the DNS said, where that is the reason (RFC 9209 §2.3.2)."""
        super().__init__(message)
        self.kind = kind
        self.rcode = rcode

    def about(self, url: str) -> "FetchError":
        """The same, with the URL that was fetched."""
        error = FetchError(f"{url}: {self}", self.kind, self.rcode)
        error.repeatable, error.heard = self.repeatable, self.heard
        return error


class Exchange(Protocol):
    """What is told of a request that is under way. After `complete` and `fail` nothing more."""

    def interim(self, response: Response) -> None: ...

    def head(self, response: Response) -> None: ...

    def data(self, data: bytes) -> None: ...

    def complete(self, trailers: Sequence[tuple[str, str]]) -> None: ...

    def fail(self, error: FetchError) -> None: ...

    def room(self) -> None:
        """The request's body may go on."""


class Owner(Protocol):
    """Who keeps connections."""

    def freed(self, link: "Link") -> None:
        """A response has ended: there may be room for another request."""

    def gone(self, link: "Link") -> None:
        """The connection is lost."""


class Link:
    """The role of one connection."""

    def __init__(
        self, place: Place, limits: HTTPLimits, prior_knowledge: bool, pipelining: bool, window: int, owner: Owner
    ) -> None:
        """`window`: as of HTTP2ClientEngine."""
        self.place = place
        self.connection: Connection | None = None
        self.error: FetchError | None = None
        self.used = False
        self.resolved: float | None = None
        """When the addresses were known, the TCP connection was up, and with it TLS: monotonic seconds."""
        self.opened = self.up = 0.0
        self._limits, self._owner = limits, owner
        self._pipelining, self._window = pipelining, window
        self._http2: HTTP2ClientEngine | None = None
        self._http1 = ClientEngine(limits, self._take_over)
        self.engine: Engine = self._take_over() if prior_knowledge else self._http1
        """The connection's at first: when the server agrees on HTTP/2 another one takes over."""
        self._exchanges: dict[int, Exchange] = {}
        """By number, the oldest first."""
        self._safe = True
        """All of them are of safe methods."""
        self._begun = 0
        self._unsent: dict[int, int] = {}
        """Octets of bodies that wait for windows."""

    def _take_over(self) -> HTTP2ClientEngine:
        self._http2 = HTTP2ClientEngine(self._limits, self._window)
        return self._http2

    @property
    def shared(self) -> bool:
        """Whether requests need not wait for each other."""
        return self._http2 is not None or self._pipelining

    @property
    def busy(self) -> bool:
        """Whether there are requests whose response has not ended."""
        return bool(self._exchanges)

    @property
    def reusable(self) -> bool:
        """Whether it takes another request, now or later."""
        engine = self._http2 or self._http1
        return self.connection is not None and self.error is None and engine.fault is None and engine.reusable

    def suits(self, method: str) -> bool:
        """Whether it takes such a request, now or when the server has room for it."""
        if not self.reusable:
            return False
        if self._http2 is not None or not self._exchanges:
            return True
        return self._pipelining and self._safe and method in SAFE  # RFC 9112 §9.3.2

    def takes(self, method: str) -> bool:
        """Whether such a request may be sent now."""
        return self.suits(method) and (self._http2 is None or self._http2.room)

    def start(self, request: SendRequest | StartRequest, exchange: Exchange) -> int:
        """Send a request, when it `takes` its method; its number. Raises LocalProtocolError."""
        assert self.connection is not None  # noqa: S101  it takes requests
        if self._http2 is None:
            self.connection.send(request)
            self._begun += 1
            number = self._begun
            self._safe = request.method in SAFE and (self._safe or not self._exchanges)
        else:
            number = self._http2.next_stream
            self.connection.send(ToStream(number, request))
        self.used = True
        self._exchanges[number] = exchange
        return number

    def send(self, number: int, command: Command, octets: int = 0) -> None:
        """More of a request, or about its response; raises LocalProtocolError. `octets`: of a body."""
        if self.connection is None or number not in self._exchanges:
            return
        if self._http2 is None:
            self.connection.send(command)
        else:
            if octets:
                self._unsent[number] = self._unsent.get(number, 0) + octets
            self.connection.send(ToStream(number, command))
            if octets and not self._http2.waits(number):
                del self._unsent[number]

    def has_room(self, number: int) -> bool:
        """Whether more of a request's body may be sent."""
        return self.connection is not None and self.connection.writable and self._unsent.get(number, 0) < HIGH

    def give_up(self, number: int) -> None:
        """Nobody waits for a response any more."""
        if self._exchanges.pop(number, None) is None or self.connection is None:
            return
        self._unsent.pop(number, None)
        if self._http2 is None:
            self.connection.abort()
        else:
            self.connection.send(ToStream(number, ResetStream()))
            self._owner.freed(self)

    # What the driver calls

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, OnStream):
            number, event = event.stream, event.event
        else:
            number = next(iter(self._exchanges), 0)
        exchange = self._exchanges.get(number)
        if exchange is None:
            return
        if isinstance(event, BodyReceived):
            exchange.data(event.data)
        elif isinstance(event, ResponseReceived):
            exchange.head(event.response)
        elif isinstance(event, InterimReceived):
            exchange.interim(event.response)
        elif isinstance(event, ResponseEnded):
            self._end(number)
            exchange.complete(event.trailers)
        elif isinstance(event, BodyTaken):
            self._unsent.pop(number, None)
            exchange.room()
        elif isinstance(event, StreamReset):
            self._end(number)
            error = FetchError(event.reason, event.kind or ErrorType.CONNECTION_TERMINATED)
            error.repeatable = event.repeatable
            exchange.fail(error)

    def _end(self, number: int) -> None:
        del self._exchanges[number]
        self._unsent.pop(number, None)
        self._owner.freed(self)

    def writable(self, connection: Connection) -> None:
        """The transport takes more."""
        for exchange in tuple(self._exchanges.values()):
            exchange.room()

    def lost(self, reason: str) -> None:
        engine = self._http2 or self._http1
        kind = engine.kind or ErrorType.CONNECTION_TERMINATED
        self.error = FetchError(engine.fault or f"the connection was lost: {reason}", kind)
        exchanges, self._exchanges = self._exchanges, {}
        self._owner.gone(self)
        for exchange in exchanges.values():
            exchange.fail(self.error)
