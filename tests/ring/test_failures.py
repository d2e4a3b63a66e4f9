"""Look-ups after a part of the nodes has failed at once, before anybody noticed: the paper's table II, N = 1000, r = 20."""

from random import Random
from statistics import mean

import pytest

from netstack.lab.ring_network import RingNetwork, settled
from netstack.ring.engine import RingOptions
from netstack.ring.identifiers import Circle, Contact

NODES, LOOKUPS = 1000, 1500
QUIET = RingOptions(20, stabilize=1e9, fix=1e9, candidates=32, lookups=LOOKUPS)


@pytest.mark.parametrize(
    ("part", "path", "timeouts"),
    [(0.0, 3.84, 0.0), (0.1, 4.03, 0.60), (0.2, 4.22, 1.17), (0.3, 4.44, 2.02), (0.4, 4.69, 3.23), (0.5, 5.09, 5.10)],
)
def test_as_in_the_paper(part: float, path: float, timeouts: float) -> None:
    rng = Random(7)
    circle = Circle(32)
    network = RingNetwork(seed=1)
    nodes = settled(circle, [Contact(ident) for ident in rng.sample(range(circle.size), NODES)], QUIET)
    for node in nodes:
        network.add(node)
    gone = {node.me for node in rng.sample(nodes, int(NODES * part))}
    for contact in gone:
        network.fail(contact)
    there = sorted(network.nodes)
    keys = [rng.randrange(circle.size) for _ in range(LOOKUPS)]
    asked = [network.look_up(rng.choice(there), key) for key in keys]
    network.run(200)
    found = [network.done[each] for each in asked]
    for key, each in zip(keys, found, strict=True):
        expected = next((contact for contact in there if contact.ident >= key), there[0])
        assert each.responsible == expected
    assert mean(max(0, each.forwards - 1) for each in found) == pytest.approx(path, rel=0.05)
    assert mean(each.timeouts for each in found) == pytest.approx(timeouts, rel=0.35)


@pytest.mark.parametrize("bits", range(3, 11))
def test_paths_grow_with_half_the_logarithm(bits: int) -> None:
    rng = Random(bits)
    circle = Circle(32)
    network = RingNetwork(seed=bits)
    options = RingOptions(1, stabilize=1e9, fix=1e9, lookups=LOOKUPS)
    nodes = settled(circle, [Contact(ident) for ident in rng.sample(range(circle.size), 2**bits)], options)
    for node in nodes:
        network.add(node)
    asked = [network.look_up(rng.choice(nodes).me, rng.randrange(circle.size)) for _ in range(LOOKUPS)]
    network.run(100)
    hops = mean(max(0, network.done[each].forwards - 1) for each in asked)
    assert hops == pytest.approx(bits / 2, abs=0.5)
