"""netstack-cache: a Web cache as a forward proxy, as a reverse proxy, or both (RFC 9110 §3.7, RFC 9111)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from netstack.cache.options import FORWARDED, ProxyLimits, ProxyOptions, TunnelLimits
from netstack.cache.rules import Rules
from netstack.cache.service import CacheService
from netstack.cache.store import StoreLimits
from netstack.cache.targets import Site, parse_ports
from netstack.http.access import FORMATS, AccessLog, LogLimits
from netstack.http.dialing import DialLimits
from netstack.http.limits import HTTPLimits
from netstack.http.transfer import UpstreamLimits
from netstack.http.upstream import UpstreamOptions
from netstack.kernel.disk import Disk, RealDisk
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint
from netstack.kernel.machine import Machine
from netstack.taps.bounds import Row, given, number, parameters
from netstack.taps.resolving import ResolvingOptions
from netstack.taps.standalone import built, endpoints, networks, placed

__all__ = ["Config", "Options", "build", "makeService"]
LISTEN = ("tcp:3128",)
ALLOW = ("127.0.0.0/8", "::1/128")
PORTS = "80,443,1024-65535"
TUNNEL_PORTS = "443"
SYSTEM_TRUST = Path("/etc/ssl/certs/ca-certificates.crt")
"""Who is trusted where `--trust` does not say: a proxy goes to anybody's servers."""
_HTTP = HTTPLimits(body=1 << 40, body_part=64 * 1024, memo=8192)
_CONNECTIONS, _PROXY, _STORE, _UPSTREAM = StreamLimits(idle=180.0), ProxyLimits(), StoreLimits(), UpstreamLimits()
_LOG, _RULES, _DIAL, _TUNNELS = LogLimits(), Rules(), DialLimits(), TunnelLimits()


@dataclass(frozen=True, slots=True)
class Config:
    """For whom a cache works, where it listens, what it may decide. Raises ValueError that names the key."""

    listen: tuple[str, ...] = LISTEN
    """Endpoints (`netstack.kernel.listen`), `tcp` or `tls`, with standard ports: `build` puts `machine.port()` over them."""
    sites: tuple[str, ...] = ()
    """Reverse proxy: `NAME[,NAME...]=URL`, a site and the server that has it."""
    forward: bool = True
    """Forward proxy, for the clients of `allow`."""
    allow: tuple[str, ...] = ALLOW
    """Networks of the forward proxy's clients; others get 403."""
    ports: str = PORTS
    """Ports that the forward proxy goes to."""
    reach: tuple[str, ...] = ()
    """Networks that are not everybody's (loopback, private, ...), and that the forward proxy goes to."""
    denied: tuple[str, ...] = ()
    """Names that the forward proxy does not go to, nor to any below them."""
    tunnel_ports: str = TUNNEL_PORTS
    """Ports that it makes tunnels to (CONNECT)."""
    tunnel_names: tuple[str, ...] = ()
    """If there are any: names to which alone, and to those below them, it makes tunnels."""
    name: str = ""
    """What Via, Cache-Status and Proxy-Status call it; empty: the machine's name."""
    forwarded: str = "off"
    """Whether origins are told for whom a request is: off, x (X-Forwarded-For), standard (Forwarded), both."""
    targets: tuple[str, ...] = ()
    """Targeted cache control that is obeyed (RFC 9213), such as CDN-Cache-Control."""
    purge_key: str = field(default="", repr=False)
    """Who sends it may PURGE; if empty, nobody may."""
    http2: bool = True
    """Spoken to clients."""
    upstream_http2: bool = False
    """Offered to origins under TLS."""
    access_log: bool = True
    access_file: str = ""
    access_format: str = "combined"
    grace: float = 5.0
    """Seconds that connections get to end by themselves when the service stops."""
    rules: Rules = field(default_factory=Rules)
    proxy: ProxyLimits = field(default_factory=ProxyLimits)
    store: StoreLimits = field(default_factory=StoreLimits)
    upstream: UpstreamLimits = field(default_factory=UpstreamLimits)
    dial: DialLimits = field(default_factory=DialLimits)
    http: HTTPLimits = field(default=_HTTP)
    connections: StreamLimits = field(default=_CONNECTIONS)
    """Idle for longer than an origin may take to answer: a client that waits has nothing to say."""
    tunnels: TunnelLimits = field(default_factory=TunnelLimits)
    log: LogLimits = field(default_factory=LogLimits)

    def __post_init__(self) -> None:
        for endpoint in endpoints("listen", self.listen):
            if endpoint.kind == "udp":
                raise ValueError(f"listen: {endpoint} is a datagram endpoint; tcp or tls was expected")
        networks("allow", self.allow)
        networks("reach", self.reach)
        _ = self.options
        if not (self.forward or self.sites):
            raise ValueError("forward: a cache that is no forward proxy was expected to have at least one site")
        if self.forwarded not in FORWARDED:
            raise ValueError(f"forwarded: {self.forwarded!r} is none of {', '.join(FORWARDED)}")
        if self.access_format not in FORMATS:
            raise ValueError(f"access_format: {self.access_format!r} is none of {', '.join(FORMATS)}")
        if not all(0x21 <= ord(sign) < 0x7F and sign not in '",;()' for sign in self.name):
            raise ValueError(f"name: {self.name!r} has characters that are not allowed in Via")
        if not all(0x21 <= ord(sign) < 0x7F for sign in self.purge_key):
            raise ValueError("purge_key: expected visible ASCII without spaces")
        for bounds in (self.http, self.connections, self.log):
            for bound in fields(bounds):
                if not getattr(bounds, bound.name) >= 0:
                    raise ValueError(f"{bound.name}: a number not below zero was expected")
        if not self.grace >= 0:
            raise ValueError("grace: a number not below zero was expected")

    @property
    def options(self) -> ProxyOptions:
        """Its roles; raises ValueError."""
        try:
            sites = [Site.parse(text) for text in self.sites]
        except ValueError as error:
            raise ValueError(f"sites: {error}") from None
        try:
            ports = parse_ports(self.ports)
        except ValueError as error:
            raise ValueError(f"ports: {error}") from None
        try:
            tunnel_ports = parse_ports(self.tunnel_ports)
        except ValueError as error:
            raise ValueError(f"tunnel_ports: {error}") from None
        return ProxyOptions(
            sites, self.forward, networks("allow", self.allow), ports, networks("reach", self.reach), self.denied,
            tunnel_ports, self.tunnel_names, self.tunnels, self.forwarded, self.purge_key.encode(), self.proxy,
        )  # fmt: skip


def build(config: Config, machine: Machine, files: Disk | None = None) -> IService:
    """The service, a CacheService: its `web_cache` is for the control socket. The access log's file is one of `files`, the
    machine's disk unless one is given."""
    logging = machine if files is None else replace(machine, disk=files)
    log = AccessLog(logging, config.access_format, config.access_file, config.log) if config.access_log else None
    bound = placed(machine, endpoints("listen", config.listen))
    upstream = UpstreamOptions(config.upstream, config.dial, http2=config.upstream_http2)
    connections = replace(config.connections, idle=max(config.connections.idle, config.tunnels.idle_seconds + 1.0))
    service: Any = CacheService(
        machine, bound, config.options, named_rules(config, machine, bound), config.store, upstream, config.http,
        connections, log, config.grace, config.http2,
    )  # fmt: skip
    made: IService = service
    return made


def named_rules(config: Config, machine: Machine, bound: Sequence[Endpoint]) -> Rules:
    """The rules with the cache's name: two caches of one machine need two, or each takes the other for itself."""
    name = config.name or (machine.name if machine.name != "localhost" else f"localhost:{bound[0].port}")
    targets = tuple(target.lower() for target in config.targets)
    return replace(config.rules, name=name, targets=targets or config.rules.targets)


_ROWS: tuple[Row, ...] = (
    ("max-connections", _CONNECTIONS, "connections", "Connections of clients open at once."),
    ("client-idle", _CONNECTIONS, "idle", "Seconds without an octet either way."),
    ("max-head", _HTTP, "head", "Octets of a request's head (431)."),
    ("max-target", _HTTP, "target", "Octets of a request's target (414)."),
    ("max-fields", _HTTP, "fields", "Field lines of a request (431)."),
    ("max-body", _HTTP, "body", "Octets of a request's body (413)."),
    ("head-seconds", _HTTP, "head_seconds", "Time for a request's head (408)."),
    ("body-seconds", _HTTP, "body_seconds", "Time for a request's body, or for the next part of it (408)."),
    ("body-part", _HTTP, "body_part", "Octets of such a part; 0: the time is for the whole body."),
    ("idle-seconds", _HTTP, "idle_seconds", "Time between requests of a connection."),
    ("memo", _HTTP, "memo", "Request heads whose parse is remembered."),
    ("max-requests", _HTTP, "requests", "Requests of one connection; 0 for any number."),
    ("max-streams", _HTTP, "streams", "Requests at once on a connection of HTTP/2."),
    ("stream-window", _HTTP, "window", "Octets of one body on their way in HTTP/2."),
    ("connection-window", _HTTP, "connection_window", "Octets of all bodies of a connection on their way in HTTP/2."),
    ("stalled-seconds", _HTTP, "stalled_seconds", "Time for a client of HTTP/2 to take the next 8 KiB."),
    ("max-resets", _HTTP, "resets", "Streams of a connection reset within 10 s."),
    ("max-control-frames", _HTTP, "control_frames", "Frames within 10 s that carry neither requests nor contents."),
    ("max-fetches", _PROXY, "fetches", "Requests to origins under way (503)."),
    ("max-waiting", _PROXY, "waiting", "Clients that wait for another one's response."),
    ("passed", _PROXY, "passed", "URLs remembered where nobody waits for another one's response."),
    ("passed-seconds", _PROXY, "passed_seconds", "Seconds that they are remembered."),
    ("abandoned-octets", _PROXY, "abandoned_octets", "A response without readers is finished when no more are missing."),
    ("abandoned-percent", _PROXY, "abandoned_percent", "Or when so much of it is there."),
    ("lagging-seconds", _PROXY, "lagging_seconds", "For the slowest of several readers of what is not stored to catch up."),
    ("ready", _PROXY, "ready", "Responses kept as octets ready to be sent."),
    ("ready-octets", _PROXY, "ready_octets", "Largest body of one."),
    ("ready-memory", _PROXY, "ready_memory", "Octets of all their bodies."),
    ("inline", _PROXY, "inline", "Largest body that is handed to a connection in one piece."),
    ("heuristic", _RULES, "heuristic", "Lifetime without an explicit one, as a part of the time since Last-Modified."),
    ("heuristic-seconds", _RULES, "heuristic_seconds", "Such a lifetime at most."),
    ("negative-seconds", _RULES, "negative_seconds", "Lifetime of errors that say none."),
    ("stale-if-error", _RULES, "stale_if_error_seconds", "How stale a response may be when the origin fails."),
    ("max-ranges", _RULES, "ranges", "Ranges of one request that are served."),
    ("variants", _RULES, "variants", "Responses stored for one URL."),
    ("alternates", _RULES, "alternates", "Selecting values that one stored response is known to serve."),
    ("tags", _RULES, "tags", "Entity tags in one validation."),
    ("access-lines", _LOG, "lines", "Lines that wait to be written."),
    ("access-seconds", _LOG, "seconds", "Seconds that a line waits."),
    ("access-octets", _LOG, "file", "Octets of the file, which then becomes FILE.1."),
    ("store-memory", _STORE, "memory", "Octets of memory of the store."),
    ("store-disk", _STORE, "disk", "Octets of disk of the store, below --state; 0 for none."),
    ("store-objects", _STORE, "objects", "Objects in memory; as many on disk."),
    ("store-object", _STORE, "object", "Octets of the largest body that is stored."),
    ("store-inline", _STORE, "inline", "Octets of the largest body that memory keeps."),
    ("store-variants", _STORE, "variants", "Variants of one URL in the store."),
    ("store-window", _STORE, "window", "Octets of a body that is not stored, waiting for its reader."),
    ("store-behind", _STORE, "behind", "Octets that wait to be written to disk."),
    ("store-retry", _STORE, "retry", "Seconds without writing after the disk was full or failed."),
    ("upstream-connections", _UPSTREAM, "connections", "Connections to all origins."),
    ("upstream-per-host", _UPSTREAM, "per_host", "Connections to one origin; more requests wait."),
    ("upstream-idle", _UPSTREAM, "idle", "Connections kept without a request."),
    ("upstream-idle-per-host", _UPSTREAM, "idle_per_host", "Of these to one origin."),
    ("upstream-idle-seconds", _UPSTREAM, "idle_seconds", "Seconds that one is kept."),
    ("upstream-queue", _UPSTREAM, "queue", "Requests that wait for a connection (503)."),
    ("upstream-queue-seconds", _UPSTREAM, "queue_seconds", "Seconds that one waits (503)."),
    ("upstream-head-seconds", _UPSTREAM, "head_seconds", "Seconds for an origin to answer (504)."),
    ("upstream-read-seconds", _UPSTREAM, "read_seconds", "Seconds for the next octets of its answer."),
    ("upstream-write-seconds", _UPSTREAM, "write_seconds", "Seconds for it to take more of a request (504)."),
    ("upstream-exchange-seconds", _UPSTREAM, "exchange_seconds", "Seconds for a whole exchange (504)."),
    ("upstream-window", _UPSTREAM, "window", "Octets of one response of HTTP/2 on their way."),
    ("max-tunnels", _TUNNELS, "tunnels", "Tunnels open at once (503)."),
    ("max-tunnels-per-client", _TUNNELS, "per_client", "Of one client's address (503)."),
    ("tunnel-idle-seconds", _TUNNELS, "idle_seconds", "Seconds without an octet in either direction of one."),
    ("tunnel-half-seconds", _TUNNELS, "half_seconds", "The same when one side has ended its direction."),
    ("tunnel-seconds", _TUNNELS, "seconds", "Seconds for a tunnel, whatever goes through it."),
    ("connect-seconds", _DIAL, "connect_seconds", "Seconds for a name and a connection (504)."),
    ("attempt-seconds", _DIAL, "attempt_seconds", "Seconds until the next address is tried, too."),
)


class Options(ResolvingOptions):
    """The command line of `twistd netstack-cache`."""

    synopsis = "[--listen ENDPOINT]... [--allow NETWORK]... [--origin NAME=URL]... [options]"
    longdesc = "A Web cache: forward proxy for the clients of its own networks, reverse proxy for the sites of --origin."
    optFlags = [
        ["no-forward", None, "Be no forward proxy."],
        ["ignore-requests", None, "Pay no heed to Cache-Control and Pragma of requests."],
        ["share-cookies", None, "Store responses with Set-Cookie like any other."],
        ["show-key", None, "Tell in Cache-Status under which key a response is stored."],
        ["no-access-log", None, "Do not log requests."],
        ["no-http2", None, "Speak HTTP/1 alone to clients."],
        ["upstream-http2", None, "Offer HTTP/2 to origins under TLS."],
    ]
    optParameters = [
        ["ports", None, PORTS, "Ports that the forward proxy goes to."],
        ["tunnel-ports", None, TUNNEL_PORTS, "Ports that it makes tunnels to (CONNECT)."],
        ["via", None, None, "What Via, Cache-Status and Proxy-Status call this cache [default: its name]."],
        ["forwarded", None, "off", "Tell origins for whom a request is: off, x, standard or both."],
        ["targets", None, None, "Targeted cache control that is obeyed, such as CDN-Cache-Control,Cache-Control."],
        ["purge-key", None, None, "File with the key that PURGE needs."],
        ["grace", None, 5.0, "Seconds that connections get to end when the service stops.", number("grace", float)],
        ["access-file", None, None, "File of the access log [default: the process's log]."],
        ["access-format", None, "combined", "combined or json."],
        *parameters(_ROWS),
    ]

    def __init__(self) -> None:
        self.origins: list[str] = []
        self.allow: list[str] = []
        self.reach: list[str] = []
        self.denied: list[str] = []
        self.tunnel_names: list[str] = []
        super().__init__()

    def opt_origin(self, text: str) -> None:
        """A site to stand before: NAME[,NAME...]=URL of the server that has it; may be given more than once."""
        self.origins.append(text)

    def opt_allow(self, network: str) -> None:
        """A network of the forward proxy's clients; may be given more than once [default: this machine]."""
        self.allow.append(network)

    def opt_reach(self, network: str) -> None:
        """A network that is not everybody's (127.0.0.0/8, 10.0.0.0/8), to which the forward proxy goes; may be repeated."""
        self.reach.append(network)

    def opt_deny(self, name: str) -> None:
        """A name that the forward proxy does not go to, nor to any below it; may be repeated."""
        self.denied.append(name)

    def opt_tunnel_to(self, name: str) -> None:
        """A name to which, and to those below it, there are tunnels; may be repeated [default: any]."""
        self.tunnel_names.append(name)

    def postOptions(self) -> None:
        super().postOptions()
        self.config()

    def machine(self) -> Machine:
        if self["trust"] is None and SYSTEM_TRUST.is_file():
            self["trust"] = str(SYSTEM_TRUST)
        return super().machine()

    def config(self) -> Config:
        """The configuration; raises UsageError."""
        try:
            return self._config()
        except ValueError as error:
            raise usage.UsageError(str(error)) from None

    def _purge_key(self) -> str:
        if not self["purge-key"]:
            return ""
        try:
            key = Path(self["purge-key"]).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--purge-key {self['purge-key']}: {error}") from None
        if len(key) < 16:
            raise ValueError(f"--purge-key {self['purge-key']}: expected a key of at least 16 characters")
        return key

    def _config(self) -> Config:
        return Config(
            listen=tuple(self.listen) or LISTEN,
            sites=tuple(self.origins),
            forward=not self["no-forward"],
            allow=tuple(self.allow) or ALLOW,
            ports=self["ports"],
            reach=tuple(self.reach),
            denied=tuple(self.denied),
            tunnel_ports=self["tunnel-ports"],
            tunnel_names=tuple(self.tunnel_names),
            name=self["via"] or "",
            forwarded=self["forwarded"],
            targets=tuple(name.strip() for name in (self["targets"] or "").split(",") if name.strip()),
            purge_key=self._purge_key(),
            http2=not self["no-http2"],
            access_log=not self["no-access-log"],
            access_file=str(Path(self["access-file"]).resolve()).lstrip("/") if self["access-file"] else "",
            access_format=self["access-format"],
            grace=self["grace"],
            rules=replace(
                given(_ROWS, _RULES, self),
                obey_requests=not self["ignore-requests"],
                share_cookies=bool(self["share-cookies"]),
                show_key=bool(self["show-key"]),
            ),
            proxy=given(_ROWS, _PROXY, self),
            store=given(_ROWS, _STORE, self),
            upstream=given(_ROWS, _UPSTREAM, self),
            dial=given(_ROWS, _DIAL, self),
            tunnels=given(_ROWS, _TUNNELS, self),
            upstream_http2=bool(self["upstream-http2"]),
            http=given(_ROWS, _HTTP, self),
            connections=given(_ROWS, _CONNECTIONS, self),
            log=given(_ROWS, _LOG, self),
        )


def makeService(options: Options) -> IService:
    """For twistd."""
    config = options.config()
    machine = options.machine()
    options.hold_state(machine)
    return options.with_health(built(lambda: build(config, machine, RealDisk("/"))), machine)
