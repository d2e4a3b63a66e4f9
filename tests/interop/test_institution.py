"""Other programs on a host of a site that has a Web cache: `netstack exec` sends them there, a PAC file browsers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.world import netstack, up_in
from tests.interop.programs import need

CACHE, STUDENT, STRANGER = "cache.someschool.edu", "student.someschool.test", "cse.nyu.edu"
KIWI = "http://www.exotiquecuisine.com/fruit/kiwi.gif"
WPAD = "http://wpad.someschool.edu/wpad.dat"
PYTHON = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).headers['Via'])"
HEADLESS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-features=HttpsUpgrades",  # else it tries https first, which passes the cache by in a tunnel
)
EVALUATE = """
const isPlainHostName = host => !host.includes("."), dnsDomainIs = (host, domain) => host.endsWith(domain);
const find = new Function("isPlainHostName", "dnsDomainIs", process.argv[1] + "; return FindProxyForURL")(
    isPlainHostName, dnsDomainIs);
console.log(JSON.stringify(process.argv.slice(2).map(host => find(`http://${host}/`, host))));
"""

pytestmark = pytest.mark.xdist_group("institution")


@pytest.fixture(scope="module")
def textbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The default world on shifted ports."""
    with up_in(tmp_path_factory.mktemp("w"), "textbook", "institution") as status:
        yield status


def on(client: str, program: str, *arguments: str) -> str:
    """What a program prints on a host; fails the test when it fails."""
    need(program)
    done = netstack("exec", client, "--", program, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def cache_status(url: str, client: str = STUDENT) -> list[str]:
    """What the cache says that it did for a request of curl's; nothing when it was not asked."""
    head = on(client, "curl", "--silent", "--show-error", "--output", "/dev/null", "--dump-header", "-", url)
    assert head.startswith("HTTP/1.1 200")
    lines = [line for line in head.splitlines() if line.lower().startswith("cache-status:")]
    return [part.strip() for line in lines for part in line.partition(":")[2].split(";")]


def test_curl_goes_through_the_cache_of_its_site(textbook: dict[str, Any]) -> None:
    assert cache_status(KIWI)[:2] == [CACHE, "fwd=uri-miss"]
    assert cache_status(KIWI)[:2] == [CACHE, "hit"]
    assert cache_status(KIWI, STRANGER) == [], "a host of another site asks the server itself"


def test_curl_can_go_past_it(textbook: dict[str, Any]) -> None:
    (port,) = (
        end["port"]
        for service in textbook["hosts"]["www.exotiquecuisine.com"]["services"]
        for end in service["endpoints"]
        if service["plugin"] == "netstack-origin" and not end["tls"]
    )
    head = on(STUDENT, "curl", "--silent", "--noproxy", "*", "--head", KIWI.replace(".com/", f".com:{port}/"))
    assert head.startswith("HTTP/1.1 200")
    assert "via:" not in head.lower()


def test_wget_and_python_know_every_name_by_it(textbook: dict[str, Any]) -> None:
    assert "<h1>cnn.com</h1>" in on(STUDENT, "wget", "--quiet", "--output-document=-", "http://cnn.com/")
    assert on(STUDENT, sys.executable, "-c", PYTHON, "http://cnn.com/") == f"1.1 {CACHE}\n"


def test_https_goes_through_a_tunnel(textbook: dict[str, Any]) -> None:
    """Port 443, as programs say it in CONNECT, is the standard one; certificates are the servers' own."""
    secure = "https://www.someschool.edu/somedepartment/home.index"
    for program, *arguments in (
        ("curl", "--silent", "--show-error", secure),
        ("wget", "--quiet", "--output-document=-", secure),
        (sys.executable, "-c", "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())", secure),
    ):
        assert "<h1>Some Department</h1>" in on(STUDENT, program, *arguments)
    told = on(STUDENT, "curl", "--silent", "--include", secure)
    assert told.startswith("HTTP/1.1 200")
    assert "via:" not in told.lower(), "the cache sees nothing of it"


def test_a_name_that_does_not_exist_is_explained(textbook: dict[str, Any]) -> None:
    shown = on(STUDENT, "curl", "--silent", "http://nowhere.umass.edu/")
    assert "<h1>502 Bad Gateway</h1>" in shown
    assert "nowhere.umass.edu does not exist" in shown


def test_the_automatic_configuration(textbook: dict[str, Any]) -> None:
    """Evaluated by Node.js: what is the school's own is asked directly, all else through the cache."""
    node = need("node")
    head = on(STRANGER, "curl", "--silent", "--head", WPAD)
    assert "content-type: application/x-ns-proxy-autoconfig" in head.lower()
    script = on(STRANGER, "curl", "--silent", WPAD)
    hosts = ("cnn.com", "www.someschool.edu", "someschool.edu", "notsomeschool.edu", "printer")
    done = subprocess.run([node, "-e", EVALUATE, script, *hosts], capture_output=True, text=True, timeout=20, check=True)
    (port,) = (end["port"] for each in textbook["hosts"][CACHE]["services"] for end in each["endpoints"])
    through = f"PROXY {CACHE}:{port}; DIRECT"
    assert json.loads(done.stdout) == [through, "DIRECT", "DIRECT", through, "DIRECT"]


@pytest.mark.slow
def test_chromium_obeys_it(textbook: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    def opened(url: str, *options: str) -> str:
        profile = tmp_path_factory.mktemp("profile")
        return on(STUDENT, "chromium", *HEADLESS, f"--user-data-dir={profile}", *options, "--dump-dom", url)

    assert "gaia.cs.umass.edu" in opened("http://gaia.cs.umass.edu/", f"--proxy-pac-url={WPAD}")
    assert cache_status("http://gaia.cs.umass.edu/")[:2] == [CACHE, "hit"], "Chromium had it fetched"
    page = "http://www.someschool.edu/somedepartment/home.index"
    assert "Some Department" in opened(page, f"--proxy-pac-url={WPAD}")
    assert cache_status(page)[1] == "fwd=uri-miss", "Chromium asked the server itself"
    assert "Exotique Cuisine" in opened("http://www.exotiquecuisine.com/")
    assert "<title>cnn.com" in opened("https://cnn.com/")
    assert cache_status("http://www.exotiquecuisine.com/")[:2] == [CACHE, "hit"], "exec says --proxy-server"


def test_what_the_cache_has_stored_is_shown_and_removed(textbook: dict[str, Any]) -> None:
    on(STUDENT, "curl", "--silent", "--output", "/dev/null", KIWI)
    listed = netstack("cache", "ls", "http://www.exotiquecuisine.com/")
    assert [line.split("  ")[:2] for line in listed.stdout.splitlines() if KIWI in line] == [[KIWI, "200"]]
    shown = netstack("cache", "inspect", KIWI)
    assert shown.returncode == 0, shown.stderr
    assert f"{KIWI}: 1 stored" in shown.stdout
    assert "Content-Type: image/gif" in shown.stdout
    assert netstack("cache", "purge", KIWI).stdout == "1 stored response removed\n"
    assert netstack("cache", "inspect", KIWI).returncode == 1
    assert cache_status(KIWI)[:2] == [CACHE, "fwd=uri-miss"]
    assert netstack("cache", "purge").returncode == netstack("cache", "ls", "--at", STRANGER).returncode == 2
    assert json.loads(netstack("cache", "purge", "--all", "--json").stdout)["removed"] > 0
