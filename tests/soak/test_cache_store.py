"""The cache's store: kill -9 a hundred times, every octet of its files changed once, a million objects."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cache.stores import MIB
from tests.cache.storing import LIMITS
from tests.cache.test_store_corrupt import PLACES, files_of_a_store, served
from tests.cache.test_store_kill import killed_while_storing


@pytest.mark.timeout(3600)
def test_killed_a_hundred_times(tmp_path: Path) -> None:
    found = killed_while_storing(tmp_path, 100, seed=2)
    print(found)
    assert found.kills == 100
    assert found.wrong == found.corrupt == 0
    assert found.right > 10_000
    assert found.most_octets <= LIMITS.disk + MIB


@pytest.mark.timeout(3600)
def test_every_octet() -> None:
    files = files_of_a_store()
    for name, at in PLACES:
        data = files[name]
        assert served({**files, name: data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]}) <= 5


@pytest.mark.timeout(3600)
def test_a_million_objects(tmp_path: Path) -> None:
    """They are there after a restart, which takes seconds, and keeps nobody waiting; memory keeps its bound."""
    command = [sys.executable, "-m", "tests.bench.cache_store", "--json", "--only", "million", "--directory", str(tmp_path)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["million"]
    print(told)
    assert told["found"] == told["objects"] == 1_000_000
    assert told["index_octets"] < 40
    assert told["warm_seconds"] < 60
    assert told["longest_turn_cpu_ms"] < 50
