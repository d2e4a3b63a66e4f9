"""`netstack get` without a world: files that are written, what is known of them, the progress bar."""

import os
import stat
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from netstack.cli import kept, main, output
from netstack.cli.errors import CommandError
from netstack.cli.get import Bar

DATE = "Wed, 09 Sep 2015 09:23:24 GMT"
SECONDS = 1441790604


def test_a_file_is_replaced_as_a_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "page"
    output.write(str(file), b"old")
    file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(file)
    with open(file, "rb") as reading:
        output.write(str(link), b"new", mtime=SECONDS)
        assert reading.read() == b"old"
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode), file.stat().st_mtime) == (b"new", 0o640, SECONDS)
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "page"]
    output.write("/dev/null", b"x")
    with pytest.raises(CommandError, match=f"cannot write {tmp_path}/no/page"):
        output.write(f"{tmp_path}/no/page", b"x")
    with pytest.raises(CommandError, match=f"cannot write {tmp_path}"):
        output.write(str(tmp_path), b"x")


def test_what_is_known_of_a_file_is_asked_with_it(tmp_path: Path) -> None:
    file = tmp_path / "page"
    assert kept.conditions(str(file)) == []
    kept.keep(str(file), 404, [], b"not this")
    assert not file.exists()
    kept.keep(str(file), 200, [["Last-Modified", DATE], ["ETag", '"a,b"']], b"first")
    assert kept.conditions(str(file)) == [["If-Modified-Since", DATE], ["If-None-Match", '"a,b"']]
    kept.keep(str(file), 304, [["ETag", '"other"']], b"")
    assert (file.read_bytes(), (tmp_path / "page.etag").read_text()) == (b"first", '"a,b"\n')


def test_a_tag_is_not_believed_of_a_file_that_somebody_changed(tmp_path: Path) -> None:
    file, tag = tmp_path / "page", tmp_path / "page.etag"
    kept.keep(str(file), 200, [["ETag", 'W/"a"']], b"first")
    os.utime(file, (SECONDS, SECONDS))
    os.utime(tag, (SECONDS - 1, SECONDS - 1))
    assert kept.conditions(str(file)) == [["If-Modified-Since", DATE]]
    os.utime(tag, (SECONDS, SECONDS))
    assert kept.conditions(str(file))[1:] == [["If-None-Match", 'W/"a"']]
    tag.write_text("no tag")
    assert kept.conditions(str(file)) == [["If-Modified-Since", DATE]]
    kept.keep(str(file), 200, [], b"second")
    assert not tag.exists()


@pytest.mark.parametrize(("length", "shown"), [(4096, "2.0/4.0 KiB"), (None, "2.0/? KiB")])
def test_a_bar_is_drawn_from_the_first_item_on(length: int | None, shown: str) -> None:
    drawn = StringIO()
    with Bar(Console(file=drawn, force_terminal=True, width=100)) as bar:
        assert drawn.getvalue() == ""
        bar({"octets": 1024, "length": length})
        bar({"octets": 2048, "length": length})
    assert shown in drawn.getvalue()


@pytest.mark.parametrize("arguments", [["--if-changed"], ["--if-changed", "--page", "-o", "x"]])
def test_a_condition_needs_a_file(arguments: list[str]) -> None:
    assert main(["get", "http://gaia.cs.umass.edu/", *arguments]) == 2
