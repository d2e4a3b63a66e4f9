"""Serial numbers go around (RFC 1982)."""

import pytest

from netstack.dns.serial import following, newer


@pytest.mark.parametrize(
    ("serial", "than", "expected"),
    [
        (2, 1, True),
        (1, 2, False),
        (1, 1, False),
        (0, 0xFFFFFFFF, True),
        (5, 0xFFFFFFF0, True),
        (0x80000000, 0, False),  # undefined (RFC 1982 §3.2)
        (0x7FFFFFFF, 0, True),
        (0, 0x80000001, True),
    ],
)
def test_comparison(serial: int, than: int, expected: bool) -> None:
    assert newer(serial, than) is expected


def test_the_next_one_passes_over_zero() -> None:
    assert [following(1), following(0xFFFFFFFF)] == [2, 1]
    assert newer(following(0xFFFFFFFF), 0xFFFFFFFF)
