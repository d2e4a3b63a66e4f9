"""Tunnels to where a client says with CONNECT: octets go both ways, each at the other side's speed (RFC 9110 §9.3.6)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from netstack.cache import errors
from netstack.cache.options import TunnelLimits
from netstack.http.dialing import Dial
from netstack.http.engine.tunnel import TunnelEngine
from netstack.http.events import BodyReceived, EndResponse, HoldBody, Respond, ResponseEnded, SendBody, StartResponse
from netstack.http.links import FetchError
from netstack.http.places import Place
from netstack.kernel.limits import StreamLimits
from netstack.kernel.metrics import traffic
from netstack.kernel.roles import Connection
from netstack.sansio import Engine, Event

if TYPE_CHECKING:
    from netstack.cache.proxy import Proxy
    from netstack.http.wire import Request

FAR = StreamLimits(idle=7 * 86_400.0)
"""Of connections to the far side: silence is bounded by `TunnelLimits`."""


class Tunnels:
    """All tunnels of a proxy."""

    def __init__(self, proxy: "Proxy", limits: TunnelLimits) -> None:
        self.proxy = proxy
        self.limits = limits
        self.traffic = traffic(proxy.machine.registry, "http", "tunnel")
        self._open: set[Tunnel] = set()
        self._by_client: Counter[str] = Counter()

    def begin(self, request: "Request", connection: Connection) -> "Tunnel | None":
        """A CONNECT of a client that may use the proxy; what comes from it goes to the tunnel."""
        proxy, counts = self.proxy, self.proxy.counts
        found = proxy.destinations.tunnel(request.host or "", request.port or 0)
        client = connection.peer.remote[0]
        if isinstance(found, str):
            counts.refused["destination"] += 1
            self.refuse(request, errors.refusal(403, found, proxy.machine.wall()), connection)
            return None
        if len(self._open) >= self.limits.tunnels or self._by_client[client] >= self.limits.per_client:
            counts.refused["busy"] += 1
            reason = "Too many tunnels are open at once."
            self.refuse(request, errors.refusal(503, reason, proxy.machine.wall(), b"Retry-After: 5\r\n"), connection)
            return None
        tunnel = Tunnel(self, request, found, connection)
        self._open.add(tunnel)
        self._by_client[client] += 1
        tunnel.dial.start()
        return tunnel

    def refuse(self, request: "Request", answer: Respond, connection: Connection) -> None:
        """There is no tunnel. What its client has sent for the far side meanwhile must not be taken for a request."""
        self.proxy.refuse(request, replace(answer, close=True), connection)

    def ended(self, tunnel: "Tunnel") -> None:
        """It is over."""
        self._open.discard(tunnel)
        client = tunnel.peer.remote[0]
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]

    def close(self) -> None:
        """Cut all of them: octets that nobody here understands have no good end."""
        for tunnel in tuple(self._open):
            tunnel.cut()


class Far:
    """The role of the connection to the far side."""

    def __init__(self, tunnel: "Tunnel") -> None:
        self.engine: Engine = TunnelEngine(False)
        self.connection: Connection | None = None
        self.resolved: float | None = None
        self.opened = self.up = 0.0
        self._tunnel = tunnel

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, BodyReceived):
            self._tunnel.came_back(event.data, self)
        elif isinstance(event, ResponseEnded):
            self._tunnel.far_ended(self)

    def writable(self, connection: Connection) -> None:
        """The far side takes more."""
        self._tunnel.far_takes(self)

    def lost(self, reason: str) -> None:
        self._tunnel.far_lost(reason, self)


class Tunnel:
    """One tunnel, from the request for it on. The client's conversation tells what comes from there."""

    def __init__(self, tunnels: Tunnels, request: "Request", place: Place, client: Connection) -> None:
        proxy = tunnels.proxy
        self._tunnels, self._proxy, self._machine = tunnels, proxy, proxy.machine
        self._request, self._client = request, client
        self.peer = client.peer
        self._early: list[bytes] = []
        """What an HTTP/2 client sends before it has an answer: a window at most."""
        self._far: Far | None = None
        self._client_ended = self._far_ended = self._done = False
        self._client_held = request.http2
        self._far_held = False
        self._up = self._down = 0
        self._active = self._begun = self._machine.reactor.seconds()
        self._timer: IDelayedCall | None = None
        if self._client_held:
            client.send(HoldBody(True))
        self.dial: Dial[Far] = Dial(
            self._machine, place, proxy.upstream.options.dial, FAR, tunnels.traffic, (), proxy.destinations.permits,
            lambda: Far(self), self._connected, self._failed, "tunnel",
        )  # fmt: skip

    # From the client

    def body(self, data: bytes) -> None:
        """Octets for the far side."""
        if self._done:
            return
        self._count(len(data), 0)
        far = None if self._far is None else self._far.connection
        if far is None:
            self._early.append(data)
            return
        far.send(SendBody(data))
        if not far.writable and not self._client_held:
            self._client_held = True
            self._client.send(HoldBody(True))

    def body_ended(self, trailers: Sequence[tuple[str, str]]) -> None:
        """The client sends no more."""
        if self._done:
            return
        self._client_ended = True
        if self._far is not None and self._far.connection is not None:
            self._far.connection.send(EndResponse())
            self._look()

    def pump(self) -> None:
        """The client takes more."""
        if self._far_held and self._far is not None and self._far.connection is not None:
            self._far_held = False
            self._far.connection.send(HoldBody(False))

    def lost(self) -> None:
        """The client is gone: what has come from it still goes out, nothing more comes back."""
        if self._done:
            return
        far = self._far
        self._finish("client")
        if far is not None and far.connection is not None:
            if self._client_ended or self._far_ended:
                far.connection.close()
            else:
                far.connection.abort()

    # From the far side

    def came_back(self, data: bytes, far: Far) -> None:
        """Octets for the client."""
        if self._done or far is not self._far or far.connection is None:
            return
        self._count(0, len(data))
        self._client.send(SendBody(data))
        if not self._client.writable and not self._far_held:
            self._far_held = True
            far.connection.send(HoldBody(True))

    def far_ended(self, far: Far) -> None:
        """The far side sends no more."""
        if self._done or far is not self._far:
            return
        self._far_ended = True
        self._client.send(EndResponse())
        self._look()

    def far_takes(self, far: Far) -> None:
        """It takes more."""
        if self._client_held and not self._done and far is self._far:
            self._client_held = False
            self._client.send(HoldBody(False))

    def far_lost(self, reason: str, far: Far) -> None:
        """Its connection is gone: in order after both ends, else the client must see that it was not."""
        if self._done or far is not self._far:
            return
        self._finish("far")
        if not self._far_ended:
            self._client.abort()

    # Inside

    def _connected(self, dial: Dial[Far], far: Far) -> None:
        if self._done:
            return
        self._far = far
        counts = self._proxy.counts
        counts.tunnels += 1
        counts.tunnelled += 1
        assert far.connection is not None  # noqa: S101  it is up
        self._timer = self._machine.reactor.callLater(self._tunnels.limits.idle_seconds, self._on_timer)
        self._client.send(StartResponse(200, b""))
        for data in self._early:
            far.connection.send(SendBody(data))
        self._early.clear()
        if self._client_held and far.connection.writable:
            self.far_takes(far)
        if self._client_ended:
            self.body_ended(())

    def _failed(self, dial: Dial[Far], error: FetchError) -> None:
        if self._done:
            return
        self._done = True
        self._early.clear()
        self._tunnels.ended(self)
        proxy = self._proxy
        proxy.counts.errors[error.kind.value] = proxy.counts.errors.get(error.kind.value, 0) + 1
        place = dial.place
        answer = errors.unavailable(error, f"{place.host}:{place.port}", self._machine.wall(), proxy.rules, "", True)
        self._tunnels.refuse(self._request, answer, self._client)

    def _count(self, up: int, down: int) -> None:
        self._active = self._machine.reactor.seconds()
        self._up += up
        self._down += down
        self._proxy.counts.tunnel_octets["up"] += up
        self._proxy.counts.tunnel_octets["down"] += down

    def _look(self) -> None:
        """Whether both directions have ended: their connections close by themselves, one after the other's octets."""
        self._active = self._machine.reactor.seconds()
        if self._client_ended and self._far_ended:
            self._finish("both")
        elif self._timer is not None:
            self._timer.cancel()
            self._on_timer()

    def _on_timer(self) -> None:
        """A timer that is too early sets itself anew."""
        limits, now = self._tunnels.limits, self._machine.reactor.seconds()
        half = self._client_ended or self._far_ended
        due = min(self._active + (limits.half_seconds if half else limits.idle_seconds), self._begun + limits.seconds)
        if now < due:
            self._timer = self._machine.reactor.callLater(due - now, self._on_timer)
        else:
            self._timer = None
            self._tunnels.traffic.timeouts += 1
            self.cut()

    def cut(self) -> None:
        """End it now, seen by both sides."""
        if self._done:
            return
        far = self._far
        self._finish("cut")
        self._client.abort()
        if far is not None and far.connection is not None:
            far.connection.abort()

    def _finish(self, why: str) -> None:
        self._done = True
        self._early.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._far is None:
            self.dial.give_up()
        else:
            self._proxy.counts.tunnels -= 1
            self._proxy.responses.note(self._request, "", 200, self.peer, self._down, f"tunnel; {why}")
        self._tunnels.ended(self)
