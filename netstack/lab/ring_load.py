"""How many keys a node of the ring has (Chord, §6.2 of 2001): counted, and as the theory has it."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, lgamma
from statistics import fmean

from netstack.ring.identifiers import Circle

NODES = 10_000
STEP = 100_000
LOW, HIGH = 0.01, 0.99
"""The percentiles that the paper shows."""


@dataclass(frozen=True, slots=True)
class Load:
    """Of keys over real nodes."""

    keys: int
    virtual: int
    """Places on the circle for each of them."""
    counts: Sequence[int]
    """Keys of each node, sorted."""

    @property
    def mean(self) -> float:
        return fmean(self.counts)

    @property
    def low(self) -> int:
        return percentile(self.counts, LOW)

    @property
    def high(self) -> int:
        return percentile(self.counts, HIGH)


def percentile(ordered: Sequence[int], part: float) -> int:
    """The least value that so many are not above."""
    return ordered[max(0, -int(-part * len(ordered) // 1) - 1)]


def hashed_keys(circle: Circle, seed: object, count: int, known: Sequence[int] = ()) -> list[int]:
    """Identifiers of so many keys, sorted; `known` are the first of them."""
    found = [*known, *(circle.of(b"key %d of %a" % (number, seed)) for number in range(len(known), count))]
    found.sort()
    return found


def loads(circle: Circle, seed: object, keys: Sequence[int], nodes: int = NODES, virtual: int = 1) -> list[int]:
    """Keys of each node: those after the place before each of its own, up to that (the closest successor)."""
    places = sorted(
        (circle.of(b"node %d, %d of %a" % (node, place, seed)), node) for node in range(nodes) for place in range(virtual)
    )
    counts = [0] * nodes
    before = 0
    for ident, node in places:
        upto = bisect_left(keys, ident + 1)
        counts[node] += upto - before
        before = upto
    counts[places[0][1]] += len(keys) - before
    return counts


def growing(circle: Circle, seed: object, most: int) -> Iterator[tuple[int, list[int]]]:
    """Loads with more and more keys on the same nodes, up to so many."""
    keys: list[int] = []
    for count in range(STEP, most + 1, STEP):
        keys = hashed_keys(circle, seed, count, keys)
        yield count, loads(circle, seed, keys)


def expected(keys: int, nodes: int, virtual: int, part: float) -> int:
    """The percentile of the theory: a node's part of the circle is Beta(v, vN - v), its keys a binomial of that part."""
    others = nodes * virtual - virtual
    chance = exp(
        lgamma(nodes * virtual) + lgamma(others + keys) - lgamma(others) - lgamma(nodes * virtual + keys)
    )  # of none
    total, count = chance, 0
    while total < part and count < keys:
        chance *= (keys - count) / (count + 1) * (virtual + count) / (others + keys - count - 1)
        count += 1
        total += chance
    return count
