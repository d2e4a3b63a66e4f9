"""Range and If-Range: which parts are sent, and how several are framed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.http.ranges import asked_ranges, part_heads, range_applies


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-3", [(0, 4)]),
        ("bytes=0-0", [(0, 1)]),
        ("bytes=5-", [(5, 95)]),
        ("bytes=-5", [(95, 5)]),
        ("bytes=-500", [(0, 100)]),
        ("bytes=90-500", [(90, 10)]),
        ("Bytes = 0-3", [(0, 4)]),
        ("bytes=0-3, 10-13", [(0, 4), (10, 4)]),
        ("bytes=10-13,0-3", [(10, 4), (0, 4)]),
        ("bytes=0-9,5-14,-1", [(0, 15), (99, 1)]),
        ("bytes=0-9,10-19", [(0, 20)]),
        ("bytes=0-3,,200-300", [(0, 4)]),
        ("bytes=100-", []),
        ("bytes=-0", []),
        ("bytes=200-300,-0", []),
        ("bytes=", None),
        ("bytes=,", None),
        ("bytes=3-2", None),
        ("bytes=a-b", None),
        ("bytes=1-2-3", None),
        ("bytes=--1", None),
        ("bytes=+1-2", None),
        ("bytes=0-3,x", None),
        ("bytes", None),
        ("pages=1-2", None),
        ("bytes=1-9999999999999999999", None),
        ("bytes=" + ",".join(f"{at}-{at}" for at in range(0, 10, 2)), None),
    ],
)
def test_what_a_range_field_asks_for(value: str, expected: list[tuple[int, int]] | None) -> None:
    assert asked_ranges(value, 100, 4) == expected


def test_nothing_of_an_empty_file_can_be_satisfied() -> None:
    assert asked_ranges("bytes=0-", 0, 4) == asked_ranges("bytes=-1", 0, 4) == []


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=8), st.integers(0, 50))
def test_what_is_sent_is_what_was_asked_for_and_nothing_twice(pairs: list[tuple[int, int]], size: int) -> None:
    asked = [(min(pair), max(pair)) for pair in pairs]
    found = asked_ranges("bytes=" + ",".join(f"{first}-{last}" for first, last in asked), size, 8)
    assert found is not None
    octets = [at for start, length in found for at in range(start, start + length)]
    assert len(octets) == len(set(octets))
    assert set(octets) == {at for first, last in asked for at in range(first, last + 1) if at < size}


DATE, MODIFIED = "Sun, 09 Sep 2001 01:46:40 GMT", 1_000_000_000


@pytest.mark.parametrize(
    ("condition", "wall", "applies"),
    [
        (None, 2e9, True),
        ('"a"', 2e9, True),
        ('"b"', 2e9, False),
        ('W/"a"', 2e9, False),
        (DATE, 2e9, True),
        (DATE, MODIFIED + 0.5, False),
        ("Sun, 09 Sep 2001 01:46:41 GMT", 2e9, False),
        ("tomorrow", 2e9, False),
    ],
)
def test_if_range_needs_a_strong_validator(condition: str | None, wall: float, applies: bool) -> None:
    assert range_applies({} if condition is None else {"if-range": condition}, '"a"', MODIFIED, wall) is applies


def test_parts_are_framed() -> None:
    heads, end = part_heads([(0, 2), (5, 1)], 9, "text/plain", "b")
    assert heads[0] == b"--b\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/9\r\n\r\n"
    assert heads[1] == b"\r\n--b\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-5/9\r\n\r\n"
    assert end == b"\r\n--b--\r\n"
