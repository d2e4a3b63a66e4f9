"""64 nodes as processes: half of them killed at once, and 8 -> 64 -> 8 nodes; which keys are left, and after how long."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.ring.fleet import Fleet, Process

NODES, COPIES = 64, 3
TOGETHER = 8
"""Nodes that are started at once."""
SECONDS = 240.0
"""For what must happen to happen: 64 processes have few processors."""
BUSY = {"successors": 8, "calm": 8.0, "timeout": 2.0, "data": {"timeout": 4.0, "deadline": 30.0}}
"""Options of nodes whose neighbours may have to wait for a processor."""
KEYS = [f"key{number}" for number in range(500)]

pytestmark = pytest.mark.timeout(1800)


def every_second(there: list[Process], rng: Random) -> list[Process]:
    return there[rng.randrange(2) :: 2]


def no_three_together(there: list[Process], rng: Random) -> list[Process]:
    """Half of them, drawn until no three are one after the other."""
    while True:
        drawn = set(rng.sample(range(NODES), NODES // 2))
        if not any({at, (at + 1) % NODES, (at + 2) % NODES} <= drawn for at in drawn):
            return [there[at] for at in sorted(drawn)]


def any_half(there: list[Process], rng: Random) -> list[Process]:
    return rng.sample(there, NODES // 2)


def lost(fleet: Fleet, there: list[Process], killed: set[str]) -> list[str]:
    """Keys all of whose copies were at nodes that were killed."""
    return [key for key in KEYS if all(each.name in killed for each in fleet.keepers(key, COPIES, there))]


def nodes_settled(fleet: Fleet, together: int = TOGETHER) -> list[Process]:
    begun = time.monotonic()
    while len(fleet.nodes) < NODES:
        fleet.start(min(together, NODES - len(fleet.nodes)))
        fleet.settle(SECONDS)
    print(f"\n{NODES} nodes settled {time.monotonic() - begun:.1f} s after the first was started", end="")
    return fleet.ordered()


@pytest.mark.parametrize(
    ("choose", "seed", "secure"),
    [
        (every_second, 1, False),
        (no_three_together, 2, False),
        (no_three_together, 3, False),
        (any_half, 4, False),
        (any_half, 5, False),
        (any_half, 6, False),
        (no_three_together, 7, True),
        (any_half, 8, True),
    ],
)
def test_half_of_them_are_killed_at_once(
    choose: Callable[[list[Process], Random], list[Process]],
    seed: int,
    secure: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`secure`: under TLS, with certificates of an issuer."""
    rng = Random(seed)
    with Fleet(tmp_path, secure, patience=SECONDS, **BUSY) as fleet, capsys.disabled():
        there = nodes_settled(fleet)
        fleet.put_all(KEYS)
        fleet.settle(SECONDS)
        gone = choose(there, rng)
        expected = lost(fleet, there, {each.name for each in gone})
        begun = time.monotonic()
        fleet.kill(gone)
        healed = fleet.settle(SECONDS)
        missing = fleet.missing(KEYS)
        read = time.monotonic() - begun
        draws = sorted(len(lost(fleet, there, {each.name for each in any_half(there, rng)})) / len(KEYS) for _ in range(400))
        low, high, mean = draws[10], draws[-11], sum(draws) / len(draws)
        part = len(missing) / len(KEYS)
        print(
            f"; {choose.__name__}{', TLS' if secure else ''}: neighbours right after {healed:.2f} s, "
            f"all keys answered after {read:.1f} s; "
            f"lost {100 * part:.1f} % (random halves of this circle: mean {100 * mean:.1f} %, 95 %: "
            f"{100 * low:.1f} to {100 * high:.1f} %; p^r = {100 * _p_to_the_r():.1f} %)"
        )
        assert missing == expected
        if choose is any_half:
            assert low <= part <= high
        else:
            assert missing == []
        assert fleet.trouble() == []


def _p_to_the_r() -> float:
    """All of so many copies among the half that is drawn without putting back."""
    found, half = 1.0, NODES // 2
    for each in range(COPIES):
        found *= (half - each) / (NODES - each)
    return found


def test_eight_then_sixty_four_then_eight(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Fleet(tmp_path, patience=SECONDS, **BUSY) as fleet, capsys.disabled():
        fleet.start(8)
        fleet.settle(SECONDS)
        fleet.put_all(KEYS)
        begun = time.monotonic()
        nodes_settled(fleet, NODES)
        assert fleet.missing(KEYS) == []
        print(f", all keys read {time.monotonic() - begun:.1f} s after the 9th was started", end="")
        begun = time.monotonic()
        pauses = []
        for node in list(fleet.nodes.values())[:7:-1]:
            pauses.append(fleet.leave(node, SECONDS))
            if len(fleet.nodes) in (48, 32, 16):
                assert fleet.missing(KEYS[::10]) == []
        fleet.settle(SECONDS)
        assert fleet.missing(KEYS) == []
        pauses.sort()
        print(
            f"; 56 left one after another in {time.monotonic() - begun:.1f} s, each in {pauses[0]:.2f} to "
            f"{pauses[-1]:.2f} s (median {pauses[28]:.2f}); no key lost"
        )
        assert fleet.trouble() == []
