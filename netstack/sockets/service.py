"""The uppercase service: one listener for each endpoint, all with the same answers."""

from collections.abc import Sequence

from twisted.application.service import MultiService
from twisted.logger import Logger

from netstack.kernel.datagrams import DatagramDriver
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import DatagramListener, Endpoint, StreamListener
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.sockets.answers import Answering
from netstack.sockets.engine import Bounds, DatagramServer, StreamServer
from netstack.sockets.metrics import sentences
from netstack.sockets.server import DatagramAnswers, StreamAnswers

PROTOCOL = "sockets"
"""The name in the journal and in the metrics."""


class SentenceService(MultiService):
    """Answers sentences at every endpoint of `endpoints`."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        endpoints: Sequence[Endpoint],
        answering: Answering,
        bounds: Bounds,
        limits: StreamLimits,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.machine = machine
        self.listeners: list[StreamListener | DatagramListener] = []
        counts = traffic(machine.registry, PROTOCOL, "server")
        for endpoint in endpoints:
            counted = sentences(machine.registry, endpoint.kind)
            listener: StreamListener | DatagramListener
            if endpoint.kind == "udp":
                socket = DatagramDriver(
                    machine, PROTOCOL, DatagramServer(endpoint.port), DatagramAnswers(answering, counted), counts
                )
                listener = DatagramListener(machine, endpoint, socket)
            else:
                listener = StreamListener(
                    machine,
                    endpoint,
                    PROTOCOL,
                    lambda: StreamServer(bounds),
                    lambda counted=counted: StreamAnswers(answering, counted),  # type: ignore[misc]
                    counts,
                    limits,
                )
            listener.setServiceParent(self)  # type: ignore[no-untyped-call]
            self.listeners.append(listener)

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for listener in self.listeners:
            self.log.info("{name} answers sentences on {endpoint}", name=self.machine.name, endpoint=listener.endpoint)
