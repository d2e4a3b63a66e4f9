"""The HTTP/2 server's engine: many requests at once, windows, bodies, draining, the journal."""

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    WindowUpdateFrame,
)

from netstack.http.engine.http2.frames import Code
from netstack.http.engine.http2.streams import STREAM, State, Step
from netstack.http.events import (
    UNKNOWN,
    BodyReceived,
    BodyTaken,
    Continue,
    Drain,
    EndResponse,
    RequestEnded,
    RequestReceived,
    RequestRefused,
    Respond,
    SendBody,
    StartResponse,
    StreamReset,
    ToStream,
)
from netstack.http.limits import HTTPLimits
from netstack.sansio import FileSlice, LocalProtocolError
from tests.http.http2 import (
    OPENING,
    POST,
    Server,
    contents,
    data,
    ends,
    request,
    settings,
    silent,
    wide,
    window,
)


class Memory:
    """An open file that says whether it was closed."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.closed = 0

    def fileno(self) -> int:
        return -1

    def read_at(self, offset: int, length: int) -> bytes:
        assert not self.closed
        return self.content[offset : offset + length]

    def close(self) -> None:
        self.closed += 1


def test_many_requests_at_once_are_answered_in_any_order() -> None:
    server = Server(silent)
    server.receive(OPENING, *[request(number) for number in (1, 3, 5)])
    assert [number for number, event in server.events if isinstance(event, RequestReceived)] == [1, 3, 5]
    for number in (5, 1, 3):
        sent = server.send(number, Respond(200, b"X: y\r\n", b"%d" % number))
        assert contents(sent) == {number: b"%d" % number}
        assert ("x", "y") in server.fields(sent, number)
        assert "END_STREAM" in sent[-1].flags


def test_a_request_is_that_of_http1() -> None:
    server = Server(silent)
    fields = (("cookie", "a=1"), ("accept", "x"), ("cookie", "b=2"), ("accept", "y"))
    server.receive(OPENING, request(1, *fields))
    [(_, event)] = server.events
    assert isinstance(event, RequestReceived)
    found = event.request
    assert (found.method, found.target, found.path, found.query, found.host) == ("GET", "/a", "/a", None, "a.test")
    assert dict(found.fields) == {"cookie": "a=1; b=2", "accept": "x, y", "host": "a.test"}
    assert (found.length, found.chunked, found.version) == (0, False, "HTTP/2.0")


def test_fields_of_a_connection_are_left_out_of_responses() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1))
    lines = b"Connection: close\r\nKeep-Alive: x\r\nTransfer-Encoding: chunked\r\nX-Mine: 1\r\nSet-Cookie: a=b\r\n"
    found = server.fields(server.send(1, Respond(200, lines, b"x")))
    assert found == [
        (":status", "200"), ("date", "Thu, 28 May 2026 20:26:40 GMT"), ("server", "netstack"), ("x-mine", "1"),
        ("set-cookie", "a=b"), ("content-length", "1"),
    ]  # fmt: skip


def test_head_without_a_known_length() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1, fields=((":method", "HEAD"), *POST[1:])))
    sent = server.send(1, Respond(200, b"X: y\r\n", length=UNKNOWN))
    assert [name for name, _ in server.fields(sent)] == [":status", "date", "server", "x"]


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
def test_responses_without_a_body(status: int, method: str) -> None:
    server = Server(silent)
    server.receive(OPENING, request(1, fields=((":method", method), *POST[1:])))
    file = Memory(b"hello")
    sent = server.send(1, Respond(status, b"", FileSlice(file, 0, 5)))
    [frame] = sent
    assert "END_STREAM" in frame.flags
    assert (("content-length", "5") in server.fields(sent)) is (method == "HEAD")
    assert file.closed == 1


def test_bodies_and_trailers_reach_the_role() -> None:
    server = Server(silent)
    trailers = HeadersFrame(1, b"\x00\x01x\x01y", flags=["END_HEADERS", "END_STREAM"])
    server.receive(OPENING, request(1, ended=False, fields=POST), data(1, b"ab"), data(1, b"c"), trailers)
    assert [event.data for _, event in server.events if isinstance(event, BodyReceived)] == [b"ab", b"c"]
    [ended] = [event for _, event in server.events if isinstance(event, RequestEnded)]
    assert [*ended.trailers] == [("x", "y")]


def test_100_continue_comes_once_and_only_when_asked() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1, ("expect", "100-continue"), ended=False, fields=POST))
    assert server.status(server.send(1, Continue())) == 100
    assert server.send(1, Continue()) == []
    server.receive(request(3, ended=False, fields=POST))
    assert server.send(3, Continue()) == []


def test_uploads_are_credited_on_both_windows() -> None:
    server = Server(silent, HTTPLimits(body=10**6))
    server.receive(OPENING, request(1, ended=False, fields=POST))
    left, total = 65_535, 0
    for _ in range(60):
        sent = server.receive(data(1, b"x" * 16_000))
        left -= 16_000
        left += sum(
            frame.window_increment for frame in sent if isinstance(frame, WindowUpdateFrame) and frame.stream_id == 1
        )
        total += 16_000
        assert left >= 16_000
    assert not server.closed


def test_an_answer_before_the_body_leaves_the_client_a_moment_to_end_it() -> None:
    server = Server(lambda event: [Respond(403, b"", b"no")] if isinstance(event, RequestReceived) else [])
    sent = server.receive(OPENING, *[request(number, ended=False, fields=POST) for number in (1, 3, 5)])
    assert server.status(sent) == 403
    assert ends(sent) == []
    assert ends(server.receive(data(1, b"late"), data(3, b"x", True), RstStreamFrame(5, 8))) == []
    assert ends(server.wait(1.1)) == [("reset", 1, Code.NO_ERROR)]
    assert ends(server.receive(data(1, b"later"), request(7))) == []
    assert [type(event) for number, event in server.events if number == 1] == [RequestReceived]


def test_a_window_that_opens_after_the_answer_changes_nothing() -> None:
    server = Server(lambda event: [Respond(403, b"", b"no")] if isinstance(event, RequestReceived) else [])
    server.receive(OPENING, request(1, ended=False, fields=POST))
    assert server.receive(window(1, 10)) == []


def test_a_body_that_is_too_long_is_413() -> None:
    server = Server(silent, HTTPLimits(body=10))
    sent = server.receive(OPENING, request(1, ended=False, fields=POST), data(1, b"x" * 11))
    assert server.status(sent) == 413
    assert ends(server.receive(data(1, b"x"))) == [("reset", 1, Code.NO_ERROR)]


def test_contents_wait_for_the_stream_and_for_the_connection() -> None:
    server = Server(silent)
    server.receive(OPENING, settings(INITIAL_WINDOW_SIZE=10), request(1))
    assert contents(server.send(1, Respond(200, b"", b"x" * 100_000))) == {1: b"x" * 10}
    assert contents(server.receive(window(1, 5))) == {1: b"x" * 5}
    assert contents(server.receive(settings(INITIAL_WINDOW_SIZE=20))) == {1: b"x" * 10}
    assert contents(server.receive(settings(INITIAL_WINDOW_SIZE=0))) == {}
    assert contents(server.receive(window(1, 10))) == {}, "the window was below nothing"
    rest = contents(server.receive(window(1, 2**20)))
    assert len(rest[1]) == 65_535 - 25, "the connection's window"
    assert len(contents(server.receive(window(0, 2**20)))[1]) == 100_000 - 65_535


def test_a_file_goes_out_in_frames_and_is_closed_once() -> None:
    server = Server(silent)
    wide(server)
    content = bytes(range(256)) * 1200
    file = Memory(content)
    server.receive(request(1))
    sent = server.send(1, Respond(200, b"", (b"<", FileSlice(file, 100, 300_000), b">")))
    assert contents(sent)[1] == b"<" + content[100:300_100] + b">"
    assert max(len(frame.data) for frame in sent if isinstance(frame, DataFrame)) == 16_384
    assert file.closed == 1


def test_a_file_of_a_stream_that_is_reset_is_closed() -> None:
    server = Server(silent)
    file = Memory(b"x" * 100_000)
    server.receive(OPENING, request(1))
    server.engine.send(ToStream(1, Respond(200, b"", FileSlice(file, 0, 100_000))), server.now)
    server._take(server.engine.receive(b"", server.now))
    parts = server.engine.data_to_send()
    server._take(server.engine.receive(RstStreamFrame(1, 8).serialize(), server.now))
    assert not file.closed, "a part of it is on its way"
    for part in parts:
        if isinstance(part, FileSlice):
            assert part.file.read_at(part.offset, part.length)
            part.file.close()
    assert file.closed == 1


def test_contents_are_made_as_the_transport_takes_them() -> None:
    server = Server(silent)
    wide(server)
    server.receive(request(1))
    server.paused = True
    first = contents(server.send(1, Respond(200, b"", b"x" * 1_000_000)))
    assert len(first[1]) == 65_536
    server.receive(request(3), PingFrame(0, b"12345678"))
    assert len(contents(server.resume())[1]) == 65_536


def test_other_connections_get_their_turn() -> None:
    server = Server(silent)
    wide(server)
    server.receive(request(1))
    first = contents(server.send(1, Respond(200, b"", b"x" * 3_000_000)))
    assert len(first[1]) == 1024 * 1024
    assert server.engine.next_timer() == server.time
    assert len(contents(server.wait(0))[1]) == 3_000_000 - 1024 * 1024


def test_a_streaming_response() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1))
    assert server.status(server.send(1, StartResponse(200, b"X: y\r\n"))) == 200
    assert contents(server.send(1, SendBody(b"ab"))) == {1: b"ab"}
    assert [type(event) for _, event in server.events] == [RequestReceived, BodyTaken]
    [last] = server.send(1, EndResponse())
    assert (last.flags, last.stream_id) == ({"END_STREAM"}, 1)


def test_a_streaming_response_keeps_its_content_length() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1), request(3))
    server.send(1, StartResponse(200, b"", 3))
    with pytest.raises(LocalProtocolError, match="1 octets more"):
        server.send(1, SendBody(b"abcd"))
    server.send(3, StartResponse(200, b"", 3), SendBody(b"ab"))
    with pytest.raises(LocalProtocolError, match="1 octets of"):
        server.send(3, EndResponse())


def test_what_a_role_does_after_a_reset_has_no_effect() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1), RstStreamFrame(1, 8))
    assert [type(event) for _, event in server.events] == [RequestReceived, StreamReset]
    file = Memory(b"x")
    assert server.send(1, Respond(200, b"", FileSlice(file, 0, 1))) == []
    assert file.closed == 1


def test_a_client_that_wants_no_table_is_told_that_there_is_none() -> None:
    server = Server(silent)
    server.receive(OPENING, settings(HEADER_TABLE_SIZE=0), request(1), request(3))
    server._decoder.max_allowed_table_size = 0
    assert server.status(server.send(1, Respond(200, b""))) == 200
    assert server.status(server.send(3, Respond(200, b"")), 3) == 200


def test_long_field_blocks_go_on_in_continuation_frames() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1))
    sent = server.send(1, Respond(200, b"X: %b\r\n" % (b"\\" * 40_000), b"x"))
    assert [type(frame) for frame in sent] == [HeadersFrame, ContinuationFrame, ContinuationFrame, DataFrame]
    assert [("END_HEADERS" in frame.flags) for frame in sent[:3]] == [False, False, True]


# Time


def drained(server: Server) -> list[Frame]:
    server.engine.send(Drain(), server.now)
    return server.receive(b"")


def test_a_drain_announces_the_end_then_finishes() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1))
    announced, ping = drained(server)
    assert isinstance(announced, GoAwayFrame)
    assert announced.last_stream_id == 2**31 - 1
    assert isinstance(ping, PingFrame)
    server.receive(request(3))  # it was on its way
    sent = server.receive(PingFrame(0, ping.opaque_data, flags=["ACK"]))
    assert ends(sent) == [("goaway", 3, Code.NO_ERROR)]
    assert server.receive(request(5), data(5, b"x")) == []
    server.send(1, Respond(200, b""))
    assert not server.closed
    server.send(3, Respond(200, b""))
    assert server.closed


def test_a_drain_does_not_wait_long_for_the_client() -> None:
    server = Server(silent)
    server.receive(OPENING)
    drained(server)
    assert ends(server.wait(1.5)) == [("goaway", 0, Code.NO_ERROR)]
    assert server.closed


def test_a_connection_ends_after_so_many_requests() -> None:
    server = Server(limits=HTTPLimits(requests=2))
    sent = server.receive(OPENING, request(1), request(3), request(5))
    assert ends(sent) == [("goaway", 3, Code.NO_ERROR)]
    assert contents(sent) == {1: b"GET /a", 3: b"GET /a"}
    assert server.closed


def test_an_end_of_the_clients_side_lets_answers_finish() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1), request(3, ended=False, fields=POST))
    server._take(server.engine.eof(server.now))
    assert [type(event) for number, event in server.events if number == 3] == [RequestReceived, StreamReset]
    assert not server.closed
    assert server.status(server.send(1, Respond(200, b""))) == 200
    assert server.closed


@pytest.mark.parametrize("opened", [settings(INITIAL_WINDOW_SIZE=10), settings(INITIAL_WINDOW_SIZE=2**20)])
def test_a_client_that_has_ended_opens_no_windows(opened: Frame) -> None:
    server = Server(silent)
    server.receive(OPENING, opened, request(1), request(3))
    server.send(1, Respond(200, b"", b"x" * 100_000))
    server._take(server.engine.eof(server.now))
    assert not server.closed
    server.send(3, Respond(200, b"", b"y" * 100_000))
    assert server.closed


# The journal


def test_the_journal_gets_every_frame() -> None:
    server = Server(silent, recording=True)
    sent = OPENING + request(1).serialize()
    server.octets(sent)
    server.engine.send(ToStream(1, Respond(200, b"", FileSlice(Memory(b"x" * 20_000), 0, 20_000))), server.now)
    server._take(server.engine.receive(b"", server.now))
    rows = server.engine.messages()
    assert [(row.sent, row.summary) for row in rows if not row.sent] == [(False, "SETTINGS"), (False, "GET /a HTTP/2.0")]
    assert b"".join(row.data for row in rows if not row.sent) == sent
    told = [(row.summary, len(row.data), row.omitted) for row in rows if row.sent][-3:]
    assert [(summary, omitted) for summary, _, omitted in told] == [
        ("200 OK", 0), ("DATA on stream 1", 16_384), ("DATA on stream 1", 3616),
    ]  # fmt: skip


def test_the_journal_gets_no_credentials() -> None:
    server = Server(silent, recording=True)
    server.octets(OPENING + request(1, ("authorization", "Basic c2VjcmV0")).serialize())
    [row] = [row for row in server.engine.messages() if row.summary.startswith("GET")]
    assert b"c2VjcmV0" not in row.data
    assert set(row.data[9:]) == {ord("*")}


def test_the_states_of_a_stream_are_those_of_the_rfc() -> None:
    assert not any(state is State.CLOSED for state, _ in STREAM.table)
    assert STREAM.table[State.OPEN, Step.RESET] is State.CLOSED
    assert "HALF_CLOSED_REMOTE" in STREAM.dot()


def test_refusals_are_events_of_a_stream() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1, ("expect", "x")))
    [(number, event)] = server.events
    assert number == 1
    assert isinstance(event, RequestRefused)
    assert event.status == 417
