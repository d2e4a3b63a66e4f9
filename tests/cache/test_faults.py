"""Origins that lie or break, clients that smuggle: nothing wrong is stored, and each is told who is at fault."""

import pytest

from netstack.http.events import EndResponse, SendBody, StartResponse
from netstack.kernel.listen import connect_stream
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.sansio import Close, Event, Now, Peer, Recorder, Timeless
from tests.cache.town import CACHE, ORIGIN, Silent, Town, fresh, ok

HEAD = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
LIES = {
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a list of lengths": HEAD + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "another coding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a line that goes on": HEAD + b"X: y\r\n z\r\nContent-Length: 5\r\n\r\nhello",
    "a bare line feed": HEAD + b"X: y\nSet-Cookie: a=b\r\nContent-Length: 5\r\n\r\nhello",
    "a space before the colon": HEAD + b"Content-Length : 5\r\n\r\nhello",
    "a head without an end": HEAD + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
    "fields without an end": HEAD + b"X: y\r\n" * 5000 + b"\r\n",
    "no HTTP": b"220 mail.test ESMTP\r\n\r\n",
    "a 304 to no condition": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
    "a 206 to no range": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello",
    "an upgrade that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("octets", LIES.values(), ids=LIES)
def test_what_is_no_response_is_502_and_not_stored(octets: bytes) -> None:
    town = Town()
    town.lie(octets)
    url = f"http://{ORIGIN}:8000/"
    for _ in range(2):
        got = town.get(url)
        assert got.status == 502
        assert "error=http_" in (got.field("proxy-status") or "") or "connection_term" in (got.field("proxy-status") or "")
    assert [*town.proxy.store.list()] == []
    assert town.get().status == 200


SHORT = {
    "a length that is too long": HEAD + b"Content-Length: 500\r\n\r\nhello",
    "chunks without an end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "a chunk that is too short": HEAD + b"Transfer-Encoding: chunked\r\n\r\n500\r\nhello",
    "a chunk that is too long": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "a size that is none": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n\r\n",
}


@pytest.mark.parametrize("octets", SHORT.values(), ids=SHORT)
def test_a_body_that_is_not_complete_is_not_stored_and_clients_see_it(octets: bytes) -> None:
    town = Town()
    town.lie(octets)
    url = f"http://{ORIGIN}:8000/"
    gots = [town.begin(url) for _ in range(3)]
    town.wait(*gots)
    assert all(got.error is not None and not got.ended for got in gots)
    assert [*town.proxy.store.list()] == []
    assert town.metric("fetching") == town.metric("waiting") == 0
    assert town.proxy.store.memory.growing == 0


def test_what_comes_after_a_response_is_no_response_to_another_request() -> None:
    """Response splitting: octets beyond the length are not taken for the next one's response (RFC 9112 §11.1)."""
    town = Town()
    evil = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nevil"
    town.lie(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\nhello" + evil, closes=False)
    first, second = town.get(f"http://{ORIGIN}:8000/a"), town.get(f"http://{ORIGIN}:8000/b")
    assert (first.body, second.body) == (b"hello", b"hello")
    assert [*town.proxy.store.list()] == []


def test_an_origin_that_dies_in_the_middle_leaves_a_beginning_that_is_completed() -> None:
    """What is there of a response with a strong validator is asked for no more (RFC 9111 §3.3)."""
    body = bytes(range(200)) * 50
    head = b'ETag: "1"\r\nCache-Control: max-age=600\r\n'
    town = Town(lambda request: [StartResponse(200, head, len(body)), SendBody(body[:6000]), 1.0, "abort"])
    assert town.get().error is not None
    town.script = lambda request: [
        StartResponse(206, head + b"Content-Range: bytes 6000-9999/10000\r\n", 4000), SendBody(body[6000:]), EndResponse(),
    ]  # fmt: skip
    got = town.get()
    assert town.asked[1].request.fields["range"] == "bytes=6000-"
    assert (got.status, got.body) == (200, body)
    assert town.get().told == "hit"
    assert town.get().body == body


class Raw(Timeless, Recorder):
    """A client's engine that sends octets and keeps what comes."""

    def __init__(self, octets: bytes) -> None:
        self.got = b""
        self._out: list[bytes] = [octets]
        self.closed = False

    def connected(self, info: Peer, now: Now) -> tuple[Event, ...]:
        return ()

    def receive(self, data: bytes, now: Now) -> tuple[Event, ...]:
        self.got += data
        return ()

    def eof(self, now: Now) -> tuple[Event, ...]:
        self.closed = True
        return (Close(),)

    def send(self, command: object, now: Now) -> None:
        pass

    def data_to_send(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return True


def raw(town: Town, octets: bytes, seconds: float = 5.0) -> Raw:
    """What a client gets that sends these octets to the cache."""
    engine = Raw(octets)
    machine: Machine = town.simulation.machine(town.client, resolver=town.resolver)

    def begin() -> None:
        counts = traffic(machine.registry, "raw", "client")
        connect_stream(machine, "10.0.0.2", 3128, "raw", engine, Silent(), counts)  # type: ignore[arg-type]

    town.simulation.call(town.client, begin)
    town.sleep(seconds)
    return engine


URL = f"http://{ORIGIN}/".encode()
INNER = b"GET " + URL + b"admin HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLED = {
    "a length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "two lengths": b"Content-Length: 0\r\nContent-Length: 60\r\n\r\n" + INNER,
    "a length that is none": b"Content-Length: +0\r\n\r\n" + INNER,
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked behind a tab": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + INNER,
    "a coding that is not known": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    "a space before the colon": b"Content-Length : 60\r\n\r\n" + INNER,
    "a line that goes on": b"X: y\r\n Content-Length: 60\r\n\r\n" + INNER,
    "a bare line feed": b"X: y\nContent-Length: 60\r\n\r\n" + INNER,
    "a NUL": b"X: \0\r\n\r\n" + INNER,
}


@pytest.mark.parametrize("rest", SMUGGLED.values(), ids=SMUGGLED)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_nothing_is_smuggled_through(rest: bytes, method: bytes) -> None:
    town = Town()
    client = raw(town, method + b" " + URL + b" HTTP/1.1\r\nHost: x\r\n" + rest)
    assert client.got.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501"))
    assert client.got.count(b"HTTP/1.1 ") == 1
    assert client.closed
    assert town.asked == []


def test_bodies_of_requests_are_framed_anew() -> None:
    """What the origin sees is this proxy's framing, whatever the client's was, and never an answer from the store."""
    town = Town()
    town.get()
    client = raw(
        town,
        b"GET " + URL + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n" + INNER,
    )
    assert client.got.count(b"HTTP/1.1 200") == 2
    assert [(asked.request.target, asked.body) for asked in town.asked[1:]] in (
        [("/", b"hello"), ("/admin", b"")], [("/admin", b"")],
    )  # fmt: skip


def test_a_body_of_a_get_poisons_nothing() -> None:
    """What a GET brings with it is in no key: its response is not for others ("fat GET")."""
    town = Town(lambda request: fresh(b"of the body" if request.length else b"plain"))
    fat = town.get(body=b"evil")
    assert town.get().body == b"plain"
    assert fat.status == 200


def test_a_page_of_one_user_under_another_name_is_not_stored() -> None:
    """Cache deception: what the origin says counts, not how the URL looks."""
    town = Town(lambda request: ok(b"your account", "Cache-Control: no-store", "Set-Cookie: a=b"))
    for _ in range(2):
        assert town.get("/account/none.css").told == "fwd=uri-miss"


def test_cookies_of_one_are_not_anothers() -> None:
    town = Town(lambda request: fresh(b"hello", "Set-Cookie: session=1"))
    assert [town.get().told for _ in range(2)] == ["fwd=uri-miss"] * 2
    assert town.config.rules.share_cookies is False


def test_the_clients_of_a_dead_client_are_not_kept_waiting() -> None:
    town = Town(lambda request: [5.0, *fresh()])
    first = town.begin(f"http://{ORIGIN}/")
    town.sleep(1)
    others = [town.begin(f"http://{ORIGIN}/") for _ in range(3)]
    town.sleep(1)
    assert first.transfer is not None
    first.transfer.abort()
    town.wait(*others)
    assert {got.body for got in others} == {b"hello"}
    assert CACHE in (others[0].field("via") or "")


# Clients of other times


def test_a_client_of_http_1_0_gets_what_comes_in_chunks_until_the_end() -> None:
    town = Town(lambda request: [StartResponse(200, b"Cache-Control: max-age=60\r\n"), SendBody(b"hello"), EndResponse()])
    for told in (b"fwd=uri-miss; stored", b"hit"):
        client = raw(town, b"GET " + URL + b" HTTP/1.0\r\n\r\n")
        assert client.got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert told in client.got
        assert client.got.endswith(b"\r\n\r\nhello")
        assert b"transfer-encoding" not in client.got.lower()
        assert client.closed
    assert len(town.asked) == 1


def test_pipelined_requests_are_answered_in_their_order() -> None:
    town = Town(lambda request: [2.0 if request.path == "/slow" else 0.0, *fresh(request.path.encode())])
    town.get("/quick")
    lines = [b"GET " + URL + path + b" HTTP/1.1\r\nHost: x\r\n\r\n" for path in (b"slow", b"quick", b"slow", b"other")]
    client = raw(town, b"".join(lines))
    bodies = [part.partition(b"\r\n\r\n")[2] for part in client.got.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert bodies == [b"/slow", b"/quick", b"/slow", b"/other"]
    assert len(town.asked) == 3


def test_a_client_that_goes_in_the_middle_of_its_upload() -> None:
    town = Town()
    client = raw(town, b"POST " + URL + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc", seconds=1)
    assert client.got == b""
    assert town.metric("fetching") == 1
    town.client.kill()
    town.sleep(1)
    assert town.metric("fetching") == 0
    assert town.lost[-1:] == ["reset"]
