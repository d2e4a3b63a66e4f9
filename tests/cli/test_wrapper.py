"""What `netstack exec` changes of a command line, and what it leaves alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netstack.cli import wrapper
from netstack.cli.environment import curl_configuration, environment, on_host

TABLE = {
    "address": "127.53.3.2",
    "resolver": "127.53.3.1",
    "offset": 8000,
    "ports": [25, 53, 80, 443, 853, 3128, 12000],
    "ca": "/ca.pem",
    "proxy": None,
    "names": {
        "gaia.cs.umass.edu": ["127.53.2.1"],
        "cnn.com": ["127.53.9.1", "127.53.9.2"],
        "a.root-servers.net": ["127.53.1.1"],
    },
}
PROXIED = TABLE | {"proxy": {"host": "cache.someschool.edu", "address": "127.53.3.9", "port": 11128}}
OWN = ["-b", "127.53.3.2"]
MSMTP = ["--host=127.53.9.1", "--source-ip=127.53.3.2", "--tls-trust-file=/ca.pem", "--tls-host-override=cnn.com"]
SWAKS, LOCAL = ["--server", "127.53.9.1", "--port"], ["--local-interface", "127.53.3.2"]


@pytest.mark.parametrize(
    ("program", "given", "run"),
    [
        ("dig", ["cnn.com"], [*OWN, "-p", "8053", "@127.53.3.1", "cnn.com"]),
        ("dig", ["+short", "cnn.com", "AAAA"], [*OWN, "-p", "8053", "@127.53.3.1", "+short", "cnn.com", "AAAA"]),
        ("dig", ["@a.root-servers.net", "cnn.com"], [*OWN, "-p", "8053", "@127.53.1.1", "cnn.com"]),
        ("dig", ["@127.53.1.1", "-p", "53", "x"], [*OWN, "@127.53.1.1", "-p", "8053", "x"]),
        ("dig", ["-p8053", "@127.53.1.1", "x"], [*OWN, "-p8053", "@127.53.1.1", "x"]),
        ("dig", ["@192.0.2.1", "x"], ["@192.0.2.1", "x"]),
        ("kdig", ["cnn.com"], [*OWN, "-p", "8053", "@127.53.3.1", "cnn.com"]),
        ("kdig", ["+tls-hostname=dns.nyu.edu", "x"], [*OWN, "-p", "8853", "@127.53.3.1", "+tls-hostname=dns.nyu.edu", "x"]),
        ("kdig", ["+https", "+tls-ca", "x"], [*OWN, "-p", "8443", "@127.53.3.1", "+https", "+tls-ca=/ca.pem", "x"]),
        ("dig", ["+tls", "x"], [*OWN, "-p", "8853", "@127.53.3.1", "+tls", "x"]),
        ("dig", ["+https=/dns", "x"], [*OWN, "-p", "8443", "@127.53.3.1", "+https=/dns", "x"]),
        ("dig", ["+http-plain-get", "x"], [*OWN, "-p", "8080", "@127.53.3.1", "+http-plain-get", "x"]),
        ("dig", ["+tls", "-p", "853", "x"], [*OWN, "@127.53.3.1", "+tls", "-p", "8853", "x"]),
        ("delv", ["-i", "x"], [*OWN, "-p", "8053", "@127.53.3.1", "-i", "x"]),
        ("drill", ["cnn.com"], ["-I", "127.53.3.2", "-p", "8053", "@127.53.3.1", "cnn.com"]),
        ("nslookup", ["cnn.com"], ["-port=8053", "cnn.com", "127.53.3.1"]),
        ("nslookup", ["-type=ns", "edu", "a.root-servers.net"], ["-type=ns", "-port=8053", "edu", "127.53.1.1"]),
        ("nslookup", ["x", "192.0.2.1"], ["x", "192.0.2.1"]),
        ("host", ["-t", "ns", "edu"], ["-t", "ns", "-p", "8053", "edu", "127.53.3.1"]),
        ("host", [], []),
        ("telnet", ["gaia.cs.umass.edu", "80"], [*OWN, "127.53.2.1", "8080"]),
        ("telnet", ["gaia.cs.umass.edu", "http"], [*OWN, "127.53.2.1", "8080"]),
        ("telnet", ["gaia.cs.umass.edu"], [*OWN, "127.53.2.1", "8023"]),
        ("telnet", ["192.0.2.1", "80"], ["192.0.2.1", "80"]),
        ("telnet", [], []),
        ("nc", ["-w", "2", "gaia.cs.umass.edu", "80"], ["-s", "127.53.3.2", "-w", "2", "127.53.2.1", "8080"]),
        ("nc", ["-zu", "GAIA.cs.umass.edu.", "12000"], ["-s", "127.53.3.2", "-zu", "127.53.2.1", "20000"]),
        ("nc", ["-l", "8000"], ["-l", "8000"]),
        ("swaks", ["--server", "cnn.com", "--to", "x"], [*SWAKS, "8025", *LOCAL, "--to", "x"]),
        ("swaks", ["--to", "x", "-s=cnn.com:587"], [*SWAKS, "8587", *LOCAL, "--to", "x"]),
        ("swaks", ["--server", "cnn.com", "-p", "587", "--tls"], [*SWAKS, "8587", *LOCAL, "--tls"]),
        ("swaks", ["--server", "cnn.com", "--tlsc"], [*SWAKS, "8465", *LOCAL, "--tlsc"]),
        ("swaks", ["--server", "192.0.2.1:25", "--to", "x"], ["--server", "192.0.2.1:25", "--to", "x"]),
        ("msmtp", ["--host=cnn.com", "x@y.test"], [*MSMTP[:1], "--port=8025", *MSMTP[1:], "x@y.test"]),
        ("msmtp", ["--host=cnn.com", "--port=587", "--tls"], [*MSMTP[:1], "--port=8587", *MSMTP[1:], "--tls"]),
        (
            "msmtp",
            ["--host=cnn.com", "--tls", "--tls-starttls=off"],
            [*MSMTP[:1], "--port=8465", *MSMTP[1:], "--tls", "--tls-starttls=off"],
        ),
        ("msmtp", ["--host=192.0.2.1"], ["--host=192.0.2.1"]),
        ("msmtp", ["x@y.test"], ["x@y.test"]),
        (
            "openssl",
            ["s_client", "-connect", "cnn.com:443"],
            ["s_client", "-connect", "127.53.9.1:8443", "-servername", "cnn.com"],
        ),
        ("openssl", ["version"], ["version"]),
    ],
)
def test_command_lines(program: str, given: list[str], run: list[str]) -> None:
    assert wrapper.PROGRAMS[program](TABLE, given) == run


def test_without_an_offset_ports_stay() -> None:
    table = TABLE | {"offset": 0}
    assert wrapper.telnet(table, ["cnn.com", "80"]) == [*OWN, "127.53.9.1", "80"]
    assert wrapper.dig(table, ["x"]) == [*OWN, "-p", "53", "@127.53.3.1", "x"]


def test_a_host_without_a_resolver_asks_nobody_by_default() -> None:
    table = TABLE | {"resolver": None}
    assert wrapper.dig(table, ["x"]) == ["x"]
    assert wrapper.dig(table, ["@a.root-servers.net", "x"]) == [*OWN, "-p", "8053", "@127.53.1.1", "x"]


def test_chromium_maps_every_name() -> None:
    rules = wrapper.chromium(TABLE, ["http://cnn.com/"])
    assert "MAP cnn.com:80 127.53.9.1:8080" in rules[0]
    assert rules[-1] == "http://cnn.com/"


def test_programs_of_a_site_with_a_proxy() -> None:
    url = "https://cnn.com/"
    assert "MAP cache.someschool.edu:11128 127.53.3.9:11128" in wrapper.chromium(PROXIED, [url])[0], "for a PAC file"
    assert wrapper.chromium(PROXIED, [url])[1:] == ["--proxy-server=http://127.53.3.9:11128", url]
    assert wrapper.chromium(PROXIED, ["--no-proxy-server", url])[1:] == ["--no-proxy-server", url]
    assert wrapper.wget(PROXIED, ["-q", url]) == ["--ca-certificate=/ca.pem", "-q", url]


def test_a_proxy_in_the_environment(tmp_path: Path) -> None:
    proxied = PROXIED | {"ca": "/ca.pem", "host": "student.someschool.test", "world": "small"}
    found = environment(proxied, tmp_path / "run" / "student", {"PATH": "/bin", "all_proxy": "x", "no_proxy": "*"})
    assert {name: value for name, value in found.items() if "proxy" in name.lower()} == dict.fromkeys(
        ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.53.3.9:11128"
    )
    lines = curl_configuration(proxied).splitlines()
    assert 'resolve = "gaia.cs.umass.edu:8080:127.53.2.1"' in lines
    assert not any("connect-to" in line for line in lines), "curl would ask the proxy for tunnels there"
    inside = on_host(proxied, {})
    assert inside["http_proxy"] == "http://cache.someschool.edu:11128"


def view(ca: Path) -> dict[str, object]:
    return TABLE | {"ca": str(ca), "host": "cse.nyu.edu", "world": "small"}


def test_a_program_that_cannot_know_the_names_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert wrapper.PROGRAMS["wget"](TABLE, ["-q", "http://cnn.com/"]) == ["-q", "http://cnn.com/"]
    assert "knows no name of this world: use curl" in capsys.readouterr().err
    assert wrapper.PROGRAMS["wget"](TABLE, ["http://127.53.2.1/"]) == ["http://127.53.2.1/"]
    assert capsys.readouterr().err == ""


def test_curl_finds_standard_and_shifted_ports(tmp_path: Path) -> None:
    lines = curl_configuration(view(tmp_path / "ca.pem")).splitlines()
    assert 'connect-to = "gaia.cs.umass.edu:80:127.53.2.1:8080"' in lines
    assert 'connect-to = "gaia.cs.umass.edu:8443:127.53.2.1:8443"' in lines
    assert 'connect-to = "gaia.cs.umass.edu:25:127.53.2.1:8025"' in lines, "curl smtp://"
    names = [line for line in lines if "gaia" in line]
    assert names[-1] == 'connect-to = "gaia.cs.umass.edu::127.53.2.1:"', "the first line that fits counts"
    assert f'cacert = "{tmp_path}/ca.pem"' in lines


def test_the_environment_runs_the_wrapped_program(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "telnet").write_text('#!/bin/sh\necho "$@"\n')
    (real / "telnet").chmod(0o755)
    inherited = {"PATH": f"{real}:{os.environ['PATH']}", "http_proxy": "http://elsewhere:3128"}
    runtime = tmp_path / "run"
    first = environment(view(tmp_path / "ca.pem"), runtime / "cse.nyu.edu", inherited)
    assert first["SSL_CERT_FILE"] == str(tmp_path / "ca.pem")
    assert "http_proxy" not in first
    nested = environment(view(tmp_path / "ca.pem"), runtime / "apricot.nyu.edu", first)
    assert nested["PATH"].count(str(runtime)) == 1
    for surroundings in (first, nested):
        done = subprocess.run(["telnet", "cnn.com", "80"], env=surroundings, capture_output=True, text=True, timeout=10)
        assert done.stdout == "-b 127.53.3.2 127.53.9.1 8080\n"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(json.dumps(TABLE))
    done = subprocess.run(
        [sys.executable, wrapper.__file__, "dig", "x"],
        env={"NETSTACK_TABLE": str(tmp_path / "table.json"), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert (done.returncode, done.stderr) == (127, "dig: command not found\n")


@pytest.mark.parametrize(
    ("offset", "given", "used"),
    [
        (11_353, "12000", "23353"),
        (11_353, "11406", "11406"),
        (11_353, "23353", "23353"),
        (10_000, "3128", "13128"),
        (10_000, "13128", "13128"),
        (0, "3128", "3128"),
        (11_920, "12000", "23920"),
        (11_920, "11973", "11973"),
        (10_000, "23", "10023"),
        (10_000, "10023", "20023"),
        (10_000, "telnet", "telnet"),
        (10_000, "60000", "60000"),
    ],
)
def test_a_standard_port_is_shifted_once(offset: int, given: str, used: str) -> None:
    """What both is a standard port and is one after its shift means the standard one; what no service has is shifted."""
    assert wrapper.port_of(TABLE | {"offset": offset}, given) == used
