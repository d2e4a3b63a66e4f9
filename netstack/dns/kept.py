"""A resolver's replies from its cache, kept as octets whose TTLs are brought up to date (RFC 1035 §7.3); pure.

The plain path makes each reply once; it is given again while all that it was made of is in the cache, none of it has expired
or is about to be fetched anew, and for a minute at most: then the plain path sees the question again, as its cache must to
know what is used.
"""

from collections.abc import Callable, Sequence

from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.assembled import ordinary
from netstack.dns.cache import Entry, Use
from netstack.dns.compiled import OVERHEAD, Memo, Tallies, Tally
from netstack.dns.events import Outcome, Proto, ResolverCounts
from netstack.dns.options import without_cookie
from netstack.dns.wire import HEADER, Query
from netstack.sansio import Address

TRUSTED = 60.0
"""Seconds for which a reply is given without a look at the cache's names."""
FAMILIES = ("1", "2")
PROTOS: tuple[Proto, ...] = ("udp", "tcp", "tls", "https")
_TICK = 1e-6
"""A TTL is renewed so much too early, rather than by a rounding too late."""
_USES = 32
"""Replies that may be kept of one RRset: more forms of questions (sizes, flags) than clients have."""
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

    def renew(self, now: float) -> None:
        """Set the TTLs that are left."""
        renewed = bytearray(self.octets)
        until = now + TRUSTED
        for place, expires in self.places:
            ttl = max(0, int(expires - now))
            renewed[place : place + 4] = ttl.to_bytes(4, "big")
            until = min(until, expires - ttl)
        self.octets, self.until = bytes(renewed), until - _TICK


class _Kept(Use):
    """What may be given; until `fresh` it is `octets`, which is all that most questions look at."""

    __slots__ = ("entries", "expires", "octets", "place", "tallies", "timed", "turning")

    def __init__(self, entries: Sequence[Entry], turning: Entry | None, until: float, tallies: Sequence[Tally]) -> None:
        super().__init__(until)
        self.octets = b""
        self.place = 0
        """Where the TTL stands, if there is but one, and no turns: such a reply is renewed at once."""
        self.expires = 0.0
        self.entries = entries
        self.turning = turning
        """The one whose records take turns."""
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
        self.clients: dict[str, bool] = {}
        """Who may ask, of those who asked."""
        self._streams = {(proto, it): KeptAnswers(self, it, proto) for proto in PROTOS for it in FAMILIES}
        self._tallies: dict[tuple[RdataType, Rcode], list[Tally]] = {}

    def on_stream(self, data: bytes, address: str, proto: Proto) -> bytes | None:
        """The reply to a query that came by a stream, without the options that are its guard's; None as for a bypass."""
        parts = without_cookie(data)
        if parts is not None:
            data = parts[0]
        return self._streams[proto, "2" if ":" in address else "1"].answer(data, lambda: (address, 0))

    def keep(self, data: bytes, query: Query, outcome: Outcome, reply: bytes) -> None:
        """Keep the plain path's reply, as a datagram may have it, if it came from the cache alone and may be given again."""
        parts = without_cookie(data)
        if parts is not None:
            data = parts[0]  # the guard puts the cookie into the reply
        end, entries = data.find(0, HEADER), outcome.kept
        if not entries or outcome.error is not None or not query.recursion_desired or not ordinary(data, end):
            return
        if outcome.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN) or reply[HEADER:end] != data[HEADER:end]:
            return
        places = _places(reply, entries, end)
        turning = [entry for entry in entries if entry.rrset is not None and len(entry.rrset) > 1]
        if places is None or len(turning) > 1:
            return
        now = self.seconds()
        key = data[2:end].lower() + data[end:]
        kept = self.memo.young.get(key)
        if kept is None or kept.until <= now or len(kept.entries) != len(entries) or not _same(kept, entries):
            kept = self._new(
                entries, turning[0] if turning else None, self._tallied(query.question.rdtype, outcome.rcode), now
            )
            if kept is None:
                return
            self.memo.put(key, kept, len(key) + len(reply) + OVERHEAD)
        first = 0
        if turning and turning[0].rrset is not None:
            first = (turning[0].turn - self.rotate) % len(turning[0].rrset)  # the turn has gone on since
        octets = reply[2:HEADER] + reply[HEADER:end].lower() + reply[end:]
        if not turning and len(places) == 1:
            kept.octets, kept.fresh = octets, 0.0
            ((kept.place, kept.expires),) = places
            return
        kept.timed[first] = _Timed(octets, places)
        self.memo.grow(len(reply) + OVERHEAD)

    def renewed(self, kept: _Kept, now: float) -> bytes | None:
        """The octets to give now, with the right TTLs and the record first whose turn it is; None when there are none."""
        if now >= kept.until:
            return None
        if kept.place:
            octets, place, ttl = kept.octets, kept.place, max(0, int(kept.expires - now))
            octets = kept.octets = octets[:place] + ttl.to_bytes(4, "big") + octets[place + 4 :]
            kept.fresh = min(kept.expires - ttl - _TICK, kept.until)
            return octets
        turning, first = kept.turning, 0
        if turning is not None and turning.rrset is not None:
            first = turning.turn % len(turning.rrset)
        timed = kept.timed.get(first)
        if timed is None:
            return None
        if now >= timed.until:
            timed.renew(now)
        if turning is None:
            kept.octets, kept.fresh = timed.octets, min(timed.until, kept.until)
        else:
            turning.turn += self.rotate
        return timed.octets

    def is_client(self, address: str) -> bool:
        """Whether an address may ask; remembered."""
        if len(self.clients) >= _CLIENTS:
            self.clients.clear()
        allowed = self.clients[address] = self.may_ask(address)
        return allowed

    def _new(self, entries: Sequence[Entry], turning: Entry | None, tallies: Sequence[Tally], now: float) -> _Kept | None:
        until = now + TRUSTED
        for entry in entries:
            until = min(until, entry.expires - (entry.expires - entry.learned) * self.fetched_anew)
            if len(entry.uses) >= _USES:
                entry.uses = [use for use in entry.uses if use.until > now]
            if len(entry.uses) >= _USES or not entry.held:
                return None
        kept = _Kept(entries, turning, until, tallies)
        for entry in entries:
            entry.uses.append(kept)
        return kept

    def _tallied(self, rdtype: RdataType, rcode: Rcode) -> list[Tally]:
        """The tallies for all ways and both families."""
        found = self._tallies.get((rdtype, rcode))
        if found is None:
            if len(self._tallies) >= _CLIENTS:
                self._tallies.clear()
            found = self._tallies[rdtype, rcode] = [
                self.tallies.tally(proto, it, rdtype, rcode) for proto in PROTOS for it in FAMILIES
            ]
        return found


class KeptAnswers:
    """One datagram socket's bypass, of family "1" (IPv4) or "2" (IPv6); or what streams have of the kind."""

    def __init__(self, replies: KeptReplies, family: str, proto: Proto = "udp") -> None:
        self.replies = replies
        self.way = PROTOS.index(proto) * len(FAMILIES) + FAMILIES.index(family)
        self.beyond: Callable[[bytes, Callable[[], Address]], bytes | None] | None = None
        """Answers other queries, if it can."""
        self._memo = replies.memo
        self._seconds = replies.seconds
        self._clients = replies.clients
        self._counts = replies.counts

    def answer(self, data: bytes, source: Callable[[], Address]) -> bytes | None:
        """The reply to a query; None when the plain path must see to it."""
        kept, end = self._memo.young.get(data[2:]), 0  # most clients ask in lower case
        if kept is None:
            end = data.find(0, HEADER)
            kept = self._memo.young.get(data[2:end].lower() + data[end:])
            if kept is None:
                return None if self.beyond is None else self.beyond(data, source)
        address = source()[0]
        allowed = self._clients.get(address)
        if not (self.replies.is_client(address) if allowed is None else allowed):
            return None
        now = self._seconds()
        octets = kept.octets if now < kept.fresh else self.replies.renewed(kept, now)
        if octets is None:
            return None
        counts = self._counts
        counts.cache_requests += 1
        counts.cache_hits += 1
        kept.tallies[self.way].count += 1
        if end:
            octets = octets[: HEADER - 2] + data[HEADER:end] + octets[end - 2 :]
        return data[:2] + octets

    def answered(self, count: int, seconds: float) -> None:
        """So many replies went out, so long after their queries were read."""
        self.replies.tallies.replies(count, seconds)


def _same(kept: _Kept, entries: Sequence[Entry]) -> bool:
    """Whether what is kept was made of these."""
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
