"""kill -9 while mail comes, 100 times: no acknowledged message is lost, damaged or there twice."""

from pathlib import Path

import pytest

from tests.mail.killed import killed_while_mail_comes


@pytest.mark.timeout(3600)
def test_killed_a_hundred_times(tmp_path: Path) -> None:
    assert killed_while_mail_comes(tmp_path, 100) >= 5000
