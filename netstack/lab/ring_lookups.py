"""Look-ups on rings of thousands of engines: their paths, time-outs and failures, as the Chord paper counts them."""

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import fmean

from netstack.lab.ring_load import HIGH, LOW, percentile
from netstack.lab.ring_network import RingNetwork, settled
from netstack.ring.engine import Node, RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import Alone, Joined, JoinFailed, LookedUp

CIRCLE = Circle(160)
NEVER = 1e9
MENDING = 60.0
"""Seconds within which a circle is whole again whose nodes look at their successors every second."""
AT_ONCE = 500
"""Look-ups under way at the same time."""
SUCCESSORS = 20
"""r of the paper."""
STABILIZE, SPREAD, TIMEOUT, DELAY = 30.0, 0.5, 0.5, 0.05
"""Of the paper, in seconds: pauses of 15 to 45 s, a node that is silent for 0.5 s is gone, messages take 50 ms (mean)."""

Progress = Callable[[int], None]
"""Called with what has been done since the last time."""


@dataclass(slots=True)
class Found:
    """What became of look-ups."""

    paths: list[int] = field(default_factory=list)
    """Nodes that each one passed up to the last one before the key: the paper's path length."""
    timeouts: list[int] = field(default_factory=list)
    failed: int = 0
    """Those that did not come to the key's successor of the moment."""
    lost: int = 0
    """Those that did not come to who was responsible at first, where that was asked for."""

    @property
    def count(self) -> int:
        return len(self.paths)

    @property
    def path(self) -> float:
        return fmean(self.paths)

    @property
    def waits(self) -> float:
        return fmean(self.timeouts)

    def __iadd__(self, other: "Found") -> "Found":
        self.paths += other.paths
        self.timeouts += other.timeouts
        self.failed += other.failed
        self.lost += other.lost
        return self

    def told(self) -> str:
        """Percentiles, as the paper has them beside its means."""
        paths, timeouts = (
            f"({percentile(each, LOW)}, {percentile(each, HIGH)})" for each in (sorted(self.paths), sorted(self.timeouts))
        )
        return f"; 1st and 99th percentiles: path {paths}, time-outs {timeouts}"

    def add(self, done: LookedUp, right: Contact | None) -> None:
        """Count one; `right` is who should have been found."""
        self.paths.append(max(0, done.forwards - 1))
        self.timeouts.append(done.timeouts)
        self.failed += done.responsible is None or done.responsible != right


def contact(name: str) -> Contact:
    """A node whose place is the hash of its name."""
    return Contact(CIRCLE.of(name.encode()), name)


def constant(rng: Random) -> float:
    """Each message takes the same time."""
    return DELAY


def exponential(rng: Random) -> float:
    """As in the paper; but no answer is so late that who is there seems gone."""
    return min(rng.expovariate(1 / DELAY), TIMEOUT / 2)


def ring(nodes: int, seed: object, options: RingOptions, delay: Callable[[Random], float] = constant) -> RingNetwork:
    """A circle on which everybody knows all that is to be known."""
    network = RingNetwork(delay, seed=Random(f"{seed}").getrandbits(64))
    for node in settled(CIRCLE, [contact(f"node {number} of {seed}") for number in range(nodes)], options):
        network.add(node)
    return network


def still(successors: int = SUCCESSORS, candidates: int = 32) -> RingOptions:
    """Of nodes that only look up."""
    return RingOptions(successors, stabilize=NEVER, fix=NEVER, candidates=candidates, timeout=TIMEOUT)


def responsible(there: Sequence[Contact], key: int) -> Contact:
    """The closest successor of a key among nodes in order."""
    return there[bisect_left(there, (key,)) % len(there)]


def look_ups(
    network: RingNetwork, count: int, rng: Random, progress: Progress | None = None, before: Sequence[Contact] = ()
) -> Found:
    """At random nodes for random keys, some at once. `before`: the nodes that there were, in order."""
    there = sorted(network.nodes)
    found = Found()
    for begun in range(0, count, AT_ONCE):
        asked = [
            (key, network.look_up(rng.choice(there), key))
            for key in (rng.randrange(CIRCLE.size) for _ in range(min(AT_ONCE, count - begun)))
        ]
        while any(which not in network.done for _, which in asked):
            network.run(network.now + 1)
        for key, which in asked:
            done = network.done.pop(which)
            found.add(done, responsible(there, key))
            found.lost += bool(before) and done.responsible != responsible(before, key)
        if progress is not None:
            progress(len(asked))
    return found


def after_failures(nodes: int, part: float, count: int, seed: object, progress: Progress | None = None) -> Found:
    """A part of the nodes fails at once, nobody has noticed (ToN 2003, table II)."""
    rng = Random(f"{seed}/{part}")
    network = ring(nodes, seed, still())
    for gone in rng.sample(sorted(network.nodes), round(nodes * part)):
        network.fail(gone)
    return look_ups(network, count, rng, progress)


def after_mending(nodes: int, part: float, count: int, seed: object, progress: Progress | None = None) -> Found:
    """The same, but the circle has mended itself (2001, figure 11)."""
    rng = Random(f"{seed}/{part}/mended")
    network = ring(nodes, seed, RingOptions(SUCCESSORS, fix=NEVER, spread=SPREAD, timeout=TIMEOUT, candidates=32))
    before = sorted(network.nodes)
    for gone in rng.sample(before, round(nodes * part)):
        network.fail(gone)
    while not _whole(network):
        network.run(network.now + 1)
        network.told.clear()
        if network.now > MENDING:
            break
    return look_ups(network, count, rng, progress, before)


def _whole(network: RingNetwork) -> bool:
    """Whether everybody knows who is before and after it."""
    there = sorted(network.nodes)
    return all(
        network.nodes[each].successors[0] == there[(place + 1) % len(there)]
        and network.nodes[each].predecessor == there[place - 1]
        for place, each in enumerate(there)
    )


class Churn:
    """Nodes that join and fail at random, and look-ups meanwhile (ToN 2003, table III).

    A node that goes says nothing. A look-up is right when it comes to the closest successor of the key among those that are
    on the circle when it ends: that have joined and are there.
    """

    def __init__(
        self, nodes: int, rate: float, seed: object, per_second: float = 1.0, delay: Callable[[Random], float] = exponential
    ) -> None:
        """`rate`: nodes that join, and nodes that fail, in a second."""
        self.options = RingOptions(
            SUCCESSORS, stabilize=STABILIZE, fix=STABILIZE, spread=SPREAD, timeout=TIMEOUT, candidates=32
        )
        self.network = ring(nodes, seed, self.options, delay)
        self.rate = rate
        self.found = Found()
        self.joined = self.gone = 0
        self._rng = Random(f"{seed}/{rate}")
        self._per_second = per_second
        self._there = sorted(self.network.nodes)
        self._fresh: set[Contact] = set()
        """On their way in."""
        self._asked: dict[tuple[Contact, int], int] = {}

    def run(self, seconds: float, counting: bool = True, progress: Progress | None = None) -> None:
        """Go on for so long; look-ups only when they count."""
        rng, network = self._rng, self.network
        end = network.now + seconds
        total = 2 * self.rate + (self._per_second if counting else 0.0)
        shown = network.now
        while True:
            following = network.now + rng.expovariate(total)
            self._go(min(following, end))
            if progress is not None and network.now - shown >= 1:
                progress(int(network.now - shown))
                shown += int(network.now - shown)
            if following >= end:
                break
            what = rng.random() * total
            if what < self.rate:
                self._join(contact(f"node that comes {self.joined + len(self._fresh)} {rng.random()}"))
            elif what < 2 * self.rate:
                self._fail(rng.choice(self._there))
            else:
                key = rng.randrange(CIRCLE.size)
                self._asked[network.look_up(rng.choice(self._there), key)] = key
        while self._asked:  # those under way
            self._go(network.now + 1)

    def model(self) -> float:
        """Time-outs of a look-up, if shortcuts alone were stale: one is looked at in turn, so it is as old as a turn takes.

        Of the nodes on a path the last one is known from a list of successors.
        """
        nodes = self.network.nodes.values()
        turn = STABILIZE * fmean(len(node.shortcuts) for node in nodes)
        return max(0.0, self.found.path - 1) * self.rate / len(nodes) * turn / 2

    def _join(self, who: Contact) -> None:
        node = Node(CIRCLE, who, self.options, self._rng)
        self.network.add(node)
        self._fresh.add(who)
        self._ask_to_join(node)

    def _ask_to_join(self, node: Node) -> None:
        node.join(self._rng.choice(self._there), self.network.now)
        self.network.serve(node)

    def _fail(self, who: Contact) -> None:
        self.network.fail(who)
        self._there.remove(who)
        self._asked = {which: key for which, key in self._asked.items() if which[0] != who}
        self.gone += 1

    def _go(self, until: float) -> None:
        """Carry messages, event by event where a look-up ends or a node has joined."""
        network = self.network
        while network.now < until:
            network.run(until, stop=True)
            for which in list(network.done):
                done = network.done.pop(which)
                key = self._asked.pop(which, None)
                if key is not None:
                    self.found.add(done, responsible(self._there, key))
            for _, who, event in network.told:
                if who in self._fresh and isinstance(event, Joined):
                    self._fresh.discard(who)
                    insort(self._there, who)
                    self.joined += 1
                elif isinstance(event, JoinFailed | Alone) and who in network.nodes:
                    self._ask_to_join(network.nodes[who])
            network.told.clear()
