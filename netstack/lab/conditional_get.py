"""What does a conditional GET save? A copy is asked about a week later: 304 without content, until the original changes.

The chapter's kiwi, with its own Last-Modified. The copy is the lab's: what a browser or a Web cache would keep.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from netstack.http.values import parse_http_date
from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.world.session import Session

TITLE = "What a conditional GET saves a week later"
SUBSTRATES = ("simulated",)

WORLD, HOST, SERVER, PATH = "textbook", "cse.nyu.edu", "www.exotiquecuisine.com", "/fruit/kiwi.gif"
MODIFIED = 1441790604
"""Wed, 09 Sep 2015 09:23:24 GMT."""
WEEK = 7 * 86_400.0
NEW = b"GIF89a, of another kiwi"

# (claim, model)
FIRST = (("status of the first fetch", 200), ("its Last-Modified, in seconds since 1970", MODIFIED))
LATER = (
    ("status a week later, with If-Modified-Since equal to the stored Last-Modified", 304),
    ("octets of content then", 0),
    ("the same with If-None-Match and the stored ETag: status", 304),
)
SAVED = "octets saved on the wire by the 304, against the picture's"
CHANGED = (
    ("status once the picture is another one", 200),
    ("octets of content then, those of the new picture", len(NEW)),
    ("status for the old ETag then, though the date is as before", 200),
)
NOT_SHOWN = ("A cache between client and server: the same exchange through one is the lab of the cache.",)


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    texts = [*FIRST, *LATER, (SAVED, 1), *CHANGED]
    return [Claim(text, model, None, 0.05 if text == SAVED else 0.0) for text, model in texts]


def measure(bench: Bench) -> Iterator[Claim]:
    """Fetches the picture, waits a week, asks again; then the picture changes."""
    with bench.world(WORLD) as internet:
        internet.record(HOST, SERVER)
        first, octets = _fetched(internet)
        modified, tag = first.field("last-modified") or "", first.field("etag") or ""
        yield from _claims(FIRST, first.status, parse_http_date(modified) or 0)
        internet.ask(HOST, _sleep, WEEK, within=2 * WEEK)
        later, later_octets = _fetched(internet, ("If-Modified-Since", modified))
        tagged, _ = _fetched(internet, ("If-None-Match", tag))
        yield from _claims(LATER, later.status, len(later.body), tagged.status)
        told = f"{octets} octets, a week later {later_octets}; the picture has {len(first.body)}"
        yield Claim(SAVED, len(first.body), octets - later_octets, 0.05, "octets", note=told)
        internet.drive(_change)
        internet.ask(HOST, _sleep, 60.0, within=600)
        changed, _ = _fetched(internet, ("If-Modified-Since", modified))
        other, _ = _fetched(internet, ("If-None-Match", tag), ("If-Modified-Since", changed.field("last-modified") or ""))
        yield from _claims(CHANGED, changed.status, len(changed.body), other.status)


def _claims(promises: Sequence[tuple[str, int]], *measured: int) -> Iterator[Claim]:
    for (text, model), value in zip(promises, measured, strict=True):
        yield Claim(text, model, value)


def _fetched(internet: Session, *fields: tuple[str, str]) -> tuple[Any, int]:
    """The response, and its octets on the wire."""
    internet.clear()
    result = internet.ask(HOST, _fetch, f"http://{SERVER}{PATH}", fields)
    sent = [row for row in internet.rows() if row.protocol == "http" and row.source_name == SERVER]
    return result, sum(len(row.data) + row.omitted for row in sent)


async def _fetch(machine: Any, url: str, fields: Sequence[tuple[str, str]]) -> Any:
    from netstack.http.client import fetch

    return await fetch(machine, url, fields=fields)


async def _sleep(machine: Any, seconds: float) -> None:
    from twisted.internet.task import deferLater

    await deferLater(machine.reactor, seconds)


def _change(running: Any) -> None:
    """Another picture on the server's disk."""
    running.hosts[SERVER].machine.disk.write(f"www/origin{PATH}", NEW)
