"""What a connection may cost us: allowances that fill again with time (RFC 9113 §10.5)."""

from dataclasses import dataclass, field

SECONDS = 10.0
"""Within which an allowance fills from nothing."""

ABUSES = ("resets", "frames", "fields", "windows", "streams", "malformed")
"""What is counted as abuse; see the README's metrics."""


class Allowance:
    """At most `size` at once, and again within ten seconds."""

    __slots__ = ("_at", "_left", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = float(size)
        self._at = 0.0

    def spend(self, now: float) -> bool:
        """Take one; False when nothing is left."""
        left = min(self._size, self._left + (now - self._at) * self._size / SECONDS)
        self._at = now
        self._left = left - 1
        return left >= 1

    def earn(self, amount: float) -> None:
        """What was paid for by something useful."""
        self._left += amount


@dataclass(slots=True)
class Counts:
    """What the HTTP/2 connections of a service count."""

    connections: int = 0
    streams: int = 0
    resets_received: int = 0
    resets_sent: int = 0
    abuses: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ABUSES, 0))
