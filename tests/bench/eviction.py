"""Hit ratios of S3-FIFO beside LRU and what is possible, on Zipf traces with and without scans; CPU of a request."""

import argparse
import heapq
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from random import Random
from zlib import crc32

from netstack.cache.eviction import S3FIFO, USES, Item

ALPHAS = (0.6, 0.8, 1.0, 1.2)
SHARES = (0.01, 0.05, 0.2)
"""Of the objects that are asked for again and again, so many fit."""
SCAN = 0.3
"""Of the requests of a trace with scans, so many are for objects that nobody asks for again."""
BURST = 2000
"""Such requests one after another."""


def trace(objects: int, requests: int, alpha: float, scans: bool, seed: int) -> list[int]:
    """Objects by number; those above `objects` come once."""
    rng = Random(seed)
    weights = list(accumulate((rank + 1) ** -alpha for rank in range(objects)))
    numbers = list(range(objects))
    rng.shuffle(numbers)
    if not scans:
        return rng.choices(numbers, cum_weights=weights, k=requests)
    found: list[int] = []
    once = objects
    while len(found) < requests:
        found += rng.choices(numbers, cum_weights=weights, k=round(BURST * (1 - SCAN) / SCAN))
        found += range(once, once + BURST)
        once += BURST
    return found[:requests]


class Named(Item):
    """An object of the trace."""

    __slots__ = ("name",)

    def __init__(self, name: int) -> None:
        super().__init__(1)
        self.name = name

    @property
    def mark(self) -> int:
        return crc32(b"%d" % self.name)


def s3fifo(requests: Sequence[int], capacity: int) -> int:
    """Hits of the store's own queues."""
    queues: S3FIFO[Named] = S3FIFO(capacity)
    items: dict[int, Named] = {}
    hits = 0
    for name in requests:
        item = items.get(name)
        if item is not None:
            hits += 1
            if item.uses < USES:
                item.uses += 1
            continue
        if len(items) >= capacity:
            gone = queues.evict()
            assert gone is not None
            del items[gone.name]
        item = items[name] = Named(name)
        queues.add(item)
    return hits


def lru(requests: Sequence[int], capacity: int) -> int:
    """Hits where what was used least recently goes."""
    items: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for name in requests:
        if name in items:
            hits += 1
            items.move_to_end(name)
            continue
        if len(items) >= capacity:
            items.popitem(last=False)
        items[name] = None
    return hits


def most(requests: Sequence[int], capacity: int) -> int:
    """Hits of who knows the future: what is not needed for the longest time goes (Belady), or does not come in at all."""
    never = len(requests)
    following = [never] * never
    last: dict[int, int] = {}
    for at in range(never - 1, -1, -1):
        following[at] = last.get(requests[at], never)
        last[requests[at]] = at
    items: dict[int, int] = {}
    heap: list[tuple[int, int]] = []
    hits = 0
    for at, name in enumerate(requests):
        again = following[at]
        if name in items:
            hits += 1
        elif again == never:
            continue
        elif len(items) >= capacity:
            while items.get(heap[0][1]) != -heap[0][0]:
                heapq.heappop(heap)
            if -heap[0][0] <= again:
                continue
            del items[heapq.heappop(heap)[1]]
        items[name] = again
        heapq.heappush(heap, (-again, name))
    return hits


@dataclass(slots=True)
class Row:
    """One trace and size."""

    alpha: float
    scans: bool
    share: float
    s3fifo: float
    lru: float
    most: float
    s3fifo_us: float
    lru_us: float


def timed(policy: Callable[[Sequence[int], int], int], requests: Sequence[int], capacity: int) -> tuple[float, float]:
    """Hit ratio, and microseconds of CPU for a request."""
    began = time.process_time()
    hits = policy(requests, capacity)
    return hits / len(requests), (time.process_time() - began) / len(requests) * 1e6


def rows(objects: int, requests: int, seed: int) -> list[Row]:
    """All traces and sizes."""
    found = []
    for scans in (False, True):
        for alpha in ALPHAS:
            asked = trace(objects, requests, alpha, scans, seed)
            for share in SHARES:
                capacity = round(objects * share)
                ours, ours_us = timed(s3fifo, asked, capacity)
                theirs, theirs_us = timed(lru, asked, capacity)
                bound = most(asked, capacity) / len(asked)
                found.append(Row(alpha, scans, share, ours, theirs, bound, ours_us, theirs_us))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=50_000, help="that are asked for again and again")
    parser.add_argument("--requests", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = rows(options.objects, options.requests, options.seed)
    if options.json:
        print(json.dumps([asdict(row) for row in found], indent=2))
        return
    print(f"{options.requests} requests for {options.objects} objects, seed {options.seed}; hit ratios")
    print("  trace        alpha  size   S3-FIFO    LRU   most   S3-FIFO/LRU   CPU us: S3-FIFO    LRU")
    for row in found:
        print(
            f"  {'with scans' if row.scans else 'Zipf':12} {row.alpha:4} {row.share:6.0%}   {row.s3fifo:7.3f} "
            f"{row.lru:6.3f} {row.most:6.3f}   {row.s3fifo / row.lru:11.2f}   {row.s3fifo_us:15.2f} {row.lru_us:6.2f}"
        )


if __name__ == "__main__":
    main()
