"""10^6 mutated dialogues of SMTP, cut anywhere."""

import pytest

from tests.fuzz.seeded import run
from tests.fuzz.smtp_inputs import check


@pytest.mark.timeout(7200)
def test_a_million_dialogues() -> None:
    seen = run("SMTP", check, 1_000_000, seed=2)
    print(seen)
    assert min(seen.values()) > 50_000
