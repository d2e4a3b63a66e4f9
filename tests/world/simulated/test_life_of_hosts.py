"""Crashes, boots, cuts, clocks: what the living notice of the dead."""

import builtins
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError, TimeoutError

from netstack.kernel.links import LinkSettings
from netstack.world.simulated import SimulatedHost, Simulation, SimulationFailed, TimeStandsStill
from tests.world.simulated.ends import Accepting, Datagrams, End, Once


@pytest.fixture
def simulation() -> Simulation:
    """Two hosts 50 ms apart."""
    simulation = Simulation(5, LinkSettings(delay=0.05))
    simulation.host("a", "10.0.0.1")
    simulation.host("b", "10.0.0.2")
    return simulation


def reactor(host: SimulatedHost) -> Any:
    """Of its present boot."""
    assert host.reactor is not None
    return host.reactor


def connected(simulation: Simulation) -> tuple[SimulatedHost, SimulatedHost, Any, Any]:
    """A connection from a to b."""
    a, b = simulation.hosts["a"], simulation.hosts["b"]
    server, client = End(), End()
    reactor(b).listenTCP(80, Accepting(server))
    simulation.call(a, reactor(a).connectTCP, "10.0.0.2", 80, Once(client))
    simulation.run(until=1)
    assert server.made.called
    assert client.made.called
    return a, b, server, client


def test_a_killed_process_closes_its_connections_and_its_port_refuses(simulation: Simulation) -> None:
    a, b, server, client = connected(simulation)
    simulation.at(2, b.kill)
    simulation.run(until=3)
    assert client.lost.result is ConnectionDone
    assert not server.lost.called, "the dead hear nothing"
    factory = Once(End())
    simulation.call(a, reactor(a).connectTCP, "10.0.0.2", 80, factory)
    simulation.run(until=4)
    assert factory.failed.result is ConnectionRefusedError
    b.boot()
    simulation.at(5, b.power_off)
    silent = Once(End())
    simulation.at(6, lambda: simulation.call(a, reactor(a).connectTCP, "10.0.0.2", 80, silent))
    simulation.run(until=60)
    assert silent.failed.result is TimeoutError, "a host without power does not even refuse"


def test_a_host_without_power_is_silent_and_a_rebooted_one_resets(simulation: Simulation) -> None:
    _, b, _, client = connected(simulation)
    simulation.at(2, b.power_off)
    simulation.run(until=3)
    assert not client.lost.called
    simulation.at(4, b.boot)
    simulation.at(5, lambda: client.transport.write(b"are you there?"))
    simulation.run(until=10)
    assert client.lost.result is ConnectionLost


def test_unanswered_data_times_out(simulation: Simulation) -> None:
    _, b, _, client = connected(simulation)
    simulation.at(2, b.power_off)
    simulation.at(3, lambda: client.transport.write(b"are you there?"))
    simulation.run()
    assert client.lost.result is ConnectionLost
    assert 600 < simulation.now < 1200


def test_timers_and_sockets_of_the_dead_do_nothing(simulation: Simulation) -> None:
    a = simulation.hosts["a"]
    dead = reactor(a)
    fired: list[str] = []
    dead.callLater(5, fired.append, "timer")
    socket = dead.listenUDP(53, Datagrams())
    hearing = Datagrams()
    b = simulation.hosts["b"]
    reactor(b).listenUDP(53, hearing)
    simulation.at(1, a.kill)
    simulation.at(2, a.boot)

    def late() -> None:
        """What a `finally` block of the old process might do."""
        socket.write(b"from the dead", ("10.0.0.2", 53))
        dead.callLater(0, fired.append, "late")
        socket.stopListening()

    simulation.at(3, late)
    simulation.at(4, lambda: reactor(a).listenUDP(53, Datagrams()))
    simulation.run()
    assert fired == []
    assert hearing.heard == []
    assert reactor(a) is not dead
    assert (("", 53)) in reactor(a).datagrams


def test_each_boot_runs_the_program_with_a_new_machine_and_the_old_disk(simulation: Simulation) -> None:
    a = simulation.hosts["a"]
    machines = []

    def program(host: SimulatedHost) -> None:
        machine = simulation.machine(host)
        machine.disk.append("boots").write(b"x")
        machines.append((machine, machine.rng.random()))

    a.program = program
    a.start()
    simulation.at(1, a.kill)
    simulation.at(2, a.boot)
    simulation.run()
    (first, one), (second, two) = machines
    assert first is not second
    assert first.reactor is not second.reactor
    assert one != two
    assert second.disk.read("boots") == b"xx"


def test_a_cut_and_its_healing(simulation: Simulation) -> None:
    a, b, server, client = connected(simulation)
    simulation.network.cut(a, b)
    simulation.at(2, lambda: client.transport.write(b"late"))
    simulation.run(until=6)
    assert server.heard == b""
    simulation.at(6, simulation.network.heal, a, b)
    simulation.run(until=20)
    assert server.heard == b"late"


def test_a_clock_may_jump_and_timers_do_not_care(simulation: Simulation) -> None:
    a, b = simulation.hosts["a"], simulation.hosts["b"]
    fired: list[float] = []
    reactor(a).callLater(10, lambda: fired.append(simulation.now))
    a.skew = -3600.0
    simulation.run()
    assert fired == [pytest.approx(10, abs=1e-6)]
    assert b.wall() - a.wall() == pytest.approx(3600)


def test_an_exception_in_data_received_closes_and_fails_the_run(simulation: Simulation) -> None:
    class Broken(End):
        def dataReceived(self, data: bytes) -> None:
            raise ZeroDivisionError

    a, b = simulation.hosts["a"], simulation.hosts["b"]
    server, client = Broken(), End()
    reactor(b).listenTCP(80, Accepting(server))
    simulation.call(a, reactor(a).connectTCP, "10.0.0.2", 80, Once(client))
    simulation.run(until=1)
    simulation.call(a, lambda: client.transport.write(b"x"))  # type: ignore[union-attr]
    with pytest.raises(SimulationFailed, match="ZeroDivisionError"):
        simulation.run(until=2)
    assert server.lost.result is ZeroDivisionError
    assert client.lost.result is ConnectionDone


def test_expected_errors_do_not_fail_the_run_and_must_happen(simulation: Simulation) -> None:
    a = simulation.hosts["a"]
    reactor(a).callLater(1, lambda: 1 / 0)
    with simulation.expecting(ZeroDivisionError) as found:
        simulation.run()
    assert len(found) == 1
    with pytest.raises(AssertionError, match="ZeroDivisionError"), simulation.expecting(ZeroDivisionError):
        simulation.run()


def test_time_must_not_stand_still(simulation: Simulation) -> None:
    a = simulation.hosts["a"]
    simulation.scheduler.most_at_once = 1000

    def again() -> None:
        reactor(a).callLater(0, again)

    simulation.call(a, again)
    with pytest.raises(TimeStandsStill):
        simulation.run()


def test_an_idle_world_costs_nothing(simulation: Simulation) -> None:
    connected(simulation)
    events = simulation.scheduler.events
    simulation.run(until=5 * 86400)
    assert simulation.scheduler.events == events
    assert simulation.now == 5 * 86400


def test_a_call_carries_results_and_errors(simulation: Simulation) -> None:
    a = simulation.hosts["a"]

    async def slow(value: int) -> int:
        from twisted.internet.task import deferLater

        await deferLater(reactor(a), 3, lambda: None)
        if value < 0:
            raise ValueError("negative")
        return value * 2

    assert simulation.ask(a, slow, 4) == 8
    assert simulation.now == pytest.approx(3, abs=1e-6)
    with pytest.raises(ValueError, match="negative"):
        simulation.ask(a, slow, -1)
    with pytest.raises(builtins.TimeoutError):
        simulation.ask(a, slow, 1, within=1)


def test_graceful_stop_runs_the_triggers_then_the_process_is_gone(simulation: Simulation) -> None:
    a = simulation.hosts["a"]
    order: list[str] = []
    simulation.run(until=0.5)
    for phase in ("after", "during", "before"):
        reactor(a).addSystemEventTrigger(phase, "shutdown", order.append, phase)
    simulation.call(a, reactor(a).stop)
    simulation.run(until=1)
    assert order == ["before", "during", "after"]
    assert not a.up


def test_a_connection_given_up_early_is_never_accepted(simulation: Simulation) -> None:
    a, b = simulation.hosts["a"], simulation.hosts["b"]
    server = End()
    reactor(b).listenTCP(80, Accepting(server))
    connector = reactor(a).connectTCP("10.0.0.2", 80, Once(End()))
    simulation.at(0.08, connector.stopConnecting)
    simulation.run()
    assert not server.made.called
    assert reactor(a).streams == {}
    assert reactor(b).streams == {}


def test_cancelled_timers_leave_the_heap(simulation: Simulation) -> None:
    a = simulation.hosts["a"]
    kept = [reactor(a).callLater(1000 + n, lambda: None) for n in range(10)]
    for _ in range(50_000):
        reactor(a).callLater(3600, lambda: None).cancel()
    assert len(simulation.scheduler.heap) < 3_000
    assert sorted(reactor(a).getDelayedCalls(), key=lambda call: call.getTime()) == kept


def test_timers_are_late_after_a_year_too(simulation: Simulation) -> None:
    a = simulation.hosts["a"]
    simulation.run(until=366 * 86400)
    late: list[float] = []

    def fire(due: float) -> None:
        late.append(simulation.now - due)

    for delay in (1e-9, 1e-7, 0.1, 1.0, 3.3):
        reactor(a).callLater(delay, fire, simulation.now + delay)
    simulation.run()
    assert all(0 < by < 1e-6 for by in late)
