"""What does a Web cache do for an institution, and what does a faster access link? The chapter's two sets of numbers.

Browsers of `someschool` ask for objects of one size as a Poisson process. What matters is the queue for the access link: it
is M/D/1 (`queueing`), and the delay is that queue, the transmission, and what Internet and LAN take. Beside each figure of
the model stands the book's own. Every link is the chapter's; an object is as long as it says on the link, headers included.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from statistics import fmean
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.lab.queueing import (
    mean_wait,
    saturated_mean_wait,
    saturated_utilisation,
    saturated_wait,
    utilisation,
    waits,
)
from netstack.lab.web_traffic import Request, Sample, Traffic, arrivals, stratified_counts
from netstack.world.content import PAGE_MODIFIED
from netstack.world.session import Session

TITLE = "A Web cache at an institution, or a faster access link"
SUBSTRATES = ("simulated", "loopback")

WORLD, SITE, HOST, SERVER = "textbook", "someschool", "student.someschool.test", "www.exotiquecuisine.com"
PER_SECOND = 15.0
INTERNET = 2.0
"""Seconds from the access link to an origin server and back."""
LAN = 0.01
"""The same within the institution."""
HIT_RATE = 0.4
SPEED = {"simulated": 1.0, "loopback": 4.0}
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
        return 50 if self.busy < 0.9 else 150

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


STEADY = (
    Case(A, 1.54e6, False, 2000, 2_000_000, ("0.974", '"minutes"')),
    Case(A, 154e6, False, 1000, 20_000, ("0.0097, on a slide 0.099", "a little over 2 s")),
    Case(B, 100e6, False, 500, 10_000, ("0.15", "about 2 s")),
)
SATURATED = Case(B, 15e6, False, 3, 200, ("1.0", '"minutes, if not more"'))
"""Its `requests` are streams, not requests."""
SPAN = 60.0
"""Seconds of the chapter that a stream of the saturated case lasts."""
STREAMS_ON_LOOPBACK = 2
MANY = 50
"""Streams whose mean may stand by itself: three standard errors are its tolerance."""
TOLERANCE = {"simulated": 0.03, "loopback": 0.1}
SAME_ARRIVALS = {"simulated": 0.01, "loopback": 0.1}
SAME_WAITS = {"simulated": 0.01, "loopback": 0.25}
"""Where time is real, computing some milliseconds counts beside waits of some hundred."""

BUSY = "{what}: utilisation of the access link"
DELAY = "{what}: mean delay in steady state"
SAME = "{what}: mean delay, the model fed with the same arrivals"
OFFERED = "{what}: offered to the access link, as a part of its rate"
BUSY_FOR = "{what}: the same link in the first {span:g} s, the part of them that it is busy"
STREAM = "{what}: mean wait for it in that time, no steady state"
SAME_WAIT = "{what}: the same, the model fed with the same arrivals"
GROWTH = "{what}: wait at {span:g} s over that at {quarter:g} s (square root of time: 2)"
"""At means: in the last part of the time up to there."""
LATE = 0.2
"""That part."""


class Incomplete(Exception):
    """A response did not come: the delays of the rest prove nothing."""


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    steady = [claim for case in _steady(on) for claim in _claims(case, on, None, None, None, "")]
    return [*steady, *_saturated_claims(on, SATURATED.requests, None, None)]


def measure(bench: Bench) -> Iterator[Claim]:
    """One world for each rate of the access link; then streams until the saturated link has been seen often enough."""
    for case in _steady(bench.on):
        yield from _measured(bench, case)
    yield from _saturated(bench)


def _steady(on: str) -> Sequence[Case]:
    """On loopback set B, for time is real."""
    return [case for case in STEADY if on == "simulated" or case.objects is B]


# In steady state


def _measured(bench: Bench, case: Case) -> Iterator[Claim]:
    count = case.full if bench.full and bench.on == "simulated" else case.requests
    rng = Random(f"{bench.seed}/{case.what}")
    times = arrivals(rng, count, count / PER_SECOND)
    with _world(bench, case) as internet:
        url = _object(internet, case.objects.bits)
        sample, busy = _run(bench, internet, case, [Request(at, url) for at in times])
    crossing = times
    predicted = case.delay(fmean(waits(crossing, case.service)))
    told = f"{count} requests, {sample.opened} of them opened a connection"
    yield from _claims(case, bench.on, busy, fmean(sample.delays), predicted, told, bench.full)


def _claims(
    case: Case, on: str, busy: float | None, delay: float | None, predicted: float | None, told: str, full: bool = False
) -> Sequence[Claim]:
    """`predicted`: by the model, for the arrivals of the sample."""
    steady = case.delay(mean_wait(case.per_second, case.service))
    note = f"the book: {case.book[1]}"
    shown = delay
    if delay is not None and predicted is not None and not full:
        shown = delay + steady - predicted
        note += f"; measured {delay:.4g} s, of which {predicted - steady:+.3g} s are the sample's (control variate)"
    return (
        Claim(BUSY.format(what=case.what), case.busy, busy, TOLERANCE[on], note=f"the book: {case.book[0]}"),
        Claim(DELAY.format(what=case.what), steady, shown, TOLERANCE[on], "s", note=note),
        Claim(SAME.format(what=case.what), predicted or steady, delay, SAME_ARRIVALS[on], "s", note=told),
    )


# With as much offered as the link carries


@dataclass(frozen=True, slots=True)
class Streams:
    """What streams of the saturated case showed, or what the model says about the same arrivals."""

    offered: float
    busy: float
    wait: float
    growth: float


def _saturated(bench: Bench) -> Iterator[Claim]:
    case = SATURATED
    count = STREAMS_ON_LOOPBACK if bench.on == "loopback" else case.full if bench.full else case.requests
    rng = Random(f"{bench.seed}/{case.what}")
    measured, model, busy, objects = [], [], [], 0
    alone = case.delay(0.0)
    with _world(bench, case) as internet:
        url = _object(internet, case.objects.bits)
        for requests in stratified_counts(rng, PER_SECOND * SPAN, count):
            times = arrivals(rng, requests, SPAN)
            sample, part = _run(bench, internet, case, [Request(at, url) for at in times])
            measured.append([(at, delay - alone) for at, delay in zip(times, sample.delays, strict=True)])
            model.append(list(zip(times, waits(times, case.service), strict=True)))
            busy.append(part)
            objects += requests
    offered = objects * case.service / (count * SPAN)
    shown, predicted = (
        Streams(offered, fmean(busy), _mean(streams, 0.0, SPAN), _growth(streams)) for streams in (measured, model)
    )
    yield from _saturated_claims(bench.on, count, shown, predicted)


def _mean(streams: Sequence[Sequence[tuple[float, float]]], since: float, until: float) -> float:
    """Of the waits of all who came within an interval."""
    return fmean(wait for stream in streams for at, wait in stream if since <= at < until)


def _growth(streams: Sequence[Sequence[tuple[float, float]]]) -> float:
    early, late = (_mean(streams, (1 - LATE) * until, until) for until in (SPAN / 4, SPAN))
    return late / early


def _saturated_claims(on: str, count: int, shown: Streams | None, predicted: Streams | None) -> Sequence[Claim]:
    """Of few streams, what sets them apart from the mean of all is taken off: the model's number for them shows it."""
    case, service = SATURATED, SATURATED.service
    wait = saturated_mean_wait(SPAN, service)
    parts = [(part + 0.5) / 20 * LATE for part in range(20)]
    early, late = (fmean(saturated_wait(until * (1 - part), service) for part in parts) for until in (SPAN / 4, SPAN))
    errors = {"wait": 0.34 / sqrt(count), "growth": 0.75 / sqrt(count)}
    found: dict[str, tuple[float | None, float, str]] = {}
    for name, theory in (("wait", wait), ("growth", late / early)):
        if shown is None or predicted is None or count >= MANY:
            found[name] = None if shown is None else getattr(shown, name), 3 * errors[name], f"{count} streams"
        else:
            raw, same = getattr(shown, name), getattr(predicted, name)
            told = f"{count} streams: {raw:.3g}, the model with the same arrivals {same:.3g} (control variate)"
            found[name] = theory + raw - same, SAME_WAITS[on] * max(1.0, same / theory), told
    (waited, wait_tolerance, wait_note), (grew, growth_tolerance, growth_note) = found["wait"], found["growth"]
    book = f"the book: {case.book[0]}"
    return (
        Claim(OFFERED.format(what=case.what), case.busy, shown.offered if shown else None, TOLERANCE[on], note=book),
        Claim(
            BUSY_FOR.format(what=case.what, span=SPAN),
            saturated_utilisation(SPAN, service), shown.busy if shown else None, TOLERANCE[on],
        ),
        Claim(STREAM.format(what=case.what, span=SPAN), wait, waited, wait_tolerance, "s", note=wait_note),
        Claim(
            SAME_WAIT.format(what=case.what), predicted.wait if predicted else wait, shown.wait if shown else None,
            SAME_WAITS[on], "s", note=f"the book: {case.book[1]}",
        ),
        Claim(
            GROWTH.format(what=case.what, span=SPAN, quarter=SPAN / 4), late / early, grew, growth_tolerance,
            note=growth_note,
        ),
    )  # fmt: skip


# The world and what goes on in it


def _world(bench: Bench, case: Case) -> Session:
    speed = SPEED[bench.on]
    forever = {"idle": 1e9}
    served = {"http": {"requests": 0, "idle-seconds": 1e9, "memo": 0}, "connections": forever, "access_log": False}
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
            "hosts": {SERVER: {"services": {"origin": served}}},
        },
        "web-cache",
    )  # fmt: skip


def _object(internet: Session, bits: int) -> str:
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
    await traffic.warm(f"http://{SERVER}/", 0)
    before, _ = links.carried(SITE, "down")
    await traffic.run([Request(0.0, url)])
    after, _ = links.carried(SITE, "down")
    traffic.close()
    return int(after - before)


def _run(bench: Bench, internet: Session, case: Case, requests: Sequence[Request]) -> tuple[Sample, float]:
    """The delays, and the part of the time that the access link was busy: from the first object to the last one's end."""
    links, speed = internet.running.links, SPEED[bench.on]
    sample, octets, until = internet.ask(HOST, _traffic, links, case.connections, requests, speed, within=1e8)
    if sample.failures:
        raise Incomplete(f"{len(sample.failures)} of {len(requests)} failed, such as {sample.failures[0]}")
    since = sample.began + (requests[0].at + INTERNET) / speed
    return sample, octets * 8 / (case.access_bps * speed) / (until - since)


async def _traffic(
    machine: Any, links: Any, connections: int, requests: Sequence[Request], speed: float
) -> tuple[Sample, int, float]:
    traffic = Traffic(machine)
    await traffic.warm(f"http://{SERVER}/", connections)
    before, _ = links.carried(SITE, "down")
    sample = await traffic.run(requests, speed)
    after, until = links.carried(SITE, "down")
    traffic.close()
    return sample, after - before, until
