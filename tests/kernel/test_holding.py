"""A directory is one service's at a time."""

import os
from pathlib import Path

import pytest

from netstack.kernel.holding import hold


def test_a_directory_is_held_as_long_as_the_descriptor_is_open(tmp_path: Path) -> None:
    place = str(tmp_path / "hosts" / "a")
    held = hold(place)
    with pytest.raises(OSError, match=rf"process {os.getpid()}\): stop it") as refused:
        hold(place)
    assert refused.value.filename == place
    os.close(held)
    os.close(hold(place))


def test_what_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        hold(str(tmp_path / "file"))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="Too many levels"):
        hold(str(tmp_path / "state"))
    assert not (tmp_path / "elsewhere").exists()
