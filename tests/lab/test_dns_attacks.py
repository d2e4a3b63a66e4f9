"""The attacks lab beside poisoning: its claims hold, and without the defence the figure is another one."""

from collections.abc import Mapping
from typing import Any

import pytest

from netstack.lab import dns_amplification, dns_attacks, dns_flood, dns_middle
from netstack.lab.bench import Bench
from netstack.world.session import Session


@pytest.mark.parametrize("part", [dns_middle, dns_flood, dns_amplification])
def test_the_claims_hold(part: Any) -> None:
    claims = list(part.measure(Bench("simulated", 3)))
    assert [(claim.claim, claim.measured) for claim in claims if not claim.passed] == []
    assert [claim.claim for claim in claims] == [claim.claim for claim in part.promised()]


def test_every_claim_has_a_text_of_its_own() -> None:
    texts = [claim.claim for claim in dns_attacks.promised()]
    assert len(texts) == len(set(texts))


class Weakened(Bench):
    """The worlds of the lab with other services on some hosts."""

    changes: Mapping[str, Any]

    def changed(self, base: str, changes: Mapping[str, Any], name: str) -> Session:
        hosts = dict(changes.get("hosts", {}))
        for host, services in self.changes.items():
            hosts[host] = {**hosts.get(host, {}), "services": services}
        return super().changed(base, {**changes, "hosts": hosts}, name)


def weakened(**changes: Any) -> Bench:
    bench = Weakened("simulated", 3)
    object.__setattr__(bench, "changes", {name.replace("_", "."): options for name, options in changes.items()})
    return bench


def failing(part: Any, bench: Bench) -> list[str]:
    return [claim.claim for claim in part.measure(bench) if not claim.passed]


def test_a_server_that_sends_all_it_has_is_found_out() -> None:
    failed = failing(dns_amplification, weakened(dns_umass_edu={"dns": {"limits": {"udp-payload": 4096}, "cookies": "off"}}))
    assert any("up to 1232" in text for text in failed)
    assert any("at most 10 equal replies/s, slip 2" in text for text in failed)
    assert any("BADCOOKIE" in text for text in failed)


def test_a_resolver_that_looks_up_all_servers_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_amplification, "FLOODS", ())
    limits = {"glueless": 1000, "hosts": 1000, "queries": 1000}
    failed = failing(dns_amplification, weakened(dns_nyu_edu={"resolver": {"limits": limits}}))
    assert any("NXNSAttack" in text and "the resolver's limits" in text for text in failed)
