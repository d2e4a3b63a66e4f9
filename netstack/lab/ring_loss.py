"""Keys that are lost when a part p of the peers fails at once, with r copies of each: p^r of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod, sqrt
from random import Random
from statistics import pstdev

from netstack.lab import progress
from netstack.lab.claims import Claim
from netstack.lab.data_network import DataNetwork, settled_peers
from netstack.lab.ring_lookups import CIRCLE, contact
from netstack.ring.data_messages import Got, Stored
from netstack.ring.engine import RingOptions
from netstack.ring.identifiers import Contact
from netstack.ring.peer import Peer
from netstack.ring.records import DataOptions
from netstack.sansio import Now

PEERS, KEYS = 100, 200
QUICK: Sequence[tuple[int, float]] = ((2, 0.5), (3, 0.5))
FULL: Sequence[tuple[int, float]] = ((1, 0.2), (2, 0.3), (2, 0.5), (3, 0.3), (3, 0.5), (4, 0.5))
"""Copies, and the part that fails."""
CIRCLES, QUICK_CIRCLES = 40, 3
LISTED = 8
"""Successors that a peer knows."""
WRITING, MENDING, READING = 5.0, 30.0, 15.0
"""Seconds."""
SETS = 500
"""Of peers that fail, drawn to see how much the part of lost keys varies on one circle."""

LOST = "{copies} copies, {part:.0%} of 100 peers fail at once: the part of keys that are lost"
OTHERS = "{copies} copies, {part:.0%} fail: keys lost with a copy left, or read with none"


@dataclass(frozen=True, slots=True)
class Loss:
    """What became of the keys of one circle."""

    lost: int
    wrong: int
    """Keys that are lost though a peer that had a copy is there, or are read though none is; writes that failed."""
    spread: float
    """Standard deviation of the part of lost keys over sets of peers that fail."""


def promised() -> Iterator[Claim]:
    """The claims of a sample, unmeasured."""
    for copies, part in QUICK:
        yield from _claims(copies, part, ())


def measure(seed: int, full: bool) -> Iterator[Claim]:
    """Circles with other peers, other keys and other failures."""
    cases, circles = (FULL, CIRCLES) if full else (QUICK, QUICK_CIRCLES)
    with progress.bar("keys lost", len(cases) * circles) as done:
        for copies, part in cases:
            found = []
            for number in range(circles):
                found.append(lose(copies, part, f"{seed}/{number}"))
                done(1)
            yield from _claims(copies, part, found)


def _claims(copies: int, part: float, found: Sequence[Loss]) -> Iterator[Claim]:
    gone = round(PEERS * part)
    model = prod((gone - each) / (PEERS - each) for each in range(copies))
    note, tolerance, lost, wrong = "", 0.0, None, None
    if found:
        lost = sum(each.lost for each in found) / (len(found) * KEYS)
        wrong = sum(each.wrong for each in found)
        error = sqrt(sum(each.spread**2 for each in found)) / len(found)
        tolerance = 3 * error / model
        note = f"p^r {part**copies:.4g}, without drawing one twice {model:.4g}; 95 % interval ± {1.96 * error:.3g}"
    yield Claim(LOST.format(copies=copies, part=part), model, lost, tolerance, note=note)
    yield Claim(OTHERS.format(copies=copies, part=part), 0, wrong)


def lose(copies: int, part: float, seed: object) -> Loss:
    """Write keys, have peers fail, wait until the circle has mended, read the keys."""
    rng = Random(f"{seed}/{copies}/{part}")
    network = DataNetwork(seed=rng.getrandbits(32))
    contacts = sorted(contact(f"peer {number} of {seed}") for number in range(PEERS))
    for peer in settled_peers(CIRCLE, contacts, RingOptions(LISTED), DataOptions(copies=copies), rng.getrandbits(32)):
        network.add_peer(peer)
    keys = [b"key %d of %a" % (number, seed) for number in range(KEYS)]
    writes = [network.begin(rng.choice(contacts), _put(key)) for key in keys]
    network.run(network.now + WRITING)
    wrong = sum(not isinstance(network.outcomes.get(each), Stored) for each in writes)
    holders = {key: set(_holders(contacts, key, copies)) for key in keys}
    gone = set(rng.sample(contacts, round(PEERS * part)))
    for each in gone:
        network.fail(each)
    network.run(network.now + MENDING)
    there = [each for each in contacts if each not in gone]
    reads = {key: network.begin(rng.choice(there), _get(key)) for key in keys}
    network.run(network.now + READING)
    lost = 0
    for key, which in reads.items():
        outcome = network.outcomes.get(which)
        read = isinstance(outcome, Got) and bool(outcome.values)
        lost += not read
        wrong += read == (holders[key] <= gone)
    return Loss(lost, wrong, _spread(contacts, list(holders.values()), len(gone), rng))


def _put(key: bytes) -> Callable[[Peer, Now], int]:
    return lambda peer, now: peer.put(key, b"1", now)


def _get(key: bytes) -> Callable[[Peer, Now], int]:
    return lambda peer, now: peer.get(key, now)


def _holders(contacts: Sequence[Contact], key: bytes, copies: int) -> Iterator[Contact]:
    """The closest successor and those after it."""
    ident = CIRCLE.of(key)
    first = next((place for place, each in enumerate(contacts) if each.ident >= ident), 0)
    return islice((contacts[(first + step) % len(contacts)] for step in range(copies)), copies)


def _spread(contacts: Sequence[Contact], holders: Sequence[set[Contact]], gone: int, rng: Random) -> float:
    parts = []
    for _ in range(SETS):
        failed = set(rng.sample(contacts, gone))
        parts.append(sum(each <= failed for each in holders) / len(holders))
    return pstdev(parts)
