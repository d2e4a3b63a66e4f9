"""Many clients, one response: collapsed, streamed to each at its own speed, given up by rule; work in the background."""

from collections.abc import Sequence

import pytest

from netstack.cache.options import ProxyLimits
from netstack.cache.store import StoreLimits
from netstack.http.events import EndResponse, Respond, SendBody, StartResponse
from netstack.http.wire import Request
from tests.cache.town import ORIGIN, Got, Step, Town, fresh, ok, slowly

URL = f"http://{ORIGIN}/"
BODY = bytes(range(256)) * 1024
"""256 KiB."""


def together(town: Town, count: int, *fields: tuple[str, str], pause: float = 0.0, url: str = URL) -> list[Got]:
    """So many requests, one after another without waiting."""
    gots = []
    for _ in range(count):
        gots.append(town.begin(url, *fields))
        if pause:
            town.sleep(pause)
    return gots


def test_those_who_ask_meanwhile_wait_for_one_response() -> None:
    town = Town(lambda request: [1.0, *fresh(b"once")])
    gots = together(town, 10)
    town.sleep(0.5)
    assert town.metric("waiting") == 9
    town.wait(*gots)
    assert [got.body for got in gots] == [b"once"] * 10
    assert sorted(got.told for got in gots) == ["fwd=uri-miss; collapsed"] * 9 + ["fwd=uri-miss; stored"]
    assert len(town.asked) == 1
    assert town.metric("collapsed_total") == 9
    assert town.metric("waiting") == town.metric("fetching") == 0


@pytest.mark.parametrize("http2", [False, True])
def test_the_body_is_streamed_to_all_while_it_arrives(http2: bool) -> None:
    town = Town(lambda request: slowly(BODY, 16, 1.0, "Cache-Control: max-age=60"), http2=http2)
    gots = together(town, 5, pause=2.0)
    town.wait(*gots)
    assert [got.body == BODY for got in gots] == [True] * 5
    ends = [got.at for got in gots]
    assert max(ends) - min(ends) < 0.5  # who came later was given what there was, at once
    assert len(town.asked) == 1


@pytest.mark.parametrize("length", [True, False])
def test_parts_and_heads_of_what_is_arriving(length: bool) -> None:
    """A range is sent as soon as its octets are there, without asking the origin; so is what HEAD asks for."""
    town = Town(lambda request: slowly(BODY, 16, 1.0, "Cache-Control: max-age=60", 'ETag: "1"', length=length))
    whole = town.begin(URL)
    town.sleep(3)
    part, head = town.begin(URL, ("Range", "bytes=100000-100099")), town.begin(URL, method="HEAD")
    town.wait(head, whole)
    assert (head.status, head.field("content-length")) == (200, str(len(BODY)) if length else None)
    assert whole.body == BODY
    if length:
        assert (part.status, part.body) == (206, BODY[100_000:100_100])
        assert part.at < whole.at - 5
        assert len(town.asked) == 1


def test_the_service_stops_when_responses_are_complete() -> None:
    town = Town(lambda request: slowly(BODY, 16, 0.1, "Cache-Control: max-age=60"))
    got = town.begin(URL)
    town.sleep(0.8)
    town.simulation.call(town.cache, lambda: town.service.stopService())
    town.wait(got)
    assert got.body == BODY
    town.sleep(1)
    refused = town.get("/")
    assert refused.error is not None


def test_who_came_too_late_for_a_response_that_is_not_stored_goes_its_own_way() -> None:
    town = Town(lambda request: [1.0, *ok(b"mine", "Cache-Control: no-store")])
    gots = together(town, 4)
    town.wait(*gots)
    assert [got.body for got in gots] == [b"mine"] * 4
    assert len(town.asked) == 4
    assert max(got.at for got in gots) < 3  # the three went together, not one after another
    before = town.simulation.now
    again = together(town, 4)
    town.wait(*again)
    assert town.simulation.now - before < 1.5  # for a while nobody waits for another one's response there
    town.sleep(ProxyLimits().passed_seconds)
    town.script = lambda request: [1.0, *fresh()]
    town.wait(*together(town, 4))
    assert len(town.asked) == 9


def by_language(request: Request) -> Sequence[Step]:
    language = request.fields.get("accept-language", "none")
    return [1.0, *fresh(language.encode(), "Vary: Accept-Language")]


def test_variants_are_fetched_once_each() -> None:
    town = Town(by_language)
    gots = [town.begin(URL, ("Accept-Language", each)) for each in ("fr", "en", "fr", "de", "en", "fr")]
    town.wait(*gots)
    assert [got.body for got in gots] == [b"fr", b"en", b"fr", b"de", b"en", b"fr"]
    assert sorted(asked.request.fields["accept-language"] for asked in town.asked) == ["de", "en", "fr"]
    assert town.get("/", ("Accept-Language", "de")).told == "hit"
    # once it is known what the response varies with, nobody waits for another variant's
    more = [town.begin(URL, ("Accept-Language", each)) for each in ("it", "es")]
    town.wait(*more)
    assert more[1].at - more[0].at < 0.1


@pytest.mark.parametrize("http2", [False, True])
def test_a_slow_client_slows_nobody(http2: bool) -> None:
    body = BODY * 4  # more than a client of HTTP/2 takes although it is paused
    town = Town(lambda request: slowly(body, 16, 0.1, "Cache-Control: max-age=60"), http2=http2)
    slow, quick = town.begin(URL), town.begin(URL)
    assert slow.transfer is None
    town.sleep(0.3)
    assert slow.transfer is not None
    slow.transfer.pause()
    town.wait(quick)
    assert quick.body == body
    assert not slow.ended
    assert town.get().told == "hit"
    slow.transfer.resume()
    town.wait(slow)
    assert slow.body == body


def test_a_slow_client_alone_slows_the_origin() -> None:
    """Of what is not stored only a window waits in memory."""
    huge = BODY * 16
    answer = [StartResponse(200, b"Cache-Control: no-store\r\n", len(huge)), SendBody(huge), EndResponse()]
    town = Town(lambda request: answer, store=StoreLimits(window=100_000))
    got = town.begin(URL)
    town.sleep(0.35)
    assert got.transfer is not None
    got.transfer.pause()
    town.sleep(30)
    assert town.proxy.store.memory.growing < 1_000_000
    assert not got.ended
    got.transfer.resume()
    town.wait(got)
    assert got.body == huge
    assert town.proxy.store.memory.growing == 0


def test_the_slowest_of_several_readers_of_what_is_too_large_is_cut_off() -> None:
    huge = BODY * 8
    town = Town(
        lambda request: slowly(huge, 64, 0.01, "Cache-Control: max-age=60", length=False),
        store=StoreLimits(inline=500_000, window=200_000),
    )
    slow, quick = town.begin(URL), town.begin(URL)
    town.sleep(0.21)
    assert slow.transfer is not None
    slow.transfer.pause()
    town.wait(quick)
    assert quick.body == huge
    slow.transfer.resume()
    town.wait(slow)
    assert slow.error is not None
    assert town.metric("responses_total", outcome="too_large") == 1


# Who goes away


@pytest.mark.parametrize(
    ("after", "limits", "stored"),
    [
        (3.5, ProxyLimits(), False),
        (3.5, ProxyLimits(abandoned_octets=2_000_000), True),
        (15.6, ProxyLimits(abandoned_octets=0, abandoned_percent=50), True),
        (3.5, ProxyLimits(abandoned_octets=0, abandoned_percent=50), False),
    ],
)
def test_what_nobody_waits_for_any_more_goes_on_or_not(after: float, limits: ProxyLimits, stored: bool) -> None:
    town = Town(lambda request: slowly(BODY, 16, 1.0, "Cache-Control: max-age=600"), proxy=limits)
    got = town.begin(URL)
    town.sleep(after)
    assert got.transfer is not None
    got.transfer.abort()
    town.sleep(20)
    assert town.metric("fetching") == 0
    assert len(list(town.proxy.store.list())) == stored
    assert town.metric("responses_total", outcome="stored" if stored else "given_up") == 1
    assert town.proxy.store.memory.growing == 0


def test_who_remains_gets_all_when_the_first_goes() -> None:
    town = Town(lambda request: slowly(BODY, 16, 1.0, "Cache-Control: max-age=600"))
    first, second = town.begin(URL), town.begin(URL)
    town.sleep(5)
    assert first.transfer is not None
    first.transfer.abort()
    town.wait(second)
    assert second.body == BODY


def test_who_waits_still_gets_a_response_when_the_first_goes_before_it() -> None:
    town = Town(lambda request: [2.0, *fresh()])
    first, second = town.begin(URL), town.begin(URL)
    town.sleep(1)
    assert first.transfer is not None
    first.transfer.abort()
    town.wait(second)
    assert second.body == b"hello"
    assert len(town.asked) == 1


def test_all_who_wait_are_told_what_went_wrong() -> None:
    town = Town(lambda request: [1.0, "abort"])
    gots = together(town, 3)
    town.wait(*gots)
    assert [got.status for got in gots] == [502] * 3
    assert len(town.asked) == 1


# In the background


def test_stale_while_revalidate_asks_once() -> None:
    count = 0

    def script(request: Request) -> Sequence[Step]:
        nonlocal count
        count += 1
        return [1.0, *ok(b"%d" % count, "Cache-Control: max-age=5, stale-while-revalidate=60")]

    town = Town(script)
    town.get()
    town.sleep(10)
    gots = together(town, 5)
    town.wait(*gots)
    assert [got.body for got in gots] == [b"1"] * 5
    assert gots[0].told == "hit; detail=stale-while-revalidate"
    town.sleep(2)
    assert town.get().body == b"2"
    assert len(town.asked) == 2
    assert town.metric("background_total") == 1


def test_a_validation_in_the_background_is_for_the_whole() -> None:
    def script(request: Request) -> Sequence[Step]:
        if request.fields.get("if-none-match") == '"1"':
            return [Respond(304, b'ETag: "1"\r\nCache-Control: max-age=5, stale-while-revalidate=60\r\n')]
        return ok(b"0123456789", 'ETag: "1"', "Cache-Control: max-age=5, stale-while-revalidate=60")

    town = Town(script)
    town.get()
    town.sleep(10)
    part = town.get("/", ("Range", "bytes=2-3"), ("If-None-Match", '"0"'))
    assert (part.status, part.body) == (206, b"23")
    town.sleep(1)
    assert "range" not in town.asked[1].request.fields
    assert town.get().told == "hit"


def test_a_validation_in_the_background_tells_the_origin_what_it_is_for() -> None:
    """By what the client's own request would have told: an origin that redirects plain requests would do so here."""
    lines = "Cache-Control: max-age=5, stale-while-revalidate=60"
    town = Town(lambda request: ok(b"x", lines), forwarded="both", sites=(f"site.test=http://{ORIGIN}",))
    for _ in range(2):
        town.wait(town.begin("/", ("Host", "site.test"), secure=True))
        town.sleep(10)
    first, second = (asked.request.fields for asked in town.asked)
    for name in ("x-forwarded-proto", "x-forwarded-host", "host"):
        assert first[name] == second[name]
    assert first["forwarded"] == 'for=10.0.0.1;host="site.test";proto=https'
    assert second["forwarded"] == 'for=unknown;host="site.test";proto=https'
    assert "x-forwarded-for" not in second


# The body of a request


@pytest.mark.parametrize("http2", [False, True])
def test_a_large_upload_arrives_whole(http2: bool) -> None:
    town = Town(http2=http2)
    body = BODY * 16
    sent = town.begin(URL, method="PUT", body=len(body))

    def feed() -> None:
        assert sent.transfer is not None
        for at in range(0, len(body), 65536):
            sent.transfer.send(body[at : at + 65536])
        sent.transfer.end()

    town.simulation.run(for_seconds=0.01)
    town.simulation.call(town.client, feed)
    town.wait(sent)
    assert sent.status == 200
    assert town.asked[0].body == body


def test_an_origin_that_refuses_a_body_before_it_has_come() -> None:
    town = Town(lambda request: ok(b"too much", status=413))
    town.early = True
    sent = town.begin(URL, method="POST", body=10_000_000)
    town.wait(sent)
    assert (sent.status, sent.body) == (413, b"too much")


def test_expectations_are_passed_on() -> None:
    town = Town()
    sent = town.begin(URL, ("Expect", "100-continue"), method="POST", body=b"content")
    town.wait(sent)
    assert town.asked[0].request.expects_continue
    assert sent.status == 200
