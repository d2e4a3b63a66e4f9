"""Sound and damaged requests and responses, the same 20 000 at every run; tests/soak has millions from another seed."""

import pytest

from tests.fuzz import http_requests, http_responses
from tests.fuzz.seeded import Check, run

KINDS: dict[str, tuple[Check, set[str]]] = {
    "requests": (http_requests.check, {*http_requests.STRICTER}),
    "responses": (http_responses.check, {*http_responses.STRICTER}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_llhttp_reads_what_we_read_and_what_we_refuse_breaks_a_rule(kind: str) -> None:
    check, rules = KINDS[kind]
    seen = run(kind, check, 10_000, 1)
    # Or the inputs have become so wrong that nothing is tested.
    assert min(seen["accepted"], seen["sound"], seen["refused by both"]) > 2000, seen
    assert len(rules - set(seen)) <= 3, rules - set(seen)
