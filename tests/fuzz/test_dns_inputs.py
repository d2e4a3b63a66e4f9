"""Wrong zone files, updates and transfers, the same 12 000 at every run; tests/soak has a million from another seed."""

import pytest

from tests.fuzz.dns_inputs import run

EXPECTED = {
    "zone files": {"zones", "refused"},
    "updates": {"changes", "nothing", "FORMERR", "NOTAUTH", "NOTZONE", "REFUSED", "NXRRSET", "YXRRSET"},
    "transfers": {"refused", "WholeZone", "Increments", "Current", "unfinished"},
}
"""What has to come of some, or the inputs have become so wrong that nothing is tested."""


@pytest.mark.parametrize("kind", EXPECTED)
def test_what_is_wrong_is_refused_and_nothing_else_happens(kind: str) -> None:
    seen = run(kind, 4000, 1)
    assert EXPECTED[kind] <= set(seen), seen
