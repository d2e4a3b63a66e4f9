"""An HTTP/2 server's engine without a driver, and other people's libraries (hyperframe, hpack) on the client's side."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from netstack.http.engine.heads import Heads
from netstack.http.engine.http2 import Answers, Counts, HTTP2ServerEngine
from netstack.http.engine.server import PREFACE
from netstack.http.events import OnStream, RequestReceived, RequestRefused, Respond, ToStream
from netstack.http.limits import HTTPLimits
from netstack.sansio import Close, Command, Event, FileSlice, Flush, Now, Peer, RemoteProtocolError

WALL = 1_780_000_000.0
PEER = Peer(("192.0.2.1", 80), ("192.0.2.2", 50_000))
OPENING = PREFACE + SettingsFrame(0).serialize()

Answer = Callable[[Event], Sequence[Command]]


def echo(event: Event) -> Sequence[Command]:
    """Answers each request with its method and target, a refusal with its reason."""
    if isinstance(event, RequestReceived):
        return [Respond(200, b"", f"{event.request.method} {event.request.target}".encode())]
    if isinstance(event, RequestRefused):
        return [Respond(event.status, b"", event.reason.encode())]
    return []


def silent(event: Event) -> Sequence[Command]:
    """Answers refusals alone."""
    return [Respond(event.status, b"")] if isinstance(event, RequestRefused) else []


class Server:
    """A server's engine with a role that answers at once, driven as StreamDriver does it."""

    def __init__(self, answer: Answer = echo, limits: HTTPLimits | None = None, recording: bool = False) -> None:
        heads = Heads(limits or HTTPLimits(), "netstack")
        self.counts = Counts()
        self.engine = HTTP2ServerEngine(heads, Answers(heads), self.counts)
        self.engine.recording = recording
        self.answer = answer
        self.time = 100.0
        self.events: list[tuple[int, Event]] = []
        self.closed = False
        self.fault: RemoteProtocolError | None = None
        self.paused = False
        """The transport takes nothing: events after a Flush wait."""
        self._waiting: Any = None
        self._decoder = Decoder()
        self.engine.connected(PEER, self.now)

    @property
    def now(self) -> Now:
        return Now(self.time, WALL)

    def _take(self, events: Iterable[Event]) -> None:
        again = True
        try:
            while again and not self.closed:
                again = False
                iterator = iter(events)
                for event in iterator:
                    if isinstance(event, Close):
                        self.closed = True
                    elif isinstance(event, Flush):
                        if self.paused:
                            self._waiting = iterator
                            return
                    else:
                        assert isinstance(event, OnStream)
                        self.events.append((event.stream, event.event))
                        for command in self.answer(event.event):
                            self.engine.send(ToStream(event.stream, command), self.now)
                            again = True
                events = self.engine.receive(b"", self.now)
        except RemoteProtocolError as error:
            self.fault = error
            self.closed = True

    def output(self) -> bytes:
        """What is to be written; files are read and given back."""
        parts = []
        for part in self.engine.data_to_send():
            if isinstance(part, FileSlice):
                parts.append(part.file.read_at(part.offset, part.length))
                part.file.close()
            else:
                parts.append(part)
        return b"".join(parts)

    def octets(self, data: bytes) -> bytes:
        """Feed octets; what the server sends."""
        if not self.closed:
            self._take(self.engine.receive(data, self.now))
        return self.output()

    def receive(self, *given: bytes | Frame) -> list[Frame]:
        """Feed octets and frames; the frames that the server sends."""
        return parse(self.octets(b"".join(each if isinstance(each, bytes) else each.serialize() for each in given)))

    def send(self, stream: int, *commands: Command) -> list[Frame]:
        """Later answers of a role."""
        for command in commands:
            self.engine.send(ToStream(stream, command), self.now)
        self._take(self.engine.receive(b"", self.now))
        return parse(self.output())

    def resume(self) -> list[Frame]:
        """The transport takes more: once."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._take(waiting)
        return parse(self.output())

    def wait(self, seconds: float) -> list[Frame]:
        """Let time pass; the timer fires when it is due."""
        end = self.time + seconds
        while not self.closed and (due := self.engine.next_timer()) is not None and due <= end:
            self.time = max(self.time, due)
            self._take(self.engine.on_timer(self.now))
        self.time = end
        return parse(self.output())

    def status(self, sent: Iterable[Frame], stream: int = 1) -> int:
        """The status in HEADERS; 0 for none."""
        return int(dict(self.fields(sent, stream)).get(":status", 0))

    def fields(self, sent: Iterable[Frame], stream: int = 1) -> list[tuple[str, str]]:
        """The fields of the last HEADERS of a stream."""
        found: list[tuple[str, str]] = []
        for frame in sent:
            if isinstance(frame, HeadersFrame) and frame.stream_id == stream:
                found = [(str(name), str(value)) for name, value in self._decoder.decode(frame.data)]
        return found


def parse(octets: bytes) -> list[Frame]:
    """Frames by hyperframe; nothing may be left over."""
    found, at = [], 0
    while at < len(octets):
        frame, size = Frame.parse_frame_header(memoryview(octets[at : at + 9]))
        frame.parse_body(memoryview(octets[at + 9 : at + 9 + size]))
        assert len(octets) >= at + 9 + size
        found.append(frame)
        at += 9 + size
    return found


REQUEST = ((":method", "GET"), (":scheme", "http"), (":path", "/a"), (":authority", "a.test"))
POST = ((":method", "POST"), *REQUEST[1:])


def block(*fields: tuple[str, str]) -> bytes:
    """A field block that leaves nothing in the dynamic table: every one can be sent on its own."""
    return bytes(Encoder().encode([(name, value, True) for name, value in fields], huffman=False))  # type: ignore[arg-type]


def request(
    stream: int = 1, *more: tuple[str, str], ended: bool = True, fields: Sequence[tuple[str, str]] = REQUEST
) -> Frame:
    """HEADERS of a request."""
    flags = ["END_HEADERS", "END_STREAM"] if ended else ["END_HEADERS"]
    return HeadersFrame(stream, block(*fields, *more), flags=flags)


def data(stream: int, content: bytes, ended: bool = False) -> Frame:
    return DataFrame(stream, content, flags=["END_STREAM"] if ended else [])


def raw(kind: int, flags: int, stream: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """Any frame, also one that no library would write."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(**values: int) -> Frame:
    return SettingsFrame(0, settings={getattr(SettingsFrame, name): value for name, value in values.items()})


def window(stream: int, increment: int) -> Frame:
    return WindowUpdateFrame(stream, increment)


def ends(sent: Iterable[Frame]) -> list[tuple[str, int, int]]:
    """How streams and the connection ended: ("goaway", last stream, code), ("reset", stream, code)."""
    found = []
    for frame in sent:
        if isinstance(frame, GoAwayFrame):
            found.append(("goaway", frame.last_stream_id, frame.error_code))
        elif isinstance(frame, RstStreamFrame):
            found.append(("reset", frame.stream_id, frame.error_code))
    return found


def contents(sent: Iterable[Frame]) -> dict[int, bytes]:
    """The octets of DATA by stream."""
    found: dict[int, bytes] = {}
    for frame in sent:
        if isinstance(frame, DataFrame):
            found[frame.stream_id] = found.get(frame.stream_id, b"") + frame.data
    return found


def wide(server: Server) -> None:
    """Open the client's windows as browsers do."""
    server.receive(OPENING, settings(INITIAL_WINDOW_SIZE=2**24), window(0, 2**24))


def order(sent: Sequence[Frame]) -> list[int]:
    """The streams of DATA frames, each once for frames in a row."""
    found: list[int] = []
    for frame in sent:
        if isinstance(frame, DataFrame) and found[-1:] != [frame.stream_id]:
            found.append(frame.stream_id)
    return found
