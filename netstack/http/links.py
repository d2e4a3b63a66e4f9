"""Connections of a client that requests share: one after another on HTTP/1, or pipelined; at once on HTTP/2."""

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from netstack.http.engine import ClientEngine
from netstack.http.engine.http2 import HTTP2ClientEngine
from netstack.http.events import (
    BodyReceived,
    OnStream,
    ResetStream,
    ResponseEnded,
    ResponseReceived,
    SendRequest,
    StreamReset,
    ToStream,
)
from netstack.http.limits import HTTPLimits
from netstack.http.wire import Response
from netstack.kernel.roles import Connection
from netstack.sansio import Engine, Event, LocalProtocolError

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class FetchError(Exception):
    """There is no response; the text says why: the URL, the name, the connection, TLS, time or the server's octets."""

    repeatable = False
    """The server did nothing about the request: any may be sent again."""
    heard = False
    """Some of a response came."""

    def about(self, url: str) -> "FetchError":
        """The same, with the URL that was fetched."""
        error = FetchError(f"{url}: {self}")
        error.repeatable, error.heard = self.repeatable, self.heard
        return error


@dataclass(eq=False)
class Exchange:
    """A request and what has come of its response."""

    reused: bool
    """The connection had served a request before."""
    method: str
    response: Response | None = None
    body: list[bytes] = field(default_factory=list)
    first_octet: float = 0.0
    ended: Deferred[None] = field(default_factory=Deferred)
    """Fires when the response has ended, fails with a FetchError when there will be none."""

    def end(self, error: FetchError | None = None) -> None:
        """There is nothing more to come."""
        if self.ended.called:
            return
        if error is None:
            self.ended.callback(None)
        else:
            own = FetchError(str(error))
            own.repeatable, own.heard = error.repeatable, self.response is not None
            self.ended.errback(own)


class Link:
    """The role of one connection."""

    def __init__(
        self,
        key: tuple[bool, str, int],
        limits: HTTPLimits,
        seconds: Callable[[], float],
        prior_knowledge: bool,
        pipelining: bool,
        forget: Callable[["Link"], None],
    ) -> None:
        """`forget` is told when the connection is gone, or takes no more requests."""
        self.key = key
        self.connection: Connection | None = None
        self.error: FetchError | None = None
        self.used = False
        self._limits = limits
        self._seconds = seconds
        self._forget = forget
        self._pipelining = pipelining
        self._http2: HTTP2ClientEngine | None = None
        self._http1 = ClientEngine(limits, self._take_over)
        self.engine: Engine = self._take_over() if prior_knowledge else self._http1
        """The connection's at first: when the server agrees on HTTP/2 another one takes over."""
        self._exchanges: dict[int, Exchange] = {}
        """By number, the oldest first."""
        self._begun = 0
        self._waiting: list[Deferred[None]] = []

    def _take_over(self) -> HTTP2ClientEngine:
        self._http2 = HTTP2ClientEngine(self._limits)
        return self._http2

    @property
    def shared(self) -> bool:
        """Whether requests need not wait for each other."""
        return self._http2 is not None or self._pipelining

    @property
    def busy(self) -> bool:
        """Whether there are requests whose response has not ended."""
        return bool(self._exchanges)

    def takes(self, method: str) -> bool:
        """Whether a request may be sent now: on HTTP/1 only what is safe follows what is safe (RFC 9112 §9.3.2)."""
        if self._http2 is not None or not self._exchanges:
            return True
        return method in SAFE and all(each.method in SAFE for each in self._exchanges.values())

    @property
    def reusable(self) -> bool:
        """Whether it takes another request, now or later."""
        return self.connection is not None and self.error is None and (self._http2 or self._http1).reusable

    async def begin(self, request: SendRequest) -> tuple[int, Exchange]:
        """Send a request, on HTTP/2 when the server has room for it; raises FetchError and LocalProtocolError."""
        engine = self._http2
        while engine is not None and self.error is None and engine.reusable and not engine.room:
            turn: Deferred[None] = Deferred()
            self._waiting.append(turn)
            await turn
        if self.error is not None:
            raise self.error
        if self.connection is None:
            raise FetchError("the connection is not up")
        exchange = Exchange(self.used, request.method)
        self.used = True
        if engine is None:
            self._begun += 1
            self._exchanges[self._begun] = exchange
            try:
                self.connection.send(request)
            except LocalProtocolError:
                self.give_up(self._begun)
                raise
            return self._begun, exchange
        if not engine.reusable:
            error = FetchError("the server closes the connection")
            error.repeatable = True
            raise error
        number = engine.next_stream
        self._exchanges[number] = exchange
        try:
            self.connection.send(ToStream(number, request))
        except LocalProtocolError:
            del self._exchanges[number]
            raise
        return number, exchange

    def give_up(self, number: int) -> None:
        """Nobody waits for a response any more."""
        self._exchanges.pop(number, None)
        if self.connection is None:
            return
        if self._http2 is None:
            self.connection.abort()
        else:
            self.connection.send(ToStream(number, ResetStream()))
            self._next()

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, OnStream):
            number, event = event.stream, event.event
        else:
            number = next(iter(self._exchanges), 0)
        exchange = self._exchanges.get(number)
        if exchange is None:
            return
        if isinstance(event, BodyReceived):
            exchange.body.append(event.data)
        elif isinstance(event, ResponseReceived):
            exchange.response = event.response
            exchange.first_octet = self._seconds()
        elif isinstance(event, ResponseEnded):
            del self._exchanges[number]
            exchange.end()
            self._next()
        elif isinstance(event, StreamReset):
            del self._exchanges[number]
            error = FetchError(event.reason)
            error.repeatable = event.repeatable
            exchange.end(error)
            self._next()

    def _next(self) -> None:
        """There is room for those who wait."""
        if self.shared and not self.reusable:
            self._forget(self)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def lost(self, reason: str) -> None:
        fault = (self._http2 or self._http1).fault
        self.error = FetchError(fault or f"the connection was lost: {reason}")
        self._forget(self)
        exchanges, self._exchanges = self._exchanges, {}
        for exchange in exchanges.values():
            exchange.end(self.error)
        self._next()
