"""Clients and an origin that do what they like, seeded: whoever gets a whole response gets the right one.

At the end nothing is left under way, held or counted.
"""

import os
from collections.abc import Sequence
from random import Random

import pytest

from netstack.cache.limits import StoreLimits
from netstack.cache.options import ProxyLimits
from netstack.http.events import EndResponse, Respond, SendBody, StartResponse
from netstack.http.wire import Request
from tests.cache.town import ORIGIN, Got, Step, Town

SEEDS = int(os.environ.get("CACHE_SEEDS", "12"))
PATHS = ("/stored", "/never", "/varies", "/validated", "/large", "/breaks", "/late", "/dies")
LANGUAGES = ("fr", "en", None)
CONTROL = {
    "/stored": "max-age=20", "/never": "no-store", "/varies": "max-age=20", "/validated": "max-age=0, must-revalidate",
    "/large": "max-age=20", "/breaks": "max-age=20", "/late": "max-age=5, stale-while-revalidate=30", "/dies": "max-age=20",
}  # fmt: skip


def content(path: str, language: str | None) -> bytes:
    """What a resource is, whenever it is asked for."""
    told = language if path == "/varies" else ""
    size = {"/large": 400_000, "/late": 30_000, "/breaks": 50_000}.get(path, 2000)
    seed = f"{path} {told}\n".encode()
    return (seed * (size // len(seed) + 1))[:size]


class Whims:
    """What the origin and the clients do next."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def script(self, request: Request) -> Sequence[Step]:
        random, path = self.random, request.path
        body = content(path, request.fields.get("accept-language"))
        tag = '"%08x"' % (hash(body) & 0xFFFFFFFF)
        lines = f"Cache-Control: {CONTROL[path]}\r\nETag: {tag}\r\n"
        if path == "/varies":
            lines += "Vary: Accept-Language\r\n"
        head = lines.encode()
        before: list[Step] = [random.choice((0.0, 0.3, 2.0))]
        if path == "/dies" and random.random() < 0.5:
            return [*before, "abort"]
        if request.method != "GET":
            return [*before, Respond(204, b"")]
        if tag in request.fields.get("if-none-match", "") and random.random() < 0.8:
            return [*before, Respond(304, head)]
        if "range" in request.fields and request.fields["range"].endswith("-"):
            first = int(request.fields["range"][6:-1])
            rest = body[first:]
            part = f"Content-Range: bytes {first}-{len(body) - 1}/{len(body)}\r\n".encode()
            return [*before, StartResponse(206, head + part, len(rest)), SendBody(rest), EndResponse()]
        steps: list[Step] = [*before, StartResponse(200, head, len(body) if random.random() < 0.7 else None)]
        pieces = random.choice((1, 3, 10))
        size = len(body) // pieces + 1
        for at in range(0, len(body), size):
            steps += [SendBody(body[at : at + size]), random.choice((0.0, 0.2, 1.0))]
            if path == "/breaks" and random.random() < 0.1:
                return [*steps, "abort"]
        return [*steps, EndResponse()]


def act(town: Town, whims: Whims, asked: list[tuple[Got, str, str | None, str]]) -> None:
    """One step of the clients."""
    random = whims.random
    what = random.random()
    under_way = [got for got, *_ in asked if not got.ended and got.error is None and got.transfer is not None]
    if what < 0.55 or not under_way:
        path, language = random.choice(PATHS), random.choice(LANGUAGES)
        method = random.choice(("GET",) * 12 + ("HEAD", "DELETE"))
        fields = [("Accept-Language", language)] if language else []
        if random.random() < 0.1:
            fields.append(("Cache-Control", "no-cache"))
        asked.append((town.begin(f"http://{ORIGIN}{path}", *fields, method=method), path, language, method))
    elif what < 0.65:
        got = random.choice(under_way)
        assert got.transfer is not None
        got.transfer.abort()
        asked[:] = [each for each in asked if each[0] is not got]
    elif what < 0.75:
        got = random.choice(under_way)
        assert got.transfer is not None
        got.transfer.pause()
    elif what < 0.85:
        for got in under_way:
            assert got.transfer is not None
            got.transfer.resume()
    elif what < 0.88:
        town.proxy.purging.url(f"http://{ORIGIN}{random.choice(PATHS)}")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens(seed: int) -> None:
    whims = Whims(seed)
    limits = ProxyLimits(
        waiting=whims.random.choice((0, 2, 100)), passed_seconds=5, lagging_seconds=3,
        abandoned_octets=whims.random.choice((0, 20_000)), inline=10_000, ready_octets=1000,
    )  # fmt: skip
    disk = whims.random.choice((0, 50_000_000))
    store = StoreLimits(memory=whims.random.choice((300_000, 3_000_000)), inline=100_000, window=20_000, disk=disk)
    town = Town(whims.script, delay=0.01, proxy=limits, store=store, http2=whims.random.random() < 0.3)
    asked: list[tuple[Got, str, str | None, str]] = []
    for _ in range(150):
        act(town, whims, asked)
        town.sleep(whims.random.choice((0.001, 0.05, 0.5, 3.0)))
    for got, *_ in asked:
        if got.transfer is not None:
            got.transfer.resume()
    town.wait(*[got for got, *_ in asked])
    town.sleep(60)

    complete = 0
    for got, path, language, method in asked:
        if not got.ended:
            assert path in ("/breaks", "/large", "/dies"), (path, got.error)  # broke off, or the slowest was cut off
        elif method == "GET" and got.status == 200:
            complete += 1
            assert got.body == content(path, language), (path, language, got.told)
        else:
            assert got.status in (200, 204) or (path == "/dies" and got.status == 502), (path, method, got.status)
    assert complete > 30
    proxy = town.proxy
    assert (town.metric("fetching"), town.metric("waiting")) == (0, 0)
    assert [*proxy._all, *proxy._fetches, *proxy._arriving] == []
    assert proxy.store.memory.growing == 0
    assert [stored.held for stored in proxy.store.list() if stored.held] == []
    assert not proxy.store._receiving
