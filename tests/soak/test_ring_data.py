"""The ring's data: histories of users on hundreds of rings in trouble; a log that is killed a hundred times."""

from math import inf
from pathlib import Path

import pytest

from netstack.ring.records import DataOptions
from tests.ring.churn import Trial, Trouble
from tests.ring.history import lost, of_key, thin_air, wrong_keys
from tests.ring.test_history import TROUBLES
from tests.ring.test_killed import killed_while_keeping


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_users_see_one_order(trouble: str) -> None:
    answered = unknown = 0
    for seed in range(1000, 1200):
        trial = Trial(seed, trouble=TROUBLES[trouble])
        operations = trial.run()
        wrong = wrong_keys(operations)
        assert not wrong, "\n".join([f"seed {seed}", of_key(operations, wrong[0]), *trial.events])
        assert thin_air(operations) == []
        answered += sum(each.ended < inf for each in operations)
        unknown += sum(each.ended == inf for each in operations)
    print(f"{trouble}: {answered} operations answered, {unknown} not")
    assert answered > 10_000


@pytest.mark.timeout(7200)
def test_parts_agree_again() -> None:
    """With little patience both sides of a cut write: the longer it is, the fewer histories have an order."""
    data = DataOptions(patience=2.0, sync=2.0, deadline=6.0, timeout=0.5)
    for cut_for in (1.0, 3.0, 10.0):
        wrong = 0
        for seed in range(1000, 1050):
            trial = Trial(seed, data, Trouble(cut=12, cut_for=cut_for))
            operations = trial.run()
            wrong += bool(wrong_keys(operations))
            trial.settle(60)
            assert thin_air(operations) == []
            assert lost(operations, trial.converged()) == [], seed
        print(f"cut for {cut_for} s with patience of 2 s: {wrong} of 50 histories have no order")


@pytest.mark.timeout(7200)
def test_killed_a_hundred_times(tmp_path: Path) -> None:
    changes = killed_while_keeping(tmp_path, 100, seed=2)
    print(f"{changes} changes were durable")
    assert changes > 10_000
