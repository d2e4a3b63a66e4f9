"""netstack-origin against other people's clients of HTTP/2: curl, nghttp, h2load; under TLS and in the clear."""

import asyncio
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from netstack.http.passwords import verifier_line
from tests.interop.http_site import LARGE, NAME, PAGE, PORT, TLS_PORT, Served, serving
from tests.interop.programs import need

PASSWORD = "open sesame"
PLAIN, SECURE = f"http://{NAME}:{PORT}", f"https://{NAME}:{TLS_PORT}"
BASES = pytest.mark.parametrize(("base", "option"), [(PLAIN, "--http2-prior-knowledge"), (SECURE, "--http2")])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("origin")
    writers = directory / "writers"
    writers.write_text(verifier_line("alice", PASSWORD, b"salt of the test") + "\n")
    with serving(directory, f"--writers={writers}", "--hsts=3600", "--max-body=20000000") as served:
        yield served


def output(*command: str, status: int | None = 0, seconds: float = 20) -> bytes:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds)
    assert status is None or done.returncode == status, done.stdout
    return done.stdout


def curl(served: Served, *arguments: str) -> bytes:
    named = (f"{NAME}:{PORT}:{served.address}", f"{NAME}:{TLS_PORT}:{served.address}")
    resolved = [option for name in named for option in ("--resolve", name)]
    return output(need("curl"), "-sS", "--max-time", "15", "--cacert", str(served.ca), *resolved, *arguments)


@BASES
def test_curl_gets_a_page(served: Served, base: str, option: str) -> None:
    shown = curl(served, option, "-i", base + PAGE)
    head, _, body = shown.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/2 200 \r\n")
    assert (b"strict-transport-security: max-age=3600" in head) is (base == SECURE)
    assert body == (served.root / PAGE[1:]).read_bytes()
    served.process.wait_for(f'"GET {PAGE} HTTP/2.0" 200', count=1)


def test_curl_that_asks_for_an_upgrade_stays_with_http1(served: Served) -> None:
    assert curl(served, "--http2", "-i", PLAIN + PAGE).startswith(b"HTTP/1.1 200 OK\r\n")


@BASES
def test_curl_gets_a_large_file_ranges_and_heads(served: Served, base: str, option: str) -> None:
    assert curl(served, option, base + "/large.bin") == LARGE
    assert curl(served, option, "-r", "1000-70000", base + "/large.bin") == LARGE[1000:70_001]
    parts = curl(served, option, "-r", "0-4,100-104", base + "/large.bin")
    assert parts.count(b"Content-Range: bytes ") == 2
    assert f"content-length: {len(LARGE)}\r\n".encode() in curl(served, option, "-I", base + "/large.bin")
    code = ("-o", "/dev/null", "-w", "%{http_code}")
    assert curl(served, option, *code, "-z", str(served.root / PAGE[1:]), base + PAGE) == b"304"
    assert curl(served, option, *code, base + "/none") == b"404"
    assert curl(served, option, *code, base + "/somedepartment") == b"301"


@pytest.mark.parametrize("options", [["--parallel", "--no-progress-meter"], []])
def test_curl_keeps_its_connection(served: Served, options: list[str]) -> None:
    # Under TLS: with prior knowledge curl 7.88 fails at the second request of a connection, also with nginx.
    targets = [part for number in range(10) for part in ("-o", "/dev/null", f"{SECURE}/somedepartment/images/{number}.png")]
    shown = curl(served, "--http2", *options, "-w", "%{http_version} %{http_code} %{num_connects}\n", *targets)
    lines = shown.decode().split("\n")[:-1]
    assert {line[:5] for line in lines} == {"2 200"}
    assert sum(int(line.split()[2]) for line in lines) == 1


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
def test_curl_puts_a_file(served: Served, tmp_path: Path, expect: str) -> None:
    content = bytes(range(256)) * 12_000
    source = tmp_path / "source"
    source.write_bytes(content)
    who = ("-u", f"alice:{PASSWORD}", "-H", expect, "-H", "Content-Type: application/octet-stream")
    code = ("-o", "/dev/null", "-w", "%{http_code}")
    assert curl(served, "--http2", *who, *code, "-T", str(source), SECURE + "/new.bin") in (b"201", b"204")
    assert curl(served, "--http2", SECURE + "/new.bin") == content
    assert curl(served, "--http2", "-H", expect, *code, "-T", str(source), SECURE + "/new.bin") == b"401"
    assert curl(served, "--http2", *who, *code, "-X", "DELETE", SECURE + "/new.bin") == b"204"


@pytest.mark.parametrize("base", ["http", "https"])
def test_nghttp_follows_a_page_with_its_images(served: Served, base: str) -> None:
    port = PORT if base == "http" else TLS_PORT
    shown = output(need("nghttp"), "-nas", f"{base}://{served.address}:{port}{PAGE}").decode()
    rows = re.findall(r" (\d{3}) +[0-9.]+[KM]? (/\S*)", shown)
    assert len(rows) == 11, shown
    assert {status for status, _ in rows} == {"200"}


def test_h2load_has_no_failures(served: Served) -> None:
    targets = [f"https://{served.address}:{TLS_PORT}{path}" for path in (PAGE, "/somedepartment/images/1.png")]
    shown = output(need("h2load"), "-n", "2000", "-c", "8", "-m", "20", *targets).decode()
    assert "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout" in shown


def test_h2load_with_small_windows_gets_large_files_whole(served: Served) -> None:
    url = f"http://{served.address}:{PORT}/large.bin"
    shown = output(need("h2load"), "-n", "4", "-c", "2", "-m", "2", "-w", "14", "-W", "15", url).decode()
    assert "4 succeeded, 0 failed" in shown
    found = re.search(r"\((\d+)\) data", shown)
    assert found is not None
    assert int(found[1]) == 4 * len(LARGE)


def test_httpx_has_many_requests_at_once(served: Served) -> None:
    trusting = ssl.create_default_context(cafile=str(served.ca))
    urls = [f"{SECURE}/somedepartment/images/{number % 10}.png" for number in range(50)]

    async def fetch_all() -> list[tuple[str, int, bytes]]:
        transport = httpx.AsyncHTTPTransport(http2=True, verify=trusting)
        async with httpx.AsyncClient(mounts={"https://": Pinned(transport, served.address)}) as client:
            found = await asyncio.gather(*(client.get(url) for url in urls))
        return [(each.http_version, each.status_code, each.content[:4]) for each in found]

    assert asyncio.run(fetch_all()) == [("HTTP/2", 200, b"\x89PNG")] * 50


class Pinned(httpx.AsyncBaseTransport):
    """Requests go to one address, whatever their host's name."""

    def __init__(self, inner: httpx.AsyncBaseTransport, address: str) -> None:
        self._inner = inner
        self._address = address

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = request.url.host
        request.url = request.url.copy_with(host=self._address)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()
