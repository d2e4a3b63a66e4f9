"""`netstack lab`: the stable JSON, exit codes."""

import json
import sys
from pathlib import Path

import pytest

from netstack.cli import main


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


@pytest.mark.parametrize("more", [[], ["no-such-lab"]])
def test_nothing_to_run_is_code_2(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "run", *more]) == 2
    assert "dns-messages" in capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "list", "--json"]) == 0
    assert "dns-messages" in [lab["lab"] for lab in json.loads(capsys.readouterr().out)["labs"]]
