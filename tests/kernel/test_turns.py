"""Turns of a reactor that is not run: what is ready is read, what fails is logged and lost."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.logger import globalLogPublisher

from netstack.kernel.turns import quick


class Reader(FileDescriptor):
    """Does what a test says when there is something to read."""

    def __init__(self, reactor: Any, end: socket.socket, work: Callable[[], Any]) -> None:
        super().__init__(reactor)
        self.fileno = end.fileno  # type: ignore[method-assign]
        self.doRead = work  # type: ignore[method-assign]
        self.lost: list[Any] = []

    def logPrefix(self) -> str:
        return "Reader,1"

    def connectionLost(self, reason: Any) -> None:
        self.lost.append(reason.value)

    readConnectionLost = connectionLost


@pytest.fixture
def reactor() -> Iterator[Any]:
    made = EPollReactor()
    quick(made)
    yield made
    made.removeAll()
    made._poller.close()


def test_what_is_ready_is_read_and_what_is_lost_is_not(reactor: Any) -> None:
    heard: list[int] = []
    ends = [socket.socketpair() for _ in range(3)]

    def work(index: int) -> Any:
        heard.append(index)
        for other in {0, 1, 2} - {index}:
            reactor.removeReader(readers[other])

    readers = [Reader(reactor, end, lambda index=index: work(index)) for index, (end, _) in enumerate(ends)]
    for reader, (_, peer) in zip(readers, ends, strict=True):
        reactor.addReader(reader)
        peer.send(b"x")
    reactor.doIteration(1)
    assert len(heard) == 1  # the two that it has removed are ready too
    reactor.doIteration(0)
    assert len(heard) == 2
    for pair, reader in zip(ends, readers, strict=True):
        reactor.removeReader(reader)
        for end in pair:
            end.close()


def test_the_end_and_failures(reactor: Any) -> None:
    logged: list[Any] = []
    globalLogPublisher.addObserver(logged.append)  # type: ignore[arg-type]
    for work, lost, said in ((lambda: CONNECTION_DONE, ConnectionDone, 0), (lambda: 1 / 0, ZeroDivisionError, 1)):
        logged.clear()
        end, peer = socket.socketpair()
        reader = Reader(reactor, end, work)
        reactor.addReader(reader)
        peer.send(b"x")
        reactor.doIteration(1)
        assert [type(each) for each in reader.lost] == [lost]
        assert [event["log_system"] for event in logged] == ["Reader,1"] * said
        assert reader not in reactor.getReaders()
        end.close()
        peer.close()
    globalLogPublisher.removeObserver(logged.append)  # type: ignore[arg-type]


def test_what_can_be_written_is_and_failures_are_lost(reactor: Any) -> None:
    end, peer = socket.socketpair()
    writer = Reader(reactor, end, lambda: None)
    written: list[int] = []
    writer.doWrite = lambda: written.append(1) or (CONNECTION_DONE if len(written) == 2 else None)  # type: ignore[method-assign]
    reactor.addWriter(writer)
    reactor.doIteration(1)
    assert (writer.lost, reactor.getWriters()) == ([], [writer])
    reactor.doIteration(1)
    assert [type(each) for each in writer.lost] == [ConnectionDone]
    assert reactor.getWriters() == []
    end.close()
    peer.close()


def test_a_peer_that_hangs_up(reactor: Any) -> None:
    end, peer = socket.socketpair()
    reader = Reader(reactor, end, lambda: CONNECTION_DONE if end.recv(1) == b"" else None)
    reactor.addReader(reader)
    peer.send(b"x")
    peer.close()
    reactor.doIteration(1)
    assert reader.lost == []
    reactor.doIteration(1)
    assert [type(each) for each in reader.lost] == [ConnectionDone]
    end.close()


def test_other_reactors_keep_their_turns() -> None:
    class Derived(EPollReactor):
        pass

    derived = Derived()
    before = derived.doIteration
    quick(derived)
    assert derived.doIteration == before
    derived._poller.close()
