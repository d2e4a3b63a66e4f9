"""`/livez`, `/readyz` and `/metrics` on one plain port: what kubelet and Prometheus ask for, and nothing more.

A responder of its own, so that a process without a Web server has it too: one GET (RFC 9112 §3) on each connection, then the
end. Live is a process that answers; ready is one whose listeners are all bound. Neither depends on another host, but for
a node of a ring: it is ready when it serves its arc.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from twisted.application.service import IService, IServiceCollection

from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint, Listener, StreamListener
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.roles import Connection
from netstack.sansio import ByteBuffer, Close, Command, Event, LocalProtocolError, Now, Peer, Recorder, RemoteProtocolError

HEAD_LIMIT = 8192
HEAD_SECONDS = 5.0
LIMITS = StreamLimits(connections=64, idle=10.0, linger=10.0, discard=2.0)

_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[!-~]*|\*) HTTP/1\.[01]\r\n")
_FIELD_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[ \t\x21-\x7e\x80-\xff]*\r\n")
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout"} | {
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Requested(Event):
    """A GET arrived; `path` has no query."""

    path: str


@dataclass(frozen=True, slots=True)
class Respond(Command):
    """The one answer."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class HealthEngine(Recorder):
    """One request, one response, the end. A head of more than 8192 octets or 5 seconds is refused."""

    def __init__(self) -> None:
        self._input = ByteBuffer(HEAD_LIMIT)
        self._out: list[bytes] = []
        self._due: float | None = None
        self._asked = self._done = False

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        self._due = now.monotonic + HEAD_SECONDS
        return ()

    def receive(self, data: bytes, now: Now) -> Iterable[Event]:
        if self._asked:
            return [Close()] if self._done else []
        try:
            self._input.feed(data)
        except RemoteProtocolError:
            raise self._refuse(431, "the head is too long") from None
        head = self._input.take_until(b"\r\n\r\n")
        if head is None:
            return ()
        self._asked, self._due = True, None
        if self.recording:
            self.record(False, head.split(b"\r\n", 1)[0].decode("ascii", "replace"), head)
        line, _, fields = head[:-2].partition(b"\r\n")
        parsed = _REQUEST_LINE.fullmatch(line + b"\r\n")
        if parsed is None or not all(_FIELD_LINE.fullmatch(field) for field in fields.splitlines(keepends=True)):
            raise self._refuse(400, "not an HTTP/1.1 request")
        if parsed[1] != b"GET":
            raise self._refuse(405, "only GET is answered here")
        return [Requested(parsed[2].decode("ascii").partition("?")[0])]

    def eof(self, now: Now) -> Iterable[Event]:
        return () if self._asked and not self._done else [Close()]

    def send(self, command: Command, now: Now) -> None:
        if not isinstance(command, Respond) or not self._asked or self._done:
            raise LocalProtocolError(f"{command} answers no request")
        self._respond(command)

    def data_to_send(self) -> Sequence[bytes]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return not self._asked

    def next_timer(self) -> float | None:
        return self._due

    def on_timer(self, now: Now) -> Iterable[Event]:
        self._due = None
        raise self._refuse(408, "the head took too long")

    def _refuse(self, status: int, text: str) -> RemoteProtocolError:
        self._respond(Respond(status, text.encode() + b"\n"))
        return RemoteProtocolError(text, status)

    def _respond(self, response: Respond) -> None:
        self._done = self._asked = True
        head = (
            f"HTTP/1.1 {response.status} {_REASONS[response.status]}\r\n"
            f"Content-Type: {response.content_type}\r\nContent-Length: {len(response.body)}\r\n"
            + ("Allow: GET\r\n" if response.status == 405 else "")
            + "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        data = head.encode("ascii") + response.body
        self._out.append(data)
        if self.recording:
            self.record(True, f"{response.status} {_REASONS[response.status]}", data)


class HealthRole:
    """Answers from the machine's registry and from what is not ready."""

    def __init__(self, machine: Machine, not_ready: Callable[[], Sequence[str]]) -> None:
        self._machine = machine
        self._not_ready = not_ready

    def handle(self, event: Event, connection: Connection) -> None:
        if not isinstance(event, Requested):
            return
        if event.path == "/livez":
            connection.send(Respond(200, b"ok\n"))
        elif event.path == "/readyz":
            connection.send(self._ready(self._not_ready()))
        elif event.path == "/metrics":
            connection.send(Respond(200, generate_latest(self._machine.registry), CONTENT_TYPE_PLAIN_0_0_4))
        else:
            connection.send(Respond(404, b"/livez, /readyz and /metrics are here\n"))

    @staticmethod
    def _ready(missing: Sequence[str]) -> Respond:
        body = "".join(f"not ready: {name}\n" for name in missing) or "ok\n"
        return Respond(503 if missing else 200, body.encode())

    def lost(self, reason: str) -> None:
        """Nothing is kept."""


def health_listener(
    machine: Machine,
    port: int,
    not_ready: Callable[[], Sequence[str]],
    interface: str | None = None,
    role: Callable[[], HealthRole] | None = None,
) -> StreamListener:
    """The service; `port` is the one in use. `not_ready` gives the names of what is missing, nothing when all is well.

    `role`: answers in another way.
    """
    endpoint = Endpoint("tcp", port, machine.address if interface is None else interface)
    counts = traffic(machine.registry, "health", "server")
    made = role or (lambda: HealthRole(machine, not_ready))
    return StreamListener(machine, endpoint, "health", HealthEngine, made, counts, LIMITS, grace=1.0)


def unbound(service: IService) -> list[str]:
    """The endpoints below a service that are not bound: before the start, and once it stops."""
    missing = []
    if isinstance(service, Listener):
        if service.port is None:
            missing.append(str(service.endpoint))
    elif IServiceCollection.providedBy(service):
        for child in service:
            missing.extend(unbound(child))
    return missing
