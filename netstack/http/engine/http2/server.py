"""The server's side of an HTTP/2 connection (RFC 9113): many requests in hand, each on a stream of its own.

Every event and command is one of HTTP/1's with its stream's number around it. What a client does wrong on one stream ends
that stream (RST_STREAM), what it does wrong with the connection ends the connection (GOAWAY), and what costs us without
being of use to anybody has an allowance (RFC 9113 §10.5).
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from math import inf

from netstack.http.engine.heads import Heads
from netstack.http.engine.http2 import frames
from netstack.http.engine.http2.answers import Answers
from netstack.http.engine.http2.calm import Allowance, Counts
from netstack.http.engine.http2.fields import Malformed, Pairs, parse_trailers
from netstack.http.engine.http2.frames import Code, ConnectionFault, Frame, Setting, StreamFault
from netstack.http.engine.http2.outgoing import Outgoing
from netstack.http.engine.http2.priorities import Priority, parse_priority
from netstack.http.engine.http2.reader import EndlessBlock, FrameReader
from netstack.http.engine.http2.recorded import received_message
from netstack.http.engine.http2.requests import OversizedFields, RequestReader
from netstack.http.engine.http2.streams import STREAM, State, Step, Stream
from netstack.http.engine.server import Sending
from netstack.http.events import (
    BodyReceived,
    Continue,
    Drain,
    EndResponse,
    HoldBody,
    Interim,
    OnStream,
    RequestEnded,
    RequestReceived,
    RequestRefused,
    ResetStream,
    Respond,
    SendBody,
    StartResponse,
    StreamReset,
    ToStream,
)
from netstack.http.wire import BadMessage
from netstack.sansio import Close, Command, Event, FileSlice, LocalProtocolError, Now, Peer, Recorder

REMEMBERED = 128
"""Streams that have ended and are still known."""
UNWANTED_SECONDS = 1.0
"""For a client to end a body by itself once the request was answered."""
SHUTDOWN_PING = b"shutdown"
_EVERY = frames.MAX_WINDOW
"""The last stream of a GOAWAY that announces the end without refusing anything (RFC 9113 §6.8)."""
_NOBODY = Peer(("", 0), ("", 0))


class HTTP2ServerEngine(Recorder):
    """One connection of a client. Events: OnStream with RequestReceived, BodyReceived, RequestEnded, RequestRefused,
    BodyTaken, StreamReset; commands: ToStream, Drain.

    As with HTTP/1 a role answers each RequestReceived, now or later, and RequestRefused inside `handle`; then the stream
    has ended for it. After StreamReset nothing has an effect on that stream.
    """

    def __init__(self, heads: Heads, answers: Answers, counts: Counts) -> None:
        """`heads`, `answers` and `counts` are shared by the connections of a service."""
        limits = heads.limits
        self._counts, self._limits = counts, limits
        self._calm, self._resets = Allowance(limits.control_frames), Allowance(limits.resets)
        self._out = Outgoing(limits, answers, self._calm, self, self._local_end)
        self._reader, self._requests = FrameReader(2 * limits.head), RequestReader(heads)
        self._streams: dict[int, Stream] = {}
        self._ended: deque[int] = deque(maxlen=REMEMBERED)
        self._given_up: deque[int] = deque(maxlen=REMEMBERED)
        """Streams that we reset: what is still on its way on them is passed over."""
        self._hints: dict[int, Priority] = {}
        """Priorities of streams that have not begun (RFC 9218 §7)."""
        self._last = 0
        """The highest stream that the client has begun."""
        self._receive_window = max(frames.WINDOW, limits.connection_window)
        self._credit = 0
        self._closed = self._eof = False
        self._draining = self._final = False
        self._left_requests = limits.requests or -1
        self._peer = _NOBODY
        self._due = inf
        """Not later than anything is due; what comes too early is looked at and set anew."""
        self._head_due = self._idle_due = self._drain_due = inf

    # The contract of an engine

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        limits = self._limits
        self._peer = info
        self._counts.connections += 1
        self._out.write(
            frames.settings(
                {
                    Setting.MAX_CONCURRENT_STREAMS: limits.streams,
                    Setting.INITIAL_WINDOW_SIZE: limits.window,
                    Setting.MAX_HEADER_LIST_SIZE: limits.head,
                    Setting.NO_RFC7540_PRIORITIES: 1,
                }
            )
        )
        if self._receive_window > frames.WINDOW:
            self._out.open_window(0, self._receive_window - frames.WINDOW)
        self._head_due = self._set(now.monotonic + limits.head_seconds)
        return ()

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        if self._closed:
            return
        if data:
            self._reader.feed(data)
            try:
                yield from self._read(now)
            except ConnectionFault as fault:
                if isinstance(fault, EndlessBlock | OversizedFields):
                    self._counts.abuses["fields"] += 1
                self._fail(fault)
                raise
        if self._out.schedule:
            yield from self._out.send_bodies(now)
        if self._eof and self._out.is_stuck(self._streams.values()):
            for stream in [*self._streams.values()]:
                self._end(stream)
        if not self._streams:
            if (self._final or self._eof) and not self._closed:
                self._closed = True
                yield Close()
            elif self._idle_due == inf:
                self._idle_due = self._set(now.monotonic + self._limits.idle_seconds)

    def eof(self, now: Now) -> Iterator[Event]:
        self._eof = True
        for stream in [*self._streams.values()]:
            if stream.receives:
                yield from self._drop(stream, "the client closed the connection")
        yield from self.receive(b"", now)

    def send(self, command: Command, now: Now) -> None:
        if isinstance(command, ToStream):
            stream = self._streams.get(command.stream)
            if stream is None:
                _release(command.command)
            else:
                self._carry_out(stream, command.command, now)
        elif isinstance(command, Drain):
            self._drain(now)
        else:
            raise LocalProtocolError(f"{type(command).__name__} is no command of an HTTP/2 server")

    def data_to_send(self) -> list[bytes | FileSlice]:
        return self._out.take()

    def wants_data(self) -> bool:
        return True

    def next_timer(self) -> float | None:
        due = min(self._due, self._out.due)
        return None if due == inf else due

    def on_timer(self, now: Now) -> Iterator[Event]:
        if self._closed:
            return
        time, limits = now.monotonic, self._limits
        fault = self._out.check(now)
        if fault is not None:
            self._counts.abuses["windows"] += 1
        elif time >= self._head_due:
            fault = ConnectionFault(Code.PROTOCOL_ERROR, f"a head took longer than {limits.head_seconds:g} seconds")
        if fault is not None:
            self._fail(fault)
            raise fault
        if not self._streams and time >= self._idle_due:
            self._go_away(self._last, Code.NO_ERROR)
            self._closed = True
            yield Close()
            return
        for stream in [*self._streams.values()]:
            if time >= stream.body_due and stream.state is State.HALF_CLOSED_LOCAL:
                self._end_unwanted(stream)
            elif time >= stream.body_due:
                stream.body_due = inf
                reason = f"the body of the request took longer than {limits.body_seconds:g} seconds"
                yield from self._refuse(stream, BadMessage(reason, 408))
            elif self._out.is_stalled(stream, now):
                self._counts.abuses["windows"] += 1
                yield from self._reset(stream, Code.CANCEL, "the client took too little for too long")
        if time >= self._drain_due:
            self._finish_drain()
        self._due = min(self._head_due, self._idle_due, self._drain_due)
        self._out.due = min(
            self._out.stalled_due, *[min(each.body_due, each.stalled_due) for each in self._streams.values()], inf
        )
        yield from self.receive(b"", now)

    # Receiving

    def _read(self, now: Now) -> Iterator[Event]:
        """The frames that have come."""
        for frame, octets in self._reader.read(self.recording):
            try:
                events = self._take(frame, now)
            except StreamFault as fault:
                events = self._fault(fault, now)
            if octets:
                self.record(False, *received_message(frame, events, octets))
            yield from events
        if not self._reader.hurries:
            self._head_due = inf
        elif self._head_due == inf:
            self._head_due = self._set(now.monotonic + self._limits.head_seconds)

    def _take(self, frame: Frame, now: Now) -> Sequence[Event]:
        """One frame; what of it is for roles."""
        kind, flags, number, payload = frame
        if kind == frames.HEADERS:
            return self._fields(flags, number, payload, now)
        if kind == frames.DATA:
            return self._data(flags, number, payload, now)
        if not self._calm.spend(now.monotonic):
            raise self._abuse("frames", "too many frames that carry nothing")
        frames.judge(frame)
        if kind == frames.WINDOW_UPDATE:
            return self._window_update(number, payload)
        if kind == frames.RST_STREAM:
            return self._rst_stream(number, now)
        if kind == frames.SETTINGS:
            self._settings(flags, payload)
        elif kind == frames.PING:
            self._ping(flags, payload)
        elif kind == frames.PRIORITY_UPDATE:
            self._priority_update(payload)
        elif kind == frames.GOAWAY:
            self._draining = self._final = True  # what is in hand is answered, then the connection is closed
        return ()  # other kinds are passed over (RFC 9113 §5.5)

    def _fields(self, flags: int, number: int, block: bytes, now: Now) -> Sequence[Event]:
        """A whole field block: a request, or the trailers of one."""
        ended = bool(flags & frames.END_STREAM)
        if not number & 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"HEADERS on stream {number}")
        if number <= self._last:
            return self._trailers(number, self._requests.decode(block), ended)
        received: RequestReceived | None = None
        fault: Malformed | BadMessage | None = None
        try:
            received = self._requests.request(block, ended)
        except (Malformed, BadMessage) as error:
            fault = error
        if self._final:
            return ()  # GOAWAY told the client that it is not answered
        self._last = number
        self._counts.streams += 1
        self._calm.earn(1)
        if isinstance(fault, Malformed):
            self._counts.abuses["malformed"] += 1
            raise StreamFault(number, Code.PROTOCOL_ERROR, str(fault))
        if len(self._streams) >= self._limits.streams:
            self._counts.abuses["streams"] += 1
            raise StreamFault(number, Code.REFUSED_STREAM, f"more than {self._limits.streams} requests at once")
        self._idle_due = inf
        self._left_requests -= 1
        if not self._left_requests:
            self._go_away(number, Code.NO_ERROR)
            self._draining = self._final = True
        ready = received.ready if received is not None and ended else None
        if ready is not None and now.monotonic < ready.until and self._out.ready(number, ready, now, self._peer):
            self._ended.append(number)
            return ()
        stream = self._begin(number, received, ended, now)
        if isinstance(fault, BadMessage):
            return self._refuse(stream, fault)
        assert received is not None  # noqa: S101  there was no fault
        return (OnStream(number, received),)

    def _begin(self, number: int, received: RequestReceived | None, ended: bool, now: Now) -> Stream:
        request = received.request if received is not None else None
        stream = Stream(number, request, self._out.stream_window, self._limits.window)
        stream.state = STREAM.next(stream.state, Step.HEADERS_AND_END if ended else Step.HEADERS)
        if request is not None:
            priority = request.fields.get("priority")
            if priority is not None:
                stream.urgency, stream.incremental = parse_priority(priority)
            if not request.chunked:
                stream.expected = request.length
            stream.awaits_continue = request.expects_continue and not ended
        if number in self._hints:
            stream.urgency, stream.incremental = self._hints.pop(number)
        if not ended:
            stream.body_due = self._set(now.monotonic + self._limits.body_seconds)
        self._streams[number] = stream
        return stream

    def _trailers(self, number: int, pairs: Pairs, ended: bool) -> Sequence[Event]:
        stream = self._streams.get(number)
        if stream is None:
            if number in self._given_up or self._final:
                return ()
            code = Code.STREAM_CLOSED if number in self._ended else Code.PROTOCOL_ERROR
            raise ConnectionFault(code, f"HEADERS on stream {number}, which is closed")
        if not stream.receives:
            raise StreamFault(number, Code.STREAM_CLOSED, "HEADERS after the end of the request")
        if not ended:
            raise StreamFault(number, Code.PROTOCOL_ERROR, "trailers that do not end the stream (RFC 9113 §8.1)")
        try:
            trailers = parse_trailers(pairs, self._limits)
        except Malformed as error:
            raise StreamFault(number, Code.PROTOCOL_ERROR, str(error)) from None
        except BadMessage as error:
            return self._refuse(stream, error)
        return self._remote_end(stream, trailers)

    def _data(self, flags: int, number: int, payload: bytes, now: Now) -> Sequence[Event]:
        size = len(payload)
        if size > self._receive_window:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more DATA than the connection's window allows")
        self._receive_window -= size
        if number == 0 or not number & 1 or (number > self._last and not self._final):
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"DATA on stream {number}, which has not begun")
        ended = flags & frames.END_STREAM
        content = frames.unpadded(flags, payload)
        if len(content) < 16 and not ended and not self._calm.spend(now.monotonic):
            raise self._abuse("frames", "too many DATA frames with next to nothing in them")
        self._take_credit(size)
        stream = self._streams.get(number)
        if stream is None:
            if number in self._given_up or number > self._last:
                return ()
            raise StreamFault(number, Code.STREAM_CLOSED, "DATA on a closed stream")
        if not stream.receives:
            raise StreamFault(number, Code.STREAM_CLOSED, "DATA after the end of the request")
        if size > stream.receive_window:
            raise StreamFault(number, Code.FLOW_CONTROL_ERROR, "more DATA than the stream's window allows")
        stream.receive_window -= size
        stream.received += len(content)
        if stream.expected is not None and stream.received > stream.expected:
            raise StreamFault(number, Code.PROTOCOL_ERROR, "more DATA than content-length says (RFC 9113 §8.1.1)")
        if stream.state is State.HALF_CLOSED_LOCAL and not stream.tunnel:
            if stream.received > self._limits.body:
                self._end_unwanted(stream)
            elif ended:
                self._remote_end(stream, ())
            return ()
        if stream.received > self._limits.body and not stream.tunnel:
            return self._refuse(stream, BadMessage(f"the body has more than {self._limits.body} octets", 413))
        if not ended:
            self._credit_stream(stream, size)
        stream.body_part += len(content)
        if stream.body_part >= self._limits.body_part > 0 and stream.body_due < inf:
            stream.body_part, stream.body_due = 0, self._set(now.monotonic + self._limits.body_seconds)
        events: tuple[Event, ...] = ()
        if content and (stream.tunnel or stream.sending is not Sending.SENT):
            stream.awaits_continue = False
            events = (OnStream(number, BodyReceived(content)),)
        return (*events, *self._remote_end(stream, ())) if ended else events

    def _remote_end(self, stream: Stream, trailers: Iterable[tuple[str, str]]) -> Sequence[Event]:
        """The request is complete."""
        if stream.expected is not None and stream.received != stream.expected:
            raise StreamFault(stream.id, Code.PROTOCOL_ERROR, "less DATA than content-length says (RFC 9113 §8.1.1)")
        request = stream.request
        stream.state = STREAM.next(stream.state, Step.REMOTE_END)
        stream.body_due = inf
        stream.awaits_continue = False
        if stream.state is State.CLOSED:
            self._end(stream)
        if stream.tunnel:
            return (OnStream(stream.id, RequestEnded()),)
        if stream.sending is Sending.SENT or request is None or not (request.chunked or request.length):
            return ()
        return (OnStream(stream.id, RequestEnded((*trailers,))),)

    def _take_credit(self, size: int) -> None:
        """Content of the connection was taken; tell the client when it is half a window."""
        self._credit += size
        window = max(frames.WINDOW, self._limits.connection_window)
        if self._credit >= window // 2:
            self._receive_window += self._credit
            self._out.open_window(0, self._credit)
            self._credit = 0

    def _credit_stream(self, stream: Stream, size: int) -> None:
        stream.credit += size
        if not stream.held and stream.credit >= self._limits.window // 2:
            stream.receive_window += stream.credit
            self._out.open_window(stream.id, stream.credit)
            stream.credit = 0

    def _window_update(self, number: int, payload: bytes) -> Sequence[Event]:
        increment = int.from_bytes(payload, "big") & frames.MAX_WINDOW
        if number > self._last or (number and not number & 1):
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"WINDOW_UPDATE on stream {number}, which has not begun")
        if number == 0:
            if not increment:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
            self._out.window += increment
            if self._out.window > frames.MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "the connection's window goes beyond 2^31-1")
            return ()
        stream = self._streams.get(number)
        if stream is None:
            return ()
        if not increment:
            raise StreamFault(number, Code.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        if not self._out.widen(stream, increment):
            raise StreamFault(number, Code.FLOW_CONTROL_ERROR, "the stream's window goes beyond 2^31-1")
        return ()

    def _rst_stream(self, number: int, now: Now) -> Sequence[Event]:
        if number == 0 or number > self._last or not number & 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"RST_STREAM on stream {number}, which has not begun")
        self._counts.resets_received += 1
        stream = self._streams.get(number)
        if stream is None:
            return ()
        self._spend_reset(now)
        return self._drop(stream, "reset by the client")

    def _spend_reset(self, now: Now) -> None:
        """Begun and given up: work for nothing, whoever gives up (CVE-2023-44487, CVE-2025-8671)."""
        if not self._resets.spend(now.monotonic):
            raise self._abuse("resets", "too many streams that were reset")

    def _settings(self, flags: int, payload: bytes) -> None:
        if flags & frames.ACK:
            if payload:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS with a payload")
            return
        values = frames.read_settings(payload)
        self._out.settle(values.get(Setting.MAX_FRAME_SIZE), values.get(Setting.HEADER_TABLE_SIZE))
        window = values.get(Setting.INITIAL_WINDOW_SIZE)
        if window is not None:
            change, self._out.stream_window = window - self._out.stream_window, window
            for stream in self._streams.values():
                if not self._out.widen(stream, change):
                    raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a stream's window goes beyond 2^31-1")
        self._out.frame(frames.SETTINGS, frames.ACK, 0)

    def _ping(self, flags: int, payload: bytes) -> None:
        if not flags & frames.ACK:
            self._out.frame(frames.PING, frames.ACK, 0, payload)
        elif payload == SHUTDOWN_PING and self._draining and not self._final:
            self._finish_drain()

    def _priority_update(self, payload: bytes) -> None:
        """RFC 9218 §7.1."""
        of = int.from_bytes(payload[:4], "big") & frames.MAX_WINDOW
        if not of & 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"PRIORITY_UPDATE of stream {of}")
        priority = parse_priority(payload[4:].decode("latin-1"))
        stream = self._streams.get(of)
        if stream is not None:
            self._out.schedule.change(stream, priority)
        elif of > self._last and (of in self._hints or len(self._hints) < self._limits.streams):
            self._hints[of] = priority

    # Answering

    def _carry_out(self, stream: Stream, command: Command, now: Now) -> None:
        if isinstance(command, Respond):
            stream.awaits_continue = False
            self._out.respond(stream, command, now)
        elif isinstance(command, SendBody):
            self._out.part(stream, command.data, now)
        elif isinstance(command, StartResponse):
            stream.awaits_continue = False
            if stream.request is not None and stream.request.method == "CONNECT" and 200 <= command.status < 300:
                stream.tunnel, stream.body_due = True, inf
            self._out.start(stream, command, now)
        elif isinstance(command, EndResponse):
            self._out.end(stream, command.trailers, now)
        elif isinstance(command, Continue):
            if stream.awaits_continue and stream.sending is Sending.OWED:
                stream.awaits_continue = False
                self._out.interim(stream, 100)
        elif isinstance(command, Interim):
            if stream.sending is Sending.OWED:
                self._out.interim(stream, command.status, command.fields)
        elif isinstance(command, HoldBody):
            stream.held = command.held
            if stream.receives:
                timed = not command.held and not stream.tunnel and stream.state is State.OPEN
                stream.body_due = self._set(now.monotonic + self._limits.body_seconds) if timed else inf
                self._credit_stream(stream, 0)
        elif isinstance(command, ResetStream):
            self._write_reset(stream.id, Code.INTERNAL_ERROR)
            self._drop(stream, "given up")
        elif not isinstance(command, Drain):  # which is for connections
            raise LocalProtocolError(f"{type(command).__name__} is no command to a stream")

    def _local_end(self, stream: Stream, now: Now) -> None:
        """The response has gone. The rest of a body that nobody waits for need not come (RFC 9113 §8.1), but a client that
        is told so at once may throw the response away: its window is not opened again, and it gets a moment."""
        stream.state = STREAM.next(stream.state, Step.LOCAL_END)
        if stream.state is State.CLOSED:
            self._end(stream)
        elif not stream.tunnel:
            stream.body_due = self._set(now.monotonic + UNWANTED_SECONDS)

    # What ends a stream or the connection

    def _fault(self, fault: StreamFault, now: Now) -> Sequence[Event]:
        """The client broke a stream's rules."""
        self._spend_reset(now)
        stream = self._streams.get(fault.stream)
        if stream is not None:
            return self._reset(stream, fault.error, str(fault))
        self._write_reset(fault.stream, fault.error)
        return ()

    def _reset(self, stream: Stream, code: Code, reason: str) -> Sequence[Event]:
        self._write_reset(stream.id, code)
        return self._drop(stream, reason)

    def _end_unwanted(self, stream: Stream) -> None:
        """The response is complete, and the request's body goes on."""
        self._write_reset(stream.id, Code.NO_ERROR)
        self._drop(stream, "answered")

    def _write_reset(self, number: int, code: Code) -> None:
        self._counts.resets_sent += 1
        self._given_up.append(number)
        self._out.frame(frames.RST_STREAM, 0, number, int(code).to_bytes(4, "big"))

    def _drop(self, stream: Stream, reason: str) -> Sequence[Event]:
        """A stream that was reset by either side."""
        stream.state = STREAM.next(stream.state, Step.RESET)
        owed = stream.tunnel or stream.sending in (Sending.OWED, Sending.STREAMING)
        self._end(stream)
        return (OnStream(stream.id, StreamReset(reason)),) if owed else ()

    def _end(self, stream: Stream) -> None:
        self._out.schedule.remove(stream)
        stream.drop()
        del self._streams[stream.id]
        self._ended.append(stream.id)

    def _refuse(self, stream: Stream, error: BadMessage) -> Sequence[Event]:
        """Have the role tell the client; the connection goes on."""
        if stream.sending is not Sending.OWED:
            return self._reset(stream, Code.CANCEL, str(error))
        request = stream.request
        line = "" if request is None else f"{request.method} {request.target}"
        return (OnStream(stream.id, RequestRefused(error.code, str(error), line)),)

    def _abuse(self, kind: str, reason: str) -> ConnectionFault:
        self._counts.abuses[kind] += 1
        return ConnectionFault(Code.ENHANCE_YOUR_CALM, reason)

    def _fail(self, fault: ConnectionFault) -> None:
        self._go_away(self._last, fault.error, str(fault))
        self._closed = True
        for stream in [*self._streams.values()]:
            self._end(stream)

    def _go_away(self, last: int, code: Code, reason: str = "") -> None:
        payload = last.to_bytes(4, "big") + int(code).to_bytes(4, "big") + reason.encode("utf-8", "replace")[:200]
        self._out.frame(frames.GOAWAY, 0, 0, payload)

    def _drain(self, now: Now) -> None:
        """Announce the end; what the client sends until it has read that is still answered (RFC 9113 §6.8)."""
        if self._draining:
            return
        self._draining = True
        self._go_away(_EVERY, Code.NO_ERROR)
        self._out.frame(frames.PING, 0, 0, SHUTDOWN_PING)
        self._drain_due = self._set(now.monotonic + 1.0)

    def _finish_drain(self) -> None:
        self._drain_due = inf
        if not self._final:
            self._final = True
            self._go_away(self._last, Code.NO_ERROR)

    # Time

    def _set(self, due: float) -> float:
        self._due = min(self._due, due)
        return due


def _release(command: Command) -> None:
    """Close the files of a response that nobody gets."""
    if isinstance(command, Respond):
        for piece in command.body if isinstance(command.body, tuple) else (command.body,):
            if isinstance(piece, FileSlice):
                piece.file.close()
