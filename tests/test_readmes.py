"""The examples of READMEs are run: every block that opens with "```console run"; rooms and options are all named there.

A line after `$ ` is a command for bash, in an empty directory. The lines after it are what it prints, all of it; `...` at
the start of a line stands for anything before it. A command that ends with `&` goes on: its lines are waited for.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netstack.taps import cache, dns, origin, registrar, resolver, ring, smtp, upper
from netstack.taps.standalone import WorkerOptions
from tests.processes import PATIENCE, ROOT, wait_until

BLOCK = re.compile(r"^```console run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
READMES = sorted(path for path in ROOT.rglob("README.md") if ".venv" not in path.parts)
EXAMPLES = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}-{number}")
    for path in READMES
    for number, block in enumerate(BLOCK.findall(path.read_text()))
]


def commands(block: str) -> list[tuple[str, list[str]]]:
    """Each command of a block with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> "):
            found[-1] = (found[-1][0] + "\n" + line[2:], [])
        else:
            found[-1][1].append(line)
    return found


def matches(shown: str, expected: str) -> bool:
    """Whether a line is the expected one."""
    return shown.endswith(expected[3:].strip()) if expected.startswith("...") else shown == expected


def wait_for(process: "subprocess.Popen[str]", output: Path, lines: list[str]) -> None:
    """Until a process that goes on has printed the lines."""

    def has_printed() -> bool:
        ended = process.poll() is not None
        found = all(any(matches(shown, line) for shown in output.read_text().splitlines()) for line in lines)
        assert found or not ended, f"ended with {process.returncode}: {output.read_text()}"
        return found

    wait_until(has_printed, f"{lines} are printed", told=output.read_text)


@pytest.mark.slow
@pytest.mark.xdist_group("readmes")
@pytest.mark.parametrize("block", EXAMPLES)
def test_an_example_does_what_it_says(block: str, tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / ".state")}
    going_on = []
    try:
        for number, (command, lines) in enumerate(commands(block)):
            if command.endswith("&"):
                output = tmp_path / f".output{number}"
                with output.open("w") as sink:
                    process = subprocess.Popen(
                        ["bash", "-c", "exec " + command[:-1]],
                        cwd=tmp_path, env=environment, stdout=sink, stderr=subprocess.STDOUT, text=True,
                    )  # fmt: skip
                going_on.append(process)
                wait_for(process, output, lines)
            else:
                done = subprocess.run(
                    ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
                )
                shown = (done.stdout + done.stderr).splitlines()
                assert len(shown) == len(lines) and all(map(matches, shown, lines)), (command, shown, lines)  # noqa: PT018
    finally:
        for process in going_on:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)


def test_every_house_has_a_readme() -> None:
    houses = {path.parent for path in (ROOT / "netstack").glob("*/engine.py")}
    houses |= {path.parent.parent for path in (ROOT / "netstack").glob("*/engine/__init__.py")}
    assert houses
    assert [str(house.relative_to(ROOT)) for house in sorted(houses) if not (house / "README.md").exists()] == []


def _section(path: Path, title: str) -> str:
    """A section of a README; empty where there is none."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", path.read_text(), re.MULTILINE | re.DOTALL)
    return "" if found is None else found[1]


@pytest.mark.parametrize("path", [path for path in READMES if _section(path, "Rooms")], ids=lambda path: path.parent.name)
def test_rooms_name_every_file(path: Path) -> None:
    named = set(re.findall(r"`([a-z_0-9/]+\.py)`", _section(path, "Rooms")))
    files = {str(file.relative_to(path.parent)) for file in path.parent.rglob("*.py") if file.name != "__init__.py"}
    assert named == files


TAPS = [
    (dns, "dns", "Options of netstack-dns"),
    (resolver, "dns", "Options of netstack-resolver"),
    (origin, "http", "Options"),
    (registrar, "registrar", "Options"),
    (cache, "cache", "Options"),
    (smtp, "smtp", "Options"),
    (ring, "ring", "Options"),
    (upper, "sockets", "Options"),
]


@pytest.mark.parametrize(("tap", "house", "section"), TAPS, ids=[tap.__name__ for tap, _, _ in TAPS])
def test_every_option_has_its_row(tap: Any, house: str, section: str) -> None:
    """Those of every tap are the kernel's README's to name."""
    shared = {name.removesuffix("=") for name in WorkerOptions().longOpt}
    own = {name.removesuffix("=") for name in tap.Options().longOpt} - shared
    rows = re.findall(r"^\| (`--.*?) \|", _section(ROOT / "netstack" / house / "README.md", section), re.MULTILINE)
    assert own - set(re.findall(r"`--([a-z0-9-]+)`", " ".join(rows))) == set()
