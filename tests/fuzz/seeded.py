"""Many inputs from one seed, each of which can be made again alone."""

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from time import process_time

SLOWEST = 1.0
"""Seconds of CPU for one input, far above what a sound one of the same size takes."""

Check = Callable[[Random, Counter[str]], None]


def run(kind: str, check: Check, count: int, seed: int) -> Counter[str]:
    """So many inputs; what became of them. Fails with the seed of the input that did not do what is claimed."""
    seen: Counter[str] = Counter()
    for number, each in enumerate(seeds(seed, count)):
        before = process_time()
        try:
            check(Random(each), seen)
        except AssertionError as error:
            raise AssertionError(f"{kind}: input {number}, seed {each}: {error}") from error
        taken = process_time() - before
        assert taken < SLOWEST, f"{kind}: input {number}, seed {each}: {taken:.1f} s of CPU"
    return seen


def seeds(seed: int, count: int) -> Iterator[int]:
    """One of each input."""
    rng = Random(seed)
    return (rng.getrandbits(64) for _ in range(count))
