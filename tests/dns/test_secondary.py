"""A secondary's timers, step by step (RFC 1034 §4.3.5, RFC 1996)."""

import pytest
from dns.rrset import RRset

from netstack.dns.limits import ZoneLimits
from netstack.dns.secondary import AskSerial, Expired, Fetch, Secondary
from netstack.dns.zone import Zone

FIRST, SECOND = ("10.0.0.1", 53), ("10.0.0.2", 53)
LIMITS = ZoneLimits()


def soa(serial: int) -> RRset:
    """Refresh 100, retry 10, expire 1000."""
    return Zone.from_text("umass.edu", f"$TTL 60\n@ SOA dns h {serial} 100 10 1000 5\n@ NS dns\n").soa


def started(serial: int | None = 5, age: float = 0.0) -> Secondary:
    made = Secondary([FIRST, SECOND], LIMITS)
    made.start(None if serial is None else soa(serial), age, 0.0)
    assert made.output() == [AskSerial(FIRST)]
    return made


def test_the_first_transfer() -> None:
    made = started(None)
    made.told(5, 1.0)
    assert made.output() == [Fetch(FIRST, None)]
    made.fetched(soa(5), 2.0)
    assert made.output() == []
    assert made.next_timer() == 102.0


def test_nothing_new() -> None:
    made = started()
    made.told(5, 1.0)
    assert (made.output(), made.next_timer()) == ([], 101.0)
    made.on_timer(100.9)
    assert made.output() == []
    made.on_timer(101.0)
    assert made.output() == [AskSerial(FIRST)]


def test_differences_and_the_whole_zone_where_there_are_none() -> None:
    made = started()
    made.told(6, 1.0)
    assert made.output() == [Fetch(FIRST, 5)]
    made.not_incremental()
    assert made.output() == [Fetch(FIRST, None)]


def test_retry_then_expire() -> None:
    made = started()
    made.told(5, 0.0)
    now = 100.0
    while True:
        made.on_timer(now)
        if made.output() != [AskSerial(FIRST)]:
            break
        made.failed(now)
        assert made.output() == [AskSerial(SECOND)]
        made.failed(now)
        due = made.next_timer()
        assert due is not None
        assert due in (now + 10, 1000.0)
        now = due
    assert (now, made.soa) == (1000.0, None)


def test_without_a_zone_it_waits_longer_and_longer() -> None:
    made = started(None)
    waits = []
    now = 0.0
    for _ in range(12):
        made.failed(now)
        made.failed(now)
        due = made.next_timer()
        assert due is not None
        waits.append(due - now)
        now = due
        made.output()
        made.on_timer(now)
        assert made.output() == [AskSerial(FIRST)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]


def test_a_primary_that_lags_behind_is_passed_over() -> None:
    made = started()
    made.told(4, 1.0)
    assert made.output() == [AskSerial(SECOND)]
    made.told(6, 2.0)
    assert made.output() == [Fetch(SECOND, 5)]


def test_notify() -> None:
    made = started()
    made.told(5, 1.0)
    made.notified("10.0.0.2", 5, 2.0)
    assert made.output() == []  # nothing new
    made.notified("10.0.0.2", 6, 3.0)
    assert made.output() == [AskSerial(SECOND)]
    made.notified("10.0.0.2", 7, 3.1)  # while it asks: once more afterwards
    assert made.output() == []
    made.told(6, 3.2)
    assert made.output() == [Fetch(SECOND, 5)]
    made.fetched(soa(6), 3.3)
    assert made.output() == [AskSerial(SECOND)]


def test_a_copy_from_disk_grows_old_while_the_host_is_down() -> None:
    made = Secondary([FIRST], LIMITS)
    made.start(soa(5), 990.0, 0.0)
    made.output()
    made.failed(0.0)
    made.on_timer(10.0)
    assert Expired() in made.output()


def test_jitter_makes_intervals_shorter_never_longer() -> None:
    made = Secondary([FIRST], LIMITS, lambda: 1.0)
    made.start(soa(5), 0.0, 0.0)
    made.told(5, 0.0)
    assert made.next_timer() == 90.0


def test_a_soa_that_asks_for_no_rest_gets_some() -> None:
    made = Secondary([FIRST], LIMITS)
    made.start(None, 0.0, 0.0)
    made.told(1, 0.0)
    made.fetched(Zone.from_text("umass.edu", "$TTL 60\n@ SOA dns h 1 0 0 0 0\n@ NS dns\n").soa, 0.0)
    assert made.next_timer() == LIMITS.least_refresh


def test_it_needs_a_primary() -> None:
    with pytest.raises(ValueError, match="primaries"):
        Secondary([], LIMITS)
