"""10^6 wrong zone files, updates and transfers each, from another seed than CI's."""

import pytest

from tests.fuzz.dns_inputs import CHECKS, run


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", CHECKS)
def test_a_million_inputs(kind: str) -> None:
    seen = run(kind, 1_000_000, 2)
    print(kind, dict(seen))
    assert seen.total() == 1_000_000
