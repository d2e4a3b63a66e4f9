"""The client's side of a connection (RFC 9112 §9): requests may be pipelined, responses come in their order."""

from collections import deque
from collections.abc import Callable, Iterator

from netstack.http.body import BodyReader, ChunkedReader, LengthReader, UntilCloseReader
from netstack.http.engine.record import RECORDED, Record, without_credentials
from netstack.http.events import (
    BodyReceived,
    Connected,
    InterimReceived,
    ResponseEnded,
    ResponseReceived,
    SendRequest,
)
from netstack.http.limits import HTTPLimits
from netstack.http.wire import (
    BadMessage,
    Response,
    bare_line_end,
    bare_line_feed,
    body_framing,
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


class ClientEngine(Timeless, Recorder):
    """One connection to a server. Events: Connected, then for each request InterimReceived (none or more),
    ResponseReceived, BodyReceived (none or more), ResponseEnded.

    What the server does against the protocol is a BadMessage (RemoteProtocolError); so is an end in the middle.
    """

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
        self._closed = False
        self._interim = 0
        self._record = Record()
        self.fault: str | None = None
        """What the server did against the protocol, once it has."""

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        return not self._closed and (not self._waiting or self._waiting[-1][1])

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
        try:
            yield from self._read()
        except BadMessage as error:
            self.fault = str(error)
            raise

    def eof(self, now: Now) -> Iterator[Event]:
        if self._closed:
            return
        if self._until_close:
            yield from self._complete(False)
            return
        self._closed = True
        if self._body is not None or self._buffer:
            self.fault = "the server closed the connection in the middle of a response"
        elif self._waiting:
            self.fault = "the server closed the connection without a response"
        if self.fault is not None:
            raise BadMessage(self.fault)
        yield Close()

    def _read(self) -> Iterator[Event]:
        while not self._closed:
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
        if not isinstance(command, SendRequest):
            raise LocalProtocolError(f"{type(command).__name__} is no command of an HTTP client")
        if not self.reusable:
            raise LocalProtocolError("this connection takes no more requests")
        names = {name.lower() for name, _ in command.fields}
        fields = list(command.fields)
        if "content-length" in names or "transfer-encoding" in names:
            raise LocalProtocolError("the engine frames the body: leave Content-Length and Transfer-Encoding to it")
        if "host" not in names:
            raise LocalProtocolError("a request needs a Host field (RFC 9112 §3.2)")
        if command.body or command.method in ("POST", "PUT", "PATCH"):
            fields.append(("Content-Length", str(len(command.body))))
        octets = request_head(command.method, command.target, fields) + command.body
        keeps = not any(name.lower() == "connection" and "close" in value.lower() for name, value in fields)
        self._waiting.append((command.method, keeps))
        self._out.append(octets)
        if self.recording:
            omitted = max(0, len(octets) - RECORDED)
            kept = without_credentials(octets[:RECORDED])
            self.record(True, f"{command.method} {command.target} HTTP/1.1", kept, omitted=omitted)

    def data_to_send(self) -> list[bytes | FileSlice]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return True

    def _take_head(self) -> Response | None:
        buffer = self._buffer
        if not buffer:
            return None
        if not self._waiting:
            raise BadMessage("the server sent something that was not asked for")
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0 or end + 4 > self._limits.head:
            if len(buffer) > self._limits.head:
                raise BadMessage(f"the response's head is longer than {self._limits.head} octets")
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
                raise BadMessage(f"the body would have {framing} octets; {self._limits.body} are allowed")
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
        self._until_close = False
        self._interim = 0
        reusable = delimited and asked and response.keep_alive
        if not reusable:
            self._closed = True
        yield ResponseEnded(reusable, body.trailers)
        if not reusable:
            yield Close()
