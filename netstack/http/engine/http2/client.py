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
    Connected,
    InterimReceived,
    OnStream,
    ResetStream,
    ResponseEnded,
    ResponseReceived,
    SendRequest,
    StreamReset,
    ToStream,
)
from netstack.http.limits import HTTPLimits
from netstack.http.wire import BadMessage, Response
from netstack.sansio import Close, Command, Event, FileSlice, LocalProtocolError, Now, Peer, Recorder, Timeless

CONNECTION_WINDOW = 16 * 1024 * 1024
"""Octets of all responses that may be on their way; of one it is a quarter."""
_HOP_BY_HOP = frozenset({"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "host"})


class HTTP2ClientEngine(Timeless, Recorder):
    """One connection to a server. Events: Connected, then OnStream with InterimReceived (none or more), ResponseReceived,
    BodyReceived (none or more) and ResponseEnded, or StreamReset; commands: ToStream with SendRequest or ResetStream.

    Requests have the numbers 1, 3, 5 and so on: `next_stream` is that of the next one.
    """

    def __init__(self, limits: HTTPLimits) -> None:
        self._limits = limits
        self._connection = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._methods: dict[int, str] = {}
        """Of the requests whose response has not ended."""
        self._octets: dict[int, int] = {}
        self._unsent: dict[int, memoryview] = {}
        """Bodies that wait for windows."""
        self._out: list[bytes | FileSlice] = []
        self._unread = b""
        self._closed = self._leaving = False
        self._scheme = "http"
        self.next_stream = 1
        self.fault: str | None = None
        """What the server did against the protocol, once it has."""

    @property
    def reusable(self) -> bool:
        """Whether requests may be sent on this connection, now or when others have ended."""
        return not (self._closed or self._leaving) and self.next_stream < 2**31

    @property
    def room(self) -> bool:
        """Whether the server takes another request now."""
        return self.reusable and len(self._methods) < self._connection.remote_settings.max_concurrent_streams

    def connected(self, info: Peer, now: Now) -> Iterator[Event]:
        connection = self._connection
        self._scheme = "http" if info.security is None else "https"
        connection.local_settings = type(connection.local_settings)(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: CONNECTION_WINDOW // 4,
                SettingCodes.MAX_HEADER_LIST_SIZE: self._limits.head,
            },
        )
        connection.initiate_connection()
        connection.increment_flow_control_window(CONNECTION_WINDOW - 65_535)
        self._collect()
        yield Connected(info)

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        if self._closed or not data:
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
        self._send_bodies()
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
        self.fault = f"the server broke the rules of HTTP/2: {why}"
        return BadMessage(self.fault)

    def eof(self, now: Now) -> Iterator[Event]:
        if self._closed:
            return
        self._closed = True
        if self._methods:
            self.fault = "the server closed the connection without a complete response"
            raise BadMessage(self.fault)
        yield Close()

    def send(self, command: Command, now: Now) -> None:
        if not isinstance(command, ToStream):
            raise LocalProtocolError(f"{type(command).__name__} is no command of an HTTP/2 client")
        number, inner = command.stream, command.command
        if isinstance(inner, SendRequest):
            self._request(number, inner)
        elif not isinstance(inner, ResetStream):
            raise LocalProtocolError(f"{type(inner).__name__} is no command to a stream")
        elif number in self._methods:
            self._cancel(number)
            self._collect()

    def data_to_send(self) -> list[bytes | FileSlice]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return True

    def _request(self, number: int, command: SendRequest) -> None:
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
        if command.body or command.method in ("POST", "PUT", "PATCH"):
            sent.append(("content-length", str(len(command.body))))
        try:
            self._connection.send_headers(number, sent, end_stream=not command.body)
        except (H2Error, ValueError) as error:
            raise LocalProtocolError(str(error)) from None
        self.next_stream += 2
        self._methods[number], self._octets[number] = command.method, 0
        secret = any(name in ("authorization", "proxy-authorization") for name, _ in fields)
        self._collect({number: f"{command.method} {command.target} HTTP/2.0"}, secret)
        if command.body:
            self._unsent[number] = memoryview(command.body)
            self._send_bodies()
            self._collect()

    def _collect(self, requests: Mapping[int, str] = MappingProxyType({}), secret: bool = False) -> None:
        """Take the library's output."""
        octets = self._connection.data_to_send()
        if octets:
            self._out.append(octets)
            if self.recording:
                for summary, data in requests_sent(octets, requests, secret):
                    self.record(True, summary, data)

    def _send_bodies(self) -> None:
        """As far as the server's windows go."""
        connection = self._connection
        for number, body in [*self._unsent.items()]:
            while body:
                size = min(connection.local_flow_control_window(number), connection.max_outbound_frame_size, len(body))
                if size <= 0:
                    break
                connection.send_data(number, bytes(body[:size]), end_stream=size == len(body))
                body = body[size:]
            if body:
                self._unsent[number] = body
            else:
                del self._unsent[number]

    def _told(self, event: LibraryEvent) -> Iterator[Event]:
        number: int = getattr(event, "stream_id", 0) or 0
        if isinstance(event, DataReceived):
            self._connection.acknowledge_received_data(event.flow_controlled_length or 0, number)
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
                yield OnStream(number, StreamReset(f"the body has more than {self._limits.body} octets"))
            elif data:
                yield OnStream(number, BodyReceived(data))
        elif isinstance(event, TrailersReceived):
            return
        elif isinstance(event, StreamEnded):
            self._forget(number)
            yield OnStream(number, ResponseEnded(self.reusable))
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

    def _forget(self, number: int) -> None:
        del self._methods[number], self._octets[number]
        self._unsent.pop(number, None)


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
