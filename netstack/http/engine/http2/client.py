"""The client's side of an HTTP/2 connection (RFC 9113), by the library h2: many requests at once, each on its stream."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    InformationalResponseReceived,
    StreamEnded,
    TrailersReceived,
)
from h2.events import Event as LibraryEvent
from h2.events import ResponseReceived as HeadersReceived
from h2.events import StreamReset as ResetReceived
from h2.exceptions import H2Error, StreamClosedError
from h2.settings import SettingCodes

from netstack.http.engine.http2 import frames
from netstack.http.engine.http2.fields import joined
from netstack.http.engine.http2.recorded import requests_sent, response_summary
from netstack.http.events import (
    BodyReceived,
    BodyTaken,
    Connected,
    EndRequest,
    HoldBody,
    InterimReceived,
    OnStream,
    ResetStream,
    ResponseEnded,
    ResponseReceived,
    SendBody,
    SendRequest,
    StartRequest,
    StreamReset,
    ToStream,
)
from netstack.http.faults import ErrorType
from netstack.http.limits import HTTPLimits
from netstack.http.wire import BadMessage, Response
from netstack.sansio import Close, Command, Event, FileSlice, LocalProtocolError, Now, Peer, Recorder, Timeless

CONNECTION_WINDOW = 16 * 1024 * 1024
"""Octets of all responses that may be on their way."""
STREAM_WINDOW = CONNECTION_WINDOW // 4
"""Of one of them, unless another is asked for."""
_HOP_BY_HOP = frozenset({"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "host"})


class _Outgoing:
    """A request's body that waits for windows."""

    __slots__ = ("data", "ended", "trailers", "waiting")

    def __init__(self, data: bytes = b"", ended: bool = False) -> None:
        self.data = memoryview(data)
        self.ended = ended
        self.trailers: Sequence[tuple[str, str]] = ()
        self.waiting = False
        """Some of it could not be sent at once: the role is told when it has gone."""


class HTTP2ClientEngine(Timeless, Recorder):
    """One connection to a server. Events: Connected, then OnStream with InterimReceived (none or more), ResponseReceived,
    BodyReceived (none or more), BodyTaken and ResponseEnded, or StreamReset; commands: ToStream with SendRequest, or
    StartRequest, SendBody and EndRequest, with HoldBody or ResetStream.

    Requests have the numbers 1, 3, 5 and so on: `next_stream` is that of the next one.
    """

    duplex = True

    def __init__(self, limits: HTTPLimits, window: int = STREAM_WINDOW) -> None:
        """`window`: octets of one response that may be on their way, and come although it is held."""
        self._limits = limits
        self._window = window
        self._connection = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._methods: dict[int, str] = {}
        """Of the requests whose response has not ended."""
        self._octets: dict[int, int] = {}
        self._credit: dict[int, int] = {}
        """Octets taken that the server was not told of yet; it is told of those of the connection at once."""
        self._held: set[int] = set()
        self._trailers: dict[int, Sequence[tuple[str, str]]] = {}
        self._outgoing: dict[int, _Outgoing] = {}
        self._out: list[bytes | FileSlice] = []
        self._unread = b""
        self._closed = self._leaving = False
        self._scheme = "http"
        self.next_stream = 1
        self.fault: str | None = None
        """What the server did against the protocol, once it has."""
        self.kind: ErrorType | None = None
        """Of the fault."""

    @property
    def reusable(self) -> bool:
        """Whether requests may be sent on this connection, now or when others have ended."""
        return not (self._closed or self._leaving) and self.next_stream < 2**31

    @property
    def room(self) -> bool:
        """Whether the server takes another request now."""
        return self.reusable and len(self._methods) < self._connection.remote_settings.max_concurrent_streams

    def waits(self, number: int) -> bool:
        """Whether some of a request's body waits for a window; then BodyTaken will tell when it has gone."""
        outgoing = self._outgoing.get(number)
        return outgoing is not None and outgoing.waiting

    def connected(self, info: Peer, now: Now) -> Iterator[Event]:
        connection = self._connection
        self._scheme = "http" if info.security is None else "https"
        connection.local_settings = type(connection.local_settings)(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: self._window,
                SettingCodes.MAX_HEADER_LIST_SIZE: self._limits.head,
            },
        )
        connection.initiate_connection()
        connection.increment_flow_control_window(CONNECTION_WINDOW - 65_535)
        self._collect()
        yield Connected(info)

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        if self._closed:
            return
        self._unread += data
        for octets in self._frames():
            try:
                # To the library a connection is over when GOAWAY comes: what is in hand would be lost (RFC 9113 §6.8).
                found = [] if octets[3] == frames.GOAWAY else self._connection.receive_data(octets)
            except (H2Error, ValueError, IndexError) as error:
                self._collect()
                raise self._broken(str(error)) from None
            if self.recording:
                statuses = {event.stream_id or 0: _status(event) for event in found if isinstance(event, HeadersReceived)}
                self.record(False, response_summary(octets, statuses), octets)
            if octets[3] == frames.GOAWAY:
                yield from self._left(octets[frames.HEAD :])
            for event in found:
                yield from self._told(event)
        yield from self._send_bodies()
        self._collect()
        if self._leaving and not self._methods and not self._closed:
            self._closed = True
            yield Close()

    def _frames(self) -> Iterator[bytes]:
        """The complete frames that have come."""
        while len(self._unread) >= frames.HEAD:
            size = int.from_bytes(self._unread[:3], "big")
            if size > frames.FRAME:
                told = "it answers in HTTP/1" if self._unread.startswith(b"HTTP/1") else f"a frame of {size} octets"
                raise self._broken(told)
            end = frames.HEAD + size
            if len(self._unread) < end:
                return
            octets, self._unread = self._unread[:end], self._unread[end:]
            yield octets

    def _broken(self, why: str) -> BadMessage:
        self.fault, self.kind = f"the server broke the rules of HTTP/2: {why}", ErrorType.HTTP_PROTOCOL_ERROR
        return BadMessage(self.fault)

    def eof(self, now: Now) -> Iterator[Event]:
        if self._closed:
            return
        self._closed = True
        if self._methods:
            self.fault, self.kind = "the server closed the connection without a complete response", None
            raise BadMessage(self.fault)
        yield Close()

    def send(self, command: Command, now: Now) -> None:
        if not isinstance(command, ToStream):
            raise LocalProtocolError(f"{type(command).__name__} is no command of an HTTP/2 client")
        number, inner = command.stream, command.command
        if isinstance(inner, SendRequest | StartRequest):
            self._request(number, inner)
        elif not isinstance(inner, ResetStream | SendBody | EndRequest | HoldBody):
            raise LocalProtocolError(f"{type(inner).__name__} is no command to a stream")
        elif number in self._methods:
            self._carry_out(number, inner)

    def _carry_out(self, number: int, command: Command) -> None:
        """Of a stream whose response has not ended."""
        if isinstance(command, SendBody | EndRequest):
            outgoing = self._outgoing.get(number)
            if outgoing is None or outgoing.ended:
                raise LocalProtocolError("no request's body is being sent")
            if isinstance(command, SendBody):
                outgoing.data = (
                    memoryview(bytes(outgoing.data) + command.data) if outgoing.data else memoryview(command.data)
                )
            else:
                outgoing.ended, outgoing.trailers = True, command.trailers
            self._send_body(number, outgoing)
        elif isinstance(command, HoldBody):
            (self._held.add if command.held else self._held.discard)(number)
            self._open_window(number)
        else:
            self._cancel(number)
        self._collect()

    def data_to_send(self) -> list[bytes | FileSlice]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return True

    def _request(self, number: int, command: SendRequest | StartRequest) -> None:
        if not self.room:
            raise LocalProtocolError("this connection takes no more requests now")
        if number != self.next_stream:
            raise LocalProtocolError(f"the next request has the number {self.next_stream}, not {number}")
        fields = [(name.lower(), value) for name, value in command.fields]
        host = next((value for name, value in fields if name == "host"), None)
        if host is None:
            raise LocalProtocolError("a request needs a Host field (RFC 9112 §3.2)")
        special = ((":method", command.method), (":scheme", self._scheme), (":authority", host), (":path", command.target))
        sent = [*special, *[pair for pair in fields if pair[0] not in _HOP_BY_HOP]]
        outgoing = None
        if isinstance(command, StartRequest):
            outgoing = _Outgoing()
            if command.length is not None:
                sent.append(("content-length", str(command.length)))
        elif command.body or command.method in ("POST", "PUT", "PATCH"):
            sent.append(("content-length", str(len(command.body))))
            outgoing = _Outgoing(command.body, True) if command.body else None
        try:
            self._connection.send_headers(number, sent, end_stream=outgoing is None)
        except (H2Error, ValueError) as error:
            raise LocalProtocolError(str(error)) from None
        self.next_stream += 2
        self._methods[number], self._octets[number] = command.method, 0
        secret = any(name in ("authorization", "proxy-authorization") for name, _ in fields)
        self._collect({number: f"{command.method} {command.target} HTTP/2.0"}, secret)
        if outgoing is not None:
            self._outgoing[number] = outgoing
            self._send_body(number, outgoing)
            self._collect()

    def _collect(self, requests: Mapping[int, str] = MappingProxyType({}), secret: bool = False) -> None:
        """Take the library's output."""
        octets = self._connection.data_to_send()
        if octets:
            self._out.append(octets)
            if self.recording:
                for summary, data in requests_sent(octets, requests, secret):
                    self.record(True, summary, data)

    def _send_bodies(self) -> Iterator[Event]:
        """As far as the server's windows go."""
        for number, outgoing in [*self._outgoing.items()]:
            self._send_body(number, outgoing)
            if outgoing.waiting and not outgoing.data:
                outgoing.waiting = False
                yield OnStream(number, BodyTaken())

    def _send_body(self, number: int, outgoing: _Outgoing) -> None:
        connection, body = self._connection, outgoing.data
        with suppress(StreamClosedError):  # reset by what is being read
            while body:
                size = min(connection.local_flow_control_window(number), connection.max_outbound_frame_size, len(body))
                if size <= 0:
                    break
                last = size == len(body) and outgoing.ended and not outgoing.trailers
                connection.send_data(number, bytes(body[:size]), end_stream=last)
                body = body[size:]
                if last:
                    del self._outgoing[number]
                    return
            outgoing.data, outgoing.waiting = body, outgoing.waiting or len(body) > 0
            if outgoing.ended and not body:
                if outgoing.trailers:
                    trailers = [(name.lower(), value) for name, value in outgoing.trailers]
                    connection.send_headers(number, trailers, end_stream=True)
                else:
                    connection.end_stream(number)
                del self._outgoing[number]

    def _open_window(self, number: int) -> None:
        """The server may send so much more on a stream, once it is a good part of its window (RFC 9113 §6.9)."""
        credit = self._credit.get(number, 0)
        if credit >= self._window // 2 and number not in self._held:
            with suppress(StreamClosedError):
                self._connection.increment_flow_control_window(credit, number)
            self._credit[number] = 0

    def _take_credit(self, number: int, size: int) -> None:
        """Some content has come. One that is held does not keep the others waiting."""
        self._credit[0] = self._credit.get(0, 0) + size
        if self._credit[0] >= CONNECTION_WINDOW // 4:
            self._connection.increment_flow_control_window(self._credit[0])
            self._credit[0] = 0
        if number in self._methods:
            self._credit[number] = self._credit.get(number, 0) + size
            self._open_window(number)

    def _told(self, event: LibraryEvent) -> Iterator[Event]:
        number: int = getattr(event, "stream_id", 0) or 0
        if isinstance(event, DataReceived):
            self._take_credit(number, event.flow_controlled_length or 0)
        method = self._methods.get(number)
        if method is None:
            return  # of no stream, or of one that was given up
        if isinstance(event, InformationalResponseReceived):
            yield OnStream(number, InterimReceived(_response(event.headers or ())))
        elif isinstance(event, HeadersReceived):
            yield OnStream(number, ResponseReceived(_response(event.headers or ()), method))
        elif isinstance(event, DataReceived):
            data = event.data or b""
            self._octets[number] += len(data)
            if self._octets[number] > self._limits.body:
                self._cancel(number)
                reason = f"the body has more than {self._limits.body} octets"
                yield OnStream(number, StreamReset(reason, kind=ErrorType.HTTP_RESPONSE_BODY_SIZE))
            elif data:
                yield OnStream(number, BodyReceived(data))
        elif isinstance(event, TrailersReceived):
            self._trailers[number] = [
                (bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in event.headers or ()
            ]
        elif isinstance(event, StreamEnded):
            trailers = self._trailers.get(number, ())
            self._end(number)
            yield OnStream(number, ResponseEnded(self.reusable, trailers))
        elif isinstance(event, ResetReceived):
            self._forget(number)
            code = event.error_code or 0
            repeatable = code == ErrorCodes.REFUSED_STREAM  # RFC 9113 §8.7
            yield OnStream(number, StreamReset(f"the server gave the request up: {_code(code)}", repeatable))

    def _left(self, payload: bytes) -> Iterator[Event]:
        """GOAWAY: requests above its last stream were not looked at (RFC 9113 §6.8)."""
        if len(payload) < 8:
            raise self._broken("GOAWAY of less than 8 octets")
        self._leaving = True
        last = int.from_bytes(payload[:4], "big") & frames.MAX_WINDOW
        code = int.from_bytes(payload[4:8], "big")
        if code:
            self.fault = f"the server ended the connection: {_code(code)} {payload[8:].decode('utf-8', 'replace')}"
        for number in [number for number in self._methods if number > last]:
            self._forget(number)
            yield OnStream(number, StreamReset("the server closes the connection", True))

    def _cancel(self, number: int) -> None:
        self._forget(number)
        with suppress(StreamClosedError):  # its end may have come with what is being read
            self._connection.reset_stream(number, ErrorCodes.CANCEL)

    def _end(self, number: int) -> None:
        """The response is complete. If its request is not, the rest is of no use to anybody (RFC 9113 §8.1)."""
        if number in self._outgoing:
            self._cancel(number)
        else:
            self._forget(number)

    def _forget(self, number: int) -> None:
        del self._methods[number], self._octets[number]
        self._outgoing.pop(number, None)
        self._credit.pop(number, None)
        self._trailers.pop(number, None)
        self._held.discard(number)


def _code(code: int) -> str:
    return ErrorCodes(code).name if code in [*ErrorCodes] else str(code)


def _status(event: HeadersReceived) -> int:
    return next((int(value) for name, value in event.headers or () if bytes(name) == b":status"), 0)


def _response(pairs: Sequence[tuple[bytes, bytes]]) -> Response:
    status, lines = 0, []
    for name, value in pairs:
        if name == b":status":
            status = int(value)
        else:
            lines.append((name.decode("latin-1"), value.decode("latin-1")))
    return Response(status, "", 1, MappingProxyType(joined(lines)), tuple(lines), True)
