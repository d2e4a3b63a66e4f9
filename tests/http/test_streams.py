"""The role of a connection with many streams: one role for each request, and what those may do with their stream."""

from typing import Any

import pytest

from netstack.http.events import (
    BodyReceived,
    BodyTaken,
    Drain,
    EndResponse,
    OnStream,
    RequestEnded,
    RequestReceived,
    RequestRefused,
    ResetStream,
    Respond,
    SendBody,
    StartResponse,
    StreamReset,
    ToStream,
)
from netstack.http.limits import HTTPLimits
from netstack.http.streams import HIGH, StreamConnection, Streams
from netstack.http.wire import parse_request
from netstack.sansio import Command, Event, Peer

PEER = Peer(("192.0.2.1", 80), ("192.0.2.2", 50_000))


class Wire:
    """Stands for a driver."""

    machine: Any = None
    peer = PEER

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.writable = True
        self.closed = False

    def send(self, command: Command) -> None:
        self.sent.append(command)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Noting:
    """A role that remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ended: list[str] = []
        self.drained = self.asked = 0
        self.connection: Any = None

    def handle(self, event: Event, connection: Any) -> None:
        self.events.append(event)
        self.connection = connection

    def lost(self, reason: str) -> None:
        self.ended.append(reason)

    def writable(self, connection: Any) -> None:
        self.asked += 1

    def drain(self, connection: Any) -> None:
        self.drained += 1
        connection.send(Drain())


class Both:
    """Streams over a wire."""

    def __init__(self) -> None:
        self.roles: list[Noting] = []
        self.wire = Wire()
        self.streams = Streams(self.make)

    def make(self) -> Noting:
        self.roles.append(Noting())
        return self.roles[-1]

    def tell(self, number: int, event: Event) -> StreamConnection | None:
        self.streams.handle(OnStream(number, event), self.wire)
        return self.streams.open.get(number)


REQUEST = RequestReceived(parse_request(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", HTTPLimits()))
CONNECT = RequestReceived(parse_request(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n", HTTPLimits()))


def test_each_request_has_a_role_until_it_is_answered() -> None:
    both = Both()
    for number in (1, 3):
        both.tell(number, REQUEST)
    both.tell(1, BodyReceived(b"x"))
    first, _ = both.roles
    assert [type(event) for event in first.events] == [RequestReceived, BodyReceived]
    answer = Respond(200, b"")
    first.connection.send(answer)
    [sent] = both.wire.sent
    assert isinstance(sent, ToStream)
    assert (sent.stream, sent.command) == (1, answer)
    both.tell(1, BodyReceived(b"y"))
    both.tell(1, RequestEnded())
    assert len(both.roles) == 2, "what comes after the answer is nobody's"
    assert [*both.streams.open] == [3]
    first.connection.send(Respond(500, b""))
    first.connection.abort()
    first.connection.close()
    assert both.wire.sent == [sent]


def test_a_refusal_may_come_first() -> None:
    both = Both()
    both.tell(1, RequestRefused(400, "", ""))
    assert len(both.roles) == 1


def test_a_reset_ends_the_role_alone() -> None:
    both = Both()
    both.tell(1, REQUEST)
    both.tell(3, REQUEST)
    both.tell(1, StreamReset("gone"))
    assert [role.ended for role in both.roles] == [["reset"], []]
    both.streams.lost("closed")
    assert [role.ended for role in both.roles] == [["reset"], ["closed"]]
    assert not both.streams.open


@pytest.mark.parametrize("end", ["abort", "close"])
def test_a_role_may_give_its_stream_up(end: str) -> None:
    both = Both()
    both.tell(1, REQUEST)
    getattr(both.roles[0].connection, end)()
    [sent] = both.wire.sent
    assert isinstance(sent, ToStream)
    assert isinstance(sent.command, ResetStream)
    assert not both.wire.closed


def test_a_streaming_response_waits_for_its_client() -> None:
    both = Both()
    stream = both.tell(1, REQUEST)
    assert stream is not None
    [role] = both.roles
    stream.send(StartResponse(200, b""))
    assert stream.writable
    stream.send(SendBody(b"x" * HIGH))
    assert not stream.writable
    both.streams.writable(both.wire)
    assert role.asked == 0
    both.tell(1, BodyTaken())
    assert stream.writable
    assert role.asked == 1
    both.wire.writable = False
    assert not stream.writable
    both.wire.writable = True
    both.streams.writable(both.wire)
    assert role.asked == 2
    stream.send(EndResponse())
    assert not stream.writable


@pytest.mark.parametrize("client_first", [True, False])
def test_a_tunnel_ends_in_both_directions(client_first: bool) -> None:
    both = Both()
    stream = both.tell(1, CONNECT)
    assert stream is not None
    stream.send(StartResponse(200, b""))
    ends = [lambda: both.tell(1, RequestEnded()), lambda: stream.send(EndResponse())]
    for end in ends if client_first else reversed(ends):
        assert both.streams.open
        end()
    assert not both.streams.open
    assert [type(event) for event in both.roles[0].events] == [RequestReceived, RequestEnded]


def test_a_tunnel_that_is_refused_ends_as_any_response() -> None:
    both = Both()
    stream = both.tell(1, CONNECT)
    assert stream is not None
    stream.send(StartResponse(502, b""))
    stream.send(EndResponse())
    assert not both.streams.open


def test_a_connection_of_http1_has_one_role() -> None:
    both = Both()
    for event in (REQUEST, BodyReceived(b"x"), RequestEnded(), REQUEST):
        both.streams.handle(event, both.wire)
    [role] = both.roles
    assert len(role.events) == 4
    assert role.connection is both.wire
    both.streams.writable(both.wire)
    both.streams.drain(both.wire)
    both.streams.lost("closed")
    assert (role.asked, role.drained, role.ended) == (1, 1, ["closed"])


def test_a_drain_is_for_the_connection_and_roles_are_told() -> None:
    both = Both()
    both.tell(1, REQUEST)
    both.streams.drain(both.wire)
    assert isinstance(both.wire.sent[0], Drain)
    assert both.roles[0].drained == 1
