"""The simulated disk: errors as the system's, and what survives which end of a host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.world.simulated import Simulation
from netstack.world.simulated.disk import SimulatedDisk


@pytest.fixture
def disk() -> SimulatedDisk:
    """Of a host of its own."""
    return Simulation(1).host("a", "10.0.0.1").disk


def test_files_and_directories(disk: SimulatedDisk) -> None:
    disk.write("a/b/c", b"one", mtime=5.0)
    disk.write("a/d", b"two")
    disk.make_directory("a/e")
    disk.make_directory("a/e")
    assert disk.list("") == ["a"]
    assert disk.list("a") == ["b", "d", "e"]
    assert disk.read("a/./b/../b/c") == b"one"
    assert disk.stat("a/b/c").mtime == 5.0
    assert disk.stat("a").is_directory
    disk.rename("a/d", "a/b/c")
    assert disk.read("a/b/c") == b"two"
    disk.rename("a/b", "f/g")
    assert disk.read("f/g/c") == b"two"
    disk.remove("f/g/c")
    assert disk.list("f/g") == []


def test_errors_are_the_systems(disk: SimulatedDisk) -> None:
    disk.write("file", b"x")
    disk.make_directory("directory")
    with pytest.raises(FileNotFoundError):
        disk.read("none")
    with pytest.raises(IsADirectoryError):
        disk.read("directory")
    with pytest.raises(IsADirectoryError):
        disk.write("directory", b"")
    with pytest.raises(NotADirectoryError):
        disk.write("file/below", b"")
    with pytest.raises(NotADirectoryError):
        disk.list("file")
    with pytest.raises(FileExistsError):
        disk.make_directory("file")
    for path in ("../x", "/etc/passwd", "directory/../../x"):
        with pytest.raises(PermissionError):
            disk.read(path)


def test_a_view_from_below_is_shut_in(disk: SimulatedDisk) -> None:
    disk.write("secret", b"s")
    below = disk.below("www/site")
    below.write("page", b"p")
    assert disk.read("www/site/page") == b"p"
    assert below.list("") == ["page"]
    with pytest.raises(PermissionError):
        below.read("../../secret")
    with pytest.raises(FileNotFoundError):
        below.below("none").read("page")


def test_an_open_file_goes_on_after_it_was_replaced(disk: SimulatedDisk) -> None:
    disk.write("page", b"old")
    opened = disk.open("page")
    disk.write("page", b"newer")
    assert opened.read_at(0, 10) == b"old"
    assert opened.stat.size == 3
    assert opened.fileno() == -1
    assert disk.read("page") == b"newer"


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=9), st.none()), max_size=12), st.integers(0, 99))
def test_power_loss_keeps_what_was_synced_and_a_prefix_of_the_rest(writes: list[bytes | None], seed: int) -> None:
    host = Simulation(seed).host("a", "10.0.0.1")
    disk = host.disk
    file = disk.append("log")
    written = synced = b""
    for data in writes:
        if data is None:
            file.sync()
            synced = written
        else:
            file.write(data)
            written += data
    host.power_off()
    after = disk.read("log")
    assert after.startswith(synced)
    assert written.startswith(after)
    file.write(b"from the dead")
    file.sync()
    assert disk.read("log") == after


def test_a_killed_process_loses_nothing_and_writes_and_renames_are_durable(disk: SimulatedDisk) -> None:
    simulation = Simulation(2)
    host = simulation.host("a", "10.0.0.1")
    file = host.disk.append("log")
    file.write(b"not synced")
    host.kill()
    assert host.disk.read("log") == b"not synced"
    host.boot()
    host.disk.write("queue/new", b"message")
    host.disk.rename("queue/new", "queue/1")
    host.power_off()
    assert host.disk.list("queue") == ["1"]
    assert host.disk.read("queue/1") == b"message"
