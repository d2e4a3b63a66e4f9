"""The metrics of this house, all in one place; those of connections and octets are the kernel's (`kernel/metrics.py`)."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric

from netstack.kernel.metrics import Exporter

TRANSPORTS = ("tcp", "tls", "udp")


@dataclass(slots=True)
class Sentences:
    """What the servers of one transport counted."""

    answered: int = 0
    cut: int = 0
    refused: int = 0


class SentenceCollector(Exporter):
    """Exports `netstack_sockets_sentences*{transport=...}`."""

    def __init__(self) -> None:
        self.sentences = {transport: Sentences() for transport in TRANSPORTS}

    def collect(self) -> Iterator[Metric]:
        for name, text, attribute in (
            ("sentences", "Sentences answered.", "answered"),
            ("sentences_cut", "Sentences or answers of which only the start was used, being too long.", "cut"),
            ("sentences_refused", "Datagrams not answered because a server's port had sent them.", "refused"),
        ):
            family = CounterMetricFamily(f"netstack_sockets_{name}", text, labels=["transport"])
            for transport, sentences in self.sentences.items():
                family.add_metric([transport], getattr(sentences, attribute))
            yield family


def sentences(registry: CollectorRegistry, transport: str) -> Sentences:
    """The counts of a transport in a registry; the same object for the same arguments."""
    return SentenceCollector.of(registry, "netstack_sockets_sentences").sentences[transport]
