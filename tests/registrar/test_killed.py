"""Registrations and kill -9 (tests/soak/test_kill_registrar.py does it 50 times)."""

from pathlib import Path

import pytest

from tests.registrar.killed import killed_under_registrations


@pytest.mark.slow
def test_no_acknowledged_registration_is_lost(tmp_path: Path) -> None:
    assert killed_under_registrations(tmp_path, 3) >= 3
