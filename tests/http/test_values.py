"""Dates, lists, hosts, entity tags and preconditions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.http.conditional import evaluate
from netstack.http.values import authority, entity_tags, http_date, parse_http_date, tokens

AT = 784111777


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_the_three_forms_of_a_date(text: str) -> None:
    assert parse_http_date(text) == AT


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "784111777", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
     "Sun, 6 Nov 1994 08:49:37 GMT",
     "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
     "Sun, 06 Nov 0000 08:49:37 GMT"],
)  # fmt: skip
def test_anything_else_is_no_date(text: str) -> None:
    assert parse_http_date(text) is None


def test_a_year_of_two_digits() -> None:
    assert parse_http_date("Thursday, 01-Jan-70 00:00:00 GMT") == 0
    assert parse_http_date("Tuesday, 01-Jan-69 00:00:00 GMT") == 3124224000


@given(st.integers(0, 253402300799))
def test_a_date_comes_back(seconds: int) -> None:
    assert parse_http_date(http_date(seconds)) == seconds


def test_tokens() -> None:
    assert [*tokens("A, b ,,\tC")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.test", ("a.test", None)), ("A.TEST:80", ("a.test", 80)), ("a.test:", ("a.test", None)),
        ("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[2001:db8::1]:80", ("[2001:db8::1]", 80)),
        ("a_b.test", ("a_b.test", None)),
        ("", None), (":80", None), ("a b", None), ("a.test:x", None), ("a.test:99999", None), ("u@a.test", None),
        ("a.test/", None), ("::1", None),
    ],
)  # fmt: skip
def test_authority(text: str, expected: tuple[str, int | None] | None) -> None:
    assert authority(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [('"a"', ['"a"']), ('"a", W/"b" ,"c,d"', ['"a"', 'W/"b"', '"c,d"']), ("*", ["*"]), ('""', ['""']),
     ("a", None), ('"a', None), ("", None), ('"a" "b"', None), ('"a", b', None)],
)  # fmt: skip
def test_entity_tags(text: str, expected: list[str] | None) -> None:
    assert entity_tags(text) == expected


SAME, LATER, EARLIER = (http_date(AT + seconds) for seconds in (0, 1, -1))


@pytest.mark.parametrize(
    ("fields", "method", "expected"),
    [
        ({}, "GET", None),
        ({"if-none-match": '"x"'}, "GET", 304),
        ({"if-none-match": 'W/"x"'}, "GET", 304),
        ({"if-none-match": '"y", "x"'}, "HEAD", 304),
        ({"if-none-match": "*"}, "GET", 304),
        ({"if-none-match": '"y"'}, "GET", None),
        ({"if-none-match": "x"}, "GET", None),
        ({"if-none-match": '"x"'}, "PUT", 412),
        ({"if-modified-since": SAME}, "GET", 304),
        ({"if-modified-since": LATER}, "GET", 304),
        ({"if-modified-since": EARLIER}, "GET", None),
        ({"if-modified-since": "garbage"}, "GET", None),
        ({"if-modified-since": SAME}, "PUT", None),
        ({"if-none-match": '"y"', "if-modified-since": SAME}, "GET", None),
        ({"if-match": '"x"'}, "GET", None),
        ({"if-match": "*"}, "GET", None),
        ({"if-match": '"y"'}, "GET", 412),
        ({"if-match": 'W/"x"'}, "GET", 412),
        ({"if-unmodified-since": SAME}, "GET", None),
        ({"if-unmodified-since": EARLIER}, "GET", 412),
        ({"if-match": '"x"', "if-unmodified-since": EARLIER}, "GET", None),
        ({"if-match": '"x"', "if-none-match": '"x"'}, "GET", 304),
    ],
)
def test_preconditions_in_their_order(fields: dict[str, str], method: str, expected: int | None) -> None:
    assert evaluate(fields, method, '"x"', AT) == expected
