"""Dynamic updates and kill -9 (tests/soak/test_kill_update.py does it 200 times)."""

from pathlib import Path

import pytest

from tests.dns.killed import killed_under_updates


@pytest.mark.slow
def test_no_acknowledged_update_is_lost(tmp_path: Path) -> None:
    known, _ = killed_under_updates(tmp_path, 10)
    assert known >= 10


@pytest.mark.slow
def test_a_signed_zone_is_whole_whenever_it_was_killed(tmp_path: Path) -> None:
    known, _ = killed_under_updates(tmp_path, 3, signed=True)
    assert known >= 3
