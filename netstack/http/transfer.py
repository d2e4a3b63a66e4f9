"""One exchange in pieces: the request as it comes, the response as it comes, and the times that they may take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall

from netstack.http.events import EndRequest, HoldBody, SendBody, SendRequest, StartRequest
from netstack.http.faults import ErrorType
from netstack.http.links import FetchError, Link
from netstack.http.metrics import Fetches
from netstack.http.places import Place
from netstack.http.wire import Response
from netstack.sansio import LocalProtocolError
from netstack.sansio.bounds import all_positive

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110 §9.2.2."""


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """Bounds of all connections together. Times in seconds."""

    per_host: int = 64
    """Connections to one scheme, host and port; more requests wait."""
    connections: int = 1000
    """To all of them."""
    idle_per_host: int = 16
    """Kept without a request in hand, for one scheme, host and port."""
    idle: int = 256
    """And for all: the one that is idle for longest is closed."""
    idle_seconds: float = 30.0
    """A connection without requests is kept."""
    queue: int = 1000
    """Requests without a connection, be it that theirs is on its way: connection_limit_reached."""
    queue_seconds: float = 15.0
    """For a request to get a connection: connection_limit_reached."""
    head_seconds: float = 60.0
    """From the end of a request to the head of its response: http_response_timeout."""
    read_seconds: float = 60.0
    """For the next octets of a response: connection_read_timeout."""
    write_seconds: float = 60.0
    """For an origin to take what waits of a request: connection_write_timeout."""
    exchange_seconds: float = 3600.0
    """For a request and its response, however fast they go on: http_response_timeout."""
    window: int = 256 * 1024
    """Octets of one response of HTTP/2 that may be on their way, and come although it is paused."""

    def __post_init__(self) -> None:
        all_positive(self, ("idle", "idle_per_host"))


class Receiver(Protocol):
    """Who asked. Nothing is called before `open` has returned; after `end` or `failed` nothing more is."""

    def interim(self, response: Response) -> None:
        """A 1xx response (RFC 9110 §15.2)."""

    def head(self, response: Response) -> None:
        """The final response has begun, maybe before the request was all sent."""

    def data(self, data: bytes) -> None:
        """Some of its content."""

    def end(self, trailers: Sequence[tuple[str, str]]) -> None:
        """It is complete. What is missing of the request will not be sent."""

    def failed(self, error: FetchError) -> None:
        """There is no response, or after `head` none that is complete."""

    def writable(self) -> None:
        """The request's body may go on."""


class Pool(Protocol):
    """What a transfer wants of the connections' keeper."""

    limits: UpstreamLimits
    counts: Fetches
    seconds: Callable[[], float]

    def later(self, call: Callable[[], None]) -> None:
        """In the next turn."""

    def at(self, due: float, call: Callable[[], None]) -> IDelayedCall:
        """At a time."""

    def again(self, transfer: "Transfer") -> None:
        """A request whose connection was lost before anything came of it, on a new one."""

    def withdraw(self, transfer: "Transfer") -> None:
        """It waits no more."""


class Transfer:
    """One exchange under way."""

    __slots__ = (
        "_body_open", "_due", "_given", "_head", "_kind", "_last", "_number", "_opening", "_paused", "_pending",
        "_pending_end", "_pool", "_receiver", "_timer", "done", "first_octet", "fresh", "heard", "link", "method",
        "place", "request", "reused", "started", "tries",
    )  # fmt: skip

    def __init__(
        self, pool: Pool, place: Place, request: SendRequest | StartRequest, receiver: Receiver, now: float
    ) -> None:
        """`opened` is called when whoever asked has it."""
        self._pool, self._receiver = pool, receiver
        self.place, self.request = place, request
        self.method = request.method
        self.link: Link | None = None
        self.started = now
        """When the last try began."""
        self.first_octet = 0.0
        """When the head of the response had come."""
        self.reused = self.fresh = False
        """Its connection had served a request before; it must not have."""
        self.heard = False
        """Something came of the response."""
        self.done = False
        self._opening = True
        self.tries = 0
        self._number = 0
        self._body_open = isinstance(request, StartRequest)
        self._given = False
        """Some of the body has gone to a connection, or was dropped: the request cannot be repeated."""
        self._pending: list[bytes] = []
        """Of the body, until there is a connection."""
        self._pending_end: EndRequest | None = None
        self._head = self._paused = False
        self._due, self._kind = inf, ErrorType.HTTP_RESPONSE_TIMEOUT
        self._last = now + pool.limits.exchange_seconds
        self._timer: IDelayedCall | None = None

    # What the receiver calls

    @property
    def writable(self) -> bool:
        """Whether the request's body may go on; if not, the receiver's `writable` is called when it may."""
        return self._body_open and not self.done and self.link is not None and self.link.has_room(self._number)

    def send(self, data: bytes) -> None:
        """Some of the request's body. What comes while there is no connection yet waits here."""
        if self.done or not self._body_open or not data:
            return
        if self.link is None:
            self._pending.append(data)
        else:
            self._give(SendBody(data), len(data))

    def end(self, trailers: Sequence[tuple[str, str]] = ()) -> None:
        """The request's body is complete."""
        if self.done or not self._body_open:
            return
        if self.link is None:
            self._pending_end = EndRequest(trailers)
        else:
            self._give(EndRequest(trailers))
            self._await()

    def pause(self) -> None:
        """Let the response's content wait at the origin; some that is on its way may still come."""
        if not self._paused and not self.done:
            self._paused = True
            if self.link is not None:
                self.link.send(self._number, HoldBody(True))
            self._await()

    def resume(self) -> None:
        """It may go on."""
        if self._paused and not self.done:
            self._paused = False
            if self.link is not None:
                self.link.send(self._number, HoldBody(False))
            if not self.done:
                self._await()

    def abort(self) -> None:
        """Nobody wants the response any more. Nothing is called after this."""
        if self.done:
            return
        self._finish()
        if self.link is None:
            self._pool.withdraw(self)
        else:
            self.link.give_up(self._number)

    # What the pool calls

    def begin(self, link: Link) -> None:
        """There is a connection, which takes the request."""
        self.link, self.reused = link, link.used
        self.tries += 1
        try:
            self._number = link.start(self.request, self)
            for each in self._pending:
                self._given = True
                link.send(self._number, SendBody(each), len(each))
            if self._pending_end is not None:
                self._given = True
                self._body_open = False
                link.send(self._number, self._pending_end)
        except LocalProtocolError as error:
            self._refuse(error)
            return
        self._pending.clear()
        if self._paused:
            link.send(self._number, HoldBody(True))
        self._await()
        if self._body_open:
            self.room()

    def wait(self, due: float) -> None:
        """There is no connection before then at the latest."""
        self.link = None
        self._set(due, ErrorType.CONNECTION_LIMIT_REACHED)

    def opened(self) -> None:
        """The receiver can be told something from now on."""
        self._opening = False

    # What the connection calls

    def interim(self, response: Response) -> None:
        self.heard = True
        self._receiver.interim(response)

    def head(self, response: Response) -> None:
        self.heard = self._head = True
        self.first_octet = self._pool.seconds()
        self._await()
        self._receiver.head(response)

    def data(self, data: bytes) -> None:
        if not self._paused:
            self._due = self._pool.seconds() + self._pool.limits.read_seconds
        self._receiver.data(data)

    def complete(self, trailers: Sequence[tuple[str, str]]) -> None:
        self._finish()
        self._receiver.end(trailers)

    def room(self) -> None:
        if not self.writable:
            return
        self._await()
        if self._opening:
            self._pool.later(self._tell_room)
        else:
            self._receiver.writable()

    def fail(self, error: FetchError) -> None:
        if self.done:
            return
        own = FetchError(str(error), error.kind, error.rcode)
        own.repeatable, own.heard = error.repeatable, self.heard
        if self.heard and own.kind is ErrorType.CONNECTION_TERMINATED:
            own.kind = ErrorType.HTTP_RESPONSE_INCOMPLETE
        # RFC 9110 §9.2.2, RFC 9112 §9.3.1: the server may have closed while we sent; only what is safe to repeat is.
        again = error.repeatable or (self.reused and self.method in IDEMPOTENT)
        if again and not (self.heard or self._given) and self.tries < 2 and self.link is not None:
            # who refuses a request says that the connection is good, unless he closes it
            self.fresh = not (error.repeatable and self.link.reusable)
            self._pool.again(self)
            return
        self._finish()
        self._pool.counts.failed(own.kind)
        if self._opening:
            self._pool.later(partial(self._receiver.failed, own))
        else:
            self._receiver.failed(own)

    # Inside

    def _tell_room(self) -> None:
        if self.writable:
            self._receiver.writable()

    def _give(self, command: SendBody | EndRequest, octets: int = 0) -> None:
        assert self.link is not None  # noqa: S101  the callers looked
        self._given = True
        if isinstance(command, EndRequest):
            self._body_open = False
        try:
            self.link.send(self._number, command, octets)
        except LocalProtocolError as error:
            self._refuse(error)
            return
        if octets and not self.writable and not self._head:
            self._await()

    def _refuse(self, error: LocalProtocolError) -> None:
        """What was asked for cannot be sent."""
        self._given = True
        if self.link is not None:
            self.link.give_up(self._number)
        self.fail(FetchError(str(error), ErrorType.HTTP_REQUEST_ERROR))

    def _await(self) -> None:
        """Set the time for what comes next."""
        limits, now = self._pool.limits, self._pool.seconds()
        if self._paused and self._head:
            self._set(inf, ErrorType.CONNECTION_READ_TIMEOUT)
        elif self._head:
            self._set(now + limits.read_seconds, ErrorType.CONNECTION_READ_TIMEOUT)
        elif not self._body_open:
            self._set(now + limits.head_seconds, ErrorType.HTTP_RESPONSE_TIMEOUT)
        elif self.writable:
            self._set(inf, ErrorType.CONNECTION_WRITE_TIMEOUT)
        else:
            self._set(now + limits.write_seconds, ErrorType.CONNECTION_WRITE_TIMEOUT)

    def _set(self, due: float, kind: ErrorType) -> None:
        """A timer that is too early sets itself anew: cheaper than moving it."""
        self._due, self._kind = due, kind
        due = min(due, self._last)
        if self._timer is not None:
            if self._timer.getTime() <= due:
                return
            self._timer.cancel()
        self._timer = self._pool.at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        due = min(self._due, self._last)
        if self._pool.seconds() < due:
            self._timer = self._pool.at(due, self._on_timer)
            return
        kind = self._kind if self._due <= self._last else ErrorType.HTTP_RESPONSE_TIMEOUT
        link, self._given = self.link, True
        if link is None:
            self._pool.withdraw(self)
        else:
            link.give_up(self._number)
        self.fail(FetchError(_LATE[kind], kind))

    def _finish(self) -> None:
        self.done = True
        self._pending.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_LATE = {
    ErrorType.CONNECTION_LIMIT_REACHED: "no connection was free in time",
    ErrorType.CONNECTION_READ_TIMEOUT: "the response stopped in the middle",
    ErrorType.CONNECTION_WRITE_TIMEOUT: "the server does not take the request's body",
    ErrorType.HTTP_RESPONSE_TIMEOUT: "there was no complete response in time",
}
