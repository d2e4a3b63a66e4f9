"""A resolver's replies from its cache, kept as octets whose TTLs are brought up to date (RFC 1035 §7.3); pure.

The plain path makes each reply once; it is given again while all that it was made of is in the cache, none of it has expired
or is about to be fetched anew, and for a minute at most: then the plain path sees the question again, as its cache must to
know what is used.
"""

from collections.abc import Callable, Sequence

from dns.rcode import Rcode

from netstack.dns.cache import Entry
from netstack.dns.compiled import OVERHEAD, Memo, Tallies, Tally, ordinary
from netstack.dns.events import Outcome, ResolverCounts
from netstack.dns.wire import HEADER, Query
from netstack.sansio import Address

TRUSTED = 60.0
"""Seconds for which a reply is given without a look at the cache's names."""
FAMILIES = ("1", "2")
_TICK = 1e-6
"""A TTL is renewed so much too early, rather than by a rounding too late."""
_CLIENTS = 10_000
"""Addresses of which it is remembered whether they may ask."""


class _Timed:
    """A reply without its id, its question in lower case; good until some TTL is a second less."""

    __slots__ = ("octets", "places", "until")

    def __init__(self, octets: bytes, places: Sequence[tuple[int, float]]) -> None:
        self.octets = octets
        self.places = places
        """Where each TTL stands, and when its record expires."""
        self.until = 0.0

    def at(self, now: float) -> bytes:
        """With the TTLs that are left."""
        renewed = bytearray(self.octets)
        until = now + TRUSTED
        for place, expires in self.places:
            ttl = max(0, int(expires - now))
            renewed[place : place + 4] = ttl.to_bytes(4, "big")
            until = min(until, expires - ttl)
        self.octets, self.until = bytes(renewed), until - _TICK
        return self.octets


class _Kept:
    __slots__ = ("entries", "tallies", "timed", "turning", "until")

    def __init__(self, entries: Sequence[Entry], turning: Entry | None, until: float, tallies: Sequence[Tally]) -> None:
        self.entries = entries
        self.turning = turning
        """The one whose records take turns."""
        self.until = until
        self.tallies = tallies
        self.timed: dict[int, _Timed] = {}
        """By the record that is first."""


class KeptReplies:
    """Replies of one resolver. `may_ask`: whether an address is a client's; `seconds`: the monotonic clock.

    `fetched_anew`: the last part of each TTL in which the plain path must see every question (prefetch), 0 for none.
    """

    def __init__(
        self,
        may_ask: Callable[[str], bool],
        seconds: Callable[[], float],
        counts: ResolverCounts,
        tallies: Tallies,
        limit: int,
        rotate: bool = True,
        fetched_anew: float = 0.0,
    ) -> None:
        self.may_ask = may_ask
        self.seconds = seconds
        self.counts = counts
        self.tallies = tallies
        self.rotate = rotate
        self.fetched_anew = fetched_anew
        self.memo: Memo[_Kept] = Memo(limit)
        self._clients: dict[str, bool] = {}

    def keep(self, data: bytes, query: Query, outcome: Outcome, reply: bytes) -> None:
        """Keep the plain path's reply to a datagram, if it came from the cache alone and may be given again."""
        end, entries = data.find(0, HEADER), outcome.kept
        if not entries or outcome.error is not None or not query.recursion_desired or not ordinary(data, end):
            return
        if outcome.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN) or reply[HEADER:end] != data[HEADER:end]:
            return
        places = _places(reply, entries, end)
        turning = [entry for entry in entries if entry.rrset is not None and len(entry.rrset) > 1]
        if places is None or len(turning) > 1:
            return
        key = data[2:end].lower() + data[end:]
        kept = self.memo.young.get(key)
        if kept is None or kept.until <= self.seconds() or len(kept.entries) != len(entries) or not _same(kept, entries):
            until = self.seconds() + TRUSTED
            for entry in entries:
                until = min(until, entry.expires - (entry.expires - entry.learned) * self.fetched_anew)
            tallies = [self.tallies.tally("udp", it, query.question.rdtype, outcome.rcode) for it in FAMILIES]
            kept = _Kept(entries, turning[0] if turning else None, until, tallies)
            self.memo.put(key, kept, len(key) + OVERHEAD)
        first = 0
        if turning and turning[0].rrset is not None:
            first = (turning[0].turn - self.rotate) % len(turning[0].rrset)  # the turn has gone on since
        kept.timed[first] = _Timed(reply[2:HEADER] + reply[HEADER:end].lower() + reply[end:], places)
        self.memo.grow(len(reply) + OVERHEAD)

    def give(self, data: bytes, source: Callable[[], Address], family: int) -> bytes | None:
        """The reply to a query; None when the plain path must see to it."""
        kept, end = self.memo.young.get(data[2:]), 0  # most clients ask in lower case
        if kept is None:
            end = data.find(0, HEADER)
            kept = self.memo.young.get(data[2:end].lower() + data[end:])
            if kept is None:
                return None
        now = self.seconds()
        address = source()[0]
        allowed = self._clients.get(address)
        if not (self._is_client(address) if allowed is None else allowed) or now >= kept.until:
            return None
        for entry in kept.entries:
            if not entry.held:
                return None
        turning, first = kept.turning, 0
        if turning is not None and turning.rrset is not None:
            first = turning.turn % len(turning.rrset)
        timed = kept.timed.get(first)
        if timed is None:
            return None
        if turning is not None:
            turning.turn += self.rotate
        self.counts.cache_requests += 1
        self.counts.cache_hits += 1
        kept.tallies[family].count += 1
        octets = timed.octets if now < timed.until else timed.at(now)
        if end:
            octets = octets[: HEADER - 2] + data[HEADER:end] + octets[end - 2 :]
        return data[:2] + octets

    def _is_client(self, address: str) -> bool:
        if len(self._clients) >= _CLIENTS:
            self._clients.clear()
        allowed = self._clients[address] = self.may_ask(address)
        return allowed


class KeptAnswers:
    """One datagram socket's bypass, of family "1" (IPv4) or "2" (IPv6)."""

    def __init__(self, replies: KeptReplies, family: str) -> None:
        self.replies = replies
        self.family = FAMILIES.index(family)

    def answer(self, data: bytes, source: Callable[[], Address]) -> bytes | None:
        """The reply to a query; None when the plain path must see to it."""
        return self.replies.give(data, source, self.family)

    def answered(self, count: int, seconds: float) -> None:
        """So many replies went out, so long after their queries were read."""
        self.replies.tallies.replies(count, seconds)


def _same(kept: _Kept, entries: Sequence[Entry]) -> bool:
    return all(one is other for one, other in zip(kept.entries, entries, strict=True))


def _places(reply: bytes, entries: Sequence[Entry], end: int) -> list[tuple[int, float]] | None:
    """Where the TTLs are, counted without the id; None when the records are not just those of the entries, in order."""
    if reply[2] & 0x02 or int.from_bytes(reply[4:6], "big") != 1:  # TC: there are none
        return None
    expires = [entry.expires for entry in entries if entry.rrset is not None for _ in entry.rrset]
    if int.from_bytes(reply[6:8], "big") + int.from_bytes(reply[8:10], "big") != len(expires):
        return None
    at, places = end + 5, []
    for when in expires:
        while reply[at] not in range(0xC0, 0x100) and reply[at]:
            at += reply[at] + 1
        at += 2 if reply[at] else 1
        places.append((at + 4 - 2, when))
        at += 10 + int.from_bytes(reply[at + 8 : at + 10], "big")
    rest = len(reply) - at
    return places if rest == (11 if int.from_bytes(reply[10:12], "big") else 0) else None
