"""The cache: time, trust and bounds."""

import dns.name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset, from_text
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.cache import ALL_TYPES, Cache, Entry, Rank


def rrset(name: str, data: str = "10.0.0.1", ttl: int = 60) -> RRset:
    return from_text(dns.name.from_text(name), ttl, "IN", "A", data)


def put(cache: Cache, name: str, now: float, rank: Rank = Rank.ANSWER, data: str = "10.0.0.1", ttl: int = 60) -> None:
    made = rrset(name, data, ttl)
    cache.put(made.name, RdataType.A, Entry(made, now + ttl, rank), now)


def get(cache: Cache, name: str, now: float, rank: Rank = Rank.ADDITIONAL) -> str | None:
    entry = cache.get(dns.name.from_text(name), RdataType.A, now, rank)
    return None if entry is None or entry.rrset is None else str(entry.rrset[0])


def test_the_ttl_counts_down_and_ends() -> None:
    cache = Cache(10, 10_000)
    put(cache, "a", 100.0)
    entry = cache.get(dns.name.from_text("A"), RdataType.A, 100.0, Rank.ANSWER)
    assert entry is not None
    assert [left.ttl for left in map(entry.at, (100.0, 130.5, 159.9)) if left is not None] == [60, 29, 0]
    assert get(cache, "a", 159.9) == "10.0.0.1"
    assert get(cache, "a", 160.0) is None
    assert (len(cache), cache.size) == (0, 0)


def test_a_ttl_of_zero_is_not_kept() -> None:
    cache = Cache(10, 10_000)
    put(cache, "a", 100.0, ttl=0)
    assert len(cache) == 0


def test_trust() -> None:
    cache = Cache(10, 10_000)
    put(cache, "a", 0.0, Rank.ADDITIONAL, "10.0.0.1")
    assert get(cache, "a", 1.0, Rank.ANSWER) is None
    put(cache, "a", 0.0, Rank.ANSWER, "10.0.0.2")
    put(cache, "a", 0.0, Rank.ADDITIONAL, "10.0.0.3")
    assert get(cache, "a", 1.0, Rank.ANSWER) == "10.0.0.2"
    put(cache, "a", 61.0, Rank.ADDITIONAL, "10.0.0.3")
    assert get(cache, "a", 62.0) == "10.0.0.3"


def test_absence_is_an_entry() -> None:
    cache = Cache(10, 10_000)
    name = dns.name.from_text("a")
    cache.put(name, ALL_TYPES, Entry(None, 60.0, Rank.ANSWER, True, Rcode.NXDOMAIN), 0.0)
    found = cache.get(name, ALL_TYPES, 1.0, Rank.ANSWER)
    assert found is not None
    assert (found.negative, found.rcode, found.at(1.0)) == (True, Rcode.NXDOMAIN, None)


def test_the_least_recently_used_goes_first() -> None:
    cache = Cache(3, 100_000)
    for name in ("a", "b", "c"):
        put(cache, name, 0.0)
    get(cache, "a", 1.0)
    put(cache, "d", 1.0)
    assert [get(cache, name, 1.0) is not None for name in ("a", "b", "c", "d")] == [True, False, True, True]
    cache.flush()
    assert (len(cache), cache.size) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 120), st.sampled_from(list(Rank)), st.booleans()), max_size=80))
def test_bounds_hold_and_sizes_add_up(steps: list[tuple[int, int, Rank, bool]]) -> None:
    cache = Cache(12, 4000)
    now = 0.0
    for name, ttl, rank, read in steps:
        now += 7
        if read:
            get(cache, f"n{name}", now)
        else:
            put(cache, f"n{name}", now, rank, ttl=ttl)
        assert len(cache) <= 12
        assert 0 <= cache.size <= 4000
        assert cache.size == sum(entry.size for entry in cache._entries.values())


def test_what_came_beside_the_answer_changes_nothing_that_is_known_as_well() -> None:
    cache = Cache(10, 10_000)
    beside = Entry(rrset("a", "10.6.6.6"), 160.0, Rank.ADDITIONAL)
    for known, seen in ((Rank.ADDITIONAL, "10.0.0.1"), (Rank.ANSWER, "10.0.0.1")):
        put(cache, "a", 100.0, known)
        cache.put(dns.name.from_text("a"), RdataType.A, beside, 100.0, asked=False)
        assert get(cache, "a", 101.0) == seen
    cache.put(
        dns.name.from_text("a"), RdataType.A, Entry(rrset("a", "10.6.6.6"), 300.0, Rank.ADDITIONAL), 200.0, asked=False
    )
    assert get(cache, "a", 201.0) == "10.6.6.6"
