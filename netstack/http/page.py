"""A page with all its objects, fetched in each of the ways that browsers have had (RFC 9112 §9, RFC 9113)."""

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from netstack.http.client import ClientOptions, HTTPClient, Result
from netstack.http.jar import Jar
from netstack.http.links import FetchError
from netstack.kernel.machine import Machine

OBJECTS = 200
"""Objects of one page that are fetched."""
PARALLEL = 5
"""Connections at once, as browsers had them."""


class Mode(StrEnum):
    """How connections are used."""

    NON_PERSISTENT = "non-persistent"
    """One for each object, one after another."""
    PARALLEL = "parallel"
    """One for each object, several at once."""
    PERSISTENT = "persistent"
    """One for all, a request after each response."""
    PIPELINED = "pipelined"
    """One for all, requests that do not wait."""
    HTTP2 = "http2"
    """One for all, each request on a stream of its own."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """One object; times in seconds since the page was asked for."""

    url: str
    started: float
    ended: float
    result: Result | None
    error: str = ""
    """Why there is no result."""


@dataclass(frozen=True, slots=True)
class Page:
    """A base page, which comes first, and its objects in the order they are named."""

    mode: Mode
    parts: Sequence[Fetched]
    connections: int
    """Connections that were made."""

    @property
    def seconds(self) -> float:
        """Until the last one had come."""
        return max(part.ended for part in self.parts)


async def fetch_page(
    machine: Machine,
    url: str,
    mode: Mode,
    fields: Sequence[tuple[str, str]] = (),
    options: ClientOptions | None = None,
    parallel: int = PARALLEL,
    jar: Jar | None = None,
) -> Page:
    """Fetch a page and what it shows, with the cookies of `jar`; raises FetchError when the page itself cannot be had."""
    multiplexed = mode is Mode.HTTP2
    client = HTTPClient(
        machine,
        replace(
            options or ClientOptions(), http2=multiplexed, prior_knowledge=multiplexed, pipelining=mode is Mode.PIPELINED
        ),
        jar,
    )
    sent = list(fields)
    if mode in (Mode.NON_PERSISTENT, Mode.PARALLEL):
        sent.append(("Connection", "close"))
    seconds = machine.reactor.seconds
    start = seconds()

    async def one(each: str, page: str | None = None) -> Fetched:
        begun = seconds() - start
        try:
            result = await client.fetch(each, fields=sent, page=page)
        except FetchError as error:
            return Fetched(each, begun, seconds() - start, None, str(error))
        return Fetched(each, begun, seconds() - start, result)

    try:
        base = await one(url)
        if base.result is None:
            raise FetchError(base.error)
        at_once = {Mode.NON_PERSISTENT: 1, Mode.PERSISTENT: 1, Mode.PARALLEL: parallel}.get(mode, OBJECTS)
        parts = await _all([one(each, base.result.url) for each in objects_of(base.result)], at_once)
    finally:
        client.close()
    found = [base, *parts]
    return Page(mode, found, sum(part.result is not None and not part.result.reused for part in found))


async def _all(work: Sequence[Awaitable[Fetched]], at_once: int) -> Sequence[Fetched]:
    turns = DeferredSemaphore(at_once)

    async def in_turn(one: Awaitable[Fetched]) -> Fetched:
        await turns.acquire()
        try:
            return await one
        finally:
            turns.release()

    found: Sequence[Fetched] = await gatherResults([Deferred.fromCoroutine(in_turn(one)) for one in work])
    return found


class _Objects(HTMLParser):
    """Finds what a browser fetches without being asked."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("img", "script", "source", "video", "audio", "iframe"):
            target = values.get("src")
        elif tag == "link" and (values.get("rel") or "").lower() in ("stylesheet", "icon", "shortcut icon"):
            target = values.get("href")
        else:
            return
        if target:
            self.found.append(target)


def objects_of(page: Result) -> list[str]:
    """The URLs of a page's objects, each once; none of what is no HTML."""
    if page.status != 200 or not (page.field("content-type") or "").startswith("text/html"):
        return []
    parser = _Objects()
    with suppress(AssertionError):  # the library's for declarations that are none: what was found before it is good
        parser.feed(page.body.decode("utf-8", "replace"))
    urls = (urldefrag(urljoin(page.url, each)).url for each in parser.found)
    return list(dict.fromkeys(each for each in urls if each.startswith(("http://", "https://"))))[:OBJECTS]
