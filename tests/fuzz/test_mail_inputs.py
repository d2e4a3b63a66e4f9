"""Wrong messages, addresses, exchanges and ledgers, the same 10 000 at every run; tests/soak has a million of each."""

import pytest

from tests.fuzz.mail_inputs import run

EXPECTED = {
    "messages": {"as it is", "one part", "parts", "5.6.3", "5.6.7"},
    "paths": {"path", "null", "5.1.3", "5.1.7", "5.6.7"},
    "exchanges": {"malformed", "Failure"},
    "ledgers": {"1 folders", "2 folders"},
}
"""What has to come of some, or the inputs have become so wrong that nothing is tested."""


@pytest.mark.parametrize("kind", EXPECTED)
def test_what_is_wrong_is_refused_and_nothing_else_happens(kind: str) -> None:
    seen = run(kind, 2500, 1)
    assert EXPECTED[kind] <= set(seen), seen
    assert "a reply of two lines" not in seen
