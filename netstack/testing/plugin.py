"""The pytest plugin: fixtures `internet` and `simulated_internet`, the marker `internet(world=..., seed=...)`.

Nothing of netstack or Twisted is imported before a test asks for a fixture.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from netstack.testing.internet import Internet, SimulatedInternet

MARKER = "internet(world=NAME_OR_FILE, seed=N): the world of the fixtures internet and simulated_internet"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "netstack_world", "World (a name or a file) of the fixtures internet and simulated_internet", default="small"
    )
    parser.addini(
        "netstack_port_offset",
        "What is added to every standard port of the fixture internet; empty: 0 where ports below 1024 may be bound",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


class Worlds:
    """The loopback worlds of one test session, each brought up when first asked for, on one reactor thread."""

    def __init__(self, directory: Any, port_offset: int | None) -> None:
        from netstack.world.reactor_thread import ReactorThread

        self.thread = ReactorThread()
        self._directory = directory
        self._port_offset = port_offset
        self._up: dict[str, Internet] = {}

    def get(self, world: str) -> "Internet":
        """The world, reset."""
        from netstack.testing.internet import Internet
        from netstack.world.loader import load

        if world not in self._up:
            name = f"pytest-{os.getpid()}-{len(self._up)}"
            state = self._directory.mktemp("netstack")
            self._up[world] = Internet(load(world), self.thread, name, state, self._port_offset)
        else:
            self._up[world].reset()
        return self._up[world]

    def close(self) -> None:
        """Stop all."""
        try:
            for internet in self._up.values():
                internet.close()
        finally:
            self.thread.stop()


@pytest.fixture(scope="session")
def _netstack_worlds(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    offset = str(pytestconfig.getini("netstack_port_offset"))
    if offset and not offset.isdigit():
        raise pytest.UsageError(f"netstack_port_offset = {offset}: expected a number")
    worlds = Worlds(tmp_path_factory, int(offset) if offset else None)
    yield worlds
    worlds.close()


@pytest.fixture
def internet(request: pytest.FixtureRequest, _netstack_worlds: Worlds) -> "Iterator[Internet]":
    """A whole Internet on loopback, reset before each test; its names and CA hold for blocking clients in this process."""
    world, seed = _asked_for(request)
    if seed is not None:
        raise pytest.UsageError("a world on loopback has no seed; use simulated_internet")
    up = _netstack_worlds.get(world)
    with up.named():
        yield up


@pytest.fixture
def simulated_internet(request: pytest.FixtureRequest) -> "SimulatedInternet":
    """A whole Internet in virtual time from one seed, a new one for each test; every host's journal is on."""
    from netstack.testing.internet import SimulatedInternet
    from netstack.world.loader import load

    world, seed = _asked_for(request)
    return SimulatedInternet(load(world), 1 if seed is None else seed, journal=True)


def _asked_for(request: pytest.FixtureRequest) -> tuple[str, int | None]:
    """World and seed of the marker; the ini file's world without one. A file is relative to the test's folder."""
    marker = request.node.get_closest_marker("internet")
    given = dict(marker.kwargs) if marker is not None else {}
    if marker is not None and (marker.args or set(given) - {"world", "seed"}):
        raise pytest.UsageError(f"@pytest.mark.internet: expected {MARKER}")
    world = str(given.get("world") or request.config.getini("netstack_world"))
    beside = request.node.path.parent / world
    if world.endswith(".toml") and beside.is_file():
        world = str(beside)
    return world, given.get("seed")
