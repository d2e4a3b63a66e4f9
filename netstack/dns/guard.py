"""Who is answered, how fully and how often: server cookies, limits of queries and of replies; pure."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from dns.rcode import Rcode

from netstack.dns.chaos import Introduction
from netstack.dns.cookies import CLIENT, ServerCookies, derived
from netstack.dns.limits import ServerLimits
from netstack.dns.options import COOKIE, opt_at, option, payload_of, question_end, truncated, with_option
from netstack.dns.rates import kind
from netstack.dns.wire import HEADER, header_reply
from netstack.sansio import Now
from netstack.sansio.rates import Rates, network_of

CookieRule = Literal["off", "on", "required"]
COOKIE_RULES: tuple[CookieRule, ...] = ("off", "on", "required")
BADCOOKIE = 23
KNOWN, KNOWN_FOR = 10_000, 1.0
"""Cookies, and clients' networks, that are remembered, cookies for so many seconds: a hash costs more than all else."""


@dataclass(slots=True)
class GuardCounts:
    """What a guard kept back."""

    limited: int = 0
    """Replies not sent, or queries not answered, because of a rate."""
    slipped: int = 0
    """Of these, answered by TC alone."""
    bad_cookies: int = 0
    """Queries with a cookie that is not ours or too old."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A query that may be answered, and what its reply must have."""

    address: str
    stream: bool
    cookie: bytes | None
    """The COOKIE option's octets."""
    genuine: bool
    """The sender's address is no forgery: it knows a cookie, or has a connection."""
    payload: int
    query: bytes = b""
    """Where it asks for more than is told to everybody (NSID)."""


@dataclass(frozen=True, slots=True)
class Known:
    """A client's cookie."""

    given: bytes
    """The COOKIE option's octets for the reply."""
    option: bytes
    """An OPT record's length and that option alone."""
    genuine: bool
    """The client has a cookie of ours."""
    until: float
    """Seconds, wall clock."""


class Guard:
    """One server's. `secret()` gives 16 random octets for cookies, whose secrets are made of them, unless `shared` has some.

    "required": a client that sends cookies gets BADCOOKIE until it sends ours (as BIND's require-server-cookie).
    """

    def __init__(
        self,
        limits: ServerLimits,
        rule: CookieRule,
        secret: Callable[[], bytes],
        shared: Sequence[bytes] = (),
        introduction: Introduction | None = None,
    ) -> None:
        self.introduction = introduction or Introduction()
        self.limits = limits
        self.rule = rule
        self.counts = GuardCounts()
        self._cookies = ServerCookies((lambda now: shared) if shared else derived(secret(), limits.cookie_rotation))
        self._clients = Rates(limits.client_rate) if limits.client_rate else None
        self._replies = Rates(limits.response_rate, limits.response_window) if limits.response_rate else None

        self.counted: Callable[[bytes], bytes] = lambda name: name
        """The name by which an answer about one, octets in lower case, is equal to others: `Authority.source_of`."""
        self._known: dict[tuple[str, bytes], Known] = {}
        self._victims: dict[str, Hashable] = {}

    @property
    def has_rates(self) -> bool:
        """Whether clients or replies are limited."""
        return self._clients is not None or self._replies is not None

    def held_back(self, data: bytes, address: str, now: Now) -> bytes | None:
        """What is sent over UDP to a client that asks too often, empty for nothing; None: it does not."""
        if self._clients is None or self._clients.take(address, now.monotonic):
            return None
        return self._held_back(_bare(data)) or b""

    def give_back(self, address: str) -> None:
        """The query that was counted by `held_back` is counted again."""
        if self._clients is not None:
            self._clients.give_back(address)

    def limited(self, reply: bytes, address: str, now: Now) -> bytes:
        """A reply to somebody who may be a forgery, or what is sent instead, empty for nothing."""
        if self._replies is None:
            return reply
        network = self._victims.get(address)
        if network is None:
            if len(self._victims) >= KNOWN:
                self._victims.clear()
            network = self._victims[address] = network_of(address)
        if self._replies.take((network, kind(reply, self.counted)), now.monotonic):
            return reply
        return self._held_back(truncated(reply)) or b""

    def known(self, cookie: bytes, address: str, now: Now) -> "Known":
        """What there is to know of a COOKIE option of the right length; remembered for a second."""
        key = address, cookie
        found = self._known.get(key)
        if found is not None and found.until - KNOWN_FOR <= now.wall < found.until:
            return found
        client, server = cookie[:CLIENT], cookie[CLIENT:]
        fresh = self._cookies.fresh(client, server, address, now.wall) if server else None
        given = client + (fresh or self._cookies.make(client, address, now.wall))
        if len(self._known) >= KNOWN:
            self._known.clear()
        length = len(given).to_bytes(2, "big")
        added = COOKIE.to_bytes(2, "big") + length + given
        found = Known(given, len(added).to_bytes(2, "big") + added, fresh is not None, now.wall + KNOWN_FOR)
        self._known[key] = found
        return found

    def count(self, cookie: bytes, known: "Known") -> None:
        """A query with this cookie is answered."""
        self.counts.bad_cookies += len(cookie) > CLIENT and not known.genuine

    def admit(self, data: bytes, address: str, stream: bool, now: Now) -> Admitted | bytes | None:
        """A query that may be answered; else what is sent instead, if anything."""
        if len(data) < HEADER or data[2] & 0x80:
            return Admitted(address, stream, None, stream, 0)  # not a query: whoever reads it says so
        if self._clients is not None and not self._clients.take(address, now.monotonic):
            if stream:
                self.counts.limited += 1
                return header_reply(data, Rcode.REFUSED)
            return self._held_back(_bare(data))
        told = self.introduction.answer(data, self.limits.udp_payload)
        if told is not None:
            return self._told(told, address, stream, now)
        at = opt_at(data)
        cookie = None if at is None or self.rule == "off" else option(data, at, COOKIE)
        payload = 512 if at is None else min(payload_of(data, at), self.limits.udp_payload)
        query = data if at is not None and self.introduction.nsid else b""
        if cookie is None:
            return Admitted(address, stream, None, stream, payload, query)
        if len(cookie) != CLIENT and not CLIENT + 8 <= len(cookie) <= CLIENT + 32:  # RFC 7873 §5.2.2
            return self._told(_bare(data, Rcode.FORMERR, self.limits.udp_payload), address, stream, now)
        known = self.known(cookie, address, now)
        self.count(cookie, known)
        if self.rule == "required" and not known.genuine and not stream:
            refusal = with_option(_bare(data, BADCOOKIE, self.limits.udp_payload), COOKIE, known.given)
            return self._told(refusal, address, stream, now)
        return Admitted(address, stream, known.given, stream or known.genuine, payload, query)

    def finish(self, admitted: Admitted, reply: bytes | None, now: Now) -> bytes | None:
        """The reply as it is sent: with a cookie, cut, or not at all."""
        if reply is None:
            return None
        if admitted.cookie is not None or admitted.query:
            more = self._with_options(admitted, reply)
            if not admitted.stream and len(more) > admitted.payload:
                more = self._with_options(admitted, truncated(reply))
            reply = more
        return reply if admitted.genuine else self.limited(reply, admitted.address, now) or None

    def _told(self, reply: bytes, address: str, stream: bool, now: Now) -> bytes | None:
        """A reply of the guard's own, which may be held back as others are."""
        return reply if stream else self.limited(reply, address, now) or None

    def _with_options(self, admitted: Admitted, reply: bytes) -> bytes:
        if admitted.cookie is not None:
            reply = with_option(reply, COOKIE, admitted.cookie)
        return self.introduction.identify(admitted.query, reply) if admitted.query else reply

    def _held_back(self, reply: bytes) -> bytes | None:
        """Nothing, or now and then TC: who is no forgery comes again over TCP (slip)."""
        self.counts.limited += 1
        if self.counts.limited % self.limits.response_slip:
            return None
        self.counts.slipped += 1
        return truncated(reply)


def _bare(query: bytes, rcode: int = 0, payload: int | None = None) -> bytes:
    """A reply of header, question and, with `payload`, an OPT record."""
    end = question_end(query)
    question = b"" if end is None else query[HEADER:end]
    opt = b"" if payload is None else b"\0\0\x29" + payload.to_bytes(2, "big") + bytes([rcode >> 4]) + bytes(5)
    counts = bytes([0, bool(question), 0, 0, 0, 0, 0, bool(opt)])
    return query[:2] + bytes([query[2] & 0x79 | 0x80, rcode & 15]) + counts + question + opt
