"""The workload of `web-cache`: Poisson arrivals of requests for objects of one size, over connections that stay open."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, lgamma, log, sqrt
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from netstack.http.client import ClientOptions, HTTPClient
from netstack.kernel.limits import StreamLimits

FOREVER = 1e9
UNFINISHED = 1024
"""Requests under way that are looked through at once for those that have ended."""


def arrivals(rng: Random, count: int, span: float) -> list[float]:
    """The instants of a Poisson process that has `count` arrivals within a span: uniform and independent, in order."""
    return sorted(rng.random() * span for _ in range(count))


def stratified_counts(rng: Random, mean: float, streams: int) -> list[int]:
    """Poisson counts, one from each of so many equally likely parts of the distribution: its spread, with less chance."""
    return [_quantile((stream + rng.random()) / streams, mean) for stream in range(streams)]


def _quantile(part: float, mean: float) -> int:
    """The least count whose distribution function reaches `part`."""
    count = int(max(0.0, mean - 9 * sqrt(mean) - 10))
    most = mean + 9 * sqrt(mean) + 30
    mass = reached = exp(count * log(mean) - mean - lgamma(count + 1))
    while reached < part and count < most:
        count += 1
        mass *= mean / count
        reached += mass
    return count


def exact_share(rng: Random, count: int, share: float) -> list[bool]:
    """So many True among `count` that their share is met, at random places."""
    wanted = round(count * share)
    chosen = [True] * wanted + [False] * (count - wanted)
    rng.shuffle(chosen)
    return chosen


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the stream."""

    at: float
    """Seconds after the start."""
    url: str


@dataclass(slots=True)
class Sample:
    """What became of a stream of requests."""

    began: float
    """When it started, by the clock of the machine."""
    delays: list[float]
    """From the instant of each request to the last octet of its response."""
    late: float = 0.0
    """Mean time that requests were sent after their instant; more than a little says that the machine is too busy."""
    opened: int = 0
    """Requests that found no open connection."""
    hits: int = 0
    """Responses that a cache had (RFC 9211 §2.1)."""
    failures: list[str] = field(default_factory=list)


class Traffic:
    """The browsers of an institution: they share a pool of connections, which stay open for good."""

    def __init__(self, machine: Any, proxy: str = "") -> None:
        """`proxy`: HOST:PORT of the Web cache that all requests go to."""
        self._machine = machine
        options = ClientOptions(
            timeout=FOREVER,
            proxy=proxy,
            connections_per_host=1_000_000,
            connections=StreamLimits(idle=FOREVER, connect=60.0),
        )
        self._client = HTTPClient(machine, options)

    async def warm(self, known: Sequence[str], others: Sequence[str]) -> None:
        """Fetch URLs, one after another, so that names are known and a cache has them; then others, each over a connection
        of its own.
        """
        for url in known:
            await self._client.fetch(url)
        await gatherResults([Deferred.fromCoroutine(self._client.fetch(url)) for url in others])

    async def run(self, requests: Sequence[Request], scale: float = 1.0, pause: float = 1.0) -> Sample:
        """Send each request at its time, however many are under way; a `scale` of 4 makes it four times as fast."""
        reactor = self._machine.reactor
        began = reactor.seconds() + pause
        sample = Sample(began, [0.0] * len(requests))
        under_way: list[Deferred[None]] = []
        for number, request in enumerate(requests):
            due = began + request.at / scale
            await deferLater(reactor, max(0.0, due - reactor.seconds()))
            sample.late += (reactor.seconds() - due) * scale / len(requests)
            under_way.append(Deferred.fromCoroutine(self._one(sample, number, request.url, due)))
            if len(under_way) > UNFINISHED:
                under_way = [each for each in under_way if not each.called]
        for each in under_way:
            await each
        sample.delays = [delay * scale for delay in sample.delays]
        return sample

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def _one(self, sample: Sample, number: int, url: str, due: float) -> None:
        try:
            result = await self._client.fetch(url)
        except Exception as error:
            sample.failures.append(str(error))
            return
        sample.delays[number] = self._machine.reactor.seconds() - due
        sample.opened += not result.reused
        if result.status != 200:
            sample.failures.append(f"{url}: status {result.status}")
        else:
            sample.hits += _hit(result.field("cache-status") or "")


def _hit(status: str) -> bool:
    """Whether the last cache that the response came through had it: `NAME; hit; ...` (RFC 9211 §2)."""
    return "hit" in {part.strip() for part in status.rpartition(",")[2].split(";")[1:]}
