"""The origin on the simulated Internet: versions, changes, what a loss of power leaves, redirects, logs, draining."""

import base64
import json
from typing import Any

import pytest

from netstack.http import FetchError, HTTPClient, Result, Site, StoreLimits, fetch
from netstack.http.access import LogLimits
from netstack.http.passwords import verifier_line
from netstack.kernel.links import LinkSettings
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import FakeResolver
from netstack.taps.origin import Config, build
from netstack.world.simulated import SimulatedHost, Simulation

NAME = "www.a.test"
PASSWORD = "open sesame"
WRITER = verifier_line("alice", PASSWORD, b"salt of the test")
WHO = ("Authorization", "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode())
DELAY = 0.05


class World:
    """One client and one origin, a link of 100 ms round trip between them."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.simulation = Simulation(seed=1, default_link=LinkSettings(delay=DELAY))
        self.client = self.simulation.host("client.test", "10.0.0.1")
        self.server = self.simulation.host(NAME, "10.0.0.2")
        self.server.program = self.program
        self.server.start()
        self.resolver = FakeResolver({(NAME, "A"): ["10.0.0.2"]})
        self.services: list[Any] = []

    def program(self, host: SimulatedHost) -> None:
        machine = self.simulation.machine(host)
        try:
            machine.disk.stat("www/page.html")
        except FileNotFoundError:
            machine.disk.write("www/page.html", b"<p>English", mtime=1_000_000_000)
            machine.disk.write("www/page.html.fr", b"<p>French", mtime=1_000_000_000)
            machine.disk.write("www/new.txt", b"old" * 20_000, mtime=1_000_000_000)
        service: Any = build(
            Config((Site((NAME,), "www"),), ("tcp:80", "tls:443"), writers=(WRITER,), **self.options), machine
        )
        service.startService()
        self.services.append(service)

    def machine(self) -> Machine:
        return self.simulation.machine(self.client, resolver=self.resolver)

    def disk(self) -> Any:
        return self.simulation.machine(self.server).disk


async def get(machine: Machine, url: str, *fields: tuple[str, str]) -> tuple[int, bytes, str | None]:
    result = await fetch(machine, url, fields=fields)
    return result.status, result.body, result.field("Location") or result.field("Content-Language")


def test_languages() -> None:
    world = World()
    ask, url = world.simulation.ask, f"http://{NAME}/page.html"
    assert ask(world.client, get, world.machine(), url) == (200, b"<p>English", "en")
    assert ask(world.client, get, world.machine(), url, ("Accept-Language", "fr, en;q=0.5")) == (200, b"<p>French", "fr")
    assert ask(world.client, get, world.machine(), url, ("Range", "bytes=3-5")) == (206, b"Eng", "en")


def test_plain_requests_are_sent_to_https_when_told_so() -> None:
    world = World(redirect_to_https=True)
    found = world.simulation.ask(world.client, get, world.machine(), f"http://{NAME}/page.html?a")
    assert (found[0], found[2]) == (301, f"https://{NAME}/page.html?a")


async def put(machine: Machine, content: bytes) -> int | str:
    try:
        return (await fetch(machine, f"https://{NAME}/new.txt", "PUT", [WHO], content)).status
    except FetchError as error:
        return str(error)


def test_a_change_is_seen_at_once_also_by_equal_requests() -> None:
    world = World(store=StoreLimits(check=3600.0))

    async def change(machine: Machine) -> list[bytes]:
        client = HTTPClient(machine)
        seen = []
        for content in (b"one", b"two"):
            await put(machine, content)
            seen += [(await client.fetch(f"http://{NAME}/new.txt")).body for _ in range(4)]
        client.close()
        return seen

    assert world.simulation.ask(world.client, change, world.machine()) == [b"one"] * 4 + [b"two"] * 4


@pytest.mark.parametrize("at", [0.1, 0.2, 0.25, 0.29, 0.3, 0.302, 0.304, 0.306, 0.32, 0.35])
def test_a_loss_of_power_leaves_the_old_or_the_new_file(at: float) -> None:
    world = World()

    async def cut(machine: Machine) -> int | str:
        machine.reactor.callLater(at, world.server.power_off)
        return await put(machine, b"new" * 20_000)

    answer = world.simulation.ask(world.client, cut, world.machine())
    world.server.boot()
    status, body, _ = world.simulation.ask(world.client, get, world.machine(), f"http://{NAME}/new.txt")
    assert (status, body) in ((200, b"old" * 20_000), (200, b"new" * 20_000))
    assert body.startswith(b"new") or answer != 204


def test_the_access_log_is_written_soon_and_begun_anew_when_it_is_full() -> None:
    world = World(access_file="log/access", access_format="json", log=LogLimits(lines=2, seconds=5, file=400))
    for number in range(5):
        world.simulation.ask(world.client, get, world.machine(), f"http://{NAME}/page.html?{number}")
    world.simulation.run(for_seconds=6)
    disk = world.disk()
    lines = [json.loads(line) for name in ("log/access.1", "log/access") for line in disk.read(name).decode().splitlines()]
    assert [line["request"] for line in lines] == [f"GET /page.html?{number} HTTP/1.1" for number in range(5)]


def test_a_stopping_service_finishes_what_is_in_hand() -> None:
    world = World(grace=30.0)

    async def stop(machine: Machine) -> tuple[int | str, str | None]:
        machine.reactor.callLater(0.48, world.services[-1].stopService)  # the upload is on its way
        idle = HTTPClient(machine)
        kept: Result = await idle.fetch(f"http://{NAME}/page.html")
        answer = await put(machine, b"new")
        idle.close()
        return answer, kept.field("Connection")

    assert world.simulation.ask(world.client, stop, world.machine()) == (204, None)
    assert world.disk().read("www/new.txt") == b"new"
    world.simulation.run(for_seconds=1)
    assert "refused" in str(world.simulation.ask(world.client, put, world.machine(), b"x"))
