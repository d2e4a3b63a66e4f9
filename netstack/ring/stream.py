"""One connection between two nodes: who is there, then messages both ways, then a farewell that loses none of them.

Both sides begin with Hello. A side that wants no more says Bye and reads on until the other side, which gets Bye, has sent
what it had and says so, too: a message that was on its way when a connection was given up arrives.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

from netstack.ring.messages import Message
from netstack.ring.shown import summary
from netstack.ring.wire import MAGIC, UPKEEP, VERSION, Bye, Codec, Hello, Placed, Refusal
from netstack.sansio import (
    Abort,
    ByteBuffer,
    Close,
    Command,
    Event,
    LocalProtocolError,
    Now,
    Peer,
    Recorder,
    RemoteProtocolError,
)
from netstack.sansio.bounds import all_positive

FIRST = 1024
"""Octets of a first frame at most: nobody has more to say of himself."""
READ = 128 * 1024
"""Octets beyond one frame that may wait to be parsed: what a transport reads at once, twice."""

Reason = Literal["protocol", "silent", "version", "network", "bits", "identity", "taken", "self", "many"]
"""Why a connection is refused: no message of the protocol; no Hello in time; another version, network or width; a
certificate that is not the contact's; somebody else's identifier; this very node; too many connections of one address."""
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """Of one connection. Times in seconds."""

    hello_seconds: float = 5.0
    """For the other side's Hello."""
    bye_seconds: float = 5.0
    """For its Bye after ours."""
    idle_seconds: float = 60.0
    """Without a message either way; then Bye."""
    rate: float = 5000.0
    """Messages that are read in a second; more wait, and so does who sends them."""

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(frozen=True, slots=True)
class Greeted(Event):
    """The other side has said who it is, of this circle and network. Whether it is who it says is the role's to find out."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Received(Event):
    """A message of the ring."""

    message: Message
    upkeep: bool = False
    """Nobody has asked for it."""


@dataclass(frozen=True, slots=True)
class OtherPlaced(Event):
    """The other side has got a place on the circle."""


@dataclass(frozen=True, slots=True)
class Parted(Event):
    """Nothing more can be sent here: one of the sides has said Bye."""


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """The connection ends: we refuse the other side, or, when not `ours`, it refuses us."""

    reason: str
    text: str
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Say(Command):
    """Send a message, which the codec has framed."""

    message: Message
    framed: bytes
    upkeep: bool = False


@dataclass(frozen=True, slots=True)
class Part(Command):
    """Say Bye."""


@dataclass(frozen=True, slots=True)
class Refuse(Command):
    """Say why, and close."""

    reason: Reason
    text: str


class StreamEngine(Recorder):
    """The state of one connection."""

    duplex = True
    """Two nodes that have much to say both read on while they write, or neither would get to the end."""

    def __init__(self, codec: Codec, hello: Hello, bounds: StreamBounds, journal_upkeep: bool = False) -> None:
        """`journal_upkeep`: the journal has also what nobody has asked for, which is most of what nodes say."""
        self._codec = codec
        self._hello = hello
        self._bounds = bounds
        self._journal_upkeep = journal_upkeep
        self._input = ByteBuffer(codec.limits.frame + 4 + READ)
        self._out: list[bytes] = []
        self._greeted = self._said_bye = self._heard_bye = self._closed = False
        self._due = inf
        """When the other side's Hello, or its Bye, has to be here."""
        self._active = 0.0
        self._tokens, self._counted = bounds.rate, 0.0

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        self._active = self._counted = now.monotonic
        self._due = now.monotonic + self._bounds.hello_seconds
        self._write(self._hello)
        return ()

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        if self._closed:
            yield Close()
            return
        try:
            self._input.feed(data)
            while not self._closed and self._may_read(now.monotonic):
                body = self._frame()
                if body is None:
                    return
                yield from self._message(self._codec.decode(body), body, now)
        except RemoteProtocolError as error:
            yield self._refused("protocol", str(error))
            raise

    def eof(self, now: Now) -> Iterable[Event]:
        self._closed = True
        return [Close()]

    def send(self, command: Command, now: Now) -> None:
        if isinstance(command, Refuse):
            self._refused(command.reason, command.text)
        elif isinstance(command, Say):
            if not self.open:
                raise LocalProtocolError("nothing can be said here before Hello and after Bye")
            self._active = now.monotonic
            self._put(command.message, command.framed, command.upkeep)
        elif isinstance(command, Part):
            self._part(now)
        else:
            raise LocalProtocolError(f"{command} is nothing that a connection of the ring does")

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._greeted and not (self._said_bye or self._heard_bye or self._closed)

    def data_to_send(self) -> Sequence[bytes]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return self._tokens > 0

    def next_timer(self) -> float | None:
        due = self._due if self._due < inf else self._active + self._bounds.idle_seconds
        return due if self._tokens > 0 else min(due, self._counted + 1 / self._bounds.rate)

    def on_timer(self, now: Now) -> Iterator[Event]:
        if self._tokens <= 0:
            yield from self.receive(b"", now)
        if self._closed:
            return
        if now.monotonic >= self._due:
            if self._greeted:
                self._closed = True
                yield Abort()
            else:
                yield self._refused("silent", f"no Hello within {self._bounds.hello_seconds:g} s")
                yield Close()
        elif self._due == inf and now.monotonic >= self._active + self._bounds.idle_seconds:
            self._part(now)
            yield Parted()

    # Frames

    def _may_read(self, now: float) -> bool:
        """Whether another message may be read now; each takes a token."""
        rate = self._bounds.rate
        self._tokens = min(rate, self._tokens + (now - self._counted) * rate)
        self._counted = now
        return self._tokens > 0

    def _frame(self) -> bytes | None:
        """The next one without its length, or None until it is there."""
        buffer = self._input
        if len(buffer) < 4:
            return None
        length = int.from_bytes(buffer.peek(4), "big")
        most = self._codec.limits.frame if self._greeted else FIRST
        if not 0 < length <= most:
            raise RemoteProtocolError(f"a frame of {length} octets; expected 1 to {most}")
        framed = buffer.take(4 + length)
        return None if framed is None else framed[4:]

    def _message(self, message: Message, body: bytes, now: Now) -> Iterator[Event]:
        self._tokens -= 1
        upkeep = body[0] >= UPKEEP
        if self.recording and self._is_recorded(message, upkeep):
            self.record(False, summary(message), len(body).to_bytes(4, "big") + body)
        if isinstance(message, Refusal):
            self._closed = True
            yield Refused(message.reason[:20], message.text[:200], ours=False)
            yield Close()
        elif not self._greeted:
            yield from self._greet(message)
        elif self._heard_bye:
            raise RemoteProtocolError(f"{type(message).__name__} after Bye")
        elif isinstance(message, Bye):
            self._heard_bye = True
            yield Parted()
            if not self._said_bye:
                self._write(message)
            self._closed = True
            yield Close()
        elif isinstance(message, Placed):
            yield OtherPlaced()
        elif isinstance(message, Hello):
            raise RemoteProtocolError("a second Hello")
        else:
            self._active = now.monotonic
            yield Received(message, upkeep)

    def _greet(self, message: Message) -> Iterator[Event]:
        mine = self._hello
        if not isinstance(message, Hello) or message.magic != MAGIC:
            raise RemoteProtocolError("the first frame has to be Hello")
        wrong: tuple[Reason, str] | None = None
        if message.version != VERSION:
            wrong = "version", f"version {message.version} of the protocol is not spoken here, but {VERSION}"
        elif message.network != mine.network:
            wrong = "network", f"this is network {mine.network!r}, not {message.network[:80]!r}"
        elif message.bits != mine.bits:
            wrong = "bits", f"identifiers have {mine.bits} bits here, not {message.bits}"
        elif message.contact.ident >> mine.bits:
            wrong = "protocol", f"an identifier of more than {mine.bits} bits"
        if wrong is not None:
            yield self._refused(*wrong)
            yield Close()
            return
        self._greeted, self._due = True, inf
        yield Greeted(message)

    def _part(self, now: Now) -> None:
        if self._said_bye or self._closed:
            return
        if not self._greeted:
            self._closed = True
            return
        self._write(Bye())
        self._said_bye = True
        self._due = now.monotonic + self._bounds.bye_seconds

    def _refused(self, reason: Reason, text: str) -> Refused:
        if not self._closed:
            self._closed = True
            self._write(Refusal(reason, text[:200]))
        return Refused(reason, text)

    def _write(self, message: Message) -> None:
        self._put(message, self._codec.encode(message))

    def _is_recorded(self, message: Message, upkeep: bool) -> bool:
        return self._journal_upkeep or not (upkeep or isinstance(message, Hello | Bye | Placed))

    def _put(self, message: Message, framed: bytes, upkeep: bool = False) -> None:
        self._out.append(framed)
        if self.recording and self._is_recorded(message, upkeep):
            self.record(True, summary(message), framed)
