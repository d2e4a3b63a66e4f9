"""One world for each substrate and module; `internet` is it, with links as they were in the beginning."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.subjects import Subject, subject
from tests.world.namespaces.allowed import needs_namespaces

SUBSTRATES = [
    pytest.param("simulated", marks=pytest.mark.xdist_group("simulated")),
    pytest.param("loopback", marks=pytest.mark.xdist_group("loopback")),
    pytest.param("namespaces", marks=[needs_namespaces, pytest.mark.xdist_group("namespaces")]),
]


@pytest.fixture(scope="module", params=SUBSTRATES)
def substrate(request: pytest.FixtureRequest) -> str:
    on: str = request.param
    return on


@pytest.fixture(scope="module")
def internet(request: pytest.FixtureRequest, substrate: str) -> Iterator[Subject]:
    """The module's WORLD on a substrate."""
    with (
        tempfile.TemporaryDirectory(prefix="ns") as folder,  # short: it holds Unix sockets
        subject(substrate, request.module.WORLD, Path(folder)) as up,
    ):
        yield up
