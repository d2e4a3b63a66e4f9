"""The proxy with a store on disk: what is large, what is evicted from memory, what a restart leaves."""

from collections.abc import Callable

import pytest

from netstack.cache.limits import StoreLimits
from netstack.http.events import Respond
from netstack.http.wire import Request
from tests.cache.town import ORIGIN, Town, fresh, slowly

LIMITS = StoreLimits(memory=4_000_000, disk=100_000_000, inline=100_000)
LARGE = bytes(range(250)) * 4000
"""A megabyte: too large for memory."""


def large(request: Request) -> list[object]:
    return [*slowly(LARGE, 20, 0.1, "Cache-Control: max-age=600", 'ETag: "1"')]


def restarted(town: Town, how: Callable[[], object]) -> None:
    """The cache's host goes down and comes up again."""
    how()
    town.leave()
    town.sleep(1)
    town.cache.boot()
    town.sleep(1)


def test_what_is_large_is_streamed_to_all_and_then_sent_from_its_file() -> None:
    town = Town(large, store=LIMITS)
    gots = []
    for _ in range(3):
        gots.append(town.begin(f"http://{ORIGIN}/"))
        town.sleep(0.5)
    town.wait(*gots)
    assert [got.body == LARGE for got in gots] == [True] * 3
    assert len(town.asked) == 1
    town.sleep(1)
    again = town.get()
    assert (again.told, again.body == LARGE) == ("hit", True)
    part = town.get("/", ("Range", "bytes=1000-200999"))
    assert (part.status, part.body == LARGE[1000:201_000], part.told) == (206, True, "hit")
    assert town.get("/", ("Range", "bytes=0-9,500000-500009")).body.count(LARGE[:10]) == 2
    assert town.proxy.store.memory.growing == 0
    assert town.metric("store_bytes", tier="disk") > 1_000_000


def test_a_slow_reader_of_what_is_large_slows_nobody_and_gets_all() -> None:
    town = Town(large, store=LIMITS)
    slow, quick = town.begin(f"http://{ORIGIN}/"), town.begin(f"http://{ORIGIN}/")
    town.sleep(0.5)
    assert slow.transfer is not None
    slow.transfer.pause()
    town.wait(quick)
    assert quick.body == LARGE
    town.sleep(5)
    assert town.get().told == "hit"
    slow.transfer.resume()
    town.wait(slow)
    assert slow.body == LARGE


@pytest.mark.parametrize("crash", [True, False])
def test_a_restart_leaves_what_was_stored(crash: bool) -> None:
    town = Town(lambda request: fresh(request.path.encode(), 'ETag: "1"', seconds=600), store=LIMITS)
    for number in range(20):
        town.get(f"/{number}")
    town.sleep(30)  # written by now
    restarted(town, town.cache.power_off if crash else town.cache.kill)
    gots = [town.get(f"/{number}") for number in range(20)]
    assert [got.body for got in gots] == [f"/{number}".encode() for number in range(20)]
    hits = [got.told for got in gots].count("hit")
    assert hits == 20 or crash  # a loss of power takes what was not synced, and nothing of it is half there
    assert len(town.asked) == 40 - hits


def test_what_was_stored_before_a_restart_is_validated() -> None:
    def script(request: Request) -> list[object]:
        if request.fields.get("if-none-match") == '"1"':
            return [Respond(304, b'ETag: "1"\r\nCache-Control: max-age=600\r\n')]
        return [*fresh(b"hello", 'ETag: "1"', seconds=20)]

    town = Town(script, store=LIMITS)
    town.get()
    town.sleep(30)
    restarted(town, town.cache.kill)
    got = town.get()
    assert (got.body, got.told) == (b"hello", "fwd=stale; fwd-status=304")
    assert town.get().told == "hit"
    town.sleep(30)
    restarted(town, town.cache.kill)
    assert town.get().told == "hit", "what the validation said was kept"


def test_what_is_evicted_from_memory_comes_from_disk() -> None:
    town = Town(lambda request: fresh(request.path.encode() * 10_000, seconds=6000), store=StoreLimits(
        memory=1_000_000, disk=100_000_000, inline=100_000))  # fmt: skip
    for number in range(100, 200):
        town.get(f"/{number}")
    town.sleep(30)
    told = [town.get(f"/{number}").told for number in range(100, 200)]
    assert told.count("hit") > 90
    assert town.proxy.store.memory.used <= 1_000_000
    assert len(town.asked) <= 110


def test_a_purge_holds_also_after_a_restart() -> None:
    town = Town(lambda request: fresh(b"x", seconds=6000), store=LIMITS)
    town.get()
    town.sleep(30)
    restarted(town, town.cache.kill)
    assert town.proxy.purging.url(f"http://{ORIGIN}/") == 1
    town.sleep(30)
    restarted(town, town.cache.kill)
    assert town.get().told == "fwd=uri-miss; stored"
