"""Batches of datagrams on real sockets: what is sent is in the kernel's buffer at once, so `doRead` is called by hand."""

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.internet.udp import Port

from netstack.kernel.batch import BATCH, ROUNDS, Batch, BatchedPort, available
from netstack.kernel.datagrams import DatagramDriver
from netstack.kernel.journal import Journal
from netstack.kernel.listen import DatagramListener, Endpoint
from netstack.kernel.metrics import Traffic
from tests.kernel.echo import make_machine
from tests.kernel.test_datagrams import EchoDatagrams, Hot, echo_role

FAMILIES = [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]


class Served:
    """A driver with a bypass behind a real socket, and clients of it."""

    def __init__(self, address: str, family: int, bypass: Hot | None) -> None:
        self.machine = make_machine(reactor, journal=Journal())
        self.bypass = bypass
        self.driver = DatagramDriver(self.machine, "echo", EchoDatagrams(), echo_role(), Traffic(), bypass)
        self.listener = DatagramListener(self.machine, Endpoint("udp", 0, address), self.driver)
        self.listener.bind()
        self.port: Any = self.listener.port
        self.clients = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(3)]
        for client in self.clients:
            client.bind((address, 0))
            client.connect((address, self.driver.local[1]))
            client.setblocking(False)

    def said(self, which: int) -> list[bytes]:
        """All that a client has got."""
        got = []
        while True:
            try:
                got.append(self.clients[which].recv(65535))
            except BlockingIOError:
                return got


class Log:
    """Takes what would be logged: the bypass of these tests fails when it is told to."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def failure(self, text: str, **fields: Any) -> None:
        self.said.append(text.format(**fields))

    warn = failure


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    seen = Log()
    monkeypatch.setattr(BatchedPort, "log", seen)
    return seen


@pytest.fixture(params=FAMILIES, ids=["IPv4", "IPv6"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    made = Served(*request.param, Hot())
    assert type(made.port) is BatchedPort
    yield made
    for client in made.clients:
        client.close()
    pytest_twisted.blockon(made.listener.stopService())  # type: ignore[no-untyped-call]


def test_replies_find_their_senders_whoever_is_not_answered(served: Served, log: Log) -> None:
    first, second, third = served.clients
    for client, data in [
        (first, b"hot"), (second, b"!"), (third, b"who"), (first, b"cold"), (second, b"hot"), (first, b""),
        (second, b"wrong"), (third, b"hot"), (third, b"x" * 60000), (second, b"who"),
    ]:  # fmt: skip
        client.send(data)
    served.port.doRead()
    names = ["{} {}".format(*client.getsockname()[:2]).encode() for client in served.clients]
    assert served.said(0) == [b"fast", b"COLD", b""]
    assert served.said(1) == [b"fast", names[1]]
    assert served.said(2) == [names[2], b"fast", b"X" * 60000]
    counts = served.driver.traffic
    assert (counts.datagrams_received, counts.datagrams_sent, counts.datagrams_dropped) == (10, 8, 0)
    assert counts.received == 3 * 3 + 1 + 3 * 2 + 4 + 5 + 60000
    assert counts.sent == 3 * 4 + 4 + 60000 + len(names[1]) + len(names[2])
    assert counts.protocol_errors == 1
    assert served.bypass is not None
    assert served.bypass.replies == 5
    assert 0 < served.bypass.seconds < 5
    assert log.said == ["a datagram of 5 octets"]


def test_a_wake_up_takes_many_and_leaves_the_rest_for_the_next(served: Served) -> None:
    sent = 0
    try:
        while sent < BATCH * ROUNDS + 10:
            served.clients[sent % 3].send(b"hot %d" % sent)
            sent += 1
    except BlockingIOError:
        pytest.skip("the socket's buffer is smaller than a wake-up's work")
    kept = 0
    served.port.doRead()
    kept += sum(len(served.said(which)) for which in range(3))
    assert kept == served.driver.traffic.datagrams_sent <= BATCH * ROUNDS
    served.port.doRead()
    served.port.doRead()
    assert served.driver.traffic.datagrams_received == served.driver.traffic.datagrams_sent > BATCH


def test_nothing_waits_nothing_happens(served: Served) -> None:
    served.port.doRead()
    served.port.doRead()
    assert served.driver.traffic == Traffic()


def test_with_the_journal_on_it_reads_as_twisted_does(served: Served) -> None:
    served.machine.journal.enable("host")
    served.clients[0].send(b"hot")
    served.port.doRead()
    assert served.said(0) == [b"HOT"]
    assert [row.summary for row in served.machine.journal] == ["heard", "say"]
    served.machine.journal.disable("host")
    served.clients[0].send(b"hot")
    served.port.doRead()
    assert served.said(0) == [b"fast"]


def test_what_the_system_refuses_is_counted_and_the_rest_goes_out(served: Served) -> None:
    batch = Batch(served.port.socket.fileno(), served.port.addressFamily)
    for client in (0, 1, 2, 0):
        served.clients[client].send(b"hot")
    assert batch.receive() == 4
    sent, octets = batch.send([b"one", b"x" * 65530, b"three"], [0, 1, 2])  # an IPv4 packet has at most 65535 octets
    refused = 0 if served.port.addressFamily == socket.AF_INET6 and sent == 3 else 1
    assert (sent, octets) == (3 - refused, 8 + (65530 if not refused else 0))
    assert batch.send([b"four"], [3]) == (1, 4)
    assert served.said(0) == [b"one", b"four"]
    assert served.said(2) == [b"three"]
    served.clients[1].send(b"hot")
    assert batch.receive() == 1
    assert batch.send([b"five"], [0]) == (1, 4)
    assert served.said(1)[-1:] == [b"five"]


def test_without_the_system_call_datagrams_are_read_one_by_one(served: Served, log: Log) -> None:
    def refuse() -> int:
        raise OSError(errno.ENOSYS, "recvmmsg")

    served.port._batch = type("Refusing", (), {"receive": staticmethod(refuse)})()
    served.clients[0].send(b"hot")
    served.port.doRead()
    assert served.said(0) == []
    served.port.doRead()
    assert served.said(0) == [b"fast"]
    assert [text.partition(": ")[2] for text in log.said] == ["datagrams are read one by one: [Errno 38] recvmmsg"]


@pytest_twisted.ensureDeferred
async def test_it_is_for_real_sockets_and_drivers_with_a_bypass() -> None:
    assert available(reactor)
    assert not available(Clock())
    plain = Served("127.0.0.1", socket.AF_INET, None)
    assert type(plain.port) is Port
    for client in plain.clients:
        client.close()
    await plain.listener.stopService()
