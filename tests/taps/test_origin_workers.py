"""netstack-origin with `--workers`: a file that was put is what every worker serves, and conditions hold among them."""

import http.client
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from netstack.http.passwords import verifier_line
from netstack.kernel.authority import Authority
from tests.addresses import own_address
from tests.processes import running, twistd
from tests.taps.test_workers import HEALTH, START, metrics

NAME, PASSWORD = "www.someschool.edu", "correct horse"
PORT, TLS_PORT = 8080, 8443
ASKED = 16
BASIC = {"Authorization": "Basic " + b64encode(f"alice:{PASSWORD}".encode()).decode(), "Host": NAME}


@dataclass(frozen=True)
class Site:
    """Where it is served."""

    address: str
    root: Path

    def request(self, method: str, path: str, body: bytes | None = None, **fields: str) -> tuple[int, bytes, str]:
        """Over a connection of its own: status, content, entity tag. Changes go under TLS."""
        if method == "GET":
            connection = http.client.HTTPConnection(self.address, PORT, timeout=20)
        else:
            connection = http.client.HTTPSConnection(
                self.address, TLS_PORT, timeout=20, context=ssl._create_unverified_context()
            )
        headers = {**BASIC, "Connection": "close", **{name.replace("_", "-"): value for name, value in fields.items()}}
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        found = reply.status, reply.read(), reply.getheader("ETag") or ""
        connection.close()
        return found

    def seen(self, path: str) -> set[tuple[int, bytes]]:
        """What the workers say."""
        return {self.request("GET", path)[:2] for _ in range(ASKED)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory, address = tmp_path_factory.mktemp("site"), own_address()
    now = time.time()
    certificate, key = Authority.kept(directory / "ca", lambda: now).issue([NAME]).pem()
    (directory / "leaf.pem").write_bytes(certificate)
    (directory / "leaf.key").write_bytes(key)
    (directory / "writers").write_text(verifier_line("alice", PASSWORD, b"salt of the test") + "\n")
    (directory / "root").mkdir()
    (directory / "root" / "kept.txt").write_text("kept")
    command = twistd(
        "netstack-origin", f"--address={address}", f"--listen=tcp:{PORT}", f"--listen=tls:{TLS_PORT}", "--check=600",
        f"--site={NAME}={directory}/root", f"--certificate={directory}/leaf.pem", f"--key={directory}/leaf.key",
        f"--writers={directory}/writers", "--workers=2", f"--health={HEALTH}", f"--access-file={directory}/log",
    )  # fmt: skip
    with running(*command, ready="starting up") as process:
        process.wait_for("runs", 2, START)
        yield Site(address, directory / "root")
    lines = sum(len(log.read_text().splitlines()) for log in directory.glob("log*"))
    assert lines > ASKED
    assert {log.name for log in directory.glob("log*")} == {"log", "log-1"}


def test_a_change_is_seen_through_every_worker(site: Site) -> None:
    for number in range(6):
        status, _, _ = site.request("PUT", "/new.txt", b"version %d" % number, Content_Type="text/plain")
        assert status == (204 if number else 201)
        assert site.seen("/new.txt") == {(200, b"version %d" % number)}
    assert site.request("DELETE", "/new.txt")[0] == 204
    assert {status for status, _ in site.seen("/new.txt")} == {404}
    assert site.seen("/kept.txt") == {(200, b"kept")}
    counted = metrics(site.address)
    assert counted['netstack_http_requests_total{code="204",method="PUT"}'] == 5


def test_one_of_many_with_the_same_condition(site: Site) -> None:
    """RFC 9110 §13.1.1: If-Match keeps a writer from undoing another's change, whichever worker each came to."""
    site.request("PUT", "/race.txt", b"start", Content_Type="text/plain")
    for _ in range(3):
        tag = site.request("GET", "/race.txt")[2]
        with ThreadPoolExecutor(8) as threads:
            puts = [
                threads.submit(site.request, "PUT", "/race.txt", b"by %d" % number, If_Match=tag, Content_Type="text/plain")
                for number in range(8)
            ]
        assert sorted(put.result()[0] for put in puts) == [204] + [412] * 7
        winner = next(number for number, put in enumerate(puts) if put.result()[0] == 204)
        assert site.seen("/race.txt") == {(200, b"by %d" % winner)}
