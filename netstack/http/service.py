"""The origin server as a Twisted service: one listener for each endpoint, all with the same sites."""

from collections.abc import Sequence

from twisted.application.service import MultiService
from twisted.logger import Logger

from netstack.http.engine import Heads, ServerEngine
from netstack.http.limits import HTTPLimits
from netstack.http.server import Origin
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint, StreamListener
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic

PROTOCOL = "http"
"""The name in the journal and in the metrics."""
ALPN = ("http/1.1",)


class HTTPService(MultiService):
    """Serves an origin's sites at every endpoint of `endpoints`, plain for `tcp`, HTTPS for `tls`."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        endpoints: Sequence[Endpoint],
        origin: Origin,
        http_limits: HTTPLimits,
        limits: StreamLimits,
        server: str,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.machine = machine
        self.listeners: list[StreamListener] = []
        heads = Heads(http_limits, server)
        counts = traffic(machine.registry, PROTOCOL, "server")
        for endpoint in endpoints:
            listener = StreamListener(
                machine, endpoint, PROTOCOL, lambda: ServerEngine(heads), lambda: origin, counts, limits, ALPN
            )
            listener.setServiceParent(self)  # type: ignore[no-untyped-call]
            self.listeners.append(listener)

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for listener in self.listeners:
            self.log.info("{name} serves HTTP on {endpoint}", name=self.machine.name, endpoint=listener.endpoint)
