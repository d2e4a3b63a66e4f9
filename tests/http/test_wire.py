"""Heads: the table of requests, responses, and what goes back to octets."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from netstack.http.limits import HTTPLimits
from netstack.http.wire import (
    STATUS_LINES,
    BadMessage,
    bare_line_end,
    body_framing,
    content_length,
    field_block,
    parse_request,
    parse_response,
    read_field_lines,
    request_head,
)
from netstack.http.wire import _read_fields as read_fields
from netstack.sansio import LocalProtocolError
from tests.http import vectors

LIMITS = HTTPLimits()
TOKENS = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=12)
VALUES = st.text(st.sampled_from([*map(chr, range(0x21, 0x7F)), "\x80", "\xff"]), max_size=20).map(str)


@pytest.mark.parametrize(("name", "head", "method", "path", "query", "host", "keep_alive"), vectors.GOOD)
def test_a_good_request(
    name: str, head: bytes, method: str, path: str, query: str | None, host: str | None, keep_alive: bool
) -> None:
    request = parse_request(head, LIMITS)
    assert (request.method, request.path, request.query, request.host, request.keep_alive) == (
        method, path, query, host, keep_alive,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "head", "status", "reason"), [row for row in vectors.BAD if 0 <= row[1].find(b"\r\n\r\n") < LIMITS.head]
)
def test_a_bad_request_is_refused_with_its_status_and_reason(name: str, head: bytes, status: int, reason: str) -> None:
    head = head[: head.index(b"\r\n\r\n") + 4]
    with pytest.raises(BadMessage, match=reason) as caught:
        parse_request(head, LIMITS)
    assert caught.value.code == status


def test_repeated_fields_are_joined() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nAccept: x\r\naccept: y\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n"
    fields = parse_request(head, LIMITS).fields
    assert fields == {"host": "a", "accept": "x, y", "cookie": "a=1; b=2"}


def test_100_continue_is_seen_only_with_a_body_and_http_1_1() -> None:
    for start, body, expected in (("1.1", "5", True), ("1.1", "0", False), ("1.0", "5", False)):
        head = f"POST / HTTP/{start}\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: {body}\r\n\r\n"
        assert parse_request(head.encode(), LIMITS).expects_continue is expected


@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(
            st.sampled_from([b"a", b"X", b":", b" ", b"\t", b"\r\n", b"\r", b"\n", b"\0", b"\x7f", b"\xe9", b"(", b"1"])
        ).map(b"".join),
    )
)
@example(b"a: b")
@example(b"a : b")
@example(b" a: b")
@example(b"a")
def test_llhttp_and_our_own_grammar_agree_on_fields(lines: bytes) -> None:
    block = lines + b"\r\n\r\n"
    framing = b"content-length" in block.lower() or b"transfer-encoding" in block.lower()
    assume(
        not framing
        and not bare_line_end(block)
        and not block.startswith(b"\r\n")
        and block.find(b"\r\n\r\n") == len(block) - 4
    )
    try:
        ours = read_field_lines(block, 100)
    except BadMessage:
        ours = None
    try:
        theirs, complaint = read_fields(block, 100)
    except BadMessage:
        theirs, complaint = None, None
    assert complaint is None
    assert theirs == ours


@given(TOKENS, st.lists(st.tuples(TOKENS.filter(lambda name: name.lower() not in ("host", "expect")), VALUES), max_size=8))
def test_a_request_head_comes_back_as_it_was_written(method: str, fields: list[tuple[str, str]]) -> None:
    if method == "CONNECT":
        return
    names = [name.lower() for name, _ in fields]
    if len({*names}) != len(names) or "connection" in names:
        return
    head = request_head(method, "/a?b", [("Host", "h.test"), *fields])
    request = parse_request(head, LIMITS)
    assert (request.method, request.target) == (method, "/a?b")
    assert request.fields == {"host": "h.test", **{name.lower(): value for name, value in fields}}


@given(st.binary(max_size=200))
def test_garbage_is_parsed_or_refused_and_nothing_else(garbage: bytes) -> None:
    for parse in (parse_request, parse_response):
        try:
            parse(garbage + b"\r\n\r\n", LIMITS)
            codes = []
        except BadMessage as error:
            codes = [error.code]
        assert STATUS_LINES.keys() >= {*codes}


@pytest.mark.parametrize(
    ("name", "value"), [("X", "a\r\nSet-Cookie: b"), ("X", "a\0"), ("X Y", "z"), ("", "z"), ("X:", "z"), ("X", "\n")]
)
def test_fields_that_would_split_a_message_are_not_written(name: str, value: str) -> None:
    with pytest.raises(LocalProtocolError):
        field_block([(name, value)])


@pytest.mark.parametrize(("method", "target"), [("GET", "/a b"), ("GET", ""), ("G T", "/"), ("GET", "/\r\nX: y")])
def test_request_lines_that_would_split_a_message_are_not_written(method: str, target: str) -> None:
    with pytest.raises(LocalProtocolError):
        request_head(method, target, [])


@pytest.mark.parametrize(
    ("head", "status", "reason", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200, "OK", True),
        (b"HTTP/1.1 200 \r\n\r\n", 200, "", True),
        (b"HTTP/1.1 200\r\n\r\n", 200, "", True),
        (b"HTTP/1.0 404 Not Here\r\nServer: x\r\n\r\n", 404, "Not Here", False),
        (b"HTTP/1.1 500 O\r\nConnection: close\r\n\r\n", 500, "O", False),
    ],
)
def test_a_good_response(head: bytes, status: int, reason: str, keep_alive: bool) -> None:
    response = parse_response(head, LIMITS)
    assert (response.status, response.reason, response.keep_alive) == (status, reason, keep_alive)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_a_bad_response(head: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_response(head, LIMITS)


@pytest.mark.parametrize(
    ("fields", "method", "status", "framing"),
    [
        (b"Content-Length: 5\r\n", "GET", 200, 5),
        (b"Content-Length: 5\r\n", "HEAD", 200, 0),
        (b"Content-Length: 5\r\n", "GET", 304, 0),
        (b"Transfer-Encoding: chunked\r\n", "GET", 200, True),
        (b"Transfer-Encoding: chunked\r\n", "HEAD", 200, 0),
        (b"", "GET", 200, None),
        (b"", "GET", 204, 0),
    ],
)
def test_how_a_response_body_is_delimited(fields: bytes, method: str, status: int, framing: int | bool | None) -> None:
    response = parse_response(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, fields), LIMITS)
    assert body_framing(response, method) is framing or body_framing(response, method) == framing


@pytest.mark.parametrize("fields", [b"Transfer-Encoding: gzip\r\n", b"Transfer-Encoding: gzip, chunked\r\n"])
def test_a_transfer_coding_that_was_not_asked_for_is_refused(fields: bytes) -> None:
    with pytest.raises(BadMessage, match="coding"):
        body_framing(parse_response(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n", LIMITS), "GET")


def test_a_length_may_have_any_number_of_zeros_before_it() -> None:
    assert content_length("0" * 5000 + "5") == 5
    assert content_length("0" * 5000) == 0
