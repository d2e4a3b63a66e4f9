"""What is left of keys whose nodes die one soon after the other: copies are made again as soon as a death is heard of."""

from random import Random

from netstack.lab.data_network import DataNetwork
from netstack.ring.data_messages import Stored
from netstack.ring.identifiers import Contact
from netstack.ring.records import POSITION_BITS, DataOptions
from tests.ring.test_copies import CIRCLE, readable, responsible, ring_of

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


def place(contact: Contact) -> int:
    """Of a key that has the node's own identifier."""
    return contact.ident << (POSITION_BITS - CIRCLE.bits)


def test_a_third_copy_is_there_again_soon_after_a_death() -> None:
    network = ring_that_hears()
    for _ in range(3):
        network.fail(sorted(network.nodes)[4])
        network.run(network.now + 0.7)
        assert [number for number in range(KEYS) if copies(network, number) < 3] == []
    assert readable(network, KEYS, Random(1)) == KEYS


def test_the_last_copy_is_copied_while_its_arc_has_no_quorum() -> None:
    """The responsible node and the next one die at once: nobody may serve their keys before `patience` is over. When the
    third of them dies, too, others have what it had."""
    network = ring_that_hears()
    ordered = sorted(network.nodes)
    owner, second, last = ordered[3:6]
    theirs = [number for number in range(KEYS) if responsible(ordered, b"key %d" % number, 3) == [owner, second, last]]
    assert theirs
    for contact in (owner, second):
        network.fail(contact)
    network.run(network.now + 1.5)
    assert [number for number in theirs if copies(network, number) < 3] == []
    assert not any(seat.peer.arcs.counts["forced"] for seat in network.seats.values())
    network.fail(last)
    network.run(network.now + 25.0)
    assert readable(network, KEYS, Random(2)) == KEYS


def test_an_arc_that_has_its_quorum_is_taken_over_though_its_neighbour_has_none() -> None:
    """Two nodes in a row die. The keys of the first have one copy left, those of the second two: these are served before
    `patience` is over, those are not."""
    network = ring_that_hears()
    ordered = sorted(network.nodes)
    first, second = ordered[3], ordered[4]
    for contact in (first, second):
        network.fail(contact)
    network.run(network.now + 1.5)
    peer = network.seats[ordered[5]].peer
    assert peer.arcs.serving is not None
    assert peer.arcs.serving.start == first.ident
    assert peer.arcs.serves(place(second))
    assert not any(seat.peer.arcs.serves(place(first)) for seat in network.seats.values())


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
