"""The chapter's counts, measured on both substrates; and a lab whose world is not the chapter's fails."""

import pytest

from netstack.lab import dns_messages
from netstack.lab.bench import Bench
from netstack.lab.runner import run
from netstack.world.session import Session, open_session


@pytest.mark.parametrize("on", ["simulated", "loopback"])
def test_eight_ten_and_two(on: str) -> None:
    result = run("dns-messages", on, seed=3)
    assert [(claim.model, claim.measured) for claim in result.claims] == [
        *((number, number) for number in (8, 8, 0, 0, 2, 6, 0)),
        *((number, number) for number in (10, 10, 0, 0, 2, 6, 0)),
        *((number, number) for number in (8, 4, 2, 2, 2, 8, 4)),
    ]  # fmt: skip
    assert result.passed


class Swapped(Bench):
    """Gives the other world for `intermediate`."""

    def world(self, name: str) -> Session:
        return open_session("textbook" if name == "intermediate" else name, self.on, self.seed)


def test_a_world_without_the_intermediate_server_fails() -> None:
    claims = list(dns_messages.measure(Swapped("simulated", 1)))
    assert [claim.passed for claim in claims] == [*[True] * 7, False, False, *[True] * 12]
