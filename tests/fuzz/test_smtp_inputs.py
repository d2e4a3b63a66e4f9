"""10^4 mutated dialogues of SMTP, cut anywhere (10^6 in `make soak`)."""

from tests.fuzz.seeded import run
from tests.fuzz.smtp_inputs import check


def test_mutated_dialogues() -> None:
    seen = run("SMTP", check, 10_000, seed=1)
    assert min(seen["messages"], seen["broken off"], seen["whole"]) > 500
