"""The rules of RFC 9113, one case each, in the manner of h2spec: what is sent, and how stream or connection end."""

import pytest
from hyperframe.frame import ContinuationFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame

from netstack.http.engine.http2.frames import Code
from netstack.http.engine.server import PREFACE
from netstack.http.events import Respond
from netstack.http.limits import HTTPLimits
from tests.http.http2 import (
    OPENING,
    POST,
    REQUEST,
    Server,
    block,
    data,
    ends,
    raw,
    request,
    settings,
    silent,
    window,
)

P, F, S, Z, C, R, K, Y = (
    Code.PROTOCOL_ERROR, Code.FLOW_CONTROL_ERROR, Code.STREAM_CLOSED, Code.FRAME_SIZE_ERROR, Code.COMPRESSION_ERROR,
    Code.REFUSED_STREAM, Code.CANCEL, Code.ENHANCE_YOUR_CALM,
)  # fmt: skip

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
UPDATE = 16
END, HEADERS_END, PADDED, PRIORITIZED = 1, 4, 8, 32
GET = block(*REQUEST)
OPEN = request(1, ended=False, fields=POST)
HALF = request(1)
"""With a silent role the response is owed: half-closed (remote)."""
FOUR = (5).to_bytes(4, "big")


def goaway(code: int) -> tuple[str, int]:
    return "goaway", code


def reset(code: int, stream: int = 1) -> tuple[str, int, int]:
    return "reset", stream, code


def headers(*fields: tuple[str, str], flags: int = HEADERS_END | END) -> bytes:
    return raw(HEADERS, flags, 1, block(*fields))


def posting(*lengths: str) -> Frame:
    """A POST whose body follows."""
    return request(1, *(("content-length", length) for length in lengths), ended=False, fields=POST)


def with_field(name: str, value: str) -> bytes:
    return headers(*REQUEST, (name, value))


def without(name: str) -> bytes:
    return headers(*(pair for pair in REQUEST if pair[0] != name))


def instead(name: str, value: str) -> bytes:
    return headers(*((key, value if key == name else old) for key, old in REQUEST))


# (section of RFC 9113, what, what is sent after the preface and SETTINGS, how it ends)
CASES: list[tuple[str, str, list[bytes | Frame], tuple[str, int] | tuple[str, int, int]]] = [
    ("4.1", "a frame of an unknown kind is passed over", [raw(200, 255, 0, b"x"), HALF], ("open", 0)),
    ("4.1", "unknown flags are passed over", [raw(PING, 0xFE, 0, b"12345678"), HALF], ("open", 0)),
    ("4.1", "the reserved bit is passed over", [raw(PING, 0, 0x8000_0000, b"12345678"), HALF], ("open", 0)),
    ("4.2", "DATA above the largest size", [OPEN, raw(DATA, 0, 1, b"x" * 16_385)], goaway(Z)),
    ("4.2", "HEADERS above the largest size", [raw(HEADERS, HEADERS_END, 1, b"x" * 16_385)], goaway(Z)),
    ("4.2", "an announced size above the largest", [raw(PING, 0, 0, b"", 0xFF_FFFF)], goaway(Z)),
    ("4.3", "a field block that is none", [raw(HEADERS, HEADERS_END | END, 1, b"\xff\xff\xff\xff\xff\xff")], goaway(C)),
    ("4.3", "an index that is not in the table", [raw(HEADERS, HEADERS_END | END, 1, GET + b"\xc6")], goaway(C)),
    ("4.3", "index 0", [raw(HEADERS, HEADERS_END | END, 1, GET + b"\x80")], goaway(C)),
    ("4.3", "a table size above the setting", [raw(HEADERS, HEADERS_END | END, 1, b"\x3f\xe1\x7f" + GET)], goaway(C)),
    ("4.3", "a table size after a field", [raw(HEADERS, HEADERS_END | END, 1, GET + b"\x20")], goaway(C)),
    ("4.3", "a literal cut short", [raw(HEADERS, HEADERS_END | END, 1, GET + b"\x00\x05ab")], goaway(C)),
    ("4.3", "Huffman padding above 7 bits", [raw(HEADERS, HEADERS_END | END, 1, GET + b"\0\1a\x82\xff\xff")], goaway(C)),
    ("4.3", "a field block in the middle of another", [raw(HEADERS, END, 1, GET), request(3)], goaway(P)),
    ("4.3", "PRIORITY in the middle of a block", [raw(HEADERS, END, 1, GET), raw(PRIORITY, 0, 1, b"\0" * 5)], goaway(P)),
    ("4.3", "DATA in the middle of a field block", [raw(HEADERS, 0, 1, GET), data(1, b"x")], goaway(P)),
    ("4.3", "an unknown frame in the middle of a field block", [raw(HEADERS, END, 1, GET), raw(99, 0, 0)], goaway(P)),
    ("5.1", "DATA on an idle stream", [data(1, b"x")], goaway(P)),
    ("5.1", "RST_STREAM on an idle stream", [raw(RST, 0, 1, FOUR)], goaway(P)),
    ("5.1", "WINDOW_UPDATE on an idle stream", [raw(WINDOW, 0, 1, FOUR)], goaway(P)),
    ("5.1", "CONTINUATION on an idle stream", [raw(CONTINUATION, HEADERS_END, 1, GET)], goaway(P)),
    ("5.1", "DATA after the request's end", [HALF, data(1, b"x")], reset(S)),
    ("5.1", "HEADERS after the request's end", [HALF, request(1)], reset(S)),
    ("5.1", "CONTINUATION after the request's end", [HALF, raw(CONTINUATION, HEADERS_END, 1, GET)], goaway(P)),
    ("5.1", "WINDOW_UPDATE after the request's end", [HALF, window(1, 10)], ("open", 0)),
    ("5.1", "PRIORITY on an idle stream", [raw(PRIORITY, 0, 7, b"\0" * 5), HALF], ("open", 0)),
    ("5.1", "DATA after RST_STREAM", [OPEN, raw(RST, 0, 1, FOUR), data(1, b"x")], reset(S)),
    ("5.1", "HEADERS after RST_STREAM", [OPEN, raw(RST, 0, 1, FOUR), request(1)], goaway(S)),
    ("5.1", "WINDOW_UPDATE after RST_STREAM", [OPEN, raw(RST, 0, 1, FOUR), window(1, 9), request(3)], ("open", 0)),
    ("5.1", "RST_STREAM after RST_STREAM", [OPEN, raw(RST, 0, 1, FOUR) * 2, request(3)], ("open", 0)),
    ("5.1.1", "a stream of an even number", [request(2)], goaway(P)),
    ("5.1.1", "a number below one that was used", [request(5), request(3)], goaway(P)),
    ("5.1.1", "HEADERS on stream 0", [raw(HEADERS, HEADERS_END | END, 0, GET)], goaway(P)),
    ("5.1.2", "more streams than allowed", [request(1), request(3), request(5)], reset(R, 5)),
    ("6.1", "DATA on stream 0", [raw(DATA, 0, 0, b"x")], goaway(P)),
    ("6.1", "padding as long as the frame", [OPEN, raw(DATA, PADDED, 1, b"\x05abcd")], goaway(P)),
    ("6.1", "a padded frame of nothing", [OPEN, raw(DATA, PADDED, 1)], goaway(Z)),
    ("6.1", "padding is no content", [OPEN, raw(DATA, PADDED | END, 1, b"\x02a\0\0")], ("open", 0)),
    ("6.2", "padded HEADERS", [raw(HEADERS, HEADERS_END | END | PADDED, 1, b"\x03" + GET + b"\0" * 3)], ("open", 0)),
    ("6.2", "HEADERS padded too long", [raw(HEADERS, HEADERS_END | END | PADDED, 1, b"\xff" + GET)], goaway(P)),
    ("6.2", "HEADERS with a priority", [raw(HEADERS, HEADERS_END | END | PRIORITIZED, 1, b"\0" * 5 + GET)], ("open", 0)),
    ("6.2", "HEADERS too short for its priority", [raw(HEADERS, HEADERS_END | END | PRIORITIZED, 1, b"abc")], goaway(Z)),
    ("6.3", "PRIORITY on stream 0", [raw(PRIORITY, 0, 0, b"\0" * 5)], goaway(P)),
    ("6.3", "PRIORITY of 4 octets", [HALF, raw(PRIORITY, 0, 1, b"\0" * 4)], reset(Z)),
    ("6.4", "RST_STREAM on stream 0", [raw(RST, 0, 0, FOUR)], goaway(P)),
    ("6.4", "RST_STREAM of 3 octets", [HALF, raw(RST, 0, 1, b"abc")], goaway(Z)),
    ("6.5", "SETTINGS on a stream", [raw(SETTINGS, 0, 1)], goaway(P)),
    ("6.5", "SETTINGS of 5 octets", [raw(SETTINGS, 0, 0, b"\0" * 5)], goaway(Z)),
    ("6.5", "an acknowledgement with a payload", [raw(SETTINGS, 1, 0, b"\0" * 6)], goaway(Z)),
    ("6.5.2", "ENABLE_PUSH of 2", [settings(ENABLE_PUSH=2)], goaway(P)),
    ("6.5.2", "INITIAL_WINDOW_SIZE above 2^31-1", [settings(INITIAL_WINDOW_SIZE=2**31)], goaway(F)),
    ("6.5.2", "MAX_FRAME_SIZE below 2^14", [settings(MAX_FRAME_SIZE=16_383)], goaway(P)),
    ("6.5.2", "MAX_FRAME_SIZE above 2^24-1", [settings(MAX_FRAME_SIZE=2**24)], goaway(P)),
    ("6.5.2", "an unknown setting", [raw(SETTINGS, 0, 0, b"\xff\xff\0\0\0\1"), HALF], ("open", 0)),
    ("6.6", "PUSH_PROMISE", [HALF, raw(PUSH, HEADERS_END, 1, b"\0\0\0\2" + GET)], goaway(P)),
    ("6.7", "PING on a stream", [raw(PING, 0, 1, b"12345678")], goaway(P)),
    ("6.7", "PING of 6 octets", [raw(PING, 0, 0, b"123456")], goaway(Z)),
    ("6.7", "an acknowledgement of no PING", [raw(PING, 1, 0, b"12345678"), HALF], ("open", 0)),
    ("6.8", "GOAWAY on a stream", [raw(GOAWAY, 0, 1, b"\0" * 8)], goaway(P)),
    ("6.8", "GOAWAY of 7 octets", [raw(GOAWAY, 0, 0, b"\0" * 7)], goaway(Z)),
    ("6.9", "WINDOW_UPDATE of 3 octets", [raw(WINDOW, 0, 0, b"abc")], goaway(Z)),
    ("6.9", "a connection's window by 0", [raw(WINDOW, 0, 0, b"\0" * 4)], goaway(P)),
    ("6.9", "a stream's window by 0", [HALF, raw(WINDOW, 0, 1, b"\0" * 4)], reset(P)),
    ("6.9.1", "a connection's window above 2^31-1", [window(0, 2**31 - 1), window(0, 2**31 - 1)], goaway(F)),
    ("6.9.1", "a stream's window above 2^31-1", [HALF, window(1, 2**31 - 1), window(1, 2**31 - 1)], reset(F)),
    ("6.9.1", "more DATA than the stream's window", [OPEN, data(1, b"x" * 8193)], reset(F)),
    ("6.9.2", "settings that take a window too far",
     [HALF, window(1, 2**31 - 70_000), settings(INITIAL_WINDOW_SIZE=2**31 - 1)], goaway(F)),
    ("6.10", "CONTINUATION on stream 0", [raw(HEADERS, END, 1, GET[:3]), raw(CONTINUATION, 4, 0, GET[3:])], goaway(P)),
    ("6.10", "CONTINUATION on another stream", [raw(HEADERS, END, 1, GET[:3]), raw(CONTINUATION, 4, 3, GET[3:])], goaway(P)),
    ("6.10", "CONTINUATION after a whole block", [HALF, raw(CONTINUATION, 4, 1, b"")], goaway(P)),
    ("6.10", "CONTINUATION after DATA", [OPEN, data(1, b"x"), raw(CONTINUATION, 4, 1, b"")], goaway(P)),
    ("6.10", "a block in four frames",
     [raw(HEADERS, END, 1, GET[:3]), raw(9, 0, 1, GET[3:4]), raw(9, 0, 1), raw(9, 4, 1, GET[4:])], ("open", 0)),
    ("8.1", "trailers that do not end", [OPEN, data(1, b"x"), raw(HEADERS, HEADERS_END, 1, block(("x", "y")))], reset(P)),
    ("8.1", "trailers with a pseudo-header field", [OPEN, headers((":path", "/"), ("x", "y"))], reset(P)),
    ("8.1.1", "less DATA than content-length", [posting("3"), data(1, b"ab", True)], reset(P)),
    ("8.1.1", "more DATA than content-length", [posting("1"), data(1, b"ab", True)], reset(P)),
    ("8.1.1", "a content-length without DATA", [request(1, ("content-length", "1"), fields=POST)], reset(P)),
    ("8.1.1", "DATA in several frames, too much", [posting("3"), data(1, b"ab"), data(1, b"cd")], reset(P)),
    ("8.1.1", "two different content-lengths", [posting("1", "2")], reset(P)),
    ("8.1.1", "a content-length with a sign", [posting("+1")], reset(P)),
    ("8.1.1", "a list of content-lengths", [posting("1, 1")], reset(P)),
    ("8.1.1", "trailers before all DATA", [posting("3"), headers(("x", "y"))], reset(P)),
    ("8.2.1", "a name with a capital letter", [with_field("X-a", "b")], reset(P)),
    ("8.2.1", "an empty name", [with_field("", "b")], reset(P)),
    ("8.2.1", "a name with a space", [with_field("a b", "c")], reset(P)),
    ("8.2.1", "a name with a colon", [with_field("a:b", "c")], reset(P)),
    ("8.2.1", "a value with a line feed", [with_field("a", "b\nc: d")], reset(P)),
    ("8.2.1", "a value with a carriage return", [with_field("a", "b\rc")], reset(P)),
    ("8.2.1", "a value with NUL", [with_field("a", "b\0")], reset(P)),
    ("8.2.1", "a value that begins with a space", [with_field("a", " b")], reset(P)),
    ("8.2.1", "a value that ends with a tab", [with_field("a", "b\t")], reset(P)),
    ("8.2.2", "connection", [with_field("connection", "close")], reset(P)),
    ("8.2.2", "keep-alive", [with_field("keep-alive", "timeout=5")], reset(P)),
    ("8.2.2", "proxy-connection", [with_field("proxy-connection", "close")], reset(P)),
    ("8.2.2", "transfer-encoding", [with_field("transfer-encoding", "chunked")], reset(P)),
    ("8.2.2", "upgrade", [with_field("upgrade", "h2c")], reset(P)),
    ("8.2.2", "te other than trailers", [with_field("te", "trailers, deflate")], reset(P)),
    ("8.2.2", "te: trailers", [with_field("te", "trailers")], ("open", 0)),
    ("8.3", "a pseudo-header field that nobody knows", [headers((":what", "x"), *REQUEST)], reset(P)),
    ("8.3", "one of responses", [headers(*REQUEST, (":status", "200"))], reset(P)),
    ("8.3", "one after a field", [headers(*REQUEST[:3], ("x", "y"), REQUEST[3])], reset(P)),
    ("8.3", "one of extended CONNECT", [headers(*REQUEST, (":protocol", "websocket"))], reset(P)),
    ("8.3.1", "no :method", [without(":method")], reset(P)),
    ("8.3.1", "no :scheme", [without(":scheme")], reset(P)),
    ("8.3.1", "no :path", [without(":path")], reset(P)),
    ("8.3.1", "an empty :path", [instead(":path", "")], reset(P)),
    ("8.3.1", "a :path without its slash", [instead(":path", "a")], reset(P)),
    ("8.3.1", "a :path with a space", [instead(":path", "/a HTTP/1.1")], reset(P)),
    ("8.3.1", "* for GET", [instead(":path", "*")], reset(P)),
    ("8.3.1", "a :method that is no token", [instead(":method", "GET /admin")], reset(P)),
    ("8.3.1", "an empty :method", [instead(":method", "")], reset(P)),
    ("8.3.1", "a :scheme that is none", [instead(":scheme", "http://")], reset(P)),
    ("8.3.1", "two :methods", [headers(*REQUEST, (":method", "GET"))], reset(P)),
    ("8.3.1", "two :paths", [headers(*REQUEST, (":path", "/"))], reset(P)),
    ("8.3.1", "two :schemes", [headers(*REQUEST, (":scheme", "http"))], reset(P)),
    ("8.3.1", "two :authorities", [headers(*REQUEST, (":authority", "a.test"))], reset(P)),
    ("8.3.1", "a host that differs from :authority", [with_field("host", "b.test")], reset(P)),
    ("8.3.1", "two hosts", [headers(*REQUEST[:3], ("host", "a.test"), ("host", "b.test"))], reset(P)),
    ("8.3.1", "an :authority with a user", [instead(":authority", "a@b.test")], reset(P)),
    ("8.3.1", "an :authority with a path", [instead(":authority", "b.test/x")], reset(P)),
    ("8.3.1", "the same host beside :authority", [with_field("host", "a.test")], ("open", 0)),
    ("8.3.1", "host alone", [headers(*REQUEST[:3], ("host", "a.test"))], ("open", 0)),
    ("8.3.1", "neither of them", [without(":authority")], ("status", 400)),
    ("8.3.1", "a fragment", [instead(":path", "/a#b")], ("status", 400)),
    ("8.5", "CONNECT", [headers((":method", "CONNECT"), (":authority", "a.test:443"))], ("open", 0)),
    ("8.5", "CONNECT with a :path", [headers((":method", "CONNECT"), (":authority", "a.test"), (":path", "/"))], reset(P)),
    ("8.5", "CONNECT without :authority", [headers((":method", "CONNECT"))], reset(P)),
    ("9110 10.1.1", "an expectation that nobody can meet", [with_field("expect", "wonders")], ("status", 417)),
    ("9110 8.6", "a content-length above the limit", [posting("99999999")], ("status", 413)),
    ("9110 5", "more fields than the limit", [headers(*REQUEST, *((f"x{n}", "y") for n in range(101)))], ("status", 431)),
    ("9110 4.1", "a :path above the limit", [instead(":path", "/" + "x" * 8000)], ("status", 414)),
    ("10.5.1", "a field section above all limits", [headers(*REQUEST, *((f"x{n}", "y") for n in range(1500)))], goaway(Y)),
    ("9218 7.1", "PRIORITY_UPDATE on a stream", [raw(UPDATE, 0, 1, FOUR + b"u=1")], goaway(P)),
    ("9218 7.1", "PRIORITY_UPDATE of 3 octets", [raw(UPDATE, 0, 0, b"abc")], goaway(Z)),
    ("9218 7.1", "PRIORITY_UPDATE of stream 0", [raw(UPDATE, 0, 0, b"\0" * 4 + b"u=1")], goaway(P)),
    ("9218 7.1", "PRIORITY_UPDATE of a stream to come", [raw(UPDATE, 0, 0, FOUR + b"u=1"), HALF], ("open", 0)),
]  # fmt: skip


@pytest.mark.parametrize(("section", "what", "sent", "end"), CASES, ids=[f"{case[0]} {case[1]}" for case in CASES])
@pytest.mark.parametrize("size", [None, 1, 7])
def test_rule(section: str, what: str, sent: list[bytes | Frame], end: tuple[object, ...], size: int | None) -> None:
    server = Server(silent, HTTPLimits(streams=2, window=8192))
    octets = OPENING + b"".join(each if isinstance(each, bytes) else each.serialize() for each in sent)
    if size and len(octets) > 3000:
        size *= 997
    pieces = [octets[at : at + (size or len(octets))] for at in range(0, len(octets), size or len(octets))]
    got = [frame for piece in pieces for frame in server.receive(piece)]
    told = ends(got)
    if end[0] == "goaway":
        assert [(kind, code) for kind, _, code in told] == [end]
        assert server.closed
        assert server.fault is not None
        return
    assert not server.closed
    if end[0] == "reset":
        assert told == [end]
    elif end[0] == "status":
        assert server.status(got) == end[1]
        assert {code for _, _, code in told} <= {0}
    else:
        assert told == []
        assert len(server.events) >= 1
    # The connection goes on.
    assert [frame.opaque_data for frame in server.receive(PingFrame(0, b"abcdefgh")) if isinstance(frame, PingFrame)] == [
        b"abcdefgh"
    ]


def test_settings_come_first_and_are_acknowledged() -> None:
    server = Server()
    first, wider, acknowledged = server.receive(OPENING)
    assert isinstance(first, SettingsFrame)
    assert first.settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == HTTPLimits().streams
    assert wider.stream_id == 0
    assert acknowledged.flags == {"ACK"}


@pytest.mark.parametrize(
    "octets",
    [b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", PREFACE + PingFrame(0, b"12345678").serialize(),
     PREFACE + SettingsFrame(0, flags=["ACK"]).serialize(), PREFACE + HeadersFrame(1, GET).serialize()],
)  # fmt: skip
def test_a_connection_that_begins_otherwise_ends(octets: bytes) -> None:
    server = Server()
    assert ends(server.receive(octets)) == [("goaway", 0, Code.PROTOCOL_ERROR)]


def test_a_goaway_of_the_client_lets_answers_finish() -> None:
    server = Server(silent)
    server.receive(OPENING, request(1), GoAwayFrame(0, 0, 0))
    assert not server.closed

    assert server.status(server.send(1, Respond(200, b""))) == 200
    assert server.closed


def test_a_continuation_flood_ends_before_its_block_does() -> None:
    server = Server(silent)
    first = HeadersFrame(1, GET, flags=["END_STREAM"])
    got = server.receive(OPENING, first, *[ContinuationFrame(1, b"")] * 100)
    assert ends(got) == [("goaway", 0, Code.ENHANCE_YOUR_CALM)]
    assert server.counts.abuses["fields"] == 1
