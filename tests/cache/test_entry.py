"""The record of a stored response: octets and back, instants, keys."""

from dataclasses import fields as dataclass_fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.cache.entry import Broken, Entry, Flags
from netstack.cache.keys import named_keys, primary_key, url_key
from tests.cache.messages import request, request_key

LATIN = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=30)
INSTANTS = st.floats(0, 1e11)
OCTETS = st.none() | st.integers(0, 2**60)
NAMES = st.lists(st.text("abcdef-", min_size=1, max_size=9), max_size=3).map(tuple)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    names = draw(NAMES)
    values = st.tuples(*[st.none() | LATIN for _ in names])
    return Entry(
        draw(LATIN).encode("latin-1"), draw(st.integers(200, 599)), draw(st.binary(max_size=300)), draw(INSTANTS),
        draw(INSTANTS), draw(INSTANTS), draw(INSTANTS), draw(INSTANTS), draw(INSTANTS), draw(st.integers(-1000, 2**40)),
        Flags(draw(st.integers(0, 31))), draw(OCTETS), draw(st.integers(0, 2**60)), draw(OCTETS), draw(st.none() | LATIN),
        draw(OCTETS), names, draw(st.lists(values, max_size=4).map(tuple)),
    )  # fmt: skip


def state(entry: Entry) -> list[object]:
    return [getattr(entry, each.name) for each in dataclass_fields(entry)]


@given(entries())
def test_octets_and_back(entry: Entry) -> None:
    assert state(Entry.from_bytes(entry.to_bytes())) == state(entry)


@given(entries(), st.data())
def test_damage_is_seen(entry: Entry, data: st.DataObject) -> None:
    octets = bytearray(entry.to_bytes())
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Broken):
        Entry.from_bytes(bytes(octets))
    with pytest.raises(Broken):
        Entry.from_bytes(entry.to_bytes()[:at])


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        (("http", "A.test", None, "", None), b"GET http://a.test/"),
        (("http", "a.test", 80, "/", None), b"GET http://a.test/"),
        (("https", "a.test", 443, "/x", ""), b"GET https://a.test/x?"),
        (("https", "a.test", 80, "/x", "b=1&a=2"), b"GET https://a.test:80/x?b=1&a=2"),
        (("http", "a.test", 8080, "/%7Ex/../%2f", None), b"GET http://a.test:8080/%7Ex/../%2f"),
    ],
)
def test_keys(parts: tuple[str, str, int | None, str, str | None], key: bytes) -> None:
    assert primary_key(*parts) == key
    assert url_key(key.decode().removeprefix("GET ") + "#fragment") == key


def test_the_key_of_a_request() -> None:
    assert request_key(request(path="/a?b", host="A.Test:80"), "http") == b"GET http://a.test/a?b"
    assert request_key(request(path="http://b.test?b"), "http") == b"GET http://b.test/?b"
    assert request_key(request("HEAD", path="/a"), "https") == b"GET https://a.test/a"


@pytest.mark.parametrize("url", ["", "/x", "ftp://a.test/", "http:///x", "http://a b/", "http://a.test/\x7f", "http://[x"])
def test_what_is_no_key(url: str) -> None:
    assert url_key(url) is None


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("/b", b"GET http://a.test/b"),
        ("c?d", b"GET http://a.test/x/c?d"),
        ("http://a.test:80/b#f", b"GET http://a.test/b"),
        ("http://A.TEST/b", b"GET http://a.test/b"),
        ("//a.test/b", b"GET http://a.test/b"),
        ("https://a.test/b", None),
        ("http://a.test:81/b", None),
        ("http://b.test/b", None),
        ("http://a.test@b.test/b", None),
        ("y", None),
        ("http://[", None),
        ("mailto:a@a.test", None),
    ],
)
def test_other_keys_are_of_the_same_origin(location: str, found: bytes | None) -> None:
    """RFC 9111 §4.4; "y" is the resource itself."""
    expected = () if found is None else (found,)
    assert named_keys(b"GET http://a.test/x/y", {"location": location}) == expected
    assert named_keys(b"GET http://a.test/x/y", {"content-location": location}) == expected
