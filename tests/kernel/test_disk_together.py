"""Many files written and removed together, on both disks."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from netstack.kernel.disk import Disk, RealDisk
from netstack.world.simulated import Simulation


@pytest.fixture(params=["real", "simulated", "below"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    if request.param == "real":
        return RealDisk(tmp_path)
    found: Disk = Simulation(1).host("mail.test", "10.0.0.1").disk
    return found.below("inside") if request.param == "below" else found


def test_all_are_there_and_then_none(disk: Disk) -> None:
    files = [(f"{number // 100}/{number}", b"%d\n" % number * (number % 7)) for number in range(450)]
    disk.write("3/301", b"replaced, and longer than what comes")
    disk.write_all(files)
    assert [disk.read(path) for path, _ in files] == [data for _, data in files]
    assert len(disk.list("2")) == 100
    disk.remove_all([path for path, _ in files[10:]] + ["nowhere", "0/nothing"])
    assert disk.list("0") == sorted(map(str, range(10)))
    assert disk.list("4") == []
    disk.write_all([])
    disk.remove_all([])


def test_threads_make_the_same_directories(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)

    def write(number: int) -> None:
        for turn in range(20):
            disk.write_all([(f"{turn}/a/b/c/{number}", b"x")])

    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(write, range(8)))) == 8
    assert all(len(disk.list(f"{turn}/a/b/c")) == 8 for turn in range(20))


def test_many_are_renamed(disk: Disk) -> None:
    disk.write_all([(f"from/{number}", b"%d" % number) for number in range(5)])
    disk.write("to/3", b"replaced")
    disk.rename_all([(f"from/{number}", f"to/{number}") for number in range(1, 7)])
    assert (disk.list("from"), disk.list("to")) == (["0"], ["1", "2", "3", "4"])
    assert disk.read("to/3") == b"3"
    disk.rename_all([("nowhere/1", "elsewhere/1")])
    disk.rename_all([])
    with pytest.raises(PermissionError):
        disk.rename_all([("to/1", "../out")])


@pytest.mark.parametrize("path", ["../out", "/out", "a/../../out"])
def test_none_leads_out(disk: Disk, path: str) -> None:
    with pytest.raises(PermissionError):
        disk.write_all([("inside", b"x"), (path, b"x")])
    with pytest.raises(PermissionError):
        disk.remove_all([path])


def test_an_error_is_told(disk: Disk) -> None:
    disk.make_directory("directory")
    with pytest.raises(IsADirectoryError):
        disk.write_all([("file", b"x"), ("directory", b"x")])


def test_power_lost_after_it_takes_nothing() -> None:
    host = Simulation(1).host("mail.test", "10.0.0.1")
    host.disk.write_all([("a", b"one"), ("b", b"two")])
    host.power_off()
    assert (host.disk.read("a"), host.disk.read("b")) == (b"one", b"two")
