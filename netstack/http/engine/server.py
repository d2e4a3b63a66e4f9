"""The server's side of a connection (RFC 9112 §9): one request in hand at a time, pipelined ones wait in the buffer."""

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum

from netstack.http.body import BodyReader, ChunkedReader, LengthReader
from netstack.http.engine.heads import Heads
from netstack.http.engine.record import without_credentials
from netstack.http.engine.tunnel import TunnelEngine
from netstack.http.events import (
    UNKNOWN,
    BodyReceived,
    Continue,
    Drain,
    EndResponse,
    HoldBody,
    Interim,
    Ready,
    RequestEnded,
    RequestReceived,
    RequestRefused,
    Respond,
    SendBody,
    StartResponse,
)
from netstack.http.wire import (
    REQUEST_LINE_REST,
    BadMessage,
    Request,
    bare_line_end,
    bare_line_feed,
    request_line,
    status_line,
)
from netstack.sansio import (
    Close,
    Command,
    Event,
    FileSlice,
    HandOver,
    LocalProtocolError,
    Now,
    Peer,
    Recorder,
    Transitions,
)
from netstack.sansio.record import RECORDED, Record


class Receiving(IntEnum):
    """What of the request in hand has come."""

    HEAD = 0
    BODY = 1
    ENDED = 2


class Sending(IntEnum):
    """What of its response has been sent."""

    IDLE = 0
    OWED = 1
    STREAMING = 2
    SENT = 3


class Step(IntEnum):
    """What moves the two."""

    REQUEST = 0
    REQUEST_WITH_BODY = 1
    BODY_END = 2
    REFUSED = 3
    RESPOND = 4
    START = 5
    PART = 6
    END = 7
    NEXT = 8


RECEIVING: Transitions[Receiving, Step] = Transitions(
    "receiving a request",
    {
        (Receiving.HEAD, Step.REQUEST): Receiving.ENDED,
        (Receiving.HEAD, Step.REQUEST_WITH_BODY): Receiving.BODY,
        (Receiving.HEAD, Step.REFUSED): Receiving.ENDED,
        (Receiving.BODY, Step.BODY_END): Receiving.ENDED,
        (Receiving.BODY, Step.REFUSED): Receiving.ENDED,
        (Receiving.ENDED, Step.NEXT): Receiving.HEAD,
    },
)
SENDING: Transitions[Sending, Step] = Transitions(
    "sending a response",
    {
        (Sending.IDLE, Step.REQUEST): Sending.OWED,
        (Sending.OWED, Step.RESPOND): Sending.SENT,
        (Sending.OWED, Step.START): Sending.STREAMING,
        (Sending.STREAMING, Step.PART): Sending.STREAMING,
        (Sending.STREAMING, Step.END): Sending.SENT,
        (Sending.SENT, Step.NEXT): Sending.IDLE,
    },
)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client of HTTP/2 sends first (RFC 9113 §3.4)."""
_NOBODY = Peer(("", 0), ("", 0))
_IDLE = Sending.IDLE
_EARLY = 1e-6
"""Seconds by which answers are made anew before the second of their Date ends: sums of times are not exact."""


class ServerEngine(Recorder):
    """One connection of a client. Events: RequestReceived, BodyReceived, RequestEnded, RequestRefused.

    A role answers each RequestReceived with Respond, or StartResponse, SendBody, EndResponse; now or later. A body that
    it does not wait for is read and dropped within the limits. RequestRefused is answered at once, inside `handle`.
    A StartResponse of success to CONNECT hands the connection over to a TunnelEngine (RFC 9110 §9.3.6).
    """

    def __init__(self, heads: Heads) -> None:
        self._heads = heads
        self._limits = heads.limits
        self._buffer = bytearray()
        self._searched = 0
        self._line_seen = False
        """Of a head that has not ended: its first line is a request line."""
        self._out: list[bytes | FileSlice] = []
        self._receiving = Receiving.HEAD
        self._sending = Sending.IDLE
        self._request: Request | None = None
        self._body: BodyReader | None = None
        self._close = False
        self._closed = False
        self._ended = False
        self._chunked = False
        self._left: int | None = None
        self._awaits_continue = False
        self._held = self._tunnel = False
        self._first = True
        """Nothing has come that is no HTTP/2, which clients may know beforehand, in the clear (RFC 9113 §3.3)."""
        self._head_begun = False
        """An octet of the next head has come, be it of an empty line before it: `head_seconds` run from the first one."""
        self._left_requests = heads.limits.requests or -1
        self._idle_seconds = heads.limits.idle_seconds
        self._peer = _NOBODY
        self._due: float | None = None
        self._progress = 0
        """Octets of the body since `body_seconds` began."""
        self._sent_record = Record()
        self._received_record = Record()

    def connected(self, info: Peer, now: Now) -> Iterator[Event]:
        self._heads = self._heads.choose(info)
        self._due = now.monotonic + self._idle_seconds
        self._peer = info
        if info.security is not None and info.security.alpn == "h2" and self._heads.http2 is not None:
            self._closed = True
            return iter((HandOver(self._heads.http2()),))
        self._first = info.security is None
        return iter(())

    def at_once(self, data: bytes, seconds: float) -> bytes | None:
        """The hot path: exactly one head, which came before, on a connection where nothing else is in hand."""
        if self._sending is _IDLE and not self._head_begun and not self._close:
            received = self._heads.memo.get(data) or self._heads.find(data)
            if received is not None and (ready := received.ready) is not None and seconds < ready.fresh:
                left = self._left_requests - 1
                if left and seconds < ready.until:
                    self._left_requests = left
                    self._due = seconds + self._idle_seconds
                    ready.sent(self._peer, ready.wall)
                    return ready.whole or ready.head + self._keep_alive() + ready.content
        return None

    def receive(self, data: bytes, now: Now) -> Iterable[Event]:
        if self._sending is _IDLE and not self._head_begun and not self.recording and not self._close:
            received = self._heads.find(data) if data else None
            if (
                received is not None
                and (ready := received.ready) is not None
                and now.monotonic < ready.until
                and (ready.second == int(now.wall) or self._renew(received.request, ready, now))
            ):
                ready.fresh = now.monotonic + 1.0 - now.wall % 1.0 - _EARLY
                answer = self.at_once(data, now.monotonic)
                if answer is not None:
                    self._out.append(answer)
                    return ()
            if not data and not self._ended:  # after an answer: no further request waits
                return ()
        return self._receive(data, now)

    def _renew(self, request: Request, ready: Ready, now: Now) -> bool:
        """Another second: other lines. False when the answer holds no more."""
        lines = ready.renewed(now.wall)
        if lines is None:
            return False
        answer = ready.answer
        length = len(answer.body) if answer.length is None and isinstance(answer.body, bytes) else answer.length
        ready.head = self._begin(answer.status, answer.fields + lines, length, self._heads.common(now.wall))
        if not request.asks_keep_alive:
            ready.whole = ready.head + b"\r\n" + ready.content
        elif self._left_requests < 0:  # on any number of requests
            ready.whole = ready.head + self._keep_alive() + ready.content
        return True

    def _receive(self, data: bytes, now: Now) -> Iterator[Event]:
        if self._closed:
            return
        if data:
            if not self._head_begun and self._receiving is Receiving.HEAD:
                self._head_begun = True
                self._due = now.monotonic + self._limits.head_seconds
            self._buffer += data
        try:
            while True:
                if self._tunnel and self._sending is Sending.STREAMING:
                    self._closed = True
                    yield HandOver(TunnelEngine(True, self._ended), bytes(self._buffer))
                    return
                if self._receiving is Receiving.HEAD:
                    if self._first and self._heads.http2 is not None and PREFACE.startswith(self._buffer[: len(PREFACE)]):
                        if len(self._buffer) < len(PREFACE):
                            break
                        self._closed = True
                        yield HandOver(self._heads.http2(), bytes(self._buffer))
                        return
                    self._first = False
                    received = self._take_head(now)
                    if received is None:
                        break
                    yield received
                if self._receiving is Receiving.BODY and not self._held:
                    yield from self._take_body(now)
                if self._sending is not Sending.SENT:
                    break
                if self._close:  # what is left of a body is dropped by the driver's lingering close
                    self._closed = True
                    yield Close()
                    return
                if self._receiving is not Receiving.ENDED:
                    break
                self._next(now)
        except BadMessage as error:
            yield from self._refuse(error)
        if self._ended and not self._closed and self._sending in (Sending.IDLE, Sending.SENT):
            self._closed = True
            yield Close()

    def eof(self, now: Now) -> Iterator[Event]:
        self._ended = True
        if self._receiving is Receiving.BODY:
            self._closed = True
            yield Close()
        else:
            yield from self._receive(b"", now)

    def send(self, command: Command, now: Now) -> None:
        if isinstance(command, Respond):
            self._respond(command, now)
        elif isinstance(command, SendBody):
            self._sending = SENDING.next(self._sending, Step.PART)
            self._send_part(command.data)
        elif isinstance(command, StartResponse):
            self._start(command, now)
        elif isinstance(command, EndResponse):
            self._end(command.trailers)
        elif isinstance(command, Continue):
            if self._awaits_continue:
                self._interim(100, b"")
        elif isinstance(command, Interim):
            self._interim(command.status, command.fields)
        elif isinstance(command, HoldBody):
            if self._receiving is Receiving.BODY:
                self._held = command.held
                self._due = None if command.held else now.monotonic + self._limits.body_seconds
        elif isinstance(command, Drain):
            self._close = True
            if self._sending is Sending.IDLE:
                self._ended = True
        else:
            raise LocalProtocolError(f"{type(command).__name__} is no command of an HTTP server")

    def data_to_send(self) -> list[bytes | FileSlice]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return len(self._buffer) < self._limits.buffered or self._sending is Sending.IDLE

    def next_timer(self) -> float | None:
        return self._due

    def on_timer(self, now: Now) -> Iterator[Event]:
        self._due = None
        if self._closed:
            return
        if self._receiving is Receiving.HEAD and not self._buffer:
            self._closed = True
            yield Close()
        elif self._receiving is Receiving.ENDED:
            return
        elif self._sending in (Sending.STREAMING, Sending.SENT):
            self._closed = True
            yield Close()
        else:
            part, limit = "head", self._limits.head_seconds
            if self._receiving is Receiving.BODY:
                part, limit = "body", self._limits.body_seconds
            yield from self._refuse(BadMessage(f"the {part} of the request took longer than {limit:g} seconds", 408))

    # Receiving

    def _take_head(self, now: Now) -> RequestReceived | None:
        buffer, limits = self._buffer, self._limits
        while buffer.startswith(b"\r\n"):  # RFC 9112 §2.2: empty lines before a request line are ignored
            del buffer[:2]
            self._searched = 0
        if not buffer:
            return None
        if buffer[0] == 0x16:
            raise BadMessage("this port speaks plain HTTP and got a TLS handshake: use http://, or the port for https")
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0 or end + 4 > limits.head:
            line = buffer.find(b"\r\n")
            if line < 0 and len(buffer) > limits.target + REQUEST_LINE_REST + 1:
                request_line(bytes(buffer), limits)  # refuses it
            elif line >= 0 and not self._line_seen:
                request_line(bytes(buffer[:line]), limits)  # who types nonsense is told at once
                self._line_seen = True
            complete = end + 4 if end >= 0 else len(buffer) - buffer.endswith(b"\r")
            if bare_line_end(buffer[self._searched : complete]):
                raise bare_line_feed()
            if len(buffer) > limits.head:
                raise BadMessage(f"the head is longer than {limits.head} octets", 431)
            self._searched = complete
            return None
        head = bytes(buffer[: end + 4])
        received = self._heads.parse(head)
        del buffer[: end + 4]
        self._searched = 0
        self._line_seen = False
        request = self._request = received.request
        self._left_requests -= 1
        if not request.keep_alive or not self._left_requests:
            self._close = True
        self._sending = SENDING.next(self._sending, Step.REQUEST)
        if request.chunked or request.length:
            self._receiving = RECEIVING.next(self._receiving, Step.REQUEST_WITH_BODY)
            self._body = ChunkedReader(self._limits) if request.chunked else LengthReader(request.length)
            self._awaits_continue, self._progress = request.expects_continue, 0
            self._due = now.monotonic + self._limits.body_seconds
            if self.recording:
                self._received_record = Record()
                self._received_record.add(head)
        else:
            self._receiving = RECEIVING.next(self._receiving, Step.REQUEST)
            self._due = None
            if self.recording:
                self.record(False, _summary(request), without_credentials(head))
        return received

    def _take_body(self, now: Now) -> Iterator[Event]:
        body = self._body
        assert body is not None  # noqa: S101  set with Receiving.BODY
        before = bytes(self._buffer) if self.recording else b""
        data = body.read(self._buffer)
        if before:
            self._received_record.add(before[: len(before) - len(self._buffer)])
        wanted = self._sending in (Sending.OWED, Sending.STREAMING)
        if data or body.ended:
            self._awaits_continue = False
            self._progress += len(data)
            if self._progress >= self._limits.body_part > 0:
                self._progress, self._due = 0, now.monotonic + self._limits.body_seconds
        if data and wanted:
            yield BodyReceived(data)
        if body.ended:
            self._receiving = RECEIVING.next(self._receiving, Step.BODY_END)
            self._body = self._due = None
            if self.recording and self._request is not None:
                octets, omitted = self._received_record.take()
                self.record(False, _summary(self._request), without_credentials(octets), omitted=omitted)
            self._received_record = Record()
            if wanted:
                yield RequestEnded(body.trailers)

    def _next(self, now: Now) -> None:
        self._receiving = RECEIVING.next(self._receiving, Step.NEXT)
        self._sending = SENDING.next(self._sending, Step.NEXT)
        self._request = None
        self._head_begun = bool(self._buffer)
        self._due = now.monotonic + (self._limits.head_seconds if self._buffer else self._limits.idle_seconds)

    def _refuse(self, error: BadMessage) -> Iterator[Event]:
        """Have the role tell the client, then end as a broken protocol."""
        line = bytes(self._buffer[:200]).split(b"\r\n")[0].split(b"\n")[0].decode("latin-1")
        line = "".join(sign if sign.isprintable() else "?" for sign in line)  # it goes into logs
        if self._request is not None:
            line = f"{self._request.method} {self._request.target}"
        if self.recording:
            octets, omitted = self._received_record.take()
            octets = octets or bytes(self._buffer[:RECORDED])
            self.record(False, line[:80], without_credentials(octets), omitted=omitted)
        told = self._sending in (Sending.STREAMING, Sending.SENT)
        self._close = True
        self._buffer.clear()
        self._due = None
        if not told:
            if self._sending is Sending.IDLE:
                self._sending = SENDING.next(self._sending, Step.REQUEST)
            self._receiving = RECEIVING.next(self._receiving, Step.REFUSED)
            yield RequestRefused(error.code, str(error), line)
        self._closed = True
        raise error

    # Sending

    def _head(self, status: int, fields: bytes, length: int | None, now: Now) -> list[bytes]:
        parts = [self._begin(status, fields, length, self._heads.common(now.wall))]
        if self._close:
            parts.append(b"Connection: close\r\n\r\n")
        elif self._request is not None and self._request.asks_keep_alive:
            parts.append(self._keep_alive())
        else:
            parts.append(b"\r\n")
        return parts

    def _begin(self, status: int, fields: bytes, length: int | None, common: bytes) -> bytes:
        """A head up to what depends on the connection."""
        begun = status_line(status) + common + fields
        if length is not None and status >= 200 and status not in (204, 304):
            begun += b"Content-Length: %d\r\n" % length
        return begun

    def _keep_alive(self) -> bytes:
        """The end of the head of an answer to one who asked to keep the connection (RFC 9112 appendix C.2.2)."""
        seconds, left = self._limits.idle_seconds, self._left_requests
        if left < 0:
            return b"Connection: keep-alive\r\nKeep-Alive: timeout=%d\r\n\r\n" % seconds
        return b"Connection: keep-alive\r\nKeep-Alive: timeout=%d, max=%d\r\n\r\n" % (seconds, left)

    def _closes(self, asked: bool) -> None:
        # A client that waits for 100 may or may not send the body after a final status: nothing after it can be trusted.
        if asked or self._awaits_continue:
            self._close = True

    def _respond(self, command: Respond, now: Now) -> None:
        self._sending = SENDING.next(self._sending, Step.RESPOND)
        self._held = False
        self._closes(command.close)
        body = command.body
        parts = self._head(command.status, command.fields, content_length_of(command), now)
        pieces = body if isinstance(body, tuple) else (body,)
        if self._bodiless(command.status):
            for piece in pieces:
                if isinstance(piece, FileSlice):
                    piece.file.close()
            pieces = ()
        start = len(self._out)
        for piece in pieces:
            if isinstance(piece, bytes):
                parts.append(piece)
            else:
                if parts:
                    self._out.append(b"".join(parts))
                    parts = []
                self._out.append(piece)
        if parts:
            self._out.append(b"".join(parts))
        if self.recording:
            self._record_response(command.status, self._out[start:])

    def _record_response(self, status: int, sent: Sequence[bytes | FileSlice]) -> None:
        """Of what comes after a part of a file only its length is kept."""
        first = next((at for at, piece in enumerate(sent) if not isinstance(piece, bytes)), len(sent))
        octets = b"".join(piece for piece in sent[:first] if isinstance(piece, bytes))
        omitted = sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in sent[first:])
        self.record(True, status_name(status), octets[:RECORDED], omitted=omitted + max(0, len(octets) - RECORDED))

    def _bodiless(self, status: int) -> bool:
        return status in (204, 304) or (self._request is not None and self._request.method == "HEAD")

    def _start(self, command: StartResponse, now: Now) -> None:
        self._sending = SENDING.next(self._sending, Step.START)
        self._closes(command.close)
        self._left = command.length
        fields = command.fields
        self._chunked = False
        if self._request is not None and self._request.method == "CONNECT" and 200 <= command.status < 300:
            self._tunnel = True
            head = self._begin(command.status, fields, None, self._heads.common(now.wall)) + b"\r\n"
            self._out.append(head)
            self._close = True
            if self.recording:
                self.record(True, status_name(command.status), head)
            return
        if command.length is None and command.status not in (204, 304):
            if self._request is not None and self._request.minor:
                self._chunked = True
                fields += b"Transfer-Encoding: chunked\r\n"
            else:
                self._close = True  # HTTP/1.0: the end of the connection is the end of the body
        if self._bodiless(command.status):
            self._chunked = False
            self._left = 0
        self._write(b"".join(self._head(command.status, fields, command.length, now)))
        self._status_sent = command.status

    def _interim(self, status: int, fields: bytes) -> None:
        """RFC 9110 §15.2: not to clients of HTTP/1.0, which know none."""
        if self._sending is Sending.OWED and self._request is not None and self._request.minor:
            self._awaits_continue = self._awaits_continue and status != 100
            octets = status_line(status) + fields + b"\r\n"
            self._out.append(octets)
            if self.recording:
                self.record(True, status_name(status), octets)

    def _send_part(self, data: bytes) -> None:
        if not data:
            return
        if self._request is not None and self._request.method == "HEAD":
            return
        if self._left is not None:
            if len(data) > self._left:
                raise LocalProtocolError(f"{len(data) - self._left} octets more than the Content-Length promised")
            self._left -= len(data)
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def _end(self, trailers: bytes) -> None:
        if self._left:
            raise LocalProtocolError(f"{self._left} octets of the promised Content-Length are missing")
        self._sending = SENDING.next(self._sending, Step.END)
        self._held = self._tunnel = False
        if self._chunked:
            self._write(b"0\r\n%b\r\n" % trailers)
        if self._sent_record:
            octets, omitted = self._sent_record.take()
            self.record(True, status_name(self._status_sent), octets, omitted=omitted)

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        if self.recording:
            self._sent_record.add(data)


def content_length_of(answer: Respond) -> int | None:
    """What its Content-Length says; None for an answer without one."""
    if answer.length is None:
        return body_length(answer.body)
    return None if answer.length == UNKNOWN else answer.length


def body_length(body: bytes | FileSlice | tuple[bytes | FileSlice, ...]) -> int:
    """Octets of a response's body."""
    if isinstance(body, bytes):
        return len(body)
    if isinstance(body, FileSlice):
        return body.length
    return sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in body)


def _summary(request: Request) -> str:
    return f"{request.method} {request.target} {request.version}"


def status_name(status: int) -> str:
    """Code and reason phrase."""
    return status_line(status)[9:-2].decode()
