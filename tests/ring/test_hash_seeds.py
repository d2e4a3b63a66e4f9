"""One seed is one run, whatever the interpreter's hash seed: no order in which nodes or their service act is a set's."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from netstack.lab.bench import Bench
from netstack.lab.ring_churn import AT, RING
from netstack.lab.ring_world import CHAPTER, asked, circle, pause, settled
from netstack.world.session import SimulatedSession
from tests.ring.churn import Trial
from tests.ring.test_history import TROUBLES

ROOT = Path(__file__).resolve().parents[2]
TRIALS = (("cut off", 1, 30.0), ("all", 1, 10.0))
"""Trouble, seed, seconds. The first one was another each time before a look-up knew in what order it had asked."""


def trial(trouble: str, seed: int, seconds: float) -> str:
    """All messages of nodes and peers in trouble, as one hash."""
    run = Trial(seed, trouble=TROUBLES[trouble], seconds=seconds)
    run.network.recording = True
    run.run()
    digest = sha256()
    for row in run.network.log:
        digest.update(f"{row}\n".encode())
    return f"{trouble} {seed}: {len(run.network.log)} messages, {digest.hexdigest()}"


def journal() -> str:
    """All rows of a world of the chapter's peers, one of which dies and comes back."""
    digest = sha256()
    with circle(Bench("simulated", 4), CHAPTER, 4, {**RING, "shortcuts": True}) as internet:
        assert isinstance(internet, SimulatedSession)
        internet.record()
        settled(internet, CHAPTER, 2)
        internet.stop_host(AT)
        pause(internet, 3)
        internet.start_host(AT)
        settled(internet, CHAPTER, 2)
        rows = [*internet.rows(), *(row for at in CHAPTER for key in range(16) for row in asked(internet, at, key)[2])]
        for row in rows:
            digest.update(f"{row}\n".encode())
    return f"the world: {len(rows)} rows, {digest.hexdigest()}"


def test_a_run_is_its_seed_alone() -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ring.test_hash_seeds"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for hash_seed in ("1", "2")
    ]  # fmt: skip
    told = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told[0][1] + told[1][1]
    assert told[0][0] == told[1][0]
    assert told[0][0].count(" messages, ") == len(TRIALS)
    assert int(told[0][0].partition("the world: ")[2].split()[0]) > 200


if __name__ == "__main__":
    print(*(trial(*each) for each in TRIALS), journal(), sep="\n")
