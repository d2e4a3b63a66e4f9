"""A world that twistd runs is one that every command works on."""

import subprocess
from pathlib import Path

from tests.cli.world import OFFSET, as_json, netstack
from tests.processes import ROOT, running, twistd

PAGE = "gaia.cs.umass.edu"


def test_commands_work_on_a_world_of_twistd(private: Path) -> None:
    arguments = twistd("netstack-internet", "--world", "small", "--name", "tw", "--port-offset", str(OFFSET + 1709))
    with running(*arguments, ready="serves HTTP", count=2):
        status = as_json("status")
        assert status["world"] == "tw"
        assert len(as_json("resolve", PAGE, "--cold", "--trace")["messages"]) == 8
        refused = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=30)
        assert refused.returncode == 1
        assert "netstack down --name tw" in refused.stdout
        assert "Traceback" not in refused.stdout + refused.stderr
        assert netstack("down").returncode == 0
        assert netstack("status").returncode == 2
