"""Timers whose delay is the smallest that floats have: strictly later all the same, as on a real reactor."""

from math import inf, nextafter

import pytest

from netstack.world.simulated.simulation import Simulation


@pytest.mark.parametrize("began", [18.282800002, 19.282800002, 1.0, 3e6 + 0.1])
def test_what_sets_itself_anew_for_what_is_left_comes_to_an_end(began: float) -> None:
    simulation = Simulation(1)
    reactor = simulation.host("a", "10.0.0.1").reactor
    assert reactor is not None
    calls: list[float] = []

    def wait(due: float) -> None:
        calls.append(reactor.seconds())
        if reactor.seconds() < due and len(calls) < 100:
            reactor.callLater(due - reactor.seconds(), wait, due)

    simulation.at(began, lambda: wait(nextafter(reactor.seconds(), inf)))
    simulation.run()
    assert 2 <= len(calls) < 5
    assert calls[-1] >= nextafter(calls[0], inf)
