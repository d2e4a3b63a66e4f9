"""The power fails at places of a traced run while mail comes and goes; then the index is lost, too."""

from pathlib import Path

import pytest

from tests.interop.programs import need
from tests.mail.powerloss import recorded, replayed


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_was_acknowledged_survives_a_loss_of_power(tmp_path: Path) -> None:
    told = replayed(recorded(tmp_path, need("strace"), messages=200, kills=2), cuts=30)
    print(told)
    assert told.images > 40
    assert told.taken > 1000
    assert told.rebuilt > 1000
