"""Origin and client on the simulated Internet: exact times, slow clients, and what a crash leaves."""

import pytest

from netstack.http import ClientOptions, FetchError, HTTPClient, Result, Site, fetch
from netstack.kernel.links import LinkSettings
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import FakeResolver
from netstack.taps.origin import Config, build
from netstack.world.simulated import SimulatedHost, Simulation

DELAY = 0.05
RTT = 2 * DELAY
NAME = "www.a.test"


class World:
    """One client and one origin, a link of 100 ms round trip between them."""

    def __init__(self) -> None:
        self.simulation = Simulation(seed=1, default_link=LinkSettings(delay=DELAY))
        self.client = self.simulation.host("client.test", "10.0.0.1")
        self.server = self.simulation.host(NAME, "10.0.0.2")
        self.server.program = self.program
        self.server.start()
        self.resolver = FakeResolver({(NAME, "A"): ["10.0.0.2"]})

    def program(self, host: SimulatedHost) -> None:
        machine = self.simulation.machine(host)
        machine.disk.write("www/index.html", b"<p>hello", mtime=1_000_000_000)
        machine.disk.write("www/large.bin", b"x" * 200_000)
        build(Config((Site((NAME,), "www"),), ("tcp:80", "tls:443")), machine).startService()

    def machine(self) -> Machine:
        return self.simulation.machine(self.client, resolver=self.resolver)


@pytest.fixture
def world() -> World:
    return World()


async def get(machine: Machine, *urls: str) -> list[tuple[int, int, float, bool]]:
    """Status, octets, seconds and whether the connection was an old one, of fetches one after another."""
    client = HTTPClient(machine)
    found: list[Result] = [await client.fetch(url) for url in urls]
    client.close()
    return [(each.status, len(each.body), each.timing.ended, each.reused) for each in found]


async def why(machine: Machine, url: str) -> str:
    try:
        await fetch(machine, url, options=ClientOptions(timeout=5))
    except FetchError as error:
        return str(error)
    return ""


def test_round_trips(world: World) -> None:
    urls = [f"http://{NAME}/", f"http://{NAME}/index.html", f"http://{NAME}/none", f"https://{NAME}/"]
    first, second, missing, secure = world.simulation.ask(world.client, get, world.machine(), *urls)
    assert first == (200, 8, pytest.approx(2 * RTT, abs=1e-3), False)
    assert second == (200, 8, pytest.approx(RTT, abs=1e-3), True)
    assert missing[0] == 404
    assert secure == (200, 8, pytest.approx(3 * RTT, abs=1e-3), False)


def test_a_large_file_comes_whole(world: World) -> None:
    [found] = world.simulation.ask(world.client, get, world.machine(), f"http://{NAME}/large.bin")
    assert found[:2] == (200, 200_000)


def test_idle_connections_end_in_their_time_and_nothing_ticks(world: World) -> None:
    async def hold(machine: Machine) -> float | None:
        client = HTTPClient(machine)
        await client.fetch(f"http://{NAME}/")
        return machine.registry.get_sample_value("netstack_http_connections_active", {"role": "client"})

    machine = world.machine()
    assert world.simulation.ask(world.client, hold, machine) == 1
    world.simulation.run(for_seconds=14)
    assert machine.registry.get_sample_value("netstack_http_connections_active", {"role": "client"}) == 1
    world.simulation.run(for_seconds=2)
    assert machine.registry.get_sample_value("netstack_http_connections_active", {"role": "client"}) == 0


def test_a_dead_server_is_reported(world: World) -> None:
    world.server.power_off()
    assert "within 5 seconds" in world.simulation.ask(world.client, why, world.machine(), f"http://{NAME}/")
    world.server.boot()
    world.server.kill()
    assert "refused" in world.simulation.ask(world.client, why, world.machine(), f"http://{NAME}/")


def test_a_run_repeats_exactly() -> None:
    def run() -> tuple[str, str]:
        world = World()
        world.simulation.journal.enable(NAME, "client.test")
        world.simulation.ask(world.client, get, world.machine(), f"http://{NAME}/", f"https://{NAME}/large.bin")
        return world.simulation.hashes()

    assert run() == run()


def test_a_proxy_is_asked_with_the_whole_url(world: World) -> None:
    """RFC 9112 §3.2.2. The origin answers requests in absolute form like any other, for the site that the URL names."""

    async def through(machine: Machine, url: str, proxy: str) -> str:
        client = HTTPClient(machine, ClientOptions(proxy=proxy))
        try:
            found = await client.fetch(url)
        except FetchError as error:
            return str(error)
        finally:
            client.close()
        return f"{found.status} from {found.peer.remote[0]}"

    def ask(url: str, proxy: str) -> str:
        told: str = world.simulation.ask(world.client, through, world.machine(), url, proxy)
        return told

    world.simulation.journal.enable(world.client.name)
    assert ask("http://nobody-knows.test/a?b", f"{NAME}:80") == "404 from 10.0.0.2"
    (asked,) = (row for row in world.simulation.journal if row.protocol == "http")
    assert asked.data.startswith(b"GET http://nobody-knows.test/a?b HTTP/1.1\r\nHost: nobody-knows.test\r\n")
    assert ask(f"https://{NAME}/", "10.0.0.9:80") == "200 from 10.0.0.2"
    assert ask(f"http://{NAME}/", "nowhere") == "the proxy 'nowhere' is not HOST:PORT"
