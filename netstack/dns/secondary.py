"""When a secondary asks its primaries (RFC 1034 §4.3.5, RFC 1996 §4): refresh, retry, expire of one zone; pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dns.rrset import RRset

from netstack.dns.limits import ZoneLimits
from netstack.dns.serial import newer, serial_of
from netstack.sansio import Address, Event


@dataclass(frozen=True, slots=True)
class AskSerial(Event):
    """To the role: ask a primary for its SOA; then call `told` or `failed`."""

    primary: Address


@dataclass(frozen=True, slots=True)
class Fetch(Event):
    """To the role: transfer the zone, by differences from `serial` unless None.

    Then it calls `fetched`, `not_incremental` or `failed`.
    """

    primary: Address
    serial: int | None


@dataclass(frozen=True, slots=True)
class Expired(Event):
    """To the role: the copy may be served no more."""


class Secondary:
    """One zone's timers. `jitter()` in 0..1 spreads the checks of many zones over a tenth of their interval."""

    def __init__(self, primaries: Sequence[Address], limits: ZoneLimits, jitter: Callable[[], float] = lambda: 0.0) -> None:
        if not primaries:
            raise ValueError("primaries: expected at least one")
        self.primaries = tuple(primaries)
        self.limits = limits
        self.soa: RRset | None = None
        """Of the copy that is served."""
        self._jitter = jitter
        self._turn = 0
        self._tried = 0
        self._busy = False
        self._again = False
        self._failures = 0
        self._check_at: float | None = None
        self._expire_at: float | None = None
        self._output: list[Event] = []

    def start(self, soa: RRset | None, age: float, now: float) -> None:
        """Begin, with a copy from disk that was the primary's `age` seconds ago, or without one; check at once."""
        if soa is not None:
            self.soa = soa
            self._expire_at = now + max(0.0, self._expiry(soa) - max(0.0, age))
        self._check_at = now
        self.on_timer(now)

    def output(self) -> list[Event]:
        """What the role has to do, once."""
        output, self._output = self._output, []
        return output

    def notified(self, address: str, serial: int | None, now: float) -> None:
        """A primary says that the zone has changed (RFC 1996 §4.7): check now, there first; once more if under way."""
        if self.soa is not None and serial is not None and not newer(serial, serial_of(self.soa)):
            return
        if self._busy:
            self._again = True
            return
        for number, primary in enumerate(self.primaries):
            if primary[0] == address:
                self._turn = number
        self._check()

    def told(self, serial: int, now: float) -> None:
        """The primary's serial, as asked for by AskSerial."""
        if self.soa is None or newer(serial, serial_of(self.soa)):
            self._fetch(None if self.soa is None else serial_of(self.soa))
        elif serial == serial_of(self.soa):
            self._fresh(now)
        else:  # a primary that lags behind tells nothing of the others
            self.failed(now)

    def fetched(self, soa: RRset, now: float) -> None:
        """The zone is here and served."""
        self.soa = soa
        self._fresh(now)

    def not_incremental(self) -> None:
        """The primary sends no differences that fit: the whole zone then."""
        self._fetch(None)

    def failed(self, now: float) -> None:
        """No answer, or none that can be used: the next primary, or later again."""
        self._tried += 1
        self._turn = (self._turn + 1) % len(self.primaries)
        if self._tried < len(self.primaries):
            self._ask()
            return
        self._busy = False
        if self.soa is not None:
            rdata: Any = self.soa[0]
            self._later(max(float(rdata.retry), self.limits.least_refresh), now)
        else:
            self._failures += 1
            exponent = min(self._failures - 1, 30)
            self._later(min(self.limits.first_retry * 2**exponent, self.limits.most_retry), now)
        self._once_more()

    def next_timer(self) -> float | None:
        """When `on_timer` is to be called."""
        times = [time for time in (self._check_at, self._expire_at) if time is not None]
        return min(times, default=None)

    def on_timer(self, now: float) -> None:
        """Time has passed."""
        if self._expire_at is not None and self._expire_at <= now:
            self._expire_at = None
            self.soa = None
            self._output.append(Expired())
        if self._check_at is not None and self._check_at <= now:
            self._check()

    def _check(self) -> None:
        self._check_at = None
        if not self._busy:
            self._busy = True
            self._tried = 0
            self._ask()

    def _ask(self) -> None:
        self._output.append(AskSerial(self.primaries[self._turn]))

    def _fetch(self, serial: int | None) -> None:
        self._output.append(Fetch(self.primaries[self._turn], serial))

    def _fresh(self, now: float) -> None:
        self._busy = False
        self._failures = 0
        if self.soa is not None:
            rdata: Any = self.soa[0]
            self._expire_at = now + self._expiry(self.soa)
            self._later(max(float(rdata.refresh), self.limits.least_refresh), now)
        self._once_more()

    def _later(self, seconds: float, now: float) -> None:
        self._check_at = now + seconds * (1 - 0.1 * self._jitter())

    def _once_more(self) -> None:
        if self._again:
            self._again = False
            self._check()

    def _expiry(self, soa: RRset) -> float:
        rdata: Any = soa[0]
        return max(float(rdata.expire), self.limits.least_refresh)
