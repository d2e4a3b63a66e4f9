"""How does DNS spread a replicated server's load? Each of cnn.com's three addresses is first one third of the time.

Clients use the first address. Asked are the site's resolver, which rotates what it remembers, and cnn.com's own server. The
tolerance is that of the binomial distribution: if each of n answers had an address first with probability one third by
chance, the measured part would leave p +- z sqrt(p (1-p) / n) in one of a thousand runs; taking turns keeps well within.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.world.session import Session

TITLE = "Rotation of a replicated server's addresses"
SUBSTRATES = ("simulated", "loopback", "namespaces")

WORLD = "textbook"
NAME, HOST, OWN = "cnn.com", "cse.nyu.edu", "dns.cnn.com"
ADDRESSES, QUERIES, AT_ONCE, Z = 3, 600, 20, 3.29
"""z: 99.9 % of a normal distribution lie within so many standard deviations."""
BY_RESOLVER = "part of {queries} answers of the site's resolver with address {number} of cnn.com first"
BY_SERVER = "part of {queries} answers of cnn.com's own server with address {number} first"


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [_claim(text, number, None) for text in (BY_RESOLVER, BY_SERVER) for number in range(1, ADDRESSES + 1)]


def measure(bench: Bench) -> Iterator[Claim]:
    """Counts which address is the first one in each answer."""
    with bench.world(WORLD) as internet:
        internet.flush()
        addresses = internet.running.table.hosts[NAME]
        resolver = internet.world.resolver_of(HOST)
        for text, server in ((BY_RESOLVER, resolver), (BY_SERVER, OWN)):
            firsts = Counter(_firsts(internet, str(server)))
            for number, address in enumerate(addresses, 1):
                yield _claim(text, number, firsts[address] / QUERIES)


def _claim(text: str, number: int, measured: float | None) -> Claim:
    part = 1 / ADDRESSES
    tolerance = Z * sqrt(part * (1 - part) / QUERIES) / part
    return Claim(text.format(queries=QUERIES, number=number), part, measured, tolerance=tolerance)


def _firsts(internet: Session, server: str) -> list[str]:
    address = internet.running.table.first(server)
    found: list[str] = internet.ask(HOST, _ask, address, within=300.0)
    return found


async def _ask(machine: Any, server: str) -> list[str]:
    from twisted.internet.defer import Deferred, gatherResults

    from netstack.dns.client import query

    firsts = []
    for _ in range(QUERIES // AT_ONCE):
        asked = [query(machine, (server, machine.port(53)), NAME) for _ in range(AT_ONCE)]
        replies = await gatherResults([Deferred.fromCoroutine(one) for one in asked])
        firsts += [reply.answer[0][0].address for reply in replies]
    return firsts
