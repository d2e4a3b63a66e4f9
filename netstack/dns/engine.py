"""Datagrams and streams of DNS messages: framing, bounds, time-outs (RFC 1035 §4.2, RFC 7766), whatever the messages say."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from netstack.dns.events import QueryReceived, ReplyReceived, SendQuery, SendReply, StreamEnded
from netstack.dns.wire import HEADER, summary
from netstack.sansio import (
    Address,
    ByteBuffer,
    Close,
    Command,
    Event,
    LocalProtocolError,
    Now,
    Peer,
    Recorder,
    RemoteProtocolError,
    Timeless,
)

BUFFER = 512 * 1024
"""Octets of a stream that may wait: one read of a driver, and the messages that wait for those in hand."""


class Datagrams(Timeless, Recorder):
    """One datagram socket: a server's gives QueryReceived, a client's ReplyReceived."""

    def __init__(self, server: bool) -> None:
        self._received = QueryReceived if server else ReplyReceived
        self._outgoing: list[tuple[bytes, Address]] = []

    def receive(self, data: bytes, now: Now, source: Address) -> Iterable[Event]:
        if self.recording:
            self.record(False, summary(data), data, source)
        if source[1] == 0:  # nobody can be answered there
            return ()
        return (self._received(data, source),)

    def send(self, command: Command, now: Now) -> None:
        if not isinstance(command, SendReply | SendQuery) or command.destination is None:
            raise LocalProtocolError(f"{command!r} is no message with a destination")
        if command.data is None:
            return
        if self.recording:
            self.record(True, summary(command.data), command.data, command.destination)
        self._outgoing.append((command.data, command.destination))

    def data_to_send(self) -> Sequence[tuple[bytes, Address]]:
        outgoing = self._outgoing
        if outgoing:
            self._outgoing = []
        return outgoing


class _Stream(Recorder):
    """Messages with a length of two octets before each (RFC 1035 §4.2.2)."""

    def __init__(self) -> None:
        self._buffer = ByteBuffer(BUFFER)
        self._outgoing: list[bytes] = []

    def _messages_in(self) -> Iterator[bytes]:
        buffer = self._buffer
        while len(buffer) >= 2:
            length = int.from_bytes(buffer.peek(2), "big")
            if length < HEADER:
                raise RemoteProtocolError(f"a message of {length} octets is shorter than a header (RFC 1035 §4.1.1)")
            framed = buffer.take(length + 2)
            if framed is None:
                return
            if self.recording:
                self.record(False, summary(framed[2:]), framed)
            yield framed[2:]

    def _frame(self, data: bytes) -> None:
        framed = len(data).to_bytes(2, "big") + data
        if self.recording:
            self.record(True, summary(data), framed)
        self._outgoing.append(framed)

    def data_to_send(self) -> Sequence[bytes]:
        outgoing = self._outgoing
        if outgoing:
            self._outgoing = []
        return outgoing


class ServerStream(_Stream):
    """A server's connection: queries may be pipelined, replies may come in another order (RFC 7766 §6.2.1.1).

    `pipeline` queries are in hand at once; the next ones wait. After `idle` seconds without a whole query the connection
    is closed, once the queries in hand are answered.
    """

    def __init__(self, pipeline: int, idle: float, secured: Callable[[], None] | None = None) -> None:
        """`secured` is called when the connection turns out to be under TLS."""
        super().__init__()
        self._secured = secured
        self.pipeline = pipeline
        self.idle = idle
        self._in_hand = 0
        self._ended = False
        self._deadline: float | None = None

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        self._deadline = now.monotonic + self.idle
        if info.security is not None and self._secured is not None:
            self._secured()
        return ()

    def receive(self, data: bytes, now: Now) -> Iterable[Event]:
        self._buffer.feed(data)
        if self._in_hand < self.pipeline:
            for message in self._messages_in():
                self._in_hand += 1
                self._deadline = now.monotonic + self.idle
                yield QueryReceived(message)
                if self._in_hand >= self.pipeline:
                    break
        if self._ended and self._in_hand == 0:
            yield Close()

    def eof(self, now: Now) -> Iterable[Event]:
        self._ended = True
        return self.receive(b"", now)

    def send(self, command: Command, now: Now) -> None:
        if not isinstance(command, SendReply):
            raise LocalProtocolError(f"{command!r} is no reply")
        if self._in_hand == 0:
            raise LocalProtocolError("a reply without a query")
        self._in_hand -= command.last
        self._deadline = now.monotonic + self.idle
        if command.data is not None:
            self._frame(command.data)

    def wants_data(self) -> bool:
        return self._in_hand < self.pipeline

    def next_timer(self) -> float | None:
        return None if self._in_hand else self._deadline

    def on_timer(self, now: Now) -> Iterable[Event]:
        return () if self._in_hand else (Close(),)


class ClientStream(Timeless, _Stream):
    """A client's connection for one query or many."""

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        return ()

    def receive(self, data: bytes, now: Now) -> Iterable[Event]:
        self._buffer.feed(data)
        for message in self._messages_in():
            yield ReplyReceived(message)

    def eof(self, now: Now) -> Iterable[Event]:
        return (StreamEnded(), Close())

    def send(self, command: Command, now: Now) -> None:
        if not isinstance(command, SendQuery):
            raise LocalProtocolError(f"{command!r} is no query")
        self._frame(command.data)

    def wants_data(self) -> bool:
        return True
