"""The metrics of this house, shaped as postfix_exporter has them: plain integers, exported when scraped."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from netstack.kernel.metrics import Exporter
from netstack.mail.sasl import MECHANISMS
from netstack.sansio.durations import Durations
from netstack.smtp.envelope import Fate
from netstack.smtp.queue import Queue

CODES = frozenset({
    421, 450, 451, 452, 454, 455, 500, 501, 502, 503, 504, 521, 530, 534, 535, 538, 550, 551, 552, 553, 554, 555, 556,
})  # fmt: skip
"""Of refusals; any other is counted as 0."""
BOUNDS = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 86400.0, 5 * 86400.0)
"""Seconds from a message's arrival to the end of its way."""


STAGES = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)
"""Seconds of one stage of it."""
SIZES = tuple(float(1 << power) for power in range(10, 27, 2))
"""Octets of a message, from a KiB to 64 MiB."""
RECIPIENTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Receptions:
    """What one kind of listener counts: "mx" or "submission"."""

    def __init__(self) -> None:
        self.messages = self.octets = 0
        self.sizes, self.recipients = Durations(SIZES), Durations(RECIPIENTS)
        self.seconds = Durations(STAGES)
        """From MAIL to the message being safe."""
        self.refusals: Counter[int] = Counter()
        self.logins: Counter[tuple[str, str]] = Counter()
        """By result and mechanism."""
        self.secured: Counter[str] = Counter()
        """Connections under TLS by version."""
        self.lost: Counter[str] = Counter()
        """Connections that ended in the middle of a message, by how far it was: "envelope" or "data"."""
        self.mismatches: Counter[str] = Counter()
        """Messages in somebody else's name, refused, by where that stood: "mail" (MAIL FROM), "from", "sender"."""
        self.proved: Counter[tuple[str, str]] = Counter()
        """Messages and signatures by method (spf, dkim, dmarc) and result (RFC 8601 §2.7)."""

    def taken(self, octets: int, recipients: int, seconds: float) -> None:
        """A message that is ours now, so long after its MAIL."""
        self.seconds.add(max(0.0, seconds))
        self.messages += 1
        self.octets += octets
        self.sizes.add(octets)
        self.recipients.add(recipients)

    def refused(self, code: int) -> None:
        """A command or message that got this reply."""
        self.refusals[code if code in CODES else 0] += 1

    def logged_in(self, successfully: bool, mechanism: str) -> None:
        """A log-in that came to an end; a mechanism of which there is none is counted as "other"."""
        self.logins["ok" if successfully else "failed", mechanism if mechanism in MECHANISMS else "other"] += 1


class MailCollector(Exporter):
    """Exports what a host's reception and queue count, as `netstack_smtp_*`."""

    def __init__(self) -> None:
        self.receptions: dict[str, Receptions] = {}
        self.delays: dict[Fate, Durations] = {}
        self.queue: Queue | None = None
        self.tls: Mapping[tuple[str, str], int] = {}
        """Connections to other servers by what became of TLS, and its version."""
        self.stages: dict[str, Durations] = {}
        """Of messages that were sent to other servers."""
        self.policies: dict[tuple[str, str], int] = {}
        """Those to servers that had to prove who they are, by kind of policy and result (RFC 8460 §4.3)."""

    def delayed(self, fate: Fate, seconds: float) -> None:
        """How long a recipient's mail took, whatever became of it."""
        self.delays.setdefault(fate, Durations(BOUNDS)).add(seconds)

    def timed(self, stage: str, seconds: float) -> None:
        """How long a stage of a message's way to another server took."""
        self.stages.setdefault(stage, Durations(STAGES)).add(seconds)

    def collect(self) -> Iterator[Metric]:
        yield from self._received()
        yield from self._queued()
        yield from self._sent()

    def _received(self) -> Iterator[Metric]:
        kind = ["kind"]
        taken = CounterMetricFamily("netstack_smtp_messages_accepted", "Messages taken.", labels=kind)
        octets = CounterMetricFamily("netstack_smtp_messages_accepted_bytes", "Octets of messages taken.", labels=kind)
        sizes = HistogramMetricFamily("netstack_smtp_message_size_bytes", "Octets of one.", labels=kind)
        recipients = HistogramMetricFamily("netstack_smtp_message_recipients", "Recipients of one.", labels=kind)
        refused = CounterMetricFamily("netstack_smtp_rejections", "Commands and messages refused.", labels=[*kind, "code"])
        logins = CounterMetricFamily("netstack_smtp_logins", "Log-ins.", labels=[*kind, "result", "mechanism"])
        seconds = HistogramMetricFamily("netstack_smtp_reception_seconds", "From MAIL to a message's 250.", labels=kind)
        secured = CounterMetricFamily("netstack_smtp_server_tls", "Connections under TLS.", labels=[*kind, "version"])
        lost = CounterMetricFamily(
            "netstack_smtp_connections_lost", "Connections that ended within a message.", labels=[*kind, "stage"]
        )
        mismatches = CounterMetricFamily(
            "netstack_smtp_sender_mismatches", "Refused, in somebody else's name.", labels=[*kind, "field"]
        )
        proved = CounterMetricFamily(
            "netstack_smtp_authentication", "Messages, and of DKIM signatures, judged.", labels=["method", "result"]
        )
        for name, counts in self.receptions.items():
            taken.add_metric([name], counts.messages)
            octets.add_metric([name], counts.octets)
            sizes.add_metric([name], counts.sizes.cumulated(), counts.sizes.seconds)
            seconds.add_metric([name], counts.seconds.cumulated(), counts.seconds.seconds)
            recipients.add_metric([name], counts.recipients.cumulated(), counts.recipients.seconds)
            counted: tuple[tuple[CounterMetricFamily, Counter[Any]], ...] = (
                (refused, counts.refusals), (secured, counts.secured), (lost, counts.lost),
                (mismatches, counts.mismatches),
            )  # fmt: skip
            for family, values in counted:
                for value, count in sorted(values.items()):
                    family.add_metric([name, str(value)], count)
            for key, count in sorted(counts.logins.items()):
                logins.add_metric([name, *key], count)
            for key, count in sorted(counts.proved.items()):
                proved.add_metric(key, count)
        yield from (taken, octets, sizes, recipients, seconds, refused, logins, secured, lost, mismatches, proved)

    def _queued(self) -> Iterator[Metric]:
        queue = self.queue
        counted = queue.counts if queue is not None else None
        ends = CounterMetricFamily("netstack_smtp_deliveries", "Recipients whose mail came to an end.", labels=["fate"])
        for fate in ("delivered", "relayed", "failed", "expired"):
            ends.add_metric([fate], getattr(counted, fate) if counted is not None else 0)
        yield ends
        for name, text in (("deferred", "Attempts put off"), ("reports", "Reports to senders"), ("attempts", "Attempts")):
            value = getattr(counted, name) if counted is not None else 0
            yield CounterMetricFamily(f"netstack_smtp_{name}", f"{text}.", value)
        spool = queue.spool if queue is not None else None
        messages = len(queue.messages) if queue is not None else 0
        oldest = queue.oldest() if queue is not None else 0.0
        yield GaugeMetricFamily("netstack_smtp_queue_messages", "Messages in the queue.", messages)
        yield GaugeMetricFamily("netstack_smtp_queue_oldest_seconds", "Age of the one that came first.", oldest)
        yield GaugeMetricFamily("netstack_smtp_queue_bytes", "Octets of the queue's files.", spool.octets if spool else 0)
        yield CounterMetricFamily("netstack_smtp_queue_commits", "Writes with their sync.", spool.commits if spool else 0)
        yield CounterMetricFamily("netstack_smtp_queue_damaged", "Damage found on disk.", spool.damaged if spool else 0)
        delays = HistogramMetricFamily(
            "netstack_smtp_delivery_delay_seconds", "From a message's arrival to its recipient's.", labels=["fate"]
        )
        for kind_, durations in self.delays.items():
            delays.add_metric([kind_.value], durations.cumulated(), durations.seconds)
        yield delays

    def _sent(self) -> Iterator[Metric]:
        tls = CounterMetricFamily(
            "netstack_smtp_client_tls", "Connections to other servers by TLS.", labels=["result", "version"]
        )
        for key, count in sorted(self.tls.items()):
            tls.add_metric(key, count)
        stages = HistogramMetricFamily(
            "netstack_smtp_client_stage_seconds", "Stages of a message's way to another server.", labels=["stage"]
        )
        for stage, durations in self.stages.items():
            stages.add_metric([stage], durations.cumulated(), durations.seconds)
        policies = CounterMetricFamily(
            "netstack_smtp_client_policies", "Connections under a policy, fetches that failed.", labels=["policy", "result"]
        )
        for key, count in sorted(self.policies.items()):
            policies.add_metric(key, count)
        yield from (tls, stages, policies)


def collector(registry: CollectorRegistry) -> MailCollector:
    """That of a registry; the same object each time."""
    return MailCollector.of(registry, "netstack_smtp_messages_accepted")
