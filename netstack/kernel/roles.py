"""What a role is: the part of a service that answers the events of one connection's engine, and what it may do with it."""

from typing import Protocol

from netstack.kernel.machine import Machine
from netstack.sansio import (
    Command,
    Event,
    Peer,
)


class Connection(Protocol):
    """What a role may do with its connection; StreamDriver is the implementation."""

    machine: Machine
    peer: Peer

    @property
    def writable(self) -> bool: ...

    def send(self, command: Command) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Role(Protocol):
    """Answers an engine's events; one object for each connection."""

    def handle(self, event: Event, connection: Connection) -> None:
        """An event of the engine. May call `connection.send`, now or later."""

    def lost(self, reason: str) -> None:
        """The connection is gone: "closed", "reset", "timeout", "protocol error" or Twisted's text."""


class Producing(Protocol):
    """What a role adds when it sends more than fits into the buffer."""

    def writable(self, connection: Connection) -> None:
        """The queued output was taken; go on sending."""


class Draining(Protocol):
    """What a role adds to end gracefully when the service stops."""

    def drain(self, connection: Connection) -> None:
        """The service stops: finish what is in hand, then close."""
