"""10^6 wrong messages, addresses, exchanges and ledgers each, from another seed than CI's."""

import pytest

from tests.fuzz.mail_inputs import KINDS, run


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_inputs(kind: str) -> None:
    seen = run(kind, 1_000_000, 2)
    print(kind, dict(seen))
    assert seen.total() == 1_000_000
