"""Claims, verdicts and the runner, over labs made for the purpose."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from rich.console import Console

from netstack.lab.bench import Bench
from netstack.lab.claims import Claim, Result
from netstack.lab.registry import MODULES, Lab, NoSuchLab, labs
from netstack.lab.runner import exit_code, measure, names, plot, run, table

BENCH = Bench("simulated", 7)
PROMISED = [Claim("first", 8, None), Claim("second", 2.0, None, 0.1)]


def lab(measuring: Callable[[Bench], Iterable[Claim]]) -> Lab:
    return Lab("made-up", "A lab", ("simulated",), measuring, lambda on: PROMISED)


@pytest.mark.parametrize(
    ("model", "measured", "tolerance", "passed"),
    [
        (8, 8, 0, True), (8, 9, 0, False), (8, None, 0, False), (100, 103, 0.03, True), (100, 103.1, 0.03, False),
        (0, 0, 0, True), (0, 1, 0.5, False), (-10, -10.5, 0.1, True), (8, float("nan"), 1, False),
    ],
)  # fmt: skip
def test_verdict(model: float, measured: float | None, tolerance: float, passed: bool) -> None:
    assert Claim("c", model, measured, tolerance).passed is passed


def test_result_as_json_is_the_documented_interface() -> None:
    result = measure(lab(lambda bench: [Claim("first", 8, 8), Claim("second", 2.0, 2.1, 0.1)]), BENCH)
    assert json.loads(json.dumps(result.as_json())) == {
        "lab": "made-up",
        "on": "simulated",
        "seed": 7,
        "claims": [
            {"claim": "first", "model": 8, "measured": 8, "tolerance": 0.0, "pass": True},
            {"claim": "second", "model": 2.0, "measured": 2.1, "tolerance": 0.1, "pass": True},
        ],
    }
    assert result.passed


def shown(result: Result) -> str:
    console = Console(width=100, force_terminal=False)
    with console.capture() as captured:
        console.print(table(result))
    return captured.get()


def broken(bench: Bench) -> Iterable[Claim]:
    yield Claim("first", 8, 8)
    raise OSError("no [such] network")


def test_a_lab_that_breaks_off_fails_for_what_it_promised() -> None:
    result = measure(lab(broken), BENCH)
    assert [(claim.claim, claim.measured, claim.why) for claim in result.claims] == [
        ("first", 8, ""), ("second", None, "OSError: no [such] network"),
    ]  # fmt: skip
    assert not result.passed
    assert "no [such] network" in shown(result)


def late(bench: Bench) -> Iterable[Claim]:
    yield from (Claim("first", 8, 8), Claim("second", 2.0, 2.0))
    raise RuntimeError("at the very end")


def test_a_lab_that_breaks_after_its_last_claim_fails() -> None:
    result = measure(lab(late), BENCH)
    assert not result.passed
    assert result.claims[-1].why == "RuntimeError: at the very end"


def test_a_lab_without_all_its_claims_fails() -> None:
    assert not measure(lab(lambda bench: [Claim("first", 8, 8)]), BENCH).passed


def test_exit_codes() -> None:
    good, bad = (Result("l", "simulated", 1, [Claim("c", 8, measured)]) for measured in (8, 9))
    assert [exit_code(results) for results in ([good], [good, bad], [])] == [0, 1, 2]
    assert exit_code([Result("l", "simulated", 1, [])]) == 1


def test_nothing_to_run_is_said() -> None:
    for wrong in (lambda: run("no-such-lab"), lambda: run("dns-messages", on="paper"), lambda: names([])):
        with pytest.raises(NoSuchLab, match=r"dns-messages|runs on"):
            wrong()
    assert names(["dns-messages", "dns-messages"]) == ["dns-messages"]
    assert names([], every=True) == list(MODULES)
    assert names([], every=True, on="namespaces") == ["dns-messages", "dns-caching", "dns-rotation"]


def test_every_lab_can_be_loaded_and_promises_something() -> None:
    assert [one.name for one in labs()] == list(MODULES)
    assert all(one.title and one.promised() and one.substrates for one in labs())


def test_the_table_has_model_measured_and_verdict() -> None:
    text = shown(Result("dns", "loopback", 3, [Claim("so many", 8, 9, unit="messages")], "Messages"))
    assert "8 messages" in text
    assert "9 messages" in text
    assert "FAIL" in text
    assert "+12.5%" in text


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_plot(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    result = measure(lab(broken), BENCH)
    plot([result, result], tmp_path / f"plot.{suffix}")
    start = (tmp_path / f"plot.{suffix}").read_bytes()[:5]
    assert start in (b"<?xml", b"\x89PNG\r")
