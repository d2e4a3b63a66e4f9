"""A start-up registers its domain by other programs: curl, dig, nsupdate and a browser, on the textbook's world."""

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from netstack.world import changing
from netstack.world.session import LoopbackSession, open_session
from tests.interop.programs import need
from tests.interop.test_http_browser import trust

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("registrar")]

REGISTRAR, DOMAIN, WWW = "registrar.networksolutions.test", "networkutopia.com", "www.networkutopia.com"
SERVERS = ("dns1.networkutopia.com", "dns2.networkutopia.com")


@pytest.fixture(scope="module")
def internet() -> Iterator[LoopbackSession]:
    with open_session("textbook", "loopback") as session:
        assert isinstance(session, LoopbackSession)
        yield session


def dig(internet: LoopbackSession, server: str, *query: str) -> list[str]:
    """The lines that dig prints, blanks squeezed."""
    port = 53 + internet.running.port_offset
    command = [need("dig"), f"@{internet.address(server)}", "-p", str(port), "+tries=1", "+time=5", *query]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    return [" ".join(line.split()) for line in shown.splitlines() if line.strip()]


def curl(internet: LoopbackSession, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A request under the world's own authority; names are led to their hosts as `netstack exec` does it."""
    offset = internet.running.port_offset
    led = [
        part
        for name in (REGISTRAR, WWW)
        for port in (80, 443)
        for part in ("--connect-to", f"{name}:{port}:{internet.address(name)}:{port + offset}")
    ]
    command = [need("curl"), "--silent", "--show-error", "--cacert", str(internet.running.ca), *led, *options, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)


def test_by_hand(internet: LoopbackSession) -> None:
    """Looked up, registered, seen by dig at the top-level domain and through a resolver, fetched; then RDAP."""
    api = f"https://{REGISTRAR}/api/domains"
    assert json.loads(curl(internet, f"{api}/{DOMAIN}").stdout) == {"name": DOMAIN, "available": True}
    for server in ("a.gtld-servers.net", "dns.nyu.edu"):
        assert any("status: NXDOMAIN" in line for line in dig(internet, server, WWW)), server
    wish = {"name": DOMAIN, "servers": [{"name": name, "addresses": [internet.address(name)]} for name in SERVERS]}
    told = (
        "-H",
        "Content-Type: application/json",
        "--data",
        json.dumps(wish),
        "--write-out",
        "\n%{http_code} %{http_version}",
    )
    *lines, last = curl(internet, api, *told).stdout.splitlines()
    assert last == "201 2"
    secret = json.loads("\n".join(lines))["secret"]
    assert dig(internet, "dns.nyu.edu", "+short", "-x", internet.address(REGISTRAR)) == [f"{REGISTRAR}."]
    referral = dig(internet, "a.gtld-servers.net", "+norecurse", "+noall", "+authority", "+additional", WWW)
    assert referral == [
        *(f"{DOMAIN}. 172800 IN NS {name}." for name in SERVERS),
        *(f"{name}. 172800 IN A {internet.address(name)}" for name in SERVERS),
    ]
    internet.flush()
    assert dig(internet, "dns.nyu.edu", "+short", WWW) == [internet.address(WWW)]
    assert dig(internet, "dns.nyu.edu", "+short", DOMAIN, "MX") == ["10 mail.networkutopia.com."]
    assert f"<h1>{WWW}</h1>" in curl(internet, f"https://{WWW}/").stdout
    looked = curl(internet, f"https://{REGISTRAR}/rdap/domain/{DOMAIN}", "--write-out", "%{content_type}").stdout
    assert looked.endswith("application/rdap+json")
    assert '"ldhName": "networkutopia.com"' in looked
    for options, status in (
        (("-X", "DELETE", "-H", "Authorization: Bearer wrong"), "403"),
        (("--data", "{}"), "405"),
        (("-X", "DELETE", "-H", f"Authorization: Bearer {secret}"), "204"),
    ):
        shown = curl(internet, f"{api}/{DOMAIN}", *options, "--output", "/dev/null", "--write-out", "%{http_code}").stdout
        assert shown == status
    assert any("status: NXDOMAIN" in line for line in dig(internet, "a.gtld-servers.net", WWW))


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ("add other.com 60 NS ns.elsewhere.test", ""),
        ("delete other.com NS", ""),
        ("add com 60 NS ns.elsewhere.test", "REFUSED"),
        ("add com 60 TXT mine", "REFUSED"),
        ("add b.gtld-servers.net.com 60 A 10.6.6.6", "REFUSED"),
        ("add ns.other.com 60 A 10.6.6.6", "REFUSED"),
        ("add other.com 60 MX 5 mail.other.com", "REFUSED"),
        ("delete cnn.com NS", "REFUSED"),  # its glue would be left
    ],
)
def test_what_a_registrar_s_key_may_do(internet: LoopbackSession, tmp_path: Path, update: str, said: str) -> None:
    key = changing.key(internet.world, REGISTRAR)
    secret = base64.b64encode(key.secret).decode()
    (tmp_path / "key").write_text(f'key "{REGISTRAR}" {{ algorithm hmac-sha256; secret "{secret}"; }};\n')
    server = f"server {internet.address('a.gtld-servers.net')} {53 + internet.running.port_offset}"
    done = subprocess.run(
        [need("nsupdate"), "-k", str(tmp_path / "key")],
        input=f"{server}\nzone com\nupdate {update}\nsend\n", capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert said in done.stderr
    assert (done.returncode == 0) is not bool(said), done.stderr


@pytest.fixture(scope="module")
def browser(internet: LoopbackSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = need("chromium")
    home = tmp_path_factory.mktemp("home")
    assert internet.running.ca is not None
    trust(home, internet.running.ca)
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={home}/profile",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
        "--no-proxy-server", "--window-size=900,1300",
        f"--host-resolver-rules=MAP {REGISTRAR} {internet.address(REGISTRAR)}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):  # fmt: skip
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    driver = webdriver.Chrome(options=options, service=Service(need("chromedriver"), env={**os.environ, "HOME": str(home)}))
    try:
        driver.set_page_load_timeout(20)
        yield driver
    finally:
        driver.quit()


def wait_for(browser: webdriver.Chrome, text: str) -> None:
    """Until the page that a click leads to says so."""
    WebDriverWait(browser, 20).until(lambda shown: text in shown.page_source, f"{text!r} is not shown")


def shot(browser: webdriver.Chrome, name: str) -> None:
    """A picture for who wants to see the pages: the directory is named by the environment."""
    folder = os.environ.get("NETSTACK_SCREENSHOTS")
    if folder:
        browser.save_screenshot(f"{folder}/{name}.png")


def test_by_browser(internet: LoopbackSession, browser: webdriver.Chrome) -> None:
    """The forms, without JavaScript, from the first page to the last."""
    port = 443 + internet.running.port_offset
    browser.get(f"https://{REGISTRAR}{'' if port == 443 else f':{port}'}/")
    shot(browser, "first")
    browser.find_element(By.ID, "name").send_keys("start-up.com\n")
    wait_for(browser, "start-up.com is free.")
    servers = browser.find_elements(By.NAME, "server")
    addresses = browser.find_elements(By.NAME, "addresses")
    assert [server.get_attribute("value") for server in servers[:2]] == ["dns1.start-up.com", "dns2.start-up.com"]
    addresses[0].send_keys("10.1.2.3")
    shot(browser, "form")
    browser.find_element(By.CSS_SELECTOR, "form[action='/register'] button").click()
    wait_for(browser, "nobody finds it without its address")
    shot(browser, "wrong")
    browser.find_elements(By.NAME, "addresses")[1].send_keys("10.1.2.4")
    browser.find_element(By.CSS_SELECTOR, "form[action='/register'] button").click()
    wait_for(browser, "start-up.com is yours")
    shot(browser, "done")
    secret = browser.find_element(By.CLASS_NAME, "secret").text
    assert re.fullmatch(r"(\w{6}-){3}\w{6}", secret)
    browser.find_element(By.PARTIAL_LINK_TEXT, "Manage start-up.com").click()
    wait_for(browser, "Delete start-up.com")
    shot(browser, "manage")
    browser.find_element(By.ID, "secret4").send_keys(secret)
    browser.find_element(By.CSS_SELECTOR, "button[value='deletion']").click()
    wait_for(browser, "start-up.com is deleted")
