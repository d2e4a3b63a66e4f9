"""The metrics of this house; those of requests and connections are the http house's and the kernel's."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

REFUSALS = ("busy", "cookie", "elsewhere", "full", "plain", "token", "wrong")


class Counts(Collector):
    """Exports `netstack_shop_*`."""

    def __init__(self) -> None:
        self.visitors = self.returns = self.orders = self.commits = 0
        self.refusals = dict.fromkeys(REFUSALS, 0)

    def describe(self) -> Iterator[Metric]:
        """The same families: a registry learns a collector's names by this alone."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("netstack_shop_visitors", "Visitors that were given a number.", self.visitors)
        yield CounterMetricFamily("netstack_shop_returns", "Requests of visitors that were recognised.", self.returns)
        yield CounterMetricFamily("netstack_shop_orders", "Products that were bought.", self.orders)
        refusals = CounterMetricFamily("netstack_shop_refusals", "Requests refused, by reason.", labels=["reason"])
        for reason, count in self.refusals.items():
            refusals.add_metric([reason], count)
        yield refusals


def counts(registry: CollectorRegistry) -> Counts:
    """The counts of a registry; the same object each time."""
    collector = registry._names_to_collectors.get("netstack_shop_visitors")
    if not isinstance(collector, Counts):
        collector = Counts()
        registry.register(collector)
    return collector
