"""A client, a cache and an origin that does what a test says, on the simulated Internet."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred

from netstack.http.engine import Heads, ServerEngine
from netstack.http.events import BodyReceived, EndResponse, RequestEnded, RequestReceived, Respond, SendBody, StartResponse
from netstack.http.limits import HTTPLimits
from netstack.http.links import FetchError
from netstack.http.places import Place
from netstack.http.service import ALPN, speak_http2
from netstack.http.streams import Streams
from netstack.http.transfer import Transfer, UpstreamLimits
from netstack.http.upstream import Upstream, UpstreamOptions
from netstack.http.wire import Request, Response
from netstack.kernel.links import LinkSettings
from netstack.kernel.listen import Endpoint, StreamListener
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.resolver import FakeResolver
from netstack.kernel.roles import Connection
from netstack.sansio import Close, Command, Event, FileSlice, Now, Peer, Recorder, Timeless
from netstack.taps.cache import Config, build
from netstack.world.simulated import SimulatedHost, Simulation

ORIGIN, CACHE = "www.a.test", "cache.test"
ADDRESSES = {ORIGIN: "10.0.0.3", CACHE: "10.0.0.2"}
DELAY = 0.05
Step = Command | float | str
"""What an origin does: a command; seconds to wait; "abort" or "close"."""
Script = Callable[[Request], Sequence[Step]]


def ok(body: bytes = b"hello", *lines: str, status: int = 200) -> list[Step]:
    """A whole response; `lines` are its fields."""
    return [Respond(status, "".join(f"{line}\r\n" for line in lines).encode(), body)]


def fresh(body: bytes = b"hello", *lines: str, seconds: int = 60) -> list[Step]:
    """One that may be stored."""
    return ok(body, f"Cache-Control: max-age={seconds}", *lines)


def slowly(body: bytes, pieces: int, seconds: float, *lines: str, length: bool = True) -> list[Step]:
    """A response in pieces."""
    size = len(body) // pieces
    steps: list[Step] = [
        StartResponse(200, "".join(f"{line}\r\n" for line in lines).encode(), len(body) if length else None)
    ]
    for at in range(0, len(body), size):
        steps += [SendBody(body[at : at + size]), seconds]
    return [*steps, EndResponse()]


@dataclass
class Asked:
    """A request that the origin got."""

    request: Request
    body: bytes = b""
    at: float = 0.0
    trailers: Sequence[tuple[str, str]] = ()


class OriginRole:
    """One connection of the origin, or one stream."""

    def __init__(self, town: "Town", machine: Machine) -> None:
        self._town, self._machine = town, machine
        self._asked: Asked | None = None
        self._gone = False

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, RequestReceived):
            self._asked = Asked(event.request, at=self._machine.reactor.seconds())
            self._town.asked.append(self._asked)
            if not (event.request.chunked or event.request.length) or self._town.early:
                self._act([*self._town.script(event.request)], connection)
        elif isinstance(event, BodyReceived) and self._asked is not None:
            self._asked.body += event.data
        elif isinstance(event, RequestEnded) and self._asked is not None and not self._town.early:
            self._asked.trailers = event.trailers
            self._act([*self._town.script(self._asked.request)], connection)

    def _act(self, steps: list[Step], connection: Connection) -> None:
        while steps and not self._gone:
            step = steps.pop(0)
            if isinstance(step, float):
                self._machine.reactor.callLater(step, self._act, steps, connection)
                return
            if step == "abort":
                connection.abort()
            elif step == "close":
                connection.close()
            elif isinstance(step, Command):
                connection.send(step)

    def lost(self, reason: str) -> None:
        self._gone = True
        self._town.lost.append(reason)


class Liar(Timeless, Recorder):
    """An origin's engine that answers each head with octets, whatever they are, and then closes or goes on."""

    def __init__(self, octets: bytes, closes: bool) -> None:
        self._octets, self._closes = octets, closes
        self._out: list[bytes | FileSlice] = []
        self._seen = b""
        self.heads = 0

    def connected(self, info: Peer, now: Now) -> Iterable[Event]:
        return ()

    def receive(self, data: bytes, now: Now) -> Iterator[Event]:
        self._seen += data
        while b"\r\n\r\n" in self._seen:
            _, _, self._seen = self._seen.partition(b"\r\n\r\n")
            self._out.append(self._octets)
            if self._closes:
                yield Close()
                return

    def eof(self, now: Now) -> Iterable[Event]:
        return (Close(),)

    def send(self, command: Command, now: Now) -> None:
        raise AssertionError("nobody answers")

    def data_to_send(self) -> Sequence[bytes | FileSlice]:
        out, self._out = self._out, []
        return out

    def wants_data(self) -> bool:
        return True


class Silent:
    """The role of a Liar's connection."""

    def handle(self, event: Event, connection: Connection) -> None:
        pass

    def lost(self, reason: str) -> None:
        pass


@dataclass
class Got:
    """What a client got."""

    done: "Deferred[Got]" = field(default_factory=Deferred)
    response: Response | None = None
    body: bytes = b""
    ended: bool = False
    error: FetchError | None = None
    interims: list[Response] = field(default_factory=list)
    trailers: Sequence[tuple[str, str]] = ()
    transfer: Transfer | None = None
    first_octet: float = -1.0
    at: float = -1.0
    seconds: Callable[[], float] = lambda: 0.0

    @property
    def status(self) -> int:
        return 0 if self.response is None else self.response.status

    def field(self, name: str) -> str | None:
        return None if self.response is None else self.response.fields.get(name.lower())

    @property
    def told(self) -> str:
        """Cache-Status without its ttl."""
        return "; ".join(part for part in (self.field("cache-status") or "").split("; ")[1:] if not part.startswith("ttl"))

    # Receiver

    def interim(self, response: Response) -> None:
        self.interims.append(response)

    def head(self, response: Response) -> None:
        self.response = response

    def data(self, data: bytes) -> None:
        if not self.body:
            self.first_octet = self.seconds()
        self.body += data

    def end(self, trailers: Sequence[tuple[str, str]]) -> None:
        self.ended, self.trailers, self.at = True, trailers, self.seconds()
        self.done.callback(self)

    def failed(self, error: FetchError) -> None:
        self.error, self.at = error, self.seconds()
        self.done.callback(self)

    def writable(self) -> None:
        pass


class Town:
    """The three hosts. `script` says what the origin does; `asked` is what it was asked."""

    def __init__(self, script: Script | None = None, delay: float = DELAY, http2: bool = False, **config: Any) -> None:
        self.script: Script = script or (lambda request: fresh())
        self.early = False
        """The origin answers before it has read a request's body."""
        self.asked: list[Asked] = []
        self.lost: list[str] = []
        self.simulation = Simulation(seed=1, default_link=LinkSettings(delay=delay))
        self.client = self.simulation.host("client.test", "10.0.0.1")
        self.cache = self.simulation.host(CACHE, ADDRESSES[CACHE])
        self.origin = self.simulation.host(ORIGIN, ADDRESSES[ORIGIN])
        self.config = Config(
            **{"allow": ("10.0.0.0/8",), "reach": ("10.0.0.0/8",), "listen": ("tcp:3128", "tls:3129"), **config}
        )
        self.resolver = FakeResolver({(name, "A"): [address] for name, address in ADDRESSES.items()})
        self.http2 = http2
        self.cache.program = self._cache
        self.origin.program = self._origin
        self.cache.start()
        self.origin.start()
        self._client: Upstream | None = None

    def _cache(self, host: SimulatedHost) -> None:
        machine = self.simulation.machine(host, resolver=self.resolver)
        self.machine = machine
        self.service: Any = build(self.config, machine)
        self.service.startService()

    def _origin(self, host: SimulatedHost) -> None:
        machine = self.simulation.machine(host)
        heads = Heads(HTTPLimits(body=1 << 30, idle_seconds=600.0))
        speak_http2(heads, machine.registry)
        for kind, port in (("tcp", 80), ("tls", 443)):
            listener: Any = StreamListener(
                machine, Endpoint(kind, port, host.addresses[0]), "http", lambda: ServerEngine(heads),  # type: ignore[arg-type]
                lambda: Streams(lambda: OriginRole(self, machine)), traffic(machine.registry, "http", "server"), alpn=ALPN,
            )  # fmt: skip
            listener.startService()

    def lie(self, octets: bytes, closes: bool = True) -> None:
        """From now on the origin sends these octets on port 8000, for each request."""
        machine = self.simulation.machine(self.origin)
        listener: Any = StreamListener(
            machine, Endpoint("tcp", 8000, ADDRESSES[ORIGIN]), "http", lambda: Liar(octets, closes), Silent,
            traffic(machine.registry, "http", "server"),
        )  # fmt: skip
        self.simulation.call(self.origin, listener.startService)

    @property
    def proxy(self) -> Any:
        """The cache's `Proxy`."""
        return self.service.web_cache

    def begin(
        self,
        url: str,
        *fields: tuple[str, str],
        method: str = "GET",
        body: bytes | int | bool | None = None,
        secure: bool = False,
    ) -> Got:
        """Send a request from the client, without waiting; `url` is the target as it is sent."""
        if self._client is None:
            options = UpstreamOptions(
                UpstreamLimits(head_seconds=600, read_seconds=600), http2=self.http2, prior_knowledge=self.http2
            )
            self._client = Upstream(self.simulation.machine(self.client, resolver=self.resolver), options)
        upstream = self._client
        got = Got(seconds=upstream.seconds)
        named = [field for field in fields if field[0] != "Host"]
        host = next((value for name, value in fields if name == "Host"), None)
        host = host or (url.split("/")[2] if "://" in url else ORIGIN)
        if self.http2 and "://" in url:
            url = "/" + url.split("/", 3)[3]  # RFC 9113 §8.3.1: :scheme and :authority say the rest

        def ask() -> None:
            place = Place(secure, CACHE, 3129 if secure else 3128)
            got.transfer = upstream.open(place, method, url, [("Host", host), *named], body, got)

        self.simulation.call(self.client, ask)
        return got

    def leave(self) -> None:
        """The client's connections end; the next request has one of its own."""
        client, self._client = self._client, None
        if client is not None:
            self.simulation.call(self.client, client.close)

    def wait(self, *gots: Got, within: float = 600.0) -> None:
        """Until all have their responses."""
        self.simulation.run(
            until=self.simulation.now + within, stop=lambda: all(got.ended or got.error is not None for got in gots)
        )
        assert all(got.ended or got.error is not None for got in gots), "no response in time"

    def get(self, url: str = "/", *fields: tuple[str, str], **more: Any) -> Got:
        """The response to a request; a path is one of the origin's."""
        got = self.begin(f"http://{ORIGIN}{url}" if url.startswith("/") else url, *fields, **more)
        self.wait(got)
        return got

    def sleep(self, seconds: float) -> None:
        self.simulation.run(for_seconds=seconds)

    def metric(self, name: str, **labels: str) -> float:
        return self.machine.registry.get_sample_value(f"netstack_cache_{name}", labels) or 0.0
