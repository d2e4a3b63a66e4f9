"""A circle at rest: pauses that grow while nothing changes, and what shortens them."""

import pytest

from netstack.lab.bench import Bench
from netstack.lab.ring_churn import AFTER, AT, BEFORE, RING, TWO_BEFORE
from netstack.lab.ring_network import RingNetwork, settled
from netstack.lab.ring_world import CHAPTER, circle, pause, predecessor, successors, until
from netstack.lab.ring_world import settled as world_settled
from netstack.ring.engine import RingOptions
from netstack.ring.identifiers import Circle, Contact

LONG = 30.0


def at_rest(calm: float, hurry: float = 1.0) -> RingNetwork:
    """The chapter's circle after ten minutes."""
    network = RingNetwork(lambda rng: 0.01, seed=3)
    options = RingOptions(2, calm=calm, hurry=hurry, rejoin=0)
    for node in settled(Circle(4), [Contact(ident) for ident in CHAPTER], options):
        network.add(node)
    network.run(600)
    return network


def messages(network: RingNetwork, seconds: float) -> int:
    before = network.messages
    network.run(network.now + seconds)
    return network.messages - before


def test_a_circle_at_rest_says_little() -> None:
    assert messages(at_rest(LONG), 600) == pytest.approx(messages(at_rest(1.0), 100) * 6 / LONG, rel=0.15)


@pytest.mark.parametrize("hurry", [1.0, 1 / 16])
@pytest.mark.parametrize("told", [False, True])
def test_it_wakes_when_something_changes(told: bool, hurry: float) -> None:
    """Nodes that lose the connection look at once; else the longest pause comes first."""
    network = at_rest(LONG, hurry)
    network.fail(Contact(5))
    if told:
        for node in network.nodes.values():
            node.cut_off(Contact(5), network.now)
            network.serve(node)
    network.run(network.now + (0.0 if told else LONG) + 2 + 0.5)
    assert [each.ident for each in network.nodes[Contact(4)].successors] == [8, 10]
    assert [each.ident for each in network.nodes[Contact(3)].successors] == [4, 8]
    network.run(network.now + (3.0 if told else 2 * LONG))
    assert network.nodes[Contact(8)].predecessor == Contact(4)
    network.run(network.now + 5 * LONG)
    assert messages(network, 300) < 1000, "and is at rest again"


def test_who_loses_the_connection_of_a_stranger_asks_nobody() -> None:
    network = at_rest(LONG)
    node = network.nodes[Contact(1)]
    node.cut_off(Contact(10), network.now)
    node.cut_off(Contact(1), network.now)
    assert node.outgoing() == []


def test_on_hosts_a_process_that_dies_is_missed_at_once() -> None:
    with circle(Bench("simulated", 4), CHAPTER, 4, {**RING, "calm": LONG}) as internet:
        world_settled(internet, CHAPTER, 2)
        pause(internet, 120)
        internet.stop_host(AT)
        times = until(
            internet,
            [
                lambda running: successors(running, BEFORE) == [8, 10],
                lambda running: successors(running, TWO_BEFORE) == [4, 8],
                lambda running: predecessor(running, AFTER) == BEFORE,
            ],
            10.0,
        )
    assert all(0 <= each <= 2 * RING["stabilize"] for each in times), times


def test_pauses_do_not_get_shorter() -> None:
    with pytest.raises(ValueError, match="calm: expected at least 1"):
        RingOptions(calm=0.5)
