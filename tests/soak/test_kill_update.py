"""kill -9 under updates, 200 times: no acknowledged one is lost."""

from pathlib import Path

import pytest

from tests.dns.killed import killed_under_updates


@pytest.mark.timeout(3600)
def test_killed_two_hundred_times(tmp_path: Path) -> None:
    known, untold = killed_under_updates(tmp_path, 200)
    assert known > 200
    assert untold > 0, "no kill came between the disk and the reply"


@pytest.mark.timeout(3600)
def test_a_signed_zone_killed_a_hundred_times(tmp_path: Path) -> None:
    known, _ = killed_under_updates(tmp_path, 100, signed=True)
    assert known > 100
