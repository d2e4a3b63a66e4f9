"""The cache as a Twisted service: listeners of the http house, one proxy behind all of them."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from netstack.cache.metrics import cache_counts
from netstack.cache.options import ProxyOptions
from netstack.cache.proxy import Proxy
from netstack.cache.rules import Rules
from netstack.cache.store import Store, StoreLimits
from netstack.http.access import AccessLog
from netstack.http.engine import Heads
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import requests
from netstack.http.places import Place
from netstack.http.service import HTTPService, speak_http2
from netstack.http.upstream import Upstream, UpstreamOptions
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint
from netstack.kernel.machine import Machine
from netstack.sansio import Peer


class CacheService(HTTPService):
    """Serves clients at every endpoint. `web_cache` is the proxy, for the control socket."""

    def __init__(
        self,
        machine: Machine,
        endpoints: Sequence[Endpoint],
        options: ProxyOptions,
        rules: Rules,
        store: StoreLimits,
        upstream: UpstreamOptions,
        http: HTTPLimits,
        connections: StreamLimits,
        log: AccessLog | None,
        grace: float,
        http2: bool,
    ) -> None:
        counts, kept = cache_counts(machine.registry), Store(machine, store)
        counts.usage, counts.store = kept.usage, kept.events
        self.web_cache = Proxy(
            machine,
            options,
            rules,
            kept,
            Upstream(machine, upstream, self._permits),
            counts,
            requests(machine.registry),
            log,
        )

        def heads() -> Heads:
            """Friends have theirs, and strangers: no answer of the forward proxy is ready for these."""
            friends, strangers = Heads(http, date=False), Heads(http, date=False)
            if http2:
                speak_http2(strangers, machine.registry)

            def choose(peer: Peer) -> Heads:
                return friends if peer.remote[0] in self.web_cache.friends else strangers

            friends.by_peer = choose
            return friends

        super().__init__(
            machine, endpoints, self.web_cache, http, connections, "", grace=grace, http2=http2, ended=self.web_cache.stop,
            heads=(heads(), heads()),
        )  # fmt: skip

    def _permits(self, place: Place, address: str) -> bool:
        return self.web_cache.destinations.permits(place, address)

    def startService(self) -> None:
        self.log.info("{name} is a Web cache", name=self.machine.name)
        self.web_cache.store.start()
        super().startService()

    def stopService(self) -> Any:
        """Drains every connection, then writes to disk what waits for it."""
        return super().stopService().addBoth(self._store_away)

    def _store_away(self, result: Any) -> Any:
        return Deferred.fromCoroutine(self.web_cache.store.stop()).addCallback(lambda _: result)
