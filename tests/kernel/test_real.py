"""The machine of a real process."""

import time
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.epollreactor import EPollReactor

from netstack.kernel.real import default_state_directory, real_machine, steady
from netstack.kernel.resolver import ResolutionError


@pytest_twisted.ensureDeferred
async def test_it_has_what_a_service_needs(tmp_path: Path) -> None:
    machine = real_machine("www", ("127.0.0.1", "127.0.0.2"), tmp_path, port_offset=20000)
    assert machine.reactor is reactor
    assert (machine.address, machine.port(80), machine.ports.standard(20080)) == ("127.0.0.1", 20080, 80)
    assert machine.now().wall > 1_700_000_000
    machine.disk.write("a/b", b"kept")
    assert (tmp_path / "a" / "b").read_bytes() == b"kept"
    assert await machine.offload(lambda: 6 * 7) == 42
    assert await machine.resolver.addresses("192.0.2.1") == ["192.0.2.1"]
    with pytest.raises(ResolutionError, match="no resolver is configured") as caught:
        await machine.resolver.addresses("www.test")
    assert not caught.value.temporary
    with pytest.raises(ResolutionError, match="no resolver is configured"):
        await machine.resolver.records("www.test", "MX")


@pytest_twisted.ensureDeferred
async def test_work_that_fails_says_so(tmp_path: Path) -> None:
    machine = real_machine("www", state_directory=tmp_path)
    with pytest.raises(ZeroDivisionError):
        await machine.offload(lambda: 1 // 0)


def test_timers_follow_the_monotonic_clock() -> None:
    fresh = EPollReactor()
    machine = real_machine("www", reactor=fresh)
    before = time.monotonic()
    call = fresh.callLater(60, print)
    assert before + 60 <= call.getTime() <= time.monotonic() + 60
    assert before <= machine.now().monotonic <= time.monotonic()
    call.cancel()


def test_a_reactor_with_timers_keeps_its_clock() -> None:
    used = EPollReactor()
    used.callLater(60, print)
    steady(used)
    assert used.seconds() > 1_700_000_000  # the system's time


def test_where_state_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state_directory() == tmp_path / "netstack"
    real_machine("www").disk.write("x", b"")
    assert (tmp_path / "netstack" / "standalone" / "hosts" / "www" / "x").exists()
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_state_directory() == tmp_path / ".local" / "state" / "netstack"
