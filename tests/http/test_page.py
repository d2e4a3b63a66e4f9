"""Pages with their objects: what a page shows, and the ways to fetch it, on the simulated Internet."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from netstack.http import ClientOptions, FetchError, HTTPClient, HTTPLimits, Result, Site, Timing
from netstack.http.page import Mode, Page, fetch_page, objects_of
from netstack.kernel.links import LinkSettings
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import FakeResolver
from netstack.sansio import Peer
from netstack.taps.origin import Config, build
from netstack.world.simulated import SimulatedHost, Simulation

NAME = "www.a.test"
RTT = 0.1
BASE = (
    '<!DOCTYPE html><link rel=stylesheet href="/a.css"><script src="b.js"></script>'
    '<img src="c.png"><img src="c.png#x"><img src="missing.png"><a href="other.html">'
)


def shown(body: str, media: str = "text/html; charset=utf-8", status: int = 200) -> list[str]:
    timing = Timing(None, None, None, 0.0, 0.0)
    peer = Peer(("", 0), ("", 0))
    fields = (("Content-Type", media),)
    return objects_of(Result(f"http://{NAME}/d/p.html", status, "", "HTTP/1.1", fields, body.encode(), peer, timing, False))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (BASE, ["a.css", "d/b.js", "d/c.png", "d/missing.png"]),
        ("<p>nothing", []),
        ('<img src=""><img><link rel="next" href="x"><img src="data:image/png;base64,AA">', []),
        ('<img src="http://other.test/x.png">', ["http://other.test/x.png"]),
        ("<img src='../up.png'<b>", ["up.png"]),
        ("<![weird <img src=x.png>", []),
    ],
)
def test_what_a_page_shows(body: str, found: list[str]) -> None:
    assert shown(body) == [each if "://" in each else f"http://{NAME}/{each}" for each in found]


def test_only_html_shows_something() -> None:
    assert shown(BASE, "text/plain") == []
    assert shown(BASE, status=404) == []
    assert len(shown("".join(f"<img src={number}>" for number in range(1000)))) == 200


class World:
    """One client and one origin, a link of 100 ms round trip between them."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.simulation = Simulation(seed=1, default_link=LinkSettings(delay=RTT / 2))
        self.client = self.simulation.host("client.test", "10.0.0.1")
        self.server = self.simulation.host(NAME, "10.0.0.2")
        self.server.program = self.program
        self.server.start()

    def program(self, host: SimulatedHost) -> None:
        machine = self.simulation.machine(host)
        for name, content in (("d/p.html", BASE.encode()), ("a.css", b"a"), ("d/b.js", b"b"), ("d/c.png", b"c")):
            machine.disk.write(f"www/{name}", content, mtime=1_000_000_000)
        build(Config((Site((NAME,), "www"),), **self.options), machine).startService()

    def ask(self, script: Any, *arguments: Any) -> Any:
        machine = self.simulation.machine(self.client, resolver=FakeResolver({(NAME, "A"): ["10.0.0.2"]}))
        return self.simulation.ask(self.client, script, machine, *arguments)


async def load(machine: Machine, mode: Mode) -> Page:
    return await fetch_page(machine, f"http://{NAME}/d/p.html", mode)


@pytest.mark.parametrize(
    ("mode", "trips", "connections"),
    [
        (Mode.NON_PERSISTENT, 10, 5),
        (Mode.PARALLEL, 4, 5),
        (Mode.PERSISTENT, 6, 1),
        (Mode.PIPELINED, 3, 1),
        (Mode.HTTP2, 3, 1),
    ],
)
def test_each_way_has_its_round_trips(mode: Mode, trips: int, connections: int) -> None:
    page = World().ask(load, mode)
    assert page.seconds == pytest.approx(trips * RTT, abs=1e-3)
    assert page.connections == connections
    statuses = [part.result.status for part in page.parts]
    assert statuses == [200, 200, 200, 200, 404]
    assert [part.result.body for part in page.parts[1:4]] == [b"a", b"b", b"c"]


def test_a_page_that_cannot_be_had_is_an_error() -> None:
    world = World()
    world.server.kill()

    async def fails(machine: Machine) -> str:
        try:
            await load(machine, Mode.PERSISTENT)
        except FetchError as error:
            return str(error)
        return ""

    assert "refused" in world.ask(fails)


def test_a_pipeline_that_breaks_goes_on_with_another_connection() -> None:
    page = World(http=HTTPLimits(requests=3)).ask(load, Mode.PIPELINED)
    assert [part.result.status for part in page.parts] == [200, 200, 200, 200, 404]
    assert page.connections > 1


def test_what_is_not_safe_is_not_pipelined() -> None:
    async def post(machine: Machine) -> list[tuple[int, bool]]:
        client = HTTPClient(machine, ClientOptions(pipelining=True))
        await client.fetch(f"http://{NAME}/a.css")
        methods = ("GET", "POST", "GET")
        found: list[Result] = await gatherResults(
            [Deferred.fromCoroutine(client.fetch(f"http://{NAME}/a.css", method)) for method in methods]
        )
        client.close()
        return [(each.status, each.reused) for each in found]

    assert World().ask(post) == [(200, True), (405, False), (200, True)]
