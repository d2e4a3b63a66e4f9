"""The state machines of the socket-programming section: one sentence there, one answer back, over TCP and over UDP.

Neither side marks the end of its sentence, as in the section's programs: the server takes the first read of a connection
for the sentence, answers and closes; the client takes everything up to the close for the answer. A datagram is a sentence.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

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
    Timeless,
    Transitions,
)
from netstack.sockets.events import (
    Answer,
    AnswerMissed,
    AnswerReceived,
    Ask,
    Connected,
    SentenceReceived,
    SourceRefused,
)
from netstack.sockets.wire import LARGEST_DATAGRAM, cut, summary


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a sentence's way; each is an option. Sizes in octets, times in seconds."""

    sentence: int = 65_536
    """Of a connection's first read; what is beyond is ignored, as `recv(1024)` of the section's server ignores it."""
    answer: int = 3 * 65_536
    """That a client takes. Upper case is at most three times as long."""
    timeout: float = 1.0
    """For the answer to a datagram, before the sentence is sent again."""
    attempts: int = 3
    """Datagrams that a client sends for one sentence."""


class State(Enum):
    """Where one exchange is."""

    READY = auto()
    """A server waits for a sentence; a client may ask."""
    ASKED = auto()
    """The sentence is across, its answer is not."""
    ANSWERED = auto()
    DONE = auto()


class Input(Enum):
    """What moves an exchange on."""

    SENTENCE = auto()
    ANSWER = auto()
    END = auto()
    """The peer will send no more, the connection is being closed, or a client gave up."""


SERVER = Transitions(
    "uppercase server, one connection",
    {
        (State.READY, Input.SENTENCE): State.ASKED,
        (State.READY, Input.END): State.DONE,
        (State.ASKED, Input.ANSWER): State.ANSWERED,
        (State.ANSWERED, Input.END): State.DONE,
    },
)

CLIENT = Transitions(
    "uppercase client, one sentence",
    {
        (State.READY, Input.SENTENCE): State.ASKED,
        (State.READY, Input.END): State.DONE,
        (State.ASKED, Input.ANSWER): State.ANSWERED,
        (State.ASKED, Input.END): State.DONE,
    },
)


class StreamServer(Timeless, Recorder):
    """The server's side of one connection: SentenceReceived once, Answer once, Close."""

    def __init__(self, bounds: Bounds) -> None:
        self.state = State.READY
        self._bounds = bounds
        self._output: list[bytes] = []

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        return ()

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        if data and self.state is State.READY:
            self.state = SERVER.next(self.state, Input.SENTENCE)
            sentence = data[: self._bounds.sentence]
            if self.recording:
                self.record(False, summary(sentence), sentence)
            yield SentenceReceived(sentence, is_cut=len(sentence) < len(data))
        if self.state is State.ANSWERED:
            self.state = SERVER.next(self.state, Input.END)
            yield Close()

    def eof(self, now: Now) -> Iterator[Event]:
        """A client that has closed its side may still read an answer; one that said nothing gets none."""
        if self.state is State.READY:
            self.state = SERVER.next(self.state, Input.END)
            yield Close()

    def send(self, command: Command, now: Now) -> None:
        if not isinstance(command, Answer):
            raise LocalProtocolError(f"a server answers; it does not {type(command).__name__}")
        self.state = SERVER.next(self.state, Input.ANSWER)
        if command.answer:
            self._output.append(command.answer)
            if self.recording:
                self.record(True, summary(command.answer), command.answer)

    def data_to_send(self) -> Sequence[bytes]:
        output, self._output = self._output, []
        return output

    def wants_data(self) -> bool:
        """Only until the sentence is there: the rest of an endless one waits in the client."""
        return self.state is State.READY


class StreamClient(Timeless, Recorder):
    """The client's side of one connection: Ask once, AnswerReceived once, when the server has closed."""

    def __init__(self, bounds: Bounds) -> None:
        self.state = State.READY
        self._answer = ByteBuffer(bounds.answer)
        self._output: list[bytes] = []

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        return (Connected(),)

    def receive(self, data: bytes, now: Now) -> Iterable[Event]:
        """Raises RemoteProtocolError when the answer exceeds its bound."""
        self._answer.feed(data)
        return ()

    def eof(self, now: Now) -> Iterator[Event]:
        asked = self.state is State.ASKED
        if self.state in (State.READY, State.ASKED):
            self.state = CLIENT.next(self.state, Input.ANSWER if asked else Input.END)
        if asked:
            answer = self._answer.take_all()
            if self.recording:
                self.record(False, summary(answer), answer)
            yield AnswerReceived(answer)
        yield Close()

    def send(self, command: Command, now: Now) -> None:
        if not isinstance(command, Ask):
            raise LocalProtocolError(f"a client asks; it does not {type(command).__name__}")
        if not command.sentence:
            raise LocalProtocolError("an empty sentence has no octet that a server could read")
        self.state = CLIENT.next(self.state, Input.SENTENCE)
        self._output.append(command.sentence)
        if self.recording:
            self.record(True, summary(command.sentence), command.sentence)

    def data_to_send(self) -> Sequence[bytes]:
        output, self._output = self._output, []
        return output

    def wants_data(self) -> bool:
        return True


class DatagramServer(Timeless, Recorder):
    """The server's socket: SentenceReceived for each datagram, Answer for each, in any order; no state is kept."""

    def __init__(self, own_port: int) -> None:
        """`own_port`: where servers of this protocol listen, whose datagrams are never answered."""
        self._own_port = own_port
        self._output: list[tuple[bytes, Address]] = []

    def receive(self, data: bytes, now: Now, source: Address) -> Iterator[Event]:
        """Datagrams from a server's port are not answered: two servers would answer each other for ever, and a forged
        source is all that it takes to start them (RFC 9293 has no such case; UDP's echo, RFC 862, is the known one).
        """
        if source[1] == self._own_port or source[1] < 1024:
            yield SourceRefused(source)
            return
        if self.recording:
            self.record(False, summary(data), data, source)
        yield SentenceReceived(data, source)

    def send(self, command: Command, now: Now) -> None:
        """An answer that no datagram can hold is cut after its last whole character."""
        if not isinstance(command, Answer) or command.destination is None:
            raise LocalProtocolError("a server of datagrams sends an Answer with a destination")
        answer = cut(command.answer, LARGEST_DATAGRAM)
        self._output.append((answer, command.destination))
        if self.recording:
            self.record(True, summary(answer), answer, command.destination)

    def data_to_send(self) -> Sequence[tuple[bytes, Address]]:
        output, self._output = self._output, []
        return output


class DatagramClient(Recorder):
    """A client's socket for one sentence: it is sent again after a time-out, because datagrams get lost (RFC 768).

    Only a datagram from `server` is the answer; others are dropped and counted in `strangers`.
    """

    def __init__(self, server: Address, bounds: Bounds) -> None:
        self.state = State.READY
        self.attempts = 0
        self.strangers = 0
        self._server = server
        self._bounds = bounds
        self._sentence = b""
        self._due: float | None = None
        self._output: list[tuple[bytes, Address]] = []

    def receive(self, data: bytes, now: Now, source: Address) -> Iterator[Event]:
        if source != self._server:
            self.strangers += 1
        elif self.state is State.ASKED:
            self.state = CLIENT.next(self.state, Input.ANSWER)
            self._due = None
            if self.recording:
                self.record(False, summary(data), data, source)
            yield AnswerReceived(data)

    def send(self, command: Command, now: Now) -> None:
        if not isinstance(command, Ask):
            raise LocalProtocolError(f"a client asks; it does not {type(command).__name__}")
        if len(command.sentence) > LARGEST_DATAGRAM:
            raise LocalProtocolError(f"a datagram holds at most {LARGEST_DATAGRAM} octets")
        self.state = CLIENT.next(self.state, Input.SENTENCE)
        self._sentence = command.sentence
        self._attempt(now)

    def data_to_send(self) -> Sequence[tuple[bytes, Address]]:
        output, self._output = self._output, []
        return output

    def next_timer(self) -> float | None:
        return self._due

    def on_timer(self, now: Now) -> Iterator[Event]:
        if self._due is None or now.monotonic < self._due:
            return
        if self.attempts < self._bounds.attempts:
            self._attempt(now)
        else:
            self._due = None
            self.state = CLIENT.next(self.state, Input.END)
            yield AnswerMissed(self.attempts)

    def _attempt(self, now: Now) -> None:
        self.attempts += 1
        self._due = now.monotonic + self._bounds.timeout
        self._output.append((self._sentence, self._server))
        if self.recording:
            self.record(True, summary(self._sentence), self._sentence, self._server)
