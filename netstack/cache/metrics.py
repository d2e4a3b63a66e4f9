"""The metrics of this house; those of connections, requests and octets on the wire are the http house's and the kernel's."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from netstack.kernel.metrics import Exporter
from netstack.sansio.durations import Durations

AGES = (1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0, 604800.0, 2592000.0)
HITS = ("fresh", "stale", "revalidated")
"""How a stored response came to be served: as it was, stale, or after the origin had said that it still holds."""
FORWARDED = ("bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial")
"""Why a request went to the origin: the words of RFC 9211 §2.2."""
VALIDATED = ("not_modified", "replaced", "failed")
STORED = ("stored", "updated", "passed", "too_large", "broken", "given_up")
"""What became of a response: kept; its fields kept with the body that was there; not to be kept; larger than an object may
be; ended too early; given up because its clients had gone."""
REFUSED = ("client", "port", "destination", "request", "loop", "busy", "key")
PURGED = ("control", "method", "unsafe")
"""By whom stored responses were removed: control socket, PURGE request, a request that changed something at the origin."""


class Counts:
    """What a proxy counts."""

    def __init__(self) -> None:
        self.requests = 0
        self.ready = 0
        """Requests answered by ready octets, and these; not in the other counts."""
        self.ready_octets = 0
        self.hits = dict.fromkeys(HITS, 0)
        self.forwarded = dict.fromkeys(FORWARDED, 0)
        self.collapsed = 0
        self.background = 0
        self.validated = dict.fromkeys(VALIDATED, 0)
        self.responses = dict.fromkeys(STORED, 0)
        self.errors: dict[str, int] = {}
        self.refused = dict.fromkeys(REFUSED, 0)
        self.purged = dict.fromkeys(PURGED, 0)
        self.client_octets = 0
        self.hit_octets = 0
        self.origin_octets = 0
        self.ages = Durations(AGES)
        self.waiting = 0
        self.fetching = 0
        self.tunnels = 0
        """Open now."""
        self.tunnelled = 0
        self.tunnel_octets = {"up": 0, "down": 0}
        self.store: Callable[[], Mapping[str, int]] = dict
        """What the store counts; octets are apart."""
        self.usage: Callable[[], Mapping[str, float]] = dict
        """What the store says of itself: tier -> octets, and "objects"."""


class CacheCollector(Exporter):
    """Exports the counts of a proxy as `netstack_cache_*`."""

    def __init__(self) -> None:
        self.counts = Counts()

    def collect(self) -> Iterator[Metric]:
        counts = self.counts
        yield CounterMetricFamily("netstack_cache_requests", "Requests of clients.", counts.requests + counts.ready)
        hits = {**counts.hits, "fresh": counts.hits["fresh"] + counts.ready}
        yield _by("hits", "Requests served by a stored response.", "kind", hits)
        yield _by("forwarded", "Requests that went to an origin, and why (RFC 9211).", "reason", counts.forwarded)
        yield CounterMetricFamily(
            "netstack_cache_collapsed", "Requests that waited for another one's response.", counts.collapsed
        )
        yield CounterMetricFamily(
            "netstack_cache_background", "Validations while a stale response was served.", counts.background
        )
        yield _by("validations", "Stored responses that origins were asked about.", "outcome", counts.validated)
        yield _by("responses", "Responses of origins, and what became of them.", "outcome", counts.responses)
        yield _by("upstream_errors", "Responses that could not be had (RFC 9209).", "kind", counts.errors)
        yield _by("refused", "Requests that were not served.", "why", counts.refused)
        yield _by("purged", "Stored responses that were removed before their time.", "by", counts.purged)
        yield CounterMetricFamily(
            "netstack_cache_client_bytes", "Contents sent to clients.", counts.client_octets + counts.ready_octets
        )
        yield CounterMetricFamily(
            "netstack_cache_hit_bytes", "Of these, from stored responses.", counts.hit_octets + counts.ready_octets
        )
        yield CounterMetricFamily("netstack_cache_origin_bytes", "Contents received from origins.", counts.origin_octets)
        ages = HistogramMetricFamily("netstack_cache_age_seconds", "Ages of stored responses when they were served.")
        ages.add_metric([], counts.ages.cumulated(), sum_value=counts.ages.seconds)
        yield ages
        yield GaugeMetricFamily("netstack_cache_waiting", "Clients that wait for another one's response.", counts.waiting)
        yield GaugeMetricFamily("netstack_cache_fetching", "Requests to origins under way.", counts.fetching)
        yield GaugeMetricFamily("netstack_cache_tunnels", "Tunnels that are open.", counts.tunnels)
        yield CounterMetricFamily("netstack_cache_tunnelled", "Tunnels that came about.", counts.tunnelled)
        yield _by("tunnel_bytes", "Octets that went through tunnels.", "direction", counts.tunnel_octets)
        yield _by("store_events", "What the store did with objects, and what it could not do.", "event", counts.store())
        usage = dict(counts.usage())
        yield GaugeMetricFamily("netstack_cache_objects", "Responses stored.", usage.pop("objects", 0.0))
        stored = GaugeMetricFamily("netstack_cache_store_bytes", "Octets in the store.", labels=["tier"])
        for tier, octets in sorted(usage.items()):
            stored.add_metric([tier], octets)
        yield stored


def _by(noun: str, text: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"netstack_cache_{noun}", text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def cache_counts(registry: CollectorRegistry) -> Counts:
    """The counts of a registry; the same object each time."""
    return CacheCollector.of(registry, "netstack_cache_collapsed").counts
