"""What happens on an HTTP connection, and what roles ask of it (RFC 9110 §6, §15)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netstack.http.faults import ErrorType
from netstack.http.wire import Request, Response
from netstack.sansio import Command, Event, FileSlice, Peer

# Events of the server's engine


@dataclass(slots=True, eq=False)
class RequestReceived(Event):
    """A request's head has come. Equal heads may share one object: a role changes nothing of it but `ready`."""

    request: Request
    again: bool = False
    """An equal head came before: it may be worth while to have the answer ready."""
    ready: "Ready | None" = None
    """What the role would answer for some time, whoever asks: the engine then sends it without asking (the hot path)."""


@dataclass(frozen=True, slots=True, eq=False)
class BodyReceived(Event):
    """Some of the content of the message in hand, of either side."""

    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class RequestEnded(Event):
    """The body of the request in hand is complete; comes only after a request that has one."""

    trailers: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RequestRefused(Event):
    """What came is no request that can be served. The role answers at once; then the connection is closed."""

    status: int
    reason: str
    start: str
    """The first line, as far as it can be read."""


@dataclass(frozen=True, slots=True, eq=False)
class OnStream(Event):
    """One of the events of this file, of one stream of an HTTP/2 connection (RFC 9113 §5)."""

    stream: int
    event: Event


@dataclass(frozen=True, slots=True, eq=False)
class StreamReset(Event):
    """Nothing more comes of a stream, and nothing can be sent on it (RFC 9113 §5.4.2)."""

    reason: str
    repeatable: bool = False
    """The server did nothing about the request: any may be sent again (RFC 9113 §8.7)."""
    kind: ErrorType | None = None
    """Where the reason is known."""


@dataclass(frozen=True, slots=True, eq=False)
class BodyTaken(Event):
    """All that was given by SendBody has gone out."""


# Commands to either side's engine


@dataclass(frozen=True, slots=True, eq=False)
class SendBody(Command):
    """More of the body of the message in hand."""

    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class HoldBody(Command):
    """Read no more of the body that comes for now, or go on: what it goes to takes no more, and its sender is slowed down.
    What is on its way may still come: what was read of a connection, the window of a stream."""

    held: bool


# Commands to the server's engine


UNKNOWN = -1


@dataclass(frozen=True, slots=True, eq=False)
class Respond(Command):
    """A whole response. `fields` are ready octets, each line with its CRLF, without Date, Server, Connection and
    Content-Length, which the engine adds."""

    status: int
    fields: bytes
    body: bytes | FileSlice | tuple[bytes | FileSlice, ...] = b""
    """In one piece or in several."""
    length: int | None = None
    """The Content-Length of an answer to HEAD whose body is not given; UNKNOWN: it is not sent (RFC 9110 §8.6)."""
    close: bool = False


@dataclass(slots=True, eq=False)
class Ready:
    """A whole answer to a request without a body whose connection goes on. It is the same as Respond would send."""

    until: float
    """Monotonic seconds; 0.0 when it does not hold any more."""
    answer: Respond
    sent: Callable[[Peer, float], None]
    """Told each time that it was sent, with the wall time, exact to the second: counts and logs."""
    content: bytes = b""
    """What is sent of the answer's body: nothing for HEAD."""
    lines: Callable[[float], bytes | None] | None = None
    """Field lines that change from second to second (Age), for a time of the wall clock; None: the answer holds no more."""
    second: int = -1
    """The engine's, and what follows too: for which second of the wall clock it has the head and all of it."""
    wall: float = 0.0
    """A time in that second."""
    fresh: float = 0.0
    """Monotonic seconds: when that second ends."""
    head: bytes = b""
    """The head up to what depends on the connection."""
    whole: bytes = b""
    """All that is sent; empty where it depends on the connection."""

    def renewed(self, wall: float) -> bytes | None:
        """The lines of another second, which it is now for; None when the answer holds no more."""
        lines = b"" if self.lines is None else self.lines(wall)
        if lines is None:
            self.until = 0.0
        else:
            self.second, self.wall = int(wall), wall
        return lines


@dataclass(frozen=True, slots=True, eq=False)
class Continue(Command):
    """100 Continue: the role wants the body (RFC 9110 §10.1.1). Without an effect when the client did not ask."""


@dataclass(frozen=True, slots=True, eq=False)
class StartResponse(Command):
    """The head of a response whose body follows by SendBody; chunked for HTTP/1.1 when `length` is None.

    With a status of success to CONNECT it begins a tunnel (RFC 9110 §9.3.6): BodyReceived and RequestEnded are what
    comes from the client, SendBody and EndResponse what goes to it, each direction with its own end."""

    status: int
    fields: bytes
    length: int | None = None
    close: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class EndResponse(Command):
    """The body is complete. `trailers` are ready lines; they go where the framing has a place for them (RFC 9110 §6.5.1).

    In a tunnel: there is nothing more to come from the other side."""

    trailers: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class Interim(Command):
    """A 1xx response other than 101 (RFC 9110 §15.2), before the final one; `fields` are ready lines. Without an effect
    where the client's version has none."""

    status: int
    fields: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class Drain(Command):
    """Finish the requests in hand, then close."""


@dataclass(frozen=True, slots=True, eq=False)
class ToStream(Command):
    """One of the commands of this file, to one stream of an HTTP/2 connection; without an effect once it is gone."""

    stream: int
    command: Command


@dataclass(frozen=True, slots=True, eq=False)
class ResetStream(Command):
    """Give up a stream whose response cannot be completed."""


# Events of the client's engine


@dataclass(frozen=True, slots=True, eq=False)
class Connected(Event):
    """The connection is up, its TLS handshake done."""

    peer: Peer


@dataclass(frozen=True, slots=True, eq=False)
class InterimReceived(Event):
    """A 1xx response (RFC 9110 §15.2)."""

    response: Response


@dataclass(frozen=True, slots=True, eq=False)
class ResponseReceived(Event):
    """The head of the final response to the oldest request without one."""

    response: Response
    method: str


@dataclass(frozen=True, slots=True, eq=False)
class ResponseEnded(Event):
    """The response is complete. `reusable`: the connection takes another request."""

    reusable: bool
    trailers: Sequence[tuple[str, str]] = ()


# Commands to the client's engine


@dataclass(frozen=True, slots=True, eq=False)
class SendRequest(Command):
    """A whole request. `fields` include Host; the engine adds Content-Length. More than one may be on its way."""

    method: str
    target: str
    fields: Sequence[tuple[str, str]]
    body: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class StartRequest(Command):
    """The head of a request whose body follows by SendBody, until EndRequest. Of `length` octets; None: nobody knows yet,
    and it goes in chunks where the version has them."""

    method: str
    target: str
    fields: Sequence[tuple[str, str]]
    length: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EndRequest(Command):
    """The request's body is complete. Trailers go where the framing has a place for them (RFC 9110 §6.5.1)."""

    trailers: Sequence[tuple[str, str]] = ()
