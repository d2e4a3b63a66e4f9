"""The labs about the chapter's circle: they pass, and find out what is not as the chapter says."""

from typing import Any

import pytest
from matplotlib.figure import Figure

from netstack.lab import ring, ring_churn, ring_world
from netstack.lab.bench import Bench
from netstack.lab.registry import load
from netstack.lab.ring_loss import lose
from netstack.lab.runner import run
from netstack.world.session import Session


@pytest.mark.parametrize("name", ["ring", "ring-churn"])
def test_the_claims_hold(name: str) -> None:
    result = run(name, seed=5)
    assert [(claim.claim, claim.measured, claim.why) for claim in result.claims if not claim.passed] == []
    assert {claim.claim for claim in result.claims} == {claim.claim for claim in load(name).promised("simulated")}
    if name == "ring":
        figure = Figure()
        ring.draw(figure, result.claims)
        drawn = [sum(bool(text.get_text() == "") for text in axes.texts) for axes in figure.axes]
        assert drawn == [len(case.questions[0][1]) - 1 for case in ring.CASES], "an arrow for each step"


def test_on_loopback_nobody_comes() -> None:
    assert {claim.claim for claim in ring.promised("loopback")} < {claim.claim for claim in ring.promised()}
    assert not [claim for claim in ring_churn.promised("loopback") if ring_churn.COMES in claim.claim]


def test_shortcuts_that_are_missing_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare(Bench):
        def changed(self, base: str, changes: Any, name: str, ring: bool = False) -> Session:
            for host in changes["hosts"].values():
                host["services"]["ring"]["ring"] |= {"shortcuts": False, "successors": 1}
            return super().changed(base, changes, name, ring)

    monkeypatch.setattr(ring, "CASES", ring.CASES[1:2])
    monkeypatch.setattr(ring, "_joins", lambda bench: iter(()))
    right, count = ring.measure(Bare("simulated", 5))
    assert right.passed
    assert (count.measured, count.passed) == (6, False)


def test_the_circle_as_text() -> None:
    text = ring_world.drawn(4, ring_world.CHAPTER, (3, 12, 15))
    shown = text.split()
    assert {"3[0]", "12[1]", "15[2]", "1", "4", "5", "8", "10"} <= set(shown)
    assert shown.count(".") == 16 - 8


def test_a_key_is_lost_when_all_of_its_copies_are() -> None:
    loss = lose(2, 0.5, "test")
    assert loss.wrong == 0
    assert 0 < loss.lost < 100
    assert 0 < loss.spread < 0.1
