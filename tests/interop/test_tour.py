"""The tour in README.md does what it shows: every command of its console blocks, in order, against a world that is up.

Lines after a command are what it prints, in this order; `...` stands for anything, as a line for any lines. Addresses may
differ in their world's network.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.world import OFFSET, directories
from tests.interop.programs import need
from tests.processes import ROOT

pytestmark = pytest.mark.xdist_group("tour")

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NETWORK = re.compile(r"\b127\.\d+\.")
PROGRAMS = ("dig", "curl", "nc")


def steps() -> list[tuple[str, list[str]]]:
    """Each command of the tour with the lines it shows."""
    found: list[tuple[str, list[str]]] = []
    for block in BLOCK.findall((ROOT / "README.md").read_text()):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def squeezed(line: str) -> str:
    """A line without what depends on its world's network: the number, and how wide columns are."""
    return re.sub(r"-{2,}", "-", re.sub(r"\s+", " ", NETWORK.sub("127.N.", line))).rstrip()


def pattern(lines: list[str]) -> "re.Pattern[str]":
    """What the output must match; blank space at the ends of lines does not count."""
    parts = []
    for line in lines:
        if line == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            text = re.escape(squeezed(line)).replace(r"\.\.\.", ".*")
            parts.append(text + "\n")
    return re.compile("".join(parts))


@pytest.fixture
def path(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment with `netstack` on PATH, which brings worlds up on ports of this test's own."""
    (tmp_path / "netstack").write_text(
        f'#!/bin/sh\ntest "$1" = up && set -- "$@" --port-offset {OFFSET + 1303}\n'
        f'PYTHONPATH={ROOT} exec {sys.executable} -m netstack.cli "$@"\n'
    )
    (tmp_path / "netstack").chmod(0o755)
    private = tmp_path / "x"
    private.mkdir(mode=0o700)
    surroundings = dict(os.environ) | directories(private) | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    yield surroundings
    subprocess.run([tmp_path / "netstack", "down"], env=surroundings, capture_output=True, timeout=30)  # if it failed midway


def test_the_tour(path: dict[str, str], tmp_path: Path) -> None:
    for program in PROGRAMS:
        need(program)
    tour = steps()
    assert len(tour) > 12
    for command, lines in tour:
        done = subprocess.run(["sh", "-c", command], env=path, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        shown = "".join(squeezed(line) + "\n" for line in done.stdout.splitlines())
        assert pattern(lines).fullmatch(shown), f"{command}\nshows\n{done.stdout}\ninstead of\n" + "\n".join(lines)
    assert (tmp_path / "walk.pcapng").stat().st_size > 1000
