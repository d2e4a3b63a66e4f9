"""HTTP/2 to the proxy, HTTP/1 behind it: nothing that HTTP/2 can say breaks a message of HTTP/1 apart (RFC 9113 §10.3)."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamReset

from tests.cache.test_tunnel import Both, Speaker, spoken
from tests.cache.town import ORIGIN

Fields = Sequence[tuple[bytes, bytes]]
GET: Fields = ((b":method", b"GET"), (b":scheme", b"http"), (b":authority", ORIGIN.encode()), (b":path", b"/"))
POST: Fields = ((b":method", b"POST"), *GET[1:])
INNER = b"GET /admin HTTP/1.1\r\nHost: www.a.test\r\n\r\n"


class Liar(Speaker):
    """A client whose library checks nothing of what it sends."""

    def __init__(self) -> None:
        super().__init__()
        self.library = H2Connection(
            H2Configuration(header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False)
        )


def said(*calls: Callable[[H2Connection], None]) -> tuple[Both, Liar]:
    town = Both()
    liar = Liar()
    town.connect(end=liar)
    for call in calls:
        spoken(town, call, liar)
    town.run(5.0)
    return town, liar


def outcome(liar: Liar) -> str:
    """A status, "reset" for a stream or "end" for the connection."""
    for event in liar.seen:
        if isinstance(event, ResponseReceived):
            return dict(event.headers)[b":status"].decode()
        if isinstance(event, StreamReset | ConnectionTerminated):
            return "reset" if isinstance(event, StreamReset) else "end"
    return "nothing"


def replaced(name: bytes, value: bytes) -> Fields:
    return [(known, value if known == name else old) for known, old in GET]


BROKEN: dict[str, Fields] = {
    "a line end in a value": [*GET, (b"a", b"b\r\nContent-Length: 60")],
    "a line feed in a value": [*GET, (b"a", b"b\nTransfer-Encoding: chunked")],
    "a carriage return in a value": [*GET, (b"a", b"b\rc")],
    "a NUL in a value": [*GET, (b"a", b"b\0")],
    "a whole request in a value": [*GET, (b"a", b"b\r\n\r\n" + INNER)],
    "a line end in a name": [*GET, (b"a\r\ncontent-length", b"60")],
    "a colon in a name": [*GET, (b"content-length: 60\r\na", b"b")],
    "a space in a name": [*GET, (b"transfer-encoding ", b"chunked")],
    "a name in capitals": [*GET, (b"Content-Length", b"0")],
    "a name without a letter": [*GET, (b"", b"b")],
    "a space before a value": [*GET, (b"a", b" b")],
    "chunked": [*POST, (b"transfer-encoding", b"chunked")],
    "an option of the connection": [*GET, (b"connection", b"content-length")],
    "an upgrade": [*GET, (b"upgrade", b"h2c")],
    "a transfer coding that is asked for": [*GET, (b"te", b"chunked")],
    "two lengths": [*POST, (b"content-length", b"0"), (b"content-length", b"60")],
    "a length that is none": [*POST, (b"content-length", b"+0")],
    "a request line in :method": replaced(b":method", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET"),
    "a space in :method": replaced(b":method", b"GET /admin"),
    "a request line in :path": replaced(b":path", b"/ HTTP/1.1\r\nHost: x\r\n\r\n" + INNER),
    "a space in :path": replaced(b":path", b"/ HTTP/1.1"),
    "a tab in :path": replaced(b":path", b"/\tx"),
    "an absolute :path": replaced(b":path", b"http://evil.test/"),
    "no :path": replaced(b":path", b""),
    "a line end in :authority": replaced(b":authority", b"www.a.test\r\nX: y"),
    "credentials in :authority": replaced(b":authority", b"evil.test@www.a.test"),
    "a path in :authority": replaced(b":authority", b"www.a.test/admin?"),
    "a line end in :scheme": replaced(b":scheme", b"http\r\nX: y"),
    "a URL in :scheme": replaced(b":scheme", b"http://evil.test/?"),
    "another host": [*GET, (b"host", b"evil.test")],
    ":path twice": [*GET, (b":path", b"/admin")],
    ":path at the end": [*GET[:3], (b"a", b"b"), (b":path", b"/")],
    "a pseudo-field of responses": [*GET, (b":status", b"200")],
}


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_said_in_http1_goes_no_further(fields: Fields) -> None:
    body = any(name == b":method" and value == b"POST" for name, value in fields)

    def ask(library: H2Connection) -> None:
        library.send_headers(1, fields, end_stream=not body)
        if body:
            library.send_data(1, b"0\r\n\r\n" + INNER, end_stream=True)

    town, liar = said(ask)
    assert outcome(liar) in ("reset", "end", "400", "403", "501")
    assert town.asked == []
    assert [*town.proxy.store.list()] == []
    assert town.get().body == b"hello", "others are served"


@pytest.mark.parametrize(("stated", "sent"), [(5, b"hello" + INNER), (60, b"hello"), (0, INNER)])
def test_a_body_that_is_not_as_long_as_it_says_is_not_passed_on_as_whole(stated: int, sent: bytes) -> None:
    """RFC 9113 §8.1.1. The origin's connection is not used for anybody after that."""

    def ask(library: H2Connection) -> None:
        library.send_headers(1, [*POST, (b"content-length", b"%d" % stated)])
        library.send_data(1, sent, end_stream=True)

    town, liar = said(ask)
    assert outcome(liar) in ("reset", "400")
    assert all(asked.request.target == "/" and asked.body != sent for asked in town.asked)
    asked = len(town.asked)
    assert town.get("/after").body == b"hello"
    assert [each.request.target for each in town.asked[asked:]] == ["/after"]


def with_trailers(*trailers: tuple[bytes, bytes]) -> tuple[Both, Liar]:
    def ask(library: H2Connection) -> None:
        library.send_headers(1, POST)
        library.send_data(1, b"0\r\n\r\n" + INNER)
        library.send_headers(1, trailers, end_stream=True)

    return said(ask)


def test_a_body_without_a_length_is_framed_by_us_and_trailers_route_nothing() -> None:
    town, liar = with_trailers((b"x-sum", b"1"), (b"authorization", b"Basic x"), (b"host", b"evil.test"))
    assert outcome(liar) == "200"
    [asked] = town.asked
    assert (asked.request.chunked, asked.body) == (True, b"0\r\n\r\n" + INNER)
    assert [*asked.trailers] == [("x-sum", "1")]


@pytest.mark.parametrize(
    "trailer", [(b"content-length", b"0"), (b"transfer-encoding", b"chunked"), (b":path", b"/"), (b"a", b"b\r\nc")]
)
def test_trailers_that_are_none(trailer: tuple[bytes, bytes]) -> None:
    town, liar = with_trailers(trailer)
    assert outcome(liar) == "reset"
    assert all(asked.trailers == () for asked in town.asked)
    assert town.get("/after").body == b"hello"


def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing_behind() -> None:
    def ask(library: H2Connection) -> None:
        library.send_headers(1, [*POST, (b"content-length", b"100")])
        library.send_data(1, b"hello")

    town, _ = said(ask, lambda library: library.reset_stream(1))
    assert [asked.body for asked in town.asked] in ([], [b"hello"])
    assert town.get("/after").body == b"hello"
    assert town.metric("fetching") == 0


def test_crumbs_of_cookies_are_one_field_again() -> None:
    """RFC 9113 §8.2.3."""
    town, liar = said(
        lambda library: library.send_headers(1, [*GET, (b"cookie", b"a=1"), (b"cookie", b"b=2")], end_stream=True)
    )
    assert outcome(liar) == "200"
    assert town.asked[0].request.fields["cookie"] == "a=1; b=2"
    assert b"".join(event.data for event in liar.of(DataReceived)) == b"hello"


def test_a_response_of_http1_that_http2_has_no_words_for() -> None:
    """Fields of the origin's connection are not the client's (RFC 9113 §8.2.2)."""
    town = Both()
    town.lie(
        b"HTTP/1.1 200 OK\r\nConnection: close, X-Private\r\nX-Private: y\r\nKeep-Alive: timeout=5\r\n"
        b"Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nX-Public: z\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    liar = Liar()
    town.connect(end=liar)
    fields = [(name, value + b":8000" if name == b":authority" else value) for name, value in GET]
    spoken(town, lambda library: library.send_headers(1, fields, end_stream=True), liar)
    town.run(3.0)
    [response] = liar.of(ResponseReceived)
    names: Any = {name for name, _ in response.headers}
    assert b"x-public" in names
    assert not names & {b"connection", b"x-private", b"keep-alive", b"transfer-encoding", b"upgrade"}
    assert liar.got == b"hello"
