"""A shop without power at every moment of an order: what was promised is there, and an order is never there twice."""

from typing import Any
from urllib.parse import urlencode

from netstack.http.client import FetchError, Result, fetch
from netstack.kernel.machine import Machine
from tests.shop.counter import ADDRESS, CLIENT, SHOP, Browser, town

STEP = 0.0012


def begin(browser: Browser, once: str) -> Any:
    """An order under way; `done` of what is returned says whether there is an answer."""
    [cookie] = browser.jar.cookies(0.0)
    body = urlencode({"token": browser.hidden("token"), "product": "tent", "once": once}).encode()
    fields = [("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", f"{cookie.name}={cookie.value}")]

    async def go(machine: Machine) -> Result | None:
        try:
            return await fetch(machine, f"https://{SHOP}/buy", "POST", fields, body)
        except FetchError:
            return None

    return browser.up.simulation.call(browser.up.host(CLIENT), go, browser.up.running.hosts[CLIENT].machine)


def test_power_cuts() -> None:
    seen = set()
    moment = 0.0485
    while moment < 0.06:
        up = town()
        browser = Browser(up)
        browser.open("/account")
        browser.send("/account", **ADDRESS)
        browser.open("/product/tent")
        once = browser.hidden("once")
        outcome = begin(browser, once)
        up.simulation.run(for_seconds=moment)
        up.host(SHOP).power_off()
        up.simulation.run(for_seconds=2)
        up.host(SHOP).boot()
        up.simulation.run(for_seconds=60)
        answer = outcome.value if outcome.done else None
        shown = browser.open("/you")
        assert "1 Packet Lane" in shown, "what was told before is there"
        orders = shown.count("Tent for two</td>")
        if answer is not None:
            assert (answer.status, orders) == (303, 1), "an order that was acknowledged is there"
        seen.add((answer is not None, orders))
        browser.open("/product/tent")
        assert browser.send("/buy", product="tent", once=once).status == 303
        assert browser.open("/you").count("Tent for two</td>") == 1, "the same click again is the same order"
        moment += STEP
    assert seen == {(False, 0), (True, 1)}, "before the commit and after it, which is when the answer leaves"
