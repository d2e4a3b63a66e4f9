"""An HTTP client: names through the machine's resolver, TLS verified, persistent connections in a small pool.

result = await fetch(machine, "http://gaia.cs.umass.edu/")
result.status, result.fields, result.body, result.timing
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

from twisted.internet.defer import CancelledError, Deferred, TimeoutError

from netstack.http.events import SendRequest
from netstack.http.jar import Jar
from netstack.http.limits import HTTPLimits
from netstack.http.links import FetchError, Link
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import connect_stream
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.resolver import ResolutionError, is_address
from netstack.sansio import LocalProtocolError, Peer, Security

PROTOCOL = "http"
ALPN = ("h2", "http/1.1")
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
    """What a URL asks to connect to."""

    secure: bool
    host: str
    port: int
    authority: str
    target: str

    @property
    def key(self) -> tuple[bool, str, int]:
        return self.secure, self.host, self.port


class HTTPClient:
    """Fetches URLs for one machine; `close` it in the end."""

    def __init__(self, machine: Machine, options: ClientOptions | None = None, jar: Jar | None = None) -> None:
        """`jar`: cookies that servers set are kept there, and sent to them again."""
        self.machine = machine
        self.jar = jar
        self.options = options or ClientOptions()
        self._traffic = traffic(machine.registry, PROTOCOL, "client")
        self._idle: dict[tuple[bool, str, int], list[Link]] = {}
        """Connections that serve no request, and those that requests share."""
        self._opening: dict[tuple[bool, str, int], list[Deferred[None]]] = {}
        """Who waits for a connection that may be shared."""

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
        for links in tuple(self._idle.values()):
            for link in tuple(links):
                if link.connection is not None:
                    link.connection.close()
        self._idle.clear()

    def forget(self, link: Link) -> None:
        """The link's connection is gone."""
        links = self._idle.get(link.key)
        if links is not None and link in links:
            links.remove(link)
            if not links:
                del self._idle[link.key]

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
            if _place(url, self.machine).key != place.key:
                fields = tuple(pair for pair in fields if pair[0].lower() not in _PRIVATE)

    def _cookies(self, place: _Place, fields: Sequence[tuple[str, str]], same_site: bool) -> tuple[tuple[str, str], ...]:
        """The Cookie field of a request, unless it has one of its own."""
        if self.jar is None or any(name.lower() == "cookie" for name, _ in fields):
            return ()
        path = place.target.partition("?")[0]
        found = self.jar.field(place.host, path, place.secure, self.machine.wall(), same_site, safe=False)
        return (("Cookie", found),) if found else ()

    def _keep_cookies(self, place: _Place, result: Result, same_site: bool) -> None:
        if self.jar is None:
            return
        path = place.target.partition("?")[0]
        for name, value in result.fields:
            if name.lower() == "set-cookie":
                self.jar.take(value, place.host, path, place.secure, self.machine.wall(), same_site)

    async def _once(self, url: str, place: _Place, method: str, fields: tuple[tuple[str, str], ...], body: bytes) -> Result:
        link = self._kept(place, method)
        while link is None and place.key in self._opening:  # a connection that may be shared is on its way
            turn: Deferred[None] = Deferred()
            self._opening[place.key].append(turn)
            await turn
            link = self._kept(place, method)
        if link is not None:
            try:
                return await self._exchange(link, url, place, method, fields, body, None)
            except FetchError as error:
                # RFC 9112 §9.3.1: the server may have closed while we sent; only what is safe to repeat is repeated.
                if not error.repeatable and (error.heard or method not in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")):
                    raise
        return await self._exchange(None, url, place, method, fields, body, self.machine.reactor.seconds())

    def _kept(self, place: _Place, method: str) -> Link | None:
        """A connection that takes a request."""
        links = self._idle.get(place.key, [])
        for link in links:
            if link.shared and link.takes(method):
                return link
        if not links or links[-1].shared:
            return None
        link = links.pop()
        if not links:
            del self._idle[place.key]
        return link

    async def _exchange(
        self,
        link: Link | None,
        url: str,
        place: _Place,
        method: str,
        fields: tuple[tuple[str, str], ...],
        body: bytes,
        fresh: float | None,
    ) -> Result:
        seconds = self.machine.reactor.seconds
        start = fresh if fresh is not None else seconds()
        resolved = connected = secured = None
        if link is None:
            if self._may_share(place):
                self._opening.setdefault(place.key, [])
            try:
                addresses = await self._addresses(place.host)
                resolved = None if is_address(place.host) else seconds() - start
                link, up = await self._connect(addresses, place)
                if link.shared:
                    self._keep(link)
            finally:
                for turn in self._opening.pop(place.key, ()):
                    if not turn.called:
                        self.machine.reactor.callLater(0, _fire, turn)
            connected = up - start
            secured = seconds() - start if place.secure else None
        connection = link.connection
        names = {name.lower() for name, _ in fields}
        sent = [] if "host" in names else [("Host", place.authority)]
        if "user-agent" not in names and self.options.user_agent:
            sent.append(("User-Agent", self.options.user_agent))
        if "accept" not in names:
            sent.append(("Accept", "*/*"))
        try:
            number, exchange = await link.begin(SendRequest(method, place.target, (*sent, *fields), body))
        except LocalProtocolError as error:
            raise FetchError(f"{url}: {error}") from None
        except FetchError as error:
            raise error.about(url) from None
        try:
            await exchange.ended
        except CancelledError:
            link.give_up(number)
            raise
        except FetchError as error:
            raise error.about(url) from None
        response = exchange.response
        if response is None or connection is None:
            raise FetchError(f"{url}: no response")
        result = Result(
            url, response.status, response.reason, response.version, response.field_lines,
            b"".join(exchange.body), connection.peer,
            Timing(resolved, connected, secured, exchange.first_octet - start, seconds() - start), exchange.reused,
        )  # fmt: skip
        if not link.shared:
            self._keep(link)
        elif not link.busy and link not in self._idle.get(link.key, ()):
            connection.close()
        return result

    def _keep(self, link: Link) -> None:
        if not link.reusable:
            return
        kept = self._idle.setdefault(link.key, [])
        if len(kept) < self.options.connections_per_host:
            kept.append(link)
        elif link.connection is not None and not link.shared:
            link.connection.close()

    def _may_share(self, place: _Place) -> bool:
        """Whether other requests may go on a connection while it serves one."""
        options = self.options
        return options.pipelining or (options.http2 if place.secure else options.prior_knowledge)

    async def _addresses(self, host: str) -> Sequence[str]:
        if is_address(host):
            return [host]
        try:
            found = await self.machine.resolver.addresses(host)
        except ResolutionError as error:
            raise FetchError(str(error)) from None
        if not found:
            raise FetchError(f"{host} has no address")
        return found

    async def _connect(self, addresses: Sequence[str], place: _Place) -> tuple[Link, float]:
        """A link that is up and when its TCP connection was; the addresses are tried in turn."""
        failed = FetchError(f"{place.host} has no address")
        prior = self.options.prior_knowledge and not place.secure
        for address in addresses:
            link = Link(
                place.key, self.options.http, self.machine.reactor.seconds, prior, self.options.pipelining, self.forget
            )
            try:
                driver = await connect_stream(
                    self.machine, address, place.port, PROTOCOL, link.engine, link, self._traffic,
                    self.options.connections, place.host if place.secure else None, ALPN if self.options.http2 else ALPN[1:],
                )  # fmt: skip
            except CancelledError:
                raise
            except Exception as error:  # a handshake fails in more ways than can be listed
                failed = FetchError(f"{place.host} ({address} port {place.port}): {_why(error)}")
                continue
            link.connection = driver
            return link, driver.opened
        raise failed


def _fire(turn: Deferred[None]) -> None:
    if not turn.called:
        turn.callback(None)


def _why(error: Exception) -> str:
    """OpenSSL's errors are lists of (library, function, reason)."""
    if error.args and isinstance(error.args[0], list):
        return "TLS: " + ", ".join(str(each[-1]) for each in error.args[0])
    return str(error) or type(error).__name__


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
) -> Result:
    """One request on a connection of its own (`netstack get`): status, fields, body and timing. Raises FetchError."""
    client = HTTPClient(machine, options, jar)
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
    return _Place(secure, host.rstrip("."), actual, parts.netloc, target)
