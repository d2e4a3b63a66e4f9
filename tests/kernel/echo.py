"""A tiny engine that shows every duty of a driver, and machines to run it on.

One line is one request: "echo X", "file N" (N octets of a file), "slow" (answered when the test says so), "close", "fin",
"tls", "abort", "timer". A line that begins with "!" breaks the protocol: the engine queues a reply and raises.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from netstack.kernel.disk import RealDisk
from netstack.kernel.journal import Journal
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import FakeResolver
from netstack.kernel.tls import TLS, HostTLS
from netstack.sansio import (
    Abort,
    ByteBuffer,
    Close,
    CloseWrite,
    Command,
    Event,
    FileSlice,
    Now,
    Peer,
    Recorder,
    RemoteProtocolError,
    StartTLS,
)
from tests.processes import PATIENCE


@dataclass(frozen=True)
class Asked(Event):
    line: bytes


@dataclass(frozen=True)
class Up(Event):
    peer: Peer


@dataclass(frozen=True)
class Ended(Event):
    pass


@dataclass(frozen=True)
class Reply(Command):
    parts: tuple[bytes | FileSlice, ...]


@dataclass(frozen=True)
class Do(Command):
    """The driver's own events, asked for by the role."""

    event: Event


class LineEngine(Recorder):
    """One request is in hand at a time."""

    def __init__(self, timer: float | None = None) -> None:
        self.buffer = ByteBuffer(1 << 20)
        self.out: list[bytes | FileSlice] = []
        self.busy = False
        self.events: list[Event] = []
        self.timer = timer
        self.due: float | None = None

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        if self.timer is not None:
            self.due = now.monotonic + self.timer
        yield Up(info)

    def receive(self, data: bytes, now: Now) -> Iterable[Event]:
        self.buffer.feed(data)
        while True:
            while self.events:
                yield self.events.pop(0)
            if self.busy:
                return
            line = self.buffer.take_until(b"\n")
            if line is None:
                return
            if self.recording:
                self.record(False, line.decode().strip(), line)
            if line.startswith(b"!"):
                self.out.append(b"error\n")
                raise RemoteProtocolError("a line must not begin so")
            self.busy = True
            yield Asked(line[:-1])

    def eof(self, now: Now) -> Iterable[Event]:
        yield Ended()
        yield Close()

    def send(self, command: Command, now: Now) -> None:
        if isinstance(command, Do):
            self.events.append(command.event)
            self.busy = False
            return
        assert isinstance(command, Reply)
        self.busy = False
        self.out.extend(command.parts)
        if self.recording:
            data = b"".join(part for part in command.parts if isinstance(part, bytes))
            self.record(True, "reply", data)

    def data_to_send(self) -> Sequence[bytes | FileSlice]:
        out, self.out = self.out, []
        return out

    def wants_data(self) -> bool:
        return not self.busy

    def next_timer(self) -> float | None:
        return self.due

    def on_timer(self, now: Now) -> Iterable[Event]:
        self.due = None
        self.out.append(b"late\n")
        yield Close()


class EchoRole:
    """Answers lines; keeps what it saw."""

    def __init__(self, disk: Any = None) -> None:
        self.seen: list[bytes] = []
        self.ups: list[Peer] = []
        self.lost_reason: str | None = None
        self.connection: Any = None
        self.ended = False
        self.disk = disk
        self.writables = 0

    def handle(self, event: Event, connection: Any) -> None:
        self.connection = connection
        if isinstance(event, Up):
            self.ups.append(event.peer)
        elif isinstance(event, Ended):
            self.ended = True
        elif isinstance(event, Asked):
            self.seen.append(event.line)
            word, _, rest = event.line.partition(b" ")
            if word == b"echo":
                connection.send(Reply((rest + b"\n",)))
            elif word == b"file":
                file = self.disk.open("file")
                connection.send(Reply((b"<", FileSlice(file, 0, int(rest)), b">")))
            elif word == b"big":
                connection.send(Reply((b"x" * int(rest),)))
            elif word == b"close":
                connection.send(Reply((b"bye\n",)))
                connection.close()
            elif word == b"bug":
                raise ZeroDivisionError
            elif word in EVENTS:
                connection.send(Reply((word + b"\n",)))
                connection.send(Do(EVENTS[word]))

    def writable(self, connection: Any) -> None:
        self.writables += 1

    def lost(self, reason: str) -> None:
        self.lost_reason = reason


EVENTS: dict[bytes, Event] = {b"fin": CloseWrite(), b"tls": StartTLS(), b"abort": Abort(), b"end": Close()}


async def come_to_pass(done: Callable[[], Any], seconds: float = PATIENCE) -> float:
    """Let the reactor turn until it is so: the reactor's time."""
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    clock: Any = reactor
    end = clock.seconds() + seconds
    while not done():
        assert clock.seconds() < end, f"it did not come to pass within {seconds} seconds"
        await deferLater(clock, 0.001)
    return float(clock.seconds())


def make_machine(
    reactor: Any,
    name: str = "host",
    address: str = "127.0.0.1",
    journal: Journal | None = None,
    tls: TLS | None = None,
    limits: StreamLimits | None = None,
    links: Any = None,
    disk: Any = None,
    wall: Callable[[], float] = lambda: 1_750_000_000.0,
) -> Machine:
    """A machine on any reactor or clock."""
    return Machine(
        name=name,
        addresses=(address,),
        reactor=reactor,
        wall=wall,
        rng=Random(1),
        disk=disk or RealDisk("/nonexistent"),
        registry=CollectorRegistry(),
        resolver=FakeResolver(),
        tls=tls or HostTLS(reactor, wall),
        journal=journal if journal is not None else Journal(),
        offload=lambda work, cost=0.0: work(),
        limits=limits or StreamLimits(),
        links=links,
    )
