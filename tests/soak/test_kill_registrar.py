"""kill -9 under registrations, 50 times: no acknowledged one is lost, registrar and registry agree."""

from pathlib import Path

import pytest

from tests.registrar.killed import killed_under_registrations


@pytest.mark.timeout(3600)
def test_killed_fifty_times(tmp_path: Path) -> None:
    assert killed_under_registrations(tmp_path, 50) >= 50
