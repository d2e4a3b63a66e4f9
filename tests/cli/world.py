"""A real `netstack up --detach` for tests, in private directories, on a name and ports of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from netstack.cli import main

OFFSET = 11_000 + os.getpid() % 6_000
"""Of this process alone: several may run tests on one machine."""


def command(*arguments: str) -> list[str]:
    """The command line of `netstack` in this checkout."""
    return [sys.executable, "-m", "netstack.cli", *arguments]


ASKING = frozenset(
    {
        "ca",
        "cache",
        "flush",
        "get",
        "inspect",
        "keys",
        "link",
        "mail",
        "reload",
        "resolve",
        "ring",
        "status",
        "trace",
        "validate",
        "zone",
    }
)
"""Commands that run within the process of the tests: they ask a world, or read files, and a process of their own costs ten
times as much. Those that start, end or become processes have one."""


def netstack(
    *arguments: str, timeout: float = 110, text: bool = True, given: str | None = None
) -> subprocess.CompletedProcess[Any]:
    """Run the command; never raises for its exit code."""
    if arguments[0] in ASKING and text and given is None:
        return _within(arguments)
    return subprocess.run(
        command(*arguments), capture_output=True, text=text, timeout=timeout, env=dict(os.environ), input=given
    )


def _within(arguments: Sequence[str]) -> subprocess.CompletedProcess[Any]:
    written, complained = (TextIOWrapper(BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(written), redirect_stderr(complained):
        try:
            code = main(arguments)
        except SystemExit as bad_usage:
            code = int(bad_usage.code or 0)
    out, err = (stream.buffer.getvalue().decode() for stream in (written, complained))
    return subprocess.CompletedProcess(list(arguments), code, out, err)


def as_json(*arguments: str) -> Any:
    """The command's `--json`; fails the test when it fails."""
    done = netstack(*arguments, "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


@contextmanager
def brought_up(world: str, name: str, offset: int = OFFSET) -> Iterator[dict[str, Any]]:
    """A world that is up; its status."""
    done = netstack("up", "--world", world, "--name", name, "--port-offset", str(offset), "--detach", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    try:
        yield json.loads(done.stdout)
    finally:
        stopped = netstack("down", "--name", name)
        assert stopped.returncode == 0, stopped.stderr


@contextmanager
def up_in(root: Path, world: str, name: str) -> Iterator[dict[str, Any]]:
    """A world that is up with its state and socket below `root`, where every command of this process finds it."""
    root.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in directories(root).items():
            patch.setenv(variable, value)
        patch.delenv("NETSTACK_NAME", raising=False)
        with brought_up(world, name) as status:
            yield status


def directories(root: Path) -> dict[str, str]:
    """The variables that keep a test's worlds apart from the user's."""
    return {"XDG_RUNTIME_DIR": str(root), "XDG_STATE_HOME": str(root / "state"), "PYTHONUNBUFFERED": "1"}
