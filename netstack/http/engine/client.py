"""The client's side of a connection (RFC 9112 §9): requests may be pipelined, responses come in their order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from netstack.http.body import BodyReader, ChunkedReader, LengthReader, UntilCloseReader
from netstack.http.engine.record import without_credentials
from netstack.http.events import (
    BodyReceived,
    Connected,
    EndRequest,
    HoldBody,
    InterimReceived,
    ResponseEnded,
    ResponseReceived,
    SendBody,
    SendRequest,
    StartRequest,
)
from netstack.http.faults import ErrorType
from netstack.http.limits import HTTPLimits
from netstack.http.wire import (
    BadMessage,
    Response,
    bare_line_end,
    bare_line_feed,
    body_framing,
    field_block,
    parse_response,
    request_head,
)
from netstack.sansio import (
    Close,
    Command,
    Engine,
    Event,
    FileSlice,
    HandOver,
    LocalProtocolError,
    Now,
    Peer,
    Recorder,
    Timeless,
)
from netstack.sansio.record import RECORDED, Record

_KINDS = {
    (431, False): ErrorType.HTTP_RESPONSE_HEADER_SECTION_SIZE,
    (431, True): ErrorType.HTTP_RESPONSE_TRAILER_SECTION_SIZE,
    (413, False): ErrorType.HTTP_RESPONSE_BODY_SIZE,
    (413, True): ErrorType.HTTP_RESPONSE_BODY_SIZE,
    (501, False): ErrorType.HTTP_RESPONSE_TRANSFER_CODING,
}
"""By what a server would answer to such a request, and whether the body had begun."""


class ClientEngine(Timeless, Recorder):
    """One connection to a server. Events: Connected, then for each request InterimReceived (none or more),
    ResponseReceived, BodyReceived (none or more), ResponseEnded.

    A response may come, and end, before its request has: then the connection is closed (RFC 9112 §9.5). What the server
    does against the protocol is a BadMessage (RemoteProtocolError); so is an end in the middle.
    """

    duplex = True

    def __init__(self, limits: HTTPLimits, http2: Callable[[], Engine] | None = None) -> None:
        """`http2` makes the engine that takes over when the server agrees on HTTP/2."""
        self._limits = limits
        self._http2 = http2
        self._buffer = bytearray()
        self._searched = 0
        self._out: list[bytes | FileSlice] = []
        self._waiting: deque[tuple[str, bool]] = deque()
        self._response: Response | None = None
        self._body: BodyReader | None = None
        self._until_close = False
        self._closed = self._held = False
        self._interim = 0
        self._record = Record()
        self._sending = self._chunked = False
        """A request's body is being sent; in chunks."""
        self._left = 0
        """Octets that its Content-Length still promises."""
        self._summary, self._sent_record = "", Record()
        self.fault: str | None = None
        """What the server did against the protocol, once it has."""
        self.kind: ErrorType | None = None
        """Of the fault."""

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        return not (self._closed or self._sending) and (not self._waiting or self._waiting[-1][1])

    def connected(self, info: Peer, now: Now) -> Iterator[Event]:
        if info.security is not None and info.security.alpn == "h2" and self._http2 is not None:
            self._closed = True
            yield HandOver(self._http2())
            return
        yield Connected(info)

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        if self._closed:
            return
        self._buffer += data
        if self.recording:
            self._record.add(data)
        yield from self._read()

    def eof(self, now: Now) -> Iterator[Event]:
        if self._held:  # under TLS the end may come with the last octets: nobody can let them wait any more
            self._held = False
            yield from self._read()
        if self._closed:
            return
        if self._until_close:
            yield from self._complete(False)
            return
        self._closed = True
        if self._body is not None or self._buffer:
            self.fault = "the server closed the connection in the middle of a response"
            self.kind = ErrorType.HTTP_RESPONSE_INCOMPLETE
        elif self._waiting:
            self.fault = "the server closed the connection without a response"
            self.kind = ErrorType.CONNECTION_TERMINATED
        if self.fault is not None:
            raise BadMessage(self.fault)
        yield Close()

    def _read(self) -> Iterator[Event]:
        try:
            yield from self._messages_read()
        except BadMessage as error:
            self.fault = str(error)
            self.kind = _KINDS.get((error.code, self._body is not None), ErrorType.HTTP_PROTOCOL_ERROR)
            raise

    def _messages_read(self) -> Iterator[Event]:
        while not (self._closed or self._held):
            if self._body is None:
                response = self._take_head()
                if response is None:
                    return
                if response.status < 200:
                    self._interim += 1
                    if response.status == 101 or self._interim > 10:
                        raise BadMessage(f"{response.status} was not asked for")
                    yield InterimReceived(response)
                    continue
                yield from self._begin(response)
            else:
                yield from self._take_body()
                if self._body is not None:
                    return

    def send(self, command: Command, now: Now) -> None:
        if isinstance(command, SendBody):
            self._send_part(command.data)
        elif isinstance(command, SendRequest | StartRequest):
            self._request(command)
        elif isinstance(command, EndRequest):
            self._end_request(command.trailers)
        elif isinstance(command, HoldBody):
            self._held = command.held
        else:
            raise LocalProtocolError(f"{type(command).__name__} is no command of an HTTP client")

    def _request(self, command: SendRequest | StartRequest) -> None:
        if not self.reusable:
            raise LocalProtocolError("this connection takes no more requests")
        names = {name.lower() for name, _ in command.fields}
        fields = list(command.fields)
        if "content-length" in names or "transfer-encoding" in names:
            raise LocalProtocolError("the engine frames the body: leave Content-Length and Transfer-Encoding to it")
        if "host" not in names:
            raise LocalProtocolError("a request needs a Host field (RFC 9112 §3.2)")
        body = command.body if isinstance(command, SendRequest) else b""
        if isinstance(command, StartRequest):
            chunked = command.length is None
            fields.append(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(command.length)))
        elif body or command.method in ("POST", "PUT", "PATCH"):
            fields.append(("Content-Length", str(len(body))))
        octets = request_head(command.method, command.target, fields) + body
        if isinstance(command, StartRequest):
            self._sending, self._chunked, self._left = True, chunked, command.length or 0
        keeps = not any(name.lower() == "connection" and "close" in value.lower() for name, value in fields)
        self._waiting.append((command.method, keeps))
        self._out.append(octets)
        if self.recording:
            self._summary = f"{command.method} {command.target} HTTP/1.1"
            if self._sending:
                self._sent_record.add(octets)
            else:
                self._record_request(octets[:RECORDED], max(0, len(octets) - RECORDED))

    def _send_part(self, data: bytes) -> None:
        if not self._sending:
            raise LocalProtocolError("no request's body is being sent")
        if not data or self._closed:
            return
        if not self._chunked:
            if len(data) > self._left:
                raise LocalProtocolError(f"{len(data) - self._left} octets more than the Content-Length promised")
            self._left -= len(data)
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def _end_request(self, trailers: Sequence[tuple[str, str]]) -> None:
        if not self._sending:
            raise LocalProtocolError("no request's body is being sent")
        if self._left:
            raise LocalProtocolError(f"{self._left} octets of the promised Content-Length are missing")
        if self._chunked:
            self._write(b"0\r\n" + field_block(trailers) + b"\r\n")
        self._sending = False
        if self.recording and len(self._sent_record):
            self._record_request(*self._sent_record.take())

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        if self.recording:
            self._sent_record.add(data)

    def _record_request(self, octets: bytes, omitted: int) -> None:
        self.record(True, self._summary, without_credentials(octets), omitted=omitted)

    def data_to_send(self) -> list[bytes | FileSlice]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return not self._held

    def _take_head(self) -> Response | None:
        buffer = self._buffer
        if not buffer:
            return None
        if not self._waiting:
            raise BadMessage("the server sent something that was not asked for")
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0 or end + 4 > self._limits.head:
            if len(buffer) > self._limits.head:
                raise BadMessage(f"the response's head is longer than {self._limits.head} octets", 431)
            complete = len(buffer) - buffer.endswith(b"\r")
            if bare_line_end(buffer[self._searched : complete]):
                raise bare_line_feed()
            self._searched = complete
            return None
        head = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        self._searched = 0
        return parse_response(head, self._limits)

    def _begin(self, response: Response) -> Iterator[Event]:
        method, _ = self._waiting[0]
        self._response = response
        framing = body_framing(response, method)
        if framing is True:
            self._body = ChunkedReader(self._limits)
        elif framing is None:
            self._body = UntilCloseReader(self._limits.body)
            self._until_close = True
        else:
            if framing > self._limits.body:
                raise BadMessage(f"the body would have {framing} octets; {self._limits.body} are allowed", 413)
            self._body = LengthReader(framing)
        yield ResponseReceived(response, method)

    def _take_body(self) -> Iterator[Event]:
        body = self._body
        assert body is not None  # noqa: S101  the caller looked
        if not body.ended:
            data = body.read(self._buffer)
            if data:
                yield BodyReceived(data)
        if body.ended:
            yield from self._complete(True)

    def _complete(self, delimited: bool) -> Iterator[Event]:
        response, body = self._response, self._body
        assert response is not None  # noqa: S101  a body has a response
        assert body is not None  # noqa: S101
        if self.recording:
            kept, omitted = self._record.take(bytes(self._buffer))
            self.record(False, f"{response.status} {response.reason}".strip(), kept, omitted=omitted)
        _, asked = self._waiting.popleft()
        self._response = self._body = None
        self._until_close = self._held = False  # what was held has come; the next response has not been
        self._interim = 0
        reusable = delimited and asked and response.keep_alive and not self._sending
        if not reusable:
            self._closed = True
        yield ResponseEnded(reusable, body.trailers)
        if not reusable:
            yield Close()
