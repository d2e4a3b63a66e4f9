"""Bounds of connections. Every one is a named option of the service that has it (`taps/`)."""

from dataclasses import dataclass

from netstack.sansio.bounds import all_positive


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds of one listener or one client. Times in seconds, sizes in octets."""

    connections: int = 10_000
    """Open at once; one more is closed at once and counted as refused."""
    idle: float = 60.0
    """Without a byte in either direction; the protocol's own, shorter times are its engine's timers."""
    handshake: float = 10.0
    """For the TLS handshake."""
    linger: float = 30.0
    """For what is queued at close to be taken by the peer; then the connection is reset."""
    discard: float = 5.0
    """For the peer to close after our last octet; until then its input is read and dropped."""
    output_high: int = 256 * 1024
    """Queued output above which input is no longer read and roles are asked to pause. Twisted's transports ask for a pause
    at 64 KiB of their own; a shaped link's queue has this bound."""
    output_low: int = 64 * 1024
    """Octets in a shaped link's queue below which reading and roles go on; Twisted's transports wait until all is taken."""
    connect: float = 10.0
    """For a client's connection to be set up."""

    def __post_init__(self) -> None:
        all_positive(self)
