"""Other people's clients, run by `netstack exec`, walk from the root to a Web page and its ten pictures."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netstack.cli.client import Client
from tests.cli.world import brought_up, command, netstack, up_in
from tests.interop.programs import need
from tests.processes import wait_until

CLIENT, GAIA, PAGE = "cse.nyu.edu", "gaia.cs.umass.edu", "www.someschool.edu/somedepartment/home.index"
PICTURES = (b"GIF89a", b"GIF87a", b"\x89PNG\r\n\x1a\n")


pytestmark = pytest.mark.xdist_group("walk")


@pytest.fixture(scope="module")
def textbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The default world, up for this module, on shifted ports: what an ordinary user has."""
    root = tmp_path_factory.mktemp("w")
    with up_in(root, "textbook", "walk") as status:
        yield status


def on(client: str, program: str, *arguments: str, given: str | None = None) -> str:
    """What a program prints on a host; fails the test when it fails."""
    need(program)
    done = netstack("exec", client, "--", program, *arguments, given=given)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def test_dig_walks_down_from_the_root(textbook: dict[str, Any]) -> None:
    server, walked = "a.root-servers.net", []
    for _ in range(5):
        shown = on(CLIENT, "dig", "+norecurse", f"@{server}", GAIA)
        assert "status: NOERROR" in shown
        walked.append(server)
        answer = re.search(rf"^{GAIA}\.\s+\d+\s+IN\s+A\s+(\S+)$", shown, re.MULTILINE)
        if answer is not None:
            break
        referral = re.search(r"^\S+\s+\d+\s+IN\s+NS\s+(\S+)\.$", shown, re.MULTILINE)
        assert referral is not None, shown
        server = referral[1]
        assert re.search(rf"^{server}\.\s+\d+\s+IN\s+A\s+127\.", shown, re.MULTILINE), "a referral comes with glue"
    assert answer is not None
    assert answer[1] == textbook["hosts"][GAIA]["address"]
    assert [name.partition(".")[2] for name in walked] == ["root-servers.net", "edu-servers.net", "umass.edu"]


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("dig", ["+short", GAIA]),
        ("dig", ["+short", "+tcp", GAIA]),
        ("kdig", ["+short", GAIA]),
        ("drill", [GAIA]),
        ("nslookup", [GAIA]),
        ("host", [GAIA]),
    ],
)
def test_every_dns_client_asks_the_hosts_own_resolver(program: str, arguments: list[str], textbook: dict[str, Any]) -> None:
    assert textbook["hosts"][GAIA]["address"] in on(CLIENT, program, *arguments)


def test_an_alias_and_a_name_that_is_not_there(textbook: dict[str, Any]) -> None:
    shown = on(CLIENT, "dig", "www.enterprise.com")
    assert re.search(r"^www\.enterprise\.com\.\s.*CNAME\s+relay1\.west-coast\.enterprise\.com\.$", shown, re.MULTILINE)
    shown = on(CLIENT, "dig", "nobody.umass.edu")
    assert "status: NXDOMAIN" in shown
    assert "SOA" in shown


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl_fetches_the_page_and_its_ten_pictures(scheme: str, textbook: dict[str, Any], tmp_path: Path) -> None:
    page = on(CLIENT, "curl", "--silent", "--show-error", "--fail", f"{scheme}://{PAGE}")
    pictures = re.findall(r'<img src="([^"]+)"', page)
    assert len(pictures) == len(set(pictures)) == 10
    base = f"{scheme}://{PAGE}".rpartition("/")[0]
    options = [part for name in pictures for part in ("-o", str(tmp_path / name), f"{base}/{name}")]
    shown = on(CLIENT, "curl", "-sSf", "-w", r"%{content_type} %{num_connects} %{local_ip}\n", *options).split("\n")[:-1]
    assert all(line.startswith("image/") for line in shown)
    assert [int(line.split()[1]) for line in shown] == [1] + [0] * 9, "one connection carries them all"
    assert {line.split()[2] for line in shown} == {textbook["hosts"][CLIENT]["address"]}
    assert all((tmp_path / name).read_bytes().startswith(PICTURES) for name in pictures)


def test_curl_trusts_the_worlds_ca_alone(textbook: dict[str, Any]) -> None:
    need("curl")
    with brought_up("small", "other") as other:
        done = netstack("exec", "--name", "walk", CLIENT, "--", "curl", "-sS", "--cacert", other["ca"], f"https://{GAIA}/")
    assert done.returncode == 60


def test_a_request_typed_into_telnet(textbook: dict[str, Any]) -> None:
    need("telnet")
    with subprocess.Popen(
        command("exec", CLIENT, "--", "telnet", GAIA, "80"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as telnet:
        assert telnet.stdin is not None
        assert telnet.stdout is not None
        try:
            telnet.stdin.write(f"GET / HTTP/1.1\nHost: {GAIA}\nConnection: close\n\n")
            telnet.stdin.flush()
            shown = telnet.stdout.read()  # until the server closes
        finally:
            telnet.kill()
    assert "HTTP/1.1 200 OK" in shown
    assert "</html>" in shown


def test_a_letter_typed_into_telnet(textbook: dict[str, Any]) -> None:
    """The chapter's dialogue, each command once the reply to the one before it is there."""
    need("telnet")
    typed = (
        "HELO crepes.fr", "MAIL FROM: <alice@crepes.fr>", "RCPT TO: <bob@hamburger.edu>", "DATA",
        "Do you like ketchup?\nHow about pickles?\n.", "QUIT",
    )  # fmt: skip
    replies = []
    with subprocess.Popen(
        command("exec", "alice.crepes.fr", "--", "telnet", "mail.hamburger.edu", "25"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as telnet:  # fmt: skip
        assert telnet.stdin is not None
        assert telnet.stdout is not None
        try:
            for line in ("", *typed):
                if line:
                    telnet.stdin.write(f"{line}\n")
                    telnet.stdin.flush()
                replies.append(next(said[:3] for said in telnet.stdout if said[:3].isdigit()))
        finally:
            telnet.kill()
    assert replies == ["220", "250", "250", "250", "354", "250", "221"]
    listing = ("mail", "ls", "bob@hamburger.edu", "--name", "walk")
    wait_until(lambda: "no messages" not in netstack(*listing).stdout, "it is delivered")
    read = netstack("mail", "read", "bob@hamburger.edu", "1", "--name", "walk").stdout
    assert "\nDo you like ketchup?\n" in read.replace("\r\n", "\n")


def test_a_request_typed_into_nc(textbook: dict[str, Any]) -> None:
    request = f"GET / HTTP/1.1\nHost: {GAIA}\nConnection: close\n\n"
    assert on(CLIENT, "nc", "-C", "-w", "30", GAIA, "80", given=request).startswith("HTTP/1.1 200 OK")
    refusal = on(CLIENT, "nc", "-w", "30", GAIA, "80", given=request)
    assert refusal.startswith("HTTP/1.1 400 ")
    assert "CRLF" in refusal


def test_nc_speaks_to_the_uppercase_servers(textbook: dict[str, Any]) -> None:
    assert on(CLIENT, "nc", "-w", "30", "upper.someschool.edu", "12000", given="hello") == "HELLO"
    assert on(CLIENT, "nc", "-u", "-W", "1", "-w", "30", "upper.someschool.edu", "12000", given="hello") == "HELLO"


def test_openssl_verifies_the_certificate(textbook: dict[str, Any]) -> None:
    need("openssl")
    options = ("s_client", "-connect", f"{GAIA}:443", "-verify_return_error", "-brief", "-verify_hostname")
    right = netstack("exec", CLIENT, "--", "openssl", *options, GAIA, given="")
    assert (right.returncode, "Verification: OK" in right.stderr) == (0, True)
    wrong = netstack("exec", CLIENT, "--", "openssl", *options, "cnn.com", given="")
    assert (wrong.returncode, "hostname mismatch" in wrong.stderr) == (1, True)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_chromium_shows_the_page_and_its_pictures(scheme: str, textbook: dict[str, Any], tmp_path: Path) -> None:
    need("certutil")
    options = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-features=HttpsUpgrades",
    )
    with Client("walk") as control:
        control.call("journal.clear")
        control.call("journal.enable", hosts=["www.someschool.edu"])
        profile = f"--user-data-dir={tmp_path / 'chromium'}"
        shown = on(CLIENT, "chromium", *options, profile, "--virtual-time-budget=5000", "--dump-dom", f"{scheme}://{PAGE}")
        rows = control.call("journal.read", protocol="http")["messages"]
        control.call("journal.disable")
    assert shown.count("<img ") == 10
    asked = {row["summary"].split()[1] for row in rows if row["summary"].startswith("GET /somedepartment/image")}
    assert len(asked) == 10
    assert sum(row["summary"].startswith("200") for row in rows) >= 11
    assert {row["secure"] for row in rows} == {scheme == "https"}
