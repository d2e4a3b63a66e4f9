"""Orders and kill -9 (tests/soak/test_kill_shop.py does it 100 times)."""

from pathlib import Path

import pytest

from tests.shop.killed import killed_while_people_buy


@pytest.mark.slow
def test_no_acknowledged_order_is_lost(tmp_path: Path) -> None:
    assert killed_while_people_buy(tmp_path, 2) >= 8
