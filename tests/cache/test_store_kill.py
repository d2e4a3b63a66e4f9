"""kill -9 while objects are stored on a real disk: nothing wrong is found after it, and nothing that was removed."""

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Timer

import pytest

from tests.cache.stores import MIB
from tests.cache.storing import LIMITS
from tests.processes import PATIENCE


@dataclass
class Kills:
    """What was found after all of them."""

    kills: int = 0
    right: int = 0
    wrong: int = 0
    torn: int = 0
    corrupt: int = 0
    most_octets: int = 0
    """Of all files, after any of them."""


def octets_below(directory: Path) -> int:
    """Of all files."""
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def killed_while_storing(directory: Path, times: int, seed: int = 1) -> Kills:
    """Each process checks what the one before it left, and is killed while it stores: some time after it has flushed forty
    objects for a number of times."""
    rng, found, removed = Random(seed), Kills(), dict[str, int]()
    for number in range(times + 1):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cache.storing", str(directory), str(number * 1_000_000)]
            + [f"{key} {serial}" for key, serial in removed.items()],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        flushes, most = 0, rng.choice((2, 4, 8, 16))
        for line in process.stdout:
            words = line.split()
            if words[0] == "found":
                found.right += int(words[1])
                found.wrong += int(words[2])
                found.torn += int(words[3])
                found.corrupt += int(words[4])
                if number == times:
                    process.kill()
            elif words[0] == "removed":
                removed[f"{words[1]} {words[2]}"] = int(words[3])
                flushes += 1
                if flushes == most:
                    Timer(rng.uniform(0.0, 0.05), process.kill).start()
        assert process.wait(PATIENCE) == -signal.SIGKILL
        found.kills += number < times
        found.most_octets = max(found.most_octets, octets_below(directory))
        process.stdout.close()
    return found


@pytest.mark.slow
def test_killed_while_storing(tmp_path: Path) -> None:
    found = killed_while_storing(tmp_path, 3)
    assert found.wrong == found.corrupt == 0
    assert found.right > 100
    assert found.most_octets <= LIMITS.disk + MIB, "beside what was being written"
