"""What a client of HTTP/2 may not take: time, windows that stay shut, floods, too many requests."""

import pytest
from hyperframe.frame import (
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from netstack.http.engine.http2.frames import Code
from netstack.http.events import (
    RequestReceived,
    Respond,
    SendBody,
    StartResponse,
)
from netstack.http.limits import HTTPLimits
from tests.http.http2 import (
    OPENING,
    POST,
    Server,
    contents,
    data,
    ends,
    raw,
    request,
    settings,
    silent,
    wide,
    window,
)


def test_an_idle_connection_is_closed_and_told_so() -> None:
    server = Server()
    server.receive(OPENING, request(1))
    assert server.wait(14) == []
    assert ends(server.wait(2)) == [("goaway", 1, Code.NO_ERROR)]
    assert server.closed
    assert server.fault is None


@pytest.mark.parametrize("octets", [b"", b"PRI * HT", OPENING + HeadersFrame(1, b"\x82").serialize(), OPENING + b"\0\0\5\1"])
def test_a_head_that_does_not_end_in_time_ends_the_connection(octets: bytes) -> None:
    server = Server()
    server.receive(octets)
    assert ends(server.wait(9)) == []
    assert ends(server.wait(2)) == [("goaway", 0, Code.PROTOCOL_ERROR)]


def test_a_body_that_takes_too_long_is_408_and_other_streams_go_on() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1, ended=False, fields=POST), request(3))
    sent = server.wait(61)
    assert server.status(sent) == 408
    assert ends([*sent, *server.wait(1.1)]) == [("reset", 1, Code.NO_ERROR)]
    assert server.status(server.send(3, Respond(200, b"")), 3) == 200


def test_a_stream_whose_window_stays_shut_is_given_up() -> None:
    server = Server(silent)
    server.receive(OPENING, settings(INITIAL_WINDOW_SIZE=0), request(1))
    server.send(1, Respond(200, b"", b"x" * 100))
    for _ in range(29):
        server.receive(window(1, 1))
        assert ends(server.wait(1)) == []
    assert ends(server.wait(2)) == [("reset", 1, Code.CANCEL)]
    assert server.counts.abuses["windows"] == 1
    assert [type(event) for _, event in server.events] == [RequestReceived]


def test_a_connection_whose_window_stays_shut_ends() -> None:
    server = Server(silent)
    server.receive(OPENING, settings(INITIAL_WINDOW_SIZE=10**6), request(1))
    server.send(1, Respond(200, b"", b"x" * 100_000))
    assert ends(server.wait(31)) == [("goaway", 1, Code.ENHANCE_YOUR_CALM)]
    assert server.counts.abuses["windows"] == 1


def test_a_slow_client_that_takes_enough_is_served_to_the_end() -> None:
    server = Server(silent)
    server.receive(OPENING, settings(INITIAL_WINDOW_SIZE=0), request(1))
    got = len(contents(server.send(1, Respond(200, b"", b"x" * 100_000))).get(1, b""))
    while got < 100_000:
        server.wait(20)
        got += len(contents(server.receive(window(1, 12_000), window(0, 12_000)))[1])
    assert not server.closed


# Abuse (RFC 9113 §10.5)


def test_rapid_reset() -> None:
    server = Server(silent)
    server.receive(OPENING)
    sent: list[Frame] = []
    number = -1
    while not server.closed:
        number += 2
        sent = server.receive(request(number), RstStreamFrame(number, 8))
    assert number < 2 * 110
    assert ends(sent) == [("goaway", number, Code.ENHANCE_YOUR_CALM)]
    assert server.counts.abuses["resets"] == 1


def test_resets_that_we_are_made_to_send_count_too() -> None:
    server = Server(silent)
    server.receive(OPENING)
    sent: list[Frame] = []
    number = -1
    while not server.closed:
        number += 2
        sent = server.receive(request(number), raw(8, 0, number, b"\0" * 4))
    assert number < 2 * 110
    assert ends(sent)[-1] == ("goaway", number, Code.ENHANCE_YOUR_CALM)


def test_a_browser_may_give_up_now_and_then() -> None:
    server = Server(silent)
    server.receive(OPENING)
    for number in range(1, 2000, 2):
        server.receive(request(number), RstStreamFrame(number, 8))
        server.wait(0.2)
    assert not server.closed


@pytest.mark.parametrize(
    "flood",
    [
        PingFrame(0, b"12345678"), SettingsFrame(0), raw(99, 0, 0), WindowUpdateFrame(0, 1), data(1, b""),
        data(1, b"x"), RstStreamFrame(3, 8), raw(16, 0, 0, b"\0\0\0\x0bu=1"), raw(2, 0, 1, b"\0" * 5),
    ],
    ids=["ping", "settings", "unknown", "window", "empty data", "tiny data", "resets", "priority update", "priority"],
)  # fmt: skip
def test_floods_of_frames_that_carry_nothing(flood: Frame | bytes) -> None:
    server = Server(silent)
    server.receive(OPENING, request(1, ended=False, fields=POST), request(3), RstStreamFrame(3, 8))
    sent: list[Frame] = []
    count = 0
    while not server.closed:
        count += 1
        assert count <= 1100
        sent = server.receive(flood)
    assert ends(sent)[-1][2] == Code.ENHANCE_YOUR_CALM
    assert server.counts.abuses["frames"] == 1


def test_a_client_may_tell_of_every_frame_that_it_took() -> None:
    server = Server(silent)
    wide(server)
    server.receive(request(1))
    sent = server.send(1, StartResponse(200, b""))
    for _ in range(300):
        sent = server.send(1, SendBody(b"x" * 160_000))
        taken = [frame for frame in sent if isinstance(frame, DataFrame)]
        assert len(taken) == 10
        server.receive(*[window(number, len(frame.data)) for frame in taken for number in (0, 1)])
    assert not server.closed


def test_too_many_requests_at_once_are_refused_and_can_be_repeated() -> None:
    server = Server(silent, HTTPLimits(streams=2))
    sent = server.receive(OPENING, request(1), request(3), request(5))
    assert ends(sent) == [("reset", 5, Code.REFUSED_STREAM)]
    server.send(1, Respond(200, b""))
    assert ends(server.receive(request(7))) == []
    assert server.counts.abuses["streams"] == 1


def test_an_hpack_bomb_is_not_unfolded() -> None:
    server = Server(silent)
    # One entry of 4000 octets in the table, then thousands of references to it: RFC 7541 §7.3.
    bomb = b"\x40\x01x" + b"\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 10_000
    assert ends(server.receive(OPENING, raw(1, 5, 1, bomb))) == [("goaway", 0, Code.ENHANCE_YOUR_CALM)]
    assert server.counts.abuses["fields"] == 1


# Draining (RFC 9113 §6.8)
