"""10^6 sound and damaged requests, and as many responses, from another seed than CI's; every rule is broken by some."""

import pytest

from tests.fuzz.seeded import run
from tests.fuzz.test_http_inputs import KINDS


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_inputs(kind: str) -> None:
    check, rules = KINDS[kind]
    seen = run(kind, check, 1_000_000, 2)
    print(kind, dict(sorted(seen.items())))
    assert rules <= set(seen), rules - set(seen)
