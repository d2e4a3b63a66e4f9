"""The real disk: nothing leads out of the root, writes are whole, errors are the system's."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.kernel.disk import TEMPORARY, RealDisk


@pytest.fixture
def disk(tmp_path: Path) -> RealDisk:
    (tmp_path / "secret").write_bytes(b"outside")
    (tmp_path / "root").mkdir()
    return RealDisk(tmp_path / "root")


def test_write_and_read(disk: RealDisk) -> None:
    disk.write("a/b/c.txt", b"hello", mtime=1_000_000_000.5)
    assert disk.read("a/b/c.txt") == b"hello"
    found = disk.stat("a/b/c.txt")
    assert (found.size, found.mtime, found.is_directory) == (5, 1_000_000_000.5, False)
    assert disk.stat("a").is_directory
    assert disk.list("a/b") == ["c.txt"]
    disk.write("a/b/c.txt", b"replaced")
    assert disk.read("a/b/c.txt") == b"replaced"


def test_open_file_keeps_what_was_opened(disk: RealDisk) -> None:
    disk.write("f", b"0123456789")
    file = disk.open("f")
    disk.write("f", b"other")
    assert file.read_at(3, 4) == b"3456"
    assert file.read_at(10, 4) == b""
    assert file.stat.size == 10
    assert os.pread(file.fileno(), 2, 0) == b"01"
    file.close()
    file.close()
    assert file.fileno() == -1


def test_what_the_system_has_in_memory_is_read_without_waiting(disk: RealDisk) -> None:
    disk.write("f", b"0123456789")
    file = disk.open("f")
    assert file.read_now(3, 4) in (b"3456", None)  # None: a file system that cannot tell
    assert file.read_now(8, 4) is None
    file.close()
    assert file.read_now(3, 4) is None


def test_append_survives_and_adds(disk: RealDisk) -> None:
    for part in (b"one ", b"two "):
        appender = disk.append("log/queue")
        appender.write(part)
        appender.sync()
        appender.close()
    assert disk.read("log/queue") == b"one two "


def test_rename_remove_make_directory(disk: RealDisk) -> None:
    disk.write("new/1", b"m")
    disk.make_directory("cur")
    disk.make_directory("cur")
    disk.rename("new/1", "cur/1")
    assert (disk.list("new"), disk.list("cur")) == ([], ["1"])
    disk.remove("cur/1")
    with pytest.raises(FileNotFoundError):
        disk.stat("cur/1")


@pytest.mark.parametrize(
    "path", ["../secret", "a/../../secret", "/etc/passwd", "..", "out", "out/secret", "a/../out/secret", "passwd"]
)
@pytest.mark.parametrize("operation", ["read", "stat", "list", "write", "append", "make_directory"])
def test_nothing_leads_out(disk: RealDisk, path: str, operation: str, tmp_path: Path) -> None:
    disk.make_directory("a")
    (tmp_path / "root" / "out").symlink_to(tmp_path)
    (tmp_path / "root" / "passwd").symlink_to("/etc/passwd")
    arguments = (path, b"x") if operation == "write" else (path,)
    with pytest.raises(PermissionError):
        getattr(disk, operation)(*arguments)
    assert (tmp_path / "secret").read_bytes() == b"outside"


def test_links_inside_are_followed(disk: RealDisk, tmp_path: Path) -> None:
    disk.write("real/page", b"text")
    (tmp_path / "root" / "alias").symlink_to("real")
    assert disk.read("alias/page") == b"text"


@pytest.mark.parametrize("path", ["missing", "f/x", "nul\0", "\ud800", "n" * 300, "x/" * 3000])
def test_what_is_not_there(disk: RealDisk, path: str) -> None:
    disk.write("f", b"")
    with pytest.raises((FileNotFoundError, NotADirectoryError)):
        disk.read(path)


def test_directories_and_devices_are_not_files(disk: RealDisk, tmp_path: Path) -> None:
    disk.make_directory("d")
    os.mkfifo(tmp_path / "root" / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "root" / "s"))
    with pytest.raises(IsADirectoryError):
        disk.read("d")
    with pytest.raises(IsADirectoryError):
        disk.write("d", b"x")
    with pytest.raises(PermissionError):
        disk.read("fifo")
    with pytest.raises(OSError, match="s"):
        disk.read("s")
    disk.write("f", b"x")
    with pytest.raises(NotADirectoryError):
        disk.read("f/")
    with pytest.raises(NotADirectoryError):
        disk.write("f/g", b"x")


def test_an_unfinished_write_is_not_listed(disk: RealDisk, tmp_path: Path) -> None:
    disk.write("q/1", b"x")
    (tmp_path / "root" / "q" / f"{TEMPORARY}1-1").write_bytes(b"half")
    assert disk.list("q") == ["1"]


def test_files_are_the_owners_alone(disk: RealDisk, tmp_path: Path) -> None:
    disk.write("m/1", b"x")
    assert (tmp_path / "root" / "m" / "1").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "root" / "m").stat().st_mode & 0o777 == 0o700


@given(st.lists(st.sampled_from(["..", ".", "a", "", "out", "b\\..", "~", "%2e%2e"]), max_size=6).map("/".join))
def test_no_path_reads_the_secret(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    base = tmp_path_factory.getbasetemp() / "property"
    if not base.exists():
        (base / "root" / "a").mkdir(parents=True)
        (base / "secret").write_bytes(b"outside")
        (base / "root" / "out").symlink_to(base)
    disk = RealDisk(base / "root")
    with pytest.raises((PermissionError, FileNotFoundError)):
        disk.read(path + "/secret")
