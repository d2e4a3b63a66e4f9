"""kill -9 while people buy, 100 times: no acknowledged order is lost, every visitor is known again."""

from pathlib import Path

import pytest

from tests.shop.killed import killed_while_people_buy


@pytest.mark.timeout(3600)
def test_killed_a_hundred_times(tmp_path: Path) -> None:
    assert killed_while_people_buy(tmp_path, 100) >= 400
