"""What a cookie does: a shop recognises its visitor a week later, and a tracker follows visitors from site to site.

The chapter's visitor has been at eBay before (8734 is in the browser's file), and comes to Amazon for the first time: 1678.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from netstack.http.cookiefile import dumped
from netstack.http.jar import Jar
from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.world.session import Session

TITLE = "What a cookie tells, to whom, and for how long"
SUBSTRATES = ("simulated",)

WORLD, HOST = "textbook", "cse.nyu.edu"
EBAY, AMAZON, TRACKER = "www.ebay.com", "www.amazon.com", "www.ads.com"
CHANGES = {
    "zones": {zone: {"site": "hosting"} for zone in ("ebay.com", "amazon.com", "ads.com")},
    "hosts": {
        EBAY: {"services": {"origin": {"mount": ["/=shop"], "shop": {"first-visitor": 8734}}}},
        AMAZON: {"services": {"origin": {"mount": ["/=shop"], "shop": {"first-visitor": 1678}}}},
        TRACKER: {"services": {"origin": {"mount": ["/dot=tracker"]}}},
    },
}
DAY = 86_400.0
LOOKED_AT = ("/product/radio", "/product/headphones", "/product/kite")

# (claim, the chapter's number)
VISITS = (
    ("eBay's number in the browser's file", 8734),
    ("Amazon's number in the browser's file after the first visit", 1678),
    ("rows of the browser's file then", 2),
    ("numbers that Amazon gives at the first visit", 1),
    ("numbers that Amazon gives at the second visit", 0),
    ("visitor that Amazon recognises at the second visit", 1678),
    ("visitor that Amazon recognises one week later", 1678),
    ("visitor that eBay recognises one week later", 8734),
    ("pages that Amazon knows the visitor to have looked at", len(LOOKED_AT) + 3),
    ("visitor that Amazon sees in a browser without the file", 1679),
    ("visitor that Amazon sees when the year of the cookie is over", 1680),
)
# (claim, what the tracker's picture is asked with, the number)
TRACKED = (
    ("pages of two other sites in a tracker's profile of one visitor, cookie with SameSite=None", "", 2),
    ("the same, cookie with SameSite=Lax", "?Lax", 0),
    ("the same, cookie with SameSite=Strict", "?Strict", 0),
)
"""The visitor has been on the tracker's own site before, so that there is a cookie."""


class NotShown(Exception):
    """A page is not what a visitor should see."""


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [*(Claim(text, model, None) for text, model in VISITS), *(Claim(text, model, None) for text, _, model in TRACKED)]


def measure(bench: Bench) -> Iterator[Claim]:
    """Goes shopping with a browser's file of cookies, and without."""
    with bench.changed(WORLD, CHANGES, "cookies") as internet:
        measured, file = _visits(internet)
        for (text, model), value in zip(VISITS, measured, strict=True):
            yield Claim(text, model, value, note=file if text.startswith("rows") else "")
        for text, how, model in TRACKED:
            yield Claim(text, model, _tracked(internet, how), unit="pages")


def _visits(internet: Session) -> tuple[Sequence[int], str]:
    """What is measured, in the order of VISITS, and the browser's file after the first visit."""
    jar = Jar()
    _get(internet, jar, EBAY)
    first = _get(internet, jar, AMAZON)
    rows = _rows(internet, jar)
    second = _get(internet, jar, AMAZON)
    for page in LOOKED_AT:
        _get(internet, jar, AMAZON, page)
    internet.ask(HOST, _sleep, 7 * DAY, within=8 * DAY)
    amazon, ebay = (_get(internet, jar, shop) for shop in (AMAZON, EBAY))
    pages = len(re.findall(r"GMT</td><td><a href=", _get(internet, jar, AMAZON, "/you").body.decode()))
    stranger = _get(internet, Jar(), AMAZON)
    internet.ask(HOST, _sleep, 366 * DAY, within=400 * DAY)
    late = _get(internet, jar, AMAZON)
    values = (
        rows.get(EBAY, 0), rows.get(AMAZON, 0), len(rows), _given(first), _given(second), _seen(second), _seen(amazon),
        _seen(ebay), pages, _seen(stranger), _seen(late),
    )  # fmt: skip
    return values, ", ".join(f"{name.split('.')[1]} {number}" for name, number in rows.items())


def _rows(internet: Session, jar: Jar) -> dict[str, int]:
    """The browser's file as a table: site and number."""
    text: str = internet.ask(HOST, lambda machine: dumped(jar, machine.wall()))
    cookies = [line.removeprefix("#HttpOnly_").split("\t") for line in text.splitlines() if line.count("\t") == 6]
    return {parts[0]: int(parts[6].partition("-")[0]) for parts in cookies}


def _tracked(internet: Session, query: str) -> int:
    """Pages in the tracker's profile of a visitor whose browser shows pages of two shops with its picture."""
    jar = Jar()
    _get(internet, jar, TRACKER, f"/dot{query}")
    for shop in (EBAY, AMAZON):
        _get(internet, jar, shop)
        answer = internet.ask(HOST, _fetch, f"https://{TRACKER}/dot{query}", jar, f"https://{shop}/")
        if answer.status != 200 or answer.field("content-type") != "image/gif":
            raise NotShown(f"{answer.url}: {answer.status}")
    profile = _get(internet, jar, TRACKER, "/dot?profile").body.decode()
    if profile.count("<li>") < 1:
        raise NotShown("the tracker does not know whom it saw on its own site")
    return sum(f"<li>https://{shop}/</li>" in profile for shop in (EBAY, AMAZON))


def _given(result: Any) -> int:
    return len([name for name, _ in result.fields if name.lower() == "set-cookie"])


def _seen(result: Any) -> int:
    """Whom a shop's page greets."""
    found = re.search(r"Welcome(?: back)?, visitor (\d+)", result.body.decode())
    if found is None:
        raise NotShown(f"{result.url} greets nobody")
    return int(found[1])


def _get(internet: Session, jar: Jar, host: str, path: str = "/") -> Any:
    result = internet.ask(HOST, _fetch, f"https://{host}{path}", jar, None)
    if result.status != 200:
        raise NotShown(f"{result.url}: {result.status}")
    return result


async def _fetch(machine: Any, url: str, jar: Jar, page: str | None) -> Any:
    from netstack.http.client import HTTPClient

    client = HTTPClient(machine, jar=jar)
    try:
        return await client.fetch(url, fields=[("Referer", page)] if page else (), page=page)
    finally:
        client.close()


async def _sleep(machine: Any, seconds: float) -> None:
    from twisted.internet.task import deferLater

    await deferLater(machine.reactor, seconds)
