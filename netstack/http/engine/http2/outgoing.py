"""What an HTTP/2 server sends: responses, their contents as the client's windows and priorities allow (RFC 9113 §5.2)."""

from collections.abc import Callable, Iterable, Iterator
from math import inf

from netstack.http.engine.http2 import frames
from netstack.http.engine.http2.answers import Answers
from netstack.http.engine.http2.calm import Allowance
from netstack.http.engine.http2.fields import encode_lines
from netstack.http.engine.http2.frames import DATA, END_STREAM, Code, ConnectionFault
from netstack.http.engine.http2.priorities import Schedule
from netstack.http.engine.http2.recorded import sent_messages
from netstack.http.engine.http2.streams import Stream
from netstack.http.engine.server import SENDING, Sending, body_length, content_length_of
from netstack.http.engine.server import Step as Answering
from netstack.http.events import BodyTaken, OnStream, Ready, Respond, StartResponse
from netstack.http.limits import HTTPLimits
from netstack.sansio import Event, FileSlice, Flush, LocalProtocolError, Now, Peer, Recorder

QUANTUM = 64 * 1024
"""Octets of contents that are made before the transport is asked whether it takes more."""
TURN = 1024 * 1024
"""Octets of contents that are made before other connections get their turn."""
PROGRESS = 8 * 1024
"""Octets that a slow client has to take in `stalled_seconds`."""


class Outgoing:
    """The output of one connection."""

    def __init__(
        self, limits: HTTPLimits, answers: Answers, calm: Allowance, recorder: Recorder, ended: Callable[[Stream, Now], None]
    ) -> None:
        """`ended` is told when the last octet of a response was made; `calm` earns what clients answer to contents."""
        self._limits, self._answers, self._calm, self._recorder, self._ended = limits, answers, calm, recorder, ended
        self._out: list[bytes | FileSlice] = []
        self.schedule = Schedule()
        self.window = frames.WINDOW
        """Octets of contents that the client takes on all streams together."""
        self.stream_window = frames.WINDOW
        """And at first on each."""
        self._frame = frames.FRAME
        self._shrunk = b""
        """Tells the client, once, that no dynamic table is used, when it wants a smaller one (RFC 7541 §4.2)."""
        self.due = inf
        """Not later than `turn_due`, `stalled_due` and those of streams."""
        self.turn_due = inf
        self.stalled_due = inf
        """When the client must have taken something since it let the connection's window shut."""
        self._progress = 0

    def take(self) -> list[bytes | FileSlice]:
        """What is to be written, once."""
        out, self._out = self._out, []
        return out

    def write(self, *pieces: bytes | FileSlice) -> None:
        """Whole frames."""
        self._out += pieces
        if self._recorder.recording:
            for summary, octets, omitted in sent_messages(pieces):
                self._recorder.record(True, summary, octets, omitted=omitted)

    def frame(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        """One frame."""
        self.write(frames.frame(kind, flags, stream, payload))

    def open_window(self, stream: int, increment: int) -> None:
        """The client may send so much more (RFC 9113 §6.9)."""
        self.frame(frames.WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))

    def settle(self, largest: int | None, table: int | None) -> None:
        """What the client says of frames and of its HPACK table (RFC 9113 §6.5.2)."""
        if largest is not None:
            self._frame = min(largest, QUANTUM)
        if table is not None and table < 4096:
            self._shrunk = b"\x20"

    def widen(self, stream: Stream, change: int) -> bool:
        """A stream's window changes; False when it goes beyond its bound."""
        stream.window += change
        if stream.window > frames.MAX_WINDOW:
            return False
        self.consider(stream)
        return True

    def consider(self, stream: Stream) -> None:
        """Schedule a stream that has something to send, and room for it."""
        if (stream.queue and stream.window > 0) or (stream.ending and not stream.queue):
            self.schedule.add(stream)

    # Responses

    def ready(self, number: int, ready: Ready, now: Now, peer: Peer) -> bool:
        """A whole response that was made before; False when it cannot be sent at once."""
        size = len(ready.content)
        at_once = size <= min(frames.FRAME, self.window, self.stream_window) and not self.schedule
        if not at_once or self._recorder.recording or self._shrunk:
            return False
        if ready.second != int(now.wall):
            lines = ready.renewed(now.wall)
            if lines is None:
                return False
            answer = ready.answer
            length = body_length(answer.body) if answer.length is None else answer.length
            common = self._answers.common(now.wall)
            ready.head = self._answers.block(answer.status, answer.fields, length, common, lines)
        block = ready.head
        if not size:
            self._out.append(frames.header_frames(number, block, True, self._frame))
        else:
            head = frames.header_frames(number, block, False, self._frame)
            self._out.append(head + frames.head(size, DATA, END_STREAM, number) + ready.content)
            self.window -= size
            self._calm.earn(2)
        ready.sent(peer, ready.wall)
        return True

    def respond(self, stream: Stream, command: Respond, now: Now) -> None:
        """A whole response."""
        stream.sending = SENDING.next(stream.sending, Answering.RESPOND)
        body = command.body
        length = content_length_of(command)
        pieces = body if isinstance(body, tuple) else (body,)
        if _bodiless(stream, command.status):
            for piece in pieces:
                if isinstance(piece, FileSlice):
                    piece.file.close()
            pieces = ()
        for piece in pieces:
            stream.put(piece)
        self._head(stream, command.status, command.fields, length, now)
        if not stream.queue:
            self._ended(stream, now)
            return
        stream.ending = True
        room = min(self._frame, self.window, stream.window)
        if not self.schedule and isinstance(body, bytes) and len(body) <= room:  # without a turn of the schedule
            self._data(stream, now)
        else:
            self._wait(stream, now)

    def start(self, stream: Stream, command: StartResponse, now: Now) -> None:
        """The head of a response."""
        stream.sending = SENDING.next(stream.sending, Answering.START)
        stream.left = 0 if _bodiless(stream, command.status) else command.length
        self._head(stream, command.status, command.fields, command.length, now)

    def part(self, stream: Stream, data: bytes, now: Now) -> None:
        """More of its body."""
        stream.sending = SENDING.next(stream.sending, Answering.PART)
        if not data or (stream.request is not None and stream.request.method == "HEAD"):
            return
        if stream.left is not None:
            if len(data) > stream.left:
                raise LocalProtocolError(f"{len(data) - stream.left} octets more than the Content-Length promised")
            stream.left -= len(data)
        stream.put(data)
        self._wait(stream, now)

    def end(self, stream: Stream, trailers: bytes, now: Now) -> None:
        """Its body is complete."""
        if stream.left:
            raise LocalProtocolError(f"{stream.left} octets of the promised Content-Length are missing")
        stream.sending = SENDING.next(stream.sending, Answering.END)
        stream.ending = True
        stream.trailers = b"" if _bodiless(stream, 200) else encode_lines(trailers)
        self._wait(stream, now)

    def interim(self, stream: Stream, status: int, fields: bytes = b"") -> None:
        """A 1xx response (RFC 9110 §15.2)."""
        self._block(stream.id, self._answers.status(status) + encode_lines(fields), False)

    def _head(self, stream: Stream, status: int, fields: bytes, length: int | None, now: Now) -> None:
        if status in (204, 304):
            length = None
        block = self._answers.block(status, fields, length, self._answers.common(now.wall))
        # A response that streams ends with a DATA frame, which may be empty.
        ended = stream.sending is Sending.SENT and not stream.queue
        self._block(stream.id, block, ended)

    def _block(self, number: int, block: bytes, ended: bool) -> None:
        block, self._shrunk = self._shrunk + block, b""
        self.write(frames.header_frames(number, block, ended, self._frame))

    # Contents

    def send_bodies(self, now: Now) -> Iterator[Event]:
        """DATA frames, as far as windows, the transport and our turn go."""
        made = turn = 0
        while (stream := self.schedule.next()) is not None:
            if self.window <= 0 and stream.queue:
                if self.stalled_due == inf:
                    self._progress = 0
                    self.stalled_due = self._set(now.monotonic + self._limits.stalled_seconds)
                return
            made += self._data(stream, now)
            self.schedule.sent(stream)
            if not stream.queue and stream.sending is Sending.STREAMING:
                yield OnStream(stream.id, BodyTaken())
            if made >= QUANTUM:
                turn += made
                made = 0
                if turn >= TURN:
                    self.turn_due = self._set(now.monotonic)
                    return
                yield Flush()

    def _data(self, stream: Stream, now: Now) -> int:
        """One DATA frame of a stream; its octets."""
        size, pieces = stream.take(max(0, min(self._frame, self.window, stream.window)))
        self.window -= size
        stream.window -= size
        stream.progress += size
        self._progress += size
        self._calm.earn(2)
        over = not stream.queue
        ended = stream.ending and over
        head = frames.head(size, DATA, END_STREAM if ended and not stream.trailers else 0, stream.id)
        if len(pieces) == 1 and isinstance(pieces[0], bytes):
            self.write(head + pieces[0])
        elif pieces or not stream.trailers:
            self.write(head, *pieces)
        if ended and stream.trailers:
            self._block(stream.id, stream.trailers, True)
        if over or stream.window <= 0:
            self.schedule.remove(stream)
        if over:
            stream.stalled_due = inf
        if ended:
            stream.ending = False
            self._ended(stream, now)
        return size

    def _wait(self, stream: Stream, now: Now) -> None:
        """Something waits for its turn."""
        self.consider(stream)
        if stream.stalled_due == inf and stream.queue:
            stream.progress = 0
            stream.stalled_due = self._set(now.monotonic + self._limits.stalled_seconds)

    def check(self, now: Now) -> ConnectionFault | None:
        """The time set has come: what is wrong with the connection's window."""
        self.turn_due = inf
        if now.monotonic >= self.stalled_due:
            if self.window <= 0 and self._progress < PROGRESS:
                reason = f"the connection's window stayed shut for {self._limits.stalled_seconds:g} seconds"
                return ConnectionFault(Code.ENHANCE_YOUR_CALM, reason)
            self.stalled_due = inf
        return None

    def is_stuck(self, streams: Iterable[Stream]) -> bool:
        """Whether all that is left waits for windows of a client that opens none any more."""
        if self.turn_due < inf or any(stream.sending is not Sending.SENT for stream in streams):
            return False
        return self.window <= 0 or not self.schedule

    def is_stalled(self, stream: Stream, now: Now) -> bool:
        """Whether the client has kept a stream's window shut for too long."""
        if now.monotonic < stream.stalled_due:
            return False
        if stream.window <= 0 and stream.progress < PROGRESS:
            return True
        stream.progress = 0
        stream.stalled_due = now.monotonic + self._limits.stalled_seconds
        return False

    def _set(self, due: float) -> float:
        self.due = min(self.due, due)
        return due


def _bodiless(stream: Stream, status: int) -> bool:
    return status in (204, 304) or (stream.request is not None and stream.request.method == "HEAD")
