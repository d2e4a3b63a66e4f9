"""The stream driver in virtual time, over a transport that only keeps what it is given."""

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from netstack.kernel.driver import StreamDriver
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import StreamFactory
from netstack.kernel.metrics import Traffic
from netstack.sansio import FileSlice, LocalProtocolError, Now
from tests.kernel.echo import EchoRole, LineEngine, Reply, make_machine


class Transport(StringTransport):
    """StringTransport with what TCP's transports have besides."""

    def __init__(self) -> None:
        super().__init__(lenient=True)
        self.fin = self.aborted = False
        self.no_delay = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def loseWriteConnection(self) -> None:
        self.fin = True

    def abortConnection(self) -> None:
        self.aborted = True


class Run:
    def __init__(self, timer: float | None = None, **limits: Any) -> None:
        self.clock = Clock()
        self.machine = make_machine(self.clock)
        self.engine, self.role, self.traffic = LineEngine(timer), EchoRole(), Traffic()
        self.lost: list[StreamDriver] = []
        self.driver = StreamDriver(
            self.machine, "line", self.engine, self.role, self.traffic, StreamLimits(**limits), False, self.lost.append
        )
        self.transport = Transport()
        self.driver.makeConnection(self.transport)

    def end(self, error: type[Exception] = ConnectionDone) -> None:
        self.driver.connectionLost(Failure(error()))


def test_a_step() -> None:
    run = Run()
    assert run.transport.no_delay
    for octet in b"echo hello\n":
        run.driver.dataReceived(bytes([octet]))
    assert run.transport.value() == b"hello\n"
    run.end()
    assert (run.role.lost_reason, run.lost, run.traffic.active) == ("closed", [run.driver], 0)
    run.end()
    assert len(run.lost) == 1
    assert run.clock.getDelayedCalls() == []


def test_idle_is_counted_from_the_last_octet() -> None:
    run = Run(idle=60.0)
    run.clock.advance(59)
    run.driver.dataReceived(b"e")
    run.clock.advance(59)
    assert not run.transport.fin
    run.clock.advance(1.5)
    assert run.transport.fin
    run.end()
    assert (run.role.lost_reason, run.traffic.timeouts) == ("timeout", 1)


def test_a_role_that_sends_is_not_idle() -> None:
    run = Run(idle=60.0)
    run.driver.dataReceived(b"slow\n")
    for _ in range(5):
        run.clock.advance(50)
        run.role.connection.send(Reply((b"part\n",)))
    assert not run.transport.fin
    assert run.transport.value() == b"part\n" * 5


def test_an_engines_timer_is_no_sign_of_life() -> None:
    run = Run(idle=60.0)

    def again(now: Now) -> list[Any]:
        run.engine.due = now.monotonic + 10
        return []

    run.engine.due = 10.0
    run.engine.on_timer = again  # type: ignore[method-assign,assignment]
    run.driver.dataReceived(b"x")
    for _ in range(14):
        run.clock.advance(5)
    assert run.transport.fin


def test_backpressure_stops_reading_and_asks_the_role_to_wait() -> None:
    run = Run()
    run.driver.dataReceived(b"slow\n")
    assert run.transport.producerState == "paused"  # a request is in hand
    run.driver.pauseProducing()
    assert not run.driver.writable
    run.role.connection.send(Reply((b"answer\n",)))
    assert run.transport.value() == b""
    assert run.transport.producerState == "paused"
    run.driver.resumeProducing()
    assert run.transport.value() == b"answer\n"
    assert run.transport.producerState == "producing"
    assert (run.role.writables, run.driver.writable) == (1, True)


def test_who_waits_with_a_file_reads_until_something_comes() -> None:
    run = Run()
    write, took = run.transport.write, []

    def full(data: bytes) -> None:
        write(data)
        took.append(data)
        run.driver._paused = True  # as where a socket takes no more of a file

    run.transport.write = full  # type: ignore[method-assign]
    run.driver.dataReceived(b"echo a\n")
    assert (took, run.transport.producerState) == ([b"a\n"], "producing")
    run.driver.dataReceived(b"echo b\n" * 3)
    assert (took, run.transport.producerState) == ([b"a\n"], "paused")
    for _ in range(3):
        assert run.transport.producerState == "paused"
        run.driver.resumeProducing()
    assert run.transport.value() == b"a\nb\nb\nb\n"
    run.driver.resumeProducing()
    assert run.transport.producerState == "producing"


class HotEngine(LineEngine):
    """Knows one answer by heart."""

    def at_once(self, data: bytes, seconds: float) -> bytes | None:
        return b"by heart\n" if data == b"echo known\n" and not self.busy else None


def test_the_hot_path_is_for_connections_with_nothing_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.kernel.test_driver_clock.LineEngine", HotEngine)
    run = Run(idle=60.0)

    def told() -> bytes:
        run.transport.clear()
        run.driver.dataReceived(b"echo known\n")
        return run.transport.value()

    assert told() == b"by heart\n"
    assert (run.traffic.received, run.traffic.sent) == (11, 9)
    run.clock.advance(59)
    assert told() == b"by heart\n"
    run.clock.advance(59)
    assert not run.transport.fin  # it was a sign of life
    run.machine.journal.enable(run.machine.name)
    assert told() == b"known\n"
    run.machine.journal.disable(run.machine.name)
    run.driver.pauseProducing()
    assert told() == b""
    run.driver.resumeProducing()
    assert run.transport.value() == b"known\n"
    run.driver.dataReceived(b"slow\n")
    assert told() == b""
    run.role.connection.send(Reply((b"answer\n",)))
    assert run.transport.value() == b"answer\nknown\n"
    assert told() == b"by heart\n"
    run.driver.close()
    assert told() == b""


def test_linger_ends_in_a_reset_only_when_output_is_stuck() -> None:
    run = Run(linger=30.0, discard=5.0)
    run.driver.pauseProducing()
    run.driver.dataReceived(b"close\n")
    run.clock.advance(29)
    assert not run.transport.aborted
    run.clock.advance(1.5)
    assert run.transport.aborted
    other = Run(linger=30.0, discard=5.0)
    other.driver.dataReceived(b"close\n")
    assert (other.transport.value(), other.transport.fin) == (b"bye\n", True)
    other.driver.writeConnectionLost()
    other.driver.dataReceived(b"echo ignored\n" * 1000)
    other.clock.advance(4)
    assert not other.transport.disconnecting
    other.clock.advance(1.5)
    assert (other.transport.disconnecting, other.transport.aborted, other.traffic.timeouts) == (True, False, 0)


def test_the_peers_fin_ends_the_linger() -> None:
    run = Run()
    run.driver.dataReceived(b"close\n")
    run.driver.writeConnectionLost()
    run.driver.readConnectionLost()
    assert run.transport.disconnecting
    assert run.transport.producerState == "producing"  # never started again after the FIN


def test_nothing_is_sent_to_a_closing_connection() -> None:
    run = Run()
    run.driver.dataReceived(b"slow\nclose\n")
    run.driver.close()
    run.role.connection.send(Reply((b"late\n",)))
    assert run.transport.value() == b""


def test_a_broken_protocol_writes_the_reply_and_closes() -> None:
    run = Run()
    run.driver.dataReceived(b"echo a\n!\necho b\n")
    assert run.transport.value() == b"a\nerror\n"
    assert run.transport.fin
    run.end(ConnectionLost)
    assert (run.role.lost_reason, run.traffic.protocol_errors) == ("protocol error", 1)


def test_a_wrong_command_is_the_roles_fault() -> None:
    run = Run()

    def refuse(command: Any, now: Now) -> None:
        raise LocalProtocolError("not now")

    run.engine.send = refuse  # type: ignore[method-assign,assignment]
    with pytest.raises(LocalProtocolError):
        run.driver.send(Reply((b"x",)))


class Held:
    """A file of a simulated disk."""

    def __init__(self, data: bytes) -> None:
        self.data, self.closed = data, False

    def fileno(self) -> int:
        return -1

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def close(self) -> None:
        self.closed = True


def test_files_without_a_descriptor_and_their_end() -> None:
    run = Run()
    run.driver.dataReceived(b"slow\n")
    file, dropped = Held(b"0123456789" * 50_000), Held(b"x")
    run.role.connection.send(Reply((b"<", FileSlice(file, 5, 400_000), b">")))
    assert run.transport.value() == b"<" + file.data[5:400_005] + b">"
    assert file.closed
    run.driver.pauseProducing()
    run.role.connection.send(Reply((FileSlice(dropped, 0, 1),)))
    run.end(ConnectionLost)
    assert dropped.closed
    assert run.role.lost_reason == "reset"


def test_the_factory_tells_when_it_is_empty() -> None:
    machine = make_machine(Clock())
    factory = StreamFactory(machine, "line", LineEngine, EchoRole, Traffic(), StreamLimits(connections=1))
    assert factory.empty().called
    driver = factory.buildProtocol(None)
    assert driver is not None
    assert factory.buildProtocol(None) is None
    assert factory.traffic.refused == 1
    driver.makeConnection(Transport())
    empty = factory.empty()
    assert not empty.called
    driver.connectionLost(Failure(ConnectionDone()))
    assert empty.called
    assert factory.buildProtocol(None) is not None


def test_closed_before_it_was_connected() -> None:
    machine = make_machine(Clock())
    role = EchoRole()
    driver = StreamDriver(machine, "line", LineEngine(), role, Traffic(), StreamLimits())
    driver.drain()
    transport = Transport()
    driver.makeConnection(transport)
    assert transport.aborted
    assert role.ups == []
