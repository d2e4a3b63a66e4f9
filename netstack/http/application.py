"""Applications behind a Web server: what gets whole requests and answers them, at once or later (RFC 9110 §3.4, §9).

An application judges a head before the body comes, so that a refusal costs no body; the body is bounded by
`HTTPLimits.body` (413), those of all connections together by `ApplicationLimits` (503).
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from netstack.http.access import AccessLog
from netstack.http.answers import error, moved
from netstack.http.engine.server import body_length
from netstack.http.events import BodyReceived, Continue, Drain, RequestEnded, RequestReceived, RequestRefused, Respond
from netstack.http.metrics import Requests
from netstack.http.wire import BadMessage, Request
from netstack.kernel.roles import Connection
from netstack.sansio import Event, Peer
from netstack.sansio.bounds import all_positive

_log = Logger()


@dataclass(frozen=True, slots=True)
class Call:
    """One whole request."""

    request: Request
    body: bytes
    peer: Peer

    @property
    def secure(self) -> bool:
        """Whether it came under TLS."""
        return self.peer.security is not None


class Application(Protocol):
    """Answers requests. BadMessage is the client's fault; whatever else `answer` raises is 500 and logged."""

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        """A refusal by the head alone (404, 405, 415, ...), before the body is read; None: `answer` will be called."""

    def answer(self, call: Call) -> Respond | Awaitable[Respond]:
        """The answer. Work goes on to its end also when the client is gone meanwhile."""


@dataclass(frozen=True, slots=True)
class ApplicationLimits:
    """Bounds for all connections of an application together."""

    bodies: int = 16 * 1024 * 1024
    """Octets of bodies on their way: 503."""
    answers: int = 1000
    """Requests being worked on: 503."""

    def __post_init__(self) -> None:
        all_positive(self)


class ApplicationServer:
    """An application for all connections of an HTTPService."""

    def __init__(
        self,
        application: Application,
        names: tuple[str, ...],
        limits: ApplicationLimits,
        requests: Requests,
        log: AccessLog | None,
    ) -> None:
        """`names` are the hosts' names under which it may be sent to https; the first for requests of another."""
        self.application = application
        self.names = names
        self.limits = limits
        self.log = log
        self.octets = 0
        self.answering = 0
        self._requests = requests

    def conversation(self, https_port: int | None = None) -> "ApplicationConversation":
        """The role of one connection; with `https_port` what reads is sent to that port (301), the rest refused."""
        return ApplicationConversation(self, https_port)

    def done(self, request: Request | None, start: str, answer: Respond, connection: Connection) -> None:
        """Send an answer, count it, log it."""
        connection.send(answer)
        self._requests.count(request.method if request is not None else start.partition(" ")[0], answer.status)
        if self.log is not None:
            host = None if request is None else request.host
            described = self.log.described(request, start, host, answer.status)
            octets = 0 if request is not None and request.method == "HEAD" else body_length(answer.body)
            self.log.record(connection.peer.remote[0], described, octets)

    def to_https(self, request: Request, port: int) -> Respond:
        """For what came in the clear and may not."""
        host = request.host if request.host in self.names else self.names[0]
        place = f"https://{host}{'' if port == 443 else f':{port}'}"
        if request.method not in ("GET", "HEAD"):
            return error(403, f"This is accepted over HTTPS only: {place}/")
        query = f"?{request.query}" if request.query is not None else ""
        return moved(f"{place}/{request.path.lstrip('/')}{query}")


class ApplicationConversation:
    """One connection: the body of the request in hand, and its answer."""

    __slots__ = ("_body", "_connected", "_https_port", "_octets", "_request", "_server")

    def __init__(self, server: ApplicationServer, https_port: int | None) -> None:
        self._server = server
        self._https_port = https_port
        self._request: Request | None = None
        """The one whose body is being read."""
        self._body: list[bytes] = []
        self._octets = 0
        self._connected = True

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, RequestReceived):
            self._begin(event.request, connection)
        elif isinstance(event, BodyReceived):
            self._receive(event.data, connection)
        elif isinstance(event, RequestEnded):
            request, body = self._request, b"".join(self._body)
            self._drop()
            if request is not None:
                self._answer(request, body, connection)
        elif isinstance(event, RequestRefused):
            self._drop()
            self._server.done(None, event.start, error(event.status, event.reason), connection)

    def lost(self, reason: str) -> None:
        self._connected = False
        self._drop()

    def drain(self, connection: Connection) -> None:
        """Finish the request in hand."""
        connection.send(Drain())

    def _begin(self, request: Request, connection: Connection) -> None:
        if self._https_port is not None:
            self._server.done(request, "", self._server.to_https(request, self._https_port), connection)
            return
        try:
            refusal = self._server.application.judge(request, connection.peer)
        except BadMessage as wrong:
            refusal = error(wrong.code, str(wrong))
        if refusal is not None:
            self._server.done(request, "", refusal, connection)
        elif request.chunked or request.length:
            self._request = request
            if request.expects_continue:
                connection.send(Continue())
        else:
            self._answer(request, b"", connection)

    def _receive(self, data: bytes, connection: Connection) -> None:
        request, server = self._request, self._server
        if request is None:
            return
        if server.octets + len(data) > server.limits.bodies:
            self._drop()
            server.done(request, "", _busy(), connection)
            return
        self._body.append(data)
        self._octets += len(data)
        server.octets += len(data)

    def _drop(self) -> None:
        self._server.octets -= self._octets
        self._octets = 0
        self._body.clear()
        self._request = None

    def _answer(self, request: Request, body: bytes, connection: Connection) -> None:
        server = self._server
        if server.answering >= server.limits.answers:
            server.done(request, "", _busy(), connection)
            return
        try:
            found = server.application.answer(Call(request, body, connection.peer))
        except Exception as wrong:
            found = _failed(request, wrong)
        if isinstance(found, Respond):
            server.done(request, "", found, connection)
            return
        server.answering += 1

        async def answer(awaited: Awaitable[Respond]) -> None:
            try:
                answer = await awaited
            except Exception as wrong:
                answer = _failed(request, wrong)
            finally:
                server.answering -= 1
            if self._connected:
                server.done(request, "", answer, connection)

        Deferred.fromCoroutine(answer(found))


def _failed(request: Request, wrong: Exception) -> Respond:
    """The answer where an application has none; called while `wrong` is being handled."""
    if isinstance(wrong, BadMessage):
        return error(wrong.code, str(wrong))
    _log.failure("{method} failed", method=request.method)
    return error(500)


def _busy() -> Respond:
    busy = error(503, "Too much is being asked at once.", b"Retry-After: 1\r\n")
    return Respond(busy.status, busy.fields, busy.body, close=True)
