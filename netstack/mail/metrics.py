"""The metrics of this house: what the store takes and keeps waiting; those of protocols are their houses'."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from netstack.kernel.metrics import Exporter

RESULTS = ("stored", "again", "quota", "large", "busy", "folder", "failed")


class Counts(Exporter):
    """Exports `netstack_mail_*`."""

    def __init__(self) -> None:
        self.messages = dict.fromkeys(RESULTS, 0)
        self.octets = self.settled = self.removed = self.failures = self.anew = self.adopted = 0
        self.unsettled = self.open = 0

    def collect(self) -> Iterator[Metric]:
        messages = CounterMetricFamily(
            "netstack_mail_messages", "Messages given to the store, by result.", labels=["result"]
        )
        for result, count in self.messages.items():
            messages.add_metric([result], count)
        yield messages
        yield CounterMetricFamily("netstack_mail_stored_bytes", "Octets of the messages that were stored.", self.octets)
        yield CounterMetricFamily("netstack_mail_settled", "Messages that were written to their files.", self.settled)
        yield CounterMetricFamily("netstack_mail_removed", "Files of expunged messages that were removed.", self.removed)
        yield CounterMetricFamily("netstack_mail_settle_failures", "Attempts to write files that failed.", self.failures)
        yield CounterMetricFamily("netstack_mail_indexes_rebuilt", "Indexes that were made anew.", self.anew)
        yield CounterMetricFamily("netstack_mail_adopted", "Files that no index knew, taken into INBOX.", self.adopted)
        yield GaugeMetricFamily("netstack_mail_unsettled_bytes", "Octets committed and not in their files.", self.unsettled)
        yield GaugeMetricFamily("netstack_mail_open_mailboxes", "Mailboxes whose index may be open.", self.open)


def counts(registry: CollectorRegistry) -> Counts:
    """The counts of a registry; the same object each time."""
    return Counts.of(registry, "netstack_mail_messages")
