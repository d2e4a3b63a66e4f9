"""A site's files: names, indexes, what is kept, what is refused."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.http.store import Moved, Representation, Store, StoreLimits, file_name
from netstack.http.wire import BadMessage
from netstack.kernel.disk import RealDisk
from netstack.sansio import FileSlice

INDEX = ("index.html", "home.index")


@pytest.fixture
def disk(tmp_path: Path) -> RealDisk:
    (tmp_path / "secret.txt").write_text("secret")
    disk = RealDisk(tmp_path / "site")
    disk.write("index.html", b"<p>home", mtime=1_000_000_000.25)
    disk.write("somedepartment/home.index", b"<p>department")
    disk.write("docs/empty/x.txt", b"")
    disk.write("a b/ü.txt", b"u")
    (tmp_path / "site" / "out").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "site" / "up").symlink_to(tmp_path)
    (tmp_path / "site" / "in").symlink_to(tmp_path / "site" / "index.html")
    return disk


def store(disk: RealDisk, check: float = 0.0, **limits: int) -> Store:
    return Store(disk, INDEX, ("en", "fr"), StoreLimits(check=check, **limits), time.monotonic)


def found(store: Store, path: str, fields: Mapping[str, str] | None = None) -> Representation:
    result = store.find(path, fields or {})
    assert isinstance(result, Representation)
    return result


def test_a_representation_is_ready_to_be_sent(disk: RealDisk) -> None:
    page = found(store(disk), "/index.html")
    assert page.fields == (
        b"Content-Type: text/html; charset=utf-8\r\nLast-Modified: Sun, 09 Sep 2001 01:46:40 GMT\r\n"
        + b'ETag: "38d7ea4ca5090-7"\r\nAccept-Ranges: bytes\r\n'
    )
    assert (page.content, page.modified) == (b"<p>home", 1_000_000_000)


@pytest.mark.parametrize(
    ("path", "content"),
    [("/", b"<p>home"), ("/index.html", b"<p>home"), ("//index.html", b"<p>home"), ("/./index.html", b"<p>home"),
     ("/docs/../index.html", b"<p>home"), ("/somedepartment/", b"<p>department"),
     ("/somedepartment/home.index", b"<p>department"),
     ("/docs/..", b"<p>home"), ("/%69ndex.html", b"<p>home"), ("/a%20b/%C3%BC.txt", b"u"), ("/in", b"<p>home"),
     ("/docs/empty/x.txt", b"")],
)  # fmt: skip
def test_paths_that_lead_to_a_file(disk: RealDisk, path: str, content: bytes) -> None:
    assert found(store(disk), path).content == content


@pytest.mark.parametrize(("path", "location"), [("/somedepartment", "/somedepartment/"), ("//a%20b", "/a%20b/")])
def test_a_directory_gets_its_slash(disk: RealDisk, path: str, location: str) -> None:
    assert store(disk).find(path, {}) == Moved(location)


@pytest.mark.parametrize(
    ("path", "error"),
    [("/nothing", FileNotFoundError), ("/nothing/", FileNotFoundError), ("/index.html/", NotADirectoryError),
     ("/index.html/x", NotADirectoryError), ("/docs/", PermissionError), ("/out", PermissionError),
     ("/up/secret.txt", PermissionError), ("/docs%2Fempty/x.txt", FileNotFoundError), ("/%ff", FileNotFoundError),
     ("/..", BadMessage), ("/../secret.txt", BadMessage), ("/docs/../../secret.txt", BadMessage),
     ("/%2e%2e/secret.txt", BadMessage), ("/a%00b", BadMessage),
     ("/%zz", BadMessage), ("/%", BadMessage), ("/%+1", BadMessage),
     ("/" + "x" * 300, FileNotFoundError)],
)  # fmt: skip
def test_paths_that_lead_nowhere(disk: RealDisk, path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        store(disk).find(path, {})


def test_a_changed_file_is_seen_at_once(disk: RealDisk) -> None:
    files = store(disk)
    first = found(files, "/index.html")
    assert found(files, "/") is first
    disk.write("index.html", b"<p>away", mtime=1_000_000_001.0)
    second = found(files, "/")
    assert (second.content, second.etag != first.etag) == (b"<p>away", True)


def test_large_files_are_not_kept_and_what_is_kept_is_bounded(disk: RealDisk) -> None:
    disk.write("large", b"x" * 101)
    files = store(disk, inline=100, kept=2000)
    large = found(files, "/large")
    assert large.content is None
    part = large.part(99, 2)
    disk.write("large", b"y" * 102)  # replaced between the two
    assert isinstance(part, FileSlice)
    assert part.file.read_at(part.offset, part.length) == b"xx"
    part.file.close()
    assert part.file.read_at(part.offset, part.length) == b""
    now = found(files, "/large").part(100, 2)
    assert isinstance(now, FileSlice)
    assert now.file.read_at(now.offset, now.length) == b"yy"
    for number in range(20):
        disk.write(f"f{number}", b"x" * 100)
        found(files, f"/f{number}")
        assert files._octets <= 2000
        assert files._octets == sum(512 + len(kept.content or b"") for kept in files._kept.values())


@given(st.text(st.sampled_from("/.%2eEfFaA05\0ü~"), max_size=20))
def test_no_path_leads_out(path: str) -> None:
    try:
        name = file_name("/" + path)
    except (BadMessage, FileNotFoundError):
        return
    assert not name.startswith("/")
    assert ".." not in name.split("/")
    assert "\0" not in name
