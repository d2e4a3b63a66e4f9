"""The model of a link's queue: known figures, limits, and the recursion that needs no averages."""

from math import pi, sqrt
from random import Random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.lab.queueing import (
    Saturated,
    mean_wait,
    saturated_mean_wait,
    saturated_utilisation,
    saturated_wait,
    utilisation,
    waits,
)


@pytest.mark.parametrize(
    ("per_second", "bits", "rate_bps", "busy", "wait"),
    [
        (15, 100_000, 1.54e6, 0.97403, 1.21753),  # set A: with 2 s and 0.065 s some 3.3 s
        (15, 100_000, 154e6, 0.0097403, 3.193e-6),
        (9, 100_000, 1.54e6, 0.58442, 0.045657),
        (15, 1e6, 100e6, 0.15, 0.00088235),  # set B
        (9, 1e6, 15e6, 0.6, 0.05),
        (15, 1e6, 1e9, 0.015, 7.614e-6),
    ],
)
def test_the_figures_of_the_chapter(per_second: float, bits: float, rate_bps: float, busy: float, wait: float) -> None:
    assert utilisation(per_second, bits, rate_bps) == pytest.approx(busy, rel=1e-4)
    assert mean_wait(per_second, bits / rate_bps) == pytest.approx(wait, rel=1e-3)


@pytest.mark.parametrize("busy", [1.0, 1.2])
def test_a_saturated_link_has_no_steady_state(busy: float) -> None:
    with pytest.raises(Saturated):
        mean_wait(15.0, busy / 15.0)


def test_the_recursion_by_hand() -> None:
    assert waits([0.0, 0.5, 0.75, 4.0, 4.0], 1.0) == [0.0, 0.5, 1.25, 0.0, 1.0]


@given(st.lists(st.floats(0, 100), max_size=60), st.floats(0.001, 10))
def test_objects_are_served_in_turn_and_the_link_does_not_rest(times: list[float], service: float) -> None:
    times = sorted(times)
    starts = [at + wait for at, wait in zip(times, waits(times, service), strict=True)]
    for at, start, before in zip(times, starts, [float("-inf"), *starts], strict=False):
        assert start == pytest.approx(max(at, before + service))


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.9])
def test_the_recursion_comes_to_the_steady_state(busy: float) -> None:
    rng, at, times = Random(1), 0.0, []
    for _ in range(200_000):
        at += rng.expovariate(busy)
        times.append(at)
    assert fmean(waits(times, 1.0)) == pytest.approx(mean_wait(busy, 1.0), rel=0.05)


def test_saturated_waits_against_streams() -> None:
    rng, span, service, streams = Random(2), 10.0, 0.1, 4000
    found, idle = [], []
    for _ in range(streams):
        times, at = [], rng.expovariate(1 / service)
        while at < span:
            times.append(at)
            at += rng.expovariate(1 / service)
        waited = waits(times, service)
        found.append((sum(waited), len(waited)))
        last = times[-1] + waited[-1] + service if times else 0.0
        idle.append(span - len(times) * service + max(0.0, last - span))
    assert sum(wait for wait, _ in found) / sum(count for _, count in found) == pytest.approx(
        saturated_mean_wait(span, service), rel=0.05
    )
    assert 1 - fmean(idle) / span == pytest.approx(saturated_utilisation(span, service), abs=0.01)


def test_saturated_waits_grow_with_the_square_root_of_time() -> None:
    service = 1 / 15
    assert saturated_wait(3600, service) / saturated_wait(900, service) == pytest.approx(2, rel=0.01)
    assert saturated_wait(3600, service) == pytest.approx(sqrt(2 * service * 3600 / pi), rel=0.01)
    assert saturated_mean_wait(3600, service) == pytest.approx(2 / 3 * saturated_wait(3600, service), rel=0.01)
