"""30 000 faults in the textbook's world, from other seeds than CI's."""

import pytest

from tests.world.simulated.test_faults import survive


@pytest.mark.timeout(3600)
def test_a_world_survives_many_faults() -> None:
    for seed in range(1000, 1500):
        assert survive(seed) > 0
