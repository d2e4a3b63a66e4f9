"""What happens between the engines of the socket-programming section and their roles."""

from dataclasses import dataclass

from netstack.sansio import Address, Command, Event


@dataclass(frozen=True, slots=True)
class SentenceReceived(Event):
    """To a server: a client's sentence. `source` is the client of a datagram, None on a connection."""

    sentence: bytes
    source: Address | None = None
    is_cut: bool = False
    """The client sent more than is read; the rest is ignored."""


@dataclass(frozen=True, slots=True)
class SourceRefused(Event):
    """To a server: a datagram whose source port belongs to a server; an answer could go back and forth for ever."""

    source: Address


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """To a client: the connection is up, under TLS where that was asked for; it may Ask."""


@dataclass(frozen=True, slots=True)
class AnswerReceived(Event):
    """To a client: the whole answer."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class AnswerMissed(Event):
    """To a client: no answer came to any of the attempts."""

    attempts: int


@dataclass(frozen=True, slots=True)
class Ask(Command):
    """To a client's engine: send this sentence and wait for its answer."""

    sentence: bytes


@dataclass(frozen=True, slots=True)
class Answer(Command):
    """To a server's engine: the answer to a sentence; `destination` is its `source`."""

    answer: bytes
    destination: Address | None = None
