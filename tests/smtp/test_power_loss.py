"""The power fails at places of a traced run under the load of 20 sessions: what got 250 is delivered."""

from pathlib import Path

import pytest

from tests.interop.programs import need
from tests.smtp.powerloss import recorded, replayed


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_what_was_taken_survives_a_loss_of_power(tmp_path: Path) -> None:
    told = replayed(recorded(tmp_path, need("strace"), messages=100), cuts=20)
    print(told)
    assert told.never == 0
    assert told.taken > 500
    assert told.images > 30
