"""The lab about the institution's access link and its Web cache: it passes, and finds out a link that is another one."""

from dataclasses import replace
from itertools import pairwise
from math import sqrt
from random import Random
from statistics import fmean, pstdev
from typing import Any

import pytest
from matplotlib.figure import Figure

from netstack.lab import web_cache
from netstack.lab.bench import Bench
from netstack.lab.institution import SERVER
from netstack.lab.runner import run
from netstack.lab.web_traffic import arrivals, exact_share, stratified_counts
from netstack.world.session import Session


def test_the_claims_hold() -> None:
    result = run("web-cache", seed=3)
    assert [(claim.claim, claim.measured, claim.why) for claim in result.claims if not claim.passed] == []
    assert [claim.claim for claim in result.claims] == [claim.claim for claim in web_cache.promised()]
    figure = Figure()
    web_cache.draw(figure, result.claims)
    curve, bars = figure.axes
    assert len(curve.lines) == 1 + len(web_cache.STEADY), "the model's curve and a point for each case"
    assert len(bars.patches) == 2 * len(web_cache.STEADY)


def test_promises_for_loopback_are_of_set_b() -> None:
    assert {claim.claim[:5] for claim in web_cache.promised("loopback")} == {"set B"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One case, few requests."""
    monkeypatch.setattr(web_cache, "STEADY", (replace(web_cache.STEADY[0], requests=400),))
    monkeypatch.setattr(web_cache, "SATURATED", replace(web_cache.SATURATED, requests=1))
    monkeypatch.setattr(web_cache, "SPAN", 4.0)


def test_a_slower_link_is_found_out(quick: None) -> None:
    class Slower(Bench):
        def changed(self, base: str, changes: Any, name: str) -> Session:
            site = changes["sites"]["someschool"]
            slow = {**site, "down": {"rate": 0.98 * site["down"]["rate"]}}
            return super().changed(base, {**changes, "sites": {**changes["sites"], "someschool": slow}}, name)

    failed = [claim.claim for claim in web_cache.measure(Slower("simulated", 3)) if not claim.passed]
    assert any(text.endswith("the model fed with the same arrivals") for text in failed)


def test_connections_that_do_not_stay_are_found_out(quick: None) -> None:
    class Closing(Bench):
        def changed(self, base: str, changes: Any, name: str) -> Session:
            served = {**changes["hosts"][SERVER]["services"]["origin"], "http": {"requests": 1}}
            hosts = {**changes["hosts"], SERVER: {"services": {"origin": served}}}
            return super().changed(base, {**changes, "hosts": hosts}, name)

    failed = [claim.claim for claim in web_cache.measure(Closing("simulated", 3)) if not claim.passed]
    assert any(text.endswith("the model fed with the same arrivals") for text in failed)


def test_arrivals_are_so_many_within_the_span() -> None:
    times = arrivals(Random(1), 1000, 60.0)
    assert len(times) == 1000
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < 60.0
    gaps = [after - before for before, after in pairwise(times)]
    assert pstdev(gaps) / fmean(gaps) == pytest.approx(1, rel=0.1)


def test_stratified_counts_have_the_distribution() -> None:
    counts = stratified_counts(Random(1), 900.0, 2000)
    assert fmean(counts) == pytest.approx(900, abs=0.1)
    assert pstdev(counts) == pytest.approx(sqrt(900), rel=0.02)
    assert counts == sorted(counts)
    assert stratified_counts(Random(1), 0.001, 2) == [0, 0]


def test_the_share_is_exact_and_at_random() -> None:
    chosen = exact_share(Random(1), 1000, 0.4)
    assert sum(chosen) == 400
    assert 160 <= sum(chosen[:500]) <= 240
