"""The metrics of this house; those of requests and connections are the http house's and the kernel's."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from netstack.kernel.metrics import Exporter
from netstack.registrar.events import KINDS, Kind

OUTCOMES = ("done", "refused", "pending")


class Counts(Exporter):
    """Exports `netstack_registrar_*`."""

    def __init__(self) -> None:
        self.changes: dict[tuple[Kind, str], int] = {(kind, outcome): 0 for kind in KINDS for outcome in OUTCOMES}
        self.lookups = 0
        self.wrong_secrets = 0
        self.domains: Callable[[], int] = lambda: 0
        self.pending: Callable[[], int] = lambda: 0

    def collect(self) -> Iterator[Metric]:
        changes = CounterMetricFamily(
            "netstack_registrar_changes", "Changes of domains, by what became of them.", labels=["kind", "outcome"]
        )
        for (kind, outcome), count in self.changes.items():
            changes.add_metric([kind, outcome], count)
        yield changes
        yield CounterMetricFamily("netstack_registrar_lookups", "RDAP look-ups answered.", value=self.lookups)
        yield CounterMetricFamily(
            "netstack_registrar_wrong_secrets", "Secrets that were not the domain's.", self.wrong_secrets
        )
        yield GaugeMetricFamily("netstack_registrar_domains", "Domains registered now.", value=self.domains())
        yield GaugeMetricFamily("netstack_registrar_pending", "Changes that the registry has not answered.", self.pending())


def counts(registry: CollectorRegistry) -> Counts:
    """The counts of a registry; the same object each time."""
    return Counts.of(registry, "netstack_registrar_changes")
