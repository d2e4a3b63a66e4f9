"""Cache directives: Cache-Control of both sides, targeted fields, Pragma."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.cache.directives import (
    MOST_SECONDS,
    RequestControl,
    ResponseControl,
    parse_directives,
    request_control,
    response_control,
)
from tests.cache.messages import format_directives

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20)
ARGUMENTS = st.none() | st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)
GIVEN = st.lists(st.tuples(NAMES, ARGUMENTS), max_size=6).map(tuple)


@given(GIVEN)
def test_directives_round_trip(given: tuple[tuple[str, str | None], ...]) -> None:
    assert parse_directives(format_directives(given)) == given


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=60))
def test_no_field_breaks_the_parsers(value: str) -> None:
    fields = {"cache-control": value, "cdn-cache-control": value, "pragma": value}
    assert isinstance(request_control(fields), RequestControl)
    assert isinstance(response_control(fields, ("cdn-cache-control",)), ResponseControl)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=40), st.sampled_from([", ", ",", " ,"]))
def test_no_store_is_found_after_whatever_came_before(before: str, comma: str) -> None:
    """Unless it stands in a quoted string that was closed."""
    value = before + comma + "no-store"
    assert response_control({"cache-control": value}).no_store or before.count('"') > 1
    assert response_control({"cache-control": "no-store" + comma + before}).no_store


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", ResponseControl()),
        ("max-age=60", ResponseControl(max_age=60)),
        ("MaX-aGe=60, PUBLIC", ResponseControl(max_age=60, public=True)),
        ('max-age="60"', ResponseControl(max_age=60)),
        ("max-age=0060", ResponseControl(max_age=60)),
        ("max-age=2147483649", ResponseControl(max_age=MOST_SECONDS)),
        ("max-age=99999999999999999999999", ResponseControl(max_age=MOST_SECONDS)),
        ("max-age=-1", ResponseControl(max_age=0)),
        ("max-age=1.5", ResponseControl(max_age=0)),
        ("max-age=6o", ResponseControl(max_age=0)),
        ("max-age='60'", ResponseControl(max_age=0)),
        ("max-age", ResponseControl(max_age=0)),
        ("max-age=", ResponseControl(max_age=0)),
        ("max-age =60", ResponseControl(max_age=0)),
        ("max-age= 60", ResponseControl(max_age=0)),
        ("max-age=60, max-age=60", ResponseControl(max_age=60)),
        ("max-age=60, max-age=61", ResponseControl(max_age=0)),
        ("s-maxage=1, max-age=60", ResponseControl(max_age=60, s_maxage=1)),
        ('extension="max-age=60, no-store", max-age=1', ResponseControl(max_age=1)),
        ('extension="never closed, no-store', ResponseControl(no_store=True)),
        ('extension="a \\" b", no-store', ResponseControl(no_store=True)),
        (",, ,no-store ,", ResponseControl(no_store=True)),
        ("no-store=1", ResponseControl(no_store=True)),
        ("no-cache", ResponseControl(no_cache=True)),
        ('no-cache="A, b"', ResponseControl(withheld=frozenset({"a", "b"}))),
        ("no-cache=a", ResponseControl(withheld=frozenset({"a"}))),
        ('no-cache=""', ResponseControl(no_cache=True)),
        ('no-cache="a b"', ResponseControl(no_cache=True)),
        ('no-cache="a", no-cache', ResponseControl(no_cache=True)),
        ('private="set-cookie", no-cache=x', ResponseControl(withheld=frozenset({"set-cookie", "x"}))),
        ("private", ResponseControl(private=True)),
        ("must-revalidate, proxy-revalidate", ResponseControl(must_revalidate=True, proxy_revalidate=True)),
        ("must-understand, no-store", ResponseControl(must_understand=True, no_store=True)),
        ("no-transform, immutable", ResponseControl(no_transform=True, immutable=True)),
        ("stale-while-revalidate=5, stale-if-error=6", ResponseControl(stale_while_revalidate=5, stale_if_error=6)),
        ("community=UCI, max-age=1", ResponseControl(max_age=1)),
    ],
)
def test_what_a_response_says(value: str, said: ResponseControl) -> None:
    assert response_control({"cache-control": value}) == said


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("no-cache", RequestControl(no_cache=True)),
        ("no-store, no-transform", RequestControl(no_store=True, no_transform=True)),
        ("only-if-cached", RequestControl(only_if_cached=True)),
        ("max-stale", RequestControl(max_stale=MOST_SECONDS)),
        ("max-stale=5", RequestControl(max_stale=5)),
        ("max-stale=x", RequestControl(max_stale=0)),
        ("min-fresh=5", RequestControl(min_fresh=5)),
        ("min-fresh=x", RequestControl(min_fresh=MOST_SECONDS)),
        ("max-age=x", RequestControl(max_age=0)),
        ("stale-if-error=9", RequestControl(stale_if_error=9)),
    ],
)
def test_what_a_request_asks(value: str, asked: RequestControl) -> None:
    assert request_control({"cache-control": value}) == asked


def test_pragma_counts_alone() -> None:
    assert request_control({"pragma": "no-cache"}).no_cache
    assert not request_control({"pragma": "no-cache", "cache-control": "max-age=1"}).no_cache
    assert not request_control({"pragma": "x"}).no_cache


TARGETS = ("edge-cache-control", "cdn-cache-control")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cdn-cache-control": "max-age=9", "cache-control": "no-store"}, ResponseControl(max_age=9, targeted=True)),
        (
            {"edge-cache-control": "max-age=1", "cdn-cache-control": "max-age=9"},
            ResponseControl(max_age=1, targeted=True),
        ),
        ({"cdn-cache-control": "", "cache-control": "no-store"}, ResponseControl(no_store=True)),
        ({"cdn-cache-control": "max-age=9, &&", "cache-control": "no-store"}, ResponseControl(no_store=True)),
        ({"cdn-cache-control": "Max-Age=9", "cache-control": "no-store"}, ResponseControl(no_store=True)),
        ({"cdn-cache-control": "max-age=9,", "cache-control": "no-store"}, ResponseControl(no_store=True)),
        ({"cdn-cache-control": 'max-age="9"'}, ResponseControl(max_age=0, targeted=True)),
        ({"cdn-cache-control": "max-age=9.5"}, ResponseControl(max_age=0, targeted=True)),
        ({"cdn-cache-control": "max-age=9;x=1, no-cache;y"}, ResponseControl(max_age=9, no_cache=True, targeted=True)),
        ({"cdn-cache-control": "max-age=1, max-age=9"}, ResponseControl(max_age=9, targeted=True)),
        ({"cdn-cache-control": "no-store=?0, max-age=9"}, ResponseControl(max_age=9, targeted=True)),
        ({"cdn-cache-control": 'private="a, b"'}, ResponseControl(withheld=frozenset({"a", "b"}), targeted=True)),
        ({"cdn-cache-control": "(a b);q, :aGk=:"}, ResponseControl()),
        ({"cdn-cache-control": "x=(a b);q, y=:aGk=:, no-store"}, ResponseControl(no_store=True, targeted=True)),
    ],
)
def test_targeted_fields(fields: dict[str, str], said: ResponseControl) -> None:
    assert response_control(fields, TARGETS) == said
    assert not response_control({name: value for name, value in fields.items() if name != "cache-control"}).targeted
