"""End to end: a real process with a small world, and every command against it."""

import base64
import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netstack.cli.client import Client
from netstack.cli.errors import CommandError
from tests.cli.world import OFFSET, as_json, brought_up, command, netstack, up_in
from tests.processes import PATIENCE, ROOT, wait_until

CLIENT, PAGE = "cse.nyu.edu", "gaia.cs.umass.edu"


pytestmark = pytest.mark.xdist_group("up")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """small.toml, up for this module; its status."""
    root = tmp_path_factory.mktemp("u")
    with up_in(root, "small", "s") as status:
        yield status


def test_status_has_the_stable_shape(small: dict[str, Any]) -> None:
    status = as_json("status")
    assert {"world", "substrate", "seed", "ca", "hosts"} <= set(status)
    assert (status["world"], status["substrate"]) == ("s", "loopback")
    assert Path(status["ca"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
    for host in status["hosts"].values():
        assert {"address", "site", "state", "services"} <= set(host)
        assert host["state"] == "ready"
        for service in host["services"]:
            assert {"name", "plugin", "endpoints", "health"} <= set(service)
            for endpoint in service["endpoints"]:
                assert set(endpoint) == {"transport", "address", "port", "tls"}
                assert endpoint["port"] > OFFSET
    assert status == small


def test_status_for_people(small: dict[str, Any]) -> None:
    done = netstack("status")
    assert done.returncode == 0
    assert PAGE in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_the_socket_is_private(small: dict[str, Any]) -> None:
    path = Path(os.environ["XDG_RUNTIME_DIR"]) / "netstack" / "s" / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_garbage_on_the_socket_hurts_nobody(small: dict[str, Any]) -> None:
    path = Path(os.environ["XDG_RUNTIME_DIR"]) / "netstack" / "s" / "control.sock"
    with socket.socket(socket.AF_UNIX) as garbage:
        garbage.settimeout(20)
        garbage.connect(str(path))
        garbage.sendall(b"\xff" * 70_000)
        assert json.loads(garbage.makefile("rb").readline())["error"]["kind"] == "request"
    assert netstack("status").returncode == 0


def test_inspect(small: dict[str, Any]) -> None:
    host = as_json("inspect", PAGE)
    assert host["name"] == PAGE
    assert [service["plugin"] for service in host["services"]] == ["netstack-origin"]
    assert as_json("inspect", "dns.umass.edu")["zones"] == ["umass.edu"]
    wrong = netstack("inspect", "no.such.host")
    assert (wrong.returncode, "no host no.such.host" in wrong.stderr) == (2, True)


def test_resolve_cold_takes_eight_messages_then_two(small: dict[str, Any]) -> None:
    found = as_json("resolve", PAGE, "--from", CLIENT, "--cold", "--trace")
    assert found["rcode"] == "NOERROR"
    assert small["hosts"][PAGE]["address"] in found["answer"][0]
    assert len(found["messages"]) == 8
    assert {"time", "from", "to", "protocol", "summary", "bytes"} <= set(found["messages"][0])
    assert (found["messages"][0]["from"], found["messages"][-1]["to"]) == (CLIENT, CLIENT)
    assert len(as_json("resolve", PAGE, "--from", "apricot.nyu.edu", "--trace")["messages"]) == 2


def test_resolve_for_people(small: dict[str, Any]) -> None:
    done = netstack("resolve", PAGE, "--from", CLIENT, "--cold", "--trace")
    assert done.returncode == 0
    assert "8 messages" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_resolve_a_name_that_is_not_there(small: dict[str, Any]) -> None:
    done = netstack("resolve", "nobody.umass.edu", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"answer": [], "rcode": "NXDOMAIN", "messages": []}
    assert netstack("resolve", "bad..name").returncode == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_get(scheme: str, small: dict[str, Any], tmp_path: Path) -> None:
    found = as_json("get", f"{scheme}://{PAGE}/", "--from", CLIENT)
    assert (found["status"], found["version"]) == (200, "HTTP/1.1")
    assert as_json("get", f"{scheme}://{PAGE}/", "--from", CLIENT, "--http2")["version"] == "HTTP/2"
    assert (found["tls"] is not None) == (scheme == "https")
    done = netstack("get", f"{scheme}://{PAGE}/nothing")
    assert done.returncode == 1
    done = netstack("get", f"{scheme}://{PAGE}/", "-o", str(tmp_path / "page"))
    assert done.returncode == 0
    assert b"<html" in (tmp_path / "page").read_bytes().lower()


def test_get_with_a_file_of_cookies(small: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "cookies"
    file.write_text(f"{PAGE}\tFALSE\t/\tFALSE\t4000000000\tvisitor\t1678\n")
    assert netstack("get", f"http://{PAGE}/", "--cookies", str(file)).returncode == 0
    assert file.read_text() == f"# Netscape HTTP Cookie File\n{PAGE}\tFALSE\t/\tFALSE\t4000000000\tvisitor\t1678\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert netstack("get", f"http://{PAGE}/", "--cookies", str(tmp_path / "new")).returncode == 0
    assert (tmp_path / "new").read_text() == "# Netscape HTTP Cookie File\n"
    file.write_text("what is this")
    done = netstack("get", f"http://{PAGE}/", "--cookies", str(file))
    assert (done.returncode, "cookies: line 1: expected DOMAIN" in done.stderr) == (2, True)
    assert netstack("get", f"http://{PAGE}/", "--cookies", str(tmp_path)).returncode == 2


def test_get_only_what_has_changed(small: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "page"
    asked = ("get", f"http://{PAGE}/", "-o", str(file), "--if-changed")
    first = as_json(*asked)
    assert (first["status"], file.stat().st_mtime < time.time()) == (200, True)
    content, written = file.read_bytes(), file.stat().st_ino
    again = as_json(*asked)
    assert (again["status"], again["body"], file.read_bytes(), file.stat().st_ino) == (304, "", content, written)
    (tmp_path / "page.etag").write_text('"another"\n')
    assert as_json(*asked)["status"] == 200
    assert as_json(*asked)["status"] == 304


def test_get_tells_how_far_it_is(small: dict[str, Any]) -> None:
    size = len(base64.b64decode(as_json("get", f"http://{PAGE}/")["body"]))
    assert netstack("link", "umass", "--rate", f"{size * 8 // 500 + 1}kbit").returncode == 0  # about a second
    items: list[Any] = []
    try:
        with Client("s") as client:
            found = client.hear("get", items.append, url=f"http://{PAGE}/", progress=True)
            with pytest.raises(CommandError, match="no complete response within"):
                client.call("get", url=f"http://{PAGE}/", seconds=0.2)
            with pytest.raises(CommandError, match="seconds: expected a number above 0"):
                client.call("get", url=f"http://{PAGE}/", seconds=0)
        drawn, terminal = pty.openpty()
        done = subprocess.run(command("get", f"http://{PAGE}/"), stdout=subprocess.PIPE, stderr=terminal, timeout=60)
        os.close(terminal)
        assert done.returncode == 0
        assert len(done.stdout) == size
        assert "━".encode() in os.read(drawn, 65536), "no bar"
        os.close(drawn)
    finally:
        netstack("link", "umass", "--rate", "unlimited")
    assert found["status"] == 200
    assert items
    assert all(item["length"] == size and 0 < item["octets"] <= size for item in items)
    assert [item["octets"] for item in items] == sorted({item["octets"] for item in items})


def test_get_a_page_with_a_file_of_cookies(small: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "cookies"
    file.write_text(f"{PAGE}\tFALSE\t/\tFALSE\t4000000000\tvisitor\t1678\n")
    found = as_json("get", f"http://{PAGE}/", "--cookies", str(file), "--page")
    assert found["parts"][0]["status"] == 200
    assert "cookies" not in found
    assert file.read_text().endswith("visitor\t1678\n")


@pytest.mark.parametrize("mode", ["non-persistent", "http2"])
def test_get_a_page_with_its_objects(mode: str, small: dict[str, Any]) -> None:
    found = as_json("get", f"http://{PAGE}/", "--from", CLIENT, "--page", mode)
    assert found["mode"] == mode
    assert [part["status"] for part in found["parts"]] == [200] * len(found["parts"])
    assert found["seconds"] >= found["parts"][-1]["started"]
    done = netstack("get", f"http://{PAGE}/", "--page", mode)
    assert done.returncode == 0
    assert "█" in done.stdout
    assert netstack("get", f"http://{PAGE}/nothing", "--page").returncode == 1


def test_get_what_cannot_be_had(small: dict[str, Any]) -> None:
    for url, code in (("http://nobody.umass.edu/", 1), ("gopher://x/", 2), (f"http://{CLIENT}/", 1)):
        done = netstack("get", url)
        assert done.returncode == code
        assert "Traceback" not in done.stderr


def test_links(small: dict[str, Any]) -> None:
    links = as_json("link")["links"]
    assert set(links) == {"core", "umass", "nyu"}
    changed = as_json("link", "umass", "--delay", "20ms", "--rate", "1.54Mbit", "--loss", "1%", "--direction", "up")["links"]
    assert changed["umass"]["up"] | {"queue": None} == {"rate_bps": 1_540_000, "delay": 0.02, "loss": 0.01, "queue": None}
    assert changed["umass"]["down"] == links["umass"]["down"]
    back = as_json("link", "umass", "--delay", "0", "--rate", "unlimited", "--loss", "0")["links"]
    assert back["umass"]["up"]["rate_bps"] is None
    assert netstack("link", "mars", "--delay", "1s").returncode == 2


def test_keys_of_a_world_without_signed_zones(small: dict[str, Any]) -> None:
    assert as_json("keys") == {"keys": []}
    assert "no zone of this world is signed" in netstack("keys").stdout
    refused = netstack("keys", "list", "umass.edu")
    assert (refused.returncode, "signed = true" in refused.stderr) == (2, True)
    refused = netstack("keys", "roll", "umass.edu")
    assert (refused.returncode, "no zone umass.edu is signed here" in refused.stderr) == (2, True)
    assert "which zone?" in netstack("keys", "roll").stderr


def test_a_delay_is_felt(small: dict[str, Any]) -> None:
    as_json("link", "umass", "--delay", "100ms")
    try:
        start = time.monotonic()
        as_json("resolve", PAGE, "--from", CLIENT, "--cold")
        assert time.monotonic() - start > 0.2
    finally:
        as_json("link", "umass", "--delay", "0")


def test_trace_follows(small: dict[str, Any]) -> None:
    command = [
        sys.executable,
        "-m",
        "netstack.cli",
        "trace",
        "--protocol",
        "dns",
        "--count",
        "2",
        "--seconds",
        "60",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        try:
            until_recorded()
            netstack("resolve", PAGE)
            rows = [json.loads(line) for line in follower.stdout]
            assert follower.wait(PATIENCE) == 0
        finally:
            follower.kill()
    assert [row["protocol"] for row in rows] == ["dns", "dns"]


def until_recorded() -> None:
    """Until who follows the journal is known to listen."""
    wait_until(lambda: as_json("inspect", CLIENT)["recording"], "somebody records")


def test_capture(small: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "file.pcapng"
    command = [sys.executable, "-m", "netstack.cli", "capture", "-o", str(file), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as capture:
        try:
            until_recorded()
            netstack("get", f"http://{PAGE}/")
            capture.send_signal(signal.SIGINT)
            out, _ = capture.communicate(timeout=PATIENCE)
            assert capture.returncode == 0
        finally:
            capture.kill()
    assert json.loads(out)["messages"] >= 4, "what was under way at Ctrl-C is in the file"
    assert file.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"


def test_exec(small: dict[str, Any]) -> None:
    done = netstack("exec", CLIENT, "--", "sh", "-c", "echo $NETSTACK_HOST; exit 7")
    assert (done.returncode, done.stdout) == (7, f"{CLIENT}\n")
    assert netstack("exec", CLIENT, "--", "no-such-program").returncode == 127
    assert netstack("exec", CLIENT).returncode == 2
    assert netstack("exec", "no.such.host", "--", "true").returncode == 2
    for variable in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        shown = netstack("exec", CLIENT, "--", "printenv", variable)
        assert shown.stdout.strip() == small["ca"]


def test_ca_export(small: dict[str, Any], tmp_path: Path) -> None:
    pem = Path(small["ca"]).read_text()
    assert netstack("ca", "export").stdout == pem
    assert netstack("ca", "export", "-o", str(tmp_path / "ca.pem")).returncode == 0
    assert (tmp_path / "ca.pem").read_text() == pem


def test_a_second_one_of_the_same_name_says_how_to_stop_the_first(small: dict[str, Any]) -> None:
    for more in ([], ["--detach"]):
        done = netstack("up", "--world", "small", "--name", "s", "--port-offset", str(OFFSET + 1), *more)
        assert done.returncode == 1
        assert "netstack down --name s" in done.stderr
    assert netstack("status").returncode == 0


def test_a_second_one_of_another_name_is_kept_apart(small: dict[str, Any]) -> None:
    with brought_up("small", "t") as other:
        assert other["hosts"][PAGE]["address"] != small["hosts"][PAGE]["address"]
        assert netstack("status").returncode == 2
        assert as_json("status", "--name", "t")["world"] == "t"


# Lives and deaths; each has its own process


def test_a_killed_world_comes_up_again(private: Path) -> None:
    for _ in range(2):
        assert netstack("up", "--world", "small", "--name", "k", "--port-offset", str(OFFSET), "--detach").returncode == 0
        os.kill(int((private / "netstack" / "k" / "lock").read_text()), signal.SIGKILL)
    with brought_up("small", "k"):
        assert netstack("status").returncode == 0


def paste(printed: list[str]) -> None:
    """The commands that `up` shows work as printed."""
    assert len(printed) >= 5
    for line in printed:
        done = subprocess.run(line, shell=True, input="", capture_output=True, text=True, timeout=30, cwd=ROOT)
        if "telnet" in line:
            assert "Connected to 127." in done.stdout
        else:
            assert done.returncode == 0, line + done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_foreground_ends_well(number: signal.Signals, private: Path) -> None:
    command = [sys.executable, "-m", "netstack.cli", "up", "--world", "small", "--name", "f", "--port-offset", str(OFFSET)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        try:
            shown = list(iter(up.stdout.readline, "Ctrl-C stops it.\n"))
            if number == signal.SIGTERM:
                paste([line for line in shown if line.startswith("  ")])
            up.send_signal(number)
            _, errors = up.communicate(timeout=PATIENCE)
        finally:
            up.kill()
    assert (up.returncode, errors) == (0, "")
    assert netstack("status").returncode == 2


def test_a_port_in_use_is_named_and_nothing_stays(private: Path) -> None:
    offset = OFFSET + 701  # the module's own world is up on the other one
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", offset + 80))
        taken.listen()
        for more in ([], ["--detach"]):
            done = netstack("up", "--world", "small", "--name", "p", "--port-offset", str(offset), *more)
            assert done.returncode == 1
            assert f"tcp:{offset + 80}:interface=127." in done.stderr
            assert "Traceback" not in done.stderr
            assert netstack("status").returncode == 2
    with brought_up("small", "p", offset):
        assert netstack("status").returncode == 0


def test_a_world_file_with_mistakes(private: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[sites]\nnyu = { rate = "fast" }\n[hosts]\n"x.edu" = { site = "mars" }\n')
    for arguments in (("validate", str(file)), ("up", "--world", str(file))):
        done = netstack(*arguments)
        assert done.returncode == 1
        assert "sites.nyu.rate" in done.stdout + done.stderr
    problems = json.loads(netstack("validate", str(file), "--json").stdout)
    assert problems["valid"] is False
    assert as_json("validate", "small")["valid"] is True


def test_recorded_from_the_start(private: Path) -> None:
    offset = ("--port-offset", str(OFFSET + 907))
    done = netstack("up", "--world", "small", "--detach", *offset, "--trace", CLIENT)
    assert done.returncode == 0, done.stderr
    try:
        netstack("resolve", PAGE, "--from", CLIENT)
        rows = [json.loads(line) for line in netstack("trace", "--no-follow", "--json").stdout.splitlines()]
        assert [(row["from"], row["to"]) for row in rows] == [(CLIENT, "dns.nyu.edu")], "what the client itself sent"
        assert netstack("trace", "--off", "--json").stdout.split() == ["{", '"recording":', "[]", "}"]
    finally:
        assert netstack("down").returncode == 0
    assert netstack("up", "--world", "small", "--trace", "no.such.host").returncode == 2


def test_check(private: Path) -> None:
    done = netstack("check", "--json", "--port-offset", str(OFFSET))
    assert done.returncode in (0, 3)
    assert {"what", "verdict", "about"} == set(json.loads(done.stdout)["findings"][0])
