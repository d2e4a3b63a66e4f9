"""A cache in memory: what is asked of the origin, what the client gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.cache.rules import Rules
from netstack.cache.status import proxy_status
from netstack.cache.structured import parameters, parse_dictionary, token_or_string
from netstack.http.values import http_date
from tests.cache.engine import Asked, MemoryCache, Reply
from tests.cache.messages import NOW, request

DATE = ("Date", http_date(NOW))


def cache(*replies: Reply | None) -> tuple[MemoryCache, list[Asked]]:
    """A cache whose origin gives these answers, the last one again and again, and what it was asked."""
    asked: list[Asked] = []

    def origin(one: Asked) -> Reply | None:
        asked.append(one)
        return replies[min(len(asked), len(replies)) - 1]

    return MemoryCache(origin, wall=NOW), asked


def test_a_hit_and_then_a_validation() -> None:
    made, asked = cache(
        Reply(200, [DATE, ("ETag", '"1"'), ("Cache-Control", "max-age=10"), ("X", "1")], b"body"),
        Reply(304, [("ETag", '"1"'), ("X", "2"), ("Date", http_date(NOW + 11))]),
    )
    assert made.ask(request()).body == b"body"
    made.wall += 9
    got = made.ask(request())
    assert (got.status, got.body, got.fields["age"]) == (200, b"body", "9")
    assert got.fields["cache-status"] == "netstack-cache; hit; ttl=1"
    assert len(asked) == 1
    made.wall += 2
    got = made.ask(request())
    assert asked[1].fields["if-none-match"] == '"1"'
    assert (got.status, got.body, got.fields["x"], got.fields["age"]) == (200, b"body", "2", "0")
    made.wall += 9
    assert made.ask(request()).fields["x"] == "2"
    assert len(asked) == 2


@pytest.mark.parametrize("said", ["no-store", "private", "max-age=0", "no-store, max-age=60"])
def test_what_is_not_stored(said: str) -> None:
    made, asked = cache(Reply(200, [DATE, ("Cache-Control", said)], b"body"))
    made.ask(request())
    made.ask(request())
    assert len(asked) == 2
    assert not made.stored(b"GET http://a.test/")


def test_ranges_of_what_is_stored() -> None:
    made, asked = cache(Reply(200, [DATE, ("Cache-Control", "max-age=10")], b"0123456789"))
    made.ask(request())
    got = made.ask(request(fields=[("Range", "bytes=2-3")]))
    assert (got.status, got.body, got.fields["content-range"]) == (206, b"23", "bytes 2-3/10")
    got = made.ask(request(fields=[("Range", "bytes=0-0,-1")]))
    assert got.status == 206
    assert b"Content-Range: bytes 9-9/10\r\n\r\n9" in got.body
    assert made.ask(request(fields=[("Range", "bytes=10-")])).status == 416
    assert len(asked) == 1


def test_a_beginning_is_completed() -> None:
    fields = [DATE, ("ETag", '"1"'), ("Cache-Control", "max-age=10")]
    made, asked = cache(
        Reply(206, [*fields, ("Content-Range", "bytes 0-4/10")], b"01234"),
        Reply(206, [*fields, ("Content-Range", "bytes 5-9/10")], b"56789"),
    )
    assert made.ask(request(fields=[("Range", "bytes=0-4")])).body == b"01234"
    assert made.ask(request(fields=[("Range", "bytes=1-2")])).body == b"12"
    assert len(asked) == 1
    got = made.ask(request())
    assert (got.status, got.body) == (200, b"0123456789")
    assert (asked[1].fields["range"], asked[1].fields["if-range"]) == ("bytes=5-", '"1"')
    assert made.ask(request()).body == b"0123456789"
    assert len(asked) == 2


def test_unsafe_methods_invalidate() -> None:
    made, asked = cache(Reply(200, [DATE, ("Cache-Control", "max-age=10")], b"body"))
    made.ask(request())
    made.ask(request("POST"))
    made.ask(request())
    assert [each.method for each in asked] == ["GET", "POST", "GET"]


TAG = ("ETag", '"1"')
OLD = ("Last-Modified", http_date(NOW - 1000))


def said(value: str) -> tuple[str, str]:
    return "Cache-Control", value


@pytest.mark.parametrize(
    ("rules", "status", "fields", "seconds"),
    [
        (Rules(), 200, [OLD], 100),
        (Rules(heuristic=0.5), 200, [OLD], 500),
        (Rules(heuristic=0.5, heuristic_seconds=60), 200, [OLD], 60),
        (Rules(heuristic=0), 200, [OLD, TAG], 0),
        (Rules(), 404, [TAG], 0),
        (Rules(negative_seconds=30), 404, [], 30),
        (Rules(negative_seconds=30), 410, [said("public")], 30),
        (Rules(negative_seconds=30), 404, [said("max-age=5")], 5),
        (Rules(negative_seconds=30), 404, [OLD], 100),
        (Rules(negative_seconds=30), 200, [TAG], 0),
        (Rules(targets=("a-cc", "b-cc")), 200, [("B-CC", "max-age=7"), said("max-age=9")], 7),
        (
            Rules(targets=("a-cc", "b-cc")), 200,
            [("B-CC", "max-age=7"), ("A-CC", "max-age=8")], 8,
        ),
        (Rules(), 200, [("CDN-Cache-Control", "max-age=7"), said("max-age=9")], 9),
    ],
)  # fmt: skip
def test_lifetimes_that_options_decide(rules: Rules, status: int, fields: list[tuple[str, str]], seconds: int) -> None:
    made, _ = cache(Reply(status, [DATE, *fields], b"body"))
    made.rules = rules
    made.ask(request())
    (entry,) = made.stored(b"GET http://a.test/")
    assert entry.fresh_until - NOW == seconds


@pytest.mark.parametrize(
    ("rules", "fields", "shared"),
    [
        (Rules(), [said("max-age=60")], False),
        (Rules(), [OLD], False),
        (Rules(), [said("max-age=60, public")], True),
        (Rules(), [said("s-maxage=60")], True),
        (Rules(), [said('max-age=60, private="set-cookie"')], False),
        (Rules(share_cookies=True), [said("max-age=60")], True),
        (Rules(share_cookies=True), [said("max-age=60, private")], False),
        (Rules(targets=("cdn-cache-control",)), [("CDN-Cache-Control", "max-age=60")], True),
    ],
)
def test_whose_cookies_are_shared(rules: Rules, fields: list[tuple[str, str]], shared: bool) -> None:
    made, _ = cache(Reply(200, [DATE, ("Set-Cookie", "a=1"), *fields], b"body"))
    made.rules = rules
    assert made.ask(request()).fields["set-cookie"] == "a=1"
    assert bool(made.stored(b"GET http://a.test/")) is shared


def test_a_cookie_of_a_304_is_for_its_client_alone() -> None:
    made, _ = cache(
        Reply(200, [DATE, TAG, said("max-age=1")], b"body"),
        Reply(304, [("Date", http_date(NOW + 2)), TAG, said("max-age=60"), ("Set-Cookie", "a=1")]),
    )
    made.ask(request())
    made.wall += 2
    assert made.ask(request()).fields["set-cookie"] == "a=1"
    got = made.ask(request())
    assert "set-cookie" not in got.fields
    assert got.fields["cache-status"].startswith("netstack-cache; hit")


def test_what_clients_say_can_be_left_unheeded() -> None:
    made, asked = cache(Reply(200, [DATE, said("max-age=60")], b"body"))
    made.rules = Rules(obey_requests=False)
    made.ask(request())
    for value in ("no-cache", "max-age=0", "min-fresh=90"):
        made.ask(request(fields=[said(value)]))
    made.ask(request(fields=[("Pragma", "no-cache")]))
    assert len(asked) == 1
    made.ask(request(fields=[said("no-store")], path="/other"))
    assert not made.stored(b"GET http://a.test/other")
    assert made.ask(request(fields=[said("only-if-cached")], path="/third")).status == 504


def test_stale_by_the_operators_leave() -> None:
    made, _ = cache(Reply(200, [DATE, said("max-age=10")], b"body"), None)
    made.rules = Rules(stale_if_error_seconds=60)
    made.ask(request())
    made.wall += 69
    assert made.ask(request()).body == b"body"
    made.wall += 2
    assert made.ask(request()).status == 504


def test_variants_have_a_bound() -> None:
    made, asked = cache(Reply(200, [DATE, said("max-age=60"), ("Vary", "X")], b"body"))
    made.rules = Rules(variants=3)
    for number in range(5):
        made.ask(request(fields=[("X", str(number))]))
        made.wall += 0.5
    assert len(made.stored(b"GET http://a.test/")) == 3
    made.ask(request(fields=[("X", "4")]))
    assert len(asked) == 5
    made.ask(request(fields=[("X", "0")]))
    assert len(asked) == 6


def test_a_variant_serves_those_whom_a_304_sent_to_it() -> None:
    """Its selecting values are remembered, up to a bound (RFC 9111 §4.3.4)."""
    made, asked = cache(
        Reply(200, [DATE, said("max-age=600"), TAG, ("Vary", "X")], b"body"), Reply(304, [DATE, TAG, said("max-age=600")])
    )
    made.rules = Rules(alternates=3)
    for number in (0, 1, 2, 1, 0):
        assert made.ask(request(fields=[("X", str(number))])).body == b"body"
    assert len(asked) == 3
    made.ask(request(fields=[("X", "3")]))
    (entry,) = made.stored(b"GET http://a.test/")
    assert entry.selecting == (("3",), ("2",), ("1",))
    assert made.ask(request(fields=[("X", "0")])).body == b"body"
    assert len(asked) == 5


def test_the_key_is_told_if_asked_for() -> None:
    made, _ = cache(Reply(200, [DATE, said("max-age=60")], b"body"))
    made.rules = Rules(name="my cache", show_key=True)
    made.ask(request(path='/a?"b'.replace('"', "%22")))
    got = made.ask(request(path="/a?%22b"))
    assert got.fields["cache-status"] == '"my cache"; hit; ttl=60; key="http://a.test/a?%22b"'


def test_proxy_status() -> None:
    line = proxy_status(Rules(), "dns_error", 'says "x"\\', "a.test")
    assert line == 'netstack-cache; error=dns_error; next-hop="a.test"; details="says \\"x\\"\\\\"'


@given(st.text(max_size=20), st.dictionaries(st.sampled_from(["a", "b*", "c-1"]), st.booleans() | st.integers() | st.text()))
def test_what_is_written_is_structured(name: str, values: dict[str, bool | int | str]) -> None:
    line = "key=" + token_or_string(name) + parameters(values)
    assert list(parse_dictionary(line)) == ["key"]
