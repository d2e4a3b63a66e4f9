"""Bounds of connections. Every one is a named option of the service that has it (`taps/`)."""

from dataclasses import dataclass


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
    output_high: int = 256 * 1024
    """Queued output above which input is no longer read and roles are asked to pause."""
    output_low: int = 64 * 1024
    """Queued output below which reading and roles go on."""
    connect: float = 10.0
    """For a client's connection to be set up."""
