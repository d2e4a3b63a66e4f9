"""Words that a driver has for the end of a connection."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost


class HalfClose(Enum):
    """Stands in the outbox where the FIN belongs."""

    HERE = 1


class Deadline(Enum):
    """What has to end in its time."""

    HANDSHAKE = 1
    FLUSH = 2
    """What was queued at close is still to be taken by the peer."""
    DISCARD = 3
    """All is written; input is read and dropped until the peer closes too."""


REASONS: Mapping[type[BaseException] | None, str] = MappingProxyType(
    {ConnectionDone: "closed", ConnectionLost: "reset", ConnectionAborted: "aborted"}
)
"""What a role is told of a connection that Twisted says is lost."""
