"""A world in namespaces, judged by programs that know nothing of it: standard ports, /etc/resolv.conf, the system's CAs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.world import directories
from tests.interop.programs import need
from tests.processes import wait_until
from tests.world.namespaces.allowed import needs_namespaces

pytestmark = [needs_namespaces, pytest.mark.xdist_group("namespaces")]
CLIENT = "cse.nyu.edu"
PAGE = "www.someschool.edu/somedepartment/home.index"


class Command:
    """`netstack` with a world of its own."""

    def __init__(self, root: Path) -> None:
        self.environment = dict(os.environ) | directories(root)

    def __call__(self, *arguments: str, expected: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "netstack.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment,
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout

    def on(self, host: str, *program: str, expected: int = 0) -> str:
        """A program run on a host."""
        return self("exec", host, "--", *program, expected=expected)


@pytest.fixture(scope="module")
def netstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    root = tmp_path_factory.mktemp("ns")
    root.chmod(0o700)
    command = Command(root)
    command("up", "--substrate", "namespaces", "--detach")
    pids = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _of(root, pid)]
    yield command
    command("down")
    assert len(pids) > 10
    wait_until(lambda: not [pid for pid in pids if _of(root, pid)], "no process is left")


def _of(root: Path, pid: int) -> bool:
    try:
        return f"XDG_RUNTIME_DIR={root}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def resolve(netstack: Command, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(netstack("resolve", *arguments, "--trace", "--json"))
    return found


def test_eight_messages_then_two(netstack: Command) -> None:
    cold = resolve(netstack, "gaia.cs.umass.edu", "--from", CLIENT, "--cold")
    assert len(cold["messages"]) == 8
    assert {message["protocol"] for message in cold["messages"]} == {"dns"}
    warm = resolve(netstack, "gaia.cs.umass.edu", "--from", "apricot.nyu.edu")
    assert [(message["from"], message["to"]) for message in warm["messages"]] == [
        ("apricot.nyu.edu", "dns.nyu.edu"),
        ("dns.nyu.edu", "apricot.nyu.edu"),
    ]


def test_dig_uses_the_hosts_resolver(netstack: Command) -> None:
    out = netstack.on(CLIENT, need("dig"), "gaia.cs.umass.edu")
    assert "status: NOERROR" in out
    assert "flags: qr rd ra;" in out
    assert "#53(" in out


def test_dig_traces_from_the_root(netstack: Command) -> None:
    out = netstack.on(CLIENT, need("dig"), "+trace", "gaia.cs.umass.edu")
    servers = [line.partition("(")[2].partition(")")[0] for line in out.splitlines() if line.startswith(";; Received")]
    assert len(servers) == 4
    assert servers[1].endswith(".root-servers.net")
    assert servers[2] == "a.edu-servers.net"
    assert servers[3].endswith("umass.edu")
    assert "gaia.cs.umass.edu.\t172800\tIN\tA\t10." in out


def test_the_c_library_resolves(netstack: Command) -> None:
    address, name = netstack.on(CLIENT, "getent", "hosts", "gaia.cs.umass.edu").split()
    assert address.startswith("10.")
    assert name == "gaia.cs.umass.edu"


def test_curl_trusts_the_worlds_ca_and_fetches_the_page_with_its_images(netstack: Command) -> None:
    page = netstack.on(CLIENT, "env", "-u", "CURL_CA_BUNDLE", "-u", "SSL_CERT_FILE", need("curl"), "-sSf", f"https://{PAGE}")
    images = [part.partition('"')[0] for part in page.split('src="')[1:]]
    assert len(images) == 10
    base = PAGE.rpartition("/")[0]
    sizes = netstack.on(
        CLIENT, need("curl"), "-sSf", "-w", "%{http_code} %{content_type}\n",
        *(part for image in images for part in ("-o", "/dev/null", f"http://{base}/{image}")),
    )  # fmt: skip
    assert len([line for line in sizes.splitlines() if line.startswith("200 image/")]) == 10


def test_a_request_typed_by_hand(netstack: Command) -> None:
    typed = "GET / HTTP/1.1\nHost: gaia.cs.umass.edu\nConnection: close\n\n"  # telnet makes each \n a CRLF
    command = [sys.executable, "-m", "netstack.cli", "exec", CLIENT, "--", need("telnet"), "gaia.cs.umass.edu", "80"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=netstack.environment
    ) as telnet:
        assert telnet.stdin is not None
        assert telnet.stdout is not None
        try:
            telnet.stdin.write(typed)
            telnet.stdin.flush()
            out = telnet.stdout.read()  # until the server closes: its input stays open, as a person's does
        finally:
            telnet.kill()
    assert "HTTP/1.1 200 OK" in out


def test_the_journal_has_each_message_of_foreign_programs_once(netstack: Command) -> None:
    """Dig is not ours, so the resolver writes its question; everything between our servers is written by its sender."""
    netstack("trace", "--off")
    follower = subprocess.Popen(
        [sys.executable, "-m", "netstack.cli", "trace", "--json", "--count", "2", "--seconds", "20"],
        stdout=subprocess.PIPE,
        text=True,
        env=netstack.environment,
    )
    with follower:
        for _ in range(50):  # until the journals are on, which the follower cannot tell us
            netstack.on("apricot.nyu.edu", need("dig"), "+short", "gaia.cs.umass.edu")
            if follower.poll() is not None:
                break
        assert follower.stdout is not None
        rows = [json.loads(line) for line in follower.stdout]
    assert [(row["from"], row["to"]) for row in rows] == [
        ("apricot.nyu.edu", "dns.nyu.edu"),
        ("dns.nyu.edu", "apricot.nyu.edu"),
    ]


def test_ordinary_users_can(tmp_path: Path) -> None:
    """The supervisor's steps as user 65534, in the small way that needs no files of that user."""
    if os.getuid() != 0:
        pytest.skip("this run is by an ordinary user already")
    code = (
        "from netstack.world.namespaces.supervisor import *\n"
        "import socket\n"
        "def serve(plan, ready):\n"
        "    s = socket.socket(); s.bind((plan.addresses[0], 53)); ready()\n"
        "s = Supervisor([HostPlan('h', ('10.66.0.1',), {})], 16, serve); s.start(); s.stop(); print('yes')\n"
    )
    drop = [need("setpriv"), "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    probe = subprocess.run([*drop, sys.executable, "-c", "import pyroute2"], capture_output=True, text=True, cwd="/")
    if probe.returncode:
        pytest.skip("that user may not read this Python's files")
    done = subprocess.run([*drop, sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "yes\n", done.stderr
