"""The control protocol: one JSON object a line over a Unix socket, requests with ids, answers in any order.

Request: {"id": any, "verb": name, "arguments": {...}}. Answer: {"id", "result"} or {"id", "error": {"kind", "message"}};
a verb that streams sends {"id", "item"} any number of times before its result. {"verb": "cancel", "arguments": {"id"}}
ends a stream. Kinds of errors: "request" (not understood), "usage" (bad arguments), "failed", "busy" (a bound is reached).
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IPushProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from netstack.sansio import ByteBuffer, RemoteProtocolError

log = Logger()


class ControlError(Exception):
    """A verb could not be carried out; goes to the client as it is."""

    def __init__(self, message: str, kind: str = "failed") -> None:
        super().__init__(message)
        self.kind = kind


class Stream(Protocol):
    """What a streaming verb writes to."""

    def send(self, item: object) -> bool:
        """One item. False when the client reads too slowly: the item was dropped and counted."""

    @property
    def dropped(self) -> int:
        """Items dropped so far."""

    def ended(self) -> Deferred[None]:
        """Fires when the client cancels the stream or goes away."""


Verb = Callable[[Mapping[str, Any], Stream], Awaitable[object]]
"""Arguments and the stream for items -> result. Raises ControlError."""


@dataclass(frozen=True, slots=True)
class ControlLimits:
    """Bounds of the control socket."""

    line: int = 64 * 1024
    """Octets of a request."""
    clients: int = 32
    """Open at once; one more is told so and closed."""
    requests: int = 16
    """In hand at once for each client."""
    output: int = 1024 * 1024
    """Octets that may wait for a client before items of streams are dropped."""


class ControlServer(Service):
    """Serves verbs on a Unix socket of mode 0600. The directory around it is private (`paths.Claim`)."""

    def __init__(self, reactor: Any, path: Path, verbs: Mapping[str, Verb], limits: ControlLimits | None = None) -> None:
        self.reactor = reactor
        self.path = path
        self.verbs = dict(verbs)
        self.limits = limits or ControlLimits()
        self.clients: set[ControlConnection] = set()
        self.port: IListeningPort | None = None

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self.port = self.reactor.listenUNIX(str(self.path), _Factory(self), backlog=16, mode=0o600)

    def stopService(self) -> Deferred[Any] | None:
        super().stopService()  # type: ignore[no-untyped-call]
        port, self.port = self.port, None
        for client in tuple(self.clients):
            client.close()
        return None if port is None else maybeDeferred(port.stopListening)


class _Factory(ServerFactory):
    noisy = False

    def __init__(self, server: ControlServer) -> None:
        self.server = server

    def buildProtocol(self, addr: object) -> "ControlConnection":
        return ControlConnection(self.server)


@implementer(IPushProducer)
class ControlConnection(TwistedProtocol):
    """One client."""

    def __init__(self, server: ControlServer) -> None:
        self.server = server
        self.buffer = ByteBuffer(server.limits.line)
        self.running: dict[str, tuple[Deferred[object], _Stream]] = {}
        """Requests in hand by their id's JSON text."""
        self.open = False
        self.slow = False
        """Whether more waits for the client than it may."""

    def connectionMade(self) -> None:
        self.open = True
        transport: Any = self.transport
        transport.bufferSize = self.server.limits.output
        if len(self.server.clients) >= self.server.limits.clients:
            self.fail(None, "busy", f"more than {self.server.limits.clients} control clients; try again later")
            transport.loseConnection()
            return
        self.server.clients.add(self)
        transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        start = 0
        while self.open and start < len(data):  # in pieces, for a chunk may hold many lines, each within the bound
            end = data.find(b"\n", start) + 1 or len(data)
            try:
                self.buffer.feed(data[start:end])
            except RemoteProtocolError:
                self.fail(None, "request", f"a request of more than {self.server.limits.line} octets")
                self.close()
                return
            start = end
            line = self.buffer.take_until(b"\n")
            if line is not None and line.strip():
                self.request(line)

    def request(self, line: bytes) -> None:
        """One line from the client."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            self.fail(None, "request", "not a line of JSON")
            return
        identifier = request.get("id") if isinstance(request, dict) else None
        verb = request.get("verb") if isinstance(request, dict) else None
        arguments = request.get("arguments", {}) if isinstance(request, dict) else None
        if not isinstance(verb, str) or not isinstance(arguments, dict):
            self.fail(identifier, "request", 'expected {"id": ..., "verb": NAME, "arguments": {...}}')
            return
        if verb == "cancel":
            found = self.running.get(json.dumps(arguments.get("id")))
            if found is not None:
                found[1].end()
            self.write({"id": identifier, "result": {"cancelled": found is not None}})
            return
        handler = self.server.verbs.get(verb)
        key = json.dumps(identifier)
        if handler is None:
            self.fail(identifier, "request", f"no verb {verb[:40]!r}; there are {', '.join(sorted(self.server.verbs))}")
        elif key in self.running:
            self.fail(identifier, "request", "a request with this id is in hand")
        elif len(self.running) >= self.server.limits.requests:
            self.fail(identifier, "busy", f"more than {self.server.limits.requests} requests in hand")
        else:
            stream = _Stream(self, identifier)
            done: Deferred[object] = Deferred.fromCoroutine(_run(handler, arguments, stream))
            self.running[key] = (done, stream)
            done.addCallbacks(self._succeeded, self._failed, callbackArgs=(identifier,), errbackArgs=(identifier, verb))
            done.addBoth(lambda _: self.running.pop(key, None))

    def _succeeded(self, result: object, identifier: object) -> None:
        self.write({"id": identifier, "result": result})

    def _failed(self, failure: Failure, identifier: object, verb: str) -> None:
        if failure.check(CancelledError):
            return
        if failure.check(ControlError):
            error: Any = failure.value
            self.fail(identifier, error.kind, str(error))
            return
        log.failure("control verb {verb} failed", failure=failure, verb=verb)
        self.fail(identifier, "failed", f"{failure.type.__name__}: {failure.getErrorMessage()}")  # type: ignore[union-attr]

    def fail(self, identifier: object, kind: str, message: str) -> None:
        """Answer with an error."""
        self.write({"id": identifier, "error": {"kind": kind, "message": message}})

    def write(self, message: object) -> None:
        """One line to the client."""
        if self.open:
            data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
            transport: Any = self.transport
            transport.write(data)

    def close(self) -> None:
        """Send what is queued, then close."""
        self.open = False
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()

    # IPushProducer: a client that does not read its answers is not read either

    def pauseProducing(self) -> None:
        self.slow = True
        transport: Any = self.transport
        transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.slow = False
        transport: Any = self.transport
        if self.open:
            transport.resumeProducing()

    def stopProducing(self) -> None:
        pass

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.open = False
        self.server.clients.discard(self)
        for done, stream in tuple(self.running.values()):
            stream.end()
            done.cancel()


class _Stream:
    def __init__(self, connection: ControlConnection, identifier: object) -> None:
        self.connection = connection
        self.identifier = identifier
        self.dropped = 0
        self._over = False
        self._waiting: list[Deferred[None]] = []

    def send(self, item: object) -> bool:
        if not self.connection.open or self._over:
            return False
        if self.connection.slow:
            self.dropped += 1
            return False
        self.connection.write({"id": self.identifier, "item": item})
        return True

    def ended(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred(lambda deferred: deferred.callback(None))
        if self._over:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    def end(self) -> None:
        self._over = True
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if not deferred.called:
                deferred.callback(None)


async def _run(handler: Verb, arguments: Mapping[str, Any], stream: Stream) -> object:
    return await handler(arguments, stream)
