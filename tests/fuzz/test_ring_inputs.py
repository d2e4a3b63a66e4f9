"""10^4 mutated streams of a ring's messages, cut anywhere (10^6 in `make soak`)."""

from tests.fuzz.ring_inputs import check
from tests.fuzz.seeded import run


def test_mutated_streams() -> None:
    seen = run("ring", check, 10_000, seed=1)
    assert min(seen["messages"], seen["refused"], seen["whole"]) > 1000
