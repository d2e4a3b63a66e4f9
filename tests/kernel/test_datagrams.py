"""The datagram driver: engine, bypass, timers, what the system refuses."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from netstack.kernel.datagrams import DatagramDriver
from netstack.kernel.journal import Journal
from netstack.kernel.listen import DatagramListener, Endpoint, ListenError, StreamListener, open_datagram
from netstack.kernel.metrics import Traffic
from netstack.sansio import Address, Command, Event, Now, Recorder, RemoteProtocolError
from tests.kernel.echo import EchoRole, LineEngine, come_to_pass, make_machine


@dataclass(frozen=True)
class Heard(Event):
    data: bytes
    source: Address


@dataclass(frozen=True)
class Say(Command):
    data: bytes
    destination: Address


class EchoDatagrams(Recorder):
    """Events for each datagram; "!" breaks the protocol."""

    def __init__(self) -> None:
        self.out: list[tuple[bytes, Address]] = []
        self.due: float | None = None
        self.fired: list[float] = []

    def say(self, data: bytes, destination: Address) -> None:
        self.out.append((data, destination))
        if self.recording:
            self.record(True, "say", data, destination)

    def receive(self, data: bytes, now: Now, source: Address) -> Iterable[Event]:
        if self.recording:
            self.record(False, "heard", data, source)
        if data.startswith(b"!"):
            raise RemoteProtocolError("not so")
        yield Heard(data, source)

    def send(self, command: Command, now: Now) -> None:
        assert isinstance(command, Say)
        self.say(command.data, command.destination)

    def data_to_send(self) -> Sequence[tuple[bytes, Address]]:
        out, self.out = self.out, []
        return out

    def next_timer(self) -> float | None:
        return self.due

    def on_timer(self, now: Now) -> Iterable[Event]:
        self.fired.append(now.monotonic)
        self.due = None
        return ()


class _Role:
    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.seen: list[bytes] = []

    def handle(self, event: Event, socket: Any) -> None:
        assert isinstance(event, Heard)
        self.seen.append(event.data)
        if self.answer:
            socket.send(Say(event.data.upper(), event.source))


def echo_role(answer: bool = True) -> _Role:
    return _Role(answer)


class Hot:
    """A bypass that answers "hot" and, by its sender's port, "who"."""

    def __init__(self) -> None:
        self.replies = 0
        self.seconds = 0.0

    def answer(self, data: bytes, source: Callable[[], Address]) -> bytes | None:
        if data == b"who":
            return "{} {}".format(*source()).encode()
        if data == b"wrong":
            raise ValueError("a bypass that fails")
        return b"fast" if data.startswith(b"hot") else None

    def answered(self, count: int, seconds: float) -> None:
        self.replies += count
        self.seconds += seconds


class Transport:
    """What a DatagramDriver needs of one."""

    def __init__(self, refuse: BaseException | None = None) -> None:
        self.sent: list[tuple[bytes, Address]] = []
        self.refuse = refuse

    def getHost(self) -> Any:
        return type("Host", (), {"host": "192.0.2.1", "port": 53})

    def write(self, data: bytes, destination: Address) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.sent.append((data, destination))


def made(
    clock: Clock | None = None, refuse: BaseException | None = None, **options: Any
) -> tuple[DatagramDriver, Transport, Any]:
    machine = make_machine(clock or Clock(), journal=Journal())
    driver = DatagramDriver(machine, "echo", EchoDatagrams(), echo_role(), Traffic(), **options)
    transport = Transport(refuse)
    driver.makeConnection(transport)  # type: ignore[no-untyped-call]
    return driver, transport, machine


PEER = ("192.0.2.9", 4000)


def test_a_datagram_is_answered_and_counted() -> None:
    driver, transport, _ = made()
    driver.datagramReceived(b"abc", PEER)
    assert transport.sent == [(b"ABC", PEER)]
    counts = driver.traffic
    assert (counts.datagrams_received, counts.datagrams_sent, counts.received, counts.sent) == (1, 1, 3, 3)


def test_a_broken_datagram_is_counted_and_forgotten() -> None:
    driver, transport, _ = made()
    driver.datagramReceived(b"!", PEER)
    driver.datagramReceived(b"ok", PEER)
    assert transport.sent == [(b"OK", PEER)]
    assert driver.traffic.protocol_errors == 1


@pytest.mark.parametrize("error", [OSError(22, "Invalid argument"), OSError(1, "Operation not permitted")])
def test_what_the_system_refuses_to_send_is_counted(error: OSError) -> None:
    driver, _, _ = made(refuse=error)
    driver.datagramReceived(b"abc", ("192.0.2.9", 0))
    assert driver.traffic.datagrams_dropped == 1
    assert driver.traffic.datagrams_sent == 0


def test_the_bypass_answers_unless_the_journal_is_on() -> None:
    bypass = Hot()
    driver, transport, machine = made(bypass=bypass)
    driver.datagramReceived(b"hot", PEER)
    driver.datagramReceived(b"cold", PEER)
    assert [data for data, _ in transport.sent] == [b"fast", b"COLD"]
    assert bypass.replies == 1
    machine.journal.enable("host")
    driver.datagramReceived(b"hot", PEER)
    assert transport.sent[-1] == (b"HOT", PEER)
    assert [(row.summary, row.data, row.source) for row in machine.journal] == [
        ("heard", b"hot", PEER),
        ("say", b"HOT", ("192.0.2.1", 53)),
    ]


def test_timers() -> None:
    clock = Clock()
    driver, _, _ = made(clock)
    engine: Any = driver.engine
    engine.due = 5.0
    driver.datagramReceived(b"a", PEER)
    engine.due = 3.0
    driver.datagramReceived(b"a", PEER)
    clock.pump([1.0] * 3)
    assert engine.fired == [3.0]
    engine.due = 6.0
    driver.datagramReceived(b"a", PEER)
    engine.due = 8.0
    driver.datagramReceived(b"a", PEER)
    clock.pump([1.0] * 4)
    assert engine.fired == [3.0]
    clock.pump([1.0] * 2)
    assert engine.fired == [3.0, 8.0]
    engine.due = 100.0
    driver.datagramReceived(b"a", PEER)
    driver.transport = None
    driver.stopProtocol()
    assert clock.getDelayedCalls() == []
    driver.send(Say(b"late", PEER))


@pytest_twisted.ensureDeferred
async def test_over_loopback() -> None:
    machine = make_machine(reactor)
    driver = DatagramDriver(machine, "echo", EchoDatagrams(), echo_role(), Traffic())
    listener = DatagramListener(machine, Endpoint("udp", 0, "127.0.0.1"), driver)
    listener.startService()
    port = driver.local[1]
    role = echo_role(answer=False)
    client = open_datagram(machine, "echo", EchoDatagrams(), role, Traffic())
    client.send(Say(b"hello", ("127.0.0.1", port)))
    client.send(Say(b"x" * 65507, ("127.0.0.1", port)))
    client.send(Say(b"x" * 65508, ("127.0.0.1", port)))
    await come_to_pass(lambda: len(role.seen) == 2)
    assert role.seen == [b"HELLO", b"X" * 65507]
    assert client.traffic.datagrams_dropped == 1
    await client.close()
    await client.close()
    await listener.stopService()
    assert not machine.journal.ours


@pytest_twisted.ensureDeferred
async def test_a_client_s_socket_leaves_nothing_in_the_log() -> None:
    """A resolver opens one for each query."""
    machine, said = make_machine(reactor), list[Any]()
    globalLogPublisher.addObserver(said.append)
    try:
        client = open_datagram(machine, "echo", EchoDatagrams(), echo_role(), Traffic())
        with pytest.raises(ListenError, match="in use"):
            open_datagram(machine, "echo", EchoDatagrams(), echo_role(), Traffic(), client.local[1])
        await client.close()
    finally:
        globalLogPublisher.removeObserver(said.append)
    assert said == []


@pytest_twisted.ensureDeferred
async def test_what_may_wait_in_the_system_is_as_much_as_was_asked_for() -> None:
    machine = make_machine(reactor)
    sizes = []
    for asked in (8192, 65536):
        driver = DatagramDriver(machine, "echo", EchoDatagrams(), echo_role(), Traffic())
        listener = DatagramListener(machine, Endpoint("udp", 0, "127.0.0.1"), driver, asked)
        listener.startService()
        transport: Any = driver.transport
        sizes.append(transport.socket.getsockopt(SOL_SOCKET, SO_RCVBUF))
        await listener.stopService()
    assert sizes[0] < 65536 <= sizes[1]  # Linux grants the double for what it needs itself


@pytest.mark.parametrize(
    ("address", "kind", "said"),
    [
        ("127.0.0.1", "tcp", r"cannot listen on tcp:(\d+):interface=127.0.0.1 for host: .*another process listens there"),
        ("127.0.0.1", "udp", r"cannot listen on udp:(\d+):interface=127.0.0.1 for host: .*another process listens there"),
        ("192.0.2.1", "tcp", r"no interface of this machine has that address"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_bind_errors_name_the_address(address: str, kind: str, said: str) -> None:
    machine = make_machine(reactor)

    def listener(port: int, address: str) -> Any:
        endpoint = Endpoint(kind, port, address)  # type: ignore[arg-type]
        if kind == "udp":
            return DatagramListener(machine, endpoint, DatagramDriver(machine, "e", EchoDatagrams(), echo_role(), Traffic()))
        return StreamListener(machine, endpoint, "line", LineEngine, EchoRole, Traffic())

    first = listener(0, "127.0.0.1")
    first.startService()
    with pytest.raises(ListenError, match=said):
        listener(first.port.getHost().port, address).startService()
    await first.stopService()


@pytest.mark.parametrize("text", ["tcp:80", "udp:53:interface=127.0.0.1", "tls:443:interface=\\:\\:1"])
def test_endpoints_round_trip(text: str) -> None:
    assert str(Endpoint.parse(text)) == text


@pytest.mark.parametrize("text", ["", "tcp", "tcp:", "http:80", "tcp:x", "tcp:70000", "tcp:80:backlog=3", "udp:-1"])
def test_endpoints_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected KIND:PORT"):
        Endpoint.parse(text)
