"""The metrics of this house; those of connections and octets are the kernel's."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from netstack.kernel.metrics import Exporter
from netstack.ring.data_messages import REASONS as FAILURES
from netstack.ring.faults import Fault
from netstack.ring.messages import LookedUp, Message
from netstack.ring.stream import REASONS
from netstack.ring.wire import MESSAGES
from netstack.sansio.durations import Durations

HOPS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 64, 128)
DROPS = ("unreachable", "full", "unfit")
RESULTS = ("found", "failed")


class RingCounts(Exporter):
    """Exports `netstack_ring_*`."""

    def __init__(self) -> None:
        self.hops = Durations(HOPS)
        self.seconds = Durations()
        self.lookups = Counter(dict.fromkeys(RESULTS, 0))
        self.operations = Counter(dict.fromkeys(("done", *FAILURES, "other"), 0))
        self.keys: Callable[[], int] = lambda: 0
        self.rounds: Callable[[], int] = lambda: 0
        self.arcs: Callable[[], Mapping[str, int]] = dict
        self.octets: Callable[[], int] = lambda: 0
        self.missing: Callable[[], int] = lambda: 0
        self.faults = Counter[str](dict.fromkeys(map(str, Fault), 0))
        self.certificate_end: Callable[[], float] = lambda: 0.0
        self.renewals = Counter(dict.fromkeys(("done", "failed"), 0))
        self.timeouts = 0
        self.gone = 0
        self.dials = 0
        self.unreachable = 0
        self.dropped = Counter(dict.fromkeys(DROPS, 0))
        self.refused_by_others = 0
        self.links: Callable[[], int] = lambda: 0
        self.successors: Callable[[], int] = lambda: 0
        self._refusals = Counter[str](dict.fromkeys(REASONS, 0))
        self._messages: dict[tuple[str, type[Message]], int] = {
            (direction, kind): 0 for direction in ("sent", "received") for kind in MESSAGES
        }

    def sent(self, message: Message) -> None:
        """A message to another node."""
        key = "sent", type(message)
        if key in self._messages:
            self._messages[key] += 1

    def received(self, message: Message) -> None:
        """A message of another node."""
        self._messages["received", type(message)] += 1

    def refused(self, reason: str) -> None:
        """A connection that we refuse."""
        self._refusals[reason] += 1

    def looked_up(self, event: LookedUp) -> None:
        """A look-up came to its end."""
        self.lookups["failed" if event.responsible is None else "found"] += 1
        self.timeouts += event.timeouts
        if event.responsible is not None:
            self.hops.add(event.forwards)
            self.seconds.add(event.seconds)

    def refusals(self, reason: str) -> int:
        """How many there were, for one reason."""
        return self._refusals[reason]

    def collect(self) -> Iterator[Metric]:
        lookups = CounterMetricFamily("netstack_ring_lookups", "Look-ups that came to their end.", labels=["result"])
        for result, count in self.lookups.items():
            lookups.add_metric([result], count)
        yield lookups
        hops = HistogramMetricFamily("netstack_ring_lookup_hops", "Forwards up to the responsible node.")
        hops.add_metric([], self.hops.cumulated(), self.hops.seconds)
        seconds = HistogramMetricFamily("netstack_ring_lookup_seconds", "From a look-up's beginning to its end.")
        seconds.add_metric([], self.seconds.cumulated(), self.seconds.seconds)
        yield from (hops, seconds)
        operations = CounterMetricFamily(
            "netstack_ring_operations",
            "Gets, puts and removes of this node's users, by what became of them.",
            labels=["result"],
        )
        for result, count in self.operations.items():
            operations.add_metric([result.replace(" ", "_")], count)
        yield operations
        messages = CounterMetricFamily("netstack_ring_messages", "Messages by kind.", labels=["direction", "kind"])
        for (direction, kind), count in self._messages.items():
            messages.add_metric([direction, kind.__name__], count)
        yield messages
        refusals = CounterMetricFamily("netstack_ring_refusals", "Connections refused, by why.", labels=["reason"])
        for reason, count in self._refusals.items():
            refusals.add_metric([reason], count)
        dropped = CounterMetricFamily("netstack_ring_messages_dropped", "Messages not sent, by why.", labels=["reason"])
        for reason, count in self.dropped.items():
            dropped.add_metric([reason], count)
        faults = CounterMetricFamily("netstack_ring_faults", "Messages that were not heeded, by why.", labels=["reason"])
        for reason, count in self.faults.items():
            faults.add_metric([reason], count)
        yield from (refusals, dropped, faults)
        for name, text, value in (
            ("stabilizations", "Rounds of looking after the successors and the predecessor.", self.rounds()),
            ("lookup_timeouts", "Nodes that did not answer during a look-up.", self.timeouts),
            ("nodes_gone", "Nodes found not to answer.", self.gone),
            ("dials", "Connections tried.", self.dials),
            ("unreachable", "Connections that could not be made.", self.unreachable),
            ("refused_by_others", "Connections that another node refused.", self.refused_by_others),
        ):
            yield CounterMetricFamily(f"netstack_ring_{name}", text, value)
        renewals = CounterMetricFamily("netstack_ring_renewals", "Certificates asked for.", labels=["result"])
        for result, count in self.renewals.items():
            renewals.add_metric([result], count)
        yield renewals
        arcs = CounterMetricFamily("netstack_ring_arcs", "Arcs taken up or handed over, by how.", labels=["how"])
        for how, count in self.arcs().items():
            arcs.add_metric([how], count)
        yield arcs
        yield GaugeMetricFamily(
            "netstack_ring_certificate_end_seconds", "When this node's certificate ends, since 1970.", self.certificate_end()
        )
        yield GaugeMetricFamily("netstack_ring_keys", "Keys held, copies included.", self.keys())
        yield GaugeMetricFamily(
            "netstack_ring_replicas_missing",
            "Copies of what this node is responsible for that no node has confirmed.",
            self.missing(),
        )
        yield GaugeMetricFamily("netstack_ring_held_bytes", "Octets of keys and values held.", self.octets())
        yield GaugeMetricFamily("netstack_ring_links", "Nodes connected to.", self.links())
        yield GaugeMetricFamily(
            "netstack_ring_successors", "Successors known, the node itself not counted.", self.successors()
        )


REFUSALS = ("nothing", "rate", "token", "key", "request", "disk")


class IssuerCounts(Exporter):
    """Exports `netstack_ring_issuer_*`."""

    def __init__(self) -> None:
        self.issued = 0
        self.refused = Counter(dict.fromkeys(REFUSALS, 0))

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("netstack_ring_issuer_certificates", "Certificates issued.", self.issued)
        refused = CounterMetricFamily("netstack_ring_issuer_refusals", "Requests refused, by why.", labels=["reason"])
        for reason, count in self.refused.items():
            refused.add_metric([reason], count)
        yield refused


def issuer_counts(registry: CollectorRegistry) -> IssuerCounts:
    """Those of a registry; the same object each time."""
    return IssuerCounts.of(registry, "netstack_ring_issuer_certificates")


def ring_counts(registry: CollectorRegistry) -> RingCounts:
    """Those of a registry; the same object each time."""
    return RingCounts.of(registry, "netstack_ring_lookups")
