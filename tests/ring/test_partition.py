"""A ring that is torn into parts, each of which goes on as a ring, becomes one again."""

from collections.abc import Callable
from random import Random

import pytest

from netstack.lab.ring_network import RingNetwork, settled
from netstack.ring.engine import Node, RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import Joined

BITS = 24


def ring(nodes: int, options: RingOptions, seed: int) -> RingNetwork:
    rng = Random(seed)
    network = RingNetwork(lambda rng: rng.uniform(0.01, 0.05), seed)
    for node in settled(Circle(BITS), [Contact(ident) for ident in rng.sample(range(1 << BITS), nodes)], options, seed):
        network.add(node)
    network.run(2)
    return network


def is_one(network: RingNetwork, among: Callable[[Contact], bool] = lambda each: True) -> bool:
    """Whether everybody knows those before and after it, out of all or of a part."""
    there = sorted(each for each in network.nodes if among(each))
    for place, each in enumerate(there):
        node = network.nodes[each]
        most = min(node.options.successors, len(there) - 1)
        expected = [there[(place + step) % len(there)] for step in range(1, most + 1)] or [each]
        if node.successors != expected or node.predecessor != (there[place - 1] if most else None):
            return False
    return True


def seconds_until_one(network: RingNetwork, most: float) -> float:
    begun = network.now
    while not is_one(network) and network.now < begun + most:
        network.run(network.now + 0.25)
    return network.now - begun


def torn(network: RingNetwork, side: dict[Contact, int], seconds: float) -> None:
    network.apart = lambda sender, to: side.get(sender, 0) != side.get(to, 0)
    network.run(network.now + seconds)
    for part in set(side.values()):
        assert is_one(network, lambda each, part=part: side[each] == part)  # type: ignore[misc]
    network.apart = lambda sender, to: False


@pytest.mark.parametrize(("nodes", "parts"), [(2, 2), (8, 2), (48, 2), (48, 3)])
def test_the_ring_becomes_one_again(nodes: int, parts: int) -> None:
    options = RingOptions(4 * (parts - 1), rejoin=5)
    network = ring(nodes, options, seed=nodes + parts)
    rng = Random(1)
    there = rng.sample(sorted(network.nodes), nodes)
    side = {each: place % parts for place, each in enumerate(there)}
    torn(network, side, 120)
    assert seconds_until_one(network, 60) <= 2 * options.rejoin + 10
    for key in [rng.randrange(1 << BITS) for _ in range(20)]:
        found = network.look_up(rng.choice(there), key)
        network.run(network.now + 5)
        assert network.done[found].responsible == next((each for each in sorted(there) if each.ident >= key), min(there))


def test_a_part_that_is_one_stretch_of_the_circle() -> None:
    """Few nodes have neighbours on the other side: the others hear of it by their shortcuts, and by these neighbours."""
    network = ring(48, RingOptions(4, rejoin=5), seed=3)
    there = sorted(network.nodes)
    torn(network, {each: int(place < 24) for place, each in enumerate(there)}, 120)
    assert seconds_until_one(network, 60) <= 20


def test_one_node_alone_comes_back() -> None:
    network = ring(16, RingOptions(4, rejoin=5), seed=3)
    there = sorted(network.nodes)
    torn(network, {each: int(place == 5) for place, each in enumerate(there)}, 60)
    assert seconds_until_one(network, 60) <= 15


def test_without_the_option_they_stay_two() -> None:
    network = ring(16, RingOptions(4, rejoin=0), seed=3)
    there = sorted(network.nodes)
    torn(network, {each: place % 2 for place, each in enumerate(there)}, 60)
    assert seconds_until_one(network, 60) >= 60


def test_nodes_that_came_meanwhile_are_found_as_well() -> None:
    network = ring(24, RingOptions(4, rejoin=5), seed=4)
    there = sorted(network.nodes)
    side = {each: place % 2 for place, each in enumerate(there)}
    network.apart = lambda sender, to: side[sender] != side[to]
    network.run(network.now + 30)
    for count in range(8):
        me = Contact(1000 + 2_000_000 * count)
        side[me] = count % 2
        node = Node(Circle(BITS), me, RingOptions(4, rejoin=5), Random(count))
        network.add(node)
        node.join(there[count % 2], network.now)
        network.serve(node)
        network.run(network.now + 5)
    assert len([event for _, _, event in network.told if isinstance(event, Joined)]) == 8
    torn(network, side, 60)
    assert seconds_until_one(network, 60) <= 20


def test_rings_that_never_were_one_become_one_by_a_node_that_is_to_be_remembered() -> None:
    network = ring(12, RingOptions(3, rejoin=5), seed=5)
    others = [Contact(ident) for ident in Random(6).sample(range(1 << BITS), 12)]
    for node in settled(Circle(BITS), others, RingOptions(3, rejoin=5), 6):
        network.add(node)
    network.run(network.now + 10)
    next(iter(network.nodes.values())).remember([others[0]])
    assert seconds_until_one(network, 120) <= 60


def test_time_to_heal_beside_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    """One after another look through `lost` brings the first contact; then neighbours do the rest."""
    with capsys.disabled():
        print("\nrejoin  nodes  seconds to be one (median of 3)")
        for rejoin in (2.0, 10.0, 30.0):
            times = []
            for seed in range(3):
                network = ring(32, RingOptions(4, rejoin=rejoin), seed)
                side = {each: place % 2 for place, each in enumerate(Random(seed).sample(sorted(network.nodes), 32))}
                torn(network, side, 90)
                times.append(seconds_until_one(network, 200))
            print(f"{rejoin:6}  {32:5}  {sorted(times)[1]:6.2f}")
            assert max(times) <= 2 * rejoin + 10
