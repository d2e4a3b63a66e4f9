"""How long is a changed address seen stale? Until its TTL ends: the chapter's records live two days.

A resolver looks gaia.cs.umass.edu up, then the host moves: its address changes in its zone. The resolver's clients are sent
to the old address all the same until the TTL is over. That a name does not exist is remembered as well (RFC 2308), as long
as the zone's SOA record says: who asked too early does not see a new name. Measured in virtual time with two days and with
five minutes; where time is real, with two seconds.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.world.session import Session

TITLE = "How long a changed address is seen stale"
SUBSTRATES = ("simulated", "loopback", "namespaces")

WORLD = "textbook"
NAME, HOST, ZONE, OWN = "gaia.cs.umass.edu", "cse.nyu.edu", "umass.edu", ("dns.umass.edu", "dns2.umass.edu")
STEPS = 100
"""Look-ups during a TTL, evenly; then ten a step around its end."""
VIRTUAL, REAL = (172_800, 300), (2,)
NEGATIVE = {"simulated": 900}
"""Seconds that absence is remembered."""
REAL_STEPS = 20
STALE = "seconds until clients of the resolver see the new address, TTL {ttl} s"
ROOT = "queries that the root servers get meanwhile, TTL {ttl} s"
UNSEEN = "seconds until clients see a new name whose absence was asked for before, negative TTL {ttl} s"
ASKED = "queries that the zone's servers get meanwhile, negative TTL {ttl} s"
AFTER = "messages of the first look-up after two days, when all has expired"


class WrongAnswer(Exception):
    """A look-up found neither the old nor the new address."""


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    claims = [claim for ttl in _ttls(on) for claim in _claims(on, STALE, ROOT, ttl, None, None)]
    claims += _claims(on, UNSEEN, ASKED, NEGATIVE.get(on, REAL[0]), None, None)
    return [*claims, _after(None)] if on == "simulated" else claims


def measure(bench: Bench) -> Iterator[Claim]:
    """Looks the name up again and again from one host, by its site's resolver."""
    for ttl in _ttls(bench.on):
        with bench.world(WORLD) as internet:
            old, new = internet.address(NAME), internet.address("map.test")
            internet.everywhere(_change, f"{ttl} IN A {old}", 900)
            seconds, asked, rows = _until(internet, bench.on, ttl, (old,), (new,), internet.world.roots())
            yield from _claims(bench.on, STALE, ROOT, ttl, seconds, asked)
            if ttl == VIRTUAL[0]:
                after = rows
    with bench.world(WORLD) as internet:
        new, ttl = internet.address("map.test"), NEGATIVE.get(bench.on, REAL[0])
        internet.everywhere(_change, "", ttl)
        seconds, asked, _ = _until(internet, bench.on, ttl, (), (new,), OWN)
        yield from _claims(bench.on, UNSEEN, ASKED, ttl, seconds, asked)
    if bench.on == "simulated":
        yield _after(after)


def _ttls(on: str) -> Sequence[int]:
    return VIRTUAL if on == "simulated" else REAL


def _claims(on: str, seen: str, others: str, ttl: int, seconds: float | None, asked: float | None) -> tuple[Claim, Claim]:
    tolerance = 0.01 if on == "simulated" else 0.25  # on a busy machine a look-up may take a while
    return (
        Claim(seen.format(ttl=ttl), ttl, seconds, tolerance, "s"),
        Claim(others.format(ttl=ttl), 0, asked, unit="queries"),
    )


def _after(messages: int | None) -> Claim:
    return Claim(AFTER, 8, messages, unit="messages")


def _until(
    internet: Session, on: str, ttl: int, old: tuple[str, ...], new: tuple[str, ...], servers: Sequence[str]
) -> tuple[float, int, int]:
    """Seconds until what changed is seen, queries that servers get meanwhile, messages of the look-up that saw it."""
    internet.flush()
    internet.record()
    began = internet.seconds()
    if _look_up(internet, old, new) != old:
        raise WrongAnswer(f"{NAME} is new before it was changed")
    internet.everywhere(_change, f"{ttl} IN A {new[0]}", ttl)
    step = ttl / (STEPS if on == "simulated" else REAL_STEPS)
    seen, seconds = old, 0.0
    while seen != new and seconds < 2 * ttl:
        left = ttl - seconds
        internet.ask(HOST, _sleep, step if left > step else step / 100, within=2 * step + 60)
        seen = _look_up(internet, old, new)
        seconds = internet.seconds() - began
    rows = [row for row in internet.rows() if row.protocol == "dns"]
    last = max(number for number, row in enumerate(rows) if row.source_name == HOST)
    first = min(number for number, row in enumerate(rows) if row.destination_name == HOST)
    resolver = internet.world.resolver_of(HOST)
    asked = sum(row.source_name == resolver and row.destination_name in servers for row in rows[first:last])
    return seconds, asked, len(rows) - last


def _look_up(internet: Session, old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    answer = internet.resolve(NAME, "A", host=HOST)
    if answer.records not in (old, new) or answer.rcode not in ("NOERROR", "NXDOMAIN"):
        raise WrongAnswer(f"{HOST} was told {answer.rcode} {' '.join(answer.records)} for {NAME}")
    return answer.records


async def _sleep(machine: Any, seconds: float) -> None:
    from twisted.internet.task import deferLater

    await deferLater(machine.reactor, seconds)


def _change(running: Any, record: str, negative_ttl: int) -> None:
    """Give the name one record, or none, and the zone a TTL of what it does not have, on each of its servers."""
    from netstack.dns.zone import Zone
    from netstack.world.compose import Composer

    lines = []
    for line in Composer(running.world, running.table).zones[ZONE].splitlines():
        if " IN SOA " in line:
            line = " ".join([*line.split()[:-1], str(negative_ttl)])
        if not line.startswith(f"{NAME}. "):
            lines.append(line)
    zone = "\n".join([*lines, f"{NAME}. {record}" if record else "", ""])
    for server in running.world.zones[ZONE].servers:
        for service in running.hosts[server].services if server in running.hosts else ():
            if service.plugin == "dns":
                service.service.authority.put(Zone.from_text(ZONE, zone))
