"""The poisoning lab: its law by hand, its claims in a small sample; a resolver that is worse than it says is found out."""

from dataclasses import replace

import pytest

from netstack.lab import dns_poisoning
from netstack.lab.bench import Bench
from netstack.lab.forgers import ALL, Defence, Races, letters
from netstack.world.session import open_session


@pytest.mark.parametrize(
    ("defence", "guesses", "count", "probability"),
    [
        (Defence("fixed", "sequential"), 1, 0, 1), (Defence("fixed"), 6554, 0, 6554 / 65536),
        (Defence("fixed"), 10**6, 0, 1),
        (Defence(), 10**6, 0, 10**6 / 2**31), (Defence(features=("mixed-case",)), 10**6, 3, 10**6 / 2**34),
        (Defence("fixed", wrong_replies=20), 10**6, 0, 20 / 65536),
        (Defence(wrong_replies=20), 10**9, 0, 20 / 65536), (Defence(features=ALL), 10**6, 8, 10**6 / 2**103),
        (Defence(features=("cookies",), server_cookies=False), 10**6, 0, 10**6 / 2**31),
    ],
)  # fmt: skip
def test_the_law(defence: Defence, guesses: int, count: int, probability: float) -> None:
    assert defence.success(guesses, count) == pytest.approx(probability)


def test_letters() -> None:
    assert [letters(zone) for zone in ("edu", "umass.edu", "4.example")] == [3, 8, 7]


def few(case: dns_poisoning.Case) -> dns_poisoning.Case:
    races, guesses = case.sample
    return replace(case, sample=(max(1, races // 3), guesses))


def test_the_claims_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_poisoning, "CASES", tuple(map(few, dns_poisoning.CASES)))
    claims = list(dns_poisoning.measure(Bench("simulated", 5)))
    assert [(claim.claim, claim.measured) for claim in claims if not claim.passed] == []
    assert [claim.claim for claim in claims] == [claim.claim for claim in dns_poisoning.promised()]
    won = {claim.claim: claim.measured for claim in claims}
    assert won["races won: all defences"] == 0
    assert won["races won: fixed port, ids in sequence"] == 6


def test_a_resolver_that_is_weaker_than_it_says_is_found_out() -> None:
    """Where 16 ports were promised there is one: sixteen times as many races are won."""
    case = next(it for it in dns_poisoning.CASES if "16 ports" in it.title)
    weak = replace(case.defence, source_port="fixed")
    with weak.world(Bench("simulated", 1)) as internet:
        assert not case.claim(False, sum(Races(internet, "umass.edu", weak).run(*case.sample))).passed


def test_nothing_is_forged_outside_of_the_simulation() -> None:
    with (
        open_session("small", "loopback", shaped=False) as internet,
        pytest.raises(TypeError, match="nothing forged leaves the simulation"),
    ):
        Races(internet, "umass.edu", Defence())
