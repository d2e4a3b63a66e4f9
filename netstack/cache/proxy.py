"""The proxy: what every connection of it shares, and what is done about a request (RFC 9110 §7, RFC 9111)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from netstack.cache import errors
from netstack.cache.conversation import Conversation
from netstack.cache.delivery import Delivery
from netstack.cache.destinations import Destinations
from netstack.cache.entry import Broken, Entry
from netstack.cache.fetching import Fetch
from netstack.cache.keys import primary_key, url_key
from netstack.cache.metrics import Counts
from netstack.cache.objects import Stored
from netstack.cache.options import ProxyOptions
from netstack.cache.policy import Final, Forward, Outcome, Serve, plan
from netstack.cache.policy.forwarding import loops
from netstack.cache.policy.planning import whole_request
from netstack.cache.purging import Purging
from netstack.cache.responses import Responses
from netstack.cache.rules import Rules
from netstack.cache.status import forwarded
from netstack.cache.store import Store
from netstack.cache.targets import Friends, Refused, Target, Targets
from netstack.cache.tunnel import Tunnel, Tunnels
from netstack.http.access import AccessLog
from netstack.http.events import RequestReceived, Respond
from netstack.http.links import FetchError
from netstack.http.metrics import Requests
from netstack.http.upstream import Upstream
from netstack.http.wire import Request
from netstack.kernel.machine import Machine
from netstack.kernel.roles import Connection
from netstack.sansio import Peer

ROUNDS = 20
"""How often one request may be planned: every round has an exchange with the origin behind it."""
ENTRY = 1000
"""Octets that an entry takes beside its head, about."""
_log = Logger()


class Proxy:
    """Answers for all connections of a service."""

    def __init__(
        self,
        machine: Machine,
        options: ProxyOptions,
        rules: Rules,
        store: Store,
        upstream: Upstream,
        counts: Counts,
        requests: Requests,
        log: AccessLog | None,
    ) -> None:
        self.machine = machine
        self.options = options
        self.limits = options.limits
        self.rules = rules
        self.store = store
        self.upstream = upstream
        self.counts = counts
        self.log = log
        self.friends = Friends(options.allow)
        self.targets = Targets(options.sites, options.forward, options.ports, machine.port)
        self.destinations = Destinations(
            options.reach, options.denied, options.tunnel_ports, options.tunnel_names,
            machine.port, machine.ports.standard,
        )  # fmt: skip
        self.tunnels = Tunnels(self, options.tunnels)
        self.responses = Responses(self, requests)
        self.purging = Purging(self)
        self._fetches: dict[bytes, dict[Fetch, None]] = {}
        """Those whose response has not come."""
        self._arriving: dict[bytes, dict[Fetch, None]] = {}
        """Those whose response is on its way into the store."""
        self._passed: dict[bytes, float] = {}
        """Keys of responses that are not stored, and until when that is remembered."""
        self._all: dict[Fetch, None] = {}
        self._stopping = False

    def conversation(self, https_port: int | None = None) -> Conversation:
        """The role of one connection."""
        return Conversation(self)

    # Requests

    def begin(self, received: RequestReceived, connection: Connection) -> Delivery | Tunnel | None:
        """A request has come; what its body goes to, if anything."""
        self.counts.requests += 1
        request, peer = received.request, connection.peer
        if request.method == "CONNECT":
            return self._tunnel(request, connection)
        try:
            target = self.targets.of(request, peer.security is not None, peer.remote[0] in self.friends)
        except Refused as refused:
            if loops(request.fields, self.rules.name):
                self.counts.refused["loop"] += 1
                self.refuse(
                    request, errors.loop(f"http://{request.host}{request.path}", self.machine.wall(), self.rules), connection
                )
                return None
            self.counts.refused["client" if refused.status == 403 else "request"] += 1
            self.refuse(request, errors.refusal(refused.status, str(refused), self.machine.wall()), connection)
            return None
        if target.site is None and self.destinations.denies(target.host):
            self.counts.refused["destination"] += 1
            reason = f"This proxy does not go to {target.host}."
            self.refuse(request, errors.refusal(403, reason, self.machine.wall()), connection)
            return None
        key = self.key(target, request)
        if request.method == "PURGE":
            self.refuse(request, self.purging.asked(request, peer, key), connection)
            return None
        delivery = Delivery(self, received, connection, target, key)
        if request.chunked or request.length:
            delivery.hold_body()
        self.plan(delivery)
        return delivery

    def _tunnel(self, request: Request, connection: Connection) -> Tunnel | None:
        """CONNECT (RFC 9110 §9.3.6)."""
        try:
            self.targets.judge_client(connection.peer.remote[0] in self.friends)
        except Refused as refused:
            self.counts.refused["client"] += 1
            self.tunnels.refuse(request, errors.refusal(refused.status, str(refused), self.machine.wall()), connection)
            return None
        return self.tunnels.begin(request, connection)

    def key(self, target: Target, request: Request) -> bytes:
        """Under which a target's response is stored; a port that goes without saying is left out."""
        standard = self.machine.port(443 if target.scheme == "https" else 80)
        port = None if target.key_port == standard else target.key_port
        return primary_key(target.scheme, request.host or "", port, request.path, request.query)

    def url_key(self, url: str) -> bytes:
        """The key of a URL as people write it, maybe with the port in use; raises ValueError for what is none."""
        key = url_key(url)
        if key is None:
            raise ValueError(f"{url!r} is not an http or https URL")
        parts = urlsplit(url)
        standard = 443 if parts.scheme.lower() == "https" else 80
        if parts.port == self.machine.port(standard):
            path, question, query = key.partition(b"://")[2].partition(b"/")[2].partition(b"?")
            host = parts.netloc.rpartition(":")[0]
            return primary_key(
                parts.scheme.lower(), host, None, "/" + path.decode("latin-1"), query.decode("latin-1") if question else None
            )
        return key

    def refuse(self, request: Request | None, answer: Respond, connection: Connection, start: str = "") -> None:
        """Send an answer of our own."""
        connection.send(answer)
        told = "purged" if answer.status < 400 else "refused"
        self.responses.note(request, start, answer.status, connection.peer, 0, told)

    def plan(self, delivery: Delivery, collapsed: bool = False) -> None:
        """Look at a request: for the first time, or because something is known now that it waited for."""
        found = self.store.find(delivery.key)
        if found is not None:
            self._planned(delivery, found, collapsed)
            return

        async def load() -> None:
            try:
                loaded = await self.store.load(delivery.key)
            except Exception:
                _log.failure("the store cannot be read")
                loaded = ()
            self._planned(delivery, loaded, collapsed)

        Deferred.fromCoroutine(load())

    def _planned(self, delivery: Delivery, found: Sequence[Stored], collapsed: bool) -> None:
        request = delivery.request
        if delivery.connection is None:
            return
        delivery.tries += 1
        stored = self.entries(found)
        now = self.machine.wall()
        decided = plan(request, delivery.key, [*stored], now, self.rules)
        if isinstance(decided, Serve):
            self.responses.serve(delivery, stored[decided.entry], decided, collapsed)
            if decided.refresh is not None:
                self._refresh(delivery, decided.refresh, stored)
        elif isinstance(decided, Final):
            self._final(delivery, decided)
        else:
            self._forward(delivery, decided, stored, collapsed)

    def entries(self, found: Sequence[Stored]) -> dict[Entry, Stored]:
        """What is stored, as entries; what cannot be read is removed."""
        entries: dict[Entry, Stored] = {}
        for stored in found:
            entry = stored.entry
            if entry is None:
                try:
                    entry = Entry.from_bytes(stored.meta)
                except Broken:
                    self.store.discard(stored)
                    continue
                self.store.keep(stored, entry, ENTRY + len(entry.head))
            entries[entry] = stored
        return entries

    def _final(self, delivery: Delivery, decided: Final) -> None:
        wall, uri = self.machine.wall(), delivery.target.uri
        if decided.detail == "loop":
            self.counts.refused["loop"] += 1
            answer = errors.loop(uri, wall, self.rules)
        elif decided.detail == "only-if-cached":
            answer = errors.only_if_cached(uri, wall, self.rules)
        else:
            answer = self.responses.own(decided)
        delivery.respond(answer, decided.detail)

    # Asking origins

    def _forward(self, delivery: Delivery, decided: Forward, stored: Mapping[Entry, Stored], collapsed: bool) -> None:
        request, key = delivery.request, delivery.key
        if request.chunked or request.length:  # a body is in no key: what answers it is for nobody else
            decided = replace(decided, may_store=False, collapsible=False)
        delivery.plan = decided
        if not delivery.alone and request.method in ("GET", "HEAD") and not (request.chunked or request.length):
            for fetch in self._arriving.get(key, ()):
                if self._attached(delivery, fetch, stored):
                    return
        passed = self._passed.get(key, 0.0) > self.machine.reactor.seconds()
        for fetch in self._fetches.get(key, ()) if decided.collapsible and not (delivery.alone or passed) else ():
            if self.counts.waiting < self.limits.waiting and fetch.may_join(delivery):
                fetch.join(delivery)
                return
        if self.counts.fetching >= self.limits.fetches or delivery.tries > ROUNDS:
            self.counts.refused["busy"] += 1
            answer = errors.refusal(503, "Too much is being fetched at once.", self.machine.wall(), b"Retry-After: 5\r\n")
            delivery.respond(answer, "busy")
            return
        self.counts.forwarded[decided.why.value] += 1
        self._fetch(delivery, request, decided, stored, delivery.target)

    def _attached(self, delivery: Delivery, fetch: Fetch, stored: Mapping[Entry, Stored]) -> bool:
        """Whether a response that is coming is also this request's."""
        entry = fetch.entry
        if entry is None or not fetch.arriving or not fetch.matches(delivery.request):
            return False
        found = plan(delivery.request, delivery.key, [*stored, entry], self.machine.wall(), self.rules)
        if not isinstance(found, Serve) or found.entry is not entry:
            return False
        self.responses.arriving(delivery, fetch, found)
        return True

    def _refresh(self, delivery: Delivery, decided: Forward, stored: Mapping[Entry, Stored]) -> None:
        """Validate in the background (RFC 5861 §3), once at a time for a key."""
        if delivery.key in self._fetches or delivery.key in self._arriving or self.counts.fetching >= self.limits.fetches:
            return
        self.counts.background += 1
        self._fetch(None, whole_request(delivery.request), decided, stored, delivery.target)

    def _fetch(
        self, first: Delivery | None, request: Request, decided: Forward, stored: Mapping[Entry, Stored], target: Target
    ) -> None:
        fetch = Fetch(self, request, target, decided, stored)
        self._fetches.setdefault(fetch.key, {})[fetch] = None
        self._all[fetch] = None
        fetch.begin(first)

    # What fetches tell

    def head_known(self, fetch: Fetch) -> None:
        """Its response has come: nobody can wait for it any more."""
        _drop(self._fetches, fetch)

    def arriving(self, fetch: Fetch) -> None:
        """Its body is on its way into the store."""
        self._arriving.setdefault(fetch.key, {})[fetch] = None

    def ended(self, fetch: Fetch) -> None:
        """It is over."""
        _drop(self._fetches, fetch)
        _drop(self._arriving, fetch)
        self._all.pop(fetch, None)

    def store_changed(self, outcome: Outcome, stored: dict[Entry, Stored]) -> None:
        """What a response does to what is stored; `stored` learns the new entries."""
        for key in outcome.invalidates:
            self.counts.purged["unsafe"] += self.remove(key)
        for old in outcome.removes:
            found = stored.get(old)
            if found is not None:
                self.responses.forget(found.key)
                self.store.discard(found)
        for old, new in outcome.freshened:
            found = stored.get(old)
            if found is not None:
                self.responses.forget(found.key)
                stored[new] = fresh = self.store.freshen(found, new.to_bytes())
                self.store.keep(fresh, new, ENTRY + len(new.head))
                self.counts.responses["updated"] += 1

    def stored(self, key: bytes, stored: Stored | None, entry: Entry) -> None:
        """A body is complete."""
        self.responses.forget(key)
        if stored is None:
            self.counts.responses["too_large"] += 1
        else:
            self.counts.responses["stored"] += 1
            self.store.keep(stored, entry, ENTRY + len(entry.head))

    def remove(self, key: bytes) -> int:
        """Remove all that is stored under a key, and what is on its way there; how many there were."""
        self.responses.forget(key)
        return self.store.remove(key)

    def under_way(self, key: bytes) -> dict[str, float]:
        """Requests to the origin for a key, and seconds for which its responses are known not to be stored."""
        fetching = len(self._fetches.get(key, ())) + len(self._arriving.get(key, ()))
        return {"fetching": fetching, "passed": max(0.0, self._passed.get(key, 0.0) - self.machine.reactor.seconds())}

    def remember_passed(self, key: bytes) -> None:
        """A response that is not stored: for a while nobody waits for another one's."""
        passed = self._passed
        passed.pop(key, None)
        if self.limits.passed:
            while len(passed) >= self.limits.passed:
                del passed[next(iter(passed))]
            passed[key] = self.machine.reactor.seconds() + self.limits.passed_seconds

    def later(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        """Unless it is cancelled."""
        return self.machine.reactor.callLater(seconds, call)

    def fail(self, delivery: Delivery, error: FetchError) -> None:
        """There is no response."""
        why = delivery.plan.why if delivery.plan is not None else None
        words = "" if why is None else forwarded(self.rules, why, delivery.key)
        target = delivery.target
        answer = errors.unavailable(error, target.uri, self.machine.wall(), self.rules, words, target.site is None)
        delivery.respond(answer, f"error={error.kind.value}")

    def delivered(self, delivery: Delivery, peer: Peer) -> None:
        """A response has gone, or was given up."""
        self.responses.note(delivery.request, "", delivery.status, peer, delivery.sent, delivery.words)

    # The end

    def stop(self) -> None:
        """Give up what is fetched in the background, and let connections to origins go."""
        for fetch in tuple(self._all):
            fetch.stop()
        self.tunnels.close()
        self.upstream.close()


def _drop(fetches: dict[bytes, dict[Fetch, None]], fetch: Fetch) -> None:
    under_key = fetches.get(fetch.key)
    if under_key is not None:
        under_key.pop(fetch, None)
        if not under_key:
            del fetches[fetch.key]
