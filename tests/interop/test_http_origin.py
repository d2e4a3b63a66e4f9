"""Ranges, versions, uploads and redirects of netstack-origin with other people's clients; kill -9 during PUT."""

import gzip
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from email import message_from_bytes
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import pytest

from netstack.http.passwords import verifier_line
from netstack.kernel.disk import TEMPORARY
from tests.interop.http_site import LARGE, NAME, PAGE, PORT, TLS_PORT, Served, serving
from tests.interop.programs import need
from tests.processes import PATIENCE, Running, twistd

PASSWORD = "open sesame"
PLAIN, SECURE = f"http://{NAME}:{PORT}", f"https://{NAME}:{TLS_PORT}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("origin")
    writers = directory / "writers"
    writers.write_text(verifier_line("alice", PASSWORD, b"salt of the test") + "\n")
    with serving(directory, f"--writers={writers}", "--hsts=3600", f"--access-file={directory}/access.log", "--check=0",
                 "--max-requests=3", "--access-format=json", "--access-seconds=0.1") as served:  # fmt: skip
        page = served.root / "somedir" / "page.html"
        page.parent.mkdir()
        page.write_text("<p>English\n")
        (page.parent / "page.html.fr").write_text("<p>Français\n")
        (page.parent / "page.html.gz").write_bytes(gzip.compress(b"<p>English\n"))
        (page.parent / "page.html@Wget").write_text("<p>for Wget\n")
        yield served


def curl(served: Served, *arguments: str, status: int = 0) -> bytes:
    named = [option for port in (PORT, TLS_PORT) for option in ("--resolve", f"{NAME}:{port}:{served.address}")]
    command = [need("curl"), "-sS", "--http1.1", "--max-time", "10", "--cacert", str(served.ca), *named, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=15)
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.mark.parametrize("base", [PLAIN, SECURE])
def test_curl_ranges(served: Served, base: str) -> None:
    assert curl(served, "-r", "1000000-1999999", f"{base}/large.bin") == LARGE[1_000_000:2_000_000]
    assert curl(served, "-r", "-5", base + PAGE) == (served.root / PAGE[1:]).read_bytes()[-5:]
    head, _, body = curl(served, "-i", "-r", "0-2,100000-300000,-3", f"{base}/large.bin").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 206 Partial Content\r\n")
    message = message_from_bytes(head.partition(b"\r\n")[2] + b"\r\n\r\n" + body)
    parts = [part.get_payload(decode=True) for part in message.get_payload()]
    assert parts == [LARGE[:3], LARGE[100_000:300_001], LARGE[-3:]]
    assert b" 416 " in curl(served, "-i", "-r", "99999999-", f"{base}/large.bin")


def test_curl_and_wget_resume(served: Served, tmp_path: Path) -> None:
    for command, url in ((("-C", "-"), SECURE), (None, f"http://{served.address}:{PORT}")):
        half = tmp_path / "large.bin"
        half.write_bytes(LARGE[:4_000_000])
        if command is not None:
            curl(served, *command, "-o", str(half), url + "/large.bin")
        else:
            wget = [need("wget"), "-q", "-c", "--tries=1", url + "/large.bin"]
            subprocess.run(wget, cwd=tmp_path, check=True, timeout=15)
        assert half.read_bytes() == LARGE


def test_curl_languages_codings_and_programs(served: Served) -> None:
    url = PLAIN + "/somedir/page.html"
    assert curl(served, "-A", "x", url) == b"<p>English\n"
    french = curl(served, "-i", "-H", "Accept-Language: fr-CH, en;q=0.5", url)
    assert french.endswith("<p>Français\n".encode())
    assert b"\r\nContent-Language: fr\r\n" in french
    assert b"\r\nVary: Accept-Language, Accept-Encoding, User-Agent\r\n" in french
    coded = curl(served, "-i", "--compressed", url)
    assert b"\r\nContent-Encoding: gzip\r\n" in coded
    assert coded.endswith(b"<p>English\n")
    assert b"406 Not Acceptable" in curl(served, "-i", "-H", "Accept-Language: en;q=0, fr;q=0", url)
    wget = [need("wget"), "-q", "-O", "-", "--tries=1", f"http://{served.address}:{PORT}/somedir/page.html"]
    assert subprocess.run(wget, stdout=subprocess.PIPE, check=True, timeout=15).stdout == b"<p>for Wget\n"


def test_curl_puts_and_deletes(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "new.txt"
    file.write_bytes(b"x" * 200_000)
    url, code = SECURE + "/up/new.txt", ("-o", "/dev/null", "-w", "%{http_code}")
    who = ("-u", f"alice:{PASSWORD}")
    assert curl(served, *code, "-T", str(file), url) == b"401"
    assert curl(served, *code, *who, "-T", str(file), PLAIN + "/up/new.txt") == b"403"
    assert curl(served, *code, *who, "-H", "Expect: 100-continue", "-T", str(file), url) == b"201"
    assert (served.root / "up" / "new.txt").read_bytes() == file.read_bytes()
    assert curl(served, *code, *who, "-H", "Transfer-Encoding: chunked", "-T", str(file), url) == b"204"
    assert curl(served, *code, *who, "-H", 'If-Match: "other"', "-T", str(file), url) == b"412"
    assert curl(served, *code, *who, "-H", "If-None-Match: *", "-T", str(file), url) == b"412"
    assert curl(served, *code, *who, "-X", "DELETE", url) == b"204"
    assert curl(served, *code, url) == b"404"
    assert b"\r\nAllow: GET, HEAD, OPTIONS, PUT, DELETE\r\n" in curl(served, "-i", "-X", "OPTIONS", url)


def test_hsts_under_tls_alone(served: Served) -> None:
    assert b"\r\nStrict-Transport-Security: max-age=3600\r\n" in curl(served, "-i", SECURE + PAGE)
    assert b"Strict-Transport" not in curl(served, "-i", PLAIN + PAGE)


def test_keep_alive_says_how_long_and_ends_in_time(served: Served) -> None:
    urls = [part for _ in range(4) for part in (PLAIN + "/empty.txt",)]
    shown = curl(served, "-i", "-H", "Connection: keep-alive", "-w", "%{num_connects}\n", *urls).decode()
    assert re.findall(r"Keep-Alive: (.*)\r\n", shown) == ["timeout=3, max=2", "timeout=3, max=1", "timeout=3, max=2"]
    assert re.findall(r"^([0-9])$", shown, re.MULTILINE) == ["1", "0", "0", "1"]


def test_the_access_log_is_a_file_of_json(served: Served) -> None:
    curl(served, "-A", "the one", PLAIN + PAGE)
    log = served.root.parent / "access.log"

    def written() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [line for line in lines if line["agent"] == "the one"]

    [line] = served.process.wait_until(written, "the request is in the log")
    assert (line["request"], line["status"], line["host"]) == (f"GET {PAGE} HTTP/1.1", 200, NAME)
    assert PASSWORD not in log.read_text()


def test_curl_follows_to_https(tmp_path: Path) -> None:
    with serving(tmp_path, "--redirect-to-https") as served:
        shown = curl(served, "-L", "-o", "/dev/null", "-w", "%{http_code} %{url_effective}", f"{PLAIN}{PAGE}?a=b")
    assert shown.decode() == f"200 {SECURE}{PAGE}?a=b"


class Putting:
    """A client that puts one content after another until its server is gone. Contents are long and never the same twice."""

    def __init__(self, served: Served, start: int) -> None:
        self.acknowledged = start
        self.tried = start
        self._served = served
        self._trust = ssl.create_default_context(cafile=str(served.ca))
        self._trust.check_hostname = False
        self._who = b64encode(f"alice:{PASSWORD}".encode()).decode()
        self.begun = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        fields = {"Host": NAME, "Authorization": f"Basic {self._who}", "Connection": "close"}
        try:
            while True:
                connection = HTTPSConnection(self._served.address, TLS_PORT, timeout=20, context=self._trust)
                self.tried += 1
                connection.request("PUT", "/new.txt", content(self.tried), fields)
                self.begun.set()
                if connection.getresponse().status != 204:
                    return
                self.acknowledged = self.tried
                connection.close()
        except (OSError, HTTPException):
            return


def content(number: int) -> str:
    return f"{number:08}" * 40_000


def wait_for_the_writing(directory: Path) -> None:
    """Until the server has begun to write a file; not longer than ten seconds."""
    end = time.monotonic() + 10
    known = set(os.listdir(directory))
    while time.monotonic() < end:
        if any(name.startswith(TEMPORARY) for name in set(os.listdir(directory)) - known):
            return


def killed_in_the_middle(directory: Path, times: int) -> tuple[int, int]:
    """Kill a server while files are put, again and again. Half a file, or the loss of an acknowledged one, fails.

    How often the file in hand was there, and how often the one before it.
    """
    writers = directory / "writers"
    writers.write_text(verifier_line("alice", PASSWORD, b"salt of the test") + "\n")
    with serving(directory) as served:  # makes site and certificate
        (served.root / "new.txt").write_text(content(0))
    command = twistd(
        "netstack-origin", f"--address={served.address}", f"--listen=tls:{TLS_PORT}", f"--site={NAME}={served.root}",
        f"--certificate={directory}/leaf.pem", f"--key={directory}/leaf.key", f"--writers={writers}",
    )  # fmt: skip
    now, new, old = 0, 0, 0
    for number in range(times):
        server = Running(command, {**os.environ})
        server.wait_for("serves HTTP on")
        client = Putting(served, now)
        assert client.begun.wait(PATIENCE), server.log
        if number == 0:
            server.wait_until(lambda client=client: client.acknowledged, "one is acknowledged")
        elif number % 3:
            wait_for_the_writing(served.root)
            client.thread.join(0.0004 * (number % 5))  # at the write, the sync, the renaming
        else:
            client.thread.join(0.02 * (number % 7))
        server.process.send_signal(signal.SIGKILL)
        server.end()
        client.thread.join(PATIENCE)
        assert not client.thread.is_alive()
        found = (served.root / "new.txt").read_text()
        assert found in (content(client.acknowledged), content(client.tried)), (
            f"run {number}: neither the old nor the new file"
        )
        new += found == content(client.tried)
        old += found != content(client.tried)
        now = int(found[:8])
    assert now > 0, "nothing was put"
    return new, old


@pytest.mark.slow
def test_kill_9_during_put_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    assert sum(killed_in_the_middle(tmp_path, 10)) == 10
