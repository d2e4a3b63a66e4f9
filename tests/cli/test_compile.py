"""`netstack zone compile`: what it writes, what it says, and what it leaves alone when it fails."""

import json
from pathlib import Path

import dns.name
import pytest

from netstack.cli.arguments import main
from netstack.dns.source import Source
from netstack.dns.stored import StoredZone
from netstack.kernel.disk import RealDisk

TEXT = "$TTL 1h\n@ SOA ns x 1 2 3 4 5\n@ NS ns\nns A 10.0.0.1\n$INCLUDE hosts\n"


def compile_zone(directory: Path, text: str, *options: str, origin: str = "foo.com") -> int:
    (directory / "foo.zone").write_text(text)
    return main(["zone", "compile", origin, str(directory / "foo.zone"), "-o", str(directory / "foo.nszone"), *options])


def test_what_is_compiled_can_be_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hosts").write_text("www A 10.0.0.2\na.b A 10.0.0.3\n")
    assert compile_zone(tmp_path, TEXT) == 0
    file = tmp_path / "foo.nszone"
    assert capsys.readouterr().out == f"{file}: 5 names, 5 records, {file.stat().st_size} octets\n"
    zone = Source("foo.com", RealDisk(tmp_path), "foo.nszone").read().zone
    assert isinstance(zone, StoredZone)
    assert {str(name) for name in zone.nodes} == {f"{it}foo.com." for it in ("", "ns.", "www.", "a.b.", "b.")}
    node = zone.nodes.get(dns.name.from_text("www.foo.com"))
    assert node is not None
    assert [rrset.to_text() for rrset in node.rrsets.values()] == ["www.foo.com. 3600 IN A 10.0.0.2"]


def test_the_same_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compile_zone(tmp_path, TEXT.replace("$INCLUDE hosts\n", ""), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("seconds") >= 0
    assert told == {
        "origin": "foo.com", "file": str(tmp_path / "foo.nszone"), "names": 2, "records": 3,
        "octets": (tmp_path / "foo.nszone").stat().st_size,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "origin", "code", "said"),
    [
        (TEXT, "foo.com", 1, "foo.zone:5: $INCLUDE hosts: No such file or directory"),
        ("$TTL 1h\nwww A x\n", "foo.com", 1, "foo.zone:2: A: "),
        ("$TTL 1h\nwww A 10.0.0.1\n", "foo.com", 1, "expected a SOA record at the origin"),
        ("", "a..b", 2, "'a..b' is not a domain name"),
    ],
)
def test_a_failure_says_why_and_leaves_the_old_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, origin: str, code: int, said: str
) -> None:
    (tmp_path / "foo.nszone").write_bytes(b"old")
    assert compile_zone(tmp_path, text, origin=origin) == code
    assert said in capsys.readouterr().err
    assert (tmp_path / "foo.nszone").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foo.nszone", "foo.zone"]


def test_files_that_cannot_be_read_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zone", "compile", "foo.com", str(tmp_path / "none"), "-o", str(tmp_path / "out")]) == 2
    assert "cannot read" in capsys.readouterr().err
    (tmp_path / "foo.zone").write_text(TEXT.replace("$INCLUDE hosts\n", ""))
    assert main(["zone", "compile", "foo.com", str(tmp_path / "foo.zone"), "-o", str(tmp_path / "no" / "out")]) == 2
    assert "cannot write" in capsys.readouterr().err
