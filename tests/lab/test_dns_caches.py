"""The labs about what resolvers remember: they pass in the chapter's world and fail where it is not so."""

from pathlib import Path

import pytest

from netstack.lab import dns_caching, dns_rotation
from netstack.lab.bench import Bench
from netstack.lab.runner import run
from netstack.world.session import Session


def other(folder: Path, options: str) -> Bench:
    """Gives a world in which the resolver of nyu.edu has other options."""
    file = folder / "other.toml"
    file.write_text(f'base = "textbook"\n[hosts."dns.nyu.edu"]\nsite = "nyu"\nservices = {{ resolver = {{ {options} }} }}\n')

    class Other(Bench):
        def world(self, name: str) -> Session:
            return super().world(str(file))

    return Other("simulated", 1)


@pytest.mark.parametrize("on", ["simulated", "loopback"])
@pytest.mark.parametrize("lab", ["dns-caching", "dns-rotation"])
def test_the_claims_hold(lab: str, on: str) -> None:
    result = run(lab, on, seed=2)
    assert [claim.claim for claim in result.claims if not claim.passed] == []
    assert len(result.claims) == {"dns-caching": 7 if on == "simulated" else 4, "dns-rotation": 6}[lab]


def test_a_resolver_that_forgets_early_is_found_out(tmp_path: Path) -> None:
    claims = list(dns_caching.measure(other(tmp_path, "limits = { max-ttl = 3600 }")))
    assert [claim.passed for claim in claims] == [False, True, True, True, True, True, True]
    assert claims[0].measured == pytest.approx(3600, rel=0.5)


def test_a_resolver_that_does_not_rotate_is_found_out(tmp_path: Path) -> None:
    claims = list(dns_rotation.measure(other(tmp_path, 'rotation = "fixed"')))
    assert [claim.passed for claim in claims] == [False, False, False, True, True, True]
    assert sorted(claim.measured or 0 for claim in claims[:3]) == [0, 0, 1]


def test_the_tolerance_is_the_binomial_distributions() -> None:
    """For p = 1/3 and n = 600, 99.9 % lie within 0.0633 of p."""
    tolerance = dns_rotation.promised()[0].tolerance
    assert tolerance / 3 == pytest.approx(0.0633, abs=0.0001)
