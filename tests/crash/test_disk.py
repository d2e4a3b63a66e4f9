"""What may be left of a disk when the power fails: a program runs under strace, on a real disk, and its trace is played."""

import sys
from pathlib import Path
from random import Random
from subprocess import Popen

import pytest

from tests.crash.disk import ALL, NOTHING, Disk, File, Left
from tests.crash.trace import Call, Tracing, read, steps
from tests.interop.programs import need

BEGIN = """
import os
def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
def write(path, data, more=0):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | more, 0o600)
    os.write(descriptor, data)
    return descriptor
def with_paths(call):
    return lambda *paths: call(*(f"{os.getcwd()}/{path}" for path in paths))
mkdir, rename, unlink, link, symlink = map(with_paths, (os.mkdir, os.rename, os.unlink, os.link, os.symlink))
"""
Tree = dict[str, bytes | None]
"""Octets of files, None for directories."""
CASES: list[tuple[str, Tree, Tree]] = [
    # What a program does; what is left where all is lost that may be, and what is left where nothing is.
    ("write('a', b'hello')", {}, {"a": b"hello"}),
    ("write('a', b'hello'); sync('a')", {}, {"a": b"hello"}),
    ("write('a', b'hello'); sync('.')", {"a": b""}, {"a": b"hello"}),
    ("write('a', b'hello'); sync('a'); sync('.')", {"a": b"hello"}, {"a": b"hello"}),
    ("write('a', b'x'); sync('a'); sync('.'); write('a', b'yz', os.O_APPEND)", {"a": b"x"}, {"a": b"xyz"}),
    ("write('a', b'abc'); sync('a'); sync('.'); write('a', b'x', os.O_TRUNC)", {"a": b"abc"}, {"a": b"x"}),
    ("write('a', b'abc'); sync('a'); sync('.'); write('a', b'x')", {"a": b"abc"}, {"a": b"xbc"}),
    ("os.ftruncate(write('a', b'abc'), 5); sync('a'); sync('.')", {"a": b"abc\0\0"}, {"a": b"abc\0\0"}),
    ("os.pwrite(write('a', b'abc'), b'x', 4); sync('a'); sync('.')", {"a": b"abc\0x"}, {"a": b"abc\0x"}),
    ("os.writev(write('a', b'abc'), [b'd', b'e']); sync('a'); sync('.')", {"a": b"abcde"}, {"a": b"abcde"}),
    ("os.lseek(write('a', b'abc'), 1, 0); os.write(3, b'x'); sync('a'); sync('.')", {"a": b"axc"}, {"a": b"axc"}),
    ("mkdir('d'); write('d/a', b'x'); sync('d/a'); sync('d')", {}, {"d": None, "d/a": b"x"}),
    ("mkdir('d'); write('d/a', b'x'); sync('d/a'); sync('.')", {"d": None}, {"d": None, "d/a": b"x"}),
    ("write('a', b'x'); sync('a'); rename('a', 'b'); sync('.')", {"b": b"x"}, {"b": b"x"}),
    ("write('a', b'x'); sync('a'); sync('.'); rename('a', 'b')", {"a": b"x"}, {"b": b"x"}),
    ("write('a', b''); mkdir('d'); rename('a', 'd/a'); sync('.')", {"d": None, "d/a": b""}, {"d": None, "d/a": b""}),
    ("write('a', b'x'); sync('a'); sync('.'); unlink('a')", {"a": b"x"}, {}),
    ("write('a', b'x'); sync('a'); sync('.'); unlink('a'); sync('.')", {}, {}),
    ("write('a', b'x'); sync('a'); sync('.'); unlink('a'); write('a', b'y')", {"a": b"x"}, {"a": b"y"}),
]  # fmt: skip


def traced(directory: Path, program: str) -> tuple[Disk, list[Call]]:
    """The disk after a program."""
    root = directory / "disk"
    root.mkdir()
    tracing = Tracing(need("strace"), directory / "trace")
    command = tracing.around(sys.executable, "-S", "-c", f"{BEGIN}{program}")
    started = Popen(command, cwd=root)
    assert started.wait(20) == 0
    disk, calls = Disk(root), tracing.calls(started.pid)
    for _, ended, call in steps(calls):
        disk.step(call, ended)
    return disk, calls


@pytest.mark.parametrize(("program", "least", "most"), CASES, ids=[case[0] for case in CASES])
def test_what_is_left(tmp_path: Path, program: str, least: Tree, most: Tree) -> None:
    disk, calls = traced(tmp_path, program)
    disk.restarted(tmp_path / "disk", calls)
    assert dict(disk.left(NOTHING, Random(1))) == least
    assert dict(disk.left(ALL, Random(1))) == most
    assert dict(disk.left(Left(0.0, until=10**9), Random(1))) == most


def test_sectors_are_torn(tmp_path: Path) -> None:
    """Each is there or not, also in what is written over others; a length may be there without its octets."""
    program = "d = write('a', b'A' * 2000); sync('a'); sync('.'); os.pwrite(d, b'B' * 1500, 1000)"
    disk, _ = traced(tmp_path, program)
    seen = {dict(disk.left(Left(0.5), Random(seed)))["a"] or b"" for seed in range(300)}
    parts = [
        {octets[:1000] for octets in seen},
        *({octets[at : at + 512].ljust(512, b"\0")[:452] for octets in seen} for at in (1024, 2048)),
    ]
    assert parts == [{b"A" * 1000}, {b"A" * 452, b"B" * 452}, {bytes(452), b"B" * 452}]
    assert {len(octets) for octets in seen} > {2000, 2500}


@pytest.mark.parametrize(
    "program", ["symlink('', 'a')", "write('a', b''); link('a', 'b')", "write('a', b''); os.truncate(os.getcwd() + '/a', 0)"]
)
def test_what_is_not_understood_fails(tmp_path: Path, program: str) -> None:
    with pytest.raises(AssertionError):
        traced(tmp_path, program)


def test_calls_of_threads_cross() -> None:
    """A sync covers what was over when it began, and nothing is durable before it has ended."""
    disk = Disk(Path("/r"))
    path = "".join(f"\\x{octet:02x}" for octet in b"/r/a")
    lines = f"""1 1.0 openat(AT_FDCWD<\\x2f>, "{path}", O_WRONLY|O_CREAT, 0600) = 3<{path}>
1 1.1 write(3<{path}>, "\\x41", 1) = 1
1 1.2 fdatasync(3<{path}> <unfinished ...>
2 1.3 write(3<{path}>, "\\x42", 1) = 1
1 1.4 <... fdatasync resumed>) = 0
1 1.5 fsync(4<\\x2f\\x72>) = 0
1 1.6 write(3<{path}>, "\\x43", 1 <unfinished ...>
1 1.7 +++ killed by SIGKILL +++"""
    found = []
    for _, ended, call in steps(read(lines.splitlines())):
        disk.step(call, ended)
        node = disk.top.now.get("a", File())
        assert isinstance(node, File)
        found.append((bytes(node.synced), bytes(node.now)))
    assert found[-6:] == [(b"", b"A"), (b"", b"AB"), *[(b"A", b"AB")] * 4]
