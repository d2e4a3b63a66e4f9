"""The shop and the chapter's forms by other programs: curl's and requests' cookies, and a browser without JavaScript."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from netstack.world.session import LoopbackSession, open_session
from tests.interop.programs import need
from tests.interop.test_http_browser import trust

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shop")]

SHOP, FORMS = "www.bigshop.com", "www.somesite.com"


@pytest.fixture(scope="module")
def internet() -> Iterator[LoopbackSession]:
    with open_session("textbook", "loopback") as session:
        assert isinstance(session, LoopbackSession)
        yield session


def curl(internet: LoopbackSession, url: str, *options: str) -> str:
    """What a request prints, under the world's own authority, with names led to their hosts."""
    offset = internet.running.port_offset
    led = [
        part
        for name in (SHOP, FORMS)
        for port in (80, 443)
        for part in ("--connect-to", f"{name}:{port}:{internet.address(name)}:{port + offset}")
    ]
    command = [need("curl"), "--silent", "--show-error", "--cacert", str(internet.running.ca), *led, *options, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found, page
    return found[1]


@pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
def test_curl_goes_shopping(internet: LoopbackSession, tmp_path: Path, protocol: str) -> None:
    """A jar from the first visit to an order; curl itself refuses a `__Host-` cookie that is not as it has to be."""
    jar = str(tmp_path / "jar")

    def ask(path: str, *form: str) -> str:
        data = [part for field in form for part in ("--data-urlencode", field)]
        return curl(internet, f"https://{SHOP}{path}", protocol, "-b", jar, "-c", jar, "-L", *data)

    first = ask("/")
    number = re.search(r"Welcome, visitor (\d+)", first)
    assert number
    line = next(line for line in Path(jar).read_text().splitlines() if "__Host-visitor" in line)
    assert line.split("\t")[:4] == [f"#HttpOnly_{SHOP}", "FALSE", "/", "TRUE"]
    assert line.split("\t")[6].startswith(f"{number[1]}-")
    page = ask("/product/compass")
    assert f"Welcome back, visitor {number[1]}" in ask("/")
    assert "because you looked at Brass compass" in ask("/")
    token = hidden(page, "token")
    assert "Brass compass" in ask("/cart", f"token={token}", "product=compass")
    assert "Susan" in ask("/account", f"token={token}", "name=Susan", "address=1 Packet Lane")
    thanks = ask("/buy", f"token={token}", f"once={hidden(page, 'once')}")
    assert "Thank you, Susan" in thanks
    assert "1 × Brass compass" in thanks
    known = ask("/you")
    assert "1 Packet Lane" in known
    forget = ("-b", jar, "-c", jar, "-w", "%{http_code}", "-o", os.devnull, "-d", f"token={token}")
    assert curl(internet, f"https://{SHOP}/you", protocol, *forget) == "303"
    assert "__Host-visitor" not in Path(jar).read_text(), "forgotten on both sides"


def test_curl_fills_in_the_chapter_s_forms(internet: LoopbackSession, tmp_path: Path) -> None:
    found = curl(internet, f"http://{FORMS}/animalsearch?monkeys&bananas")
    assert re.findall(r"<dt>(\w+)</dt>", found) == ["monkeys", "bananas"]
    (tmp_path / "kiwi.gif").write_bytes(b"GIF89a" * 1000)
    url = f"https://{FORMS}/upload"
    assert "<td>monkeys &amp; bananas</td>" in curl(internet, url, "--data-urlencode", "animals=monkeys & bananas")
    came = curl(internet, url, "-F", f"picture=@{tmp_path}/kiwi.gif", "--form-string", "note=<b>fruit</b>")
    assert "kiwi.gif</td><td><code>image/gif, 6000 octets" in came
    assert "&lt;b&gt;fruit&lt;/b&gt;" in came
    (tmp_path / "large").write_bytes(bytes(2_000_000))
    status = ("-o", os.devnull, "-w", "%{http_code}")
    assert curl(internet, url, "-F", f"picture=@{tmp_path}/large", *status) == "413"
    assert curl(internet, url, "-H", "Content-Type: text/plain", "-d", "x", *status) == "415"


def test_a_session_of_requests_keeps_the_number(internet: LoopbackSession) -> None:
    base = f"http://{internet.address(SHOP)}:{80 + internet.running.port_offset}"
    with requests.Session() as session:
        page = session.get(f"{base}/product/globe", timeout=20).text
        value = session.cookies["visitor"] or ""
        number = value.partition("-")[0]
        assert f"visitor {number}" in page
        form = {"token": hidden(page, "token"), "product": "globe"}
        answer = session.post(f"{base}/cart", form, timeout=20)
        assert (answer.url, answer.status_code) == (f"{base}/cart", 200)
        assert "Globe" in answer.text
        assert f"Welcome back, visitor {number}" in session.get(f"{base}/", timeout=20).text
        assert session.cookies["visitor"] == value
        files = {"picture": ("a.png", b"\x89PNG", "image/png")}
        forms = f"http://{internet.address(FORMS)}:{80 + internet.running.port_offset}/upload"
        assert "image/png, 4 octets" in session.post(forms, {"note": "small"}, files=files, timeout=20).text
    assert f"visitor {number}" not in requests.get(f"{base}/", timeout=20).text


@pytest.fixture(scope="module")
def browser(internet: LoopbackSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = need("chromium")
    home = tmp_path_factory.mktemp("home")
    assert internet.running.ca is not None
    trust(home, internet.running.ca)
    led = ", ".join(f"MAP {name} {internet.address(name)}" for name in (SHOP, FORMS))
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={home}/profile",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
        "--no-proxy-server", "--window-size=1000,1300",
        f"--host-resolver-rules={led}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):  # fmt: skip
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    driver = webdriver.Chrome(options=options, service=Service(need("chromedriver"), env={**os.environ, "HOME": str(home)}))
    try:
        driver.set_page_load_timeout(20)
        yield driver
    finally:
        driver.quit()


def place(internet: LoopbackSession, host: str, path: str, scheme: str = "https") -> str:
    port = (443 if scheme == "https" else 80) + internet.running.port_offset
    return f"{scheme}://{host}{'' if not internet.running.port_offset else f':{port}'}{path}"


def wait_for(browser: webdriver.Chrome, text: str) -> None:
    """Until the page that a click leads to says so."""
    WebDriverWait(browser, 20).until(lambda shown: text in shown.page_source, f"{text!r} is not shown")


def shot(browser: webdriver.Chrome, name: str) -> None:
    """A picture for who wants to see the pages: the directory is named by the environment."""
    folder = os.environ.get("NETSTACK_SCREENSHOTS")
    if folder:
        browser.save_screenshot(f"{folder}/{name}.png")


def press(browser: webdriver.Chrome, selector: str) -> None:
    browser.find_element(By.CSS_SELECTOR, selector).click()


def test_a_browser_goes_shopping(internet: LoopbackSession, browser: webdriver.Chrome) -> None:
    browser.get(place(internet, SHOP, "/"))
    wait_for(browser, "Welcome, visitor ")
    shot(browser, "first")
    cookie = browser.get_cookie("__Host-visitor")
    assert cookie is not None
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, True, "Lax", "/")
    number = cookie["value"].partition("-")[0]
    press(browser, "a[href='/product/teapot']")
    wait_for(browser, "Buy it with one click")
    shot(browser, "product")
    press(browser, "form[action='/cart'] button")
    wait_for(browser, "Together")
    press(browser, "button[value='add']")
    wait_for(browser, "$68.00")
    shot(browser, "cart")
    browser.get(place(internet, SHOP, "/product/kite"))
    press(browser, "form[action='/buy'] button")
    wait_for(browser, "one click buys")
    browser.find_element(By.ID, "name").send_keys("Susan")
    browser.find_element(By.ID, "address").send_keys("1 Packet Lane")
    shot(browser, "address")
    press(browser, "form[action='/account'] button")
    wait_for(browser, "It goes to Susan, 1 Packet Lane.")
    press(browser, "form[action='/buy'] button")
    wait_for(browser, "Thank you, Susan")
    shot(browser, "bought")
    browser.get(place(internet, SHOP, "/"))
    wait_for(browser, "Welcome back, Susan")
    assert f"visitor {number}" in browser.page_source
    assert "because you looked at" in browser.page_source
    shot(browser, "again")
    browser.get(place(internet, SHOP, "/you"))
    wait_for(browser, "1 × Red kite")
    shot(browser, "you")
    press(browser, "form[action='/you'] button")
    wait_for(browser, "Nothing. You came without")
    shot(browser, "forgotten")
    assert browser.get_cookie("__Host-visitor") is None


def test_a_browser_fills_in_the_chapter_s_forms(
    internet: LoopbackSession, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    browser.get(place(internet, FORMS, "/animalsearch", "http"))
    browser.find_element(By.ID, "q").send_keys("monkeys bananas\n")
    wait_for(browser, "Bananas are berries")
    assert browser.current_url.endswith("/animalsearch?q=monkeys+bananas")
    shot(browser, "search")
    browser.get(place(internet, FORMS, "/upload"))
    press(browser, "form:not([enctype]) button")
    wait_for(browser, "<td>monkeys &amp; bananas</td>")
    (tmp_path / 'a "b".gif').write_bytes(b"GIF89a")
    browser.find_element(By.ID, "picture").send_keys(str(tmp_path / 'a "b".gif'))
    browser.find_element(By.ID, "note").send_keys("größer <als>")
    press(browser, "form[enctype] button")
    wait_for(browser, "image/gif, 6 octets")
    assert 'a "b".gif' in browser.page_source
    assert "größer &lt;als&gt;" in browser.page_source
    shot(browser, "upload")


def test_a_form_of_another_site_is_refused(internet: LoopbackSession, browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The browser says where the form is from (Origin), and does not send the cookie along (SameSite)."""
    browser.get(place(internet, SHOP, "/"))
    wait_for(browser, "elcome")
    trap = tmp_path / "trap.html"
    trap.write_text(f'<form method="post" action="{place(internet, SHOP, "/you")}"><button>Win a prize</button></form>')
    browser.get(trap.as_uri())
    press(browser, "button")
    wait_for(browser, "sent from a page of another site")
    browser.get(place(internet, SHOP, "/you"))
    wait_for(browser, "Your number")
