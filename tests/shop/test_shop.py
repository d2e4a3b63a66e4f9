"""The shop in virtual time: numbers, carts, recommendations, one click, what it knows, and every way to be refused."""

import re
from typing import Any

import pytest

from netstack.world.simulated.world import SimulatedWorld
from tests.shop.counter import ADDRESS, SHOP, Browser, town

WEEK = 7 * 86_400.0


@pytest.fixture(scope="module")
def shared() -> SimulatedWorld:
    """For visitors that do not get in each other's way."""
    return town()


def registered(up: SimulatedWorld) -> Browser:
    browser = Browser(up)
    browser.open("/account")
    assert browser.send("/account", **ADDRESS).status == 303
    return browser


def cookies(browser: Browser) -> list[str]:
    return [cookie.name for cookie in browser.jar.cookies(0.0)]


def test_user_1678_is_recognised_a_week_later() -> None:
    up = town()
    susan = Browser(up)
    first = susan.ask("GET", "/")
    told = first.field("set-cookie") or ""
    assert re.fullmatch(r"__Host-visitor=1678-[0-9a-f]{32}; Max-Age=31536000; Path=/; Secure; HttpOnly; SameSite=Lax", told)
    assert b"Welcome, visitor 1678" in first.body
    second = susan.ask("GET", "/product/teapot")
    assert second.field("set-cookie") is None
    other = Browser(up)
    assert "Welcome, visitor 1679" in other.open()
    up.simulation.run(for_seconds=WEEK)
    again = susan.ask("GET", "/")
    assert again.field("set-cookie") is None
    assert b"Welcome back, visitor 1678" in again.body
    assert b"because you looked at Stoneware teapot" in again.body
    assert b"because you" not in other.ask("GET", "/").body
    up.simulation.run(for_seconds=366 * 86_400.0)
    assert "Welcome, visitor 1680" in susan.open(), "the browser has forgotten the number, and so the shop whose it was"


def test_in_the_clear_a_visitor_is_another_one(shared: SimulatedWorld) -> None:
    """What anybody on the way may have read counts for nothing under TLS."""
    browser = Browser(shared, "http")
    first = browser.ask("GET", "/")
    assert re.match(
        r"visitor=\d+-[0-9a-f]{32}; Max-Age=31536000; Path=/; HttpOnly; SameSite=Lax$", first.field("set-cookie") or ""
    )
    [(name, value)] = [(cookie.name, cookie.value) for cookie in browser.jar.cookies(0.0)]
    for sent in (f"{name}={value}", f"__Host-visitor=; {name}={value}"):
        answer = Browser(shared).ask("GET", "/", fields={"Cookie": sent})
        assert (answer.field("set-cookie") or "").startswith("__Host-visitor=")


def test_a_cart(shared: SimulatedWorld) -> None:
    browser = Browser(shared)
    browser.open("/product/mug")
    for product, action in (("mug", "add"), ("mug", "add"), ("lamp", "add"), ("kite", "add"), ("kite", "remove")):
        answer = browser.send("/cart", product=product, action=action)
        assert (answer.status, answer.field("location")) == (303, "/cart")
    shown = browser.open("/cart")
    assert re.findall(r"<b>(\d+)</b> <button", shown) == ["1", "2"]
    assert "$66.00" in shown
    browser.send("/cart", product="mug", action="clear")
    assert "$41.00" in browser.open("/cart")


def test_one_click_needs_an_address_once(shared: SimulatedWorld) -> None:
    browser = Browser(shared)
    answer = browser.click("kite")
    assert (answer.status, answer.field("location")) == (303, "/account?for=kite")
    assert "one click buys" in browser.open("/account?for=kite")
    answer = browser.send("/account", **ADDRESS, **{"for": "kite"})
    assert answer.field("location") == "/product/kite"
    place = browser.click("kite").field("location") or ""
    assert place.startswith("/orders?numbers=")
    assert "Thank you, Susan" in browser.open(place)
    assert "1 × Red kite" in browser.open("/you")
    assert "No such order" in Browser(shared).open(place), "orders of others are not shown"


def test_a_click_that_came_twice_is_one_order(shared: SimulatedWorld) -> None:
    browser = registered(shared)
    browser.open("/product/globe")
    once = browser.hidden("once")
    first, second = (browser.send("/buy", product="globe", once=once).field("location") for _ in range(2))
    assert first == second
    assert browser.open("/you").count("1 × Globe") == 1
    assert browser.click("globe").field("location") != first
    assert browser.open("/you").count("1 × Globe") == 2


def test_the_cart_is_bought_as_a_whole(shared: SimulatedWorld) -> None:
    browser = registered(shared)
    for product in ("mug", "mug", "tent"):
        browser.send("/cart", product=product)
    browser.open("/cart")
    thanks = browser.open(browser.send("/buy", once=browser.hidden("once")).field("location") or "")
    assert "2 × Mug" in thanks
    assert "1 × Tent" in thanks
    assert "It is empty" in browser.open("/cart")
    browser.open("/product/mug")
    assert browser.send("/buy", once="0123456789abcdef").status == 422, "nothing to buy"


def test_what_the_shop_knows_and_forgets(shared: SimulatedWorld) -> None:
    browser = registered(shared)
    browser.open("/product/radio")
    browser.open("/product/compass")
    shown = browser.open("/you")
    for what in (str(browser.number), "1 Packet Lane", "Pocket radio", "Brass compass"):
        assert what in shown
    assert shown.index("Brass compass") < shown.index("Pocket radio"), "the newest first"
    [cookie] = browser.jar.cookies(0.0)
    assert browser.send("/you").status == 303
    assert len(browser.jar) == 0, "the number is taken back"
    assert "Nothing. You came without" in browser.open("/you"), "and looking at that gives none"
    answer = browser.ask("GET", "/you", fields={"Cookie": f"{cookie.name}={cookie.value}"})
    assert b"Nothing. You came without" in answer.body, "the old one is nobody's"


def test_names_are_text(shared: SimulatedWorld) -> None:
    browser = Browser(shared)
    browser.open("/account")
    browser.send("/account", name="<script>alert(1)</script>", address='"> & </input>')
    for page in ("/account", "/you", "/", "/product/mug"):
        shown = browser.open(page)
        assert "<script" not in shown
        assert '""' not in shown.replace('value=""', "")


@pytest.mark.parametrize(
    ("path", "form", "fields", "status", "reason"),
    [
        ("/buy", {"product": "mug", "once": "0123456789abcdef", "token": "0" * 64}, {}, 403, "token"),
        ("/buy", {"product": "mug", "once": "0123456789abcdef", "token": "ü"}, {}, 403, "token"),
        ("/buy", {"product": "mug", "once": "0123456789abcdef", "token": ""}, {}, 403, "token"),
        ("/buy", {"product": "mug", "once": "0123456789abcdef"}, {"Cookie": "__Host-visitor=1678-0"}, 403, "cookie"),
        ("/buy", {"product": "mug", "once": "short"}, {}, 422, "wrong"),
        ("/buy", {"product": "mug", "once": "../../etc/passwd!"}, {}, 422, "wrong"),
        ("/buy", {"product": "moon", "once": "0123456789abcdef"}, {}, 422, "wrong"),
        ("/cart", {"product": ""}, {}, 422, "wrong"),
        ("/cart", {"product": "mug", "action": "steal"}, {}, 400, ""),
        ("/account", {"name": "x" * 201, "address": "y"}, {}, 422, "wrong"),
        ("/account", {"name": "  ", "address": "y"}, {}, 422, "wrong"),
        ("/account", ADDRESS, {"Sec-Fetch-Site": "cross-site"}, 403, "elsewhere"),
        ("/account", ADDRESS, {"Origin": "https://evil.test"}, 403, "elsewhere"),
        ("/account", ADDRESS, {"Origin": f"http://{SHOP}"}, 403, "elsewhere"),
        ("/account", ADDRESS, {"Content-Type": "text/plain"}, 415, "wrong"),
        ("/account", {"name": "x" * 70_000, "address": "y"}, {}, 413, ""),
        ("/account", {f"field{number}": "" for number in range(201)}, {}, 400, ""),
        ("/nowhere", {}, {}, 404, ""),
        ("/product/mug", {}, {}, 405, ""),
    ],
)  # fmt: skip
def test_refusals(path: str, form: dict[str, str], fields: dict[str, str], status: int, reason: str) -> None:
    from urllib.parse import urlencode

    up = town(http={"body": 65_536})
    browser = Browser(up)
    browser.open("/product/mug")
    before = browser.open("/you")
    told = {"token": browser.hidden("token")} | form
    sent = {"Content-Type": "application/x-www-form-urlencoded"} | fields
    answer = browser.ask("POST", path, urlencode(told).encode(), sent)
    assert answer.status == status, answer.body
    counts = shop(up).counts.refusals
    assert {name for name, count in counts.items() if count} == ({reason} if reason else set())
    after = browser.open("/you")
    assert after.count("<tr>") == before.count("<tr>"), "nothing was changed"


def shop(up: SimulatedWorld) -> Any:
    service: Any = up.running.hosts[SHOP].services[0].service
    return service._origin.mounts.applications["/"]


@pytest.mark.parametrize(
    "cookie",
    [
        "", ";", "=", "__Host-visitor", "__Host-visitor=", "__Host-visitor=-", "__Host-visitor=1678",
        "__Host-visitor=1678-",
        "__Host-visitor=1678-00000000000000000000000000000000", "__Host-visitor=99999999999999999999-1",
        "__Host-visitor=-1-x",
        "__Host-visitor=1e3-x", "__Host-visitor=' OR 1=1 --", "__Host-visitor=1678-\xff\xfe", "a=b; " * 500, "x" * 8000,
    ],
)  # fmt: skip
def test_cookies_that_are_garbage(shared: SimulatedWorld, cookie: str) -> None:
    answer = Browser(shared).ask("GET", "/", fields={"Cookie": cookie})
    assert answer.status == 200
    assert (answer.field("set-cookie") or "").startswith("__Host-visitor="), "a new number for somebody unknown"


def test_without_tls_nothing_personal_is_taken_but_where_the_world_says_so() -> None:
    up = town("hardened")
    browser = Browser(up, "http")
    browser.open("/product/mug")
    assert browser.send("/cart", product="mug").status == 303
    assert browser.send("/account", **ADDRESS).status == 403
    assert browser.send("/you").status == 403
    assert Browser(town(), "http").open("/account")


def test_visitors_in_bounds() -> None:
    """Those who only looked are forgotten first, then those who left a cart; who bought something never is."""
    up = town(shop={"visitors": 3, "views": 4, "cart": 2, "pieces": 3, "orders": 1})
    looker, carter, buyer = Browser(up), Browser(up), registered(up)
    looker.open("/")
    carter.open("/product/mug")
    carter.send("/cart", product="mug")
    buyer.click("mug")
    assert Browser(up).open().count("visitor 1681")
    assert "Welcome, visitor 1682" in looker.open(), "forgotten"
    assert "Welcome back, visitor" in carter.open()
    looker.open("/product/mug")
    looker.send("/cart", product="mug")
    assert "Welcome, visitor 1683" in Browser(up).open()
    assert "Welcome, visitor 1684" in Browser(up).open()
    assert "Welcome back, Susan" in buyer.open()
    assert buyer.click("mug").status == 422
    assert buyer.send("/cart", product="mug").status == 303
    assert buyer.send("/cart", product="lamp").status == 303
    assert buyer.send("/cart", product="kite").status == 422
    assert [buyer.send("/cart", product="mug").status for _ in range(3)] == [303, 303, 422]
    for _ in range(10):
        buyer.open("/product/radio")
    assert buyer.open("/you").count("Pocket radio") == 4
    for _ in range(2):
        registered(up)
    full = Browser(up).ask("GET", "/")
    assert (full.status, full.field("set-cookie")) == (200, None), "the shop is full, and open"
    assert "Welcome back, Susan" in buyer.open()


def test_a_full_disk_is_told() -> None:
    up = town(database={"octets": 53_248}, shop={"views": 100_000})
    browser = registered(up)
    statuses = {browser.ask("GET", "/product/globe").status for _ in range(400)}
    assert statuses == {200, 503}
    assert browser.send("/account", **ADDRESS).status in (303, 503)
    assert shop(up).counts.refusals["full"] > 0
