"""Exchanges in pieces over a pool: origins that do as they are told, on the simulated Internet (RFC 9112, RFC 9209)."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from netstack.http.dialing import DialLimits, interleaved
from netstack.http.limits import HTTPLimits
from netstack.http.places import Place
from netstack.http.transfer import Transfer, UpstreamLimits
from netstack.http.upstream import Upstream, UpstreamOptions
from netstack.kernel.links import LinkSettings
from netstack.kernel.resolver import FakeResolver, ResolutionError
from netstack.world.simulated import SimulatedHost, Simulation
from tests.http.origins import CLOSE, RESET, Receiving, ScriptedOrigin, Step, reads_nothing

DELAY = 0.05
NAME = "www.a.test"
HOST = [("Host", NAME)]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class World:
    """A client with an Upstream, and a scripted origin 100 ms away."""

    def __init__(self, *scripts: Sequence[Step], addresses: Sequence[str] = ("10.0.0.2",), **options: Any) -> None:
        self.simulation = Simulation(seed=1, default_link=LinkSettings(delay=DELAY))
        self.client = self.simulation.host("client.test", "10.0.0.1")
        self.server = self.simulation.host(NAME, "10.0.0.2")
        self.other = self.simulation.host("other.test", "10.0.0.3")
        self.scripts = scripts
        self.origin: ScriptedOrigin
        self.server.program = self.program
        self.server.start()
        self.other.power_off()
        self.simulation.run(for_seconds=0.01)
        self.resolver: Any = FakeResolver({(NAME, "A"): [*addresses], ("nowhere.test", "A"): []})
        permits = options.pop("permits", lambda place, address: True)
        self.machine = self.simulation.machine(self.client, resolver=self.resolver)
        self.upstream = Upstream(self.machine, UpstreamOptions(**options), permits)

    def program(self, host: SimulatedHost) -> None:
        self.origin = ScriptedOrigin(host.reactor, *(self.scripts or ([OK],)))
        for port in (80, 81):
            host.reactor.listenTCP(port, self.origin)
        host.reactor.listenTCP(444, ScriptedOrigin(host.reactor, [b"HTTP/1.1 400 Bad Request\r\n\r\n"], heads=False))
        alert = b"\x15\x03\x03\x00\x02\x02\x28"  # fatal, handshake_failure (RFC 8446 §6)
        host.reactor.listenTCP(445, ScriptedOrigin(host.reactor, [alert], heads=False))

    def open(
        self,
        method: str = "GET",
        body: Any = None,
        place: Place = Place(False, NAME, 80),  # noqa: B008  frozen
        then: Callable[[Transfer, Receiving], None] = lambda transfer, receiver: None,
    ) -> tuple[Transfer, Receiving]:
        receiver = Receiving()
        opened: list[Transfer] = []

        async def go() -> None:
            opened.append(self.upstream.open(place, method, "/", HOST, body, receiver))
            assert not receiver.told, "nothing is told before open returns"
            then(opened[0], receiver)

        self.simulation.ask(self.client, go)
        return opened[0], receiver

    def get(self, method: str = "GET", within: float = 200.0, **more: Any) -> Receiving:
        """One exchange to its end."""
        _, receiver = self.open(method, **more)
        self.until(lambda: receiver.ended, within)
        assert receiver.ended, "it hangs"
        return receiver

    def until(self, done: Callable[[], bool], within: float = 200.0) -> None:
        waited = 0.0
        while not done() and waited < within:
            self.simulation.run(for_seconds=0.05)
            waited += 0.05

    def counted(self, name: str, **labels: str) -> float:
        return self.machine.registry.get_sample_value(name, labels) or 0.0


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CASES: list[tuple[str, Sequence[Step], str]] = [
    ("a length", [OK], "200 ok"),
    ("octets one by one", [step for at in range(len(OK)) for step in (OK[at : at + 1], 0.1)], "200 ok"),
    ("chunks", [CHUNKED + b"2\r\nok\r\n0\r\n\r\n"], "200 ok"),
    ("chunks with extensions", [CHUNKED + b"2;a=b\r\nok\r\n0;c\r\n\r\n"], "200 ok"),
    ("until the end, HTTP/1.0", [b"HTTP/1.0 200 OK\r\n\r\no", 1.0, b"k", CLOSE], "200 ok"),
    ("until the end, HTTP/1.1", [b"HTTP/1.1 200 OK\r\n\r\nok", CLOSE], "200 ok"),
    ("until a reset", [b"HTTP/1.1 200 OK\r\n\r\nok", 0.5, RESET], "200 ok http_response_incomplete"),
    ("keep-alive of HTTP/1.0", [b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"], "200 ok"),
    ("no content", [b"HTTP/1.1 204 No Content\r\n\r\n"], "204"),
    ("interim responses", [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0.1, OK], "200 ok"),
    ("closed at once", [CLOSE], "connection_terminated"),
    ("reset at once", [RESET], "connection_terminated"),
    ("closed in the head", [b"HTTP/1.1 200 OK\r\nCont", CLOSE], "http_response_incomplete"),
    ("closed in the body", [OK[:-1], CLOSE], "200 o http_response_incomplete"),
    ("reset in the body", [OK[:-1], 0.5, RESET], "200 o http_response_incomplete"),
    ("closed in a chunk", [CHUNKED + b"5\r\nok", CLOSE], "200 ok http_response_incomplete"),
    ("closed before the last chunk", [CHUNKED + b"2\r\nok\r\n", CLOSE], "200 ok http_response_incomplete"),
    ("two lengths", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"], "http_protocol_error"),
    (
        "the same length twice",
        [b"HTTP/1.1 200 \r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"],
        "http_protocol_error",
    ),
    ("a list of lengths", [b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"], "http_protocol_error"),
    ("a signed length", [b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"], "http_protocol_error"),
    (
        "a length beside chunks",
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
        "http_protocol_error",
    ),
    ("chunks of HTTP/1.0", [b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], "200"),
    (
        "an unknown coding",
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
        "http_response_transfer_coding",
    ),
    ("a chunk's size that is none", [CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n"], "200  http_protocol_error"),
    ("a chunk that is longer", [CHUNKED + b"1\r\nok\r\n0\r\n\r\n"], "200  http_protocol_error"),
    ("bare line feeds", [b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok\r\n\r\n"], "http_protocol_error"),
    ("obs-fold", [b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok"], "http_protocol_error"),
    ("a space before a colon", [b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"], "http_protocol_error"),
    ("garbage", [b"\x00\xff" * 100 + b"\r\n\r\n"], "http_protocol_error"),
    ("HTTP/0.9", [b"<html>hello</html>\r\n\r\n", CLOSE], "http_protocol_error"),
    ("another version", [b"HTTP/2.0 200 OK\r\n\r\n"], "http_protocol_error"),
    ("101", [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"], "http_protocol_error"),
    ("endless interim responses", [b"HTTP/1.1 100 Continue\r\n\r\n" * 100], "http_protocol_error"),
    ("an endless field", [b"HTTP/1.1 200 OK\r\nA: " + b"b" * 200_000], "http_response_header_section_size"),
    ("endless fields", [b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n"], "http_response_header_section_size"),
    (
        "endless trailers",
        [CHUNKED + b"2\r\nok\r\n0\r\n" + b"A: b\r\n" * 20_000],
        "200 ok http_response_trailer_section_size",
    ),
    ("silence", [3600.0], "http_response_timeout"),
    ("a slow head", [step for at in range(14) for step in (OK[at : at + 1], 5.0)], "http_response_timeout"),
    ("silence in the body", [OK[:-1], 3600.0], "200 o connection_read_timeout"),
    ("more than the length", [OK + b"more", 1.0], "200 ok"),
]


@pytest.mark.parametrize(("steps", "outcome"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_an_origin_does_and_what_comes_of_it(steps: Sequence[Step], outcome: str) -> None:
    world = World(steps)
    receiver = world.get("POST")
    assert " ".join(receiver.outcome.split()) == " ".join(outcome.split())
    failed = outcome.split()[-1]
    if receiver.error is not None:
        assert world.counted("netstack_http_upstream_failures_total", type=failed) == 1
    world.simulation.run(for_seconds=40)
    assert world.upstream.connections == world.upstream.waiting == 0
    assert not world.upstream._hosts
    assert len(world.origin.requests) == 1, "POST is not repeated"


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        (Place(False, "unknown.test", 80), "dns_error"),
        (Place(False, "nowhere.test", 80), "dns_error"),
        (Place(False, NAME, 82), "connection_refused"),
        (Place(False, "10.0.0.3", 80), "connection_timeout"),
        (Place(True, NAME, 444), "tls_protocol_error"),
        (Place(True, NAME, 445), "tls_alert_received"),
        (Place(False, NAME, 6000), "destination_ip_prohibited"),
        (Place(False, "slow.test", 80), "dns_timeout"),
        (Place(False, "broken.test", 80), "dns_error"),
    ],
)
def test_places_that_cannot_be_had(place: Place, kind: str) -> None:
    world = World(permits=lambda place, address: place.port != 6000)
    fake, reactor = world.resolver.addresses, world.machine.reactor

    async def addresses(name: str) -> Sequence[str]:
        if name == "broken.test":
            raise ResolutionError("SERVFAIL", temporary=True)
        if name == "slow.test":
            from twisted.internet.task import deferLater

            await deferLater(reactor, 100, lambda: None)  # type: ignore[arg-type]
        found: Sequence[str] = await fake(name)
        return found

    world.resolver.addresses = addresses
    receiver = world.get(place=place)
    assert receiver.error is not None
    assert receiver.error.kind == kind
    assert receiver.error.rcode == {"unknown.test": "NXDOMAIN", "broken.test": "SERVFAIL"}.get(place.host)
    assert world.upstream.connections == 0


def test_a_certificate_for_another_name() -> None:
    world = World()

    def program(host: SimulatedHost) -> None:
        machine = world.simulation.machine(host, names=["other.test"])
        factory = ScriptedOrigin(host.reactor, [OK])
        host.reactor.listenTCP(443, machine.tls.server(factory))  # type: ignore[arg-type]

    world.other.program = program
    world.other.boot()
    world.resolver.table[(NAME, "A")] = ["10.0.0.3"]
    receiver = world.get(place=Place(True, NAME, 443))
    assert receiver.error is not None
    assert receiver.error.kind == "tls_certificate_error"
    assert "another name" in str(receiver.error)


def test_a_response_comes_in_pieces_with_trailers() -> None:
    steps: list[Step] = [
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        0.2,
        CHUNKED,
        0.2,
        b"2\r\nok\r\n",
        0.2,
        b"0\r\nX-Sum: 2\r\n\r\n",
    ]
    receiver = World(steps).get()
    assert receiver.told == ["interim", "head", "data", "end"]
    assert (receiver.interims, receiver.body, receiver.trailers) == ([103], b"ok", [("X-Sum", "2")])


@pytest.mark.parametrize("length", [True, 9])
def test_a_request_goes_in_pieces(length: Any) -> None:
    def then(transfer: Transfer, receiver: Receiving) -> None:
        transfer.send(b"abc")  # before there is a connection
        world.machine.reactor.callLater(0.5, transfer.send, b"def")
        world.machine.reactor.callLater(1.0, transfer.send, b"ghi")
        world.machine.reactor.callLater(1.0, transfer.end, [("X-Sum", "9")])

    world = World([1.5, OK])
    receiver = world.get("PUT", body=length, then=then)
    assert receiver.outcome == "200 ok"
    assert receiver.room > 0
    body = world.origin.received.partition(b"\r\n\r\n")[2]
    assert body == (b"3\r\nabc\r\n3\r\ndef\r\n3\r\nghi\r\n0\r\nX-Sum: 9\r\n\r\n" if length is True else b"abcdefghi")


@pytest.mark.parametrize(("length", "sent"), [(9, b"abc"), (2, b"abc")])
def test_a_request_that_is_not_as_long_as_it_says_is_given_up(length: int, sent: bytes) -> None:
    def then(transfer: Transfer, receiver: Receiving) -> None:
        transfer.send(sent)
        transfer.end()

    world = World()
    receiver = world.get("PUT", body=length, then=then)
    assert receiver.outcome == "http_request_error"
    assert world.upstream.connections == 0


@pytest.mark.parametrize(
    "bad", [("A", "b\r\nC: d"), ("A b", "c"), ("Content-Length", "1"), ("Transfer-Encoding", "chunked")]
)
def test_fields_that_would_break_a_message_apart_are_not_sent(bad: tuple[str, str]) -> None:
    world = World()
    receiver = Receiving()

    async def go() -> None:
        world.upstream.open(Place(False, NAME, 80), "GET", "/", [*HOST, bad], None, receiver)

    world.simulation.ask(world.client, go)
    world.until(lambda: receiver.ended)
    assert receiver.outcome == "http_request_error"
    assert world.origin.received == b""


def test_an_early_response_ends_the_request() -> None:
    """RFC 9112 §9.5: the connection cannot be used again, the rest of the body is not sent."""
    sent: list[Transfer] = []

    def then(transfer: Transfer, receiver: Receiving) -> None:
        sent.append(transfer)
        transfer.send(b"x" * 1000)

    world = World([b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"])
    receiver = world.get("POST", body=1_000_000, then=then)
    assert receiver.outcome == "413"
    sent[0].send(b"more")
    sent[0].end()
    world.simulation.run(for_seconds=10)
    assert b"more" not in world.origin.received
    assert world.upstream.connections == 0


def test_an_early_response_is_read_while_the_request_waits() -> None:
    """An origin that answers and reads no more of the body: who only writes would never know."""
    answers = [b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 3600.0]
    world = World(answers)

    def then(transfer: Transfer, receiver: Receiving) -> None:
        transfer.send(b"x" * 5_000_000)

    world.origin.buildProtocol = reads_nothing(world.origin)  # type: ignore[method-assign]
    receiver = world.get("POST", body=10_000_000, then=then)
    assert receiver.outcome == "403 no"


def test_a_slow_origin_slows_the_sender() -> None:
    world = World([3600.0], limits=UpstreamLimits(write_seconds=7.0))
    world.origin.buildProtocol = reads_nothing(world.origin)  # type: ignore[method-assign]
    given: list[int] = []

    def then(transfer: Transfer, receiver: Receiving) -> None:
        def more() -> None:
            while transfer.writable and sum(given) < 10**8:
                transfer.send(b"x" * 10_000)
                given.append(10_000)

        receiver.writable = more  # type: ignore[method-assign]

    receiver = world.get("POST", body=10**8, then=then)
    assert receiver.outcome == "connection_write_timeout"
    assert 100_000 <= sum(given) < 3_000_000


def test_a_response_that_is_paused_waits_at_the_origin() -> None:
    body = bytes(range(256)) * 20_000
    world = World([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body])
    transfer, receiver = world.open()
    receiver.on_head = transfer.pause
    world.simulation.run(for_seconds=100)
    assert receiver.response is not None
    assert len(receiver.body) < 300_000
    assert not receiver.ended, "who pauses is not timed out"
    before = len(receiver.body)
    world.simulation.ask(world.client, _call(transfer.resume))
    receiver.on_data = transfer.pause
    world.simulation.run(for_seconds=1)
    assert before < len(receiver.body) < before + 300_000
    receiver.on_data = None
    world.simulation.ask(world.client, _call(transfer.resume))
    world.until(lambda: receiver.ended)
    assert receiver.body == body


def _call(call: Callable[[], None]) -> Any:
    async def go() -> None:
        call()

    return go


def test_a_transfer_that_is_aborted_tells_nothing_more() -> None:
    world = World([OK[:-1], 1.0, b"k"], limits=UpstreamLimits(per_host=1))
    transfer, receiver = world.open()
    waits, waiting = world.open()
    world.until(lambda: receiver.body == b"o")
    assert world.upstream.waiting == 1
    for each in (transfer, waits):
        world.simulation.ask(world.client, _call(each.abort))
        world.simulation.ask(world.client, _call(each.abort))
    world.simulation.run(for_seconds=40)
    assert not receiver.ended
    assert not waiting.told
    assert world.upstream.connections == world.upstream.waiting == 0


# The pool


def test_connections_are_used_again_and_idle_ones_end() -> None:
    world = World()
    for _ in range(3):
        assert world.get().outcome == "200 ok"
    assert world.origin.connections == 1
    assert world.counted("netstack_http_upstream_reused_total") == 2
    world.simulation.run(for_seconds=29)
    assert world.upstream.connections == 1
    world.simulation.run(for_seconds=2)
    assert world.upstream.connections == 0


@pytest.mark.parametrize(("method", "outcome"), [("GET", "200 ok"), ("PUT", "200 ok"), ("POST", "connection_terminated")])
@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_an_old_connection_that_dies_is_replaced_for_what_may_be_repeated(method: str, outcome: str, end: str) -> None:
    world = World([OK], [end], [OK])
    world.get()
    assert world.get(method, body=b"whole" if method != "GET" else None).outcome == outcome
    assert len(world.origin.requests) == (3 if outcome == "200 ok" else 2)


def test_a_request_whose_body_has_gone_is_not_repeated() -> None:
    world = World([OK], [CLOSE], [OK])
    world.get()
    receiver = world.get("PUT", body=3, then=lambda transfer, receiver: transfer.send(b"abc"))
    assert receiver.outcome == "connection_terminated"


def test_a_new_connection_that_dies_is_the_answer() -> None:
    world = World([CLOSE])
    assert world.get().outcome == "connection_terminated"
    assert world.origin.connections == 1


def test_bounds_of_connections_and_of_those_who_wait() -> None:
    world = World([1.0, OK], limits=UpstreamLimits(per_host=2, queue=5, queue_seconds=2.5))
    receivers = [world.open()[1] for _ in range(6)]
    world.until(lambda: all(each.ended for each in receivers))
    assert [each.outcome for each in receivers] == ["200 ok"] * 5 + ["connection_limit_reached"]
    assert world.origin.connections == 2
    world = World([10.0, OK], limits=UpstreamLimits(per_host=1, queue_seconds=2.5))
    receivers = [world.open()[1] for _ in range(2)]
    world.until(lambda: all(each.ended for each in receivers))
    assert [each.outcome for each in receivers] == ["200 ok", "connection_limit_reached"]


def test_the_bound_of_all_connections_is_shared_between_places() -> None:
    world = World([0.5, OK], limits=UpstreamLimits(connections=2))
    places = [Place(False, NAME, 80), Place(False, NAME, 81)]
    receivers = [world.open(place=places[number % 2])[1] for number in range(8)]
    assert world.upstream.connections == 2
    world.until(lambda: all(each.ended for each in receivers))
    assert [each.outcome for each in receivers] == ["200 ok"] * 8
    world.simulation.run(for_seconds=40)
    assert world.upstream.connections == 0
    assert not world.upstream._hosts


def test_bounds_of_idle_connections() -> None:
    world = World([0.5, OK], limits=UpstreamLimits(idle_per_host=2, idle=3))
    for place in (Place(False, NAME, 80), Place(False, NAME, 81)):
        receivers = [world.open(place=place)[1] for _ in range(5)]
        world.until(lambda: all(each.ended for each in receivers))  # noqa: B023  called at once
    world.simulation.run(for_seconds=1)
    assert world.upstream.connections == 3


def test_the_next_address_is_tried_soon_and_the_first_that_answers_is_taken() -> None:
    world = World(addresses=["10.0.0.3", "10.0.0.2"])  # nobody is at the first
    receiver = world.get()
    assert receiver.outcome == "200 ok"
    assert world.simulation.now < 0.25 + 4 * DELAY + 0.2
    assert world.origin.connections == 1


@pytest.mark.parametrize(
    ("addresses", "order"),
    [
        (["10.0.0.1", "10.0.0.2"], ["10.0.0.1", "10.0.0.2"]),
        (["::1", "::2", "10.0.0.1", "10.0.0.2", "10.0.0.3"], ["::1", "10.0.0.1", "::2", "10.0.0.2", "10.0.0.3"]),
        (["10.0.0.1", "::1", "::2"], ["10.0.0.1", "::1", "::2"]),
    ],
)
def test_families_of_addresses_take_turns(addresses: Sequence[str], order: Sequence[str]) -> None:
    assert interleaved(addresses) == order


def test_a_dead_place_is_everybodys_error_at_once() -> None:
    world = World(dial=DialLimits(connect_seconds=3.0), limits=UpstreamLimits(per_host=4))
    place = Place(False, "10.0.0.3", 80)
    receivers = [world.open(place=place)[1] for _ in range(10)]
    world.until(lambda: all(each.ended for each in receivers), 5)
    assert [each.outcome for each in receivers] == ["connection_timeout"] * 10
    assert not world.upstream._hosts


def test_a_long_exchange_has_an_end() -> None:
    drip: list[Step] = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"]
    drip += [step for _ in range(500) for step in (b"x", 1.0)]
    world = World(drip, limits=UpstreamLimits(exchange_seconds=60.0), http=HTTPLimits(body=2**40))
    assert world.get().outcome.endswith("http_response_timeout")
