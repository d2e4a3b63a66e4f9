"""The same seed gives the same run: in another process, under another hash seed, with TLS."""

import os
import subprocess
import sys
from pathlib import Path

from netstack.kernel.links import LinkSettings
from netstack.world.simulated import Simulation
from tests.world.simulated.busy import busy

ROOT = Path(__file__).resolve().parents[3]


def run_elsewhere(seed: int, hash_seed: str) -> str:
    """The hashes of a busy world, run by another interpreter."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.world.simulated.busy", str(seed)],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_equal_seeds_equal_runs_whatever_the_hash_seed() -> None:
    one, two = run_elsewhere(3, "1"), run_elsewhere(3, "424242")
    assert one == two
    here = busy(3)
    assert one.split()[:2] == list(here[:2])


def test_other_seeds_other_runs() -> None:
    assert busy(3)[:2] != busy(4)[:2]


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
