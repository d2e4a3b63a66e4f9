"""The lab about connections: it passes in the chapter's world, and fails where a client or a server does otherwise."""

from typing import Any

from netstack.lab import connections
from netstack.lab.bench import Bench
from netstack.lab.runner import run
from netstack.world.session import Session


def test_the_claims_hold() -> None:
    result = run("connections", seed=3)
    assert [(claim.claim, claim.measured, claim.why) for claim in result.claims if not claim.passed] == []
    assert [claim.claim for claim in result.claims] == [claim.claim for claim in connections.promised()]
    assert [claim.model for claim in result.claims[::2]] == [22, 6, 12, 3, 3, 4, 33]


def test_a_server_that_closes_after_a_request_is_found_out() -> None:
    class Closing(Bench):
        def changed(self, base: str, changes: Any, name: str) -> Session:
            hosts = {"www.someschool.edu": {"services": {"origin": {"http": {"requests": 1}}}}}
            return super().changed(base, {**changes, "hosts": hosts}, name)

    failed = [claim.claim for claim in connections.measure(Closing("simulated", 3)) if not claim.passed]
    assert any(text.startswith("persistent without pipelining: round trips") for text in failed)
    assert not any(text.startswith("non-persistent, five at once") for text in failed)
