"""What clients get: stored responses, those that are coming, those that are passed on; octets ready for who asks again."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netstack.cache.delivery import Delivery, Segment
from netstack.cache.entry import Entry
from netstack.cache.metrics import AGES
from netstack.cache.objects import Stored
from netstack.cache.policy import Answer, Final, Forward, Outcome, Serve, plain
from netstack.cache.status import forwarded, hit, own
from netstack.cache.structured import token_or_string
from netstack.http.engine.server import body_length
from netstack.http.events import Ready, Respond
from netstack.http.metrics import Requests
from netstack.http.values import http_date
from netstack.http.wire import Request, Response, field_block
from netstack.sansio import FileSlice, Peer

if TYPE_CHECKING:
    from netstack.cache.fetching import Fetch
    from netstack.cache.proxy import Proxy

BODILESS = frozenset({204, 304})
_GONE = Respond(500, b"")


class Responses:
    """The responses of one proxy."""

    def __init__(self, proxy: "Proxy", requests: Requests) -> None:
        self._proxy = proxy
        self._requests = requests
        self._plain_hit = f"{token_or_string(proxy.rules.name)}; hit"
        self._ready: dict[bytes, list[Ready]] = {}
        """By the key of what they are made of."""
        self._kept = self._octets = 0

    # From the store

    def serve(self, delivery: Delivery, stored: Stored, decided: Serve, collapsed: bool) -> None:
        """A stored response."""
        proxy, entry, answer = self._proxy, decided.entry, decided.answer
        wall = float(int(proxy.machine.wall()))
        kind = "fresh" if decided.stale is None else "stale"
        if collapsed and delivery.plan is not None:
            words = forwarded(proxy.rules, delivery.plan.why, entry.key, collapsed=True)
            self._send(delivery, stored, entry, answer, kind, self._lines(entry, wall, words), "collapsed")
            return
        detail = None if decided.stale is None else decided.stale.value
        lines = self._lines(entry, wall, self._hit(entry, wall) if detail is None else hit(proxy.rules, entry, wall, detail))
        received = delivery.received
        body = self._send(delivery, stored, entry, answer, kind, lines, "hit" if detail is None else f"hit; {detail}")
        if received.again and detail is None and answer.status == 200 and isinstance(body, bytes):
            self._make_ready(delivery, stored, entry, answer, body)

    def validated(
        self,
        delivery: Delivery,
        stored: Stored,
        entry: Entry,
        answer: Answer,
        kind: str,
        decided: Forward,
        status: int | None,
    ) -> None:
        """A stored response, after the origin was asked about it: `status` is what it said, None when it said nothing."""
        wall = float(int(self._proxy.machine.wall()))
        words = forwarded(self._proxy.rules, decided.why, entry.key, status, ttl=entry.ttl(wall))
        told = f"fwd={decided.why.value}" + ("" if status is None else f"; fwd-status={status}")
        self._send(delivery, stored, entry, answer, kind, self._lines(entry, wall, words), f"{told}; {kind}")

    def _send(
        self, delivery: Delivery, stored: Stored, entry: Entry, answer: Answer, kind: str, lines: bytes, told: str
    ) -> bytes | FileSlice | None:
        """Send; the whole body if it went out in one piece."""
        counts, limits = self._proxy.counts, self._proxy.limits
        fields, segments = answer.head + lines, answer.parts
        whole = segments == ((0, stored.size),)
        try:
            if not segments or not delivery.has_content(answer.status):
                stored.use()
                pieces: list[bytes | FileSlice] = []
            elif answer.ranges:
                fields, listed = self._parts(answer, fields)
                pieces = [each if isinstance(each, bytes) else stored.part(*each) for each in listed]
            else:
                pieces = [stored.body() if whole else stored.part(*segments[0])]
        except OSError:  # its file has gone
            self._proxy.store.discard(stored)
            self.forget(stored.key)
            self._proxy.plan(delivery)
            return None
        counts.hits[kind] += 1
        counts.ages.add(float(entry.age(self._proxy.machine.wall())))
        counts.hit_octets += body_length(tuple(pieces))
        if not pieces:
            delivery.respond(Respond(answer.status, fields, b"", answer.length), told)
            return b""
        [first, *more] = pieces
        if more:
            delivery.respond(Respond(answer.status, fields, tuple(pieces)), told)
            return None
        if isinstance(first, bytes) and len(first) > limits.inline:
            delivery.start(answer.status, fields, len(first), stored, segments, told)
            return None
        delivery.respond(Respond(answer.status, fields, first), told)
        return first if whole else None

    def _parts(self, answer: Answer, fields: bytes) -> tuple[bytes, list[Segment]]:
        """The fields and octets of several parts (RFC 9110 §14.6)."""
        boundary = f"{self._proxy.machine.rng.getrandbits(96):024x}"
        heads, end = answer.between(boundary)
        segments: list[Segment] = []
        for head, part in zip(heads, answer.parts, strict=True):
            segments += head, part
        return answer.multipart_head(boundary) + fields, [*segments, end]

    def _hit(self, entry: Entry, wall: float) -> str:
        """The words for a fresh hit, which most are, without putting them together each time."""
        rules = self._proxy.rules
        if rules.show_key or not entry.fresh_until:
            return hit(rules, entry, wall)
        return f"{self._plain_hit}; ttl={entry.ttl(wall)}"

    def _lines(self, entry: Entry, wall: float, words: str) -> bytes:
        """Age and Cache-Status, which change from second to second."""
        return f"Age: {entry.age(wall)}\r\nCache-Status: {words}\r\n".encode("latin-1")

    # From origins

    def arriving(self, delivery: Delivery, fetch: "Fetch", decided: Serve) -> None:
        """What is on its way into the store."""
        proxy, entry, answer = self._proxy, decided.entry, decided.answer
        wall = float(int(proxy.machine.wall()))
        why = None if delivery.plan is None else delivery.plan.why
        words = hit(proxy.rules, entry, wall) if why is None else forwarded(proxy.rules, why, entry.key, collapsed=True)
        proxy.counts.collapsed += 1
        self._stream(delivery, fetch, answer, entry, self._lines(entry, wall, words), "collapsed")

    def completed(self, delivery: Delivery, fetch: "Fetch", entry: Entry, answer: Answer, words: str) -> None:
        """What is put together of a stored part and what comes."""
        wall = float(int(self._proxy.machine.wall()))
        self._stream(delivery, fetch, answer, entry, self._lines(entry, wall, words), "fwd=partial")

    def _stream(self, delivery: Delivery, fetch: "Fetch", answer: Answer, entry: Entry, lines: bytes, told: str) -> None:
        fields = answer.head + lines
        length = entry.length if answer.length is None and not answer.ranges else answer.length
        if not answer.parts or not delivery.has_content(answer.status):
            if length is None and answer.status not in BODILESS:
                delivery.empty(answer.status, fields, told)
            else:
                delivery.respond(Respond(answer.status, fields, b"", length), told)
            return
        segments: Sequence[Segment] = answer.parts
        if answer.ranges:
            fields, segments = self._parts(answer, fields)
            length = sum(len(each) if isinstance(each, bytes) else each[1] for each in segments)
        fetch.attach(delivery)
        assert fetch.writing is not None  # noqa: S101  it is arriving
        delivery.start(answer.status, fields, length, fetch.writing, segments, told)

    def passed_on(self, delivery: Delivery, fetch: "Fetch", outcome: Outcome, response: Response, stores: bool) -> None:
        """An origin's response, to the client whose request it answers."""
        proxy, decided = self._proxy, fetch.plan
        words = forwarded(proxy.rules, decided.why, decided.key, stored=stores)
        told = f"fwd={decided.why.value}" + ("; stored" if stores else "")
        if outcome.answer is not None and outcome.entry is not None:
            self.completed(delivery, fetch, outcome.entry, outcome.answer, words)
            return
        fields = field_block([*outcome.fields, ("Cache-Status", words)])
        stated = response.fields.get("content-length")
        length = int(stated) if stated is not None and stated.isdigit() else None
        if fetch.writing is None:
            if length is None and response.status not in BODILESS:
                delivery.empty(response.status, fields, told)
            else:
                delivery.respond(Respond(response.status, fields, b"", length), told)
            return
        fetch.attach(delivery)
        delivery.start(response.status, fields, length, fetch.writing, ((0, -1),), told)

    def own(self, decided: Final) -> Respond:
        """What the plan says itself: the last hop's answer."""
        lines = [*decided.fields, ("Date", http_date(self._proxy.machine.wall()))]
        lines.append(("Cache-Status", own(self._proxy.rules, decided.detail)))
        return Respond(decided.status, field_block(lines), decided.body or b"")

    # Ready octets

    def _make_ready(self, delivery: Delivery, stored: Stored, entry: Entry, answer: Answer, body: bytes) -> None:
        """The same again, for requests with an equal head (`netstack.http.events.Ready`)."""
        request, proxy = delivery.request, self._proxy
        if len(body) > proxy.limits.ready_octets or not proxy.limits.ready or not request.keep_alive:
            return
        if request.chunked or request.length or not plain(request):
            return
        counts, ages, log = proxy.counts, proxy.counts.ages, proxy.log
        count = self._requests.counter(request.method, answer.status)
        logged = "" if log is None else log.described(request, "", request.host, answer.status, "hit")
        octets, use = len(body), stored.use
        second, before, after = -1.0, "", ""
        age, place = 0.0, 0

        def lines(wall: float) -> bytes | None:
            nonlocal age, place
            if not entry.fresh(wall):
                return None
            age = float(entry.age(wall))
            place = bisect_left(AGES, age)
            whole = float(int(wall))
            return self._lines(entry, whole, self._hit(entry, whole))

        def sent(peer: Peer, wall: float) -> None:
            nonlocal second, before, after
            count.requests += 1
            counts.ready += 1
            counts.ready_octets += octets
            ages.counts[place] += 1
            ages.seconds += age
            use()
            if log is not None:
                if wall != second:
                    second = wall
                    before, after = log.around(wall, logged, octets)
                log.write(f"{before}{peer.remote[0]}{after}")

        until = proxy.machine.reactor.seconds() + entry.fresh_until - proxy.machine.wall()
        answered = Respond(answer.status, answer.head, body, answer.length)
        ready = delivery.received.ready = Ready(until, answered, sent, body, lines)
        self._ready.setdefault(entry.key, []).append(ready)
        self._octets += len(body)
        self._kept += 1
        while self._octets > proxy.limits.ready_memory or self._kept > proxy.limits.ready:
            self.forget(next(iter(self._ready)))

    def forget(self, key: bytes) -> None:
        """What is stored under a key is something else: no ready answer holds."""
        for ready in self._ready.pop(key, ()):
            self._octets -= len(ready.content)
            self._kept -= 1
            ready.until, ready.answer, ready.content, ready.whole = 0.0, _GONE, b"", b""

    # Logs and counts

    def note(self, request: Request | None, start: str, status: int, peer: Peer, octets: int, told: str) -> None:
        """A response has gone."""
        proxy = self._proxy
        self._requests.count(request.method if request is not None else start.partition(" ")[0], status)
        proxy.counts.client_octets += octets
        if proxy.log is not None:
            host = None if request is None else request.host
            proxy.log.record(peer.remote[0], proxy.log.described(request, start, host, status, told), octets)
