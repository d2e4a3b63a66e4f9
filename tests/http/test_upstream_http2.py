"""Exchanges in pieces with origins of HTTP/2: many on one connection, each with its own back-pressure (RFC 9113 §5.2)."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from netstack.http.engine import Heads, ServerEngine
from netstack.http.events import (
    BodyReceived,
    Drain,
    EndResponse,
    HoldBody,
    Interim,
    RequestEnded,
    RequestReceived,
    Respond,
    SendBody,
    StartResponse,
)
from netstack.http.limits import HTTPLimits
from netstack.http.places import Place
from netstack.http.service import ALPN, speak_http2
from netstack.http.streams import Streams
from netstack.http.transfer import Transfer, UpstreamLimits
from netstack.http.upstream import Upstream, UpstreamOptions
from netstack.kernel.links import LinkSettings
from netstack.kernel.listen import Endpoint, StreamListener
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.resolver import FakeResolver
from netstack.sansio import Command, Event
from netstack.world.simulated import SimulatedHost, Simulation
from tests.http.origins import Receiving

NAME = "www.a.test"
SECURE, PLAIN = Place(True, NAME, 443), Place(False, NAME, 80)
OK = Respond(200, b"", b"ok")


class World:
    """An origin that speaks HTTP/2 and plays one script of commands and waits for each request."""

    def __init__(self, *steps: Command | float | str, early: bool = False, **limits: Any) -> None:
        self.steps, self.early = steps, early
        self.limits = limits
        self.simulation = Simulation(seed=1, default_link=LinkSettings(delay=0.05))
        self.client = self.simulation.host("client.test", "10.0.0.1")
        self.server = self.simulation.host(NAME, "10.0.0.2")
        self.server.program = self.program
        self.server.start()
        self.bodies: list[bytes] = []
        self.ends: list[RequestEnded] = []
        self.lost: list[str] = []
        self.roles: list[Any] = []
        machine = self.simulation.machine(self.client, resolver=FakeResolver({(NAME, "A"): ["10.0.0.2"]}))
        self.machine = machine
        bounds = UpstreamLimits(head_seconds=20, read_seconds=20, write_seconds=20, window=100_000)
        self.upstream = Upstream(machine, UpstreamOptions(bounds, http2=True, prior_knowledge=True))

    def program(self, host: SimulatedHost) -> None:
        machine = self.simulation.machine(host)
        self.origin = machine
        heads = Heads(HTTPLimits(**{"body": 1 << 30, **self.limits}))
        speak_http2(heads, machine.registry)
        for kind, port in (("tcp", 80), ("tls", 443)):
            listener: Any = StreamListener(
                machine, Endpoint(kind, port, host.addresses[0]), "http", lambda: ServerEngine(heads),  # type: ignore[arg-type]
                lambda: Streams(lambda: Scripted(self, machine)), traffic(machine.registry, "http", "server"), alpn=ALPN,
            )  # fmt: skip
            listener.startService()

    def open(
        self, method: str = "GET", body: Any = None, place: Place = SECURE, then: Callable[[Transfer], None] | None = None
    ) -> tuple[Transfer, Receiving]:
        receiver, opened = Receiving(), []

        async def go() -> None:
            opened.append(self.upstream.open(place, method, "/", [("Host", NAME)], body, receiver))
            if then is not None:
                then(opened[0])

        self.simulation.ask(self.client, go)
        return opened[0], receiver

    def wait(self, *receivers: Receiving) -> None:
        for _ in range(4000):
            if all(each.ended for each in receivers):
                return
            self.simulation.run(for_seconds=0.05)
        raise AssertionError("it hangs")

    def get(self, *arguments: Any, **more: Any) -> Receiving:
        _, receiver = self.open(*arguments, **more)
        self.wait(receiver)
        return receiver

    def counted(self, name: str) -> float:
        return self.origin.registry.get_sample_value(name) or 0.0


class Scripted:
    """One stream of the origin."""

    def __init__(self, world: World, machine: Machine) -> None:
        self.world, self.machine = world, machine
        self.body = b""
        self.gone = False
        self.connection: Any = None
        world.roles.append(self)

    def handle(self, event: Event, connection: Any) -> None:
        self.connection = connection
        if isinstance(event, RequestReceived):
            if self.world.early or not (event.request.chunked or event.request.length):
                self.act([*self.world.steps])
        elif isinstance(event, BodyReceived):
            self.body += event.data
        elif isinstance(event, RequestEnded):
            self.world.bodies.append(self.body)
            self.world.ends.append(event)
            if not self.world.early:
                self.act([*self.world.steps])

    def act(self, steps: list[Command | float | str]) -> None:
        while steps and not self.gone:
            step = steps.pop(0)
            if isinstance(step, float):
                self.machine.reactor.callLater(step, self.act, steps)
                return
            if isinstance(step, str):
                self.connection.abort()
            else:
                self.connection.send(step)

    def lost(self, reason: str) -> None:
        self.gone = True
        self.world.lost.append(reason)


@pytest.mark.parametrize("place", [SECURE, PLAIN])
def test_many_exchanges_share_a_connection(place: Place) -> None:
    world = World(0.5, OK)
    found = [world.open(place=place)[1] for _ in range(50)]
    world.wait(*found)
    assert [each.outcome for each in found] == ["200 ok"] * 50
    assert world.counted("netstack_http_http2_connections_total") == 1
    assert world.upstream.connections == 1


def test_more_than_the_origin_takes_at_once_wait() -> None:
    world = World(0.5, OK, streams=5)
    found = [world.open()[1] for _ in range(12)]
    world.wait(*found)
    assert [each.outcome for each in found] == ["200 ok"] * 12
    assert world.counted("netstack_http_http2_connections_total") == 1
    assert world.upstream.waiting == 0


def test_interim_responses_pieces_and_trailers() -> None:
    world = World(
        Interim(103, b"Link: </a>\r\n"), 0.2, StartResponse(200, b"A: b\r\n"), 0.2, SendBody(b"o"), 0.2, SendBody(b"k"),
        EndResponse(b"X-Sum: 2\r\n"),
    )  # fmt: skip
    found = world.get()
    assert found.told == ["interim", "head", "data", "end"]
    assert (found.body, found.interims, found.trailers) == (b"ok", [103], [("x-sum", "2")])
    assert found.response is not None
    assert found.response.fields["a"] == "b"


@pytest.mark.parametrize("length", [True, 300_000])
def test_a_request_goes_in_pieces_as_windows_allow(length: Any) -> None:
    given: list[int] = []
    world = World(OK)

    def then(transfer: Transfer) -> None:
        def more() -> None:
            while transfer.writable and sum(given) < 300_000:
                given.append(10_000)
                transfer.send(bytes(10_000))
            if sum(given) == 300_000:
                transfer.end([("X-Sum", "1")])
            else:
                world.machine.reactor.callLater(0.05, more)

        more()

    found = world.get("PUT", length, then=then)
    assert found.outcome == "200 ok"
    assert world.bodies == [bytes(300_000)]
    assert [*world.ends[0].trailers] == [("x-sum", "1")]


def test_an_origin_that_holds_a_body_slows_its_sender_alone() -> None:
    world = World(OK)
    given: list[int] = []

    def then(transfer: Transfer) -> None:
        def more() -> None:
            if transfer.writable:
                given.append(10_000)
                transfer.send(bytes(10_000))
            if sum(given) == 1_000_000:
                transfer.end()
            elif not transfer.done:
                world.machine.reactor.callLater(0.01, more)

        more()

    transfer, found = world.open("PUT", 1_000_000, then=then)
    world.simulation.run(for_seconds=0.5)
    world.simulation.call(world.server, world.roles[0].connection.send, HoldBody(True))
    world.simulation.run(for_seconds=5)
    before = sum(given)
    assert before < 700_000
    assert world.get().outcome == "200 ok", "another stream goes on"
    world.simulation.run(for_seconds=5)
    assert sum(given) == before
    assert not transfer.writable
    world.simulation.call(world.server, world.roles[0].connection.send, HoldBody(False))
    world.wait(found)
    assert found.outcome == "200 ok"
    assert world.bodies == [bytes(1_000_000)]


def test_a_response_that_is_paused_waits_and_the_others_do_not() -> None:
    body = bytes(range(256)) * 8000
    world = World(StartResponse(200, b"", len(body)), SendBody(body), EndResponse())
    transfer, held = world.open()
    held.on_head = transfer.pause
    world.simulation.run(for_seconds=30)
    assert len(held.body) <= 100_000 + 16_384, "a window's worth"
    assert not held.ended, "who pauses is not timed out"
    assert len(world.get().body) == len(body)
    world.simulation.call(world.client, transfer.resume)
    world.wait(held)
    assert held.body == body


def test_an_early_response_ends_the_stream_and_not_the_connection() -> None:
    world = World(Respond(403, b"", b"no"), early=True)
    found = world.get("PUT", 1_000_000, then=lambda transfer: transfer.send(bytes(10_000)))
    assert found.outcome == "403 no"
    assert world.get().outcome == "403 no"
    assert world.counted("netstack_http_http2_connections_total") == 1


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        (["abort"], "connection_terminated"),
        ([StartResponse(200, b"", 10), SendBody(b"hello"), 0.5, "abort"], "200 hello http_response_incomplete"),
        ([3600.0], "http_response_timeout"),
        ([StartResponse(200, b"", 10), SendBody(b"hello"), 3600.0], "200 hello connection_read_timeout"),
    ],
)
def test_streams_that_fail_and_a_connection_that_goes_on(steps: Sequence[Any], outcome: str) -> None:
    world = World(*steps)
    assert world.get("POST").outcome == outcome
    world.steps = (OK,)
    assert world.get().outcome == "200 ok"
    assert world.counted("netstack_http_http2_connections_total") == 1


def test_an_exchange_that_is_given_up_is_reset() -> None:
    world = World(3600.0)
    transfer, found = world.open()
    world.simulation.run(for_seconds=1)
    world.simulation.call(world.client, transfer.abort)
    world.simulation.run(for_seconds=1)
    assert world.lost == ["reset"]
    assert not found.ended
    world.steps = (OK,)
    assert world.get().outcome == "200 ok"


def test_requests_that_a_leaving_origin_did_not_look_at_go_elsewhere() -> None:
    """GOAWAY (RFC 9113 §6.8): what is in hand is finished, the next ones have a new connection."""
    world = World(2.0, OK)
    _, first = world.open()
    world.simulation.run(for_seconds=0.5)
    world.simulation.call(world.server, world.roles[0].connection._connection.send, Drain())
    world.simulation.run(for_seconds=0.5)
    _, second = world.open("POST", b"body")
    world.wait(first, second)
    assert (first.outcome, second.outcome) == ("200 ok", "200 ok")
    assert world.counted("netstack_http_http2_connections_total") == 2


def test_a_connection_that_breaks_fails_all_its_exchanges_and_what_may_be_is_repeated() -> None:
    world = World(OK)
    world.get()
    world.steps = (3600.0,)
    found = [world.open(method)[1] for method in ("GET", "POST", "PUT")]
    world.simulation.run(for_seconds=1)
    world.steps = (OK,)
    world.server.kill()
    world.server.boot()
    world.wait(*found)
    assert [each.outcome for each in found] == ["200 ok", "connection_terminated", "200 ok"]
