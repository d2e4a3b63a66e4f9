"""The same seed gives the same run: in another process, under another hash seed, with TLS."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from netstack.kernel.links import LinkSettings
from netstack.world.simulated import Simulation
from tests.world.simulated.busy import busy

ROOT = Path(__file__).resolve().parents[3]
ran = cache(busy)
"""A busy world is seconds of work."""


def started_elsewhere(seed: int, hash_seed: str) -> "subprocess.Popen[str]":
    """Another interpreter that runs a busy world and prints its hashes."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.world.simulated.busy", str(seed)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_equal_seeds_equal_runs_whatever_the_hash_seed() -> None:
    elsewhere = [started_elsewhere(3, hash_seed) for hash_seed in ("1", "424242")]
    here = " ".join(map(str, ran(3)))
    assert [each.communicate() for each in elsewhere] == [(f"{here}\n", "")] * 2
    assert [each.returncode for each in elsewhere] == [0, 0]


def test_other_seeds_other_runs() -> None:
    assert ran(3)[:2] != ran(4)[:2]


def test_the_hash_is_over_time_ends_and_size() -> None:
    def run(delay: float, size: int, port: int) -> str:
        simulation = Simulation(1, LinkSettings(delay=0.01))
        a, b = simulation.host("a", "10.0.0.1"), simulation.host("b", "10.0.0.2")
        from tests.world.simulated.ends import Datagrams

        assert b.reactor is not None
        b.reactor.listenUDP(port, Datagrams())

        def send() -> None:
            assert a.reactor is not None
            a.reactor.listenUDP(9, Datagrams()).write(b"x" * size, ("10.0.0.2", port))

        simulation.at(delay, lambda: simulation.call(a, send))
        simulation.run()
        return simulation.hashes()[0]

    first = run(1.0, 10, 53)
    assert first == run(1.0, 10, 53)
    assert len({first, run(1.000000001, 10, 53), run(1.0, 11, 53), run(1.0, 10, 54)}) == 4
