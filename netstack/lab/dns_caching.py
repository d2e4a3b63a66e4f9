"""How long is a changed address seen stale? Until its TTL ends: the chapter's records live two days.

A resolver looks gaia.cs.umass.edu up, then the host moves: its address changes in its zone. The resolver's clients are sent
to the old address all the same until the TTL is over. Measured in virtual time, with two days and with five minutes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.world.session import Session

TITLE = "How long a changed address is seen stale"
SUBSTRATES = ("simulated",)

WORLD = "textbook"
NAME, HOST, ZONE = "gaia.cs.umass.edu", "cse.nyu.edu", "umass.edu"
STEPS = 100
"""Look-ups during a TTL, evenly; then ten a step around its end."""
TTLS = (172_800, 300)
STALE = "seconds until clients of the resolver see the new address, TTL {ttl} s"
ROOT = "queries that the root servers get meanwhile, TTL {ttl} s"
AFTER = "messages of the first look-up after two days, when all has expired"


class WrongAnswer(Exception):
    """A look-up found neither the old nor the new address."""


def promised() -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [*(claim for ttl in TTLS for claim in _claims(ttl, None, None)), _after(None)]


def measure(bench: Bench) -> Iterator[Claim]:
    """Looks the name up again and again from one host, by its site's resolver."""
    for ttl in TTLS:
        with bench.world(WORLD) as internet:
            internet.flush()
            old, new = internet.address(NAME), internet.address("map.test")
            internet.drive(_change, old, ttl)
            internet.record()
            _look_up(internet, old, new)
            began = internet.seconds()
            internet.drive(_change, new, ttl)
            asked, step = 0, ttl / STEPS
            while internet.seconds() - began < 2 * ttl:
                internet.clear()
                seen = _look_up(internet, old, new)
                rows = [row for row in internet.rows() if row.protocol == "dns"]
                if seen == new:
                    break
                asked += sum(row.destination_name in internet.world.roots() for row in rows)
                left = ttl - (internet.seconds() - began)
                internet.ask(HOST, _sleep, step if left > step else step / 100, within=2 * step + 60)
            yield from _claims(ttl, internet.seconds() - began, asked)
            if ttl == TTLS[0]:
                after = len(rows)
    yield _after(after)


def _claims(ttl: int, seconds: float | None, asked: float | None) -> tuple[Claim, Claim]:
    return (
        Claim(STALE.format(ttl=ttl), ttl, seconds, tolerance=0.01, unit="s"),
        Claim(ROOT.format(ttl=ttl), 0, asked, unit="queries"),
    )


def _after(messages: int | None) -> Claim:
    return Claim(AFTER, 8, messages, unit="messages")


def _look_up(internet: Session, old: str, new: str) -> str:
    answer = internet.resolve(NAME, "A", host=HOST)
    if answer.records not in ((old,), (new,)):
        raise WrongAnswer(f"{HOST} was told {answer.rcode} {' '.join(answer.records)} for {NAME}")
    return answer.records[0]


async def _sleep(machine: Any, seconds: float) -> None:
    from twisted.internet.task import deferLater

    await deferLater(machine.reactor, seconds)


def _change(running: Any, address: str, ttl: int) -> None:
    """Give the name one address, with a TTL, in the zone of each of its servers."""
    from netstack.dns.zone import Zone
    from netstack.world.compose import Composer

    text = Composer(running.world, running.table).zones[ZONE]
    lines = [line for line in text.splitlines() if not line.startswith(f"{NAME}. ")]
    zone = "\n".join([*lines, f"{NAME}. {ttl} IN A {address}", ""])
    for server in running.world.zones[ZONE].servers:
        for service in running.hosts[server].services:
            if service.plugin == "dns":
                service.service.authority.put(Zone.from_text(ZONE, zone))
