"""The chapter's circles, counted: who is responsible, forwards bare and with shortcuts, a peer that dies, one that joins."""

from collections.abc import Sequence
from random import Random

import pytest

from netstack.lab.ring_network import RingNetwork, settled
from netstack.ring.engine import Node, RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import Joined, LookedUp

CHAPTER = [1, 3, 4, 5, 8, 10, 12, 15]
OTHER = [1, 3, 4, 5, 8, 10, 12, 14]
SIX_BITS = [1, 12, 13, 25, 32, 40, 48, 60]


def ring(bits: int, idents: Sequence[int], shortcuts: bool = False, successors: int = 2) -> RingNetwork:
    network = RingNetwork()
    for node in settled(Circle(bits), [Contact(each) for each in idents], RingOptions(successors, shortcuts)):
        network.add(node)
    return network


def asked(network: RingNetwork, at: int, key: int, by_hand: bool = True) -> LookedUp:
    begin = network.pass_on if by_hand else network.look_up
    found = begin(Contact(at), key)
    network.run(network.now + 1)
    return network.done[found]


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize(
    ("bits", "idents", "at", "key", "shortcuts", "path"),
    [
        (4, CHAPTER, 3, 14, False, [3, 4, 5, 8, 10, 12, 15]),
        (4, CHAPTER, 3, 14, True, [3, 12, 15]),
        (4, CHAPTER, 3, 11, False, [3, 4, 5, 8, 10, 12]),
        (4, OTHER, 3, 13, False, [3, 4, 5, 8, 10, 12, 14]),
        (4, OTHER, 3, 15, False, [3, 4, 5, 8, 10, 12, 14, 1]),
        (6, SIX_BITS, 12, 53, False, [12, 13, 25, 32, 40, 48, 60]),
        (6, SIX_BITS, 12, 53, True, [12, 48, 60]),
        (6, SIX_BITS, 1, 51, False, [1, 12, 13, 25, 32, 40, 48, 60]),
        (6, SIX_BITS, 1, 60, False, [1, 12, 13, 25, 32, 40, 48, 60]),
        (6, SIX_BITS, 12, 61, True, [12, 48, 60, 1]),
    ],
)
def test_forwards(
    bits: int, idents: Sequence[int], at: int, key: int, shortcuts: bool, path: Sequence[int], by_hand: bool
) -> None:
    found = asked(ring(bits, idents, shortcuts, successors=1 if not shortcuts else 2), at, key, by_hand)
    assert found.responsible is not None
    assert found.responsible.ident == path[-1]
    if by_hand or not shortcuts:
        assert list(found.path) == path
        assert found.forwards == len(path) - 1


@pytest.mark.parametrize("key", range(64))
def test_the_closest_successor_is_responsible(key: int) -> None:
    network = ring(6, SIX_BITS, shortcuts=True)
    expected = next((each for each in SIX_BITS if each >= key), SIX_BITS[0])
    for at in SIX_BITS:
        responsible = asked(network, at, key).responsible
        assert responsible is not None
        assert responsible.ident == expected
    assert [each for each, node in network.nodes.items() if node.is_responsible(key)] == [Contact(expected)]


def test_a_peer_dies_and_those_before_it_mend_the_circle() -> None:
    network = ring(4, CHAPTER)
    network.run(3)
    assert [each.ident for each in network.nodes[Contact(3)].successors] == [4, 5]
    network.fail(Contact(5))
    network.run(network.now + 2 + 0.5)
    assert [each.ident for each in network.nodes[Contact(4)].successors] == [8, 10]
    network.run(network.now + 1)
    assert [each.ident for each in network.nodes[Contact(3)].successors] == [4, 8]
    network.run(network.now + 2)
    assert network.nodes[Contact(8)].predecessor == Contact(4)
    assert [*asked(network, 3, 5).path] == [3, 4, 8]


def test_a_peer_joins_through_another() -> None:
    network = ring(4, CHAPTER, successors=2)
    network.run(2)
    node = Node(Circle(4), Contact(13), RingOptions(2, shortcuts=False), Random(1))
    network.add(node)
    network.recording = True
    node.join(Contact(1), network.now)
    network.serve(node)
    network.run(network.now + 6)
    assert [event for _, who, event in network.told if who == Contact(13) and isinstance(event, Joined)] == [
        Joined(Contact(15))
    ]
    assert network.nodes[Contact(12)].successors[0] == Contact(13)
    assert node.predecessor == Contact(12)
    assert [each.ident for each in node.successors] == [15, 1]
    assert network.nodes[Contact(15)].predecessor == Contact(13)


def test_a_peer_leaves_politely() -> None:
    network = ring(4, CHAPTER)
    network.run(2)
    node = network.nodes[Contact(5)]
    node.leave()
    network.serve(node)
    network.fail(Contact(5))
    network.run(network.now + 0.1)
    assert network.nodes[Contact(4)].successors[0] == Contact(8)
    assert network.nodes[Contact(8)].predecessor == Contact(4)


@pytest.mark.parametrize("seed", range(5))
def test_a_circle_grows_from_one_node(seed: int) -> None:
    rng = Random(seed)
    network = RingNetwork(lambda rng: rng.uniform(0.01, 0.1), seed)
    circle = Circle(16)
    idents = rng.sample(range(circle.size), 20)
    options = RingOptions(3)
    for number, ident in enumerate(idents):
        node = Node(circle, Contact(ident), options, Random(ident))
        network.add(node)
        if number:
            node.join(Contact(rng.choice(idents[:number])), network.now)
            network.serve(node)
        network.run(network.now + rng.uniform(0, 3))
    network.run(network.now + 60)
    ordered = sorted(idents)
    for place, ident in enumerate(ordered):
        node = network.nodes[Contact(ident)]
        assert [each.ident for each in node.successors] == [ordered[(place + step) % 20] for step in (1, 2, 3)]
        assert node.predecessor == Contact(ordered[place - 1])
    for _ in range(50):
        key = rng.randrange(circle.size)
        found = asked(network, rng.choice(idents), key, by_hand=False)
        assert found.responsible is not None
        assert found.responsible.ident == next((each for each in ordered if each >= key), ordered[0])
        assert found.timeouts == 0
