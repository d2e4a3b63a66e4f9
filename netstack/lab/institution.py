"""The institution of `web-cache`: its two sets of numbers, the world that has its links, and what is measured on them.

Browsers of `someschool` ask origin servers that are `INTERNET` seconds away, through the site's Web cache or past it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.queueing import mean_wait, utilisation
from netstack.lab.web_traffic import FOREVER, Request, Sample, Traffic
from netstack.world.content import PAGE_MODIFIED
from netstack.world.session import Session

WORLD, SITE, HOST = "textbook", "someschool", "student.someschool.test"
SERVER, CACHE = "www.exotiquecuisine.com", "cache.someschool.edu"
PER_SECOND = 15.0
INTERNET = 2.0
"""Seconds from the access link to an origin server and back."""
LAN = 0.01
"""The same within the institution."""
HIT_RATE = 0.4
POPULAR = 10
"""Objects that the cache has; all others are asked for once."""
SPEED = {"simulated": 1.0, "loopback": 2.0}
"""So many times faster than the chapter's: rates, delays and arrivals alike."""


@dataclass(frozen=True, slots=True)
class Objects:
    """A set of numbers of the chapter."""

    name: str
    bits: int
    lan_bps: float


A = Objects("A", 100_000, 1e9)
B = Objects("B", 1_000_000, 100e6)


@dataclass(frozen=True, slots=True)
class Case:
    """One way to live with a set: a rate of the access link, a cache or none, and how the book puts it."""

    objects: Objects
    access_bps: float
    cached: bool
    requests: int
    full: int
    """Requests of a full run."""
    book: tuple[str, str]
    """Utilisation and delay."""

    @property
    def what(self) -> str:
        return f"set {self.objects.name}, access link of {self.access_bps / 1e6:g} Mbit/s{', with a cache' * self.cached}"

    @property
    def service(self) -> float:
        """Seconds that the access link takes for an object."""
        return self.objects.bits / self.access_bps

    @property
    def per_second(self) -> float:
        """Objects that cross the access link."""
        return PER_SECOND * (1 - HIT_RATE * self.cached)

    @property
    def connections(self) -> int:
        """Opened before each measurement; a request that finds none is counted."""
        return 50 if self.busy < 0.9 else 120

    @property
    def busy(self) -> float:
        """The utilisation of the access link."""
        return utilisation(self.per_second, self.objects.bits, self.access_bps)

    def delay(self, wait: float) -> float:
        """The mean delay of all requests when those that cross the access link wait so long for it."""
        crossing = INTERNET + wait + self.service
        if not self.cached:
            return crossing
        lan = self.objects.bits / self.objects.lan_bps
        hit = lan + mean_wait(PER_SECOND, lan)
        return LAN + (1 - HIT_RATE) * crossing + HIT_RATE * hit

    @property
    def lan_busy(self) -> float:
        """The utilisation of the LAN when all responses cross it."""
        return utilisation(PER_SECOND, self.objects.bits, self.objects.lan_bps)


@dataclass(frozen=True, slots=True)
class Measured:
    """What became of a stream of requests, and how busy links were with it."""

    sample: Sample
    octets: int
    """That the access link brought."""
    access: float
    """The part of the time that it was busy, from the first object's arrival there to the last one's end."""
    lan: float
    """What crossed it in the time of the requests, as a part of what it carries in that."""


class Incomplete(Exception):
    """A response did not come: the delays of the rest prove nothing."""


def world(bench: Bench, case: Case) -> Session:
    """The textbook's world with the links of a case, and servers that keep connections open."""
    speed = SPEED[bench.on]
    served = {
        "http": {"requests": 0, "idle-seconds": FOREVER, "memo": 0},
        "connections": {"idle": FOREVER},
        "access_log": False,
    }
    many = 100_000
    upstream = {"per_host": many, "connections": many, "idle": many, "idle_per_host": many, "idle_seconds": FOREVER}
    return bench.changed(
        WORLD,
        {
            "sites": {
                SITE: {
                    "rate": "unlimited", "delay": 0, "down": {"rate": case.access_bps * speed},
                    "lan": {"rate": case.objects.lan_bps * speed, "delay": LAN / 2 / speed},
                },
                "hosting": {"rate": "unlimited", "delay": INTERNET / 2 / speed},
            },
            "hosts": {
                SERVER: {"services": {"origin": served}},
                CACHE: {"services": {"cache": {**served, "upstream": upstream}}},
            },
        },
        "web-cache",
    )  # fmt: skip


def made_object(internet: Session, bits: int) -> str:
    """The URL of an object that is so long on the access link, heads and headers of packets included."""
    length = bits // 8
    for attempt in range(5):
        internet.drive(_write, f"object{attempt}", length)
        url = f"http://{SERVER}/object{attempt}"
        octets = internet.ask(HOST, _octets, internet.running.links, url, within=600.0)
        if octets == bits // 8:
            return url
        length += bits // 8 - octets
    raise Incomplete(f"no object is {bits} bits on the access link: the last one was {octets * 8}")


def _write(running: Any, name: str, length: int) -> None:
    running.hosts[SERVER].machine.disk.write(f"www/origin/{name}", bytes(length), PAGE_MODIFIED)


async def _octets(machine: Any, links: Any, url: str) -> int:
    traffic = Traffic(machine)
    await traffic.warm([f"http://{SERVER}/"], [])
    before, _ = links.carried(SITE, "down")
    await traffic.run([Request(0.0, url)])
    after, _ = links.carried(SITE, "down")
    traffic.close()
    return int(after - before)


def run(bench: Bench, internet: Session, case: Case, requests: Sequence[Request], url: str) -> Measured:
    """Send a stream of requests; links are looked at from its first object to the end of its last one.

    Before it the cache, where there is one, gets the popular ones.
    """
    links, speed = internet.running.links, SPEED[bench.on]
    proxy, known = "", [f"http://{SERVER}/"]
    if case.cached:
        proxy, known = f"{CACHE}:{3128 + internet.running.port_offset}", [popular(url, each) for each in range(POPULAR)]
    sample, before, after = internet.ask(HOST, _traffic, links, proxy, known, case.connections, requests, speed, within=1e8)
    if sample.failures:
        raise Incomplete(f"{len(sample.failures)} of {len(requests)} failed, such as {sample.failures[0]}")
    octets, until = after["down"][0] - before["down"][0], after["down"][1]
    since = sample.began + (requests[0].at + INTERNET) / speed
    busy = octets * 8 / (case.access_bps * speed) / (until - since)
    span = requests[-1].at - requests[0].at
    lan = utilisation(1 / span, (after["lan"][0] - before["lan"][0]) * 8, case.objects.lan_bps)
    return Measured(sample, octets, busy, lan)


def popular(url: str, number: int) -> str:
    """The URL of an object that the cache has."""
    return f"{url}?popular={number % POPULAR}"


async def _traffic(
    machine: Any, links: Any, proxy: str, known: Sequence[str], connections: int, requests: Sequence[Request], speed: float
) -> tuple[Sample, dict[str, Any], dict[str, Any]]:
    traffic = Traffic(machine, proxy)
    await traffic.warm(known, [f"http://{SERVER}/?{number}" for number in range(connections)])
    before = {name: links.carried(SITE, name) for name in ("down", "lan")}
    sample = await traffic.run(requests, speed)
    after = {name: links.carried(SITE, name) for name in ("down", "lan")}
    traffic.close()
    return sample, before, after
