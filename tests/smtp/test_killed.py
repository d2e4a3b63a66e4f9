"""kill -9 under the load of 20 sessions: every message that got 250 is delivered; twice only to another host."""

from pathlib import Path

import pytest

from tests.smtp.killed import killed_under_load


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_that_was_taken_is_lost(tmp_path: Path) -> None:
    told = killed_under_load(tmp_path, 10)
    print(told)
    assert told.never == 0
    assert told.once + told.twice == told.taken
    assert 0.3 * told.taken < told.relayed < 0.7 * told.taken
    assert told.taken > 100
