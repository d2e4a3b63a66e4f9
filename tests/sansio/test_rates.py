"""Buckets of tokens."""

from netstack.sansio.rates import REMEMBERED, Rates, network_of


def test_tokens_come_with_time() -> None:
    rates = Rates(5)
    assert [rates.take("a", 0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert rates.take("b", 0.0)
    assert [rates.take("a", 0.4) for _ in range(3)] == [True, True, False]
    assert [rates.take("a", 100.0) for _ in range(6)] == [True] * 5 + [False]


def test_who_goes_on_is_in_debt() -> None:
    rates = Rates(5, window=15)
    for _ in range(1000):
        rates.take("a", 0.0)
    assert not rates.take("a", 14.0)
    assert rates.take("a", 16.0)


def test_the_buckets_used_longest_ago_are_forgotten() -> None:
    rates = Rates(1)
    for number in range(REMEMBERED + 10):
        assert rates.take(number, 0.0)
    assert len(rates) == REMEMBERED
    assert not rates.take(REMEMBERED, 0.0)
    assert rates.take(0, 0.0)


def test_a_network_is_one_client() -> None:
    assert network_of("10.1.2.3") == network_of("10.1.2.250") != network_of("10.1.3.3")
    assert network_of("2001:db8:0:1100::1") == network_of("2001:db8:0:11ff::1") != network_of("2001:db8:0:1200::1")
