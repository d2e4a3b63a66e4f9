"""Tunnels of the forward proxy, and TLS and HTTP/2 to it, under other people's programs: curl, headless Chromium, pip."""

import base64
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from netstack.kernel.authority import Authority
from tests.addresses import own_address
from tests.interop.http_site import LARGE, NAME, PAGE, PORT, TLS_PORT, Served, serving
from tests.interop.programs import need
from tests.interop.test_http_browser import IMAGES, trust
from tests.processes import Running, running, twistd

PROXY_NAME = "cache.someschool.edu"
PLAIN, SECURE = f"http://{NAME}:{PORT}", f"https://{NAME}:{TLS_PORT}"
ZONE = """$ORIGIN someschool.edu.
@ 60 IN SOA dns hostmaster 1 3600 600 86400 60
@ 60 IN NS dns
dns 60 IN A {dns}
www 60 IN A {origin}
"""
OTHERS = ("_PROXY", "CA_BUNDLE", "SSL_CERT")
"""Parts of names in the environment that lead programs elsewhere."""

pytestmark = pytest.mark.xdist_group("cache-tunnels")


@dataclass(frozen=True)
class Proxy:
    """A cache that knows names by a DNS server of ours, and the origin."""

    address: str
    served: Served
    process: Running
    directory: Path

    @property
    def plain(self) -> str:
        return f"http://{self.address}:3128"

    def told(self, text: str) -> int:
        """Lines of the access log that hold a text, once all have been written."""
        self.process.wait_for('"PURGE ', self._marked())
        return sum(text in line for line in self.process.lines)

    def _marked(self) -> int:
        """A request that is refused comes after all others in the log."""
        before = sum('"PURGE ' in line for line in self.process.lines)
        subprocess.run([need("curl"), "-s", "-o", "/dev/null", "-X", "PURGE", "-x", self.plain, PLAIN], check=True)
        return before + 1


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    directory = tmp_path_factory.mktemp("proxy")
    with serving(directory) as served, _dns(directory, served) as dns:
        yield from _proxy(directory, served, dns)


@contextmanager
def _dns(directory: Path, served: Served) -> Iterator[str]:
    address = own_address()
    zone = directory / "zone"
    zone.write_text(ZONE.format(dns=address, origin=served.address))
    command = twistd(
        "netstack-dns", f"--address={address}", f"--zone=someschool.edu={zone}", "--listen=udp:5353", "--listen=tcp:5353"
    )
    with running(*command, ready="serves 1 zones", count=2):
        yield f"{address}:5353"


def _proxy(directory: Path, served: Served, dns: str) -> Iterator[Proxy]:
    now = time.time()
    certificate, key = Authority.kept(directory / "ca", lambda: now).issue([PROXY_NAME]).pem()
    (directory / "proxy.pem").write_bytes(certificate)
    (directory / "proxy.key").write_bytes(key)
    address = own_address()
    command = twistd(
        "netstack-cache", f"--address={address}", "--listen=tcp:3128", "--listen=tls:3129", f"--resolver={dns}",
        "--reach=127.0.0.0/8", f"--tunnel-ports=443,{TLS_PORT}", f"--state={directory}/state", f"--trust={served.ca}",
        f"--certificate={directory}/proxy.pem", f"--key={directory}/proxy.key", f"--via={PROXY_NAME}",
        "--access-seconds=0.1",
    )  # fmt: skip
    with running(*command, ready="serves HTTP on", count=2) as process:
        yield Proxy(address, served, process, directory)


def done(*command: str, status: int | None = 0, **environment: str) -> str:
    """What a program prints, errors too; it knows of no proxy and no authorities but those it is told."""
    kept = {name: value for name, value in os.environ.items() if not any(part in name.upper() for part in OTHERS)}
    found = subprocess.run(
        command, env={**kept, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False
    )
    text = found.stdout.decode("utf-8", "replace")
    assert status is None or found.returncode == status, text
    return text


def curl(proxy: Proxy, *arguments: str, status: int = 0) -> str:
    """curl without a way to the origin's name of its own."""
    base = (need("curl"), "-sS", "--max-time", "10", "--cacert", str(proxy.served.ca))
    return done(*base, *arguments, status=status)


# curl


def test_curl_by_its_environment(proxy: Proxy) -> None:
    shown = [done(need("curl"), "-sSi", PLAIN + "/index.html?env", http_proxy=proxy.plain) for _ in range(2)]
    assert "<p>Welcome.</p>" in shown[0]
    assert f"Cache-Status: {PROXY_NAME}; fwd=uri-miss; stored" in shown[0]
    assert f"Via: 1.1 {PROXY_NAME}" in shown[0]
    assert "Age: " in shown[1], "it was stored, validated or not"


@pytest.mark.parametrize(("option", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_curl_makes_a_tunnel_and_verifies_the_origin_in_it(proxy: Proxy, option: str, version: str, tmp_path: Path) -> None:
    told = curl(
        proxy, option, "-x", proxy.plain, "-o", str(tmp_path / "large"), "-w",
        "%{http_connect} %{http_code} %{http_version}", SECURE + "/large.bin",
    )  # fmt: skip
    assert told == f"200 200 {version}"
    assert (tmp_path / "large").read_bytes() == LARGE


@pytest.mark.parametrize("url", [PLAIN + PAGE, SECURE + PAGE])
def test_curl_speaks_tls_to_the_proxy(proxy: Proxy, url: str) -> None:
    shown = curl(
        proxy, "-x", f"https://{PROXY_NAME}:3129", "--proxy-cacert", str(proxy.served.ca), "--resolve",
        f"{PROXY_NAME}:3129:{proxy.address}", url,
    )  # fmt: skip
    assert "<title>Some Department</title>" in shown


def test_curl_uploads_with_and_without_a_length(proxy: Proxy, tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(LARGE[:900_000])
    for fields in ((), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue")):
        shown = curl(proxy, "-x", proxy.plain, "-i", *fields, "-T", str(file), PLAIN + "/none.bin")
        assert "HTTP/1.1 405 " in shown, "the origin takes no uploads, and says so"


@pytest.mark.parametrize(
    ("url", "connect", "status"),
    [
        (f"https://{NAME}:22/", "403", 56),
        ("https://nowhere.someschool.edu:443/", "502", 56),
        (f"https://{NAME}:443/", "502", 56),
    ],
)
def test_curl_is_told_why_there_is_no_tunnel(proxy: Proxy, url: str, connect: str, status: int) -> None:
    assert connect in curl(proxy, "-x", proxy.plain, "-w", "%{http_connect}", url, status=status)


def test_curl_is_told_what_is_wrong_with_an_origin(proxy: Proxy) -> None:
    for url, kind in (
        ("http://nowhere.someschool.edu/", "dns_error"),
        (f"http://{NAME}:81/", "403"),
        (f"http://{NAME}:1999/", "refused"),
    ):
        assert kind in curl(proxy, "-x", proxy.plain, "-i", url)


# Chromium


@contextmanager
def browser(proxy: Proxy, home: Path, *arguments: str) -> Iterator[webdriver.Chrome]:
    """A headless Chromium that knows no address but the proxy's."""
    options = webdriver.ChromeOptions()
    options.binary_location = need("chromium")
    trust(home, proxy.served.ca)
    known = f"MAP {PROXY_NAME} {proxy.address}"
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={home}/profile",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
        f"--host-resolver-rules={known}, MAP * ~NOTFOUND, EXCLUDE {proxy.address}, EXCLUDE 127.0.0.1",
        *arguments,
    ):  # fmt: skip
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(need("chromedriver"), env={**os.environ, "HOME": str(home)}))
    try:
        driver.set_page_load_timeout(20)
        yield driver
    finally:
        driver.quit()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["http", "https", "pac"])
def test_chromium_goes_through_the_proxy_and_into_tunnels(proxy: Proxy, tmp_path: Path, way: str) -> None:
    script = f'function FindProxyForURL(url, host) {{ return "PROXY {proxy.address}:3128"; }}'
    argument = {
        "http": f"--proxy-server={proxy.plain}",
        "https": f"--proxy-server=https://{PROXY_NAME}:3129",
        "pac": "--proxy-pac-url=data:application/x-ns-proxy-autoconfig;base64," + base64.b64encode(script.encode()).decode(),
    }[way]
    tunnels = proxy.told("tunnel;")
    with browser(proxy, tmp_path, argument) as driver:
        for base in (PLAIN, SECURE):
            driver.get(base + PAGE)
            assert driver.title == "Some Department"
            assert driver.execute_script(IMAGES) == [8] * 10  # type: ignore[no-untyped-call]
        driver.get("http://nowhere.someschool.edu/")
        assert driver.title == "502 Bad Gateway"
        assert "could not be resolved" in driver.page_source
    assert proxy.told("tunnel;") > tunnels
    if way == "https":
        assert proxy.told(f'"CONNECT {NAME}:{TLS_PORT} HTTP/2.0" 200') > 0


# pip


def wheel(site: Path) -> str:
    """A simple index (PEP 503) with one wheel of a package."""
    name = "netstack_hello-1.0-py3-none-any.whl"
    directory = site / "simple" / "netstack-hello"
    directory.mkdir(parents=True)
    info = "netstack_hello-1.0.dist-info"
    with zipfile.ZipFile(directory / name, "w") as archive:
        archive.writestr("netstack_hello.py", "print('hello')\n" * 1000)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: netstack-hello\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    (directory / "index.html").write_text(f'<!DOCTYPE html><a href="{name}">{name}</a>\n')
    return name


def test_pip_fetches_a_wheel_plainly_and_in_a_tunnel(proxy: Proxy, tmp_path: Path) -> None:
    name = wheel(proxy.served.root)
    for way, base in enumerate((PLAIN, SECURE)):
        done(
            sys.executable, "-m", "pip", "--isolated", "download", "--no-deps", "--no-cache-dir",
            "--disable-pip-version-check", "--retries", "0", "--proxy", proxy.plain, "--trusted-host", f"{NAME}:{PORT}",
            "--cert", str(proxy.served.ca),
            "--index-url", f"{base}/simple", "--dest", str(tmp_path / str(way)), "netstack-hello",
        )  # fmt: skip
        found = (tmp_path / str(way) / name).read_bytes()
        assert found == (proxy.served.root / "simple" / "netstack-hello" / name).read_bytes()
    assert proxy.told(f"/simple/netstack-hello/{name} HTTP/1.1") == 1, "in a tunnel nothing is seen"
