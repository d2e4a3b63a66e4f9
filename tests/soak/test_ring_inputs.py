"""10^6 mutated streams of a ring's messages, cut anywhere."""

import pytest

from tests.fuzz.ring_inputs import check
from tests.fuzz.seeded import run


@pytest.mark.timeout(7200)
def test_a_million_streams() -> None:
    seen = run("ring", check, 1_000_000, seed=2)
    print(seen)
    assert min(seen.values()) > 100_000
