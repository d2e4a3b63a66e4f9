"""A database whose process is killed in a sync: what the next process finds in it survives a loss of power."""

import sqlite3
import sys
from pathlib import Path
from random import Random
from shutil import copytree
from subprocess import PIPE, Popen

import pytest

from tests.crash.disk import NOTHING, Disk
from tests.crash.trace import Tracing, after, steps
from tests.interop.programs import need
from tests.processes import ROOT, environment_of


def rows(disk: Disk, directory: Path) -> int:
    """Those that are there when the power fails now."""
    directory.mkdir()
    disk.write(directory, NOTHING, Random(1))
    connection = sqlite3.connect(directory / "state" / "rows")
    try:
        return int(connection.execute("SELECT COUNT(*) FROM row").fetchone()[0])
    except sqlite3.OperationalError:  # there is no table, or no file
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize(("killed_at", "found"), [(7, 0), (8, 1), (10, 3)])
def test_what_is_found_after_a_kill_is_durable(tmp_path: Path, killed_at: int, found: int) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    disk, start, said = Disk(root), 0, []
    for boot, (adds, kill) in enumerate(((3, killed_at), (0, 0))):
        tracing = Tracing(need("strace"), tmp_path / f"trace-{boot}")
        command = tracing.around(
            sys.executable, "-m", "tests.crash.database", str(root / "state"), str(adds), killed_at=kill
        )
        with Popen(command, cwd=ROOT, env=environment_of(), stdout=PIPE) as process:
            process.wait(20)
        calls = tracing.calls(process.pid, start)
        start = after(calls)
        for _, ended, call in steps(calls):
            disk.step(call, ended)
            if call.name == "write" and not ended and call.data.endswith(b" rows\n"):
                said.append(int(call.data.split()[0]))
                assert rows(disk, tmp_path / f"image-{boot}-{len(said)}") == said[-1]
        disk.restarted(copytree(root, tmp_path / f"copy-{boot}"), calls)
    assert said[-1] == found
