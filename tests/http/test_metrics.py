"""What the house counts is one collector of a registry, however many services of a host ask for it."""

from prometheus_client import CollectorRegistry, generate_latest

from netstack.http.metrics import http2_counts, requests


def test_two_services_of_a_host_count_together() -> None:
    registry = CollectorRegistry()
    for _ in range(2):
        requests(registry).count("GET", 200)
        http2_counts(registry).streams += 1
    lines = generate_latest(registry).decode().splitlines()
    assert [line for line in lines if line.startswith("netstack_http_requests_total")] == [
        'netstack_http_requests_total{code="200",method="GET"} 2.0'
    ]
    assert [line for line in lines if line.startswith("netstack_http_http2_streams_total")] == [
        "netstack_http_http2_streams_total 2.0"
    ]
