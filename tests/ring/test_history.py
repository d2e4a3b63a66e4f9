"""Histories of users on rings in trouble have an order; the check sees those without one, and rings that keep too little."""

from math import inf

import pytest

from netstack.ring.coordinator import Coordinator
from netstack.ring.records import DataOptions
from tests.ring.churn import Trial, Trouble
from tests.ring.history import Operation, is_linearizable, lost, of_key, thin_air, wrong_keys

TROUBLES = {
    "quiet": Trouble(),
    "joining": Trouble(join=4),
    "leaving": Trouble(join=6, leave=5),
    "dying": Trouble(kill=8, join=8),
    "cut off": Trouble(cut=8),
    "data cut off": Trouble(cut=6, cut_circle=False),
    "losses": Trouble(loss=0.05, join=8, leave=9),
    "crowds": Trouble(crowd=6, leave=1.5),
    "crowds dying": Trouble(crowd=8, kill=6, cut=12),
    "all": Trouble(kill=12, join=6, leave=9, cut=8, cut_circle=False, loss=0.03),
}


def history(*rows: tuple[str, str, float, float]) -> list[Operation]:
    """Rows of kind, values, begun, ended."""
    return [
        Operation(
            kind, b"k", values.encode() if kind != "get" else b"", begun, ended,
            frozenset(value.encode() for value in values.split()) if kind == "get" else frozenset(),
        )
        for kind, values, begun, ended in rows
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "has_order"),
    [
        ([("replace", "a", 0, 1), ("get", "a", 2, 3)], True),
        ([("replace", "a", 0, 1), ("get", "", 2, 3)], False),
        ([("replace", "a", 0, 4), ("get", "", 1, 2), ("get", "a", 2, 3)], True),
        ([("replace", "a", 0, 4), ("get", "a", 1, 2), ("get", "", 3, 4)], False),
        ([("replace", "a", 0, inf), ("get", "", 5, 6), ("get", "a", 7, 8)], True),
        ([("replace", "a", 0, inf), ("get", "a", 5, 6), ("get", "", 7, 8)], False),
        ([("replace", "a", 0, 1), ("replace", "b", 2, 3), ("get", "a", 4, 5)], False),
        (
            [("replace", "a", 0, 9), ("replace", "b", 0, 9), ("get", "a", 1, 2), ("get", "b", 3, 4), ("get", "a", 5, 6)],
            False,
        ),
        ([("put", "a", 0, 9), ("put", "b", 0, 9), ("get", "a", 1, 2), ("get", "a b", 3, 4)], True),
        ([("put", "a", 0, 9), ("put", "b", 0, 9), ("get", "a", 1, 4), ("get", "b", 1, 4)], False),
        ([("put", "a", 0, 1), ("remove", "a", 2, 3), ("get", "a", 4, 5)], False),
        ([("put", "a", 0, 1), ("put", "b", 0, 1), ("clear", "", 2, inf), ("get", "b", 4, 5)], False),
        ([("put", "a", 0, 1), ("put", "b", 2, 3), ("get", "b", 4, 5)], False),
        ([("get", "x", 0, 1), ("put", "x", 2, 3)], False),
    ],
)
def test_what_has_an_order(rows: list[tuple[str, str, float, float]], has_order: bool) -> None:
    operations = history(*rows)
    assert is_linearizable(operations) is has_order
    assert wrong_keys(operations) == ([] if has_order else [b"k"])


def test_values_out_of_thin_air() -> None:
    assert thin_air(history(("put", "a", 0, 1), ("get", "a b", 2, 3), ("put", "b", 4, 5))) == [b"b"]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("trouble", TROUBLES)
def test_users_see_one_order(trouble: str, seed: int) -> None:
    """Whatever happens, as long as nobody goes on without the holders whose promise is needed (`patience` without end)."""
    trial = Trial(seed, trouble=TROUBLES[trouble], seconds=25)
    operations = trial.run()
    wrong = wrong_keys(operations)
    assert not wrong, "\n".join([of_key(operations, wrong[0]), *trial.events])
    assert thin_air(operations) == []
    assert sum(each.ended < inf for each in operations) > 50


def is_caught(seeds: range, data: DataOptions, trouble: Trouble) -> bool:
    """Whether a run's history has no order."""
    return any(wrong_keys(Trial(seed, data, trouble).run()) for seed in seeds)


def test_a_quorum_of_one_is_caught() -> None:
    data = DataOptions(write_quorum=1, read_quorum=1, patience=0.5, sync=2.0, deadline=6.0, timeout=0.5)
    assert is_caught(range(6), data, Trouble(cut=6, cut_for=6))


def test_lost_writes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that says that it has what it was given, and does not."""
    honest = Coordinator.take

    def forgetful(self: Coordinator, records: object, strict: bool = False) -> None:
        if strict and self._counter == 0:  # it never was responsible: it only has copies
            return
        honest(self, records, strict)  # type: ignore[arg-type]

    monkeypatch.setattr(Coordinator, "take", forgetful)
    data = DataOptions(patience=0.5, sync=1e6, deadline=6.0, timeout=0.5)
    assert is_caught(range(6), data, Trouble(kill=4, join=4))


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_parts_of_a_ring_go_on_and_agree_again(seed: int) -> None:
    """Cut in two for longer than their patience, both sides write. Afterwards copies are where they belong and agree."""
    data = DataOptions(patience=2.0, sync=2.0, deadline=6.0, timeout=0.5)
    trial = Trial(seed, data, Trouble(cut=6, cut_for=10), seconds=30)
    operations = trial.run()
    trial.settle(60)
    assert thin_air(operations) == []
    assert lost(operations, trial.converged()) == []
    assert trial.cuts > 0
