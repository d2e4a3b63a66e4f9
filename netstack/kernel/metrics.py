"""Counting without cost: plain integers on the hot path, turned into Prometheus families when scraped.

Names follow `netstack_<protocol>_<noun>[_<unit>][_total]`; labels come from closed sets alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(slots=True)
class Traffic:
    """What drivers count for one protocol of one host and one role ("server" or "client")."""

    active: int = 0
    connections: int = 0
    refused: int = 0
    received: int = 0
    sent: int = 0
    datagrams_received: int = 0
    datagrams_sent: int = 0
    datagrams_dropped: int = 0
    protocol_errors: int = 0
    timeouts: int = 0


_COUNTERS = {
    "connections": ("connections", "Stream connections accepted or made."),
    "refused": ("connections_refused", "Stream connections closed at once because the limit was reached."),
    "received": ("received_bytes", "Octets received."),
    "sent": ("sent_bytes", "Octets sent."),
    "datagrams_received": ("datagrams_received", "Datagrams received."),
    "datagrams_sent": ("datagrams_sent", "Datagrams sent."),
    "datagrams_dropped": ("datagrams_dropped", "Datagrams that the system refused to send or that a link lost."),
    "protocol_errors": ("protocol_errors", "Peers that broke the protocol."),
    "timeouts": ("timeouts", "Connections closed because a bound on time was reached."),
}


class Exporter(Collector):
    """A collector that a registry has once; subclasses are made without arguments, or with those of `of`."""

    @classmethod
    def of(cls, registry: CollectorRegistry, name: str, *arguments: Any) -> Self:
        """That of a registry, known by a name that it exports; made when it is asked for first."""
        found = registry._names_to_collectors.get(name)
        if isinstance(found, cls):
            return found
        made = cls(*arguments)
        registry.register(made)
        return made

    def describe(self) -> Iterable[Metric]:
        """The same families: a registry learns a collector's names by this alone."""
        return self.collect()


class TrafficCollector(Exporter):
    """Exports the Traffic of one protocol under `netstack_<protocol>_*{role=...}`."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.traffic: dict[str, Traffic] = {}

    def collect(self) -> Iterator[Metric]:
        prefix = f"netstack_{self.protocol}_"
        active = GaugeMetricFamily(prefix + "connections_active", "Stream connections open now.", labels=["role"])
        for role, traffic in self.traffic.items():
            active.add_metric([role], traffic.active)
        yield active
        for attribute, (name, text) in _COUNTERS.items():
            family = CounterMetricFamily(prefix + name, text, labels=["role"])
            for role, traffic in self.traffic.items():
                family.add_metric([role], getattr(traffic, attribute))
            yield family


def traffic(registry: CollectorRegistry, protocol: str, role: str) -> Traffic:
    """The Traffic of a protocol and role ("server" or "client") in a registry; the same object for the same arguments."""
    collector = TrafficCollector.of(registry, f"netstack_{protocol}_connections_active", protocol)
    return collector.traffic.setdefault(role, Traffic())
