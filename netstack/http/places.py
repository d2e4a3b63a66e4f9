"""Where requests go: what a pool of connections tells apart."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A scheme, a host and the port in use."""

    secure: bool
    host: str
    port: int
    own: bool = False
    """Chosen by our own configuration, not by a client: it may be at any address."""
