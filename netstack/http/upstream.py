"""Requests and responses in pieces, as they come, over a pool of connections: for proxies, and whoever streams.

transfer = upstream.open(Place(True, "www.a.test", 443), "GET", "/", [("Host", "www.a.test")], None, receiver)
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twisted.internet.interfaces import IDelayedCall

from netstack.http.dialing import Dial, DialLimits
from netstack.http.events import SendRequest, StartRequest
from netstack.http.faults import ErrorType
from netstack.http.limits import HTTPLimits
from netstack.http.links import FetchError, Link
from netstack.http.metrics import upstream_counts
from netstack.http.places import Place
from netstack.http.transfer import Receiver, Transfer, UpstreamLimits
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic

PROTOCOL = "http"
ALPN = ("h2", "http/1.1")


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """How origins are spoken to."""

    limits: UpstreamLimits = field(default_factory=UpstreamLimits)
    dial: DialLimits = field(default_factory=DialLimits)
    http2: bool = False
    """Offered under TLS; requests to one host then share a connection, as many at once as the server takes."""
    prior_knowledge: bool = False
    """Plain http is HTTP/2 too (RFC 9113 §3.3)."""
    pipelining: bool = False
    """Safe requests of HTTP/1.1 to one host share a connection and do not wait for responses (RFC 9112 §9.3.2)."""
    http: HTTPLimits = field(default_factory=lambda: HTTPLimits(body=2**62, head=64 * 1024))
    """Of responses: `head`, `fields`, `body`, `chunk_line`."""
    connections: StreamLimits = field(default_factory=lambda: StreamLimits(idle=86_400.0))
    """Silence is bounded by the limits above."""


class _Host:
    """The connections to one place, and who waits for one."""

    __slots__ = ("dials", "idle", "links", "place", "shared", "shares", "waiting")

    def __init__(self, place: Place, shares: bool) -> None:
        self.place = place
        self.links: set[Link] = set()
        self.dials: set[Dial[Link]] = set()
        self.idle: list[Link] = []
        """Of HTTP/1, without a request; the one used last comes last."""
        self.shared: list[Link] = []
        self.shares = shares
        """Requests may share a connection: of one that is on its way it is not known yet."""
        self.waiting: deque[Transfer] = deque()

    def take(self, transfer: Transfer) -> Link | None:
        """A connection for a request."""
        for link in self.shared:
            if link.takes(transfer.method) and not (transfer.fresh and link.used):
                return link
        for at in range(len(self.idle) - 1, -1, -1):
            link = self.idle[at]
            if not link.takes(transfer.method):
                continue  # it is closing: `gone` follows
            if not (transfer.fresh and link.used):
                del self.idle[at]
                return link
        return None

    def wanted(self) -> int:
        """Connections that are worth to be had now."""
        if not self.shares:
            return len(self.waiting)
        poor = [t for t in self.waiting if t.fresh or not any(link.suits(t.method) for link in self.shared)]
        return min(1, len(poor))


class Upstream:
    """Exchanges with all origins, for one service; `close` it in the end."""

    def __init__(
        self, machine: Machine, options: UpstreamOptions, permits: Callable[[Place, str], bool] = lambda place, address: True
    ) -> None:
        """`permits`: whether a place may be had at an address; asked after its name was looked up."""
        self.machine = machine
        self.limits = options.limits
        self.counts = upstream_counts(machine.registry)
        self.seconds = machine.reactor.seconds
        self.options = options
        self._permits = permits
        self._traffic = traffic(machine.registry, PROTOCOL, "client")
        self._hosts: dict[Place, _Host] = {}
        self._connections = self._waiting = 0
        self._idle: dict[Link, float] = {}
        """All that serve no request, and when they will have been idle for long enough, in that order."""
        self._hungry: dict[Place, None] = {}
        """Where requests wait because there are connections enough to others."""
        self._sweep: IDelayedCall | None = None
        self._closed = False

    def open(
        self,
        place: Place,
        method: str,
        target: str,
        fields: Sequence[tuple[str, str]],
        body: bytes | int | bool | None,
        receiver: Receiver,
    ) -> Transfer:
        """Begin an exchange. `fields` have Host, and no Content-Length or Transfer-Encoding.

        `body`: None; the whole of it; or its octets' number, True when nobody knows it yet: then it follows by `send` and
        `end`. Nothing is raised: what is wrong with a request is told to the receiver, too.
        """
        request: SendRequest | StartRequest
        if body is None or isinstance(body, bytes):
            request = SendRequest(method, target, fields, body or b"")
        else:
            request = StartRequest(method, target, fields, None if body is True else int(body))
        now = self.seconds()
        transfer = Transfer(self, place, request, receiver, now)
        host = self._host(place)
        link = host.take(transfer) if not host.waiting else None
        if link is not None:
            self._idle.pop(link, None)
            self.counts.reused += link.used
            transfer.begin(link)
        elif self._waiting >= self.limits.queue:
            transfer.fail(FetchError("too many requests wait for connections", ErrorType.CONNECTION_LIMIT_REACHED))
        else:
            self._enqueue(host, transfer, now)
        transfer.opened()
        return transfer

    @property
    def waiting(self) -> int:
        """Requests without a connection."""
        return self._waiting

    @property
    def connections(self) -> int:
        """Connections, those on their way included."""
        return self._connections

    def close(self) -> None:
        """Close the connections that serve no request, and the others when they have done so."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for link in tuple(self._idle):
            self._close(link)

    # What transfers call

    def later(self, call: Callable[[], None]) -> None:
        """In the next turn."""
        self.machine.reactor.callLater(0, call)

    def at(self, due: float, call: Callable[[], None]) -> IDelayedCall:
        """At a time."""
        return self.machine.reactor.callLater(max(0.0, due - self.seconds()), call)

    def again(self, transfer: Transfer) -> None:
        """A request whose connection was lost before anything came of it, on a new one."""
        transfer.started = self.seconds()
        self._enqueue(self._host(transfer.place), transfer, transfer.started)

    def withdraw(self, transfer: Transfer) -> None:
        """It waits no more."""
        host = self._hosts.get(transfer.place)
        if host is not None and transfer in host.waiting:
            host.waiting.remove(transfer)
            self._waiting -= 1
            self._tidy(host)

    # What links call

    def freed(self, link: Link) -> None:
        host = self._hosts.get(link.place)
        if host is None or link not in host.links:
            return
        if not link.reusable:
            if link in host.shared:
                host.shared.remove(link)
            if not link.busy:
                self._retire(host, link)
        elif not link.busy:
            self._rest(host, link)
        self._pump(host)
        self._settle(host, link)

    def gone(self, link: Link) -> None:
        host = self._hosts.get(link.place)
        if host is not None and link in host.links:
            self._retire(host, link)
            self._pump(host)

    # Inside

    def _host(self, place: Place) -> _Host:
        host = self._hosts.get(place)
        if host is None:
            options = self.options
            shares = options.pipelining or (options.http2 if place.secure else options.prior_knowledge)
            host = self._hosts[place] = _Host(place, shares)
        return host

    def _enqueue(self, host: _Host, transfer: Transfer, now: float) -> None:
        host.waiting.append(transfer)
        self._waiting += 1
        transfer.wait(now + self.limits.queue_seconds)
        self._pump(host)

    def _rest(self, host: _Host, link: Link) -> None:
        """A connection serves no request now."""
        if not link.shared:
            host.idle.append(link)
        self._idle.pop(link, None)
        self._idle[link] = self.seconds() + self.limits.idle_seconds

    def _settle(self, host: _Host, link: Link) -> None:
        """Nobody waited for a connection: it is kept as long as the bounds allow."""
        if link not in self._idle:
            return
        if self._closed:
            self._close(link)
        elif len(host.idle) > self.limits.idle_per_host:
            self._close(host.idle[0])
        elif len(self._idle) > self.limits.idle:
            self._close(next(iter(self._idle)))
        if self._sweep is None and self._idle:
            self._sweep = self.at(next(iter(self._idle.values())), self._on_sweep)

    def _on_sweep(self) -> None:
        self._sweep = None
        now = self.seconds()
        for link, until in tuple(self._idle.items()):
            if until > now:
                self._sweep = self.at(until, self._on_sweep)
                return
            self._close(link)

    def _close(self, link: Link) -> None:
        """A connection that serves no request."""
        host = self._hosts.get(link.place)
        if host is not None and link in host.links:
            self._retire(host, link)
        if link.connection is not None:
            link.connection.close()

    def _retire(self, host: _Host, link: Link) -> None:
        """It counts no more."""
        host.links.discard(link)
        for links in (host.idle, host.shared):
            if link in links:
                links.remove(link)
        self._idle.pop(link, None)
        self._let_go(host)

    def _let_go(self, host: _Host) -> None:
        """There is a connection less: others may have theirs."""
        self._connections -= 1
        self._tidy(host)
        if self._hungry and self._connections < self.limits.connections:
            place = next(iter(self._hungry))
            del self._hungry[place]
            hungry = self._hosts.get(place)
            if hungry is not None:
                self._pump(hungry)

    def _tidy(self, host: _Host) -> None:
        if not (host.links or host.dials or host.waiting) and self._hosts.get(host.place) is host:
            del self._hosts[host.place]
            self._hungry.pop(host.place, None)

    def _pump(self, host: _Host) -> None:
        """Give connections to those who wait, and see that there will be more."""
        while host.waiting:
            found = next(((each, link) for each in host.waiting if (link := host.take(each)) is not None), None)
            if found is None:
                break
            transfer, link = found
            host.waiting.remove(transfer)
            self._waiting -= 1
            self._idle.pop(link, None)
            self.counts.reused += link.used
            transfer.begin(link)
        while len(host.dials) < host.wanted() and len(host.links) + len(host.dials) < self.limits.per_host:
            if self._connections >= self.limits.connections:
                self._hungry[host.place] = None
                if not self._idle:
                    return
                self._close(next(iter(self._idle)))
                continue
            self._dial(host)
        self._tidy(host)

    def _dial(self, host: _Host) -> None:
        options, place = self.options, host.place
        prior = options.prior_knowledge and not place.secure

        def make_link() -> Link:
            return Link(place, options.http, prior, options.pipelining, self.limits.window, self)

        dial: Dial[Link] = Dial(
            self.machine, place, options.dial, options.connections, self._traffic, ALPN if options.http2 else ALPN[1:],
            self._permits, make_link, self._up, self._failed,
        )  # fmt: skip
        host.dials.add(dial)
        self._connections += 1
        dial.start()

    def _up(self, dial: Dial[Link], link: Link) -> None:
        host = self._hosts[link.place]
        host.dials.discard(dial)
        host.links.add(link)
        if link.shared:
            host.shared.append(link)
        else:
            host.shares = False
        self._rest(host, link)
        self._pump(host)
        self._settle(host, link)

    def _failed(self, dial: Dial[Link], error: FetchError) -> None:
        """Whoever waits longest has this error; when there is nothing else to wait for, all have."""
        host = self._hosts[dial.place]
        host.dials.discard(dial)
        alone = not (host.links or host.dials)
        failed = [host.waiting.popleft() for _ in range(len(host.waiting) if alone else min(1, len(host.waiting)))]
        self._waiting -= len(failed)
        self._let_go(host)
        for transfer in failed:
            transfer.fail(error)
