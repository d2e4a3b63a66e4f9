"""10^6 inputs on every port of every server, from another seed than CI's."""

from pathlib import Path

import pytest

from tests.fuzz.garbage import check_garbage
from tests.fuzz.servers import SERVERS, Server, started


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_million_inputs(server: Server, tmp_path: Path) -> None:
    with started(server, tmp_path) as (process, address):
        check_garbage(server, process, address, 1_000_000, 1)
