"""kill -9 during PUT, 200 times: the old file or the new one, never half."""

from pathlib import Path

import pytest

from tests.interop.test_http_origin import killed_in_the_middle


@pytest.mark.timeout(1800)
def test_killed_two_hundred_times(tmp_path: Path) -> None:
    new, old = killed_in_the_middle(tmp_path, 200)
    assert new + old == 200
    assert old > 0, "no kill came before a file was in place"
