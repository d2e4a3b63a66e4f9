"""The engines: each side alone, split at every octet, and joined to each other in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.http.engine import Heads, ServerEngine
from netstack.http.engine.server import RECEIVING, SENDING, Receiving, Sending, Step
from netstack.http.events import (
    UNKNOWN,
    BodyReceived,
    Continue,
    Drain,
    EndResponse,
    InterimReceived,
    RequestEnded,
    RequestReceived,
    RequestRefused,
    Respond,
    ResponseEnded,
    ResponseReceived,
    SendBody,
    SendRequest,
    StartResponse,
)
from netstack.http.limits import HTTPLimits
from netstack.sansio import Command, Event, FileSlice, LocalProtocolError, Now
from netstack.sansio.record import RECORDED, Record
from tests.http import vectors
from tests.http.conversation import WALL, Client, Server, echo, statuses

GET = b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"


def silent(event: Event) -> Sequence[Command]:
    """A role that answers later; refusals at once."""
    return [Respond(event.status, b"")] if isinstance(event, RequestRefused) else []


def wanting(event: Event) -> Sequence[Command]:
    """A role that wants bodies and answers when they are complete."""
    if isinstance(event, RequestReceived):
        return [Continue()] if event.request.chunked or event.request.length else [Respond(200, b"")]
    if isinstance(event, RequestEnded):
        return [Respond(201, b"")]
    return silent(event)


@dataclass
class Memory:
    """A file of a simulated disk."""

    content: bytes
    closed: bool = False

    def fileno(self) -> int:
        return -1

    def read_at(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]

    def close(self) -> None:
        self.closed = True


def test_a_response_has_date_length_and_body() -> None:
    server = Server(lambda event: [Respond(200, b"X: y\r\n", b"hello")])
    assert server.receive(GET) == (
        b"HTTP/1.1 200 OK\r\nDate: Thu, 28 May 2026 20:26:40 GMT\r\nX: y\r\nContent-Length: 5\r\n\r\nhello"
    )
    assert not server.closed


@pytest.mark.parametrize(("name", "octets", "method", "path", "query", "host", "keep_alive"), vectors.GOOD)
def test_connection_rules(
    name: str, octets: bytes, method: str, path: str, query: str | None, host: str | None, keep_alive: bool
) -> None:
    server = Server()
    output = server.receive(octets)
    assert statuses(output) == [200]
    assert server.closed is not keep_alive
    assert (b"\r\nConnection: close\r\n" in output) is not keep_alive
    assert (b"\r\nConnection: keep-alive\r\n" in output) is (keep_alive and b"HTTP/1.0" in octets)


@pytest.mark.parametrize(("name", "octets", "status", "reason"), vectors.BAD)
def test_bad_requests_are_answered_once_then_closed(name: str, octets: bytes, status: int, reason: str) -> None:
    server = Server()
    output = server.receive(octets + GET)
    assert statuses(output) == [status]
    assert reason.encode() in output
    assert b"\r\nConnection: close\r\n" in output
    assert server.closed
    assert server.fault is not None
    assert server.fault.code == status


@pytest.mark.parametrize(("name", "octets", "status", "reason"), vectors.BAD)
def test_bad_requests_octet_by_octet(name: str, octets: bytes, status: int, reason: str) -> None:
    server = Server()
    output = b"".join(server.receive(bytes([octet])) for octet in octets)
    # Written slowly, a target that has grown too long is seen before the head is.
    assert statuses(output) in ([status], [431])
    assert server.closed


@pytest.mark.parametrize(("name", "octets", "content", "trailers"), vectors.GOOD_BODIES)
def test_bodies_at_every_split(name: str, octets: bytes, content: bytes, trailers: list[tuple[str, str]]) -> None:
    for cut in range(len(octets) + 1):
        server = Server(wanting)
        output = server.receive(octets[:cut]) + server.receive(octets[cut:] + GET)
        assert statuses(output) == [201, 200]
        assert b"".join(event.data for event in server.events if isinstance(event, BodyReceived)) == content
        [ended] = [event for event in server.events if isinstance(event, RequestEnded)]
        assert [*ended.trailers] == trailers


@pytest.mark.parametrize(("name", "octets", "status"), vectors.BAD_BODIES)
@pytest.mark.parametrize("role", [wanting, echo])
def test_bad_bodies_end_the_connection(name: str, octets: bytes, status: int, role: object) -> None:
    for split in (len(octets), 1):
        server = Server(role)  # type: ignore[arg-type]
        output = b"".join(server.receive(octets[at : at + split]) for at in range(0, len(octets), split))
        output += server.receive(GET)
        assert statuses(output) == ([status] if role is wanting else [200])
        assert server.closed
        assert server.fault is None or server.fault.code == status


@pytest.mark.parametrize("cut", range(len(GET) * 3))
def test_pipelined_requests_at_every_split(cut: int) -> None:
    octets = GET + GET.replace(b"/a", b"/b") + GET.replace(b"/a", b"/c")
    server = Server()
    output = server.receive(octets[:cut]) + server.receive(octets[cut:])
    assert [output.index(b"GET /" + each) for each in (b"a", b"b", b"c")] == sorted(
        output.index(b"GET /" + each) for each in (b"a", b"b", b"c")
    )
    assert statuses(output) == [200, 200, 200]


def test_pipelined_input_waits_while_a_request_is_in_hand() -> None:
    server = Server(silent)
    assert server.receive(GET * 3) == b""
    assert len(server.events) == 1
    assert statuses(server.send(Respond(200, b""))) == [200]
    assert len(server.events) == 2


def test_reading_stops_when_too_much_waits() -> None:
    server = Server(silent)
    server.receive(GET)
    assert server.engine.wants_data()
    server.receive(GET * (64 * 1024 // len(GET) + 1))
    assert not server.engine.wants_data()


def test_pipelined_requests_after_close_are_not_answered() -> None:
    server = Server()
    output = server.receive(GET + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET)
    assert statuses(output) == [200, 200]
    assert server.closed


@pytest.mark.parametrize(("line", "status"), [(b"GET /\r\n", 400), (b"hello\r\n", 400), (b"GET / HTTP/2.0\r\n", 505)])
def test_a_first_line_that_is_none_is_refused_before_the_rest_comes(line: bytes, status: int) -> None:
    assert statuses(Server().receive(line)) == [status]


def test_the_start_of_a_refused_request_is_fit_for_a_log() -> None:
    server = Server()
    server.receive(b"\x1b[31mGET\r\x07 /\r\n\r\n")
    [refused] = server.events
    assert isinstance(refused, RequestRefused)
    assert refused.start == "?[31mGET?? /"


def test_empty_lines_before_a_request_are_ignored() -> None:
    server = Server()
    assert statuses(server.receive(b"\r\n\r\n\r\n" + GET + b"\r\n" + GET)) == [200, 200]


def test_head_gets_the_length_and_no_body() -> None:
    server = Server(lambda event: [Respond(200, b"", b"hello")])
    output = server.receive(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert output.endswith(b"Content-Length: 5\r\n\r\n")


def test_head_without_a_known_length() -> None:
    """RFC 9110 §8.6: a Content-Length that GET would not have is worse than none."""
    server = Server(lambda event: [Respond(200, b"X: y\r\n", length=UNKNOWN)])
    assert server.receive(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"\r\nX: y\r\n\r\n")
    assert not server.closed


@pytest.mark.parametrize("status", [204, 304])
def test_responses_without_content_have_no_length(status: int) -> None:
    output = Server(lambda event: [Respond(status, b"")]).receive(GET)
    assert b"Content-Length" not in output


def test_a_file_follows_its_head_and_head_gives_it_back() -> None:
    file = Memory(b"0123456789")
    server = Server(lambda event: [Respond(200, b"", FileSlice(file, 2, 5))])
    assert server.receive(GET).endswith(b"Content-Length: 5\r\n\r\n23456")
    assert not file.closed
    assert server.receive(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"Content-Length: 5\r\n\r\n")
    assert file.closed


def test_an_unwanted_body_is_read_and_dropped() -> None:
    server = Server()
    post = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
    assert statuses(server.receive(post)) == [200]
    assert statuses(server.receive(b"hel")) == []
    assert statuses(server.receive(b"lo" + GET)) == [200]
    assert not any(isinstance(event, BodyReceived) for event in server.events)


def test_100_continue_is_sent_when_the_role_wants_the_body() -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    server = Server(wanting)
    assert server.receive(post) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert statuses(server.receive(b"hello")) == [201]
    refusing = Server()
    output = refusing.receive(post)
    assert statuses(output) == [200]
    assert refusing.closed  # the body may come or not: nothing after it can be trusted


def test_100_continue_is_not_sent_once_the_body_is_on_its_way() -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
    server = Server(silent)
    server.receive(post)
    assert server.send(Continue()) == b""


def test_an_empty_body_in_chunks_has_come_and_the_connection_goes_on() -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    server = Server(lambda event: [Respond(200, b"")] if isinstance(event, RequestEnded) else [])
    assert statuses(server.receive(post + GET.replace(b"GET", b"PUT"))) == [200]
    assert len(server.events) == 3


def test_a_slow_head_is_answered_with_408_however_it_is_fed() -> None:
    server = Server()
    output = b""
    for octet in GET[:-1]:
        output += server.receive(bytes([octet])) + server.wait(0.9)
    assert statuses(output) == [408]
    assert server.closed


def test_a_slow_body_is_answered_with_408() -> None:
    server = Server(wanting)
    server.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n")
    output = b"".join(server.receive(b"x") + server.wait(5.0) for _ in range(13))
    assert statuses(output) == [408]


def test_an_idle_connection_is_closed_without_a_word() -> None:
    for output_before in (b"", GET):
        server = Server()
        server.receive(output_before)
        assert server.wait(14.9) == b""
        assert not server.closed
        assert server.wait(0.2) == b""
        assert server.closed
        assert server.fault is None


def test_no_timer_runs_while_the_role_is_busy() -> None:
    server = Server(silent)
    server.receive(GET)
    assert server.engine.next_timer() is None


def test_end_of_input_lets_a_request_in_hand_finish() -> None:
    server = Server(silent)
    server.receive(GET)
    assert server.eof() == b""
    assert not server.closed
    assert statuses(server.send(Respond(200, b""))) == [200]
    assert server.closed


@pytest.mark.parametrize("sent", [b"", GET[:10], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel"])
def test_end_of_input_in_the_middle_closes(sent: bytes) -> None:
    server = Server(silent)
    server.receive(sent)
    assert server.eof() == b""
    assert server.closed


def test_drain_closes_an_idle_connection_and_finishes_a_busy_one() -> None:
    idle = Server()
    idle.send(Drain())
    assert idle.closed
    busy = Server(silent)
    busy.receive(GET + GET)
    busy.send(Drain())
    assert not busy.closed
    assert b"Connection: close" in busy.send(Respond(200, b""))
    assert busy.closed


def test_streamed_responses() -> None:
    def stream(event: Event) -> Sequence[Command]:
        return [StartResponse(200, b""), SendBody(b"hel"), SendBody(b""), SendBody(b"lo"), EndResponse()]

    server = Server(stream)
    assert server.receive(GET).endswith(b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
    assert not server.closed
    old = Server(stream)
    output = old.receive(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert output.endswith(b"Connection: close\r\n\r\nhello")
    assert old.closed
    head = Server(stream).receive(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.endswith(b"Transfer-Encoding: chunked\r\n\r\n")


def test_a_stream_keeps_its_promised_length() -> None:
    server = Server(silent)
    server.receive(GET)
    server.send(StartResponse(200, b"", length=3))
    with pytest.raises(LocalProtocolError, match="more than"):
        server.send(SendBody(b"four"))
    server.send(SendBody(b"tw"))
    with pytest.raises(LocalProtocolError, match="missing"):
        server.send(EndResponse())


@pytest.mark.parametrize("sending", list(Sending))
@pytest.mark.parametrize("step", list(Step))
def test_every_pair_of_state_and_step_is_decided(sending: Sending, step: Step) -> None:
    allowed = {
        (Sending.IDLE, Step.REQUEST), (Sending.OWED, Step.RESPOND), (Sending.OWED, Step.START),
        (Sending.STREAMING, Step.PART), (Sending.STREAMING, Step.END), (Sending.SENT, Step.NEXT),
    }  # fmt: skip
    assert SENDING.allows(sending, step) is ((sending, step) in allowed)


def test_every_received_state_can_be_left() -> None:
    assert {state for state, _ in RECEIVING.table} == {*Receiving}


@pytest.mark.parametrize("command", [Respond(200, b""), StartResponse(200, b""), SendBody(b"x"), EndResponse()])
def test_commands_without_a_request_are_the_caller_s_mistake(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        Server().send(command)


def test_equal_heads_are_parsed_once_and_the_memo_is_bounded() -> None:
    heads = Heads(HTTPLimits(memo=4))
    first = heads.parse(GET)
    assert heads.parse(GET) is first
    for number in range(10):
        heads.parse(GET.replace(b"/a", b"/%d" % number))
    assert len(heads.memo) <= 4
    assert heads.parse(GET).request.target == first.request.target


REQUESTS = [row[1] for row in vectors.GOOD[:12] + vectors.GOOD_BODIES]


@given(st.lists(st.sampled_from(REQUESTS), max_size=5), st.data())
def test_the_memo_changes_nothing(requests: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(requests) * 2
    cut = data.draw(st.integers(0, len(octets)))
    with_memo, without = Server(), Server(limits=HTTPLimits(memo=0))
    assert with_memo.receive(octets[:cut]) + with_memo.receive(octets[cut:]) == without.receive(octets)


@given(st.lists(st.binary(max_size=80), max_size=10), st.sampled_from([echo, wanting]))
def test_garbage_is_answered_or_closed_and_never_raises(parts: list[bytes], role: object) -> None:
    server = Server(role)  # type: ignore[arg-type]
    output = b"".join(server.receive(part) for part in parts) + server.eof()
    assert server.closed
    assert output == b"" or output.startswith(b"HTTP/1.1 ")


SHORT = [
    row[1]
    for table in (vectors.GOOD_BODIES, vectors.BAD_BODIES, vectors.GOOD, vectors.BAD)
    for row in table
    if len(row[1]) < 3000
]


@given(st.sampled_from(SHORT), st.data())
def test_flipped_octets_are_answered_or_closed_and_never_raise(octets: bytes, data: st.DataObject) -> None:
    changed = bytearray(octets)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(changed)))
    for role in (echo, wanting):
        whole, split = Server(role), Server(role)
        once = whole.receive(bytes(changed)) + whole.eof()
        twice = split.receive(bytes(changed[:cut])) + split.receive(bytes(changed[cut:])) + split.eof()
        assert statuses(once) == statuses(twice)
        assert whole.closed
        assert split.closed


# The client's side


def ask(client: Client, method: str = "GET", target: str = "/", body: bytes = b"") -> bytes:
    return client.send(SendRequest(method, target, [("Host", "a.test")], body))


def told(client: Client) -> list[object]:
    """The responses in short: status, then content, then whether the connection lives."""
    found: list[object] = []
    for event in client.events:
        if isinstance(event, ResponseReceived | InterimReceived):
            found.append(event.response.status)
        elif isinstance(event, BodyReceived):
            found.append(event.data)
        elif isinstance(event, ResponseEnded):
            found.append(event.reusable)
    return found


RESPONSES = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "GET", [200, b"hello", True]),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", [200, True]),
    (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", [204, True]),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", [304, True]),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n", "GET", [200, b"hello", True]),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "GET", [200, b"hello", False]),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "GET", [200, b"hello", False]),
    (b"HTTP/1.1 200 OK\r\n\r\nhello", "GET", [200, b"hello", False]),
    (b"HTTP/1.1 200 OK\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n", "GET", [200, True]),
    (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "GET",
        [200, b"hello", False],
    ),
    (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", [103, 200, True]),
]


@pytest.mark.parametrize(("octets", "method", "expected"), RESPONSES)
def test_responses_at_every_split(octets: bytes, method: str, expected: list[object]) -> None:
    for cut in range(len(octets)):
        client = Client()
        ask(client, method)
        client.receive(octets[:cut])
        client.receive(octets[cut:])
        client.eof()
        found = told(client)
        joined = [part for part in found if not isinstance(part, bytes)]
        assert joined == [part for part in expected if not isinstance(part, bytes)]
        assert b"".join(part for part in found if isinstance(part, bytes)) == b"".join(
            part for part in expected if isinstance(part, bytes)
        )
        assert client.fault is None


@pytest.mark.parametrize(
    "octets",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_100_000,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 17_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_a_server_may_not_do(octets: bytes) -> None:
    client = Client()
    ask(client)
    client.receive(octets)
    assert client.fault is not None
    assert client.engine.fault == str(client.fault)


@pytest.mark.parametrize("octets", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
                                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"])  # fmt: skip
def test_an_end_in_the_middle_is_the_server_s_fault(octets: bytes) -> None:
    client = Client()
    ask(client)
    client.receive(octets)
    client.eof()
    assert client.fault is not None


def test_requests_that_break_the_rules_are_the_caller_s_mistake() -> None:
    client = Client()
    for fields in ([], [("Host", "a"), ("Content-Length", "5")], [("Host", "a"), ("Transfer-Encoding", "chunked")]):
        with pytest.raises(LocalProtocolError):
            client.send(SendRequest("GET", "/", fields))
    with pytest.raises(LocalProtocolError):
        client.send(Respond(200, b""))
    client.send(SendRequest("GET", "/", [("Host", "a"), ("Connection", "close")]))
    with pytest.raises(LocalProtocolError):
        ask(client)


@given(
    st.lists(st.tuples(st.sampled_from(["GET", "HEAD", "POST", "PUT"]), st.binary(max_size=300)), min_size=1, max_size=6),
    st.integers(1, 50),
    st.booleans(),
)
def test_two_engines_in_memory(exchanges: list[tuple[str, bytes]], split: int, stream: bool) -> None:
    bodies: list[bytes] = []

    def answer(event: Event) -> Sequence[Command]:
        """Sends back what came."""
        if isinstance(event, RequestReceived):
            bodies.append(b"")
            if event.request.length:
                return []
        elif isinstance(event, BodyReceived):
            bodies[-1] += event.data
            return []
        content = bodies[-1] or b"nothing"
        if stream:
            return [StartResponse(200, b""), SendBody(content[:2]), SendBody(content[2:]), EndResponse()]
        return [Respond(200, b"", content)]

    server, client = Server(answer, recording=True), Client(recording=True)
    sent = b"".join(ask(client, method, "/", body) for method, body in exchanges)
    back = b"".join(server.receive(sent[at : at + split]) for at in range(0, len(sent), split))
    for at in range(0, len(back), split):
        client.receive(back[at : at + split])
    assert client.fault is None
    received: list[bytes] = []
    for event in client.events:
        if isinstance(event, ResponseReceived):
            received.append(b"")
        elif isinstance(event, BodyReceived):
            received[-1] += event.data
    assert received == [b"" if method == "HEAD" else body or b"nothing" for method, body in exchanges]
    # The journal's rows of one direction, joined, are the octets of the stream.
    for engine in (server.engine, client.engine):
        messages = [*engine.messages()]
        mine = back if engine is server.engine else sent
        assert b"".join(message.data for message in messages if message.sent) == mine
        assert b"".join(message.data for message in messages if not message.sent) == (sent if mine is back else back)
        assert len(messages) == 2 * len(exchanges)


def test_the_journal_counts_what_a_file_sends() -> None:
    server = Server(lambda event: [Respond(200, b"", FileSlice(Memory(b"x" * 100), 0, 100))], recording=True)
    server.receive(GET)
    asked, answered = server.engine.messages()
    assert (asked.summary, asked.data) == ("GET /a HTTP/1.1", GET)
    assert (answered.summary, answered.omitted) == ("200 OK", 100)


def test_the_journal_counts_what_it_does_not_keep_of_a_streamed_response() -> None:
    part, parts = b"x" * 100_000, 15
    commands = [StartResponse(200, b""), *[SendBody(part)] * parts, EndResponse()]
    server = Server(lambda event: commands, recording=True)
    sent = server.receive(GET)
    _, answered = server.engine.messages()
    assert len(answered.data) == RECORDED
    assert answered.omitted == len(sent) - RECORDED


def test_a_record_ends_where_the_next_message_begins() -> None:
    record = Record()
    record.add(b"a" * (RECORDED - 1))
    record.add(b"bcd" + b"next")
    assert record.take(b"next") == (b"a" * (RECORDED - 1) + b"b", 2)
    assert record.take() == (b"next", 0)


def test_date_changes_with_the_second() -> None:
    engine = ServerEngine(Heads(HTTPLimits(), "x"))
    for wall, date in ((WALL, b"20:26:40"), (WALL + 0.9, b"20:26:40"), (WALL + 1, b"20:26:41")):
        for event in engine.receive(GET, Now(0.0, wall)):
            if isinstance(event, RequestReceived):
                engine.send(Respond(200, b""), Now(0.0, wall))
        [output] = engine.data_to_send()
        assert isinstance(output, bytes)
        assert b"Date: Thu, 28 May 2026 " + date + b" GMT\r\nServer: x\r\n" in output
