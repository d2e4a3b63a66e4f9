"""A worker's side: what its parent gave it, and the pipes to it.

The parent's first words (`Hello`) are read while the service is made, before the reactor runs.
"""

import fcntl
import json
import os
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO

from netstack.kernel.workers.channel import Channel, Handler

VARIABLE = "NETSTACK_WORKER"
"""In the environment of workers."""
FROM_PARENT, TO_PARENT, TURN, SOCKETS = 3, 4, 5, 6
"""Descriptors of a worker; its sockets follow."""
OWNER = 0
"""The worker that does what one process alone may do."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a worker is told at first."""

    number: int
    count: int
    secret: str
    """32 hexadecimal digits that all workers share."""
    descriptors: dict[str, int]
    """Its sockets by endpoint."""

    def octets(self) -> bytes:
        """As the parent writes it."""
        text = json.dumps(asdict(self)).encode()
        return struct.pack("!I", len(text)) + text


class Worker:
    """One process of a service."""

    def __init__(self, hello: Hello) -> None:
        self.number = hello.number
        self.count = hello.count
        self.secret = bytes.fromhex(hello.secret)
        self._sockets = {text: socket.socket(fileno=number) for text, number in hello.descriptors.items()}
        self._transport: Any = None
        self._early: list[bytes] = []
        self.channel = Channel(self._write)

    @property
    def is_owner(self) -> bool:
        """Whether this is the one that changes what all serve."""
        return self.number == OWNER

    def take_turn(self) -> None:
        """Wait until no other worker has the turn, then have it; not on the reactor's thread. It ends with the process."""
        fcntl.lockf(TURN, fcntl.LOCK_EX)

    def end_turn(self) -> None:
        """The next one's."""
        fcntl.lockf(TURN, fcntl.LOCK_UN)

    def join(self) -> None:
        """Be among those whom `tell_others` tells from now on."""
        self.channel.ask("join").addErrback(lambda failure: None)

    def part(self, rate: float) -> float:
        """Of a rate that holds for all workers together, at least 1; 0 is no limit."""
        return max(1.0, rate / self.count) if rate else 0.0

    def inherited(self, endpoint: str) -> socket.socket | None:
        """The bound socket of an endpoint, which the caller closes when the reactor has its own of it."""
        return self._sockets.pop(endpoint, None)

    def ask_owner(self, subject: str, data: bytes) -> Deferred[bytes]:
        """The owner's answer; fails with Unanswered."""
        return self.channel.ask(subject, data, OWNER)

    def tell_others(self, subject: str, data: bytes) -> Deferred[bytes]:
        """Fires when every other worker has answered or is no more."""
        return self.channel.ask("everyone", subject.encode() + b"\n" + data)

    def handle(self, subject: str, handler: Handler) -> None:
        """Who answers the others' questions about a subject."""
        self.channel.handlers[subject] = handler

    def _write(self, data: bytes) -> None:
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.write(data)

    def connect(self, reactor: Any) -> None:
        """Use the pipes from now on; the process ends with its parent."""
        stdio: Any = StandardIO
        self._transport = stdio(_Pipes(self.channel, reactor), FROM_PARENT, TO_PARENT, reactor)
        early, self._early = self._early, []
        for data in early:
            self._transport.write(data)


class _Pipes(Protocol):
    def __init__(self, channel: Channel, reactor: Any) -> None:
        self._channel = channel
        self._reactor = reactor

    def dataReceived(self, data: bytes) -> None:
        self._channel.receive(data)

    def connectionLost(self, reason: object = None) -> None:
        self._channel.lost()
        with suppress(ReactorNotRunning):
            self._reactor.stop()


def this_worker() -> Worker | None:
    """The worker that this process is, told by its parent; None: it is none. To be called once."""
    if not os.environ.pop(VARIABLE, ""):
        return None
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the parent gets it too, and ends its workers
    for number in (signal.SIGHUP, signal.SIGUSR1):  # passed on by the parent; a tap that has a use for them sets its own
        signal.signal(number, signal.SIG_IGN)
    size = struct.unpack("!I", _read(4))[0]
    return Worker(Hello(**json.loads(_read(size))))


def _read(octets: int) -> bytes:
    found = b""
    while len(found) < octets:
        part = os.read(FROM_PARENT, octets - len(found))
        if not part:
            raise SystemExit("the parent process has ended")
        found += part
    return found


class WorkerService(Service):
    """Answers the parent about this worker."""

    def __init__(
        self, worker: Worker, reactor: Any, registry: CollectorRegistry, missing: Callable[[], Sequence[str]]
    ) -> None:
        self.worker = worker
        self.reactor = reactor
        worker.handle("metrics", lambda asker, data: generate_latest(registry))
        worker.handle("ready", lambda asker, data: "\n".join(missing()).encode())

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self.worker.connect(self.reactor)
        self.worker.channel.ask("started").addErrback(lambda failure: None)
