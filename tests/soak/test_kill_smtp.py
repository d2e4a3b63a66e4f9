"""kill -9 under the load of 20 sessions, 500 times: every message that got 250 is delivered."""

from pathlib import Path

import pytest

from tests.smtp.killed import killed_under_load


@pytest.mark.timeout(3600)
def test_killed_five_hundred_times(tmp_path: Path) -> None:
    told = killed_under_load(tmp_path, 500)
    print(told)
    assert told.never == 0
    assert told.once + told.twice == told.taken
    assert 0.3 * told.taken < told.relayed < 0.7 * told.taken
