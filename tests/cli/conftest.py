"""A private place for worlds: nothing of the user's own is seen or touched."""

from pathlib import Path

import pytest


@pytest.fixture
def private(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$XDG_RUNTIME_DIR and $XDG_STATE_HOME of this test alone, short enough for a Unix socket's path."""
    directory = tmp_path_factory.mktemp("x")
    directory.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    monkeypatch.setenv("XDG_STATE_HOME", str(directory / "state"))
    monkeypatch.delenv("NETSTACK_NAME", raising=False)
    return directory
