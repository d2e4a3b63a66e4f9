"""The metrics of several processes as those of one service.

Counters, histograms and summaries are summed. Gauges are summed too, but for those whose sum says nothing: of names that
end in one of `GREATEST` the greatest counts, of `_created` the least. What an ended worker had counted is still counted.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Sample

GREATEST = ("_serial", "_timestamp_seconds", "_info")
_Labels = tuple[tuple[str, str], ...]


class Sum(Collector):
    """Adds expositions up."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._families: dict[str, tuple[str, str, dict[tuple[str, _Labels], float]]] = {}
        for text in texts:
            self.add(text)

    def add(self, text: str, gauges: bool = True) -> None:
        """One process's, as Prometheus's text; without gauges when it has ended."""
        for family in text_string_to_metric_families(text):
            if family.type == "gauge" and not gauges:
                continue
            _, _, samples = self._families.setdefault(family.name, (family.type, family.documentation, {}))
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                samples[key] = _together(sample.name, samples.get(key), sample.value)

    def collect(self) -> Iterator[Metric]:
        """The families."""
        for name, (kind, text, samples) in self._families.items():
            metric = Metric(name, text, kind)
            metric.samples = [Sample(sample, dict(labels), value) for (sample, labels), value in samples.items()]
            yield metric

    def text(self) -> str:
        """As Prometheus's text."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry).decode()

    def describe(self) -> Iterator[Metric]:
        """Nothing: whatever is added is exported."""
        return iter(())


def _together(name: str, one: float | None, other: float) -> float:
    if one is None:
        return other
    if name.endswith("_created"):
        return min(one, other)
    return max(one, other) if name.endswith(GREATEST) else one + other
