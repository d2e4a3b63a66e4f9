"""The origin server as a Twisted service: one listener for each endpoint, all with the same sites."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from netstack.http.access import AccessLog
from netstack.http.engine import Heads, ServerEngine
from netstack.http.engine.http2 import Answers, HTTP2ServerEngine
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import http2_counts
from netstack.http.streams import Streams
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint, StreamListener
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.roles import Role

PROTOCOL = "http"
"""The name in the journal and in the metrics."""
ALPN = ("h2", "http/1.1")


class Answering(Protocol):
    """What answers the requests of all connections: an Origin's files, an ApplicationServer's application.

    It may have `regards`: the names of the fields that the answers it makes ready depend on.
    """

    log: AccessLog | None

    def conversation(self, https_port: int | None = None) -> Role:
        """The role of one connection; with `https_port` requests are sent to that port."""


class HTTPService(MultiService):
    """Serves an origin's sites, or an application, at every endpoint of `endpoints`, plain for `tcp`, HTTPS for `tls`."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        endpoints: Sequence[Endpoint],
        origin: Answering,
        http_limits: HTTPLimits,
        limits: StreamLimits,
        server: str,
        hsts: int = 0,
        redirect_to_https: bool = False,
        grace: float = 5.0,
        http2: bool = True,
        ended: Callable[[], None] = lambda: None,
        heads: tuple[Heads, Heads] | None = None,
    ) -> None:
        """`hsts`: seconds for which browsers are told to use HTTPS alone (RFC 6797 §6.1); 0 tells them nothing.

        `http2`: spoken with those who agree on it by ALPN, and in the clear with those who begin so (RFC 9113 §3).
        `ended` is called when the last connection is gone. `heads`: those of plain and of secure endpoints, where they are
        not made of `http_limits`, `server` and `hsts`.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.machine = machine
        self.listeners: list[StreamListener] = []
        self._origin = origin
        self._ended = ended
        strict = f"Strict-Transport-Security: max-age={hsts}\r\n".encode() if hsts else b""
        regards = getattr(origin, "regards", None)
        own = (Heads(http_limits, server, lines, regards=regards) for lines in (b"", strict))
        plain, secure = heads or own
        https_port = next((each.port for each in endpoints if each.kind == "tls"), None) if redirect_to_https else None
        counts = traffic(machine.registry, PROTOCOL, "server")
        if http2:
            for each in (plain, secure):
                speak_http2(each, machine.registry)
        alpn = ALPN if http2 else ALPN[1:]

        def listener(endpoint: Endpoint, heads: Heads, port: int | None) -> StreamListener:
            def role() -> Role:
                return Streams(lambda: origin.conversation(port))

            return StreamListener(
                machine, endpoint, PROTOCOL, lambda: ServerEngine(heads), role, counts, limits, alpn, grace
            )

        for endpoint in endpoints:
            made = listener(endpoint, secure, None) if endpoint.kind == "tls" else listener(endpoint, plain, https_port)
            made.setServiceParent(self)  # type: ignore[no-untyped-call]
            self.listeners.append(made)

    def stopService(self) -> Deferred[Any]:
        """Drains every connection; what the access log still holds is written at the end."""
        stopped = maybeDeferred(super().stopService)
        return stopped.addBoth(self._flush)

    def _flush(self, result: Any) -> Any:
        self._ended()
        if self._origin.log is not None:
            self._origin.log.flush()
        return result

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for listener in self.listeners:
            self.log.info("{name} serves HTTP on {endpoint}", name=self.machine.name, endpoint=listener.endpoint)


def speak_http2(heads: Heads, registry: CollectorRegistry) -> None:
    """Have clients that speak HTTP/2 get engines of it, which share what those of HTTP/1 share."""
    answers, counts = Answers(heads), http2_counts(registry)
    heads.http2 = lambda: HTTP2ServerEngine(heads, answers, counts)
