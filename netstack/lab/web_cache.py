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
from netstack.lab.institution import (
    HIT_RATE,
    PER_SECOND,
    A,
    B,
    Case,
    Measured,
    made_object,
    popular,
    run,
    world,
)
from netstack.lab.queueing import (
    mean_wait,
    saturated_mean_wait,
    saturated_utilisation,
    saturated_wait,
    utilisation,
    waits,
)
from netstack.lab.web_traffic import Request, arrivals, exact_share, stratified_counts

TITLE = "A Web cache at an institution, or a faster access link"
SUBSTRATES = ("simulated", "loopback")

STEADY = (
    Case(A, 1.54e6, False, 1200, 1_000_000, ("0.974", '"minutes"')),
    Case(A, 154e6, False, 500, 20_000, ("0.0097, on a slide 0.099", "a little over 2 s")),
    Case(A, 1.54e6, True, 1000, 50_000, ("0.58", "1.21 s")),
    Case(B, 100e6, False, 300, 10_000, ("0.15", "about 2 s")),
    Case(B, 15e6, True, 500, 20_000, ("0.6", "1.21 s")),
)
SATURATED = Case(B, 15e6, False, 2, 200, ("1.0", '"minutes, if not more"'))
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

LAN_TOLERANCE = {"simulated": 0.05, "loopback": 0.1}
LAN_NOTE = "requests and acknowledgements cross it, too"

BUSY = "{what}: utilisation of the access link"
HITS = "{what}: hit rate"
LAN_BUSY = "{what}: utilisation of the LAN"
DELAY = "{what}: mean delay in steady state"
SAME = "{what}: mean delay, the model fed with the same arrivals"
OFFERED = "{what}: what comes to the access link, as a part of its rate"
BUSY_FOR = "{what}: the same link in the first {span:g} s, the part of them that it is busy"
STREAM = "{what}: mean wait for it in that time, no steady state"
SAME_WAIT = "{what}: the same, the model fed with the same arrivals"
GROWTH = "{what}: wait at {span:g} s over that at {quarter:g} s (square root of time: 2)"
"""At means: in the last part of the time up to there."""
LATE = 0.2
"""That part."""


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    steady = [claim for case in _steady(on) for claim in _claims(case, on, None, 0.0)]
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
    hits = exact_share(rng, count, HIT_RATE * case.cached)
    with world(bench, case) as internet:
        url = made_object(internet, case.objects.bits)
        urls = [popular(url, number) if hit else f"{url}?{number}" for number, hit in enumerate(hits)]
        found = run(bench, internet, case, [Request(at, each) for at, each in zip(times, urls, strict=True)], url)
    crossing = [at for at, hit in zip(times, hits, strict=True) if not hit]
    predicted = case.delay(fmean(waits(crossing, case.service)))
    yield from _claims(case, bench.on, found, predicted, bench.full)


def _claims(case: Case, on: str, found: Measured | None, predicted: float, full: bool | None = None) -> Iterator[Claim]:
    """`predicted`: by the model, for the arrivals of the sample."""
    steady = case.delay(mean_wait(case.per_second, case.service))
    note, told, delay, shown = f"the book: {case.book[1]}", "", None, None
    if found is not None:
        count = len(found.sample.delays)
        shown = delay = fmean(found.sample.delays)
        told = f"{count} requests, {found.sample.opened} of them opened a connection{_late(on, found.sample.late)}"
        if not full:
            shown = delay + steady - predicted
            note += f"; measured {delay:.4g} s, of which {predicted - steady:+.3g} s are the sample's (control variate)"
    tolerance = TOLERANCE[on]
    # the queue of a sample is empty at its start and long at its end
    busy_tolerance = tolerance if full or case.busy < 0.9 else 2 * tolerance
    access = found.access if found else None
    yield Claim(BUSY.format(what=case.what), case.busy, access, busy_tolerance, note=f"the book: {case.book[0]}")
    if case.cached:
        rate = found.sample.hits / len(found.sample.delays) if found else None
        yield Claim(HITS.format(what=case.what), HIT_RATE, rate, note="as the cache says in Cache-Status")
        lan = found.lan if found else None
        yield Claim(LAN_BUSY.format(what=case.what), case.lan_busy, lan, LAN_TOLERANCE[on], note=LAN_NOTE)
    yield Claim(DELAY.format(what=case.what), steady, shown, tolerance, "s", note=note)
    yield Claim(SAME.format(what=case.what), predicted if found else steady, delay, SAME_ARRIVALS[on], "s", note=told)


def _late(on: str, seconds: float) -> str:
    """How busy the machine was, where time is real."""
    return f", sent {seconds:.3f} s late on average" if on == "loopback" else ""


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
    measured, model, busy, octets, late = [], [], [], 0, 0.0
    alone = case.delay(0.0)
    with world(bench, case) as internet:
        url = made_object(internet, case.objects.bits)
        for requests in stratified_counts(rng, PER_SECOND * SPAN, count):
            times = arrivals(rng, requests, SPAN)
            found = run(bench, internet, case, [Request(at, url) for at in times], url)
            measured.append([(at, delay - alone) for at, delay in zip(times, found.sample.delays, strict=True)])
            model.append(list(zip(times, waits(times, case.service), strict=True)))
            busy.append(found.access)
            octets += found.octets
            late += found.sample.late / count
    offered = utilisation(1 / SPAN, octets * 8 / count, case.access_bps)
    shown, predicted = (
        Streams(offered, fmean(busy), _mean(streams, 0.0, SPAN), _growth(streams)) for streams in (measured, model)
    )
    yield from _saturated_claims(bench.on, count, shown, predicted, _late(bench.on, late))


def _mean(streams: Sequence[Sequence[tuple[float, float]]], since: float, until: float) -> float:
    """Of the waits of all who came within an interval."""
    return fmean(wait for stream in streams for at, wait in stream if since <= at < until)


def _growth(streams: Sequence[Sequence[tuple[float, float]]]) -> float:
    early, late = (_mean(streams, (1 - LATE) * until, until) for until in (SPAN / 4, SPAN))
    return late / early


def _saturated_claims(
    on: str, count: int, shown: Streams | None, predicted: Streams | None, lateness: str = ""
) -> Iterator[Claim]:
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
    yield Claim(OFFERED.format(what=case.what), case.busy, shown.offered if shown else None, TOLERANCE[on], note=book)
    busy = saturated_utilisation(SPAN, service)
    yield Claim(BUSY_FOR.format(what=case.what, span=SPAN), busy, shown.busy if shown else None, TOLERANCE[on])
    yield Claim(STREAM.format(what=case.what, span=SPAN), wait, waited, wait_tolerance, "s", note=wait_note)
    model, told = predicted.wait if predicted else wait, f"the book: {case.book[1]}{lateness}"
    yield Claim(SAME_WAIT.format(what=case.what), model, shown.wait if shown else None, SAME_WAITS[on], "s", note=told)
    if on == "simulated":  # the waits at a quarter of the span are too short for a machine that does other work, too
        growth = GROWTH.format(what=case.what, span=SPAN, quarter=SPAN / 4)
        yield Claim(growth, late / early, grew, growth_tolerance, note=growth_note)


def draw(figure: Any, claims: Sequence[Claim]) -> None:
    """Left the wait at the access link over its utilisation, in times of transmission: one curve for all cases. Right the
    delays.
    """
    found = {claim.claim: claim.measured for claim in claims}
    curve, bars = figure.subplots(1, 2)
    loads = [part / 1000 for part in range(1, 990)]
    curve.plot(loads, [mean_wait(load, 1.0) for load in loads], label="M/D/1")
    shown = [case for case in STEADY if found.get(DELAY.format(what=case.what)) is not None]
    delays = [found[DELAY.format(what=case.what)] or 0.0 for case in shown]
    for case, delay in zip(shown, delays, strict=True):
        waited = (delay - case.delay(0.0)) / (case.delay(1.0) - case.delay(0.0)) / case.service
        curve.plot([found[BUSY.format(what=case.what)]], [max(waited, 1e-3)], "o", label=case.what)
    curve.set_yscale("log")
    curve.set_xlabel("utilisation of the access link")
    curve.set_ylabel("wait, in times of transmission")
    curve.legend(fontsize="small")
    places = range(len(shown))
    models = [case.delay(mean_wait(case.per_second, case.service)) for case in shown]
    bars.barh([at - 0.2 for at in places], models, 0.36, label="model")
    bars.barh([at + 0.2 for at in places], delays, 0.36, label="measured")
    bars.set_yticks(list(places), [case.what.replace(", ", "\n") for case in shown], fontsize="small")
    bars.invert_yaxis()
    bars.set_xlabel("mean delay, s")
    bars.legend(fontsize="small")
