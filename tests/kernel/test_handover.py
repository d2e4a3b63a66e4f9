"""One engine hands its connection over to another, and engines that make output only as the transport takes it."""

import socket
from collections.abc import Iterable, Iterator
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from netstack.kernel.listen import Endpoint, StreamListener
from netstack.kernel.metrics import Traffic
from netstack.sansio import Close, Command, Event, Flush, HandOver, Now, Peer, Recorder, Timeless
from tests.kernel.echo import make_machine

TOTAL, PIECE = 30_000_000, 100_000


class Silent(Timeless, Recorder):
    """What engines of this file have in common."""

    def __init__(self) -> None:
        self.out: list[bytes] = []

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        return ()

    def eof(self, now: Now) -> Iterable[Event]:
        return (Close(),)

    def send(self, command: Command, now: Now) -> None:
        raise AssertionError("nobody sends")

    def data_to_send(self) -> list[bytes]:
        out, self.out = self.out, []
        return out

    def wants_data(self) -> bool:
        return True


class First(Silent):
    """Answers its first line, then lets Second have the rest."""

    def __init__(self, second: "Second") -> None:
        super().__init__()
        self.second = second

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        line, end, rest = data.partition(b"\n")
        if end:
            self.out.append(b"first " + line + b"\n")
            yield HandOver(self.second, rest)


class Second(Silent):
    """Says who it talks to; sends a lot when it is asked to, a piece at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[Peer] = []
        self.made = 0
        self.most = 0

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        self.peers.append(info)
        self.out.append(b"second is up\n")
        return ()

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        if b"much" in data:
            while self.made < TOTAL:
                self.most = max(self.most, sum(map(len, self.out)))
                self.out.append(b"x" * PIECE)
                self.made += PIECE
                yield Flush()
            yield Close()
        elif data:
            self.out.append(b"second " + data)


class Nobody:
    """A role without events."""

    def handle(self, event: Event, connection: Any) -> None:
        raise AssertionError(f"{event} is the driver's")

    def lost(self, reason: str) -> None:
        pass


@pytest_twisted.ensureDeferred
async def test_the_second_engine_has_the_connection_and_is_asked_for_as_much_as_the_transport_takes() -> None:
    machine = make_machine(reactor)
    second = Second()
    listener = StreamListener(
        machine, Endpoint.parse("tcp:0:interface=127.0.0.1"), "line", lambda: First(second), Nobody, Traffic()
    )
    listener.startService()
    port = listener.port.getHost().port  # type: ignore[union-attr]

    def talk() -> tuple[bytes, int, int]:
        with socket.create_connection(("127.0.0.1", port), 10) as end:
            end.sendall(b"one\ntwo")
            told = b""
            while not told.endswith(b"second two"):
                told += end.recv(1000)
            end.sendall(b"much")
            octets = len(end.recv(1, socket.MSG_WAITALL))
            made = second.made  # nothing more is read for a while: the buffers of both ends are full
            while part := end.recv(1_000_000):
                octets += len(part)
            return told, made, octets

    try:
        told, made, octets = await deferToThread(talk)
    finally:
        await listener.stopService()
    assert told == b"first one\nsecond is up\nsecond two"
    assert octets == TOTAL
    assert made < TOTAL, "what was not taken was not made"
    assert second.most <= PIECE
    assert [peer.local[1] for peer in second.peers] == [port]
