"""While events run, modules of ours cannot reach the world outside, and libraries get the machine's."""

import os
import random
import secrets
import socket
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from netstack.world.simulated import Simulation, SimulationFailed


def module(name: str, source: str) -> Callable[[], Any]:
    """The function f of a module with that name."""
    made = types.ModuleType(name)
    exec(compile(source, name, "exec"), made.__dict__)
    f: Callable[[], Any] = made.__dict__["f"]
    return f


REACHING = [
    "import time\ndef f(): return time.time()",
    "import time\ndef f(): return time.monotonic()",
    "import time\ndef f(): return time.sleep(1)",
    "import random\ndef f(): return random.random()",
    "import random\ndef f(): return random.choice([1, 2])",
    "import os\ndef f(): return os.urandom(4)",
    "import socket\ndef f(): return socket.socket()",
    "import threading\ndef f(): return threading.Thread(target=print).start()",
    "def f():\n from twisted.internet import reactor\n return reactor.callLater(1, print)",
    "import twisted.internet\ndef f(): return twisted.internet.reactor.seconds()",
]


@pytest.mark.parametrize("source", REACHING)
def test_a_service_that_reaches_outside_is_stopped(source: str) -> None:
    simulation = Simulation(1)
    host = simulation.host("a", "10.0.0.1")
    reaching = module("netstack.made.up", source)

    def swallowing() -> str:
        try:
            reaching()
        except AssertionError as error:
            return str(error)
        return "not stopped"

    outcome = simulation.call(host, swallowing)
    with pytest.raises(SimulationFailed):
        simulation.run()
    assert outcome.result().startswith("netstack.made.up ")


def test_libraries_get_the_machines_time_and_bytes_from_the_seed() -> None:
    def run(seed: int) -> list[Any]:
        simulation = Simulation(seed)
        host = simulation.host("a", "10.0.0.1")
        host.skew = 100.0
        found: list[Any] = []

        def look() -> None:
            found.extend([time.time(), time.monotonic(), time.gmtime().tm_year, os.urandom(8), random.random()])
            found.extend([uuid.uuid4(), secrets.token_hex(4), random.SystemRandom().random()])
            found.append(module("some.library", REACHING[9])())

        assert host.reactor is not None
        host.reactor.callLater(5, look)
        simulation.run()
        return found

    first = run(1)
    assert first[0] == pytest.approx(1_700_000_105, abs=1e-6)
    assert first[1] == pytest.approx(5, abs=1e-6)
    assert first[2] == 2023
    assert first[8] == pytest.approx(5, abs=1e-6)
    assert run(1) == first
    assert run(2)[3:8] != first[3:8]


def test_everything_is_put_back() -> None:
    def things() -> list[Any]:
        return [
            time.time, time.monotonic, time.gmtime, os.urandom, random.random, random.choice, socket.socket.__init__,
            threading.Thread.start, sys.modules.get("twisted.internet.reactor"),
        ]  # fmt: skip

    before = things()
    simulation = Simulation(1)
    host = simulation.host("a", "10.0.0.1")
    simulation.call(host, lambda: None)
    simulation.run()
    assert things() == before


def test_other_threads_and_code_between_events_see_the_real_world() -> None:
    simulation = Simulation(1)
    host = simulation.host("a", "10.0.0.1")
    seen: list[float] = []
    started, go = threading.Event(), threading.Event()

    def look() -> None:
        started.set()
        go.wait(5)
        seen.append(time.time())

    other = threading.Thread(target=look)
    other.start()
    started.wait(5)

    def inside() -> None:
        go.set()
        other.join(5)

    simulation.call(host, inside)
    simulation.run(stop=lambda: bool(seen.append(time.time())))
    assert len(seen) >= 2
    assert all(abs(moment - time.time()) < 60 for moment in seen)


def test_twisted_finds_the_running_machines_reactor() -> None:
    simulation = Simulation(1)
    hosts = [simulation.host("a", "10.0.0.1"), simulation.host("b", "10.0.0.2")]
    found: list[Any] = []

    def look() -> None:
        from twisted.internet import reactor, task, threads

        found.append(reactor.seconds())  # type: ignore[attr-defined]
        loop = task.LoopingCall(found.append, "beat")
        loop.start(1)
        task.cooperate(iter(()))
        threads.deferToThread(lambda: "thread").addCallback(found.append)

    for host in hosts:
        simulation.call(host, look)
    simulation.run(until=1.5)
    assert found == [0.0, "beat", 0.0, "beat", "thread", "thread", "beat", "beat"]
