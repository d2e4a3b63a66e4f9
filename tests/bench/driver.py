"""The driver's overhead: CPU per 64-octet exchange over TCP against a bare Twisted Protocol (goal: at most 15 % more)."""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from netstack.kernel.listen import Endpoint, StreamListener
from netstack.kernel.metrics import Traffic
from netstack.kernel.real import real_machine
from netstack.sansio import Close, Command, Event, Now, Peer, Recorder, Timeless
from netstack.sockets.answers import upper
from netstack.sockets.engine import Bounds, StreamServer
from netstack.sockets.metrics import sentences
from netstack.sockets.server import StreamAnswers

GOAL = 1.15
CONNECTIONS = 8
SERVER_CORE = min(os.sched_getaffinity(0))
SENTENCE = b"the quick brown fox jumps over the lazy dog and runs far away...\n"[:64]


class Bare(Protocol):
    """The exchange without anything of ours: no bounds, no counts, no timers."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data.upper())  # type: ignore[union-attr]


class BareOnce(Protocol):
    """The same, and the end."""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data.upper())  # type: ignore[union-attr]
        self.transport.loseConnection()  # type: ignore[union-attr]


@dataclass(frozen=True, slots=True)
class Heard(Event):
    sentence: bytes


@dataclass(frozen=True, slots=True)
class Answer(Command):
    answer: bytes


class UpperEngine(Timeless, Recorder):
    """Any number of exchanges on one connection."""

    def __init__(self) -> None:
        self._output: list[bytes] = []

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        return ()

    def receive(self, data: bytes, now: Now) -> Iterable[Event]:
        if not data:
            return ()
        if self.recording:
            self.record(False, "sentence", data)
        return (Heard(data),)

    def eof(self, now: Now) -> Iterable[Event]:
        return (Close(),)

    def send(self, command: Command, now: Now) -> None:
        assert isinstance(command, Answer)
        self._output.append(command.answer)
        if self.recording:
            self.record(True, "answer", command.answer)

    def data_to_send(self) -> Sequence[bytes]:
        output, self._output = self._output, []
        return output

    def wants_data(self) -> bool:
        return True


class UpperRole:
    def handle(self, event: Event, connection: Any) -> None:
        assert isinstance(event, Heard)
        connection.send(Answer(event.sentence.upper()))

    def lost(self, reason: str) -> None:
        pass


def serve(variant: str) -> None:
    """A server of one variant: prints its port, then its CPU seconds for each line that it reads."""
    machine = real_machine("bench")
    if variant.endswith("journal"):
        machine.journal.enable("bench")
    factory: Any
    if variant.startswith("driver"):
        if "once" in variant:
            counted = sentences(machine.registry, "tcp")
            bounds = Bounds()
            engine: Any = lambda: StreamServer(bounds)  # noqa: E731
            role: Any = lambda: StreamAnswers(upper, counted)  # noqa: E731
        else:
            engine, role = UpperEngine, UpperRole
        listener = StreamListener(machine, Endpoint("tcp", 0, "127.0.0.1"), "bench", engine, role, Traffic())
        listener.startService()
        port = listener.port
    else:
        factory = Factory.forProtocol(BareOnce if "once" in variant else Bare)
        port = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")

    def report() -> None:
        for _ in sys.stdin:
            print(time.process_time(), flush=True)
        reactor.callFromThread(reactor.stop)  # type: ignore[attr-defined]

    print(port.getHost().port, flush=True)  # type: ignore[union-attr]
    threading.Thread(target=report, daemon=True).start()
    reactor.run()


class Server:
    """A server in its own process on the first core."""

    def __init__(self, variant: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.driver", "--serve", variant],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(self.process.pid, {SERVER_CORE})
        assert self.process.stdout is not None
        self.address = ("127.0.0.1", int(self.process.stdout.readline()))

    def cpu(self) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


def exchanges(address: tuple[str, int], count: int) -> None:
    """So many exchanges over a few open connections, one in hand on each."""
    ends = [socket.create_connection(address) for _ in range(CONNECTIONS)]
    for end in ends:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(count // CONNECTIONS):
        for end in ends:
            end.send(SENTENCE)
        for end in ends:
            assert len(end.recv(100)) == 64
    for end in ends:
        end.close()


def connections(address: tuple[str, int], count: int) -> None:
    """So many connections with one exchange each."""
    for _ in range(count // CONNECTIONS):
        ends = [socket.create_connection(address) for _ in range(CONNECTIONS)]
        for end in ends:
            end.send(SENTENCE)
        for end in ends:
            data = b""
            while part := end.recv(100):
                data += part
            assert len(data) == 64
            end.close()


def measure(title: str, load: Any, variants: Sequence[str], count: int, runs: int) -> None:
    servers = {variant: Server(variant) for variant in variants}
    spent: dict[str, list[float]] = {variant: [] for variant in variants}
    try:
        for server in servers.values():
            load(server.address, count // 4)
        for _ in range(runs):
            for variant, server in servers.items():
                before = server.cpu()
                load(server.address, count)
                spent[variant].append((server.cpu() - before) / count * 1e6)
    finally:
        for server in servers.values():
            server.stop()
    base = spent[variants[0]]
    print(f"{title}: {runs} paired runs of {count}")
    print(f"  {'':24} {'CPU us/exchange':>16} {'ratio (median of pairs)':>25}")
    for variant in variants:
        ratio = statistics.median(mine / bare for mine, bare in zip(spent[variant], base, strict=True))
        verdict = "" if variant == variants[0] else ("  within the goal" if ratio <= GOAL else "  above the goal")
        print(f"  {variant:24} {statistics.median(spent[variant]):16.1f} {ratio:25.2f}{verdict}")


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args(list(arguments))
    if options.serve:
        serve(options.serve)
        return 0
    mine = os.sched_getaffinity(0)
    if len(mine) < 2:
        print("two cores are needed: one for the server, one for the load", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {max(mine)})
    try:
        measure(
            "an exchange on an open connection", exchanges, ("bare", "driver", "driver-journal"), options.count, options.runs
        )
        print(f"  goal: at most {GOAL} with the journal off")
        measure(
            "connect, exchange, close (the uppercase server of the sockets house)",
            connections,
            ("bare-once", "driver-once", "driver-once-journal"),
            options.count // 5,
            options.runs,
        )
    finally:
        os.sched_setaffinity(0, mine)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
