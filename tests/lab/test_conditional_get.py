"""The lab about conditional GET: it passes, and finds out a cache that does not ask."""

from typing import Any

from netstack.lab import conditional_get
from netstack.lab.bench import Bench
from netstack.lab.registry import load
from netstack.lab.runner import measure, run
from netstack.world.session import Session


def test_the_claims_hold() -> None:
    result = run("conditional-get", seed=3)
    assert [(claim.claim, claim.measured, claim.why) for claim in result.claims if not claim.passed] == []
    assert [claim.claim for claim in result.claims] == [claim.claim for claim in conditional_get.promised()]
    notes = "\n".join(claim.note for claim in result.claims)
    for line in (  # the chapter's, with dates in IMF form (RFC 9110 §5.6.7)
        "Date: Sat, 03 Oct 2015 15:39:29 GMT",
        "Last-Modified: Wed, 09 Sep 2015 09:23:24 GMT",
        "GET /fruit/kiwi.gif HTTP/1.1\nHost: www.exotiquecuisine.com\nIf-Modified-Since: Wed, 09 Sep 2015 09:23:24 GMT",
        "HTTP/1.1 304 Not Modified\nDate: Sat, 10 Oct 2015 15:39:29 GMT",
    ):
        assert line in notes


def test_a_cache_that_takes_a_week_for_fresh_is_found_out() -> None:
    class Lazy(Bench):
        def world(self, name: str) -> Session:
            rules: dict[str, Any] = {"rules": {"heuristic": 1.0, "heuristic-seconds": 1e9}}
            hosts = {"hosts": {"cache.someschool.edu": {"services": {"cache": rules}}}}
            return self.changed(name, hosts, "lazy")

    failed = [claim for claim in measure(load("conditional-get"), Lazy("simulated", 3)).claims if not claim.passed]
    assert {claim.claim for claim in failed} == {
        *(text for text, _ in conditional_get.CACHED),
        conditional_get.LINK,
        conditional_get.AGAIN,
    }
    assert "expected a request and a response" in failed[0].why
