"""What is counted comes out under names and labels that are bounded, whatever other servers say."""

from dns.rcode import Rcode
from prometheus_client import CollectorRegistry

from netstack.dns.events import ResolverCounts
from netstack.dns.metrics import resolver_collector, zone_counts
from netstack.dns.serial import serial_of
from netstack.dns.zone import Zone
from netstack.sansio.durations import BOUNDS, Durations


def test_replies_of_servers_are_counted_by_the_codes_that_have_a_name() -> None:
    registry = CollectorRegistry()
    resolver_collector(registry).resolver = counts = ResolverCounts()
    counts.rcodes.update([Rcode.NOERROR, Rcode.NOERROR, Rcode.make(99), Rcode.make(4000)])
    value = registry.get_sample_value
    assert value("netstack_dns_resolver_responses_total", {"rcode": "NOERROR"}) == 2
    assert value("netstack_dns_resolver_responses_total", {"rcode": "other"}) == 2


def test_round_trips_are_a_histogram() -> None:
    registry = CollectorRegistry()
    resolver_collector(registry).resolver = counts = ResolverCounts()
    counts.round_trips.add(0.003)
    counts.round_trips.add(100.0)
    value = registry.get_sample_value
    name = "netstack_dns_resolver_query_duration_seconds"
    assert [value(f"{name}_bucket", {"le": bound}) for bound in ("0.002", "0.004", "8.192", "+Inf")] == [0, 1, 1, 2]
    assert (value(f"{name}_count"), value(f"{name}_sum")) == (2, 100.003)


def test_serials_are_those_served_now() -> None:
    registry = CollectorRegistry()
    zone = Zone.from_text("umass.edu", "$TTL 2d\n@ SOA ns x. 7 2h 1h 2w 1h\n@ NS ns\n")
    zone_counts(registry).serials = lambda: {zone.origin: serial_of(zone.soa)}
    assert registry.get_sample_value("netstack_dns_zone_serial", {"zone": "umass.edu"}) == 7


def test_durations_on_a_bound_are_within_it() -> None:
    durations = Durations()
    durations.add(BOUNDS[0])
    durations.add(BOUNDS[0] * 1.01, 3)
    assert durations.counts[:3] == [1, 3, 0]
    assert durations.cumulated()[:2] == [(str(BOUNDS[0]), 1), (str(BOUNDS[1]), 4)]
