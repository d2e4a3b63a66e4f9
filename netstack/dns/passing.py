"""A guard on the short way of a hot path: cookies and rates for datagrams that a bypass answers; pure."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from netstack.dns.guard import KNOWN, KNOWN_FOR, Admitted, Guard, Known
from netstack.dns.options import without_cookie
from netstack.dns.wire import HEADER
from netstack.sansio import Address, Now


class Answering(Protocol):
    """A bypass (`kernel/datagrams.py`); what it does not know it leaves to `beyond`, if that is set."""

    beyond: Callable[[bytes, Callable[[], Address]], bytes | None] | None

    def answer(self, data: bytes, source: Callable[[], Address]) -> bytes | None: ...

    def answered(self, count: int, seconds: float) -> None: ...


def guarded_bypass(bypass: Answering, guard: Guard, now: Callable[[], Now]) -> "Answering | GuardedBypass":
    """A bypass under a guard, with the very replies that `Guard.admit` and `finish` lead to.

    Without rates a query without options is the bypass's alone and costs nothing more.
    """
    under = GuardedBypass(bypass, guard, now)
    if guard.has_rates:
        return under
    if guard.rule != "off":
        bypass.beyond = under.cooked
    return bypass


class GuardedBypass:
    """Answers as `inner` does to queries with a cookie, or within the rates."""

    def __init__(self, inner: Answering, guard: Guard, now: Callable[[], Now]) -> None:
        self.inner = inner
        self.guard = guard
        self.now = now
        self.answered = inner.answered
        self._inner = inner.answer
        self._cookies = guard.rule != "off"
        self._seen: dict[tuple[str, bytes], _Seen] = {}
        """By the sender's address and what is behind the question."""

    def answer(self, data: bytes, source: Callable[[], Address]) -> bytes | None:
        """The reply to a query; empty when none is due; None when the plain path must see to it."""
        guard, now, address = self.guard, self.now(), source()[0]
        if len(data) < 12 or data[2] & 0x80:
            return None  # no query: whoever reads it says so
        held = guard.held_back(data, address, now)
        if held is not None:
            return held
        parts = without_cookie(data) if self._cookies else None
        if parts is not None:
            bare, cookie = parts
            seen = _Seen(b"", cookie, guard.known(cookie, address, now), self._largest(bare))
            reply = self._with_cookie(bare, seen, address, source, now)
        else:
            reply = self._inner(data, source)
            if reply is not None:
                reply = guard.limited(reply, address, now)
        if reply is None:
            guard.give_back(address)
        return reply

    def cooked(self, data: bytes, source: Callable[[], Address]) -> bytes | None:
        """The reply to a query with a cookie, where there are no rates; None for others."""
        end = data.find(0, HEADER) + 5
        key = source()[0], data[end:]
        seen = self._seen.get(key)
        now = self.now()
        if seen is None or not seen.known.until - KNOWN_FOR <= now.wall < seen.known.until:
            parts = without_cookie(data)
            if parts is None:
                return None
            bare, cookie = parts
            if len(self._seen) >= KNOWN:
                self._seen.clear()
            seen = self._seen[key] = _Seen(bare[end:], cookie, self.guard.known(cookie, key[0], now), self._largest(bare))
        return self._with_cookie(data[:end] + seen.bare, seen, key[0], source, now)

    def _with_cookie(
        self, bare: bytes, seen: "_Seen", address: str, source: Callable[[], Address], now: Now
    ) -> bytes | None:
        known, guard = seen.known, self.guard
        if not known.genuine and guard.rule == "required":
            return None
        reply = self._inner(bare, source)
        if reply is None:
            return None
        if not known.genuine:
            guard.count(seen.cookie, known)
        if reply[-11:-8] == b"\0\0\x29" and reply[-2:] == b"\0\0" and len(reply) + len(known.option) - 2 <= seen.largest:
            reply = reply[:-2] + known.option
            return reply if known.genuine else guard.limited(reply, address, now)
        return guard.finish(Admitted(address, False, known.given, known.genuine, seen.largest), reply, now) or b""

    def _largest(self, bare: bytes) -> int:
        return max(512, min(bare[-8] << 8 | bare[-7], self.guard.limits.udp_payload))


class _Seen(NamedTuple):
    """What is behind the question of a query with a cookie."""

    bare: bytes
    """The same without the cookie."""
    cookie: bytes
    known: Known
    largest: int
    """Octets that the client takes."""
