"""The metrics of this house; those of connections and octets are the kernel's (`kernel/metrics.py`)."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric

from netstack.http.engine.http2.calm import Counts
from netstack.http.faults import ErrorType
from netstack.kernel.metrics import Exporter

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"})
"""The methods that are known (RFC 9110 §9, RFC 5789); any other is counted as "other"."""


class Count:
    """How many requests of one method got one code."""

    __slots__ = ("requests",)

    def __init__(self) -> None:
        self.requests = 0


class Requests(Exporter):
    """Counts a host's requests and exports `netstack_http_requests_total{method, code}`."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], Count] = {}

    def counter(self, method: str, code: int) -> Count:
        """What counts such requests, for who has more than one; codes are those that our servers send."""
        key = (method if method in METHODS else "other", code)
        found = self._counts.get(key)
        if found is None:
            found = self._counts[key] = Count()
        return found

    def count(self, method: str, code: int) -> None:
        """One answered request."""
        self.counter(method, code).requests += 1

    @property
    def counts(self) -> dict[tuple[str, int], int]:
        """All so far."""
        return {key: count.requests for key, count in self._counts.items() if count.requests}

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily("netstack_http_requests", "Requests answered.", labels=["method", "code"])
        for (method, code), count in sorted(self.counts.items()):
            family.add_metric([method, str(code)], count)
        yield family


class HTTP2Collector(Exporter):
    """Exports what HTTP/2 connections count, as `netstack_http_http2_*`."""

    def __init__(self) -> None:
        self.counts = Counts()

    def collect(self) -> Iterator[Metric]:
        counts = self.counts
        yield CounterMetricFamily("netstack_http_http2_connections", "Connections of HTTP/2.", counts.connections)
        yield CounterMetricFamily("netstack_http_http2_streams", "Streams that clients began.", counts.streams)
        resets = CounterMetricFamily("netstack_http_http2_resets", "Streams that were reset.", labels=["by"])
        resets.add_metric(["client"], counts.resets_received)
        resets.add_metric(["server"], counts.resets_sent)
        yield resets
        abuses = CounterMetricFamily(
            "netstack_http_http2_abuses", "What HTTP/2 connections went too far with.", labels=["kind"]
        )
        for kind, count in counts.abuses.items():
            abuses.add_metric([kind], count)
        yield abuses


class Fetches(Exporter):
    """Counts of a host's requests to others, as `netstack_http_upstream_*`."""

    def __init__(self) -> None:
        self.reused = 0
        self.failures: dict[ErrorType, int] = {}

    def failed(self, kind: ErrorType) -> None:
        """A response that could not be had."""
        self.failures[kind] = self.failures.get(kind, 0) + 1

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "netstack_http_upstream_reused", "Requests on connections that had served one before.", self.reused
        )
        failures = CounterMetricFamily(
            "netstack_http_upstream_failures", "Responses that could not be had.", labels=["type"]
        )
        for kind, count in sorted(self.failures.items()):
            failures.add_metric([kind], count)
        yield failures


def upstream_counts(registry: CollectorRegistry) -> Fetches:
    """The counts of a registry; the same object each time."""
    return Fetches.of(registry, "netstack_http_upstream_reused")


def http2_counts(registry: CollectorRegistry) -> Counts:
    """The counts of HTTP/2 in a registry; the same object each time."""
    return HTTP2Collector.of(registry, "netstack_http_http2_streams").counts


def requests(registry: CollectorRegistry) -> Requests:
    """The counts of a registry; the same object each time."""
    return Requests.of(registry, "netstack_http_requests")
