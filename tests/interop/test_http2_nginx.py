"""Our client and nginx over HTTP/2: under TLS by ALPN and in the clear, many requests at once, large files."""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from netstack.http import ClientOptions, FetchError, HTTPClient, Result
from netstack.kernel.authority import Authority
from netstack.kernel.machine import Machine
from netstack.kernel.real import real_machine
from netstack.kernel.resolver import FakeResolver
from netstack.kernel.tls import HostTLS
from tests.addresses import own_address
from tests.interop.programs import need
from tests.processes import wait_until

NAME = "www.a.test"
PORT, TLS_PORT, OLD_PORT = 8080, 8443, 8081
LARGE = bytes(range(256)) * 20_000


@dataclass(frozen=True)
class Nginx:
    """Where it listens, and the CA of its certificate."""

    address: str
    ca: Path
    process: "subprocess.Popen[bytes]"


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    directory = tmp_path_factory.mktemp("nginx")
    root = directory / "site"
    root.mkdir()
    (root / "index.html").write_text("<p>nginx")
    (root / "large.bin").write_bytes(LARGE)
    now = time.time()
    certificate, key = Authority.kept(directory / "ca", lambda: now).issue([NAME]).pem()
    (directory / "leaf.pem").write_bytes(certificate)
    (directory / "leaf.key").write_bytes(key)
    address = own_address()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    (directory / "nginx.conf").write_text(
        f"""{user} daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log; events {{ }}
        http {{
            access_log off; {places} http2_max_concurrent_streams 16; client_max_body_size 100k;
            server {{
                listen {address}:{OLD_PORT}; listen {address}:{PORT} http2; listen {address}:{TLS_PORT} ssl http2;
                root {root}; ssl_certificate {directory}/leaf.pem; ssl_certificate_key {directory}/leaf.key;
            }}
        }}"""
    )
    command = [need("nginx"), "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: process.poll() is not None or (directory / "pid").exists(), "nginx listens")
            assert process.poll() is None
            yield Nginx(address, directory / "ca" / "ca.pem", process)
        finally:
            process.terminate()


@pytest.fixture
def machine(nginx: Nginx, tmp_path: Path) -> Machine:
    made = real_machine("client", addresses=(nginx.address,), state_directory=tmp_path)
    made.tls = HostTLS.from_files(made.reactor, made.wall, trust=nginx.ca)
    made.resolver = FakeResolver({(NAME, "A"): [nginx.address]})
    return made


PLAIN, SECURE = f"http://{NAME}:{PORT}", f"https://{NAME}:{TLS_PORT}"
BASES = pytest.mark.parametrize("base", [PLAIN, SECURE])


@BASES
@pytest_twisted.ensureDeferred
async def test_many_requests_at_once_and_large_files(machine: Machine, base: str) -> None:
    client = HTTPClient(machine, ClientOptions(http2=True, prior_knowledge=True))
    first = await client.fetch(base + "/")
    assert (first.status, first.version, first.body, first.reused) == (200, "HTTP/2", b"<p>nginx", False)
    urls = [base + path for path in ("/", "/large.bin", "/none") * 15]
    found: list[Result] = await gatherResults([Deferred.fromCoroutine(client.fetch(url)) for url in urls])
    assert [each.status for each in found] == [200, 200, 404] * 15
    assert all(each.body == LARGE for each in found[1::3])
    assert all(each.reused for each in found)
    client.close()


@BASES
@pytest_twisted.ensureDeferred
async def test_heads_conditions_and_bodies(machine: Machine, base: str) -> None:
    client = HTTPClient(machine, ClientOptions(http2=True, prior_knowledge=True))
    head = await client.fetch(base + "/large.bin", "HEAD")
    assert (head.status, head.body, head.field("content-length")) == (200, b"", str(len(LARGE)))
    tag = head.field("etag") or ""
    assert (await client.fetch(base + "/large.bin", fields=[("If-None-Match", tag)])).status == 304
    assert (await client.fetch(base + "/large.bin", fields=[("Range", "bytes=5-9")])).body == LARGE[5:10]
    assert (await client.fetch(base + "/", "POST", body=b"x" * 90_000)).status == 405
    assert (await client.fetch(base + "/", "POST", body=b"x" * 900_000)).status == 413
    client.close()


@pytest_twisted.ensureDeferred
async def test_a_server_of_http1_is_told_from_one_of_http2(machine: Machine) -> None:
    client = HTTPClient(machine, ClientOptions(http2=True, prior_knowledge=True))
    with pytest.raises(FetchError, match="it answers in HTTP/1"):
        await client.fetch(f"http://{NAME}:{OLD_PORT}/")
    client.close()
