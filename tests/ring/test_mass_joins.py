"""Many nodes join at once: no key is missing at any moment, nobody takes an arc by force, and soon each serves its own."""

from random import Random

import pytest

from netstack.lab.data_network import DataNetwork
from netstack.ring.claims import MOST, Claims, Config
from netstack.ring.data_messages import Failed, Got
from netstack.ring.identifiers import Contact
from netstack.ring.peer import Peer
from netstack.ring.records import DataOptions
from tests.ring.test_copies import CIRCLE, RING, check_places, record_of, ring_of

KEYS = 100
DATA = DataOptions(patience=2.0, sync=2.0, timeout=0.5)


class Crowd:
    """A small ring with keys, that many nodes join at once while users read."""

    def __init__(self, nodes: int, seed: int, data: DataOptions = DATA) -> None:
        self.rng = Random(f"crowd {seed}")
        self.data = data
        self.network: DataNetwork = ring_of(nodes, KEYS, data, seed)
        self.reads: dict[tuple[Contact, int], int] = {}
        self.failed: list[str] = []
        self.empty: list[int] = []
        self.answered = 0

    def join(self, count: int) -> None:
        """All through a few that are there."""
        there = sorted(self.network.nodes)[:3]
        for ident in self.rng.sample(range(CIRCLE.size), count):
            peer = Peer(CIRCLE, Contact(ident, f"n{ident}"), RING, self.data, Random(ident))
            self.network.join(peer, self.rng.choice(there))

    def read(self, seconds: float) -> None:
        """Keys by and by, each at any node, for so long."""
        network = self.network
        until = network.now + seconds
        while network.now < until:
            number = self.rng.randrange(KEYS)
            there = [each for each, seat in network.seats.items() if not seat.peer.arcs.joining]
            begun = network.begin(
                self.rng.choice(sorted(there)), lambda peer, now, key=b"key %d" % number: peer.get(key, now)
            )  # type: ignore[misc]
            self.reads[begun] = number
            network.run(network.now + 0.02)
            self.collect()

    def collect(self) -> None:
        for begun, number in [*self.reads.items()]:
            outcome = self.network.outcomes.pop(begun, None)
            if isinstance(outcome, Failed):
                self.failed.append(outcome.reason)
            elif isinstance(outcome, Got):
                self.answered += 1
                if {value.data for value in outcome.values} != {value.data for value in record_of(number).values}:
                    self.empty.append(number)
            if outcome is not None:
                del self.reads[begun]

    def serves(self) -> bool:
        """Whether each node serves what lies between it and the one before it."""
        ordered = sorted(self.network.nodes)
        for at, contact in enumerate(ordered):
            arcs = self.network.seats[contact].peer.arcs
            if arcs.serving is None or not arcs.in_use or arcs.serving.start != ordered[at - 1].ident:
                return False
        return True

    def until_served(self, most: float = 30.0) -> float:
        """Seconds until all do."""
        begun = self.network.now
        while not self.serves():
            assert self.network.now < begun + most, "some arc is nobody's"
            self.read(0.1)
        return self.network.now - begun

    def forced(self) -> int:
        return sum(seat.peer.arcs.counts["forced"] for seat in self.network.seats.values())


@pytest.mark.parametrize(("nodes", "more", "seed"), [(8, 32, 0), (8, 56, 1), (1, 12, 2), (3, 30, 3)])
def test_no_key_is_missing_while_many_join(nodes: int, more: int, seed: int) -> None:
    crowd = Crowd(nodes, seed)
    crowd.join(more)
    served = crowd.until_served()
    crowd.read(2)
    crowd.network.run(crowd.network.now + crowd.data.deadline)
    crowd.collect()
    print(f"{nodes} + {more}: all serve after {served:.1f} s; {crowd.answered} reads answered, {len(crowd.failed)} failed")
    assert crowd.answered > 10
    assert served < 10
    assert crowd.empty == []
    assert crowd.failed == []
    assert crowd.forced() == 0
    crowd.network.run(crowd.network.now + 30)
    check_places(crowd.network, KEYS)


def test_a_node_that_hears_of_many_arcs_remembers_those_that_it_has_a_part_in() -> None:
    """Who gives its arc to many in parts hears from all of them, with greater epochs than that of its own."""
    me, other = Contact(0, "me"), Contact(1, "other")
    claims = Claims(16, me)
    mine, held = Config(60_000, 0, 2, me, (other,)), Config(59_000, 60_000, 1, other, (me,))
    for config in (mine, held):
        assert claims.promise(config, True, 0.0)
    for number in range(3 * MOST):
        assert claims.promise(Config(number, number + 1, 3, Contact(number + 1, "new"), ()), True, 0.0)
    assert len(claims) == MOST
    assert claims.holds(me, 2)
    assert claims.holds(other, 1)
