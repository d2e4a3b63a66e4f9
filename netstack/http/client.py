"""An HTTP client: names through the machine's resolver, TLS verified, persistent connections in a small pool.

result = await fetch(machine, "http://gaia.cs.umass.edu/")
result.status, result.fields, result.body, result.timing
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

from twisted.internet.defer import CancelledError, Deferred, TimeoutError

from netstack.http.dialing import DialLimits
from netstack.http.engine.http2.client import STREAM_WINDOW
from netstack.http.jar import Jar
from netstack.http.limits import HTTPLimits
from netstack.http.links import FetchError
from netstack.http.places import Place
from netstack.http.transfer import UpstreamLimits
from netstack.http.upstream import Upstream, UpstreamOptions
from netstack.http.wire import Response
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import is_address
from netstack.sansio import Peer, Security

CONNECTIONS = 1000
"""Of one client, at once; more requests wait."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PRIVATE = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Fields that are not sent on to another host (RFC 9110 §15.4)."""


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Times in seconds, sizes in octets."""

    timeout: float = 30.0
    """For a fetch with all its redirects."""
    redirects: int = 0
    """Redirects to follow; the next one is the result, not an error."""
    connections_per_host: int = 6
    """Idle connections kept for each scheme, host and port."""
    http2: bool = False
    """Offered under TLS; requests to one host then share a connection, as many at once as the server takes."""
    prior_knowledge: bool = False
    """Plain http is HTTP/2 too (RFC 9113 §3.3)."""
    proxy: str = ""
    """HOST:PORT of a proxy that is asked for http URLs (RFC 9112 §3.2.2), the port in use; https URLs are not sent to it."""
    pipelining: bool = False
    """Requests of HTTP/1.1 to one host share a connection and do not wait for each other's responses (RFC 9112 §9.3.2)."""
    user_agent: str = "netstack"
    http: HTTPLimits = field(default_factory=lambda: HTTPLimits(body=64 * 1024 * 1024, head=64 * 1024))
    connections: StreamLimits = field(default_factory=lambda: StreamLimits(idle=30.0))


@dataclass(frozen=True, slots=True)
class Timing:
    """When each step had ended, in seconds from the start of the (last) request; None for a step that was not needed."""

    resolved: float | None
    connected: float | None
    secured: float | None
    first_octet: float
    ended: float


@dataclass(frozen=True, slots=True)
class Result:
    """A response and how it was come by."""

    url: str
    """The last one, after redirects."""
    status: int
    reason: str
    version: str
    fields: Sequence[tuple[str, str]]
    """As they were sent."""
    body: bytes
    peer: Peer
    timing: Timing
    reused: bool
    """The connection had served a request before."""
    via: tuple[str, ...] = ()
    """The URLs that redirected here."""

    def field(self, name: str) -> str | None:
        """The value of a field, repeated ones joined."""
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def security(self) -> Security | None:
        """What TLS agreed on; None for plain http."""
        return self.peer.security


@dataclass(frozen=True, slots=True)
class _Place:
    """What a URL asks for, and where."""

    place: Place
    authority: str
    target: str


Seen = Callable[[Response, int], None]
"""Told of a response and how many octets of its body have come, each time that some have."""


class HTTPClient:
    """Fetches URLs for one machine; `close` it in the end."""

    def __init__(
        self, machine: Machine, options: ClientOptions | None = None, jar: Jar | None = None, seen: Seen | None = None
    ) -> None:
        """`jar`: cookies that servers set are kept there, and sent to them again. `seen` hears of bodies as they come."""
        self.machine = machine
        self.jar = jar
        self._seen = seen
        self.options = options or ClientOptions()
        wanted = self.options
        longest = max(60.0, 2 * wanted.timeout)  # a fetch is given up before
        limits = UpstreamLimits(
            per_host=CONNECTIONS, connections=CONNECTIONS, queue=CONNECTIONS, idle=CONNECTIONS,
            idle_per_host=wanted.connections_per_host, idle_seconds=wanted.connections.idle, queue_seconds=longest,
            head_seconds=longest, read_seconds=longest, write_seconds=longest, exchange_seconds=longest,
            window=STREAM_WINDOW,
        )  # fmt: skip
        dial = DialLimits(connect_seconds=wanted.timeout + 1.0)
        self._upstream = Upstream(
            machine,
            UpstreamOptions(
                limits, dial, wanted.http2, wanted.prior_knowledge, wanted.pipelining, wanted.http, wanted.connections
            ),
        )

    async def fetch(
        self,
        url: str,
        method: str = "GET",
        fields: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        page: str | None = None,
    ) -> Result:
        """The response to a request, redirects followed as the options say. Raises FetchError.

        `page`: the URL of the page that the request is a part of; None for what the user asked for. Cookies that are for
        the user's own going about (SameSite) are not sent from pages of other sites (RFC 6265bis §5.2).
        """
        work = Deferred.fromCoroutine(self._follow(url, method, tuple(fields), body, page))
        try:
            return await work.addTimeout(self.options.timeout, self.machine.reactor)  # type: ignore[arg-type]
        except (TimeoutError, CancelledError):
            raise FetchError(f"{url}: no complete response within {self.options.timeout:g} seconds") from None

    def close(self) -> None:
        """Close the idle connections."""
        self._upstream.close()

    async def _follow(
        self, url: str, method: str, fields: tuple[tuple[str, str], ...], body: bytes, page: str | None
    ) -> Result:
        via: list[str] = []
        while True:
            place = _place(url, self.machine)
            same_site = page is None or _same_site(url, page)
            cookies = self._cookies(place, fields, same_site)
            result = await self._once(url, place, method, fields + cookies, body)
            self._keep_cookies(place, result, same_site)
            location = result.field("location")
            if result.status not in REDIRECTS or location is None or len(via) >= self.options.redirects:
                return replace(result, via=tuple(via)) if via else result
            via.append(url)
            url = urljoin(url, location)
            if result.status == 303 or (method == "POST" and result.status in (301, 302)):
                method, body = ("HEAD" if method == "HEAD" else "GET"), b""
            if _place(url, self.machine).place != place.place:
                fields = tuple(pair for pair in fields if pair[0].lower() not in _PRIVATE)

    def _cookies(self, place: _Place, fields: Sequence[tuple[str, str]], same_site: bool) -> tuple[tuple[str, str], ...]:
        """The Cookie field of a request, unless it has one of its own."""
        if self.jar is None or any(name.lower() == "cookie" for name, _ in fields):
            return ()
        path = place.target.partition("?")[0]
        found = self.jar.field(place.place.host, path, place.place.secure, self.machine.wall(), same_site, safe=False)
        return (("Cookie", found),) if found else ()

    def _keep_cookies(self, place: _Place, result: Result, same_site: bool) -> None:
        if self.jar is None:
            return
        path = place.target.partition("?")[0]
        for name, value in result.fields:
            if name.lower() == "set-cookie":
                self.jar.take(value, place.place.host, path, place.place.secure, self.machine.wall(), same_site)

    async def _once(self, url: str, place: _Place, method: str, fields: tuple[tuple[str, str], ...], body: bytes) -> Result:
        names = {name.lower() for name, _ in fields}
        sent = [] if "host" in names else [("Host", place.authority)]
        if "user-agent" not in names and self.options.user_agent:
            sent.append(("User-Agent", self.options.user_agent))
        if "accept" not in names:
            sent.append(("Accept", "*/*"))
        got = _Got(self._seen)
        hop, target = self._hop(place)
        transfer = self._upstream.open(hop, method, target, (*sent, *fields), body, got)
        try:
            await got.ended
        except CancelledError:
            transfer.abort()
            raise
        except FetchError as error:
            raise error if transfer.link is None else error.about(url) from None
        response, link, start = got.response, transfer.link, transfer.started
        if response is None or link is None or link.connection is None:
            raise FetchError(f"{url}: no response")
        resolved = connected = secured = None
        if not transfer.reused:
            resolved = None if link.resolved is None else max(0.0, link.resolved - start)
            connected = max(0.0, link.opened - start)
            secured = max(0.0, link.up - start) if place.place.secure else None
        seconds = self.machine.reactor.seconds
        return Result(
            url, response.status, response.reason, response.version, response.field_lines, b"".join(got.body),
            link.connection.peer,
            Timing(resolved, connected, secured, transfer.first_octet - start, seconds() - start), transfer.reused,
        )  # fmt: skip

    def _hop(self, place: _Place) -> tuple[Place, str]:
        """Who is asked, and the request's target: the whole URL for a proxy."""
        proxy = self.options.proxy
        if not proxy or place.place.secure:
            return place.place, place.target
        host, _, port = proxy.rpartition(":")
        if not host or not port.isdecimal():
            raise FetchError(f"the proxy {proxy!r} is not HOST:PORT")
        return Place(False, host.strip("[]"), int(port)), f"http://{place.authority}{place.target}"


class _Got:
    """A response that is collected."""

    def __init__(self, seen: Seen | None) -> None:
        self._seen, self._octets = seen, 0
        self.response: Response | None = None
        self.body: list[bytes] = []
        self.ended: Deferred[None] = Deferred()

    def interim(self, response: Response) -> None:
        pass

    def head(self, response: Response) -> None:
        self.response = response

    def data(self, data: bytes) -> None:
        self.body.append(data)
        self._octets += len(data)
        if self._seen is not None and self.response is not None:
            self._seen(self.response, self._octets)

    def end(self, trailers: Sequence[tuple[str, str]]) -> None:
        self.ended.callback(None)

    def failed(self, error: FetchError) -> None:
        self.ended.errback(error)

    def writable(self) -> None:
        pass


def _same_site(url: str, page: str) -> bool:
    """Whether a part of a page is of the page's own site: same scheme, same domain below a public one (§5.2).

    Without a list of public suffixes these are taken to be of one label: com, edu, test.
    """
    one, other = urlsplit(url), urlsplit(page)
    hosts = (one.hostname or "", other.hostname or "")
    if one.scheme != other.scheme:
        return False
    if hosts[0] == hosts[1] or any(map(is_address, hosts)):
        return hosts[0] == hosts[1]
    return hosts[0].split(".")[-2:] == hosts[1].split(".")[-2:]


async def fetch(
    machine: Machine,
    url: str,
    method: str = "GET",
    fields: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    options: ClientOptions | None = None,
    jar: Jar | None = None,
    seen: Seen | None = None,
) -> Result:
    """One request on a connection of its own (`netstack get`): status, fields, body and timing. Raises FetchError."""
    client = HTTPClient(machine, options, jar, seen)
    try:
        return await client.fetch(url, method, fields, body)
    finally:
        client.close()


def _place(url: str, machine: Machine) -> _Place:
    """What a URL means (RFC 9110 §4.2); without a port it is the machine's port for the standard one."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise FetchError(f"{url!r}: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise FetchError(f"{url!r} is no http or https URL with a host")
    if not url.isascii() or any(sign <= " " or sign == "\x7f" for sign in url):
        raise FetchError(f"{url!r}: characters outside of visible ASCII must be percent-encoded (RFC 3986 §2.1)")
    if "@" in parts.netloc:
        raise FetchError(f"{url!r}: names and passwords in URLs are not used (RFC 9110 §4.2.4)")
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query or "?" in url.partition("#")[0] else "")
    actual = port if port is not None else machine.port(443 if secure else 80)
    return _Place(Place(secure, host.rstrip("."), actual), parts.netloc, target)
