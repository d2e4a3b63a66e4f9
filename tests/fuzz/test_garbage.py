"""10^4 inputs on every port of every server: it goes on answering, logs no exception, does not grow."""

import os
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.garbage import check_garbage, inputs
from tests.fuzz.servers import SERVERS, Server, started

COUNT = int(os.environ.get("FUZZ_INPUTS", "10000"))
SEED = 2026


@pytest.mark.slow
@pytest.mark.timeout(600)  # work of a minute, which takes as long as others leave no more of the cores
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_garbage(server: Server, tmp_path: Path) -> None:
    with started(server, tmp_path) as (process, address):
        check_garbage(server, process, address, COUNT, SEED)


def test_the_same_seed_gives_the_same_inputs() -> None:
    first, second = (inputs(Random(7), [b"GET / HTTP/1.1\r\n\r\n"]) for _ in range(2))
    assert [next(first) for _ in range(200)] == [next(second) for _ in range(200)]
