"""Engines without a driver: feed octets, answer requests, join two engines in memory."""

import re
from collections.abc import Callable, Sequence

from netstack.http.engine import ClientEngine, Heads, ServerEngine
from netstack.http.events import RequestReceived, RequestRefused, Respond
from netstack.http.limits import HTTPLimits
from netstack.sansio import Close, Command, Event, FileSlice, Now, Peer, RemoteProtocolError

WALL = 1_780_000_000.0
PEER = Peer(("192.0.2.1", 80), ("192.0.2.2", 50_000))

Answer = Callable[[Event], Sequence[Command]]


def echo(event: Event) -> Sequence[Command]:
    """Answers each request with its method and target, a refusal with its reason."""
    if isinstance(event, RequestReceived):
        return [Respond(200, b"", f"{event.request.method} {event.request.target}".encode())]
    if isinstance(event, RequestRefused):
        return [Respond(event.status, b"", event.reason.encode())]
    return []


class Server:
    """A ServerEngine with a role that answers at once, driven as StreamDriver does it."""

    def __init__(
        self, answer: Answer = echo, limits: HTTPLimits | None = None, recording: bool = False, heads: Heads | None = None
    ) -> None:
        self.engine = ServerEngine(heads or Heads(limits or HTTPLimits()))
        self.engine.recording = recording
        self.answer = answer
        self.time = 100.0
        self.events: list[Event] = []
        self.closed = False
        self.fault: RemoteProtocolError | None = None
        self.engine.connected(PEER, self.now)

    @property
    def now(self) -> Now:
        return Now(self.time, WALL)

    def _take(self, feed: Callable[..., object], *arguments: object) -> bytes:
        again = True
        try:
            while again and not self.closed:
                again = False
                for event in feed(*arguments, self.now):  # type: ignore[attr-defined]
                    if isinstance(event, Close):
                        self.closed = True
                        break
                    self.events.append(event)
                    for command in self.answer(event):
                        self.engine.send(command, self.now)
                        again = True
                feed, arguments = self.engine.receive, (b"",)
        except RemoteProtocolError as error:
            self.fault = error
            self.closed = True
        return self.output()

    def output(self) -> bytes:
        return b"".join(
            part.file.read_at(part.offset, part.length) if isinstance(part, FileSlice) else part
            for part in self.engine.data_to_send()
        )

    def receive(self, data: bytes) -> bytes:
        """Feed octets; what the server sends."""
        return b"" if self.closed else self._take(self.engine.receive, data)

    def eof(self) -> bytes:
        return b"" if self.closed else self._take(self.engine.eof)

    def send(self, command: Command) -> bytes:
        """A later answer of the role."""
        self.engine.send(command, self.now)
        return self._take(self.engine.receive, b"")

    def wait(self, seconds: float) -> bytes:
        """Let time pass; the timer fires when it is due."""
        self.time += seconds
        due = self.engine.next_timer()
        if self.closed or due is None or due > self.time:
            return b""
        return self._take(self.engine.on_timer)


class Client:
    """A ClientEngine whose events are collected."""

    def __init__(self, limits: HTTPLimits | None = None, recording: bool = False) -> None:
        self.engine = ClientEngine(limits or HTTPLimits())
        self.engine.recording = recording
        self.events: list[Event] = []
        self.closed = False
        self.fault: RemoteProtocolError | None = None

    def send(self, command: Command) -> bytes:
        self.engine.send(command, Now(100.0, WALL))
        return self.output()

    def output(self) -> bytes:
        return b"".join(part for part in self.engine.data_to_send() if isinstance(part, bytes))

    def receive(self, data: bytes) -> None:
        self._take(self.engine.receive(data, Now(100.0, WALL)))

    def eof(self) -> None:
        self._take(self.engine.eof(Now(100.0, WALL)))

    def _take(self, events: object) -> None:
        if self.closed:
            return
        try:
            for event in events:  # type: ignore[attr-defined]
                if isinstance(event, Close):
                    self.closed = True
                    return
                self.events.append(event)
        except RemoteProtocolError as error:
            self.fault = error
            self.closed = True


def statuses(output: bytes) -> list[int]:
    """The status codes in a server's output."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 ([1-5][0-9]{2}) [A-Z]", output)]
