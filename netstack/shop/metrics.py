"""The metrics of this house; those of requests and connections are the http house's and the kernel's."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric

from netstack.kernel.metrics import Exporter

REFUSALS = ("busy", "cookie", "elsewhere", "full", "plain", "token", "wrong")


class Counts(Exporter):
    """Exports `netstack_shop_*`."""

    def __init__(self) -> None:
        self.visitors = self.returns = self.orders = self.commits = 0
        self.refusals = dict.fromkeys(REFUSALS, 0)

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
    return Counts.of(registry, "netstack_shop_visitors")
