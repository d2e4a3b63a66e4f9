"""How a circle mends itself where more goes wrong than one node that dies: slow nodes, lists that are gone, nodes alone."""

from random import Random

import pytest

from netstack.lab.ring_network import RingNetwork, settled
from netstack.ring.engine import Node, RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import Alone, Leaving, Neighbours, NeighboursAnswer, NodeGone, Notify

CIRCLE = Circle(8)
IDENTS = [10, 40, 80, 120, 200]
SLOWLY = RingOptions(2, stabilize=30.0, fix=30.0)


def ring(options: RingOptions = SLOWLY) -> RingNetwork:
    network = RingNetwork(seed=3)
    for node in settled(CIRCLE, [Contact(each) for each in IDENTS], options):
        network.add(node)
    return network


def test_who_joins_is_known_to_the_node_before_it_at_once() -> None:
    network = ring()
    node = Node(CIRCLE, Contact(100), SLOWLY, Random(1))
    network.add(node)
    node.join(Contact(200), network.now)
    network.serve(node)
    network.run(1)
    assert network.nodes[Contact(80)].successors == [Contact(100), Contact(120)]
    assert network.nodes[Contact(80)].predecessor == Contact(40)
    assert network.nodes[Contact(120)].predecessor == Contact(100)
    assert node.predecessor is None or node.predecessor == Contact(80)


def test_a_node_that_was_only_slow_is_taken_back() -> None:
    node = ring().nodes[Contact(40)]
    list(node.on_timer(40.0))
    questions = {to: each for to, each in node.outgoing() if isinstance(each, Neighbours)}
    successor, asked = Contact(80), questions[Contact(80)]
    for other in set(questions) - {successor}:
        list(node.receive(other, NeighboursAnswer(questions[other].number, Contact(80), (Contact(200),)), 40.1))
    assert NodeGone(Contact(80)) in list(node.on_timer(41.0))
    assert node.successors[0] == Contact(120)
    list(node.receive(successor, NeighboursAnswer(asked.number, Contact(40), ()), 41.1))
    assert node.successors[0] == Contact(80)


@pytest.mark.parametrize(("shortcuts", "gone"), [(False, [80]), (True, [80, 120])])
def test_all_its_successors_go_at_once(shortcuts: bool, gone: list[int]) -> None:
    """The one before it knows who follows, or a shortcut leads to somebody behind them."""
    network = ring(RingOptions(3, shortcuts))
    node = network.nodes[Contact(40)]
    node.successors = [Contact(each) for each in gone[:1]]
    for each in gone:
        network.fail(Contact(each))
    network.run(10)
    left = [each for each in (80, 120, 200, 10) if each not in gone]
    assert [each.ident for each in node.successors] == left[:3]
    assert network.nodes[Contact(left[0])].predecessor == Contact(40)
    assert not [event for _, _, event in network.told if isinstance(event, Alone)]
    for at in network.nodes:
        asked = {key: network.look_up(at, key) for key in (0, 41, 90, 201)}
        network.run(network.now + 1)
        assert {key: network.done[each].responsible for key, each in asked.items()} == {
            0: Contact(10), 41: Contact(left[0]), 90: Contact(left[0]), 201: Contact(10),
        }  # fmt: skip


def test_who_has_lost_all_successors_keeps_a_nearer_one_and_trusts_it_once_it_is_beside_it() -> None:
    network = ring(RingOptions(1))
    for each in IDENTS:
        network.nodes[Contact(each)].successors = network.nodes[Contact(each)].successors[:1]
    node = network.nodes[Contact(40)]
    list(node.receive(Contact(80), Leaving(Contact(40), (Contact(120),)), 1.0))
    asked = {to: each for to, each in node.outgoing() if isinstance(each, Neighbours)}
    assert (node.successors, node.torn) == ([Contact(10)], True)
    list(node.receive(Contact(200), Notify(Contact(200)), 1.1))
    assert (node.successors, node.torn) == ([Contact(200)], True)
    list(node.on_timer(1.2))
    assert (node.successors, node.torn) == ([Contact(200)], True)
    list(node.receive(Contact(120), NeighboursAnswer(asked[Contact(120)].number, Contact(40), (Contact(200),)), 1.3))
    assert (node.successors, node.torn) == ([Contact(120)], False)


def test_a_node_that_has_lost_all_others_says_so() -> None:
    network = ring(RingOptions(2))
    for each in IDENTS[1:]:
        network.fail(Contact(each))
    network.run(10)
    node = network.nodes[Contact(10)]
    assert node.successors == [Contact(10)]
    assert node.predecessor is None
    assert [event for _, _, event in network.told if isinstance(event, Alone)] == [Alone()]
    asked = network.look_up(Contact(10), 99)
    network.run(11)
    assert network.done[asked].responsible == Contact(10)


def test_pauses_vary_within_the_spread() -> None:
    node = settled(CIRCLE, [Contact(1), Contact(100)], RingOptions(2, shortcuts=False, stabilize=10, spread=0.5), seed=4)[0]
    node.start(0.0)
    pauses, now = [], node.next_timer()
    for _ in range(200):
        list(node.on_timer(now))
        asked = next(each for _, each in node.outgoing() if isinstance(each, Neighbours))
        list(node.receive(Contact(100), NeighboursAnswer(asked.number, Contact(1), (Contact(1),)), now))
        pauses.append(node.next_timer() - now)
        now = node.next_timer()
    assert 5 <= min(pauses) < 6
    assert 14 < max(pauses) <= 15
    with pytest.raises(ValueError, match="spread"):
        RingOptions(spread=1.0)
