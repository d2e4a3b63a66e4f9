"""`netstack lab`: the stable JSON, exit codes."""

import json
import sys
from pathlib import Path

import pytest

from netstack.cli import main
from netstack.lab import runner
from netstack.lab.claims import Claim, Result


def test_run_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["lab", "run", "dns-messages", "--json", "--seed", "7", "--plot", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["lab"], result["on"], result["seed"]) == ("dns-messages", "simulated", 7)
    assert all({"claim", "model", "measured", "tolerance", "pass"} <= set(claim) for claim in result["claims"])
    assert (tmp_path / "dns-messages-simulated.svg").read_text().startswith("<?xml")


def test_plots_that_cannot_be_drawn_are_told_before_the_lab_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["lab", "run", "dns-messages", "--plot", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert (told.out, "-m pip install matplotlib" in told.err) == ("", True)


def test_what_has_no_room_in_the_table_stands_below_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder = "alice [1]        bob\n   |---- HELO ---->|" + "-" * 100
    claims = [Claim("so many", 8, 8, note="the book: eight, counted without what comes before the first of them and after"),
              Claim("its ladder", 1, 1, note=ladder)]  # fmt: skip
    monkeypatch.setattr(runner, "run", lambda *how: Result("made-up", "simulated", 1, claims, "A lab", ("the rest",)))
    assert main(["lab", "run", "dns-messages"]) == 0
    above, _, below = capsys.readouterr().out.partition("└")
    assert "the book: eight" in above
    assert "HELO" not in above
    assert f"its ladder:\n\n{ladder}\n" in below
    assert below.rstrip().endswith("Not shown: the rest")
    assert main(["lab", "run", "dns-messages", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [claim["note"] for claim in shown["claims"]] == [claim.note for claim in claims]
    assert shown["not_shown"] == ["the rest"]


@pytest.mark.parametrize("more", [[], ["no-such-lab"]])
def test_nothing_to_run_is_code_2(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "run", *more]) == 2
    assert "dns-messages" in capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "list", "--json"]) == 0
    assert "dns-messages" in [lab["lab"] for lab in json.loads(capsys.readouterr().out)["labs"]]
