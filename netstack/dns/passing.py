"""A guard on the short way of a hot path: cookies and rates for datagrams that a bypass answers; pure."""

from collections.abc import Callable
from typing import Protocol

from netstack.dns.guard import Admitted, Guard
from netstack.dns.options import without_cookie
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
            reply = self._with_cookie(*parts, source, now)
        else:
            reply = self._inner(data, source)
            if reply is not None:
                reply = guard.limited(reply, address, now)
        if reply is None:
            guard.give_back(address)
        return reply

    def cooked(self, data: bytes, source: Callable[[], Address]) -> bytes | None:
        """The reply to a query with a cookie; None for others."""
        parts = without_cookie(data)
        return None if parts is None else self._with_cookie(*parts, source, self.now())

    def _with_cookie(self, bare: bytes, cookie: bytes, source: Callable[[], Address], now: Now) -> bytes | None:
        guard, address = self.guard, source()[0]
        known = guard.known(cookie, address, now)
        if guard.rule == "required" and not known.genuine:
            return None
        reply = self._inner(bare, source)
        if reply is None:
            return None
        guard.count(cookie, known)
        largest = max(512, min(bare[-8] << 8 | bare[-7], guard.limits.udp_payload))
        if reply[-11:-8] == b"\0\0\x29" and reply[-2:] == b"\0\0" and len(reply) + 4 + len(known.given) <= largest:
            reply = reply[:-2] + known.option
            return reply if known.genuine else guard.limited(reply, address, now)
        return guard.finish(Admitted(address, False, known.given, known.genuine, largest), reply, now) or b""
