"""What does a conditional GET save? A copy is asked about a week later: 304 without content, until the original changes.

The chapter's kiwi, with its own Last-Modified. First the copy is the lab's: what a browser would keep. Then it is that of an
institution's Web cache, on the chapter's two Saturdays: a browser asks the cache, the cache asks the server.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from netstack.http.values import parse_http_date
from netstack.kernel.ladder import listing
from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.world.session import Session

TITLE = "What a conditional GET saves a week later"
SUBSTRATES = ("simulated",)

STUDENT, CACHE, SITE = "student.someschool.test", "cache.someschool.edu", "someschool"
SATURDAY = 1443886769.0
"""Sat, 03 Oct 2015 15:39:29 GMT: the Date of the chapter's first response."""
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
CACHED = (
    ("through a Web cache: status of the first fetch", 200),
    ("a week later: If-Modified-Since of the cache's request, in seconds since 1970", MODIFIED),
    ("status of the server's response to the cache", 304),
    ("octets of content in it", 0),
    ("Date of that response, in seconds since 1970", int(SATURDAY + WEEK)),
    ("status of the cache's response to the browser", 200),
    ("whether its content is the picture", 1),
)
LINK = "octets saved on the institution's access link, against the picture's"
AGAIN = "requests to the server when a minute later the picture is asked for once more"


class NotAsked(Exception):
    """The cache did not ask the server when it had to."""


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    texts = [*FIRST, *LATER, (SAVED, 1), *CHANGED, *CACHED, (LINK, 1), (AGAIN, 0)]
    return [Claim(text, model, None, 0.05 if text in (SAVED, LINK) else 0.0) for text, model in texts]


def measure(bench: Bench) -> Iterator[Claim]:
    """Without a cache between them, then with one."""
    yield from _direct(bench)
    yield from _through_a_cache(bench)


def _direct(bench: Bench) -> Iterator[Claim]:
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


def _through_a_cache(bench: Bench) -> Iterator[Claim]:
    """The picture is fetched on a Saturday, and on the next one; what cache and server say then is in the journal."""
    with bench.world(WORLD) as internet:
        simulated: Any = internet
        for host in simulated.up.simulation.hosts.values():
            host.skew += SATURDAY - host.wall()
        began = internet.seconds()
        internet.record(STUDENT, CACHE, SERVER)
        first, octets = _crossing(internet)
        _, filled = _between(internet)
        internet.ask(STUDENT, _sleep, began + WEEK - internet.seconds(), within=2 * WEEK)
        internet.clear()
        later, later_octets = _crossing(internet)
        rows = [row for row in internet.rows() if row.protocol == "http"]
        asked, answered = _between(internet)
        notes = (
            _told(filled, "Date", "Server", "Last-Modified", "Content-Type"),
            _told(asked, "Host", "If-Modified-Since"),
            _told(answered, "Date", "Server"),
            *("", ""),
            listing(rows),
            "",
        )
        claims = _claims(
            CACHED,
            first.status,
            parse_http_date(_field(asked, "if-modified-since")) or 0,
            int(answered.split()[1]),
            len(answered.partition("\r\n\r\n")[2]),
            parse_http_date(_field(answered, "date")) or 0,
            later.status,
            later.body == first.body,
        )
        yield from (replace(claim, note=note) for claim, note in zip(claims, notes, strict=True))
        told = f"{octets} octets, a week later {later_octets}; the picture has {len(first.body)}"
        yield Claim(LINK, len(first.body), octets - later_octets, 0.05, "octets", note=told)
        internet.ask(STUDENT, _sleep, 60.0, within=600)
        internet.clear()
        _crossing(internet)
        yield Claim(AGAIN, 0, sum(SERVER in (row.source_name, row.destination_name) for row in internet.rows()))


def _crossing(internet: Session) -> tuple[Any, int]:
    """The picture by way of the cache, and the octets that came over the institution's access link for it."""
    links = internet.running.links
    before, _ = links.carried(SITE, "down")
    proxy = f"{CACHE}:{3128 + internet.running.port_offset}"
    result = internet.ask(STUDENT, _fetch, f"http://{SERVER}{PATH}", (), proxy)
    after, _ = links.carried(SITE, "down")
    return result, after - before


def _between(internet: Session) -> tuple[str, str]:
    """The request of the cache and the server's response; raises NotAsked."""
    ends = {CACHE, SERVER}
    rows = [row for row in internet.rows() if row.protocol == "http" and {row.source_name, row.destination_name} == ends]
    if len(rows) != 2:
        raise NotAsked(f"{len(rows)} messages of the cache and the server; expected a request and a response")
    asked, answered = (row.data.decode("latin-1") for row in rows)
    return asked, answered


def _told(message: str, *names: str) -> str:
    """The first line of a message and some of its fields."""
    return "\n".join([message.partition("\r\n")[0], *(f"{name}: {_field(message, name.lower())}" for name in names)])


def _field(head: str, name: str) -> str:
    """A field's value in a message's text; empty without it."""
    for line in head.split("\r\n\r\n")[0].splitlines()[1:]:
        known, _, value = line.partition(":")
        if known.lower() == name:
            return value.strip()
    return ""


def _claims(promises: Sequence[tuple[str, int]], *measured: int) -> Iterator[Claim]:
    for (text, model), value in zip(promises, measured, strict=True):
        yield Claim(text, model, value)


def _fetched(internet: Session, *fields: tuple[str, str]) -> tuple[Any, int]:
    """The response, and its octets on the wire."""
    internet.clear()
    result = internet.ask(HOST, _fetch, f"http://{SERVER}{PATH}", fields)
    sent = [row for row in internet.rows() if row.protocol == "http" and row.source_name == SERVER]
    return result, sum(len(row.data) + row.omitted for row in sent)


async def _fetch(machine: Any, url: str, fields: Sequence[tuple[str, str]], proxy: str = "") -> Any:
    from netstack.http.client import ClientOptions, fetch

    return await fetch(machine, url, fields=fields, options=ClientOptions(proxy=proxy))


async def _sleep(machine: Any, seconds: float) -> None:
    from twisted.internet.task import deferLater

    await deferLater(machine.reactor, seconds)


def _change(running: Any) -> None:
    """Another picture on the server's disk."""
    running.hosts[SERVER].machine.disk.write(f"www/origin{PATH}", NEW)
