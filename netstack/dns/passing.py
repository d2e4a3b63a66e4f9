"""A guard on the short way of a hot path: cookies and rates for datagrams that a bypass answers; pure."""

from collections.abc import Callable
from typing import Protocol

from netstack.dns.guard import Admitted, Guard
from netstack.dns.options import without_cookie
from netstack.sansio import Address, Now


class Answering(Protocol):
    """A bypass (`kernel/datagrams.py`)."""

    def answer(self, data: bytes, source: Callable[[], Address]) -> bytes | None: ...

    def answered(self, count: int, seconds: float) -> None: ...


class GuardedBypass:
    """Answers as `inner` does, under a guard, with the very replies that `Guard.admit` and `finish` lead to.

    Without rates a query without options is the inner bypass's alone, and a cookie costs what it costs itself.
    """

    def __init__(self, inner: Answering, guard: Guard, now: Callable[[], Now]) -> None:
        self.inner = inner
        self.guard = guard
        self.now = now
        self.answered = inner.answered
        self._inner = inner.answer
        self._rated = guard.has_rates
        self._cookies = guard.rule != "off"

    def answer(self, data: bytes, source: Callable[[], Address]) -> bytes | None:
        """The reply to a query; empty when none is due; None when the plain path must see to it."""
        if self._rated:
            return self._limited(data, source)
        reply = self._inner(data, source)
        if reply is None and self._cookies:
            parts = without_cookie(data)
            if parts is not None:
                return self._with_cookie(*parts, data, source, self.now())
        return reply

    def _limited(self, data: bytes, source: Callable[[], Address]) -> bytes | None:
        guard, now, address = self.guard, self.now(), source()[0]
        if len(data) < 12 or data[2] & 0x80:
            return None  # no query: whoever reads it says so
        held = guard.held_back(data, address, now)
        if held is not None:
            return held
        parts = without_cookie(data) if self._cookies else None
        if parts is not None:
            reply = self._with_cookie(*parts, data, source, now)
        else:
            reply = self._inner(data, source)
            if reply is not None:
                reply = guard.limited(reply, address, now)
        if reply is None:
            guard.give_back(address)
        return reply

    def _with_cookie(self, bare: bytes, cookie: bytes, data: bytes, source: Callable[[], Address], now: Now) -> bytes | None:
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
