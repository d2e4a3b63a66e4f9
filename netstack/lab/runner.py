"""Runs labs and reports: a table for people, JSON for programs, plots. Exit codes: 0 pass, 1 fail, 2 nothing to run."""

import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim, Result
from netstack.lab.registry import MODULES, Lab, NoSuchLab, load

PASS, FAIL, NOTHING = 0, 1, 2


class NoPlots(Exception):
    """matplotlib is not installed; the text says how to get it."""


def run(name: str, on: str = "simulated", seed: int = 1, full: bool = False) -> Result:
    """Run one lab, a sample of it unless `full`. Raises NoSuchLab; else what goes wrong is a failed claim of the result."""
    lab = load(name)
    if on not in lab.substrates:
        raise NoSuchLab(f"lab {name} does not run on {on}; it runs on {', '.join(lab.substrates)}")
    return measure(lab, Bench(on, seed, full))


def measure(lab: Lab, bench: Bench) -> Result:
    """What a lab measured; claims that it promised and did not come to have no measured number, and say why."""
    claims: list[Claim] = []
    broken, why = False, "the lab ended without it"
    try:
        for claim in lab.measure(bench):
            claims.append(claim)
    except Exception as error:
        broken, why = True, f"{type(error).__name__}: {error}"
    shown = {claim.claim for claim in claims}
    claims += [replace(claim, why=why) for claim in lab.promised(bench.on) if claim.claim not in shown]
    if broken and len(shown) == len(claims):
        claims.append(Claim("the lab runs to its end", 1, None, why=why))
    return Result(lab.name, bench.on, bench.seed, claims, lab.title, lab.not_shown)


def exit_code(results: Sequence[Result]) -> int:
    """0 when every claim of every lab holds, 1 when one does not, 2 when nothing ran."""
    if not results:
        return NOTHING
    return PASS if all(result.passed for result in results) else FAIL


def names(wanted: Sequence[str], every: bool = False, on: str = "simulated") -> list[str]:
    """The labs to run, `every`: all that run on the substrate; raises NoSuchLab when there is none, or one is unknown."""
    chosen = [name for name in MODULES if on in load(name).substrates] if every else list(dict.fromkeys(wanted))
    for name in chosen:
        if name not in MODULES:
            raise NoSuchLab(f"no lab {name!r}; there are: {', '.join(MODULES)}")
    if not chosen:
        raise NoSuchLab(f"say which lab, or --all; there are: {', '.join(MODULES)}")
    return chosen


def table(result: Result) -> Any:
    """The claims as a rich table: model beside measured, and the verdict."""
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=f"{result.lab}: {result.title} (on {result.on}, seed {result.seed})", title_justify="left")
    shown.add_column("claim", overflow="fold")
    for column in ("model", "measured", "difference", "tolerance", "verdict"):
        shown.add_column(column, justify="right", no_wrap=True)
    for claim in result.claims:
        difference = claim.difference
        shown.add_row(
            escape(
                "\n".join(
                    [
                        claim.claim,
                        *(
                            textwrap.indent(text, "  ")
                            for text in (claim.why, "" if _wide(claim.note) else claim.note)
                            if text
                        ),
                    ]
                )
            ),
            _number(claim.model, claim.unit),
            "-" if claim.measured is None else _number(claim.measured, claim.unit),
            "-" if difference is None else f"{difference:+.1%}",
            _tolerance(claim),
            "[green]pass[/]" if claim.passed else "[red]FAIL[/]",
        )
    return shown


def notes(result: Result) -> str:
    """Ladders and the like, which no column has room for; empty without one."""
    return "\n\n".join(f"{claim.claim}:\n\n{claim.note}" for claim in result.claims if _wide(claim.note))


def _wide(note: str) -> bool:
    """Whether it is drawn in lines that a column would break: it stands below the table."""
    return "\n" in note


def plottable() -> None:
    """Raises NoPlots where plots cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise NoPlots(f"plots need matplotlib: {sys.executable} -m pip install matplotlib")


def plot(results: Iterable[Result], file: str | Path) -> None:
    """Model and measured numbers side by side, into a file whose suffix says the format; raises NoPlots, OSError."""
    plottable()
    from matplotlib.figure import Figure

    results = list(results)
    for result in results:
        drawn = load(result.lab).draw if result.lab in MODULES else None
        if drawn is not None:
            figure = Figure(figsize=(11, 6), layout="constrained")
            drawn(figure, result.claims)
            figure.savefig(Path(file).with_stem(f"{Path(file).stem}-curves"))
    high = sum(0.5 * len(result.claims) + 1 for result in results)
    figure = Figure(figsize=(10, max(2.0, high)), layout="constrained")
    grid: Any = figure.subplots(len(results), 1, squeeze=False)
    for result, (axes,) in zip(results, grid, strict=True):
        places = range(len(result.claims))
        units = sorted({claim.unit for claim in result.claims} - {""})
        axes.barh([at - 0.2 for at in places], [claim.model for claim in result.claims], 0.36, label="model")
        axes.barh([at + 0.2 for at in places], [claim.measured or 0 for claim in result.claims], 0.36, label="measured")
        axes.set_yticks(list(places), [_wrapped(claim.claim) for claim in result.claims], fontsize="small")
        axes.invert_yaxis()
        axes.set_title(f"{result.lab} on {result.on}: {'pass' if result.passed else 'fail'}", loc="left")
        axes.set_xlabel(", ".join(units))
        axes.legend(fontsize="small")
    figure.savefig(file)


def _number(value: float, unit: str) -> str:
    return f"{value:.6g} {unit}".rstrip()


def _tolerance(claim: Claim) -> str:
    """As a part of the model's number; of a very small one the number by which the measured one may differ says more."""
    if claim.tolerance == 0:
        return "equal"
    return f"{claim.tolerance:.1%}" if claim.tolerance < 10 else f"± {claim.tolerance * claim.model:.2g}"


def _wrapped(text: str, width: int = 48) -> str:
    return "\n".join(textwrap.wrap(text, width))
