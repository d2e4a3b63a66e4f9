"""Our HTTP/2 client (the library h2) and our server (an engine of our own), in memory and on the simulated Internet."""

from collections.abc import Sequence
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived as LibraryRequest
from twisted.internet.defer import Deferred, gatherResults

from netstack.http import ClientOptions, FetchError, HTTPClient, HTTPLimits, Result, Site
from netstack.http.engine.heads import Heads
from netstack.http.engine.http2 import Answers, Counts, HTTP2ClientEngine, HTTP2ServerEngine
from netstack.http.events import (
    BodyReceived,
    Connected,
    OnStream,
    RequestEnded,
    RequestReceived,
    RequestRefused,
    ResetStream,
    Respond,
    ResponseEnded,
    ResponseReceived,
    SendRequest,
    StreamReset,
    ToStream,
)
from netstack.http.passwords import verifier_line
from netstack.kernel.links import LinkSettings
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import FakeResolver
from netstack.sansio import Command, Event, LocalProtocolError, RemoteProtocolError
from netstack.taps.origin import Config, build
from netstack.testing.engines import CLIENT, SERVER, START, Side, pieces
from netstack.world.simulated import SimulatedHost, Simulation

HOST = ("Host", "a.test")


def answering(event: Event) -> Command | None:
    """A server that says what it was asked, many times over."""
    if not isinstance(event, OnStream):
        return None
    inner = event.event
    if isinstance(inner, RequestReceived) and not (inner.request.length or inner.request.chunked):
        said = f"{inner.request.method} {inner.request.target} ".encode() * 1000
        return ToStream(event.stream, Respond(200, b"X: y\r\n", said))
    if isinstance(inner, RequestEnded):
        return ToStream(event.stream, Respond(201, b""))
    if isinstance(inner, RequestRefused):
        return ToStream(event.stream, Respond(inner.status, b"", inner.reason.encode()))
    return None


class Pair:
    """A client and a server of ours, joined in memory."""

    def __init__(self, size: int | None = None, limits: HTTPLimits | None = None, recording: bool = False) -> None:
        heads = Heads(limits or HTTPLimits())
        self.size = size
        self.engine = HTTP2ClientEngine(HTTPLimits(head=64 * 1024, body=10**7))
        self.client = Side(self.engine)
        self.server = Side(HTTP2ServerEngine(heads, Answers(heads), Counts()), answering)
        self.engine.recording = self.server.engine.recording = recording
        self._to_server = self.client.step(self.engine.connected(CLIENT, START), START)
        self._to_client = self.server.step(self.server.engine.connected(SERVER, START), START)
        self.carry()

    def carry(self) -> None:
        """Until neither has more to send."""
        while self._to_server or self._to_client:
            data, self._to_server = self._to_server, b""
            for piece in pieces(data, self.size):
                self._to_client += self.server.step(self.server.engine.receive(piece, START), START)
            data, self._to_client = self._to_client, b""
            for piece in pieces(data, self.size):
                self._to_server += self.client.step(self.engine.receive(piece, START), START)

    def ask(self, *requests: SendRequest) -> list[int]:
        """Send requests together; their numbers."""
        numbers = []
        for request in requests:
            numbers.append(self.engine.next_stream)
            self.engine.send(ToStream(numbers[-1], request), START)
        self._to_server += self.client.step((), START)
        self.carry()
        return numbers

    def of(self, number: int, kind: type[Any]) -> list[Any]:
        """The client's events of a stream."""
        return [each.event for each in self.client.of(OnStream) if each.stream == number and isinstance(each.event, kind)]

    def body(self, number: int) -> bytes:
        return b"".join(event.data for event in self.of(number, BodyReceived))


def get(target: str, method: str = "GET", *fields: tuple[str, str], body: bytes = b"") -> SendRequest:
    return SendRequest(method, target, (HOST, *fields), body)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 9, 10, 1000, None])
def test_requests_at_once_in_pieces_of_any_size(size: int | None) -> None:
    pair = Pair(size)
    numbers = pair.ask(get("/a"), get("/b", "HEAD"), get("/c", "POST", body=b"x" * 3000), get("/d", "POST"))
    assert numbers == [1, 3, 5, 7]
    assert [pair.of(number, ResponseReceived)[0].response.status for number in numbers] == [200, 200, 201, 200]
    assert [pair.body(number) for number in numbers] == [b"GET /a " * 1000, b"", b"", b"POST /d " * 1000]
    assert all(pair.of(number, ResponseEnded) == pair.of(number, ResponseEnded)[:1] for number in numbers)
    response = pair.of(3, ResponseReceived)[0].response
    assert response.fields["content-length"] == "8000"
    assert response.version == "HTTP/2"
    received = b"".join(each.event.data for each in pair.server.of(OnStream) if isinstance(each.event, BodyReceived))
    assert received == b"x" * 3000


def test_large_bodies_go_both_ways() -> None:
    pair = Pair(limits=HTTPLimits(body=10**7))
    content = bytes(range(256)) * 10_000
    [number] = pair.ask(get("/up", "PUT", body=content))
    received = b"".join(each.event.data for each in pair.server.of(OnStream) if isinstance(each.event, BodyReceived))
    assert received == content
    assert pair.of(number, ResponseReceived)[0].response.status == 201


def test_a_response_above_the_limit_is_given_up_and_others_go_on() -> None:
    pair = Pair()
    pair.engine._limits = HTTPLimits(body=100)
    first, second = pair.ask(get("/a"), get("/b", "HEAD"))
    assert "more than 100 octets" in pair.of(first, StreamReset)[0].reason
    assert pair.of(second, ResponseEnded)


def test_a_request_that_nobody_waits_for_is_given_up() -> None:
    pair = Pair()
    pair.server.answering = lambda event: None
    [number] = pair.ask(get("/a"))
    pair.engine.send(ToStream(number, ResetStream()), START)
    pair._to_server = pair.client.step((), START)
    pair.carry()
    assert [type(each.event) for each in pair.server.of(OnStream)] == [RequestReceived, StreamReset]
    assert pair.engine.room


def test_the_server_says_how_many_requests_it_takes() -> None:
    pair = Pair(limits=HTTPLimits(streams=2))
    pair.server.answering = lambda event: None
    pair.ask(get("/a"), get("/b"))
    assert not pair.engine.room
    assert pair.engine.reusable
    with pytest.raises(LocalProtocolError, match="no more requests now"):
        pair.ask(get("/c"))


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (ToStream(3, get("/")), "has the number 1"),
        (ToStream(1, SendRequest("GET", "/", ())), "Host"),
        (get("/"), "no command"),
        (ToStream(1, Respond(200, b"")), "no command"),
    ],
)
def test_commands_that_make_no_sense_are_refused(command: Command, complaint: str) -> None:
    with pytest.raises(LocalProtocolError, match=complaint):
        Pair().engine.send(command, START)


@pytest.mark.parametrize("octets", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\4\4\0\0\0\0\0abcd", b"\0\0\1\0\0\0\0\0\5x"])
def test_what_is_no_http2_is_the_servers_fault(octets: bytes) -> None:
    engine = HTTP2ClientEngine(HTTPLimits())
    assert [type(event) for event in engine.connected(CLIENT, START)] == [Connected]
    with pytest.raises(RemoteProtocolError):
        list(engine.receive(octets, START))
    assert engine.fault


def test_the_journal_gets_the_frames_of_both_sides() -> None:
    pair = Pair(7, recording=True)
    pair.ask(get("/a", "HEAD", ("Authorization", "Basic c2VjcmV0")))
    told = [(row.sent, row.summary) for row in pair.engine.messages() if "WINDOW" not in row.summary]
    assert told == [
        (True, "PRI * HTTP/2.0"), (True, "SETTINGS"), (False, "SETTINGS"), (True, "SETTINGS"), (False, "SETTINGS"),
        (True, "HEAD /a HTTP/2.0"), (False, "200 OK"),
    ]  # fmt: skip
    for engine in (pair.engine, pair.server.engine):
        assert not any(b"c2VjcmV0" in row.data for row in engine.messages())


def test_the_librarys_server_understands_our_client_and_the_other_way_round() -> None:
    library = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    library.initiate_connection()
    engine = HTTP2ClientEngine(HTTPLimits())
    side = Side(engine)
    sent = side.step(engine.connected(CLIENT, START), START)
    engine.send(ToStream(1, get("/a?b", "GET", ("Cookie", "a=1"))), START)
    found = library.receive_data(sent + side.step((), START))
    [request] = [event for event in found if isinstance(event, LibraryRequest)]
    assert [*request.headers] == [
        (":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/a?b"), ("cookie", "a=1"),
    ]  # fmt: skip
    library.send_headers(1, [(":status", "103"), ("link", "x")])
    library.send_headers(1, [(":status", "200"), ("set-cookie", "a"), ("set-cookie", "b")])
    library.send_data(1, b"hello")
    library.send_headers(1, [("trailer", "x")], end_stream=True)
    library.close_connection()
    side.step(engine.receive(library.data_to_send(), START), START)
    kinds = [type(each.event).__name__ for each in side.of(OnStream)]
    assert kinds == ["InterimReceived", "ResponseReceived", "BodyReceived", "ResponseEnded"]
    response = side.of(OnStream)[1].event.response
    assert response.field_lines == (("set-cookie", "a"), ("set-cookie", "b"))
    assert side.closed
    assert not engine.reusable


# On the simulated Internet

DELAY = 0.05
RTT = 2 * DELAY
NAME = "www.a.test"
PASSWORD = "open sesame"


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
        self.service: Any = None

    def program(self, host: SimulatedHost) -> None:
        machine = self.simulation.machine(host)
        machine.disk.write("www/index.html", b"<p>hello", mtime=1_000_000_000)
        machine.disk.write("www/large.bin", b"x" * 3_000_000)
        writers = (verifier_line("alice", PASSWORD, b"salt of the test"),)
        config = Config((Site((NAME,), "www"),), ("tcp:80", "tls:443"), writers=writers, **self.options)
        self.service = build(config, machine)
        self.service.startService()

    def ask(self, script: Any, *arguments: Any) -> Any:
        machine = self.simulation.machine(self.client, resolver=self.resolver)
        return self.simulation.ask(self.client, script, machine, *arguments)

    def counted(self, name: str, **labels: str) -> float | None:
        machine = self.simulation.machine(self.server)
        found: float | None = machine.registry.get_sample_value(name, labels)
        return found


async def together(machine: Machine, urls: Sequence[str], warm: bool = False) -> list[tuple[int, int, str, bool, float]]:
    """Status, octets, version, whether the connection was an old one, and seconds, of fetches at once."""
    client = HTTPClient(machine, ClientOptions(http2=True, prior_knowledge=True))
    if warm:
        await client.fetch(urls[0])
    started = machine.reactor.seconds()
    found: list[Result] = await gatherResults([Deferred.fromCoroutine(client.fetch(url)) for url in urls])
    took = machine.reactor.seconds() - started
    client.close()
    return [(each.status, len(each.body), each.version, each.reused, took) for each in found]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests_to_one_host_share_a_connection(scheme: str) -> None:
    world = World()
    found = world.ask(together, [f"{scheme}://{NAME}/"] * 20, True)
    assert found == [(200, 8, "HTTP/2", True, pytest.approx(RTT, abs=2e-3))] * 20
    assert world.counted("netstack_http_http2_connections_total") == 1
    assert world.counted("netstack_http_http2_streams_total") == 21
    assert world.counted("netstack_http_requests_total", method="GET", code="200") == 21


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests_wait_for_a_connection_that_they_can_share(scheme: str) -> None:
    world = World()
    found = world.ask(together, [f"{scheme}://{NAME}/"] * 20)
    assert [each[:3] for each in found] == [(200, 8, "HTTP/2")] * 20
    assert found[0][4] == pytest.approx((2 if scheme == "http" else 3) * RTT, abs=2e-3)
    assert world.counted("netstack_http_http2_connections_total") == 1


def test_a_shared_connection_that_cannot_be_had_is_everybodys_error() -> None:
    async def fail(machine: Machine) -> list[str]:
        client = HTTPClient(machine, ClientOptions(prior_knowledge=True))

        async def one() -> str:
            try:
                return str((await client.fetch(f"http://{NAME}/")).status)
            except FetchError as error:
                return str(error)

        found: list[str] = await gatherResults([Deferred.fromCoroutine(one()) for _ in range(5)])
        return found

    world = World()
    world.server.kill()
    assert all("refused" in each for each in world.ask(fail))


def test_requests_above_what_the_server_takes_wait() -> None:
    world = World(http=HTTPLimits(streams=5))
    found = world.ask(together, [f"http://{NAME}/"] * 12, True)
    assert [each[0] for each in found] == [200] * 12
    assert found[0][4] == pytest.approx(3 * RTT, abs=5e-3)
    assert world.counted("netstack_http_http2_abuses_total", kind="streams") == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_round_trips_and_large_files(scheme: str) -> None:
    world = World()
    [first] = world.ask(together, [f"{scheme}://{NAME}/"])
    assert first == (200, 8, "HTTP/2", False, pytest.approx((2 if scheme == "http" else 3) * RTT, abs=2e-3))
    large, small = world.ask(together, [f"{scheme}://{NAME}/large.bin", f"{scheme}://{NAME}/"], True)
    assert large[:2] == (200, 3_000_000)
    assert small[:2] == (200, 8)


def test_a_server_that_is_told_not_to_speaks_http1() -> None:
    async def version(machine: Machine) -> str:
        client = HTTPClient(machine, ClientOptions(http2=True))
        found = (await client.fetch(f"https://{NAME}/")).version
        client.close()
        return found

    assert World(http2=False).ask(version) == "HTTP/1.1"
    assert World().ask(version) == "HTTP/2"


def test_uploads_and_their_refusals() -> None:
    async def put(machine: Machine) -> list[int]:
        client = HTTPClient(machine, ClientOptions(http2=True))
        who = [("Authorization", "Basic YWxpY2U6b3BlbiBzZXNhbWU=")]
        url = f"https://{NAME}/new.txt"
        content = b"new" * 100_000
        statuses = [(await client.fetch(url, "PUT", who, content)).status]
        got = await client.fetch(url)
        assert got.body == content
        assert got.version == "HTTP/2"
        for fields, body in (([], b"x"), (who, b"x" * 2_000_000), (who, b"")):
            statuses.append((await client.fetch(url, "PUT", fields, body)).status)
        statuses.append((await client.fetch(url, "DELETE", who)).status)
        client.close()
        return statuses

    world = World()
    assert world.ask(put) == [201, 401, 413, 204, 204]
    assert world.counted("netstack_http_http2_connections_total") == 1


def test_plain_requests_are_sent_to_https_when_told_so() -> None:
    async def moved(machine: Machine) -> tuple[int, str, tuple[str, ...], str | None]:
        client = HTTPClient(machine, ClientOptions(http2=True, prior_knowledge=True, redirects=2))
        found = await client.fetch(f"http://{NAME}/?a")
        client.close()
        return found.status, found.version, found.via, found.field("strict-transport-security")

    found = World(redirect_to_https=True, hsts=3600).ask(moved)
    assert found == (200, "HTTP/2", (f"http://{NAME}/?a",), "max-age=3600")


def test_a_server_that_stops_finishes_what_is_in_hand() -> None:
    async def fetch_while_it_stops(machine: Machine) -> tuple[int, list[str]]:
        client = HTTPClient(machine, ClientOptions(http2=True, prior_knowledge=True))
        await client.fetch(f"http://{NAME}/")
        large = Deferred.fromCoroutine(client.fetch(f"http://{NAME}/large.bin"))
        world.simulation.machine(world.server).reactor.callLater(DELAY + 0.001, world.service.stopService)
        found: Result = await large
        told = []
        for _ in range(2):
            try:
                told.append(str((await client.fetch(f"http://{NAME}/")).status))
            except FetchError as error:
                told.append(str(error))
        client.close()
        return len(found.body), told

    world = World()
    octets, (crossed, late) = world.ask(fetch_while_it_stops)
    assert octets == 3_000_000
    assert crossed == "200", "it was sent before the client could know"
    assert "refused" in late


def test_an_idle_connection_ends_in_its_time_and_nothing_ticks() -> None:
    async def hold(machine: Machine) -> None:
        client = HTTPClient(machine, ClientOptions(http2=True, prior_knowledge=True))
        await client.fetch(f"http://{NAME}/")

    world = World()
    world.ask(hold)
    world.simulation.run(for_seconds=14)
    assert world.counted("netstack_http_connections_active", role="server") == 1
    world.simulation.run(for_seconds=2)
    assert world.counted("netstack_http_connections_active", role="server") == 0


def test_a_fetch_that_is_given_up_leaves_the_others() -> None:
    async def give_up(machine: Machine) -> tuple[str, int]:
        client = HTTPClient(machine, ClientOptions(http2=True, prior_knowledge=True, timeout=5))
        await client.fetch(f"http://{NAME}/")
        one = Deferred.fromCoroutine(client.fetch(f"http://{NAME}/large.bin"))
        other = Deferred.fromCoroutine(client.fetch(f"http://{NAME}/large.bin"))
        machine.reactor.callLater(0.15, one.cancel)
        try:
            why = str(await one)
        except FetchError as error:
            why = str(error)
        found: Result = await other
        client.close()
        return why, len(found.body)

    world = World()
    why, octets = world.ask(give_up)
    assert "no complete response" in why
    assert octets == 3_000_000
    assert world.counted("netstack_http_http2_connections_total") == 1


def test_a_run_repeats_exactly() -> None:
    def run() -> tuple[str, str]:
        world = World()
        world.simulation.journal.enable(NAME, "client.test")
        world.ask(together, [f"https://{NAME}/", f"https://{NAME}/large.bin"], True)
        return world.simulation.hashes()

    assert run() == run()
