"""What an engine is, and the values that pass between an engine, its driver and its role.

Flow of one step: the driver feeds bytes (`connected`, `receive`, `eof`, `on_timer`), hands each event in turn to the role
before it asks for the next one, then writes `data_to_send()`. A role answers with commands through `send`.
After a `send` the driver calls `receive(b"")`: go on with input that waited while a request was in hand.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

Address = tuple[str, int]
"""An IP address as text, and a port."""


class Now(NamedTuple):
    """The two clocks of one step."""

    monotonic: float
    """Seconds since an arbitrary start; never goes back."""
    wall: float
    """Seconds since 1970-01-01 UTC; may jump."""


def _unbound(kind: str) -> bytes | None:
    return None


Fault = Literal["", "name", "time", "trust"]


@dataclass(frozen=True, slots=True)
class Security:
    """What a TLS handshake agreed on."""

    version: str
    cipher: str
    server_name: str | None = None
    alpn: str | None = None
    binding: Callable[[str], bytes | None] = field(default=_unbound, compare=False, repr=False)
    """The channel's binding of a kind ("tls-exporter", "tls-server-end-point"; RFC 5056), None where it has none."""
    chain: Callable[[], Sequence[bytes]] = field(default=tuple, compare=False, repr=False)
    """The peer's certificates as it sent them, DER, its own first."""
    trouble: str = ""
    """Why the peer's certificate is not acceptable, where somebody wanted to go on all the same."""
    fault: Fault = ""
    """What kind of trouble that is."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The two ends of a flow."""

    local: Address
    remote: Address
    transport: Literal["tcp", "udp"] = "tcp"
    security: Security | None = None


class Event:
    """What happened, in the past tense: from an engine to its role."""

    __slots__ = ()


class Command:
    """What to do, in the imperative: from a role to its engine."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class StartTLS(Event):
    """To the driver: what is written after this is written under TLS (a server: accept, a client: connect)."""


@dataclass(frozen=True, slots=True)
class CloseWrite(Event):
    """To the driver: send what is queued, then FIN; go on reading."""


@dataclass(frozen=True, slots=True)
class Close(Event):
    """To the driver: send what is queued, then close both directions."""


@dataclass(frozen=True, slots=True)
class Abort(Event):
    """To the driver: reset the connection now and drop what is queued."""


@dataclass(frozen=True, slots=True)
class Flush(Event):
    """To the driver: write what is queued, and ask for the next event when the transport takes more."""


@dataclass(frozen=True, slots=True)
class HandOver(Event):
    """To the driver: another engine has the connection from now on; it gets `connected`, then `data`. The last event."""

    engine: "Engine"
    data: bytes = b""


class Readable(Protocol):
    """An open file, as `kernel/disk.py` gives it."""

    def fileno(self) -> int:
        """The descriptor for sendfile(2), or -1 where there is none (a simulated disk)."""

    def read_at(self, offset: int, length: int) -> bytes:
        """At most `length` octets from `offset`; empty at the end of the file."""

    def close(self) -> None:
        """Give the file back. The driver does so when the slice is sent or dropped."""


@dataclass(frozen=True, slots=True)
class FileSlice:
    """`length` octets of an open file from `offset`, to be sent without a copy where the transport can."""

    file: Readable
    offset: int
    length: int


class Message(NamedTuple):
    """One protocol message, for the journal; `summary` is one line, such as "A gaia.cs.umass.edu"."""

    sent: bool
    summary: str
    data: bytes
    remote: Address | None = None
    """The other end, for engines of datagrams, which have many; `None` for streams."""
    omitted: int = 0
    """Octets of the message after `data` that are not kept, such as a body sent straight from a file."""


class Recorder:
    """Mix-in of engines: collects messages for the journal while `recording` is on; costs one test while off."""

    recording: bool = False
    _messages: tuple[Message, ...] = ()

    def record(self, sent: bool, summary: str, data: bytes, remote: Address | None = None, omitted: int = 0) -> None:
        """Keep one message; call it only under `if self.recording`.

        `data` is what went over the flow, in plaintext, framing included: a DNS message over TCP has its length prefix
        (RFC 1035 §4.2.2), a mail dialogue its CRLFs. The messages of one direction of a stream, joined, are the stream.
        """
        self._messages += (Message(sent, summary, data, remote, omitted),)  # few: the driver takes them at every step

    def messages(self) -> Sequence[Message]:
        """The messages since the last call, in order."""
        messages = self._messages
        if messages:
            self._messages = ()
        return messages


class Timeless:
    """Mix-in of engines that wait for nothing but input."""

    def next_timer(self) -> float | None:
        return None

    def on_timer(self, now: Now) -> Iterable[Event]:
        return ()


class _Recording(Protocol):
    recording: bool

    def messages(self) -> Sequence[Message]: ...


class Engine(_Recording, Protocol):
    """One side of one stream connection.

    A `RemoteProtocolError` raised by `receive`, `eof` or `on_timer` makes the driver write what is queued, count it and
    close. A `LocalProtocolError` raised by `send` goes to the caller.

    With an attribute `duplex` that is true, input is read also while output waits: for engines whose two directions do
    not depend on each other, such as a client's, whose server may answer before it has read all. Their roles send only
    while the connection is `writable`.
    """

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        """The connection is up (again after StartTLS, with `info.security`)."""

    def receive(self, data: bytes, now: Now) -> Iterable[Event]:
        """Bytes arrived; `b""`: go on with what is buffered."""

    def eof(self, now: Now) -> Iterable[Event]:
        """The peer will send no more."""

    def send(self, command: Command, now: Now) -> None:
        """Carry out a command; raises LocalProtocolError when the state forbids it."""

    def data_to_send(self) -> Sequence[bytes | FileSlice]:
        """What is to be written, once."""

    def wants_data(self) -> bool:
        """False while input should wait in the kernel's buffer; the driver then stops reading."""

    def next_timer(self) -> float | None:
        """When `on_timer` wants to be called: monotonic seconds, or None."""

    def on_timer(self, now: Now) -> Iterable[Event]:
        """The time asked for by `next_timer` has come."""


class Hot(Protocol):
    """What an engine may have beside: a way past its events for input that came before (its hot path)."""

    def at_once(self, data: bytes, seconds: float) -> bytes | None:
        """The whole answer to `data`, which has arrived, counted and logged; None: nothing happened, it goes to `receive`.
        Empty: it is taken, and answered later.

        Asked while nothing waits to be written and the journal is off. The engine still wants data afterwards, and its
        timer is not due before the one that it had: the driver asks for neither.
        """


class HotAnswers(Protocol):
    """What an engine with a hot path may have beside, for what it is told later."""

    def said(self, command: Command, seconds: float) -> bytes | None:
        """All that comes of a command, to be written; None: nothing happened, it goes to `send`.

        Asked as `at_once` is, between two steps. The timer may be another one afterwards.
        """


class DatagramEngine(_Recording, Protocol):
    """One datagram socket; every datagram names its other end."""

    def receive(self, data: bytes, now: Now, source: Address) -> Iterable[Event]:
        """A datagram arrived from `source`."""

    def send(self, command: Command, now: Now) -> None:
        """Carry out a command."""

    def data_to_send(self) -> Sequence[tuple[bytes, Address]]:
        """Datagrams to be sent, once."""

    def next_timer(self) -> float | None:
        """When `on_timer` wants to be called: monotonic seconds, or None."""

    def on_timer(self, now: Now) -> Iterable[Event]:
        """The time asked for by `next_timer` has come."""
