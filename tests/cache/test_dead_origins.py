"""Origins that are dead, slow or without an end: what the client sees, and what it costs the others (RFC 9209)."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from twisted.internet.task import deferLater

from netstack.cache.limits import StoreLimits
from netstack.http.dialing import DialLimits
from netstack.http.events import EndResponse, SendBody, StartResponse
from netstack.http.transfer import UpstreamLimits
from netstack.kernel.resolver import ResolutionError
from netstack.world.simulated import SimulatedHost
from tests.cache.town import ORIGIN, Step, Town, fresh
from tests.http.origins import ScriptedOrigin, reads_nothing

UPSTREAM = UpstreamLimits(head_seconds=10, read_seconds=10, write_seconds=10, queue_seconds=10, exchange_seconds=100)
DIAL = DialLimits(connect_seconds=5)
HEAD = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n"


def town(script: Callable[[Any], Sequence[Step]] | None = None, **config: Any) -> Town:
    return Town(script, **{"upstream": UPSTREAM, "dial": DIAL, **config})


def resolves(place: Town) -> None:
    """Names that this town's DNS has its own way with."""
    fake = place.resolver.addresses

    async def addresses(asked: str) -> Sequence[str]:
        if asked == "slow.test":
            await deferLater(place.machine.reactor, 100, lambda: None)  # type: ignore[arg-type]
        if asked == "broken.test":
            raise ResolutionError("broken.test: SERVFAIL", temporary=True)
        found: Sequence[str] = await fake(asked)
        return found

    place.resolver.addresses = addresses  # type: ignore[method-assign]
    place.resolver.table |= {("dead.test", "A"): ["10.0.0.9"], ("other.test", "A"): ["10.0.0.3"]}
    place.resolver.table[("plain.test", "A")] = ["10.0.0.7"]


@pytest.mark.parametrize(
    ("url", "status", "kind", "says"),
    [
        ("http://nowhere.test/", 502, "dns_error", "could not be resolved"),
        ("http://broken.test/", 502, "dns_error", "could not be resolved"),
        ("http://slow.test/", 504, "dns_timeout", "not be resolved in time"),
        ("http://dead.test/", 504, "connection_timeout", "does not answer"),
        (f"http://{ORIGIN}:8001/", 502, "connection_refused", "Nothing listens there"),
        ("http://127.0.0.1/", 502, "destination_ip_prohibited", "does not go to"),
        ("https://plain.test/", 502, "tls_protocol_error", "could not be fetched"),
        ("https://other.test/", 502, "tls_certificate_error", "could not prove who it is"),
    ],
)
def test_a_place_that_cannot_be_had(url: str, status: int, kind: str, says: str) -> None:
    place = town()
    place.simulation.host("dead.test", "10.0.0.9").power_off()
    resolves(place)
    plain = place.simulation.host("plain.test", "10.0.0.7")
    plain.program = lambda host: host.reactor.listenTCP(
        443, ScriptedOrigin(host.reactor, [b"HTTP/1.1 400 No\r\n"], heads=False)
    )
    plain.start()
    for _ in range(2):
        got = place.get(url)
        assert got.status == status
        assert f"error={kind}" in (got.field("proxy-status") or "")
        assert says in got.body.decode()
        assert got.field("cache-control") == "no-store"
    assert [*place.proxy.store.list()] == []
    assert place.metric("upstream_errors_total", kind=kind) == 2
    assert place.metric("fetching") == 0
    assert place.get().body == b"hello", "others are served"


def drip(octets: bytes, seconds: float) -> list[Step]:
    return [step for at in range(len(octets)) for step in (SendBody(octets[at : at + 1]), seconds)]


SLOW: dict[str, tuple[list[Step], str]] = {
    "says nothing": ([1000.0], "http_response_timeout"),
    "stops in the middle": (
        [StartResponse(200, b"Cache-Control: max-age=600\r\n", 10), SendBody(b"hello"), 1000.0],
        "connection_read_timeout",
    ),
    "stops after the head": ([StartResponse(200, b"", 10), 1000.0], "connection_read_timeout"),
    "drips for too long": (
        [StartResponse(200, b"Cache-Control: max-age=600\r\n", 1000), *drip(bytes(300), 2.0)],
        "http_response_timeout",
    ),
}


@pytest.mark.parametrize(("steps", "kind"), SLOW.values(), ids=SLOW)
def test_an_origin_that_is_too_slow(steps: list[Step], kind: str) -> None:
    """Before its head it is 504; after it the message is cut off, and no client can take it for whole (RFC 9112 §8)."""
    place = town(lambda request: [*steps] if request.path == "/" else [*fresh()])
    gots = [place.begin(f"http://{ORIGIN}/") for _ in range(3)]
    place.sleep(1)
    assert place.get("/other").body == b"hello", "meanwhile others are served"
    place.wait(*gots, within=400)
    for got in gots:
        if kind == "http_response_timeout" and not got.body.startswith(b"\0"):
            assert got.status == 504
            assert f"error={kind}" in (got.field("proxy-status") or "")
            assert "did not answer in time" in got.body.decode()
        else:
            assert got.status == 200
            assert got.error is not None
            assert not got.ended
    assert [*place.proxy.store.list()] == [each for each in place.proxy.store.list() if b"/other" in each.key]
    assert place.metric("fetching") == place.metric("waiting") == 0
    assert place.proxy.store.memory.growing == 0
    place.sleep(60)
    assert place.proxy.upstream.connections == 0


def test_a_head_that_drips() -> None:
    place = town()
    place.lie(HEAD, closes=False)
    got = place.get(f"http://{ORIGIN}:8000/")
    assert (got.status, "error=http_response_timeout" in (got.field("proxy-status") or "")) == (504, True)


@pytest.mark.parametrize("length", [None, 4_000_000])
def test_a_body_without_an_end_takes_no_memory(length: int | None) -> None:
    """What is too large to be stored goes through a window, at the client's speed."""
    sent: list[int] = []

    def script(request: Any) -> list[Step]:
        steps: list[Step] = [StartResponse(200, b"Cache-Control: max-age=600\r\n", length)]
        for _ in range(400):
            steps += [SendBody(bytes(10_000)), 0.001]
        sent.append(1)
        return [*steps, EndResponse()]

    place = town(script, store=StoreLimits(object=200_000, window=100_000))
    got = place.begin(f"http://{ORIGIN}/")
    most = 0
    while not got.ended and got.error is None:
        place.sleep(0.1)
        most = max(most, place.proxy.store.memory.used)
    assert len(got.body) == 4_000_000
    assert most < 1_000_000
    assert [*place.proxy.store.list()] == []


def test_an_endless_body_ends_when_its_client_leaves() -> None:
    place = town(
        lambda request: [StartResponse(200, b""), *[step for _ in range(10_000) for step in (SendBody(b"x" * 100), 0.1)]]
    )
    got = place.begin(f"http://{ORIGIN}/")
    place.sleep(2)
    assert len(got.body) > 500
    assert got.transfer is not None
    got.transfer.abort()
    place.leave()
    place.sleep(5)
    assert place.metric("fetching") == 0
    assert place.lost, "the origin is told"


def test_an_origin_that_takes_no_more_of_a_request() -> None:
    """The client is slowed down, then told."""
    place = town()

    def program(host: SimulatedHost) -> None:
        origin = ScriptedOrigin(host.reactor, [1000.0])
        origin.buildProtocol = reads_nothing(origin)  # type: ignore[method-assign]
        host.reactor.listenTCP(8000, origin)

    deaf = place.simulation.host("deaf.test", "10.0.0.8")
    deaf.program = program
    deaf.start()
    place.resolver.table[("deaf.test", "A")] = ["10.0.0.8"]
    got = place.begin("http://deaf.test:8000/", method="PUT", body=20_000_000)
    given = 0
    for _ in range(300):
        transfer = got.transfer
        if transfer is not None and transfer.writable and given < 20_000_000:
            place.simulation.call(place.client, transfer.send, bytes(100_000))
            given += 100_000
        place.sleep(0.1)
        if got.error is not None or got.ended:
            break
    assert got.status == 504
    assert "error=connection_write_timeout" in (got.field("proxy-status") or "")
    assert given < 5_000_000


def test_a_full_disk_is_nobodys_trouble() -> None:
    body = bytes(range(250)) * 4000
    place = town(
        lambda request: fresh(body, seconds=600), store=StoreLimits(memory=2_000_000, disk=50_000_000, inline=100_000)
    )
    place.get("/warm")
    place.sleep(10)
    disk: Any = place.cache.disk
    disk.room = disk.used + 10_000
    gots = [place.begin(f"http://{ORIGIN}/{number}") for number in (1, 1, 2)]
    place.wait(*gots)
    assert [got.body == body for got in gots] == [True] * 3
    place.sleep(30)
    again = place.get("/1")
    assert again.body == body
    disk.room = float("inf")
    place.sleep(120)
    assert place.get("/3").body == body
    place.sleep(30)
    assert (place.get("/3").told, place.get("/3").body == body) == ("hit", True)
