"""The labs of mail: all claims hold; and a world that does not behave as the chapter's fails."""

from typing import Any

import pytest

from netstack.lab import mail_dialogue
from netstack.lab.bench import Bench
from netstack.lab.registry import load
from netstack.lab.runner import run


@pytest.mark.parametrize(
    ("lab", "on", "claims"),
    [
        ("mail-dialogue", "simulated", 20), ("mail-dialogue", "loopback", 20), ("mail-outage", "simulated", 15),
        ("mail-mime", "simulated", 9), ("mail-mime", "loopback", 9),
        ("mail-tls", "simulated", 38),
    ],
)  # fmt: skip
def test_what_the_chapter_says_holds(lab: str, on: str, claims: int) -> None:
    result = run(lab, on, seed=2)
    assert [claim.claim for claim in result.claims if not claim.passed] == []
    assert len(result.claims) >= claims
    assert [claim.claim for claim in load(lab).promised(on)] == [claim.claim for claim in result.claims]


class Extended(Bench):
    """Leaves the world as it is: alice's server says EHLO."""

    def changed(self, name: str, changes: Any, label: str) -> Any:
        return super().changed(name, {}, label)


def test_another_dialogue_fails() -> None:
    claims = list(mail_dialogue.measure(Extended("simulated", 1)))
    assert {claim.claim for claim in claims if not claim.passed} == {
        "alice's server: messages of the dialogue",
        "alice's server: replies that are those of the chapter, in order",
        "alice's server: commands that are those of the chapter, in order",
    }
