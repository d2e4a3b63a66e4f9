"""The power fails at many places of traced runs while mail comes and goes; then the index is lost, too."""

from pathlib import Path

import pytest

from tests.interop.programs import need
from tests.mail.powerloss import recorded, replayed


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_what_was_acknowledged_survives_a_loss_of_power(tmp_path: Path, seed: int) -> None:
    told = replayed(recorded(tmp_path, need("strace"), messages=600, kills=8, seed=seed), cuts=1000, seed=seed)
    print(told)
    assert told.images > 1500
    assert told.both > 100
