"""The evaluation of the Chord paper (Stoica et al., SIGCOMM 2001, §6; ToN 2003, §V) on our own nodes, beside its numbers.

How evenly keys lie on nodes, how long paths are, what look-ups meet after many nodes failed at once, and while nodes come
and go. The nodes are those of netstack-ring in virtual time, thousands of them in one process, without sockets.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import comb, log2, sqrt
from random import Random
from statistics import fmean
from typing import Any

from netstack.lab import progress, ring_loss
from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.lab.ring_load import HIGH, LOW, NODES, STEP, Load, expected, growing, hashed_keys, loads, percentile
from netstack.lab.ring_lookups import CIRCLE, Churn, Found, after_failures, after_mending, look_ups, ring, still

TITLE = "The Chord paper's evaluation: load, paths, failures, churn"
SUBSTRATES = ("simulated",)
NOT_SHOWN = (
    "latencies of the paper's prototype on the Internet (2001, figure 13) and stretch (2003, table IV): there is no map of"
    " those networks.",
)

VIRTUAL = (1, 2, 5, 10, 20)
VIRTUAL_KEYS = 1_000_000
PAPER_LOAD = {5 * STEP: (None, 4.6), 10 * STEP: (0.0, 4.8)}
"""Keys -> its 1st and 99th percentiles over the mean, where the text says them (2001, §6.2)."""
PAPER_VIRTUAL = {1: (0.0, 4.8), 20: (0.5, 1.6)}
QUICK_KEYS = (STEP, 3 * STEP)
SIZES, QUICK_SIZES = range(3, 15), (3, 6, 9, 12)
DISTRIBUTION = 12
SAMPLE = (1500, 6000)
"""Look-ups for a mean, and for the distribution."""
HOPS = 0.6
"""A mean path is about half the logarithm: within so many hops."""
FAILED = (
    # part of 1000 nodes, mean path, mean time-outs (2003, table II)
    (0.0, 3.84, 0.0), (0.1, 4.03, 0.60), (0.2, 4.22, 1.17), (0.3, 4.44, 2.02), (0.4, 4.69, 3.23), (0.5, 5.09, 5.10),
)  # fmt: skip
CHURN = (
    # joins and failures a second, mean path, mean time-outs, failed look-ups of 10 000 (2003, table III)
    (0.05, 3.90, 0.05, 0), (0.10, 3.83, 0.11, 0), (0.15, 3.84, 0.16, 2), (0.20, 3.81, 0.23, 5),
    (0.25, 3.83, 0.30, 6), (0.30, 3.91, 0.34, 8), (0.35, 3.94, 0.42, 16), (0.40, 4.06, 0.46, 15),
)  # fmt: skip
RING = 1000
WARM = 600.0
"""Seconds of churn before look-ups count: after these shortcuts are as stale as they get."""

KEYS = "{keys:,} keys on 10,000 nodes: the {which} percentile, in means"
PLACES = "1,000,000 keys, {virtual} virtual nodes each: the {which} percentile, in means"
PATH = "N = 2^{size}: mean path, half the logarithm"
SHARE = "N = 2^12: paths of {length} hops, the part of all, beside the binomial distribution"
TAIL = "N = 2^12: the {which} percentile of paths"
FAIL_PATH = "{part:.0%} of 1000 nodes gone at once: mean path"
FAIL_WAIT = "{part:.0%} of 1000 nodes gone at once: time-outs of a look-up"
FAIL_LOST = "{part:.0%} of 1000 nodes gone at once: look-ups that end at another node than the right one"
LOST = "{part:.0%} gone, circle mended: the part of look-ups that do not find who was responsible before"
MENDED = "{part:.0%} gone, circle mended: look-ups that end at another node than the right one"
CHURN_PATH = "{rate:.2f} joins and failures a second: mean path"
CHURN_WAIT = "{rate:.2f} joins and failures a second: time-outs of a look-up, beyond the paper's"
CHURN_RIGHT = "{rate:.2f} joins and failures a second: look-ups that come to the right node"
REMEMBERED = "the paper's number as remembered"


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims of a sample, unmeasured; `--full` has more of them."""
    return [
        *(claim for keys in QUICK_KEYS for claim in _load(Load(keys, 1, ()))),
        *(claim for virtual in VIRTUAL for claim in _load(Load(VIRTUAL_KEYS, virtual, ()), PLACES)),
        *(claim for size in QUICK_SIZES for claim in _path(size, None)),
        *(claim for row in FAILED for claim in _failed(*row, None)),
        *(claim for part in (0.2, 0.5) for claim in _mended(part, None)),
        *(claim for row in (CHURN[0], CHURN[-1]) for claim in _churned(*row, None)),
        *ring_loss.promised(),
    ]


def measure(bench: Bench) -> Iterator[Claim]:
    """Part after part of the paper's section."""
    yield from _loads(bench)
    yield from _paths(bench)
    yield from _failures(bench)
    yield from _stabilized(bench)
    yield from _churn(bench)
    yield from ring_loss.measure(bench.seed, bench.full)


# How evenly keys lie on nodes


def _loads(bench: Bench) -> Iterator[Claim]:
    repeats, most = (20, 10 * STEP) if bench.full else (1, max(QUICK_KEYS))
    counted: dict[int, list[int]] = {}
    places: dict[int, list[int]] = {virtual: [] for virtual in VIRTUAL}
    with progress.bar("keys on nodes", repeats * (most // STEP + len(VIRTUAL))) as done:
        for repeat in range(repeats):
            for keys, counts in growing(CIRCLE, (bench.seed, repeat), most):
                counted.setdefault(keys, []).extend(counts)
                done(1)
            sorted_keys = hashed_keys(CIRCLE, (bench.seed, repeat), VIRTUAL_KEYS)
            for virtual, found in places.items():
                found.extend(loads(CIRCLE, (bench.seed, repeat), sorted_keys, virtual=virtual))
                done(1)
    for keys, counts in counted.items():
        if bench.full or keys in QUICK_KEYS:
            yield from _load(Load(keys, 1, sorted(counts)))
    for virtual, counts in places.items():
        yield from _load(Load(VIRTUAL_KEYS, virtual, sorted(counts)), PLACES)


def _load(load: Load, text: str = KEYS) -> Iterator[Claim]:
    """Both percentiles, beside the theory's; the paper's where its text has them."""
    mean = load.keys / NODES
    paper = (PAPER_VIRTUAL.get(load.virtual) if text is PLACES else PAPER_LOAD.get(load.keys)) or (None, None)
    for which, part, told in (("1st", LOW, paper[0]), ("99th", HIGH, paper[1])):
        theory = expected(load.keys, NODES, load.virtual, part)
        # a key more or less is within the error where there are few
        tolerance = max(0.05, 1.01 / theory) if theory else 0.0
        note = "" if told is None else f"the paper: {told:g}"
        if load.counts and part == HIGH:
            note = f"{note}{note and '; '}most: {load.counts[-1] / mean:.3g}"
        measured = percentile(load.counts, part) if load.counts else None
        if measured is not None and theory == 0 and measured <= 1:  # the boundary itself
            note, measured = f"{note}{note and '; '}{measured} keys", 0
        shown = None if measured is None else measured / mean
        yield Claim(
            text.format(keys=load.keys, virtual=load.virtual, which=which), theory / mean, shown, tolerance, note=note
        )


# How long paths are


def _paths(bench: Bench) -> Iterator[Claim]:
    sizes, count, many = (SIZES, 20_000, 100_000) if bench.full else (QUICK_SIZES, *SAMPLE)
    counts = {size: many if size == DISTRIBUTION else count for size in sizes}
    with progress.bar("paths", sum(counts.values())) as done:
        for size, asked in counts.items():
            rings = max(1, 2 ** (8 - size))
            found = Found()
            for number in range(rings):
                network = ring(2**size, f"{bench.seed}/{size}/{number}", still(1, 8))
                found.paths += look_ups(network, asked // rings, Random(f"{bench.seed}/{number}"), done).paths
            yield from _path(size, found)


def _path(size: int, found: Found | None) -> Iterator[Claim]:
    ordered = sorted(found.paths) if found else []
    note = ""
    if ordered:
        note = f"1st and 99th percentiles {percentile(ordered, LOW)} and {percentile(ordered, HIGH)}; "
        note += f"up to the responsible node {fmean(ordered) + 1:.3g}"
    yield Claim(PATH.format(size=size), size / 2, fmean(ordered) if ordered else None, HOPS / (size / 2), note=note)
    if size != DISTRIBUTION:
        return
    counted = Counter(ordered)
    for length in (4, 6, 8):
        share = counted[length] / len(ordered) if ordered else None
        yield Claim(SHARE.format(length=length), comb(size, length) / 2**size, share, 0.2)
    for which, part, model in (("1st", LOW, 2), ("99th", HIGH, 10)):
        yield Claim(TAIL.format(which=which), model, percentile(ordered, part) if ordered else None, 1.0 / model)


# Many nodes fail at once


def _failures(bench: Bench) -> Iterator[Claim]:
    rings, count = (20, 500) if bench.full else (3, 500)
    with progress.bar("failures", len(FAILED) * rings * count) as done:
        for part, path, waits in FAILED:
            found = Found()
            for number in range(rings):
                found += after_failures(RING, part, count, f"{bench.seed}/{number}", done)
            yield from _failed(part, path, waits, found)


def _failed(part: float, path: float, waits: float, found: Found | None) -> Iterator[Claim]:
    note = f"{REMEMBERED}{found.told() if found else ''}"
    yield Claim(FAIL_PATH.format(part=part), path, found.path if found else None, 0.07, note=note)
    yield Claim(FAIL_WAIT.format(part=part), waits, found.waits if found else None, 0.35, note=REMEMBERED)
    yield Claim(FAIL_LOST.format(part=part), 0, found.failed if found else None)


def _stabilized(bench: Bench) -> Iterator[Claim]:
    nodes, count = (10_000, 10_000) if bench.full else (500, 1000)
    for part in (0.1, 0.2, 0.3, 0.4, 0.5) if bench.full else (0.2, 0.5):
        with progress.bar(f"{part:.0%} gone, mending", count) as done:
            yield from _mended(part, after_mending(nodes, part, count, bench.seed, done))


def _mended(part: float, found: Found | None) -> Iterator[Claim]:
    """As 2001, figure 11: "the lookup failure rate is almost exactly p"."""
    error = 3 * sqrt(part * (1 - part) / found.count) / part if found else 0.0
    lost = found.lost / found.count if found else None
    yield Claim(LOST.format(part=part), part, lost, error, note=f"the paper: almost exactly {part:g}")
    yield Claim(MENDED.format(part=part), 0, found.failed if found else None)


# Nodes come and go


def _churn(bench: Bench) -> Iterator[Claim]:
    rows = CHURN if bench.full else (CHURN[0], CHURN[-1])
    seconds, per_second = (10_000.0, 1.0) if bench.full else (300.0, 10.0)
    with progress.bar("churn", round(len(rows) * (WARM + seconds))) as done:
        for row in rows:
            churn = Churn(RING, row[0], bench.seed, per_second)
            churn.run(WARM, counting=False, progress=done)
            churn.run(seconds, progress=done)
            yield from _churned(*row, churn)


def _churned(rate: float, path: float, waits: float, failed: int, churn: Churn | None) -> Iterator[Claim]:
    found = churn.found if churn else None
    told = f"{REMEMBERED}{found.told() if found else ''}"
    yield Claim(CHURN_PATH.format(rate=rate), path, found.path if found else None, 0.05, note=told)
    beyond = max(0.0, found.waits - waits) if found else None
    note = (
        f"the paper {waits:g}, measured {found.waits:.3g}; {churn.model():.3g} by how old shortcuts get"
        if churn and found
        else ""
    )
    yield Claim(CHURN_WAIT.format(rate=rate), 0, beyond, note=note)
    right = 1 - failed / 10_000
    error = 3 * sqrt(max(failed, 3) / 10_000 / found.count) + 0.0005 if found else 0.0
    note = f"failed of 10 000: the paper {failed}, measured {found.failed * 10_000 / found.count:.1f}" if found else ""
    yield Claim(CHURN_RIGHT.format(rate=rate), right, 1 - found.failed / found.count if found else None, error, note=note)


def draw(figure: Any, claims: Sequence[Claim]) -> None:
    """Keys of a node over virtual nodes; paths over N; time-outs after failures."""
    measured = {claim.claim: claim.measured for claim in claims}
    model = {claim.claim: claim.model for claim in claims}
    load, paths, failures = figure.subplots(1, 3)
    for which in ("1st", "99th"):
        texts = [PLACES.format(virtual=virtual, which=which) for virtual in VIRTUAL]
        load.plot(VIRTUAL, [model[text] for text in texts], "-", label=f"{which} percentile, theory")
        load.plot(VIRTUAL, [measured[text] for text in texts], "o", label=f"{which} percentile")
    load.set_xlabel("virtual nodes of a node")
    load.set_ylabel("keys, in means")
    sizes = [size for size in SIZES if measured.get(PATH.format(size=size)) is not None]
    paths.plot([2**size for size in sizes], [log2(2**size) / 2 for size in sizes], "-", label="half the logarithm")
    paths.plot([2**size for size in sizes], [measured[PATH.format(size=size)] for size in sizes], "o", label="mean path")
    paths.set_xscale("log", base=2)
    paths.set_xlabel("nodes")
    parts = [part for part, _, _ in FAILED]
    for text, label in ((FAIL_PATH, "path"), (FAIL_WAIT, "time-outs")):
        failures.plot(parts, [model[text.format(part=part)] for part in parts], "-", label=f"{label}, the paper")
        failures.plot(parts, [measured[text.format(part=part)] for part in parts], "o", label=label)
    failures.set_xlabel("part of the nodes that failed at once")
    for axes in (load, paths, failures):
        axes.legend(fontsize="small")
