"""What passes between the engines of the DNS, their drivers and their roles."""

from dataclasses import dataclass

from netstack.sansio import Address, Command, Event


@dataclass(frozen=True, slots=True)
class QueryReceived(Event):
    """A server got a message; `source` is None on a stream, which has one other end."""

    data: bytes
    source: Address | None = None


@dataclass(frozen=True, slots=True)
class ReplyReceived(Event):
    """A client got a message."""

    data: bytes
    source: Address | None = None


@dataclass(frozen=True, slots=True)
class StreamEnded(Event):
    """The peer of a client's stream sends no more."""


@dataclass(frozen=True, slots=True)
class SendReply(Command):
    """Answer one query; `data` None: no reply is due, the query is done with."""

    data: bytes | None
    destination: Address | None = None


@dataclass(frozen=True, slots=True)
class SendQuery(Command):
    """Ask."""

    data: bytes
    destination: Address | None = None
