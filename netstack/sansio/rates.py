"""How much of a thing each client may have in a unit of time: buckets of tokens, as many as there are clients, bounded."""

from collections import OrderedDict
from collections.abc import Hashable
from ipaddress import ip_address, ip_network

REMEMBERED = 100_000
"""Buckets, where nobody says how many."""
_IPV4_PREFIX, _IPV6_PREFIX = 24, 56
"""As BIND's rate-limit has them."""


class Rates:
    """Buckets of tokens, one for each key: `rate` come in a second, or in whatever `now` counts, at most `rate` are kept.

    Each use takes one. Who goes on when there are none is in debt, of at most `window` seconds' tokens: it gets nothing
    until that is paid.
    """

    def __init__(self, rate: float, window: float = 0.0, remembered: int = REMEMBERED) -> None:
        """`remembered`: buckets; the ones used longest ago are forgotten."""
        self.rate = rate
        self.remembered = remembered
        self.window = window
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        """Tokens, and when they were counted."""

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Hashable, now: float) -> bool:
        """Whether there was a token."""
        tokens, when = self._buckets.pop(key, (self.rate, now))
        tokens = min(self.rate, tokens + (now - when) * self.rate)
        left = max(tokens - 1.0, -self.rate * self.window - 1.0) if self.window or tokens >= 1.0 else tokens
        self._buckets[key] = (left, now)
        if len(self._buckets) > self.remembered:
            self._buckets.popitem(last=False)
        return tokens >= 1.0

    def give_back(self, key: Hashable) -> None:
        """What was taken last is not used."""
        tokens, when = self._buckets.get(key, (self.rate, 0.0))
        self._buckets[key] = min(self.rate, tokens + 1.0), when


def network_of(address: str) -> Hashable:
    """The network of an address, /24 or /56: its hosts are counted as one client, or as one victim of a flood."""
    parsed = ip_address(address.partition("%")[0])
    prefix = _IPV4_PREFIX if parsed.version == 4 else _IPV6_PREFIX
    return ip_network((parsed, prefix), strict=False).network_address.packed
