"""The metrics of this house, shaped as CoreDNS has them: plain integers, exported when scraped."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from netstack.dns.compiled import Tally
from netstack.dns.events import Proto, ResolverCounts, StreamCounts
from netstack.dns.guard import GuardCounts
from netstack.dns.wire import Question, name_text
from netstack.kernel.metrics import Exporter
from netstack.sansio.durations import Durations

ServerKind = Literal["authoritative", "resolver"]

_TYPES = {
    rdtype: rdtype.name
    for rdtype in (
        RdataType.A, RdataType.AAAA, RdataType.CNAME, RdataType.DS, RdataType.DNSKEY, RdataType.HTTPS, RdataType.MX,
        RdataType.NS, RdataType.PTR, RdataType.SOA, RdataType.SRV, RdataType.SVCB, RdataType.TXT, RdataType.ANY,
    )
}  # fmt: skip


class ServerMetrics:
    """What one server counts."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """By (proto, family "1"|"2", type or "other")."""
        self.responses: Counter[Rcode] = Counter()
        self.tallies: dict[tuple[str, str, str, Rcode], Tally] = {}
        self.dropped = 0
        self.durations = Durations()
        """From query to reply."""

    def request(self, proto: Proto, address: str, question: Question | None) -> None:
        """A message that was answered; `question` None where none could be read."""
        rdtype = _TYPES.get(question.rdtype, "other") if question is not None else "other"
        self.requests[proto, "2" if ":" in address else "1", rdtype] += 1

    def response(self, rcode: Rcode, seconds: float) -> None:
        """A reply sent, `seconds` after its query came."""
        self.responses[rcode] += 1
        self.durations.add(seconds)

    def replies(self, count: int, seconds: float) -> None:
        """So many replies that are in a tally were sent, `seconds` after their queries came."""
        self.durations.add(seconds, count)

    def tally(self, proto: str, family: str, rdtype: RdataType, rcode: int) -> Tally:
        """Where a hot path counts requests, answered with this RCODE; the same object for the same arguments."""
        return self.tallies.setdefault((proto, family, _TYPES.get(rdtype, "other"), Rcode(rcode)), Tally())

    def fold(self) -> None:
        """Take over what was tallied: to be called before requests and responses are read."""
        for (proto, family, rdtype, rcode), tally in self.tallies.items():
            if tally.count:
                self.requests[proto, family, rdtype] += tally.count
                self.responses[rcode] += tally.count
                tally.count = 0


class ZoneCounts:
    """What a server counts of zones that change."""

    def __init__(self) -> None:
        self.transfers: Counter[tuple[str, str]] = Counter()
        """By (direction "in"|"out", kind "whole"|"differences"|"failed")."""
        self.notifies: Counter[str] = Counter()
        """By direction."""
        self.updates: Counter[Rcode] = Counter()
        self.reloads: Counter[str] = Counter()
        """By result "loaded"|"unchanged"|"refused"."""
        self.serials: Callable[[], Mapping[Name, int]] = dict
        """The serial numbers of the zones that are served now."""
        self.signatures = 0
        """Made for zones that are signed here."""


_RESOLVER = {
    "cache_requests": ("cache_requests", "Questions looked up in the cache."),
    "cache_hits": ("cache_hits", "Questions answered from the cache."),
    "timeouts": ("resolver_timeouts", "Queries to servers that were not answered in time."),
    "lame": ("resolver_lame", "Replies of servers that do not serve the zone."),
    "mismatched": ("resolver_mismatched_replies", "Replies that do not belong to the query: forged or late."),
    "failures": ("resolver_failures", "Resolutions that ended without an answer."),
    "stale": ("resolver_stale_answers", "Questions answered by what had expired."),
    "prefetches": ("resolver_prefetches", "Questions asked again before they expired."),
    "doubtful": ("resolver_doubtful_replies", "Replies without the question's case or the expected cookie."),
    "secure": ("resolver_secure_answers", "Answers whose chain of trust holds."),
    "insecure": ("resolver_insecure_answers", "Answers of zones that are not signed, to a validating resolver."),
    "synthesised": ("resolver_synthesised_answers", "Secure answers that follow from denials known before."),
    "bogus": ("resolver_bogus_answers", "Answers that are not what their zone signed."),
}


_STREAMS = {
    "opened": "TCP and TLS connections to servers.",
    "reused": "Queries on a connection that had carried another before.",
    "repeated": "Queries sent once more because their connection ended or fell silent.",
}
_GUARDS = {
    "limited": "Replies held back and queries not answered because of a rate.",
    "slipped": "Of these, answered by TC alone.",
    "bad_cookies": "Queries with a server cookie that is not ours or too old.",
}


class DNSCollector(Exporter):
    """Exports the DNS servers of one registry under `netstack_dns_*`."""

    def __init__(self) -> None:
        self.servers: dict[ServerKind, ServerMetrics] = {}
        self.handshakes: dict[str, int] = {}
        """TLS handshakes that were completed, by role "server"|"client"."""
        self.zones: ZoneCounts | None = None
        self.resolver: ResolverCounts | None = None
        self.streams: StreamCounts | None = None
        self.gauges: dict[str, Callable[[], float]] = {}
        self.guards: dict[ServerKind, GuardCounts] = {}

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "netstack_dns_requests", "Queries received.", labels=["server", "proto", "family", "type"]
        )
        responses = CounterMetricFamily("netstack_dns_responses", "Replies sent.", labels=["server", "rcode"])
        dropped = CounterMetricFamily("netstack_dns_dropped", "Messages to which no reply is due.", labels=["server"])
        duration = HistogramMetricFamily("netstack_dns_request_duration_seconds", "From query to reply.", labels=["server"])
        for server, metrics in self.servers.items():
            metrics.fold()
            for labels, count in metrics.requests.items():
                requests.add_metric([server, *labels], count)
            for rcode, count in metrics.responses.items():
                responses.add_metric([server, rcode.name], count)
            dropped.add_metric([server], metrics.dropped)
            duration.add_metric([server], metrics.durations.cumulated(), metrics.durations.seconds)
        secured = CounterMetricFamily("netstack_dns_tls_handshakes", "TLS handshakes completed.", labels=["role"])
        for role, count in self.handshakes.items():
            secured.add_metric([role], count)
        yield from (requests, responses, dropped, duration, secured)
        if self.zones is not None:
            yield from _of_zones(self.zones)
        if self.guards:
            yield from self._of_guards()
        if self.resolver is not None:
            yield from self._of_resolver(self.resolver)
        if self.streams is not None:
            for attribute, text in _STREAMS.items():
                value = getattr(self.streams, attribute)
                yield CounterMetricFamily(f"netstack_dns_resolver_streams_{attribute}", text, value=value)

    def _of_guards(self) -> Iterator[Metric]:
        for attribute, text in _GUARDS.items():
            family = CounterMetricFamily(f"netstack_dns_{attribute}", text, labels=["server"])
            for server, counts in self.guards.items():
                family.add_metric([server], getattr(counts, attribute))
            yield family

    def _of_resolver(self, metrics: ResolverCounts) -> Iterator[Metric]:
        for attribute, (name, text) in _RESOLVER.items():
            yield CounterMetricFamily(f"netstack_dns_{name}", text, value=getattr(metrics, attribute))
        queries = CounterMetricFamily("netstack_dns_resolver_queries", "Queries sent to servers.", labels=["proto"])
        queries.add_metric(["udp"], metrics.queries_udp)
        queries.add_metric(["tcp"], metrics.queries_tcp)
        for proto, count in metrics.queries_encrypted.items():
            queries.add_metric([proto], count)
        responses = CounterMetricFamily("netstack_dns_resolver_responses", "Replies of servers.", labels=["rcode"])
        for rcode, count in _named(metrics.rcodes).items():
            responses.add_metric([rcode], count)
        name = "netstack_dns_resolver_query_duration_seconds"
        trips = HistogramMetricFamily(name, "From a query to a server to its reply.")
        trips.add_metric([], metrics.round_trips.cumulated(), metrics.round_trips.seconds)
        yield from (queries, responses, trips)
        for name, read in self.gauges.items():
            yield GaugeMetricFamily(f"netstack_dns_{name}", "Now.", value=read())


def _named(rcodes: Mapping[Rcode, int]) -> Counter[str]:
    """By name: what has none is `other`, for it is others who choose it."""
    named: Counter[str] = Counter()
    for rcode, count in rcodes.items():
        named[rcode.name if rcode.name in Rcode.__members__ else "other"] += count
    return named


def _of_zones(counts: ZoneCounts) -> Iterator[Metric]:
    transfers = CounterMetricFamily(
        "netstack_dns_zone_transfers", "Zone transfers that ended.", labels=["direction", "kind"]
    )
    for labels, count in counts.transfers.items():
        transfers.add_metric([*labels], count)
    notifies = CounterMetricFamily("netstack_dns_notifies", "NOTIFY messages.", labels=["direction"])
    for direction, count in counts.notifies.items():
        notifies.add_metric([direction], count)
    updates = CounterMetricFamily("netstack_dns_updates", "Dynamic updates answered.", labels=["rcode"])
    for rcode, count in counts.updates.items():
        updates.add_metric([rcode.name], count)
    serials = GaugeMetricFamily("netstack_dns_zone_serial", "The version that is served.", labels=["zone"])
    for zone, serial in counts.serials().items():
        serials.add_metric([name_text(zone)], serial)
    signatures = CounterMetricFamily("netstack_dns_signatures", "DNSSEC signatures made.", value=counts.signatures)
    reloads = CounterMetricFamily("netstack_dns_zone_reloads", "Zone files read again.", labels=["result"])
    for result, count in counts.reloads.items():
        reloads.add_metric([result], count)
    yield from (transfers, notifies, updates, reloads, serials, signatures)


def zone_counts(registry: CollectorRegistry) -> ZoneCounts:
    """What a host's authoritative server counts of zones that change; the same object at every call."""
    collector = _collector(registry)
    if collector.zones is None:
        collector.zones = ZoneCounts()
    return collector.zones


def _collector(registry: CollectorRegistry) -> DNSCollector:
    return DNSCollector.of(registry, "netstack_dns_responses")


def server_metrics(registry: CollectorRegistry, server: ServerKind) -> ServerMetrics:
    """The metrics of one of a host's servers; the same object for the same arguments."""
    return _collector(registry).servers.setdefault(server, ServerMetrics())


def handshakes(registry: CollectorRegistry, role: Literal["server", "client"]) -> Callable[[], None]:
    """What is called when a TLS handshake is complete."""
    counts = _collector(registry).handshakes

    def count() -> None:
        counts[role] = counts.get(role, 0) + 1

    return count


def guarded(registry: CollectorRegistry, server: ServerKind, counts: GuardCounts) -> None:
    """From now on these are exported for a server."""
    _collector(registry).guards[server] = counts


def resolver_collector(registry: CollectorRegistry) -> DNSCollector:
    """Where a host's resolver registers what it counts and the gauges that are read when scraped."""
    return _collector(registry)
