"""A world under random faults: clients get answers or clear errors, nothing is logged, and all is well afterwards."""

from random import Random
from typing import Any

import pytest

from netstack.http.client import FetchError, fetch
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import ResolutionError
from netstack.world.loader import load
from netstack.world.simulated.world import SimulatedWorld, bring_up

PAGE = "http://www.someschool.edu/somedepartment/home.index"
CLIENTS = ("cse.nyu.edu", "apricot.nyu.edu", "cis.poly.edu")


def break_something(up: SimulatedWorld, rng: Random) -> None:
    """One fault now, and its repair within a minute."""
    simulation = up.simulation
    servers = [host.name for host in up.world.hosts.values() if host.services]
    host = up.host(rng.choice(servers))
    repair = simulation.now + rng.uniform(1, 60)
    kind = rng.choice(["kill", "power", "cut", "loss", "clock"])
    if kind in ("kill", "power") and host.up:
        (host.kill if kind == "kill" else host.power_off)()
        simulation.at(repair, lambda: None if host.up else host.boot())
    elif kind == "cut":
        other = up.host(rng.choice(servers))
        if other is not host:
            simulation.network.cut(host, other)
            simulation.at(repair, simulation.network.heal, host, other)
    elif kind == "loss":
        site = rng.choice([*up.world.sites])
        up.running.links.change(site, loss=rng.choice([0.05, 0.4]), delay=rng.choice([0.001, 0.2]))
        simulation.at(repair, lambda: up.running.links.change(site, loss=0.0))
    else:
        host.skew += rng.uniform(-1e5, 1e5)


async def browse(machine: Machine) -> str:
    """What a client sees of a page."""
    try:
        result = await fetch(machine, PAGE)
    except FetchError as error:
        return f"error: {error}"
    return str(result.status)


async def look_up(machine: Machine, name: str) -> Any:
    """What a client sees of a name."""
    try:
        return await machine.resolver.addresses(name)
    except ResolutionError:
        return "error"


@pytest.mark.parametrize("seed", range(3))
def test_a_world_survives(seed: int) -> None:
    assert survive(seed) > 0


def survive(seed: int) -> int:
    """Sixty faults, then two minutes of peace; how many of the questions meanwhile were answered."""
    up = bring_up(load("textbook"), seed, journal=True)
    rng = Random(seed)
    seen = []
    for _ in range(60):
        break_something(up, rng)
        up.simulation.run(for_seconds=rng.uniform(0, 20))
        client = rng.choice(CLIENTS)
        if rng.random() < 0.5:
            seen.append(up.ask(client, browse))
        else:
            seen.append(up.ask(client, look_up, "gaia.cs.umass.edu"))
    assert "200" in seen
    assert [up.running.table.first("gaia.cs.umass.edu")] in seen
    up.simulation.run(for_seconds=120)
    assert {host.state for host in up.running.hosts.values()} == {"ready"}
    up.running.flush()
    for client in CLIENTS:
        assert up.ask(client, browse) == "200"
    up.stop()
    up.simulation.run(for_seconds=2000)
    assert not any(host.reactor.streams for host in up.simulation.hosts.values() if host.reactor is not None)
    return len(seen) - sum(isinstance(each, str) and each.startswith("error") for each in seen)
