"""How many queries of a client, or equal replies to a network, there may be in a second; pure."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from ipaddress import ip_address, ip_network

from netstack.dns.options import question_end

REMEMBERED = 100_000
"""Buckets; the ones used longest ago are forgotten."""
_IPV4_PREFIX, _IPV6_PREFIX = 24, 56
"""Networks whose addresses are counted as one victim, as BIND's rate-limit has them."""


class Rates:
    """Buckets of tokens, one for each key: `rate` come in a second, at most `rate` are kept, each use takes one.

    Who goes on when there are none is in debt, of at most `window` seconds' tokens: it gets nothing until that is paid.
    """

    def __init__(self, rate: float, window: float = 0.0) -> None:
        self.rate = rate
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
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return tokens >= 1.0

    def give_back(self, key: Hashable) -> None:
        """What was taken last is not used."""
        tokens, when = self._buckets.get(key, (self.rate, 0.0))
        self._buckets[key] = min(self.rate, tokens + 1.0), when


def victim(address: str) -> Hashable:
    """The network of an address: a flood of replies is meant for one of them."""
    parsed = ip_address(address.partition("%")[0])
    prefix = _IPV4_PREFIX if parsed.version == 4 else _IPV6_PREFIX
    return ip_network((parsed, prefix), strict=False).network_address.packed


def kind(reply: bytes, counted: Callable[[bytes], bytes] = lambda name: name) -> Hashable:
    """Which replies are the same to the limit: those to one question; errors; and what one zone does not have, refers to.

    `counted`: of a name, octets in lower case, the one whose records answer: no name is new to a wildcard.
    """
    end = question_end(reply)
    if end is None:
        return reply[3] & 15
    rcode = reply[3] & 15
    if rcode == 0 and reply[6:8] != b"\0\0":
        return counted(reply[12 : end - 4].lower()), reply[end - 4 : end]
    if rcode in (0, 3) and reply[8:10] != b"\0\0" and reply[6:8] == b"\0\0":
        return rcode, _name(reply, end)
    return rcode


def _name(message: bytes, at: int) -> bytes:
    """The labels of a name that may be compressed, in lower case."""
    labels = b""
    for _ in range(128):
        if at >= len(message) or message[at] == 0:
            break
        if message[at] >= 0xC0:
            at = int.from_bytes(message[at : at + 2], "big") & 0x3FFF
            continue
        labels += message[at : at + message[at] + 1]
        at += message[at] + 1
    return labels.lower()
