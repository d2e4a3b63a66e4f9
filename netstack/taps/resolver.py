"""netstack-resolver: the recursive, caching server (RFC 1034 §5.3.3): from root hints, by itself."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGHUP, SIGUSR1
from typing import Any, Literal

import dns.exception
import dns.name
from dns.name import Name
from dns.rdatatype import RdataType
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.python import usage

from netstack.dns.chaos import Introduction
from netstack.dns.dnssec.trust import Trust, anchor
from netstack.dns.doh import PATH
from netstack.dns.forwarders import Forwarder
from netstack.dns.guard import COOKIE_RULES, CookieRule
from netstack.dns.hardening import HARDENED, TEXTBOOK, hardening
from netstack.dns.identity import IDS, PORTS, Identity
from netstack.dns.limits import ResolverLimits, ServerLimits
from netstack.dns.recursor import Recursor
from netstack.dns.service import ResolverService
from netstack.dns.zone import hints_from_text
from netstack.kernel.listen import Endpoint
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import is_address
from netstack.kernel.signals import Signals
from netstack.taps.over_https import asking, serving
from netstack.taps.rates import INTRODUCTION_OPTIONS, RATE_OPTIONS, cookie_secrets, guard_of, introduction, rate_limits
from netstack.taps.standalone import WorkerOptions, endpoints, networks, placed, reason

Profile = Literal["textbook", "hardened"]
PROFILES: tuple[Profile, ...] = ("textbook", "hardened")
Rotation = Literal["cyclic", "fixed"]
ROTATIONS: tuple[Rotation, ...] = ("cyclic", "fixed")
LISTEN = ("udp:53", "tcp:53")
NEGATIVE = 604800.0
"""Seconds that negative trust anchors count (RFC 7646 §2)."""
ALLOW = ("127.0.0.0/8", "::1/128")
_SERVER = ServerLimits()
_LIMITS = ResolverLimits()


@dataclass(frozen=True, slots=True)
class Config:
    """Where it listens, where it begins, for whom it works. Raises ValueError that names the field and what was expected."""

    hints: tuple[tuple[str, str], ...]
    """The root's servers: (name, address); a name may come more than once."""
    listen: tuple[str, ...] = LISTEN
    """Endpoints (`netstack.kernel.listen`) with standard ports: `build` puts `machine.port()` over them."""
    allow: tuple[str, ...] = ALLOW
    """Networks of clients; others are REFUSED."""
    profile: Profile = "hardened"
    """"textbook": the messages of the chapter's figures and no others. "hardened": the root's servers are also asked for
    their own names first (priming, RFC 8109), servers' IPv6 addresses are used where the machine has one, and all of
    `netstack.dns.hardening` is on."""
    port: int = 53
    """Of the servers that it asks; standard: `machine.port()` is put over it."""
    server_limits: ServerLimits = field(default_factory=ServerLimits)
    limits: ResolverLimits = field(default_factory=ResolverLimits)
    rotation: Rotation = "cyclic"
    """The order of a cached RRset's records: each first in turn, or always as it came."""
    forward: tuple[str, ...] = ()
    """Servers that are asked to do the whole work (RD), each as `netstack.dns.forwarders` says, maybe with ZONE= before it
    for the names of one zone alone."""
    forward_first: bool = False
    """What they do not answer is asked from the root, instead of failing; needs hints."""
    features: tuple[str, ...] = ()
    """Switches of `netstack.dns.hardening` that are added to the profile, or taken away by "no-"."""

    anchors: tuple[str, ...] = ()
    """Trust anchors: DS or DNSKEY records as text, `. IN DS ...`. With any, answers are validated (DNSSEC)."""
    introduction: Introduction = field(default_factory=Introduction)
    """What the server tells of itself; nothing by itself."""
    negative_anchors: tuple[str, ...] = ()
    """Zones that count as unsigned, for a week (RFC 7646): those whose owners have broken their signatures."""
    cookies: CookieRule = "on"
    """Server cookies (RFC 9018) for clients that send theirs; "required": such a client gets BADCOOKIE until it has ours."""
    https: tuple[str, ...] = ()
    """Endpoints of DNS over HTTPS (RFC 8484), `tls:443`; `tcp` ones are for a proxy that does TLS."""
    https_path: str = PATH
    cookie_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    """Of 16 octets, shared with other servers: the first makes cookies, all make them good; none: random ones, rotated."""

    identity: Identity = field(default_factory=Identity)
    """Ids and source ports of queries; weaker ones than the default are for labs."""

    def __post_init__(self) -> None:
        if self.cookies not in COOKIE_RULES:
            raise ValueError(f"cookies: expected one of {', '.join(COOKIE_RULES)}, got {self.cookies!r}")
        if not self.hints and dns.name.root not in forward_zones(self.forward):
            raise ValueError("hints: expected at least one (name, address) of a root server")
        if self.forward_first and not (self.forward and self.hints):
            raise ValueError("forward_first: expected forwarders to ask first, and hints to go on from")
        if self.forward_first and any("://" in server for server in self.forward):
            raise ValueError("forward_first: expected no tls:// or https:// forwarders: others are asked in the clear")
        for name, address in self.hints:
            if not is_address(address):
                raise ValueError(f"hints: {name}: expected an IP address, got {address!r}")
            try:
                dns.name.from_text(name)
            except dns.exception.DNSException as error:
                raise ValueError(f"hints: expected a domain name, got {name!r}: {error}") from error
        endpoints("listen", self.listen)
        networks("allow", self.allow)
        if self.https and any(each.kind == "udp" for each in endpoints("https", self.https)):
            raise ValueError("https: expected tls or tcp endpoints")
        if not re.fullmatch(r"/[!-~]*", self.https_path) or set(self.https_path) & set("?#%"):
            raise ValueError(f"https_path: expected a path such as {PATH}, got {self.https_path!r}")
        if self.profile not in PROFILES:
            raise ValueError(f"profile: expected one of {', '.join(PROFILES)}, got {self.profile!r}")
        hardening(TEXTBOOK, self.features)
        for text in self.negative_anchors:
            try:
                dns.name.from_text(text)
            except dns.exception.DNSException as error:
                raise ValueError(f"negative_anchors: expected a zone's name, got {text!r}: {error}") from error
        for text in self.anchors:
            try:
                anchor(text)
            except ValueError as error:
                raise ValueError(f"anchors: {error}") from error
        if self.rotation not in ROTATIONS:
            raise ValueError(f"rotation: expected one of {', '.join(ROTATIONS)}, got {self.rotation!r}")
        if not 0 < self.port < 65536:
            raise ValueError(f"port: expected 1 to 65535, got {self.port}")


def forward_zones(forward: tuple[str, ...]) -> dict[Name, list[Forwarder]]:
    """The zones of a `forward` field and the servers of each, in order; raises ValueError."""
    zones: dict[Name, list[Forwarder]] = {}
    for text in forward:
        zone, _, server = text.rpartition("=")
        try:
            zones.setdefault(dns.name.from_text(zone or "."), []).append(Forwarder.parse(server))
        except ValueError as error:
            raise ValueError(f"forward: {error}") from None
        except dns.exception.DNSException as error:
            raise ValueError(f"forward: expected a domain name before =, got {text!r}: {error}") from error
    return zones


def plain_servers(zones: dict[Name, list[Forwarder]]) -> set[str]:
    """The addresses of servers that are asked without encryption."""
    return {it.key for servers in zones.values() for it in servers if it.proto == "udp"}


def build(config: Config, machine: Machine) -> IService:
    """The service, a ResolverService: `flush()` and `counters()` are for the control socket."""
    hardened = config.profile == "hardened"
    zones = forward_zones(config.forward)
    encrypted = {it.key: it for servers in zones.values() for it in servers if it.proto != "udp"}
    types = [RdataType.A]
    if hardened and any(":" in address for address in machine.addresses):
        types.append(RdataType.AAAA)
    recursor = Recursor(
        config.hints,
        config.limits,
        machine.rng,
        port=machine.port(config.port),
        address_types=types,
        priming=hardened and (dns.name.root not in zones or config.forward_first),
        rotate=config.rotation == "cyclic",
        udp_payload=config.server_limits.udp_payload,
        forward={zone: [it.key for it in servers] for zone, servers in zones.items()},
        hardening=hardening(HARDENED if hardened else TEXTBOOK, config.features),
        dnssec=bool(config.anchors),
        identity=config.identity,
        encrypted={key: it.proto for key, it in encrypted.items()},
    )
    recursor.algorithm.forward_first = config.forward_first
    trust = Trust(config.anchors) if config.anchors else None
    if trust is not None:
        until = machine.reactor.seconds() + NEGATIVE
        trust.negative = {dns.name.from_text(text): until for text in config.negative_anchors}
    bound = placed(machine, endpoints("listen", config.listen))
    ours = {it.interface or "0.0.0.0" for it in bound if it.kind == "udp" and it.port == recursor.port}  # noqa: S104
    recursor.algorithm.avoided |= ours | (set(machine.addresses) if ours & {"0.0.0.0", "::"} else set())  # noqa: S104
    for address in sorted(recursor.algorithm.avoided.intersection(plain_servers(zones))):
        raise ValueError(f"forward: {address} is this resolver's own address, or nobody's")
    guard = guard_of(machine, config.server_limits, config.cookies, config.cookie_secrets, config.introduction)
    allow = networks("allow", config.allow)
    service: Any = ResolverService(
        machine, recursor, bound, allow, config.limits, config.server_limits, trust, guard, encrypted,
        asking(machine, encrypted, config.limits),
    )  # fmt: skip
    if config.https:
        where = placed(machine, endpoints("https", config.https))
        web: Any = serving(machine, where, service.answers, config.https_path, config.server_limits)
        web.setServiceParent(service)
    found: IService = service
    return found


class Options(WorkerOptions):
    """Command line of `twistd netstack-resolver`."""

    synopsis = "[--hint NAME=ADDRESS | --hints FILE]... [--forward ADDRESS]... [--allow NETWORK]... [options]"
    optParameters = [
        ["profile", None, "hardened", "textbook: the chapter's messages and no others; or hardened."],
        *RATE_OPTIONS,
        *INTRODUCTION_OPTIONS,
        ["rotation", None, "cyclic", "Order of a cached RRset's records: cyclic or fixed."],
        ["upstream-port", None, 53, "Port of the servers that it asks.", int],
        ["cache-entries", None, _LIMITS.cache_entries, "RRsets remembered.", int],
        ["cache-bytes", None, _LIMITS.cache_bytes, "Octets that they take, estimated.", int],
        ["denials", None, _LIMITS.denials, "Validated denials kept for aggressive use.", int],
        ["max-ttl", None, _LIMITS.max_ttl, "Longest time in the cache, seconds.", int],
        ["max-negative-ttl", None, _LIMITS.max_negative_ttl, "The same for what does not exist.", int],
        ["max-queries", None, _LIMITS.queries, "Queries sent for one question.", int],
        ["max-clients", None, _LIMITS.clients, "Clients waiting at once.", int],
        ["max-resolutions", None, _LIMITS.resolutions, "Questions under way at once.", int],
        ["max-sockets", None, _LIMITS.sockets, "Queries in flight at once, each on a socket of its own.", int],
        ["max-hosts", None, _LIMITS.hosts, "Name servers looked up for one question.", int],
        [
            "max-glueless",
            None,
            _LIMITS.glueless,
            "Name servers without an address that are looked up for one delegation.",
            int,
        ],
        ["max-depth", None, _LIMITS.depth, "Questions about name servers within questions about name servers.", int],
        ["max-aliases", None, _LIMITS.aliases, "CNAME records followed for one question.", int],
        ["max-parts", None, _LIMITS.minimised, "Queries for a part of a name, for one question.", int],
        ["max-forged", None, _LIMITS.forged, "Replies to one query that do not match; then it is asked over TCP.", int],
        ["max-prefetches", None, _LIMITS.prefetches, "Questions asked again at once before they expire.", int],
        ["max-failures", None, _LIMITS.failure_entries, "Failed questions remembered.", int],
        ["rounds", None, _LIMITS.attempts, "Times that the servers of one zone are asked in turn.", int],
        ["lame-time", None, _LIMITS.lame_time, "Seconds that a server is not asked for a zone it does not serve.", float],
        ["stale-time", None, _LIMITS.stale_time, "Seconds that what has expired is kept, for want of better.", float],
        ["stale-wait", None, _LIMITS.stale_wait, "Seconds before a client is given what has expired.", float],
        ["failure-time", None, _LIMITS.failure_time, "Seconds before a question that failed is tried again.", float],
        ["first-timeout", None, _LIMITS.first_timeout, "Seconds for a server that was not asked before.", float],
        ["https-path", None, PATH, "Path of DNS over HTTPS."],
        ["upstream-https", None, _LIMITS.https_queries, "Queries in hand to one server over HTTPS.", int],
        ["upstream-streams", None, _LIMITS.streams, "TCP and TLS connections to servers at once.", int],
        ["upstream-pipeline", None, _LIMITS.stream_pipeline, "Queries in hand on one of them.", int],
        ["upstream-idle", None, _LIMITS.stream_idle, "Seconds that one without queries is kept.", float],
        ["deadline", None, _LIMITS.deadline, "Seconds for one question.", float],
        ["udp-payload", None, _SERVER.udp_payload, "Largest UDP message, octets.", int],
        ["udp-buffer", None, _SERVER.udp_buffer, "Octets of queries that may wait in the system; 0: its default.", int],
        ["tcp-connections", None, _SERVER.tcp_connections, "TCP connections open at once.", int],
        ["tcp-idle", None, _SERVER.tcp_idle, "Seconds without a whole query on a TCP connection.", float],
        ["tcp-pipeline", None, _SERVER.tcp_pipeline, "Queries of one TCP connection in hand at once.", int],
        ["source-port", None, "random", "fixed: all queries from one port. For labs alone: forgers need not guess it."],
        ["id", None, "random", "sequential or fixed. For labs alone: forgers need not guess it."],
        ["ports", None, PORTS, "Ports to choose from. Fewer: for labs alone.", int],
        ["ids", None, IDS, "Ids to choose from, a power of 2. Fewer: for labs alone.", int],
        ["compiled-bytes", None, _SERVER.compiled_bytes, "Replies kept as octets beside the cache.", int],
    ]
    optFlags = [["forward-first", None, "What forwarders do not answer is asked from the root."]]

    def __init__(self) -> None:
        self.hints: list[tuple[str, str]] = []
        self.allow: list[str] = []
        self.forward: list[str] = []
        self.features: list[str] = []
        self.anchors: list[str] = []
        self.negative_anchors: list[str] = []
        self.https: list[str] = []
        super().__init__()

    def opt_hint(self, value: str) -> None:
        """A root server, NAME=ADDRESS; may be repeated."""
        name, _, address = value.partition("=")
        self.hints.append((name, address))

    def opt_hints(self, value: str) -> None:
        """A file of root hints in master file format, as InterNIC's named.root."""
        try:
            self.hints += hints_from_text(Path(value).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise usage.UsageError(f"--hints {value}: {reason(error)}") from error

    def opt_allow(self, value: str) -> None:
        """A network of clients; may be repeated [default: 127.0.0.0/8, ::1/128]."""
        self.allow.append(value)

    def opt_forward(self, value: str) -> None:
        """A server to ask for the whole work: ADDRESS, tls://ADDRESS[:PORT]#NAME or https://NAME[:PORT]/PATH@ADDRESS,
        ZONE= before it for a zone's names alone; may be repeated."""
        self.forward.append(value)

    def opt_https(self, value: str) -> None:
        """Where to listen for DNS over HTTPS, such as tls:443; may be repeated."""
        try:
            self.https.append(str(Endpoint.parse(value)))
        except ValueError as error:
            raise usage.UsageError(f"--https {error}") from None

    def opt_anchor(self, value: str) -> None:
        """A trust anchor: a DS or DNSKEY record's text, or a file of them (such as dsset-ZONE.); may be repeated."""
        try:
            text = Path(value).read_text("utf-8") if Path(value).is_file() else value
        except (OSError, UnicodeDecodeError) as error:
            raise usage.UsageError(f"--anchor {value}: {reason(error)}") from error
        self.anchors += [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(";")]

    def opt_negative_anchor(self, zone: str) -> None:
        """A zone that counts as unsigned for a week from the start (RFC 7646); may be repeated."""
        self.negative_anchors.append(zone)

    def opt_feature(self, value: str) -> None:
        """A feature to add to the profile, or with no- to take away, such as no-prefetch; may be repeated."""
        self.features.append(value)

    def postOptions(self) -> None:
        super().postOptions()
        most = 65535 - self["port-offset"]
        if not 1 <= self["upstream-port"] <= most:
            raise usage.UsageError(f"upstream-port: expected a number from 1 to {most}, got {self['upstream-port']}")
        self.config()

    def config(self) -> Config:
        """The configuration; raises UsageError."""
        if self["trust"] is None and any("://" in server for server in self.forward):
            raise usage.UsageError("forward: a server that is asked over TLS needs --trust, the CA of its certificate")
        if self["certificate"] is None and any(Endpoint.parse(text).kind == "tls" for text in self.https):
            raise usage.UsageError("https: a tls endpoint needs --certificate and --key")
        try:
            return Config(
                tuple(self.hints),
                tuple(self.listen) or LISTEN,
                tuple(self.allow) or ALLOW,
                self["profile"],
                self["upstream-port"],
                ServerLimits(
                    self["udp-payload"],
                    self["udp-buffer"],
                    self["tcp-connections"],
                    self["tcp-idle"],
                    tcp_pipeline=self["tcp-pipeline"],
                    compiled_bytes=self["compiled-bytes"],
                    **rate_limits(self),
                ),
                ResolverLimits(
                    cache_entries=self["cache-entries"],
                    cache_bytes=self["cache-bytes"],
                    denials=self["denials"],
                    max_ttl=self["max-ttl"],
                    max_negative_ttl=self["max-negative-ttl"],
                    queries=self["max-queries"],
                    clients=self["max-clients"],
                    hosts=self["max-hosts"],
                    glueless=self["max-glueless"],
                    depth=self["max-depth"],
                    aliases=self["max-aliases"],
                    minimised=self["max-parts"],
                    forged=self["max-forged"],
                    prefetches=self["max-prefetches"],
                    failure_entries=self["max-failures"],
                    attempts=self["rounds"],
                    lame_time=self["lame-time"],
                    resolutions=self["max-resolutions"],
                    sockets=self["max-sockets"],
                    stale_time=self["stale-time"],
                    stale_wait=self["stale-wait"],
                    failure_time=self["failure-time"],
                    first_timeout=self["first-timeout"],
                    deadline=self["deadline"],
                    streams=self["upstream-streams"],
                    https_queries=self["upstream-https"],
                    stream_pipeline=self["upstream-pipeline"],
                    stream_idle=self["upstream-idle"],
                ),
                self["rotation"],
                tuple(self.forward),
                bool(self["forward-first"]),
                tuple(self.features),
                tuple(self.anchors),
                negative_anchors=tuple(self.negative_anchors),
                cookies=self["cookies"],
                cookie_secrets=cookie_secrets(self),
                introduction=introduction(self),
                https=tuple(self.https),
                https_path=self["https-path"],
                identity=Identity(self["source-port"], self["id"], self["ports"], self["ids"]),
            )
        except ValueError as error:
            raise usage.UsageError(str(error)) from error


def makeService(options: Options) -> IService:
    """For twistd."""
    config = options.config()

    def made(machine: Machine) -> IService:
        service: Any = build(config, machine)

        def dump() -> None:
            written = Deferred.fromCoroutine(service.cache_control.write())
            written.addErrback(lambda failure: service.log.failure("the cache cannot be written", failure))

        def ignored() -> None:
            service.log.info(
                "{name}: nothing is read again at SIGHUP; what the options say counts from the start", name=machine.name
            )

        signals: Any = Signals(machine.reactor, {SIGUSR1: dump, SIGHUP: ignored})
        signals.setServiceParent(service)
        found: IService = service
        return found

    features = hardening(HARDENED if config.profile == "hardened" else TEXTBOOK, config.features)
    keeps = features.follow_anchors and bool(config.anchors)
    return options.served(config.listen + config.https, made, keeps)
