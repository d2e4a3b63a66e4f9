"""What a resolver knows of the servers it asks: round-trip times, lameness, lack of EDNS(0); pure."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from dns.name import Name

K = TypeVar("K")
V = TypeVar("V")
REMEMBERED = 10_000
"""Servers, and pairs of server and zone; the ones used longest ago are forgotten."""
LEAST_TIMEOUT = 0.4


@dataclass(slots=True)
class RoundTrip:
    """Smoothed as in RFC 6298 §2."""

    smoothed: float
    deviation: float


@dataclass(slots=True)
class Cookies:
    """Ours for one server alone (RFC 9018 §3), and the server's for us."""

    client: bytes
    server: bytes = b""


class Servers:
    """Picks whom to ask first and how long to wait. `fraction()` gives 0..1."""

    def __init__(self, first_timeout: float, max_timeout: float, lame_time: float, fraction: Callable[[], float]) -> None:
        self.first_timeout = first_timeout
        self.max_timeout = max_timeout
        self.lame_time = lame_time
        self._fraction = fraction
        self._times: OrderedDict[str, RoundTrip] = OrderedDict()
        self._lame: OrderedDict[tuple[str, Name], float] = OrderedDict()
        self._plain: OrderedDict[str, None] = OrderedDict()
        self._cookies: OrderedDict[str, Cookies] = OrderedDict()
        self._caseless: OrderedDict[str, None] = OrderedDict()

    def order(self, addresses: Iterable[str], zone: Name, now: float) -> list[str]:
        """The addresses that are not lame for the zone: unknown ones first, at random, then the quickest."""
        usable = [address for address in dict.fromkeys(addresses) if self._lame.get((address, zone), now) <= now]
        ranked = sorted((self._cost(address), address) for address in usable)
        for _, address in ranked[1:]:
            known = self._times.get(address)
            if known is not None:
                known.smoothed *= 0.98  # so that a server that was slow once is tried again some day
        return [address for _, address in ranked]

    def timeout(self, address: str, round: int) -> float:
        """How long to wait for a reply in the `round`th round, from 0."""
        known = self._times.get(address)
        first = self.first_timeout if known is None else max(LEAST_TIMEOUT, known.smoothed + 4 * known.deviation)
        return min(self.max_timeout, first * (1 << round))

    def replied(self, address: str, seconds: float) -> None:
        """A reply came so long after its query."""
        known = self._times.get(address)
        if known is None:
            _remember(self._times, address, RoundTrip(seconds, seconds / 2))
            return
        known.deviation += (abs(seconds - known.smoothed) - known.deviation) / 4
        known.smoothed += (seconds - known.smoothed) / 8
        self._times.move_to_end(address)

    def silent(self, address: str) -> None:
        """No reply came in time: others are asked first from now on."""
        known = self._times.get(address)
        if known is None:
            _remember(self._times, address, RoundTrip(self.first_timeout, self.first_timeout / 2))
        else:
            known.smoothed = min(self.max_timeout, max(known.smoothed * 2, 0.1))

    def lame(self, address: str, zone: Name, now: float) -> None:
        """It does not serve the zone: not asked again for it for a while."""
        _remember(self._lame, (address, zone), now + self.lame_time)

    def plain(self, address: str) -> None:
        """It does not understand EDNS(0)."""
        _remember(self._plain, address, None)

    def is_plain(self, address: str) -> bool:
        return address in self._plain

    def cookies(self, address: str, bits: Callable[[int], int]) -> Cookies:
        """Those of a server; a new one gets a random client cookie. `bits(n)` gives n random ones."""
        known = self._cookies.get(address)
        if known is None:
            known = Cookies(bits(64).to_bytes(8, "big"))
            _remember(self._cookies, address, known)
        else:
            self._cookies.move_to_end(address)
        return known

    def has_cookie(self, address: str) -> bool:
        """Whether its replies are expected to have a cookie."""
        known = self._cookies.get(address)
        return known is not None and known.server != b""

    def learn_cookie(self, address: str, cookie: bytes) -> None:
        """What it wants to see in the next query."""
        known = self._cookies.get(address)
        if known is not None:
            known.server = cookie

    def forget_cookie(self, address: str) -> None:
        """It no longer sends one."""
        self.learn_cookie(address, b"")

    def loses_case(self, address: str) -> None:
        """Its replies do not keep the case of the question."""
        _remember(self._caseless, address, None)

    def keeps_case(self, address: str) -> bool:
        return address not in self._caseless

    def forget(self) -> None:
        """As at the start."""
        self._cookies.clear()
        self._caseless.clear()
        self._times.clear()
        self._lame.clear()
        self._plain.clear()

    def _cost(self, address: str) -> float:
        known = self._times.get(address)
        return self._fraction() * 0.0001 if known is None else known.smoothed


def _remember(table: OrderedDict[K, V], key: K, value: V) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > REMEMBERED:
        table.popitem(last=False)
