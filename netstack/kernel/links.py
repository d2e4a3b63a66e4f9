"""One model of links: rate, delay, loss. Virtual time, the loopback shaper and namespaces all apply these numbers."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One direction of a link."""

    rate_bps: float | None = None
    """Bits per second; None is unlimited."""
    delay: float = 0.0
    """Propagation, seconds."""
    loss: float = 0.0
    """Probability that a packet is lost, 0..1."""
    queue: int | None = None
    """Octets that may wait for the link before packets are dropped; None is unlimited."""


class Links(Protocol):
    """The links that a host's own drivers must imitate because nothing below them does (loopback)."""

    def path(self, source: str, destination: str) -> LinkSettings | None:
        """What a packet between two addresses crosses now; None for no link at all."""
