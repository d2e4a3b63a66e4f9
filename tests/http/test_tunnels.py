"""CONNECT on both versions, interim responses and trailers out of the servers' engines (RFC 9110 §6.5, §9.3.6, §15.2)."""

from collections.abc import Sequence
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, InformationalResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.events import ResponseReceived as HeadersReceived

from netstack.http.engine import Heads
from netstack.http.engine.http2 import Answers, Counts, HTTP2ServerEngine
from netstack.http.engine.tunnel import TunnelEngine
from netstack.http.events import (
    BodyReceived,
    BodyTaken,
    Connected,
    EndResponse,
    HoldBody,
    Interim,
    OnStream,
    RequestEnded,
    RequestReceived,
    RequestRefused,
    Respond,
    ResponseEnded,
    SendBody,
    StartResponse,
    ToStream,
)
from netstack.http.events import StreamReset as Dropped
from netstack.http.limits import HTTPLimits
from netstack.sansio import Close, CloseWrite, Command, Event, HandOver, LocalProtocolError, Now, Peer
from netstack.sansio import Security as Secured
from tests.http.conversation import PEER, WALL, Server, statuses

CONNECT = b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n"
NOW = Now(100.0, WALL)


def octets(engine: Any) -> bytes:
    return b"".join(engine.data_to_send())


def told(events: Any) -> list[Any]:
    """Content as octets, the rest by name."""
    return [event.data if isinstance(event, BodyReceived) else type(event) for event in events]


# HTTP/1


def accept(event: Event) -> Sequence[Command]:
    return [StartResponse(200, b"X: y\r\n")] if isinstance(event, RequestReceived) else []


def test_a_connect_that_is_accepted_hands_the_connection_over() -> None:
    server = Server(accept)
    sent = server.receive(CONNECT + b"hello")
    head, _, rest = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nDate: ")
    assert head.endswith(b"X: y")
    assert rest == b""
    for name in (b"Content-Length", b"Transfer-Encoding", b"Connection"):
        assert name not in head, "RFC 9110 §9.3.6"
    *_, handed = server.events
    assert isinstance(handed, HandOver)
    assert handed.data == b"hello"
    assert told(handed.engine.connected(PEER, NOW)) == []
    assert told(handed.engine.receive(handed.data, NOW)) == [b"hello"]


def test_a_client_that_has_ended_already() -> None:
    server = Server(lambda event: [])
    server.receive(CONNECT + b"hello")
    server.eof()
    server.send(StartResponse(200, b""))
    *_, handed = server.events
    assert isinstance(handed, HandOver)
    assert told([*handed.engine.connected(PEER, NOW), *handed.engine.receive(handed.data, NOW)]) == [b"hello", RequestEnded]


def test_a_connect_that_is_refused_is_a_response_like_others() -> None:
    server = Server(lambda event: [Respond(403, b"", b"no")] if isinstance(event, RequestReceived) else [])
    assert statuses(server.receive(CONNECT + CONNECT)) == [403, 403]
    assert not server.closed


@pytest.mark.parametrize("field", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_connect_with_content_is_refused(field: str) -> None:
    server = Server(lambda event: [Respond(event.status, b"")] if isinstance(event, RequestRefused) else [])
    assert statuses(server.receive(f"CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n".encode())) == [400]
    assert server.closed


# One end of a tunnel


@pytest.mark.parametrize(("of_client", "end"), [(True, RequestEnded), (False, ResponseEnded)])
def test_each_direction_ends_by_itself(of_client: bool, end: type[Event]) -> None:
    engine = TunnelEngine(of_client)
    assert told(engine.connected(PEER, NOW)) == ([] if of_client else [Connected])
    engine.send(SendBody(b"a"), NOW)
    engine.send(EndResponse(), NOW)
    assert told(engine.receive(b"", NOW)) == [CloseWrite]
    assert octets(engine) == b"a"
    assert told(engine.receive(b"b", NOW)) == [b"b"]
    assert told(engine.eof(NOW)) == [end, Close]
    engine = TunnelEngine(of_client)
    list(engine.connected(PEER, NOW))
    assert told(engine.eof(NOW)) == [end]
    engine.send(SendBody(b"a"), NOW)
    engine.send(EndResponse(), NOW)
    assert told(engine.receive(b"", NOW)) == [Close]
    with pytest.raises(LocalProtocolError):
        engine.send(SendBody(b"a"), NOW)
    with pytest.raises(LocalProtocolError):
        engine.send(Respond(200, b""), NOW)


def test_what_is_held_waits_and_the_end_after_it() -> None:
    engine = TunnelEngine(True)
    list(engine.connected(PEER, NOW))
    engine.send(HoldBody(True), NOW)
    assert not engine.wants_data()
    assert told(engine.receive(b"a", NOW)) == []
    assert told(engine.eof(NOW)) == []
    engine.send(HoldBody(False), NOW)
    assert told(engine.receive(b"", NOW)) == [b"a", RequestEnded]


def test_under_tls_the_end_of_one_direction_is_that_of_both() -> None:
    engine = TunnelEngine(True)
    list(engine.connected(Peer(PEER.local, PEER.remote, security=Secured("TLSv1.3", "x")), NOW))
    engine.send(EndResponse(), NOW)
    assert told(engine.receive(b"", NOW)) == [Close]


# HTTP/2


class Pair:
    """The library as the client, our server with commands given by hand."""

    def __init__(self, **limits: Any) -> None:
        heads = Heads(HTTPLimits(**limits))
        self.engine = HTTP2ServerEngine(heads, Answers(heads), Counts())
        self.client = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.client.initiate_connection()
        self.events: list[Any] = []
        self.got: list[Any] = []
        self.time = 100.0
        list(self.engine.connected(PEER, self.now))
        self.carry()

    @property
    def now(self) -> Now:
        return Now(self.time, WALL)

    def carry(self) -> None:
        while data := self.client.data_to_send():
            self.events += [event.event for event in self.engine.receive(data, self.now) if isinstance(event, OnStream)]
            self.back()

    def back(self) -> None:
        self.events += [event.event for event in self.engine.receive(b"", self.now) if isinstance(event, OnStream)]
        self.got += self.client.receive_data(octets(self.engine))

    def request(self, *fields: tuple[str, str], ended: bool = False) -> None:
        self.client.send_headers(1, fields, end_stream=ended)
        self.carry()

    def send(self, *commands: Command) -> None:
        for command in commands:
            self.engine.send(ToStream(1, command), self.now)
        self.back()
        self.carry()

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.got if isinstance(event, kind)]


def tunnel(**limits: Any) -> Pair:
    pair = Pair(**limits)
    pair.request((":method", "CONNECT"), (":authority", "a.test:443"))
    [received] = pair.events
    assert (received.request.method, received.request.host, received.request.port) == ("CONNECT", "a.test", 443)
    pair.send(StartResponse(200, b""))
    assert dict(pair.of(HeadersReceived)[0].headers)[":status"] == "200"
    pair.events.clear()
    return pair


@pytest.mark.parametrize("client_first", [True, False])
def test_a_stream_is_a_tunnel(client_first: bool) -> None:
    pair = tunnel(body=10)
    for _ in range(10):
        pair.client.send_data(1, b"up" * 10)
        pair.carry()
    pair.send(SendBody(b"down"))
    pair.time += 3600
    list(pair.engine.on_timer(pair.now))
    assert pair.engine._streams, "it has no time of a body"
    if client_first:
        pair.client.end_stream(1)
        pair.carry()
        pair.send(SendBody(b"down"), EndResponse())
    else:
        pair.send(SendBody(b"down"), EndResponse())
        pair.time += 10
        list(pair.engine.on_timer(pair.now))
        pair.client.send_data(1, b"late")
        pair.client.end_stream(1)
        pair.carry()
    assert b"".join(event.data for event in pair.of(DataReceived)) == b"downdown"
    assert len(pair.of(StreamEnded)) == 1
    heard = [event for event in told(pair.events) if event is not BodyTaken]
    assert heard == [b"up" * 10] * 10 + ([] if client_first else [b"late"]) + [RequestEnded]
    assert not pair.engine._streams


def test_a_tunnel_that_is_held_or_reset() -> None:
    pair = tunnel(window=1000)
    pair.send(HoldBody(True))
    pair.client.send_data(1, b"x" * 1000)
    pair.carry()
    assert pair.client.local_flow_control_window(1) == 0
    pair.send(HoldBody(False))
    assert pair.client.local_flow_control_window(1) == 1000
    pair.send(EndResponse())
    pair.client.reset_stream(1)
    pair.carry()
    assert isinstance(pair.events[-1], Dropped), "also when our direction has ended"


GET = ((":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/"))


def test_interim_responses_and_trailers_in_http2() -> None:
    pair = Pair()
    pair.request(*GET, ended=True)
    pair.send(Interim(103, b"Link: </a>\r\n"), StartResponse(200, b""), SendBody(b"ok"), EndResponse(b"X-Sum: 2\r\n"))
    assert [dict(event.headers) for event in pair.of(InformationalResponseReceived)] == [{":status": "103", "link": "</a>"}]
    assert [event.headers for event in pair.of(TrailersReceived)] == [[("x-sum", "2")]]
    assert len(pair.of(StreamEnded)) == 1
    assert b"".join(event.data for event in pair.of(DataReceived)) == b"ok"


def test_trailers_after_no_content_and_none_after_head() -> None:
    pair = Pair()
    pair.request(*GET, ended=True)
    pair.send(StartResponse(200, b""), EndResponse(b"X-Sum: 2\r\n"))
    assert len(pair.of(TrailersReceived)) == len(pair.of(StreamEnded)) == 1
    pair = Pair()
    pair.request((":method", "HEAD"), *GET[1:], ended=True)
    pair.send(StartResponse(200, b""), EndResponse(b"X-Sum: 2\r\n"))
    assert (len(pair.of(TrailersReceived)), len(pair.of(StreamEnded))) == (0, 1)


def test_interim_responses_and_trailers_in_http1() -> None:
    def answer(event: Event) -> Sequence[Command]:
        if not isinstance(event, RequestReceived):
            return []
        return [Interim(103, b"Link: </a>\r\n"), StartResponse(200, b""), SendBody(b"ok"), EndResponse(b"X-Sum: 2\r\n")]

    sent = Server(answer).receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert sent.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert sent.endswith(b"\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n")
    server = Server(answer)
    old = server.receive(b"GET / HTTP/1.0\r\n\r\n")
    assert old.startswith(b"HTTP/1.1 200 OK\r\n"), "HTTP/1.0 knows no interim responses"
    assert old.endswith(b"\r\n\r\nok"), "nor trailers"
    assert server.closed
    head = Server(answer).receive(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert b"X-Sum" not in head


@pytest.mark.parametrize(("part", "outcome"), [(0, [408]), (1000, [201])])
def test_a_body_may_take_long_as_long_as_it_goes_on(part: int, outcome: Sequence[int]) -> None:
    def answer(event: Event) -> Sequence[Command]:
        if isinstance(event, RequestRefused):
            return [Respond(event.status, b"")]
        return [Respond(201, b"")] if isinstance(event, RequestEnded) else []

    server = Server(answer, HTTPLimits(body_part=part, body_seconds=10.0))
    sent = server.receive(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n")
    for _ in range(20):
        sent += server.wait(9.0)
        sent += server.receive(b"x" * 1000)
    assert statuses(sent) == [*outcome]
    pair = Pair(body_part=part, body_seconds=10.0)
    pair.request((":method", "PUT"), *GET[1:], ("content-length", "20000"))
    for _ in range(20):
        if pair.of(StreamReset) or RequestRefused in told(pair.events):
            break
        pair.time += 9.0
        pair.events += [event.event for event in pair.engine.on_timer(pair.now) if isinstance(event, OnStream)]
        pair.client.send_data(1, b"x" * 1000)
        pair.carry()
    else:
        pair.client.end_stream(1)
        pair.carry()
    assert (RequestEnded in told(pair.events)) == (outcome == [201])
