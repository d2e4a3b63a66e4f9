"""What is left of keys whose nodes die one soon after the other: copies are made again as soon as a death is heard of."""

from random import Random

from netstack.lab.data_network import DataNetwork
from netstack.ring.data_messages import Stored
from netstack.ring.records import DataOptions
from tests.ring.test_copies import readable, responsible, ring_of

KEYS = 100
DATA = DataOptions(patience=10.0, sync=10.0)
"""As a node of a machine has them: what follows does not wait for either."""


def ring_that_hears() -> DataNetwork:
    network = ring_of(12, KEYS, DATA)
    network.run(20.0)
    network.heard = 0.002
    return network


def copies(network: DataNetwork, number: int) -> int:
    return sum(seat.peer.table.get(b"key %d" % number) is not None for seat in network.seats.values())


def test_a_third_copy_is_there_again_soon_after_a_death() -> None:
    network = ring_that_hears()
    for _ in range(3):
        network.fail(sorted(network.nodes)[4])
        network.run(network.now + 0.7)
        assert [number for number in range(KEYS) if copies(network, number) < 3] == []
    assert readable(network, KEYS, Random(1)) == KEYS


def test_a_write_waits_for_who_cannot_be_reached_for_a_moment() -> None:
    """What may have begun there is not begun elsewhere; for as long as three time-outs would take it is asked again."""
    network = ring_that_hears()
    ordered = sorted(network.nodes)
    [owner] = responsible(ordered, b"key 1", 1)
    asker = next(each for each in ordered if each not in responsible(ordered, b"key 1", 3))
    network.unreachable.add(owner)
    begun = network.begin(asker, lambda peer, now: peer.put(b"key 1", b"new", now))
    network.run(network.now + 1.0)
    assert begun not in network.outcomes
    network.unreachable.clear()
    network.run(network.now + 8.0)
    assert isinstance(network.outcomes[begun], Stored)
