"""The labs about cookies and conditional GET: they pass in the chapter's world, and fail where somebody does otherwise."""

from typing import Any

import pytest

from netstack.http.jar import Jar
from netstack.lab import conditional_get, cookies
from netstack.lab.bench import Bench
from netstack.lab.runner import run
from netstack.world.session import Session


@pytest.mark.parametrize(("lab", "module"), [("cookies", cookies), ("conditional-get", conditional_get)])
def test_the_claims_hold(lab: str, module: Any) -> None:
    result = run(lab, seed=3)
    assert [(claim.claim, claim.measured, claim.why) for claim in result.claims if not claim.passed] == []
    assert [claim.claim for claim in result.claims] == [claim.claim for claim in module.promised()]


def test_the_file_is_the_chapter_s_table() -> None:
    [note] = [claim.note for claim in cookies.measure(Bench("simulated", 1)) if claim.note]
    assert note == "ebay 8734, amazon 1678"


def test_a_browser_that_takes_every_cookie_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    field = Jar.field
    monkeypatch.setattr(
        Jar, "field", lambda self, host, path, secure, wall, *more, **named: field(self, host, path, secure, wall)
    )
    failed = [claim.claim for claim in cookies.measure(Bench("simulated", 1)) if not claim.passed]
    assert failed == ["the same, cookie with SameSite=Lax", "the same, cookie with SameSite=Strict"]


def test_a_shop_that_forgets_is_found_out() -> None:
    class Forgetful(Bench):
        def changed(self, base: str, changes: Any, name: str) -> Session:
            hosts = {
                **changes["hosts"],
                cookies.AMAZON: {"services": {"origin": {"mount": ["/=shop"], "shop": {"cookie-days": 5}}}},
            }
            return super().changed(base, {**changes, "hosts": hosts}, name)

    failed = [claim.claim for claim in cookies.measure(Forgetful("simulated", 3)) if not claim.passed]
    assert "visitor that Amazon recognises one week later" in failed
    assert "visitor that Amazon recognises at the second visit" not in failed
