"""A whole world in virtual time: the chapter's figures, the same journal twice, crashes, links that change."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from netstack.kernel.machine import Machine
from netstack.kernel.resolver import ResolutionError
from netstack.world.loader import load
from netstack.world.simulated.world import SimulatedWorld, bring_up
from tests.world.simulated.ends import End, Once

ROOT = Path(__file__).resolve().parents[3]


async def addresses_of(machine: Machine, name: str) -> Sequence[str]:
    """What a program on the host sees."""
    return await machine.resolver.addresses(name)


async def keep_open(machine: Machine, server: str) -> None:
    """Many idle connections, which the server ends when it stops: in what order?"""
    for _ in range(20):
        end = End()
        machine.reactor.connectTCP(server, 12000, Once(end))
        await end.made


def messages(up: SimulatedWorld, host: str, name: str) -> list[tuple[str, str]]:
    """Who sent messages to whom for one look-up."""
    up.running.journal.clear()
    assert up.ask(host, addresses_of, name)
    return [(row.source_name, row.destination_name) for row in up.running.journal]


@pytest.mark.parametrize(("name", "count"), [("textbook", 8), ("intermediate", 10)])
def test_the_chapters_counts_of_messages(name: str, count: int) -> None:
    up = bring_up(load(name), journal=True)
    found = messages(up, "cse.nyu.edu", "gaia.cs.umass.edu")
    assert len(found) == count
    assert found[0] == ("cse.nyu.edu", "dns.nyu.edu")
    assert found[-1] == ("dns.nyu.edu", "cse.nyu.edu")
    assert messages(up, "apricot.nyu.edu", "gaia.cs.umass.edu") == [
        ("apricot.nyu.edu", "dns.nyu.edu"),
        ("dns.nyu.edu", "apricot.nyu.edu"),
    ]
    up.stop()
    assert {host["state"] for host in up.running.status()["hosts"].values()} == {"down"}


def run_elsewhere(hash_seed: str) -> str:
    """Hashes of a look-up in the textbook's world, by another interpreter."""
    program = (
        "from netstack.world.loader import load\n"
        "from netstack.world.simulated.world import bring_up\n"
        "from tests.world.simulated.test_world import addresses_of, keep_open\n"
        "from tests.world.simulated.test_services import get\n"
        "up = bring_up(load('textbook'), journal=True)\n"
        "up.ask('cse.nyu.edu', addresses_of, 'gaia.cs.umass.edu')\n"
        "up.ask('cse.nyu.edu', get, 'https://www.someschool.edu/somedepartment/home.index')\n"
        "up.ask('cse.nyu.edu', keep_open, up.running.table.first('upper.someschool.edu'))\n"
        "up.stop()\n"
        "print(*up.simulation.hashes(), up.simulation.packets.sent)\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_a_world_repeats_whatever_the_hash_seed() -> None:
    assert run_elsewhere("1") == run_elsewhere("2")


def test_a_resolver_that_crashes_is_missed_and_comes_back() -> None:
    up = bring_up(load("textbook"), journal=True)
    up.host("dns.nyu.edu").power_off()
    assert up.running.status()["hosts"]["dns.nyu.edu"]["state"] == "down"
    with pytest.raises(ResolutionError):
        up.ask("cse.nyu.edu", addresses_of, "gaia.cs.umass.edu")
    up.host("dns.nyu.edu").boot()
    up.simulation.run(for_seconds=1)
    assert up.running.hosts["dns.nyu.edu"].state == "ready"
    assert len(messages(up, "cse.nyu.edu", "gaia.cs.umass.edu")) == 8


def test_links_change_while_the_world_runs() -> None:
    up = bring_up(load("textbook"))
    up.ask("cse.nyu.edu", addresses_of, "gaia.cs.umass.edu")

    def took() -> float:
        before = up.simulation.now
        up.ask("cse.nyu.edu", addresses_of, "gaia.cs.umass.edu")
        return up.simulation.now - before

    local = took()
    up.running.links.change("nyu", "both", delay=0.3)
    assert took() == pytest.approx(local), "cse.nyu.edu and its resolver are on one LAN"
    up.running.flush()
    assert took() > 1.8
