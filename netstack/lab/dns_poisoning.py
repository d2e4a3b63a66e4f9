"""What is each defence against forged replies worth? Kaminsky's race against every one, and what a won race poisons.

Where the odds are too small to be met, ids and ports are scaled down: the law (guesses over what there is to guess) is shown
to hold there, and at full size that so many forged replies do not get through.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import expm1, log, log1p, sqrt
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.lab.forgers import ALL, CLIENT, FORGED, KNOWN, Defence, Races, letters, reply

MILLION = 1_000_000
Z = 3.29
"""Of a thousand right runs one is judged wrong."""
SERIES = (2, 4, 8, 16)
NEVER = 1e-9
"""Expected wins below this are none."""


@dataclass(frozen=True, slots=True)
class Case:
    """One defence, in so many races of so many guesses: in the sample, and in the full run."""

    title: str
    defence: Defence
    sample: tuple[int, int]
    full: tuple[int, int]
    """(races, guesses)"""
    zone: str = "umass.edu"
    real: Defence | None = None
    """What it is at full size, when the defence is scaled down."""

    series: tuple[int, ...] = ()
    """Lengths of series of races, for each of which it is shown how many have a race that is won."""

    def claims(self, full: bool, won: Sequence[bool] | None) -> list[Claim]:
        """Of the races, and of the series."""
        found = [self.claim(full, None if won is None else sum(won))]
        races, guesses = self.full if full else self.sample
        for length in self.series:
            count = races // length
            part = 1 - (1 - self.defence.success(guesses, letters(self.zone))) ** length
            wins = None
            if won is not None:
                wins = sum(any(won[at * length : (at + 1) * length]) for at in range(count)) / count
            found.append(Claim(series_text(length, self.title), part, wins, Z * sqrt(part * (1 - part) / count) / part))
        return found

    def claim(self, full: bool, won: int | None) -> Claim:
        """Races won of all, beside what is expected."""
        races, guesses = self.full if full else self.sample
        probability = self.defence.success(guesses, letters(self.zone))
        expected = races * probability if races * probability > NEVER else 0
        spread = Z * sqrt(max(0.0, expected * (1 - probability)))
        sure = expected and spread / expected
        real = self.real or self.defence
        note = f"{races} races of {guesses:,} forged replies: {chance(probability)} each"
        if full:
            note += f"; at full size with 10^6: {chance(real.success(MILLION, letters(self.zone)))}"
            note += f", even odds after {races_for(real.success(MILLION, letters(self.zone)))}"
        return Claim(f"races won: {self.title}", expected, won, sure, "races", note=note)


CASES = (
    Case("fixed port, ids in sequence", Defence("fixed", "sequential"), (20, 10), (200, 10)),
    Case("fixed port, random id", Defence("fixed"), (15, 10_000), (200, 10_000)),
    Case("fixed port, random id, 10^6 replies", Defence("fixed"), (1, 100_000), (10, MILLION)),
    Case("random port and id", Defence(), (20, 10_000), (100, MILLION)),
    Case(
        "random port and id, 16 ports, 256 ids",
        Defence(ports=16, ids=256),
        (150, 400),
        (4000, 400),
        real=Defence(),
        series=SERIES,
    ),
    Case(
        "the same and 0x20 with 3 letters, 4 ports, 64 ids",
        Defence(ports=4, ids=64, features=("mixed-case",)),
        (150, 256),
        (4000, 256),
        "edu",
        Defence(features=("mixed-case",)),
    ),
    Case(
        "the same and 0x20 with 8 letters, 4 ports, 64 ids",
        Defence(ports=4, ids=64, features=("mixed-case",)),
        (150, 256),
        (4000, 256),
        real=Defence(features=("mixed-case",)),
    ),
    Case(
        "random port and id and cookies, 4 ports, 64 ids",
        Defence(ports=4, ids=64, features=("cookies",)),
        (50, 256),
        (2000, 256),
        real=Defence(features=("cookies",)),
    ),
    Case(
        "the same, but the zone's server has no cookies",
        Defence(ports=4, ids=64, features=("cookies",), server_cookies=False),
        (100, 64),
        (4000, 64),
        real=Defence(features=("cookies",), server_cookies=False),
    ),
    Case(
        "fixed port, random id, TCP after 20 wrong replies, 256 ids",
        Defence("fixed", ids=256, wrong_replies=20),
        (100, 256),
        (4000, 256),
        real=Defence("fixed", wrong_replies=20),
    ),
    Case("all defences", Defence(features=ALL, wrong_replies=20), (20, 10_000), (100, MILLION)),
)

OPEN = Defence("fixed", ids=1)
"""Nothing to guess: every race is won."""
VICTIM = "www.cs.umass.edu"
"""A name of the zone that the resolver does not know yet."""


@dataclass(frozen=True, slots=True)
class Forgery:
    """A forged reply to a won race, and the name whose address it is to move."""

    title: str
    target: str
    answer: str = "{name} A " + FORGED
    authority: str = ""
    additional: str = ""
    taken: bool = False

    def reply(self, name: str) -> bytes:
        """Without its id."""
        sections = (self.answer, self.authority, self.additional)
        return reply(name, *(tuple(one.format(name=name) for one in text.split("; ") if one) for text in sections))


FORGERIES = (
    Forgery("the address of the name asked", "{name}", taken=True),
    Forgery("name servers of the zone beside an answer", "another.umass.edu", authority="umass.edu NS www.umass.edu"),
    Forgery("an address of another zone beside an answer", "www.nyu.edu", additional=f"www.nyu.edu A {FORGED}"),
    Forgery(
        "a referral below the name with a new address of the zone's own server",
        "another.umass.edu",
        "",
        "{name} NS dns.umass.edu",
        f"dns.umass.edu A {FORGED}",
    ),
    Forgery("an alias to a name that is known", KNOWN, f"{{name}} CNAME {KNOWN}; {KNOWN} A {FORGED}"),
    Forgery(
        "an alias to a name of the zone that is not known",
        VICTIM,
        f"{{name}} CNAME {VICTIM}; {VICTIM} A {FORGED}",
        taken=True,
    ),
)


def promised() -> Sequence[Claim]:
    """The claims of a sample, unmeasured."""
    return [
        *(claim for case in CASES for claim in case.claims(False, None)),
        *(_taken(it, None) for it in FORGERIES),
        _joined(None),
        _ended(None),
    ]


def measure(bench: Bench) -> Iterator[Claim]:
    """The races of each case in a world of its own; then what one won race does; then what ends one."""
    for case in CASES:
        races, guesses = case.full if bench.full else case.sample
        with case.defence.world(bench) as internet:
            yield from case.claims(bench.full, Races(internet, case.zone, case.defence).run(races, guesses))
    with OPEN.world(bench) as internet:
        races_open = Races(internet, "umass.edu", OPEN)
        for forgery in FORGERIES:
            races_open.flush()
            name, _ = races_open.race(1, forgery.reply)
            found = internet.resolve(forgery.target.format(name=name), host=CLIENT)
            asked_forger = any(it == FORGED for it in found.records)
            silent = found.rcode == "SERVFAIL"
            yield _taken(forgery, int(asked_forger or silent))
    yield _joined(_birthday(bench))
    yield _ended(_ending(bench))


def _taken(forgery: Forgery, measured: int | None) -> Claim:
    return Claim(f"a won race moves, by {forgery.title}, {forgery.target.format(name='it')}", int(forgery.taken), measured)


def _joined(measured: int | None) -> Claim:
    return Claim("queries to the zone's server when 200 clients ask for one name at once (birthday attack)", 1, measured)


def _birthday(bench: Bench) -> int:
    defence = Defence()
    with defence.world(bench) as internet:
        races = Races(internet, "umass.edu", defence)
        before = races.counts.queries_udp
        for _ in range(200):
            races.trigger("same.umass.edu")
        races.simulation.run(for_seconds=1.0)
        return int(races.counts.queries_udp - before)


def _ended(measured: int | None) -> Claim:
    return Claim("wrong replies to one query that the resolver looks at before it asks over TCP", 20, measured)


def _ending(bench: Bench) -> int | None:
    defence = Defence("fixed", wrong_replies=20)
    with defence.world(bench) as internet:
        races = Races(internet, "umass.edu", defence)
        before, streams = races.counts.mismatched, races.counts.queries_tcp
        races.race(1000)
        over_tcp = races.counts.queries_tcp - streams
        return int(races.counts.mismatched - before) if over_tcp == 1 else None


def series_text(length: int, title: str) -> str:
    return f"part of series of {length} races with one that is won: {title}"


def chance(probability: float) -> str:
    """As people read it."""
    return f"{probability:.3g}"


def races_for(probability: float) -> str:
    """After how many races somebody has won with probability one half."""
    if probability >= 0.5:
        return "1 race"
    races = log(0.5) / log1p(-probability) if probability > 1e-15 else log(2) / probability
    return f"{races:,.0f} races" if races < 1e9 else f"{races:.1e} races"


def draw(figure: Any, claims: Sequence[Claim]) -> None:
    """Left: success after k races of a million forged replies, at full size. Right: measured beside the law, each case."""
    left, right = figure.subplots(1, 2)
    counts = [10 ** (step / 10) for step in range(81)]
    for label, defence in (
        ("fixed port, random id", Defence("fixed")),
        ("fixed port, 20 wrong replies, then TCP", Defence("fixed", wrong_replies=20)),
        ("random port and id", Defence()),
        ("and 0x20, 3 letters", Defence(features=("mixed-case",))),
        ("and 0x20, 8 letters", Defence(features=("mixed-case",))),
    ):
        probability = defence.success(MILLION, 3 if "3 letters" in label else 8)
        each = [1.0 if probability >= 1 else -expm1(k * log1p(-probability)) for k in counts]
        left.plot(counts, each, label=f"{label}: {probability:.2g} a race")
    shown = {claim.claim: claim for claim in claims}
    small = next(case for case in CASES if case.series)
    points = [(length, shown.get(series_text(length, small.title))) for length in small.series]
    model = small.defence.success(small.sample[1])
    left.plot(counts, [-expm1(k * log1p(-model)) for k in counts], ":k", label=f"{small.title}: {model:.2g} a race")
    measured = [(length, claim) for length, claim in points if claim is not None and claim.measured]
    spread = [claim.tolerance * claim.model for _, claim in measured]
    heights = [claim.measured for _, claim in measured]
    left.errorbar([length for length, _ in measured], heights, spread, fmt="ok", markersize=4, label="the same, measured")
    left.set(
        xscale="log",
        yscale="log",
        ylim=(1e-8, 2),
        xlabel="races, at full size of 10^6 forged replies",
        ylabel="probability of success",
    )
    left.set_title("Model at full size (with cookies: below 10^-20 throughout)", fontsize="medium")
    left.legend(fontsize="small", loc="lower right")
    right.plot([1e-6, 1], [1e-6, 1], color="grey", linewidth=0.8, label="the law: guesses / what there is to guess")
    for case in CASES:
        claim = shown.get(f"races won: {case.title}")
        if claim is None or claim.measured is None:
            continue
        full = claim.note.startswith(f"{case.full[0]} races of {case.full[1]:,} ")
        races, guesses = case.full if full else case.sample
        law, won = case.defence.success(guesses, letters(case.zone)), int(claim.measured)
        if won:
            error = Z * sqrt(won * max(1 / races, 1 - won / races)) / races
            right.errorbar(
                [law],
                [won / races],
                [[min(error, won / races * 0.99)], [min(error, 1 - won / races)]],
                fmt="o",
                label=case.title,
            )
        else:
            at = max(law, 1e-6)
            point = right.errorbar([at], [3 / races], [[2 / races], [0]], uplims=True, fmt="v", label=f"{case.title}: none")
            point[0].set_markersize(3)
    right.set(xscale="log", yscale="log", xlabel="probability of one race by the law", ylabel="measured part of races won")
    right.set_title("Measured; an arrow: none in so many races", fontsize="medium")
    figure.legend(*right.get_legend_handles_labels(), fontsize="x-small", loc="outside lower center", ncols=3)
