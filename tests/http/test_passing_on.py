"""What an intermediary needs of the server's engines: heads without our fields, bodies held back, lines by the second."""

from collections.abc import Sequence

import pytest
from hyperframe.frame import WindowUpdateFrame

from netstack.http.engine import Heads, ServerEngine
from netstack.http.events import (
    BodyReceived,
    HoldBody,
    Ready,
    RequestEnded,
    RequestReceived,
    Respond,
    ResponseEnded,
    ResponseReceived,
    SendRequest,
)
from netstack.http.limits import HTTPLimits
from netstack.sansio import Command, Event, Now, Peer
from tests.http import http2
from tests.http.conversation import PEER, WALL, Client, Server

GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 200000\r\n\r\n"


def nothing(event: Event) -> Sequence[Command]:
    return []


def bodies(events: Sequence[Event]) -> int:
    return sum(len(event.data) for event in events if isinstance(event, BodyReceived))


def test_a_body_that_is_held_is_not_read_beyond_the_buffer() -> None:
    server = Server(nothing, HTTPLimits(buffered=65536))
    server.receive(POST + b"x" * 1000)
    server.send(HoldBody(True))
    assert server.engine.next_timer() is None  # who is held is not told that it takes too long
    for _ in range(8):
        server.receive(b"x" * 10_000)
    assert bodies(server.events) == 1000
    assert not server.engine.wants_data()
    server.send(HoldBody(False))
    assert bodies(server.events) == 81_000
    assert server.engine.wants_data()
    server.receive(b"x" * 119_000)
    assert isinstance(server.events[-1], RequestEnded)
    assert server.send(Respond(200, b"")).startswith(b"HTTP/1.1 200 OK")
    assert server.receive(GET) == b""
    assert isinstance(server.events[-1], RequestReceived)


def test_a_held_body_that_nobody_wants_any_more_is_read_and_dropped() -> None:
    server = Server(nothing)
    server.receive(POST)
    server.send(HoldBody(True))
    server.send(Respond(413, b""))
    server.receive(b"x" * 200_000)
    server.receive(GET)
    assert isinstance(server.events[-1], RequestReceived)


def test_a_held_stream_gets_no_more_window() -> None:
    server = http2.Server(nothing, HTTPLimits(window=65535))
    server.receive(http2.OPENING, http2.request(ended=False, fields=http2.POST))
    server.send(1, HoldBody(True))
    opened = [
        sum(frame.window_increment for frame in sent if isinstance(frame, WindowUpdateFrame) and frame.stream_id == 1)
        for sent in (
            server.receive(*[http2.data(1, b"x" * 10_000) for _ in range(4)]),
            server.send(1, HoldBody(False)),
        )
    ]
    assert opened == [0, 40_000]


@pytest.mark.parametrize("status", [299, 499, 599])
def test_a_status_that_nobody_knows_is_sent_as_it_is(status: int) -> None:
    server = Server(lambda event: [Respond(status, b"X: y\r\n", b"ok")])
    assert server.receive(GET).startswith(b"HTTP/1.1 %d \r\nDate" % status)


def test_without_a_date_of_ours() -> None:
    engine = ServerEngine(Heads(HTTPLimits(), date=False))
    engine.connected(PEER, Now(0.0, WALL))
    assert [type(event) for event in engine.receive(GET, Now(0.0, WALL))] == [RequestReceived]
    engine.send(Respond(200, b"Date: then\r\n", b"ok"), Now(0.0, WALL))
    assert engine.data_to_send() == [b"HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 2\r\n\r\nok"]


def test_lines_that_change_from_second_to_second_and_end() -> None:
    heads = Heads(HTTPLimits(), date=False)
    engine = ServerEngine(heads)
    engine.connected(PEER, Now(0.0, WALL))
    told: list[Peer] = []

    def lines(wall: float) -> bytes | None:
        return None if wall >= WALL + 3 else b"Age: %d\r\n" % (wall - WALL)

    heads.memo[GET] = RequestReceived(
        heads.parse(GET).request,
        ready=Ready(10.0, Respond(200, b"A: b\r\n", b"ok"), lambda peer, wall: told.append(peer), b"ok", lines),
    )
    sent = []
    for at in (0.0, 0.9, 1.5, 2.5, 3.0):
        assert len([*engine.receive(GET, Now(at, WALL + at))]) == (at == 3.0)
        sent += engine.data_to_send()
    assert sent == [b"HTTP/1.1 200 OK\r\nA: b\r\nAge: %d\r\nContent-Length: 2\r\n\r\nok" % age for age in (0, 0, 1, 2)]
    assert told == [PEER] * 4


def test_those_who_may_not_share_answers_have_heads_of_their_own() -> None:
    friends, strangers = Heads(HTTPLimits()), Heads(HTTPLimits())
    friends.by_peer = lambda peer: friends if peer.remote[0] == "192.0.2.2" else strangers
    ready = Ready(10.0, Respond(200, b""), lambda peer, wall: None)
    friends.memo[GET] = RequestReceived(friends.parse(GET).request, ready=ready)
    found = []
    for address in ("192.0.2.2", "198.51.100.1"):
        engine = ServerEngine(friends)
        engine.connected(Peer(PEER.local, (address, 5000)), Now(0.0, WALL))
        found.append(len([*engine.receive(GET, Now(0.0, WALL))]))
    assert found == [0, 1]


def test_a_response_that_was_held_to_its_end_holds_no_other() -> None:
    """Its last octets may come in one piece with those after which it was held."""
    client = Client()
    ended = []
    for _ in range(2):
        client.send(SendRequest("GET", "/", [("Host", "a.test")]))
        for event in client.engine.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Now(0.0, WALL)):
            if isinstance(event, BodyReceived):
                client.engine.send(HoldBody(True), Now(0.0, WALL))
            ended.append(type(event))
        assert client.engine.wants_data()
    assert ended == [ResponseReceived, BodyReceived, ResponseEnded] * 2
