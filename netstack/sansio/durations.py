"""How long things took: a histogram that engines and hot paths fill without cost, exported when scraped."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

BOUNDS = (0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192)
"""Upper bounds in seconds, as CoreDNS has them."""


@dataclass(slots=True)
class Durations:
    """Counts by upper bound, and their sum; `bounds` are ascending seconds, above the last one is one count more."""

    bounds: Sequence[float] = BOUNDS
    counts: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, seconds: float, times: int = 1) -> None:
        """Something took so long, so many times."""
        self.counts[bisect_left(self.bounds, seconds)] += times
        self.seconds += seconds * times

    def cumulated(self) -> list[tuple[str, float]]:
        """Prometheus's buckets: (upper bound, how many took no longer)."""
        names = [*map(str, self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))
