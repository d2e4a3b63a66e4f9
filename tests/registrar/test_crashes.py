"""Power cuts and silence at every moment of a change: registrar and registry agree afterwards, and no promise is broken."""

import json
from typing import Any

import pytest

from netstack.http.client import FetchError, Result, fetch
from netstack.kernel.machine import Machine
from netstack.registrar.store import JOURNAL, Store, StoreError
from netstack.world.simulated.world import SimulatedWorld
from tests.registrar.town import CLIENT, REGISTRAR, REGISTRY, SECRET, WISH, Town, town

STEP = 0.0015


def begin(here: Town, method: str, path: str, body: bytes) -> Any:
    """A request under way; `done` of what is returned says whether there is an answer."""

    async def go(machine: Machine) -> Result | None:
        fields = [("Content-Type", "application/json"), ("Authorization", f"Bearer {SECRET}")]
        try:
            return await fetch(machine, f"https://{REGISTRAR}{path}", method, fields, body)
        except FetchError:
            return None

    return here.up.simulation.call(here.up.host(CLIENT), go, here.up.running.hosts[CLIENT].machine)


def run(here: Town, seconds: float) -> None:
    here.up.simulation.run(for_seconds=seconds)


def intended(up: SimulatedWorld) -> int:
    service: Any = up.running.hosts[REGISTRAR].services[0].service
    return len(service.registrar.store.intended)


def wish() -> bytes:
    return json.dumps(WISH).encode()


def length(method: str, path: str, body: bytes, registered: bool) -> tuple[float, float]:
    """When the registrar gets to work, and when the answer is there, in seconds from the start of the request."""
    here = town()
    if registered:
        here.register()
    outcome = begin(here, method, path, body)
    took = 0.0
    while not outcome.done:
        run(here, STEP)
        took += STEP
    return max(0.0, took - 0.1), took


@pytest.mark.parametrize("victim", [REGISTRAR, REGISTRY])
@pytest.mark.parametrize(
    ("method", "path", "registered"),
    [("POST", "/api/domains", False), ("DELETE", "/api/domains/utopia.com", True)],
)
def test_power_cuts(victim: str, method: str, path: str, registered: bool) -> None:
    body = b"" if registered else wish()
    start, end = length(method, path, body, registered)
    seen = set()
    moment = start
    while moment < end:
        here = town()
        if registered:
            assert here.register().status == 201
        outcome = begin(here, method, path, body)
        run(here, moment)
        here.up.host(victim).power_off()
        run(here, 2)
        here.up.host(victim).boot()
        run(here, 120)
        assert intended(here.up) == 0, "what was begun is carried on until it is known how it ended"
        known = here.ask("GET", "/rdap/domain/utopia.com").status == 200
        delegated = here.records(REGISTRY, "utopia.com") != []
        assert known is delegated, moment
        answer = outcome.value if outcome.done else None
        if answer is not None and answer.status in (201, 202, 204):
            assert known is not registered, "a change that was promised has happened"
        seen.add((known, None if answer is None else answer.status))
        again = here.ask(method, path, body or None, SECRET).status
        assert again in ((201, 200) if not registered else (204, 404)), "the same request is always an answer"
        moment += 7 * STEP
    if victim == REGISTRAR:
        assert {known for known, _ in seen} == {True, False}, "cuts before and after what counts"


def test_a_registry_that_is_silent_is_asked_until_it_answers() -> None:
    here = town()
    registry = here.up.running.table.first(REGISTRY)
    outcome = begin(here, "POST", "/api/domains", wish())
    while not intended(here.up):
        run(here, 0.0005)
    here.up.host(REGISTRY).power_off()
    run(here, 60)
    assert outcome.done
    answer = outcome.value
    assert (answer.status, b'"pending"' in answer.body) == (202, True)
    assert here.register(name="other.com", servers=["ns.x.test", "ns.y.test"]).status == 503
    assert here.ask("DELETE", "/api/domains/utopia.com", None, SECRET).status == 409
    here.up.host(REGISTRY).boot()
    assert registry == here.up.running.table.first(REGISTRY)
    run(here, 300)
    assert here.ask("GET", "/rdap/domain/utopia.com").status == 200
    assert here.records(REGISTRY, "utopia.com") != []
    assert intended(here.up) == 0


def test_the_journal() -> None:
    """A torn end is left out; damage before it is told; what is old is not kept for ever."""
    here = town()
    here.register()
    for _ in range(3):
        run(here, 1)
        assert here.ask("POST", "/api/domains/utopia.com/renewal", {"years": 1}, SECRET).status == 200
    machine = here.up.running.hosts[REGISTRAR].machine
    whole = machine.disk.read(JOURNAL)
    assert SECRET.encode() not in whole
    machine.disk.write(JOURNAL, whole + b"00000000 {")
    store = Store(machine)
    assert [*store.domains] == ["utopia.com"]
    machine.disk.write(JOURNAL, whole[:-1] + b"x\n")
    assert Store(machine).domains["utopia.com"].expires < store.domains["utopia.com"].expires
    machine.disk.write(JOURNAL, b"x" + whole)
    with pytest.raises(StoreError, match="line 1: damaged"):
        Store(machine)
