"""The lab of the Chord paper's evaluation: it passes, and counts what is there and what is wrong."""

from random import Random

import pytest
from matplotlib.figure import Figure

from netstack.lab import ring_chord
from netstack.lab.ring_load import expected, growing, hashed_keys, loads, percentile
from netstack.lab.ring_lookups import CIRCLE, Churn, after_failures, contact, look_ups, responsible, ring, still
from netstack.lab.runner import run


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits into some seconds."""
    monkeypatch.setattr(ring_chord, "QUICK_KEYS", (100_000,))
    monkeypatch.setattr(ring_chord, "VIRTUAL_KEYS", 200_000)
    monkeypatch.setattr(ring_chord, "FAILED", ring_chord.FAILED[::5])
    monkeypatch.setattr(ring_chord, "CHURN", ring_chord.CHURN[-1:])
    monkeypatch.setattr(ring_chord, "WARM", 300.0)
    monkeypatch.setattr(ring_chord, "SAMPLE", (600, 2500))


def test_the_claims_hold(quick: None) -> None:
    result = run("ring-chord", seed=2)
    assert [(claim.claim, claim.measured, claim.why) for claim in result.claims if not claim.passed] == []
    assert {claim.claim for claim in result.claims} == {claim.claim for claim in ring_chord.promised()}
    figure = Figure()
    ring_chord.draw(figure, result.claims)
    load, paths, failures = figure.axes
    assert len(paths.lines[1].get_xdata()) == len(ring_chord.QUICK_SIZES)
    assert len(load.lines) == len(failures.lines) == 4


@pytest.mark.parametrize("virtual", [1, 4])
def test_keys_are_counted_at_the_closest_successor(virtual: int) -> None:
    keys = hashed_keys(CIRCLE, "seed", 500)
    places = {contact(f"node {node}, {place} of 'seed'").ident: node for node in range(20) for place in range(virtual)}
    counts = [0] * 20
    for key in keys:
        owner = min(places, key=lambda ident: CIRCLE.distance(key, ident))
        counts[places[owner]] += 1
    assert loads(CIRCLE, "seed", keys, 20, virtual) == counts
    assert sum(counts) == 500


def test_more_keys_are_the_same_and_others() -> None:
    small, large = growing(CIRCLE, 5, 200_000)
    assert (small[0], large[0]) == (100_000, 200_000)
    assert all(before <= after for before, after in zip(small[1], large[1], strict=True))


@pytest.mark.parametrize(("keys", "virtual"), [(50_000, 1), (50_000, 5)])
def test_the_theory_is_that_of_places_at_random(keys: int, virtual: int) -> None:
    """Measured on real numbers: no hash is part of it."""
    rng, counts = Random(1), []
    for _ in range(8):
        places = sorted((rng.random(), node) for node in range(500) for _ in range(virtual))
        found = [0] * 500
        asked = sorted(rng.random() for _ in range(keys))
        at = 0
        for key in asked:
            while at < len(places) and places[at][0] < key:
                at += 1
            found[places[at % len(places)][1]] += 1
        counts += found
    counts.sort()
    for part in (0.1, 0.5, 0.9):
        assert percentile(counts, part) == pytest.approx(expected(keys, 500, virtual, part), rel=0.1, abs=2)


def test_percentiles() -> None:
    assert [percentile(range(1, 101), part) for part in (0.001, 0.01, 0.5, 0.99, 1.0)] == [1, 1, 50, 99, 100]


def test_look_ups_that_go_wrong_are_counted() -> None:
    network = ring(50, "wrong", still())
    liar = network.nodes[sorted(network.nodes)[7]]
    liar.predecessor = sorted(network.nodes)[20]  # it takes the rest of the circle for its own
    found = look_ups(network, 400, Random(1))
    assert 0 < found.failed < 400


def test_nobody_notices_half_of_the_nodes_gone_but_by_time_outs() -> None:
    found = after_failures(200, 0.5, 300, "half")
    assert found.failed == 0
    assert found.waits > 1


def test_churn_ends_with_a_whole_circle() -> None:
    churn = Churn(60, 0.02, "churn", per_second=0.5)
    churn.run(600)
    assert churn.joined > 3
    assert churn.gone > 3
    assert churn.found.count > 200
    assert churn.found.failed <= 2
    churn.rate = 1e-9
    churn.run(600, counting=False)
    there = sorted(churn.network.nodes)
    for place, each in enumerate(there):
        assert churn.network.nodes[each].successors[0] == there[(place + 1) % len(there)]
        assert churn.network.nodes[each].predecessor == there[place - 1]
        assert responsible(there, each.ident) == each


def test_the_seed_says_which_nodes_there_are() -> None:
    first, again, other = (after_failures(50, 0.3, 50, seed) for seed in (1, 1, 2))
    assert first == again != other
