"""The forward proxy under other people's programs: wget, pip and apt fetch things twice, curl what it likes."""

import hashlib
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.addresses import own_address
from tests.interop.programs import need
from tests.processes import TWISTD, running

OLD = time.time() - 30 * 86400
pytestmark = pytest.mark.xdist_group("cache-clients")


@dataclass(frozen=True)
class Place:
    """An origin, a cache before it, and one that knows no lifetime unless it is told."""

    address: str
    files: Path

    @property
    def origin(self) -> str:
        return f"http://{self.address}:8080"

    def proxy(self, heuristic: bool = True) -> str:
        return f"http://{self.address}:{3128 if heuristic else 3129}"

    def sum_of(self, port: int, metric: str, *labels: str) -> float:
        """Of the samples of a metric that have all these labels."""
        with urlopen(f"http://{self.address}:{port}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        return sum(
            float(line.split()[-1]) for line in lines
            if line.partition("{")[0].partition(" ")[0] == metric and all(label in line for label in labels)
        )  # fmt: skip

    def answered(self, *labels: str) -> float:
        """Responses of the origin."""
        return self.sum_of(9101, "netstack_http_requests_total", *labels)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("cache")
    files = directory / "files"
    files.mkdir()
    found = Place(own_address(), files)

    def service(name: str, port: int, health: int, *options: str) -> tuple[str, ...]:
        listen = f"--listen=tcp:{port}:interface={found.address}"
        own = (f"--address={found.address}", f"--health={health}", "--no-access-log", f"--state={directory}/{port}")
        return TWISTD, "--nodaemon", "--pidfile=", name, listen, *own, *options

    dns = ("--resolver=127.0.0.1:9", "--connect-seconds=1", "--reach=127.0.0.0/8")
    with (
        running(*service("netstack-origin", 8080, 9101, f"--site={found.address}={files}"), ready="serves HTTP on"),
        running(*service("netstack-cache", 3128, 9102, *dns), ready="serves HTTP on"),
        running(*service("netstack-cache", 3129, 9103, *dns, "--heuristic=0", "--via=strict"), ready="serves HTTP on"),
    ):
        yield found


def run(*command: str, directory: Path, **environment: str) -> str:
    """What a program prints; fails the test when it fails. Nothing of the machine's own settings about proxies counts."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        command,
        cwd=directory,
        env={**kept, "HOME": str(directory), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def site(files: Path) -> str:
    """Pages that link each other and show pictures; none says how long it lives. The directory's name."""
    directory = files / f"site{len(list(files.iterdir()))}"
    directory.mkdir()
    pages = [f"page{number}.html" for number in range(8)]
    links = "".join(f'<a href="{page}">x</a><img src="{page}.gif">' for page in pages)
    for name in ("index.html", *pages):
        (directory / name).write_text(f"<html><body>{name} {links}</body></html>")
        (directory / f"{name}.gif").write_bytes(b"GIF89a" + name.encode() * 100)
    for path in directory.iterdir():
        os.utime(path, (OLD, OLD))
    return directory.name


@pytest.mark.parametrize("heuristic", [True, False])
def test_wget_fetches_a_site_twice(place: Place, tmp_path: Path, heuristic: bool) -> None:
    """The second time no octet of content comes from the origin: nothing is asked, or everything is 304."""
    need("wget")
    name = site(place.files)
    seen = []
    for number in range(2):
        target = tmp_path / f"copy{number}"
        run(
            "wget", "--recursive", "--no-verbose", "--page-requisites", "--execute=robots=off", "--no-parent",
            f"--directory-prefix={target}", f"{place.origin}/{name}/", directory=tmp_path, http_proxy=place.proxy(heuristic),
        )  # fmt: skip
        found = {path.name: path.read_bytes() for path in target.rglob("*") if path.is_file()}
        octets = place.sum_of(9102 if heuristic else 9103, "netstack_cache_origin_bytes_total")
        seen.append((found, place.answered(), place.answered('code="304"'), octets))
    (first, asked, before, octets), (second, asked_again, unmodified, octets_again) = seen
    assert first == second
    assert len(first) == 17
    assert octets_again == octets
    assert asked_again - asked == unmodified - before == (0 if heuristic else 17)


def wheel(directory: Path) -> Path:
    """A package with nothing in it."""
    path = directory / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo.py", "ANSWER = 42\n" + "# padding\n" * 20_000)
        archive.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        archive.writestr(
            "demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    return path


def test_pip_through_the_proxy(place: Place, tmp_path: Path) -> None:
    simple = place.files / "simple" / "demo"
    simple.mkdir(parents=True)
    digest = hashlib.sha256(wheel(simple).read_bytes()).hexdigest()
    link = f'<a href="demo-1.0-py3-none-any.whl#sha256={digest}">demo</a>'
    (simple / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")
    for path in simple.iterdir():
        os.utime(path, (OLD, OLD))
    asked = []
    for number in range(2):
        run(
            sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "--disable-pip-version-check", "download",
            "--no-deps", f"--proxy={place.proxy()}", f"--index-url={place.origin}/simple/",
            f"--trusted-host={place.address}", f"--dest={tmp_path}/got{number}", "demo", directory=tmp_path,
        )  # fmt: skip
        asked.append((place.answered('code="200"'), place.answered('code="304"')))
    for number in range(2):
        got = tmp_path / f"got{number}" / "demo-1.0-py3-none-any.whl"
        assert hashlib.sha256(got.read_bytes()).hexdigest() == digest
    assert asked[0][0] == asked[1][0], "the second time nothing comes whole from the origin"
    assert asked[1][1] - asked[0][1] <= 1, "pip has the index validated (max-age=0)"


def test_apt_through_the_proxy(place: Place, tmp_path: Path) -> None:
    need("apt-get")
    need("dpkg-deb")
    root = tmp_path / "package" / "DEBIAN"
    root.mkdir(parents=True)
    (root / "control").write_text(
        "Package: demo\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@x.test>\nDescription: x\n"
    )
    files = place.files / "debian"
    files.mkdir()
    package = files / "demo_1.0_all.deb"
    run("dpkg-deb", "--build", str(root.parent), str(package), directory=tmp_path)
    data = package.read_bytes()
    index = (root / "control").read_text() + (
        f"Filename: ./{package.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    )
    (files / "Packages").write_text(index)
    for path in files.iterdir():
        os.utime(path, (OLD, OLD))
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] {place.origin}/debian/ ./\n")
    asked = []
    for number in range(2):
        state = tmp_path / f"apt{number}"
        for below in ("lists/partial", "cache/archives/partial"):
            (state / below).mkdir(parents=True)
        (state / "status").touch()
        options = [
            f"-oDir::Etc::SourceList={tmp_path}/sources.list", "-oDir::Etc::SourceParts=-", f"-oDir::State={state}",
            f"-oDir::State::status={state}/status", f"-oDir::Cache={state}/cache", "-oAPT::Sandbox::User=root",
            "-oAcquire::Languages=none", f"-oAcquire::http::Proxy={place.proxy()}", "-oAPT::Get::AllowUnauthenticated=true",
        ]  # fmt: skip
        run("apt-get", *options, "update", directory=tmp_path)
        run("apt-get", *options, "download", "demo", directory=state)
        assert (state / package.name).read_bytes() == data
        asked.append((place.answered('code="200"'), place.answered('code="304"')))
    assert asked[0][0] == asked[1][0], "the second time nothing comes whole from the origin"


def test_curl_sees_what_the_cache_did(place: Place, tmp_path: Path) -> None:
    need("curl")
    name = site(place.files)
    large = os.urandom(5_000_000)
    (place.files / "large.bin").write_bytes(large)
    os.utime(place.files / "large.bin", (OLD, OLD))

    def curl(*arguments: str) -> str:
        return run("curl", "--silent", "--show-error", "--include", "--proxy", place.proxy(), *arguments, directory=tmp_path)

    url = f"{place.origin}/{name}/page1.html"
    assert "fwd=uri-miss; stored" in curl(url)
    hit = curl(url)
    assert "; hit; ttl=" in hit
    assert "\nAge: " in hit
    assert "206 Partial Content" in curl("--range", "0-4", url)
    tag = re.findall(r'\nETag: ("[^"]*")', hit)[0]
    assert "304 Not Modified" in curl("--header", f"If-None-Match: {tag}", url)
    assert "fwd=request" in curl("--header", "Cache-Control: no-cache", url)
    for number in range(2):
        curl("--output", f"large{number}", "--no-include", f"{place.origin}/large.bin")
        assert (tmp_path / f"large{number}").read_bytes() == large
    assert "405 Method Not Allowed" in curl("--request", "DELETE", url)
    assert "fwd=uri-miss" in curl("--request", "GET", f"{url}?other")
    assert "error=dns_" in curl("http://nowhere.invalid/")
