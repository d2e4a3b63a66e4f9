"""What does a flood of queries at the root do, and a day without the root? With and without caches in the resolvers.

What reaches root and TLD servers, and what of the clients' look-ups is answered, while all is well, while the root's access
link is flooded, while its servers are down for a day, and when the TTLs of what resolvers know (two days) have ended. Then a
flood of random names below one zone ("water torture"), which no ordinary cache stops.
"""

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Any

from netstack.dns.limits import ResolverLimits
from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.world.session import Session
from netstack.world.simulated.forging import Forger

TLDS = ("com", "edu", "net", "org")
SITES = ("nyu", "poly", "isp")
DAY, TTL = 86_400, 172_800
ROOTS = ("a.root-servers.net", "b.root-servers.net")
EVIL = "bots.isp.net"
RATE_BPS, OVERLOAD = 40_000, 10
"""Of the root's access link; the flood is so many times what fits."""
Z = 3.29
CACHES, NONE = "caches", "no caches"
ONE_ENTRY = {"cache-entries": 1}
"""A resolver that remembers nothing."""
_LIMITS = ResolverLimits()
TRIES = min(_LIMITS.attempts * len(ROOTS), int(_LIMITS.deadline // _LIMITS.max_timeout) + 1)
"""Queries to the root for one look-up, before the resolver gives up: of servers that were silent it waits longest."""
SAMPLE = 60
"""Look-ups under the flood."""
NAMES = 200
"""Random names of a water torture."""
NOT_SHOWN = (
    "floods that exceed a server's CPU: computing takes no virtual time; the bound is the access link.",
    "anycast, by which each root server of today is hundreds: the world has two, at one site.",
)


def zones() -> list[str]:
    """Two below each TLD."""
    return [f"{name}.{tld}" for tld in TLDS for name in ("one", "two")]


def promised() -> Sequence[Claim]:
    """The claims of a sample, unmeasured."""
    return [
        *(claim for caching in (True, False) for claim in _day(caching, False, None, None)),
        *(_down(*case, None) for case in DOWN),
        _single(SAMPLE, None),
        *(_flooded(caching, SAMPLE, None) for caching in (True, False)),
        *(_torture(case, None) for case in TORTURES),
    ]


def measure(bench: Bench) -> Iterator[Claim]:
    """Look-ups of names that nobody asked for before, from three sites."""
    for caching in (True, False):
        with _world(bench, caching) as internet:
            yield from _day(caching, bench.full, *_lived(internet, 600 if bench.full else 7200))
    for case in DOWN:
        with _world(bench, case[0], *case[1]) as internet:
            yield _down(*case, _without_root(internet, case[2], case[3]))
    count = 1000 if bench.full else SAMPLE
    with _world(bench, True) as internet:
        yield _single(count, _asked_directly(internet, count))
    for caching in (True, False):
        with _world(bench, caching) as internet:
            yield _flooded(caching, count, _asked_under_flood(internet, count))
    for torture in TORTURES:
        with _world(bench, True, *torture[1], profile=torture[0]) as internet:
            yield _torture(torture, _tortured(internet))


# A day on which all is well


def _day(caching: bool, full: bool, root: float | None, tld: float | None) -> list[Claim]:
    """Queries for each look-up; each resolver learns each TLD and each zone once."""
    lookups = len(SITES) * (DAY // (600 if full else 7200)) * len(zones())
    how = CACHES if caching else NONE
    asked = len(SITES) * len(TLDS) / lookups if caching else 1
    referred = len(SITES) * len(zones()) / lookups if caching else 1
    note = f"{lookups} look-ups in a day, each of a name that nobody asked for before"
    return [
        Claim(f"queries that reach the root for one look-up, {how}", asked, root, 0.001, note=note),
        Claim(f"queries that reach TLD servers for one look-up, {how}", referred, tld, 0.001),
    ]


def _lived(internet: Any, step: int) -> tuple[float, float]:
    roots, tlds = (internet.running.links.networks[name].down for name in ("roots", "tlds"))
    before = roots.packets, tlds.packets
    lookups = 0
    for round in range(DAY // step):
        for site in SITES:
            for zone in zones():
                _expect(_answered(internet, site, f"x{round}.{zone}"))
                lookups += 1
        internet.up.simulation.run(for_seconds=step)
    return (roots.packets - before[0]) / lookups, (tlds.packets - before[1]) / lookups


# Days without the root

NEW, KNOWN = "new names", "names asked for before"
DOWN: tuple[tuple[bool, tuple[str, ...], float, str, float], ...] = (
    (True, (), 0.5, NEW, 1.0),
    (False, (), 0.5, NEW, 0.0),
    (True, (), 2.5, NEW, 0.0),
    (True, (), 2.5, KNOWN, 0.0),
    (True, ("serve-stale",), 2.5, KNOWN, 1.0),
    (True, ("serve-stale",), 2.5, NEW, 0.0),
)
"""Caches, features of the resolvers, days after the root went down, what is asked for, the part that is answered."""


def _down(caching: bool, features: tuple[str, ...], days: float, what: str, part: float, measured: float | None) -> Claim:
    how = " and ".join((CACHES if caching else NONE, *features))
    title = f"part of look-ups of {what} answered {days:g} days after the root went down, {how}"
    return Claim(title, part, measured)


def _without_root(internet: Any, days: float, what: str) -> float:
    """Resolvers know the servers of each TLD, and one zone of each; new names are of all zones."""
    for site in SITES:
        for tld in TLDS:
            _answered(internet, site, f"www.one.{tld}")
    for root in ROOTS:
        internet.stop_host(root)
    internet.up.simulation.run(for_seconds=days * DAY)
    names = [f"new.{zone}" for zone in zones()] if what == NEW else [f"www.one.{tld}" for tld in TLDS]
    found = [_answered(internet, site, name) for name in names for site in SITES]
    return sum(found) / len(found)


# A flood


def _single(count: int, measured: float | None) -> Claim:
    part = 1 / OVERLOAD
    title = f"part of single queries that the root answers under a flood of {OVERLOAD} times its access link"
    return Claim(title, part, measured, _spread(part, count))


def _flooded(caching: bool, count: int, measured: float | None) -> Claim:
    part = 1.0 if caching else 1 - (1 - 1 / OVERLOAD) ** TRIES
    note = "" if caching else f"each look-up asks the root up to {TRIES} times in {_LIMITS.deadline:g} s"
    title = f"part of look-ups answered under that flood, {CACHES if caching else NONE}"
    return Claim(title, part, measured, 0 if caching else _spread(part, count), note=note)


def _spread(part: float, count: int) -> float:
    return Z * sqrt(part * (1 - part) / count) / part


def _flood(internet: Any, seconds: float) -> None:
    """Queries for names that do not exist, from addresses that nobody has, at random moments for so long, at both servers.

    Evenly spaced ones would take each place in the queue as it comes free, and nobody else's would get one.
    """
    forger = Forger(internet.up.host(EVIL))
    simulation, addresses = internet.up.simulation, [internet.address(root) for root in ROOTS]
    data = b"\0\1\0\0\0\1\0\0\0\0\0\0\x09" + b"%09d" + b"\4flod\0\0\1\0\1"
    octets = len(data % 0) + 28
    gap = octets * 8 / (RATE_BPS * OVERLOAD)
    began, rng = simulation.now, internet.up.host(EVIL).rng("flood")

    def send(number: int) -> None:
        source = (f"203.0.113.{number % 250 + 1}", 1024 + number % 60_000)
        forger.send(data % (number % 10**9), source, (addresses[number % len(addresses)], 53))
        if simulation.now < began + seconds:
            simulation.at(simulation.now + rng.expovariate(1 / gap), send, number + 1)

    simulation.at(began, send, 0)


def _asked_directly(internet: Any, count: int) -> float:
    _flood(internet, 1.0 + count * 0.05)
    internet.up.simulation.run(for_seconds=0.5)
    answered: int = internet.ask("host.nyu.edu", _ask_each, internet.address(ROOTS[0]), count, 0.05, 1.0, within=600.0)
    return answered / count


def _asked_under_flood(internet: Any, count: int) -> float:
    """Clients of one site, each of which asks for another name."""
    for site in SITES:
        for tld in TLDS:
            _answered(internet, site, f"warm.one.{tld}")
    _flood(internet, 1.0 + count * 0.1 + _LIMITS.deadline)
    internet.up.simulation.run(for_seconds=0.5)
    resolver = internet.address(str(internet.world.resolver_of("host.nyu.edu")))
    answered: int = internet.ask("host.nyu.edu", _ask_each, resolver, count, 0.1, _LIMITS.deadline + 1, within=6000.0)
    return answered / count


async def _ask_each(machine: Any, server: str, count: int, gap: float, patience: float) -> int:
    """Send queries one after the other; how many get an answer, of whatever content but failure."""
    from twisted.internet.defer import Deferred, gatherResults
    from twisted.internet.task import deferLater

    from netstack.dns.client import query
    from netstack.kernel.resolver import ResolutionError

    async def one(number: int) -> int:
        await deferLater(machine.reactor, (number + float(machine.rng.random())) * gap)  # not in step with the queue
        name = f"q{number}.{zones()[number % len(zones())]}"
        try:
            reply = await query(machine, (server, 53), name, patience=patience, attempts=1)
        except ResolutionError:
            return 0
        return int(reply.rcode() in (0, 3))

    return sum(await gatherResults([Deferred.fromCoroutine(one(number)) for number in range(count)]))


# Water torture


TORTURES: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("textbook", (), 1.0),
    ("hardened", ("no-aggressive-nsec",), 1.0),
    ("hardened", (), 1 / NAMES),
)
"""Profile, features, and queries at the zone's server for each random name: the first proof covers all of one span."""


def _torture(case: tuple[str, tuple[str, ...], float], measured: float | None) -> Claim:
    profile, features, model = case
    how = "no validation"
    if profile == "hardened":
        how = "signed zone, validation" + (", without" if features else ", with") + " aggressive use of NSEC (RFC 8198)"
    return Claim(f"queries at the zone's server for each random name that bots ask for, {how}", model, measured)


def _tortured(internet: Any) -> float:
    _answered(internet, "nyu", "a.one.com")  # the servers and keys are known; the span of the random names is not
    network = internet.running.links.networks["homes"].down
    before = network.packets
    for number in range(NAMES):
        _expect(_answered(internet, "nyu", f"r{number * 7919 % 10007}.one.com"))
    return float((network.packets - before) / NAMES)


# The world


def _world(bench: Bench, caching: bool, *features: str, profile: str = "textbook") -> Session:
    """Two root servers at one access link, TLD servers at another, two zones below each TLD, three sites with clients."""
    options: dict[str, Any] = {"features": list(features)}
    if not caching:
        options["limits"] = ONE_ENTRY
    limited = {"resolver": False, "down": {"rate": f"{RATE_BPS / 1000:g} kbit/s", "queue": 2000}}
    table: dict[str, Any] = {
        "profile": profile,
        "sites": {"roots": limited, "tlds": {"resolver": False}, "homes": {"resolver": False}},
        "zones": {".": {"site": "roots", "servers": list(ROOTS)}, "root-servers.net": {"servers": list(ROOTS)}},
        "hosts": {EVIL: {"site": "homes"}, **{root: {"site": "roots"} for root in ROOTS}},
    }
    for tld in TLDS:
        table["zones"][tld] = {"site": "tlds", "servers": [f"a.nic.{tld}"]}
    for zone in zones():
        table["zones"][zone] = {"site": "homes", "records": "www A 10.9.9.9\n"}
    for site in SITES:
        table["sites"][site] = {"resolver": f"resolver.{site}.edu"}
        table["hosts"][f"resolver.{site}.edu"] = {"site": site, "services": {"resolver": options}}
        table["hosts"][f"host.{site}.edu"] = {"site": site}
    return bench.made(table, "flood")


def _answered(internet: Session, site: str, name: str) -> bool:
    """Whether a client of the site learns that the name does not exist: that is an answer."""
    return internet.resolve(name, host=f"host.{site}.edu").rcode in ("NOERROR", "NXDOMAIN")


def _expect(answered: bool) -> None:
    if not answered:
        raise AssertionError("a look-up failed although nothing was wrong")
