"""Ids and source ports of queries: random, or as weak as a lab wants them."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from netstack.dns.identity import FIRST_PORT, IDS, SAFE, Identity
from netstack.taps import resolver
from netstack.world.loader import extended
from netstack.world.session import SimulatedSession


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"source_port": "sequential"}, "source_port"), ({"id": "guess"}, "id"), ({"ports": 0}, "ports"),
        ({"ports": 40_000}, "ports"), ({"ids": 3}, "ids"), ({"ids": 1 << 17}, "ids"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=f"^{wrong}: expected"):
        Identity(**options)


def test_ids() -> None:
    rng = Random(1)
    drawn = {SAFE.numbers(rng.getrandbits)() for _ in range(100)}
    assert len(drawn) > 95
    assert max(drawn) > IDS // 2
    following = [Identity(id="sequential").numbers(rng.getrandbits)() for _ in range(2)]
    assert len(set(following)) == 2, "each begins anew"
    for identity, steps in ((Identity(id="sequential"), {1}), (Identity(id="fixed"), {0})):
        number = identity.numbers(rng.getrandbits)
        assert {(b - a) % IDS for a, b in pairwise(number() for _ in range(100))} == steps
    few = Identity(ids=8).numbers(rng.getrandbits)
    assert {few() for _ in range(200)} == set(range(8))
    assert SAFE.weak is False
    assert Identity(ports=16).weak


def world(**identity: object) -> SimulatedSession:
    services = {"resolver": {"identity": identity}} if identity else {"resolver": {}}
    changes = {"hosts": {"dns.nyu.edu": {"site": "nyu", "services": services}}}
    return SimulatedSession(extended("small", changes, "identity"))


def ports(internet: SimulatedSession) -> list[int]:
    internet.record("dns.nyu.edu")
    for number in range(12):
        internet.resolve(f"nothing{number}.umass.edu", host="cse.nyu.edu")
    return [row.source[1] for row in internet.rows() if row.source_name == "dns.nyu.edu" and row.destination[1] == 53]


def test_ports_are_random_few_or_one() -> None:
    with world() as internet:
        assert len(set(ports(internet))) > 10
    with world(ports=2) as internet:
        assert set(ports(internet)) == {FIRST_PORT, FIRST_PORT + 1}
    with world(source_port="fixed") as internet:
        assert set(ports(internet)) == {FIRST_PORT}


def test_many_queries_share_a_fixed_port() -> None:
    """Each reply finds its query by server and id, although all wait at once."""
    with world(source_port="fixed") as internet:
        address = internet.address("dns.nyu.edu")
        found = internet.ask("cse.nyu.edu", _many, address)
    assert found == {f"nothing{number}.umass.edu." for number in range(20)}


async def _many(machine: Any, address: str) -> set[str]:
    from twisted.internet.defer import Deferred, gatherResults

    from netstack.dns.client import query

    replies = await gatherResults(
        [Deferred.fromCoroutine(query(machine, (address, 53), f"nothing{number}.umass.edu")) for number in range(20)]
    )
    return {reply.question[0].name.to_text() for reply in replies if reply.rcode() == 3}


def test_a_weak_resolver_says_so_loudly() -> None:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        world(ids=16).close()
        world().close()
    finally:
        globalLogPublisher.removeObserver(events.append)
    loud = [event for event in events if "CAN BE POISONED" in (event.get("log_format") or "")]
    assert [event["log_level"].name for event in loud] == ["warn"]


def test_the_command_line_has_them() -> None:
    options = resolver.Options()
    options.parseOptions(["--hint", "a=127.0.0.1", "--source-port", "fixed", "--id", "sequential", "--ids", "256"])
    assert options.config().identity == Identity("fixed", "sequential", ids=256)
    with pytest.raises(Exception, match="source_port: expected random or fixed"):
        resolver.Options().parseOptions(["--hint", "a=127.0.0.1", "--source-port", "some"])
