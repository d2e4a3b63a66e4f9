"""netstack-origin against other people's clients: curl, wget, nc, telnet, openssl, Python's requests, ab."""

import os
import re
import select
import subprocess
from collections.abc import Iterator

import pytest
import requests

from tests.interop.http_site import LARGE, NAME, PAGE, PORT, TLS_PORT, Served, serving
from tests.interop.programs import need


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("origin")) as served:
        yield served


def output(*command: str, given: bytes = b"", status: int | None = 0, seconds: float = 15) -> bytes:
    """What a program prints, standard error included."""
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds)
    assert status is None or done.returncode == status, done.stdout
    return done.stdout


def typed(served: Served, program: str, lines: bytes, *options: str, until: bytes = b"</p>") -> bytes:
    """What nc or telnet shows when lines are typed into it, up to `until`; its input stays open, as a person's does."""
    command = [need(program), *options, served.address, str(PORT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        try:
            client.stdin.write(lines)
            client.stdin.flush()
            shown = b""
            while until not in shown:
                ready, _, _ = select.select([client.stdout], [], [], 10)
                part = os.read(client.stdout.fileno(), 65536) if ready else b""
                assert part, shown
                shown += part
            return shown
        finally:
            client.kill()


def curl(served: Served, *arguments: str, status: int | None = 0) -> bytes:
    named = (f"{NAME}:{PORT}:{served.address}", f"{NAME}:{TLS_PORT}:{served.address}")
    resolved = [option for name in named for option in ("--resolve", name)]
    return output(need("curl"), "-sS", "--max-time", "10", "--cacert", str(served.ca), *resolved, *arguments, status=status)


PLAIN, SECURE = f"http://{NAME}:{PORT}", f"https://{NAME}:{TLS_PORT}"


@pytest.mark.parametrize("base", [PLAIN, SECURE])
@pytest.mark.parametrize(("option", "version"), [("--http1.1", b"1.1"), ("--http1.0", b"1.1")])
def test_curl_gets_a_page(served: Served, base: str, option: str, version: bytes) -> None:
    shown = curl(served, option, "-i", base + PAGE)
    head, _, body = shown.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/" + version + b" 200 OK\r\n")
    assert body == (served.root / PAGE[1:]).read_bytes()


@pytest.mark.parametrize("base", [PLAIN, SECURE])
def test_curl_gets_a_large_file_whole(served: Served, base: str) -> None:
    assert curl(served, base + "/large.bin") == LARGE


def test_curl_head_redirect_and_conditional_get(served: Served) -> None:
    head = curl(served, "-I", PLAIN + "/large.bin")
    assert f"Content-Length: {len(LARGE)}\r\n".encode() in head
    followed = curl(
        served, "-L", "-o", "/dev/null", "-w", "%{http_code} %{num_redirects} %{url_effective}", PLAIN + "/somedepartment"
    )
    assert followed.decode() == f"200 1 {PLAIN}/somedepartment/"
    file = served.root.parent / "etag"
    code = ("-o", "/dev/null", "-w", "%{http_code}")
    assert curl(served, *code, "--etag-save", str(file), PLAIN + PAGE) == b"200"
    assert curl(served, *code, "--etag-compare", str(file), PLAIN + PAGE) == b"304"
    assert curl(served, *code, "-z", str(served.root / PAGE[1:]), PLAIN + PAGE) == b"304"


def test_curl_keeps_its_connection(served: Served) -> None:
    options = ("-w", "%{num_connects} ")
    targets = [part for path in ("/", PAGE, "/none", "/large.bin") for part in ("-o", "/dev/null", PLAIN + path)]
    assert curl(served, *options, *targets) == b"1 0 0 0 "
    assert curl(served, "-H", "Connection: close", *options, *targets) == b"1 1 1 1 "


def test_curl_posts_with_expect_and_is_told_which_methods_there_are(served: Served) -> None:
    shown = curl(served, "-i", "-H", "Expect: 100-continue", "-d", "@" + str(served.root / "index.html"), PLAIN + "/")
    assert shown.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"\r\nAllow: GET, HEAD, OPTIONS\r\n" in shown


def test_curl_does_not_trust_a_name_that_the_certificate_lacks(served: Served) -> None:
    shown = curl(served, f"https://{served.address}:{TLS_PORT}/", status=60)
    assert b"certificate" in shown.lower() or b"subject" in shown.lower()


def test_wget_mirrors_the_page_with_its_images(served: Served) -> None:
    target = served.root.parent / "mirror"
    output(need("wget"), "-q", "--tries=1", "-p", "-P", str(target), f"http://{served.address}:{PORT}{PAGE}", seconds=20)
    got = sorted(path.name for path in target.rglob("*.png"))
    assert got == [f"{number}.png" for number in range(10)]
    [page] = target.rglob("home.index")
    assert page.read_bytes() == (served.root / PAGE[1:]).read_bytes()


def test_telnet_with_a_request_typed_by_hand(served: Served) -> None:
    shown = typed(served, "telnet", f"GET {PAGE} HTTP/1.1\nHost: {NAME}\nConnection: close\n\n".encode(), until=b"</title>")
    assert b"HTTP/1.1 200 OK" in shown
    assert b"Some Department" in shown


def test_nc_that_sends_bare_line_feeds_is_told_so(served: Served) -> None:
    shown = typed(served, "nc", f"GET {PAGE} HTTP/1.1\nHost: {NAME}\n\n".encode())
    assert shown.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"nc -C" in shown
    again = typed(
        served, "nc", f"GET {PAGE} HTTP/1.1\nHost: {NAME}\nConnection: close\n\n".encode(), "-C", until=b"</title>"
    )
    assert again.startswith(b"HTTP/1.1 200 OK\r\n")


def test_nc_pipelines(served: Served) -> None:
    requests = "".join(
        f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n" for path in (PAGE, "/none", "/empty.txt", "/")
    ).encode()
    shown = output(need("nc"), "-N", served.address, str(PORT), given=requests)
    assert re.findall(rb"HTTP/1.1 ([0-9]{3}) ", shown) == [b"200", b"404", b"200", b"200"]
    assert shown.endswith(b"Welcome.</p>\n")


def test_a_head_that_does_not_end_is_answered_with_408(served: Served) -> None:
    assert typed(served, "nc", b"GET / HT").startswith(b"HTTP/1.1 408 Request Timeout\r\n")


@pytest.mark.parametrize(("offered", "agreed"), [("h2,http/1.1", b"h2"), ("http/1.1", b"http/1.1"), ("http/1.1,h2", b"h2")])
def test_openssl_agrees_on_a_version_by_alpn(served: Served, offered: str, agreed: bytes) -> None:
    where = ("-connect", f"{served.address}:{TLS_PORT}", "-servername", NAME, "-CAfile", str(served.ca))
    shown = output(need("openssl"), "s_client", *where, "-alpn", offered, "-verify_return_error", given=b"Q\n")
    assert b"ALPN protocol: " + agreed + b"\n" in shown
    assert b"Verify return code: 0 (ok)" in shown


def test_requests(served: Served) -> None:
    with requests.Session() as session:
        session.trust_env = False
        found = session.get(f"{served.plain}{PAGE}", headers={"Host": NAME}, timeout=10)
        assert (found.status_code, found.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        again = session.get(f"{served.plain}{PAGE}", headers={"If-None-Match": found.headers["ETag"]}, timeout=10)
        assert (again.status_code, again.content) == (304, b"")
        spaced = session.get(f"{served.plain}/a b.txt", timeout=10)
        assert spaced.text == "a space\n"
        moved = session.get(f"{served.plain}/somedepartment?x=1", timeout=10)
        assert [step.status_code for step in moved.history] == [301]
        assert moved.url == f"{served.plain}/somedepartment/?x=1"
        chunks = session.put(f"{served.plain}/x", data=iter([b"one", b"two"]), timeout=10)
        assert chunks.status_code == 405
        assert session.head(f"{served.plain}/large.bin", timeout=10).headers["Content-Length"] == str(len(LARGE))


@pytest.mark.parametrize("keep_alive", [True, False])
def test_ab(served: Served, keep_alive: bool) -> None:
    options = ["-k"] if keep_alive else []
    shown = output(need("ab"), "-q", "-n", "400", "-c", "8", *options, f"{served.plain}{PAGE}").decode()
    assert re.search(r"Complete requests: +400\n", shown)
    assert re.search(r"Failed requests: +0\n", shown)
    assert (re.search(r"Keep-Alive requests: +400\n", shown) is not None) is keep_alive


@pytest.mark.parametrize("base", [PLAIN, SECURE])
def test_wrk(served: Served, base: str) -> None:
    """It prints errors of sockets and statuses only where there were some."""
    shown = output(need("wrk"), "-t1", "-c8", "-d1s", f"{base.replace(NAME, served.address)}{PAGE}").decode()
    counted = re.search(r"(\d+) requests in", shown)
    assert counted is not None
    assert int(counted[1]) > 100
    assert "Non-2xx" not in shown
    assert "Socket errors" not in shown
