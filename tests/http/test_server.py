"""The origin over real sockets, plain and TLS, built by its tap; our own client at the other end."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher

from netstack.http.client import ClientOptions, FetchError, HTTPClient, fetch
from netstack.http.limits import HTTPLimits
from netstack.kernel.authority import Authority
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine, Ports
from netstack.kernel.real import real_machine
from netstack.kernel.resolver import FakeResolver
from netstack.kernel.tls import HostTLS
from netstack.taps.origin import Config, Site, build
from tests.http.conversation import statuses
from tests.kernel.echo import come_to_pass

SITES = (Site(("www.a.test", "a.test"), "a"), Site(("b.test",), "b"))
CONFIG = Config(SITES, ("tcp:0:interface=127.0.0.1", "tls:0:interface=127.0.0.1"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = real_machine("www", state_directory=tmp_path / "disk")
    authority = Authority.seeded(Random(1), made.wall() - 60, made.wall() + 3600)
    made.tls = HostTLS(reactor, made.wall, [authority.issue(["www.a.test"])], [authority.certificate])
    made.resolver = FakeResolver({("www.a.test", "A"): ["127.0.0.1"], ("nowhere.test", "MX"): ["10 x."]})
    made.disk.write("a/index.html", b"<p>a")
    made.disk.write("a/large.bin", bytes(range(256)) * 2000)
    made.disk.write("a/dir/home.index", b"<p>dir")
    made.disk.write("a/nothing/x", b"")
    made.disk.write("b/index.html", b"<p>b")
    return made


@asynccontextmanager
async def serving(machine: Machine, config: Config = CONFIG) -> AsyncIterator[dict[str, int]]:
    """A running origin; the ports of its endpoints by kind."""
    service: Any = build(config, machine)
    service.startService()
    try:
        yield {each.endpoint.kind: each.port.getHost().port for each in service.listeners}
    finally:
        await maybeDeferred(service.stopService)


class Hand(Protocol):
    """A client that writes octets and notes what comes back until the end."""

    def __init__(self, octets: bytes, half_close: bool = False) -> None:
        self.octets = octets
        self.half_close = half_close
        self.read = bytearray()
        self.ended: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self.octets)
        if self.half_close:
            transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.read += data

    def connectionLost(self, reason: Any = None) -> None:
        self.ended.callback(bytes(self.read))


def by_hand(port: int, octets: bytes, half_close: bool = False) -> Deferred[bytes]:
    """Everything that the server sends on one connection."""
    hand = Hand(octets, half_close)
    factory: Any = Factory.forProtocol(lambda: hand)
    factory.noisy = False
    for name in ("startedConnecting", "clientConnectionLost", "clientConnectionFailed"):
        setattr(factory, name, lambda *arguments: None)
    reactor.connectTCP("127.0.0.1", port, factory)
    return hand.ended


def request(method: str, target: str, host: str = "a.test", *fields: str, close: bool = True) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, *(["Connection: close"] if close else []), "", ""]
    return "\r\n".join(lines).encode()


def metric(machine: Machine, name: str, **labels: str) -> float | None:
    return machine.registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    ("octets", "status", "holds"),
    [
        (request("GET", "/"), 200, b"<p>a"),
        (request("GET", "/", "WWW.A.test:80"), 200, b"<p>a"),
        (request("GET", "/", "b.test"), 200, b"<p>b"),
        (request("GET", "http://b.test/", "a.test"), 200, b"<p>b"),
        (request("GET", "/", "unknown.test"), 200, b"<p>a"),
        (b"GET / HTTP/1.0\r\n\r\n", 200, b"<p>a"),
        (request("GET", "/dir/"), 200, b"text/html"),
        (request("GET", "/dir?x=y"), 301, b"\r\nLocation: /dir/?x=y\r\n"),
        (request("GET", "/nothing/"), 403, b"403 Forbidden"),
        (request("GET", "/missing<b>"), 404, b"/missing&lt;b&gt;"),
        (request("GET", "/../x"), 400, b"leads out"),
        (request("POST", "/"), 405, b"\r\nAllow: GET, HEAD, OPTIONS\r\n"),
        (request("DELETE", "/"), 405, b"\r\nAllow: GET, HEAD, OPTIONS\r\n"),
        (request("OPTIONS", "*"), 204, b"\r\nAllow: GET, HEAD, OPTIONS\r\n"),
        (request("TRACE", "/"), 405, b"\r\nAllow: GET, HEAD, OPTIONS\r\n"),
        (request("BREW", "/"), 501, b"BREW"),
        (request("GET", "/", "a.test", "If-None-Match: *"), 304, b"ETag"),
        (request("GET", "/", "a.test", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"), 304, b"Last-Modified"),
        (request("GET", "/", "a.test", 'If-Match: "x"'), 412, b"Precondition"),
        (request("POST", "/", "a.test", "Content-Length: 2000000"), 413, b"2000000"),
        (request("GET", "/", "a.test", "Expect: wonders"), 417, b"wonders"),
        (b"GET / HTTP/1.1\nHost: a.test\n\n", 400, b"nc -C"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, b"Host"),
        (b"GET / HTTP/2.0\r\n\r\n", 505, b"HTTP/1.1"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_answered(machine: Machine, octets: bytes, status: int, holds: bytes) -> None:
    async with serving(machine) as ports:
        answer = await by_hand(ports["tcp"], octets)
    assert statuses(answer) == [status]
    assert holds in answer
    assert b"\r\nServer: netstack\r\n" in answer
    assert b"\r\nDate: " in answer
    method = octets.split(b" ")[0].decode()
    label = {"BREW": "other"}.get(method, method)
    assert metric(machine, "netstack_http_requests_total", method=label, code=str(status)) == 1


@pytest_twisted.ensureDeferred
async def test_hosts_that_are_not_served_can_be_refused(machine: Machine) -> None:
    async with serving(machine, replace(CONFIG, default_site="refuse")) as ports:
        assert statuses(await by_hand(ports["tcp"], request("GET", "/", "c.test"))) == [421]
    async with serving(machine, replace(CONFIG, default_site="b.test", server="")) as ports:
        answer = await by_hand(ports["tcp"], request("GET", "/", "c.test"))
        assert answer.endswith(b"<p>b")
        assert b"Server" not in answer


@pytest_twisted.ensureDeferred
async def test_pipelined_requests_and_a_half_closed_client(machine: Machine) -> None:
    async with serving(machine) as ports:
        octets = b"".join(request("GET", path, close=False) for path in ("/", "/large.bin", "/none", "/dir/")) * 5
        answer = await by_hand(ports["tcp"], octets, half_close=True)
    assert statuses(answer) == [200, 200, 404, 200] * 5
    assert answer.count(bytes(range(256)) * 2000) == 5


@pytest_twisted.ensureDeferred
async def test_time_limits(machine: Machine) -> None:
    limits = HTTPLimits(head_seconds=0.05, body_seconds=0.05, idle_seconds=0.05)
    async with serving(machine, replace(CONFIG, http=limits)) as ports:
        assert await by_hand(ports["tcp"], b"") == b""
        assert statuses(await by_hand(ports["tcp"], b"GET / HT")) == [408]
    async with serving(machine, replace(CONFIG, http=HTTPLimits(idle_seconds=1))) as ports:
        assert statuses(await by_hand(ports["tcp"], request("GET", "/", close=False))) == [200]


@pytest_twisted.ensureDeferred
async def test_our_client_plain_and_over_tls(machine: Machine) -> None:
    async with serving(machine) as ports:
        client = HTTPClient(machine)
        for scheme, kind in (("http", "tcp"), ("https", "tls")):
            url = f"{scheme}://www.a.test:{ports[kind]}"
            first, second = await client.fetch(f"{url}/large.bin"), await client.fetch(url)
            assert (first.status, first.body) == (200, bytes(range(256)) * 2000)
            assert (second.status, second.body, second.reused) == (200, b"<p>a", True)
            assert (first.security is not None) is (scheme == "https")
            assert first.timing.resolved is not None
            assert first.timing.connected is not None
            assert first.timing.first_octet <= first.timing.ended
        assert first.security is not None
        assert (first.security.alpn, first.security.version) == ("http/1.1", "TLSv1.3")
        head = await client.fetch(f"{url}/large.bin", "HEAD")
        assert (head.field("Content-Length"), head.body) == ("512000", b"")
        fresh = await client.fetch(url, fields=[("If-None-Match", second.field("etag") or "")])
        assert (fresh.status, fresh.body) == (304, b"")
        client.close()
    assert metric(machine, "netstack_http_connections_total", role="client") == 2
    assert metric(machine, "netstack_http_connections_active", role="server") == 0


@pytest_twisted.ensureDeferred
async def test_many_at_once(machine: Machine) -> None:
    async with serving(machine) as ports:
        client = HTTPClient(machine)
        urls = [f"http://www.a.test:{ports['tcp']}/{path}" for path in ("", "large.bin", "dir/", "none")] * 10
        results = await DeferredList([Deferred.fromCoroutine(client.fetch(url)) for url in urls], fireOnOneErrback=True)
        client.close()
    assert [result.status for _, result in results] == [200, 200, 200, 404] * 10


@pytest_twisted.ensureDeferred
async def test_redirects_are_followed_as_often_as_allowed(machine: Machine) -> None:
    async with serving(machine) as ports:
        url = f"http://www.a.test:{ports['tcp']}/dir"
        assert (await fetch(machine, url)).status == 301
        result = await fetch(machine, url, options=ClientOptions(redirects=1))
    assert (result.status, result.url, result.via) == (200, url + "/", (url,))


@pytest_twisted.ensureDeferred
async def test_standard_ports_are_the_machine_s(machine: Machine) -> None:
    async with serving(machine) as ports:
        machine.ports = Ports(ports["tcp"] - 80)
        assert (await fetch(machine, "http://www.a.test/")).body == b"<p>a"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://nowhere.test/", "nowhere.test has no address"),
        ("http://missing.test/", "does not exist"),
        ("http://127.0.0.1:1/", "refused"),
        ("https://127.0.0.1:TLS/", "127.0.0.1"),
        ("https://www.a.test:TCP/", "www.a.test"),
        ("ftp://a.test/", "no http or https URL"),
        ("http://u:p@a.test/", "names and passwords"),
        ("http://a.test:x/", "a.test:x"),
        ("http://a.test/ü", "percent-encoded"),
        ("http:///x", "with a host"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_why_there_is_no_response(machine: Machine, url: str, reason: str) -> None:
    async with serving(machine) as ports:
        with pytest.raises(FetchError, match=reason):
            await fetch(machine, url.replace("TLS", str(ports["tls"])).replace("TCP", str(ports["tcp"])))


@pytest_twisted.ensureDeferred
async def test_requests_that_cannot_be_sent_are_the_caller_s_mistake(machine: Machine) -> None:
    async with serving(machine) as ports:
        url = f"http://www.a.test:{ports['tcp']}/"
        for method, fields in (("G T", []), ("GET", [("X", "a\nb")]), ("GET", [("Content-Length", "5")])):
            with pytest.raises(FetchError, match=r"www\.a\.test"):
                await fetch(machine, url, method, fields)
        assert (await fetch(machine, url)).status == 200


class Deaf(Hand):
    """A client that asks a lot and reads nothing for a while."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()
        super().connectionMade()


@pytest_twisted.ensureDeferred
async def test_who_does_not_read_is_not_answered_without_bound(machine: Machine) -> None:
    count = 400
    machine.disk.write("a/page.html", b"x" * 60_000)
    async with serving(machine) as ports:
        deaf = Deaf(request("GET", "/page.html", close=False) * count, half_close=True)
        factory: Any = Factory.forProtocol(lambda: deaf)
        factory.noisy = factory.startedConnecting = factory.clientConnectionLost = lambda *arguments: None
        reactor.connectTCP("127.0.0.1", ports["tcp"], factory)
        waited: Deferred[None] = Deferred()
        reactor.callLater(0.3, waited.callback, None)
        await waited
        answered = metric(machine, "netstack_http_requests_total", method="GET", code="200") or 0
        assert answered < count
        deaf.transport.resumeProducing()
        assert len(statuses(await deaf.ended)) == count


class Speaker(Protocol):
    """A server that answers whatever it reads first with given octets, and closes or not."""

    octets = b""
    closes = True

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(self.octets)
        if self.closes:
            transport.loseConnection()


@asynccontextmanager
async def speaking(octets: bytes, closes: bool = True) -> AsyncIterator[str]:
    factory: Any = Factory.forProtocol(type("Speaker", (Speaker,), {"octets": octets, "closes": closes}))
    factory.noisy = False
    port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        yield f"http://127.0.0.1:{port.getHost().port}/"
    finally:
        await maybeDeferred(port.stopListening)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"220 mail.test ESMTP\r\n\r\n", "not a status line"),
        (b"", "without a response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "in the middle"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "are allowed"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000, "longer than allowed"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_server_s_faults_are_named(machine: Machine, octets: bytes, reason: str) -> None:
    async with speaking(octets) as url:
        with pytest.raises(FetchError, match=reason):
            await fetch(machine, url, options=ClientOptions(http=HTTPLimits(body=1000)))


@pytest_twisted.ensureDeferred
async def test_a_body_until_the_end_of_the_connection(machine: Machine) -> None:
    async with speaking(b"HTTP/1.0 200 OK\r\n\r\nhello") as url:
        assert (await fetch(machine, url)).body == b"hello"


@pytest_twisted.ensureDeferred
async def test_a_silent_server_costs_the_timeout(machine: Machine) -> None:
    async with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", closes=False) as url:
        with pytest.raises(FetchError, match=r"within 0\.1 seconds"):
            await fetch(machine, url, options=ClientOptions(timeout=0.1))
    assert metric(machine, "netstack_http_connections_active", role="client") in (0, 1)


@pytest_twisted.ensureDeferred
async def test_a_connection_that_the_server_closed_meanwhile_is_replaced(machine: Machine) -> None:
    async with serving(machine, replace(CONFIG, http=HTTPLimits(idle_seconds=0.5))) as ports:
        url = f"http://www.a.test:{ports['tcp']}/"
        client = HTTPClient(machine)
        await client.fetch(url)
        await come_to_pass(lambda: metric(machine, "netstack_http_connections_active", role="server") == 0)
        assert not (await client.fetch(url)).reused
        client.close()


@pytest_twisted.ensureDeferred
async def test_one_connection_too_many_is_refused(machine: Machine) -> None:
    limits = StreamLimits(connections=1)
    async with serving(machine, replace(CONFIG, connections=limits, http=HTTPLimits(idle_seconds=0.5))) as ports:
        first = by_hand(ports["tcp"], b"")
        assert await by_hand(ports["tcp"], b"") == b""
        assert metric(machine, "netstack_http_connections_refused_total", role="server") == 1
        assert await first == b""


@pytest_twisted.ensureDeferred
async def test_the_access_log(machine: Machine) -> None:
    lines: list[str] = []

    def observe(event: Any) -> None:
        if event.get("log_namespace") == "netstack.http.access":
            lines.extend(event["lines"])

    globalLogPublisher.addObserver(observe)
    try:
        async with serving(machine) as ports:
            await by_hand(ports["tcp"], request("GET", "/", "a.test", 'User-Agent: a"b'))
            await by_hand(ports["tcp"], b"GET /x\r\n\r\n")
        async with serving(machine, replace(CONFIG, access_format="json")) as ports:
            await by_hand(ports["tcp"], request("HEAD", "/large.bin", "a.test", "Referer: http://b.test/"))
        async with serving(machine, replace(CONFIG, access_log=False)) as ports:
            await by_hand(ports["tcp"], request("GET", "/"))
    finally:
        globalLogPublisher.removeObserver(observe)
    combined = r"127\.0\.0\.1 - - \[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8} \+0000\] "
    assert re.fullmatch(combined + r'"GET / HTTP/1\.1" 200 4 "-" "a\\x22b"', lines[0])
    assert re.fullmatch(combined + r'"GET /x" 400 [0-9]+ "-" "-"', lines[1])
    logged = json.loads(lines[2])
    assert logged.pop("time").endswith("Z")
    assert logged == {
        "client": "127.0.0.1", "octets": 0, "host": "a.test", "request": "HEAD /large.bin HTTP/1.1", "status": 200,
        "referrer": "http://b.test/", "agent": "-",
    }  # fmt: skip
    assert len(lines) == 3


@pytest_twisted.ensureDeferred
async def test_the_journal_has_each_message_once(machine: Machine) -> None:
    machine.journal.enable("www")
    async with serving(machine) as ports:
        await fetch(machine, f"http://www.a.test:{ports['tcp']}/")
        await fetch(machine, f"https://www.a.test:{ports['tls']}/none")
    rows = [(row.summary, row.secure) for row in machine.journal]
    assert rows == [("GET / HTTP/1.1", False), ("200 OK", False), ("GET /none HTTP/1.1", True), ("404 Not Found", True)]


@pytest_twisted.ensureDeferred
async def test_the_journal_has_each_frame_once(machine: Machine) -> None:
    machine.journal.enable("www")
    async with serving(machine) as ports:
        await fetch(machine, f"https://www.a.test:{ports['tls']}/none", options=ClientOptions(http2=True))
    rows = [row.summary for row in machine.journal if row.secure]
    assert [row for row in rows if row.startswith(("GET ", "404", "DATA"))] == [
        "GET /none HTTP/2.0",
        "404 Not Found",
        "DATA on stream 1",
    ]
    assert rows[:2] == ["PRI * HTTP/2.0", "SETTINGS"]
