"""The servers as Twisted services: their listeners, their start and stop."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from twisted.application.service import MultiService

from netstack.dns.authority import Authority
from netstack.dns.engine import Datagrams, ServerStream
from netstack.dns.limits import ServerLimits
from netstack.dns.metrics import server_metrics
from netstack.dns.server import AuthoritativeDatagrams, AuthoritativeStream
from netstack.kernel.driver import DatagramDriver, DatagramRole, Role
from netstack.kernel.listen import DatagramListener, Endpoint, StreamListener
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic


class AuthoritativeService(MultiService):
    """An Authority behind its endpoints."""

    def __init__(self, machine: Machine, authority: Authority, endpoints: Sequence[Endpoint], limits: ServerLimits) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.authority = authority
        metrics = server_metrics(machine.registry, "authoritative")
        self.listeners = listeners(
            machine,
            endpoints,
            limits,
            lambda: AuthoritativeDatagrams(machine, authority, metrics),
            lambda: AuthoritativeStream(machine, authority, metrics),
        )
        for listener in self.listeners:
            listener.setServiceParent(self)  # type: ignore[no-untyped-call]


def listeners(
    machine: Machine,
    endpoints: Sequence[Endpoint],
    limits: ServerLimits,
    datagrams: Callable[[], DatagramRole],
    stream: Callable[[], Role],
) -> list[DatagramListener | StreamListener]:
    """A listener for each endpoint, with the role that answers there."""
    counted = traffic(machine.registry, "dns", "server")
    bounds = replace(machine.limits, connections=limits.tcp_connections)
    made: list[DatagramListener | StreamListener] = []
    for endpoint in endpoints:
        if endpoint.kind == "udp":
            driver = DatagramDriver(machine, "dns", Datagrams(server=True), datagrams(), counted)
            made.append(DatagramListener(machine, endpoint, driver))
        else:
            made.append(
                StreamListener(
                    machine,
                    endpoint,
                    "dns",
                    lambda: ServerStream(limits.tcp_pipeline, limits.tcp_idle),
                    stream,
                    counted,
                    bounds,
                )
            )
    return made
