"""kill -9 while a node keeps records on a real disk: the next process finds all that were durable."""

import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from threading import Timer

import pytest

from tests.processes import PATIENCE
from tests.ring.logging_records import KEYS


def killed_while_keeping(directory: Path, times: int, seed: int = 1) -> int:
    """How many changes were durable. Each process is killed while it writes; the next looks at what is there."""
    rng, durable, changes = Random(seed), dict[int, int](), 0
    for number in range(times + 1):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.ring.logging_records", str(directory), str(number * 1_000_000 + 1)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        enough = 0
        for line in process.stdout:
            words = line.split()
            if words[0] == "found":
                found = dict(map(int, each.split(":")) for each in words[2:])
                assert all(found.get(key, 0) >= counter for key, counter in durable.items())
                enough = changes + (rng.choice((1, 50, 200, 600)) if number < times else 0)
                if number == times:
                    process.kill()
            elif words[0] == "durable" and len(words) == 2 and line.endswith("\n"):
                changes += 1
                if changes == enough:
                    Timer(rng.uniform(0.0, 0.05), process.kill).start()
                durable[int(words[1]) % KEYS] = max(durable.get(int(words[1]) % KEYS, 0), int(words[1]))
        assert process.wait(PATIENCE) == -signal.SIGKILL
    return changes


@pytest.mark.slow
def test_nothing_durable_is_lost(tmp_path: Path) -> None:
    assert killed_while_keeping(tmp_path, 4) > 500
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 3_000_000
    assert list(tmp_path.rglob("snapshot-*"))
