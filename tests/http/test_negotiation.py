"""Versions: what Accept-… and User-Agent ask for, and which file that is."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from netstack.http.negotiation import (
    choose_coding,
    choose_language,
    choose_program,
    refuses_type,
    weights,
)
from netstack.http.store import Representation, Store, StoreLimits
from netstack.http.wire import BadMessage
from netstack.kernel.disk import RealDisk


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {}),
        ("fr", {"fr": 1.0}),
        ("fr-CH, fr;q=0.9, en;q=0.8, *;q=0.5", {"fr-ch": 1.0, "fr": 0.9, "en": 0.8, "*": 0.5}),
        ("gzip ; q=0 , br", {"gzip": 0.0, "br": 1.0}),
        ("text/html;level=1;Q=0.5", {"text/html": 0.5}),
        ("a;q=2, b;q=x, c;q=0.1234, d", {"d": 1.0}),
        (",,a,,", {"a": 1.0}),
    ],
)
def test_weights(value: str, expected: dict[str, float]) -> None:
    assert weights(value) == expected
    assert len(weights(",".join(f"x{number}" for number in range(1000)))) == 64


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "en"), ("", "en"), ("fr", "fr"), ("en", "en"), ("de", "en"), ("FR", "fr"), ("fr;q=0.3, en;q=0.2", "fr"),
        ("fr;q=0.2, en;q=0.3", "en"), ("fr-CA", "fr"), ("fr-CA, en;q=0.9", "fr"), ("*", "en"), ("fr, *;q=0.1", "fr"),
        ("en;q=0", "fr"), ("en;q=0, fr;q=0", None), ("de, *;q=0", None), ("*;q=0, fr", "fr"), ("en;q=0, *;q=0.5", "fr"),
    ],
)  # fmt: skip
def test_languages(value: str | None, expected: str | None) -> None:
    assert choose_language(value, ["en", "fr"]) == expected


def test_a_language_range_covers_its_varieties() -> None:
    assert choose_language("pt", ["en", "pt-BR"]) == "pt-BR"
    assert choose_language("pt-BR;q=0, pt", ["en", "pt-BR"]) == "en"


SIZES = {"identity": 100, "gzip": 40, "br": 30, "zstd": 35}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "identity"), ("", "identity"), ("gzip", "gzip"), ("x-gzip", "gzip"), ("gzip, br, zstd", "br"),
        ("gzip, br;q=0.5", "gzip"), ("*", "br"), ("br;q=0, *", "zstd"), ("compress", "identity"),
        ("gzip;q=0.5, identity", "identity"), ("identity;q=0", None), ("*;q=0", None), ("*;q=0, gzip", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"), ("*;q=0, identity", "identity"), ("GZIP", "gzip"),
    ],
)  # fmt: skip
def test_content_codings(value: str | None, expected: str | None) -> None:
    assert choose_coding(value, SIZES) == expected


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        (None, False), ("text/html", False), ("image/png", False), ("text/html;q=0", True), ("text/*;q=0.0", True),
        ("*/*;q=0", True), ("*/*;q=0, text/html", False), ("text/html;q=0, */*", True), ("text/html;q=0.9", False),
        ("text/html ; Q=0.000 ,x", True),
        ("text/html;q=0.05", False),
    ],
)  # fmt: skip
def test_media_types(value: str | None, refused: bool) -> None:
    assert refuses_type(value, "text/html; charset=utf-8") is refused


def test_programs() -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    assert choose_program(firefox, ["Chrome", "firefox"]) == "firefox"
    assert choose_program("curl/8", ["Chrome", "firefox"]) is choose_program(None, ["x"]) is None


@pytest.fixture
def files(tmp_path: Path) -> Store:
    disk = RealDisk(tmp_path)
    for name in ("page.html", "page.html.fr", "page.html.gz", "page.html.fr.br", "only.html.fr", "only.html.en",
                 "logo.png", "tool.html", "tool.html@curl", "tool.html@Firefox", "logo@2x.png", "stale.txt",
                 "dir/index.html.fr"):  # fmt: skip
        disk.write(name, name.encode(), mtime=1_000_000_000)
    disk.write("stale.txt.gz", b"older", mtime=999_999_999)
    return Store(disk, ("index.html",), ("en", "fr"), StoreLimits(check=0), time.monotonic)


def find(files: Store, path: str, fields: Mapping[str, str]) -> Representation:
    found = files.find(path, fields)
    assert isinstance(found, Representation)
    return found


FRENCH = {"accept-language": "fr"}


@pytest.mark.parametrize(
    ("path", "fields", "content", "lines"),
    [
        ("/page.html", {}, b"page.html", ["Content-Language: en", "Vary: Accept-Language, Accept-Encoding"]),
        ("/page.html", FRENCH, b"page.html.fr", ["Content-Language: fr", "Content-Location: /page.html.fr"]),
        ("/page.html", {"accept-encoding": "gzip, br"}, b"page.html.gz", ["Content-Encoding: gzip", "Content-Language: en"]),
        ("/page.html", {"accept-encoding": "gzip, br", **FRENCH}, b"page.html.fr.br",
         ["Content-Encoding: br", "Content-Language: fr", "Content-Type: text/html; charset=utf-8"]),
        ("/page.html.fr", {}, b"page.html.fr", ["Content-Type: text/html; charset=utf-8", "Vary: Accept-Encoding"]),
        ("/page.html.gz", {}, b"page.html.gz", ["Content-Type: application/gzip"]),
        ("/only.html", {}, b"only.html.en", ["Content-Location: /only.html.en", "Vary: Accept-Language"]),
        ("/only.html", FRENCH, b"only.html.fr", ["Content-Language: fr"]),
        ("/dir/", {}, b"dir/index.html.fr", ["Content-Language: fr"]),
        ("/tool.html", {}, b"tool.html", ["Vary: User-Agent"]),
        ("/tool.html", {"user-agent": "curl/8.1"}, b"tool.html@curl",
         ["Vary: User-Agent", "Content-Type: text/html; charset=utf-8"]),
        ("/logo@2x.png", {}, b"logo@2x.png", ["Content-Type: image/png"]),
        ("/stale.txt", {"accept-encoding": "gzip"}, b"stale.txt", ["Content-Type: text/plain; charset=utf-8"]),
    ],
)  # fmt: skip
def test_which_file_is_sent(files: Store, path: str, fields: Mapping[str, str], content: bytes, lines: list[str]) -> None:
    found = find(files, path, fields)
    assert found.content == content
    assert set(lines) <= set(found.fields.decode().split("\r\n"))


def test_versions_have_tags_of_their_own_and_304_tells_what_they_vary_by(files: Store) -> None:
    codings = [{"accept-encoding": coding, **more} for coding in ("gzip", "br", "") for more in (FRENCH, {})]
    found = {find(files, "/page.html", fields).etag for fields in codings}
    assert len(found) == 4
    assert b"Vary: Accept-Language, Accept-Encoding\r\n" in find(files, "/page.html", FRENCH).validators


@pytest.mark.parametrize(
    ("path", "fields", "told"),
    [
        ("/page.html", {"accept-language": "en;q=0, fr;q=0"}, "page.html.fr"),
        ("/page.html", {"accept-encoding": "identity;q=0, br"}, "identity, gzip"),
        ("/logo.png", {"accept-encoding": "identity;q=0"}, "identity"),
        ("/logo.png", {"accept": "image/*;q=0"}, "image/png"),
    ],
)
def test_what_is_refused_is_not_sent(files: Store, path: str, fields: Mapping[str, str], told: str) -> None:
    with pytest.raises(BadMessage, match=told) as raised:
        files.find(path, fields)
    assert raised.value.code == 406


def test_new_versions_are_seen_and_looked_for_at_most_once_in_a_while(files: Store, tmp_path: Path) -> None:
    clock = [100.0]
    slow = Store(files.disk, ("index.html",), ("en", "fr"), StoreLimits(check=5), lambda: clock[0])
    assert find(slow, "/logo.png", FRENCH).content == b"logo.png"
    files.disk.write("logo.png.fr", b"french")
    files.disk.write("logo.png", b"another")
    clock[0] += 4.9
    assert find(slow, "/logo.png", FRENCH).content == b"logo.png"
    clock[0] += 0.2
    assert find(slow, "/logo.png", FRENCH).content == b"french"
    assert find(slow, "/logo.png", {}).content == b"another"


def test_unfinished_files_have_no_name(files: Store) -> None:
    files.disk.write(".writing-1-1", b"half")
    with pytest.raises(FileNotFoundError):
        files.find("/.writing-1-1", {})
