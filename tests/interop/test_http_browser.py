"""netstack-origin and headless Chromium, driven by its own driver: a page with ten images, plain and TLS."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.interop.http_site import NAME, PAGE, PORT, TLS_PORT, Served, serving
from tests.interop.programs import need

PROTOCOLS = """return performance.getEntries().filter(entry => entry.nextHopProtocol)
    .map(entry => entry.nextHopProtocol).slice(0, 11)"""
IMAGES = "return Array.from(document.images).map(image => image.complete ? image.naturalWidth : 0)"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("origin")) as served:
        yield served


def trust(home: Path, ca: Path) -> None:
    """Make browsers with this home trust a CA."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    certutil = (need("certutil"), "-d", f"sql:{store}")
    subprocess.run([*certutil, "-N", "--empty-password"], check=True)
    subprocess.run([*certutil, "-A", "-t", "C,,", "-n", "netstack", "-i", str(ca)], check=True)


@pytest.fixture(scope="module")
def browser(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = need("chromium")
    home = tmp_path_factory.mktemp("home")
    trust(home, served.ca)
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={home}/profile",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
        "--no-proxy-server",
        f"--host-resolver-rules=MAP {NAME} {served.address}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):  # fmt: skip
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(need("chromedriver"), env={**os.environ, "HOME": str(home)}))
    try:
        driver.set_page_load_timeout(20)
        yield driver
    finally:
        driver.quit()


@pytest.mark.slow
@pytest.mark.parametrize("base", [f"http://{NAME}:{PORT}", f"https://{NAME}:{TLS_PORT}"])
def test_a_page_with_ten_images(served: Served, browser: webdriver.Chrome, base: str) -> None:
    browser.get(base + PAGE)
    assert browser.title == "Some Department"
    assert browser.execute_script(IMAGES) == [8] * 10  # type: ignore[no-untyped-call]
    served.process.wait_for(f'"{base}{PAGE}"', count=10)  # the access log's Referer, of each image
    protocols = browser.execute_script(PROTOCOLS)  # type: ignore[no-untyped-call]
    assert protocols == ["h2" if base.startswith("https") else "http/1.1"] * 11


@pytest.mark.slow
def test_an_error_page_is_shown(browser: webdriver.Chrome) -> None:
    browser.get(f"http://{NAME}:{PORT}/nowhere")
    assert browser.title == "404 Not Found"
    assert "/nowhere was not found" in browser.page_source
