"""The power fails at many places of traced runs, in which the host is killed in the middle of syncs, too."""

from pathlib import Path

import pytest

from tests.interop.programs import need
from tests.smtp.powerloss import recorded, replayed


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_what_was_taken_survives_a_loss_of_power(tmp_path: Path, seed: int) -> None:
    told = replayed(recorded(tmp_path, need("strace"), messages=400, kills=6, seed=seed), cuts=1000, seed=seed)
    print(told)
    assert told.never == 0
    assert told.taken > 10_000
