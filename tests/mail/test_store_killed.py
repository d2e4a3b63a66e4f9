"""kill -9 while mail comes, 10 times; 100 times in tests/soak."""

from pathlib import Path

import pytest

from tests.mail.killed import killed_while_mail_comes


@pytest.mark.slow
def test_killed_ten_times(tmp_path: Path) -> None:
    assert killed_while_mail_comes(tmp_path, 10) >= 50
