"""A cache in memory: what is asked of the origin, what the client gets."""

import pytest

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
