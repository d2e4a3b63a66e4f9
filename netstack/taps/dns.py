"""netstack-dns: the authoritative server (RFC 1034 §4.3), one or many zones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from signal import SIGHUP
from typing import Any, Literal

import dns.name
from dns.name import Name
from twisted.application.service import IService
from twisted.python import usage

from netstack.dns.authority import Authority, Order, at_random, cyclic, fixed
from netstack.dns.chain import chain_service
from netstack.dns.chaos import Introduction
from netstack.dns.dnssec.delegations import Overlay
from netstack.dns.dnssec.keeper import Keeper
from netstack.dns.dnssec.keys import Key, KeyFormatError, read_key
from netstack.dns.dnssec.keystore import KeyStore
from netstack.dns.dnssec.lifecycle import Timing, signing_of
from netstack.dns.dnssec.signer import DENIALS, Policy
from netstack.dns.guard import COOKIE_RULES, CookieRule
from netstack.dns.hardening import TEXTBOOK, hardening
from netstack.dns.limits import ResolverLimits, ServerLimits
from netstack.dns.reload import Readable, Reloader
from netstack.dns.service import AuthoritativeService
from netstack.dns.sharing import Follower, Forwarding, Owner
from netstack.dns.source import Reading, Source
from netstack.dns.stored import StoredZone
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone, ZoneError, ZoneText
from netstack.kernel.disk import RealDisk
from netstack.kernel.machine import Machine
from netstack.kernel.signals import Signals
from netstack.taps.changing import Changing, ChangingOptions, origin_of, peers_of, zone_keeper
from netstack.taps.rates import INTRODUCTION_OPTIONS, RATE_OPTIONS, cookie_secrets, guard_of, introduction, rate_limits
from netstack.taps.standalone import WorkerOptions, endpoints, networks, placed

Rotation = Literal["cyclic", "random", "fixed"]
ROTATIONS: tuple[Rotation, ...] = ("cyclic", "random", "fixed")
LISTEN = ("udp:53", "tcp:53")
_LIMITS = ServerLimits()
_ASKING = ResolverLimits()


@dataclass(frozen=True, slots=True)
class ZoneFile:
    """A zone whose master file is on the machine's disk; `path` is relative to the disk's root."""

    origin: str
    path: str


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key of a zone, in the texts of dnssec-keygen's two files."""

    public: str
    private: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """What a server serves, and where. Raises ValueError that names the field and what was expected."""

    zones: tuple[ZoneText | ZoneFile | Source, ...]
    listen: tuple[str, ...] = LISTEN
    """Endpoints (`netstack.kernel.listen`) with standard ports: `build` puts `machine.port()` over them."""
    rotation: Rotation = "cyclic"
    """The order of an RRset's records: each first in turn, at random, or always as in the zone."""
    limits: ServerLimits = field(default_factory=ServerLimits)
    sign: tuple[str, ...] = ()
    """Origins of the zones to sign (DNSSEC)."""
    dnssec: Policy = field(default_factory=Policy)
    keys: tuple[KeyText, ...] = ()
    """Keys to sign with; a zone that has none here has its own on the disk, under `keys`."""
    timing: Timing = field(default_factory=Timing)
    """Waits while keys are rolled over."""
    parents: tuple[tuple[str, str], ...] = ()
    """(origin, ADDRESS[:PORT],...): the parent's servers, whose DS records are looked at while a key is rolled over."""
    changing: Changing = field(default_factory=Changing)
    """Transfers, updates and secondaries."""
    recursion_for: tuple[str, ...] = ()
    """Networks whose queries with RD are answered also where these zones only refer to other servers: those are asked."""
    sources: Mapping[str, Readable] = field(default_factory=dict, compare=False, repr=False)
    """Where zones that are given as texts can be read again, by origin."""
    recursion_features: tuple[str, ...] = ()
    """Switches of `netstack.dns.hardening` for that, all off by themselves."""
    recursion_limits: ResolverLimits = field(default_factory=ResolverLimits)

    introduction: Introduction = field(default_factory=Introduction)
    """What the server tells of itself; nothing by itself."""
    cookies: CookieRule = "on"
    """Server cookies (RFC 9018) for clients that send theirs; "required": such a client gets BADCOOKIE until it has ours."""
    cookie_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    """Of 16 octets, shared with other servers: the first makes cookies, all make them good; none: random ones, rotated."""

    def __post_init__(self) -> None:
        if self.cookies not in COOKIE_RULES:
            raise ValueError(f"cookies: expected one of {', '.join(COOKIE_RULES)}, got {self.cookies!r}")
        if not self.zones and not self.changing.secondary:
            raise ValueError("zones: expected at least one zone")
        if self.rotation not in ROTATIONS:
            raise ValueError(f"rotation: expected one of {', '.join(ROTATIONS)}, got {self.rotation!r}")
        endpoints("listen", self.listen)
        networks("recursion_for", self.recursion_for)
        hardening(TEXTBOOK, self.recursion_features)
        if self.recursion_for and self.changing != Changing():
            raise ValueError("recursion_for: expected no transfers and no updates beside it")
        origins = [zone.origin.rstrip(".").lower() for zone in self.zones]
        twice = {origin or "." for origin in origins if origins.count(origin) > 1}
        if twice:
            raise ValueError(f"zones: {', '.join(sorted(twice))} is given more than once")
        copies = {origin_of(origin) for origin in origins} & self.changing.secondaries()
        if copies:
            raise ValueError(f"secondary: {name_text(copies.pop())} is a zone of our own")
        self.changing.check_origins({origin_of(origin) for origin in origins} | self.changing.secondaries())
        for origin in self.sign:
            if origin.rstrip(".").lower() not in origins:
                raise ValueError(f"sign: expected the origin of a zone that is served, got {origin!r}")
        for origin, text in self.parents:
            if origin_of(origin) not in set(map(origin_of, self.sign)):
                raise ValueError(f"parents: expected the origin of a zone that is signed, got {origin!r}")
            try:
                peers_of(text)
            except ValueError as error:
                raise ValueError(f"parents: {origin}: {error}") from None
        try:
            self.given_keys()
        except KeyFormatError as error:
            raise ValueError(f"keys: {error}") from error

    def given_keys(self) -> list[Key]:
        """`keys`, read; raises KeyFormatError."""
        return [read_key(key.public, key.private) for key in self.keys]


def build(config: Config, machine: Machine) -> IService:
    """The service; raises ZoneError for a zone that cannot be served, FileNotFoundError for one that is not there, and
    KeyFormatError for a key on the disk that cannot be used."""
    sources: dict[Name, Readable] = {}
    readings: dict[Name, Reading] = {}
    zones = []
    for each in config.zones:
        if isinstance(each, ZoneText):
            zone = Zone.from_text(each.origin, each.text)
            zones.append(zone)
            if each.origin in config.sources:
                sources[zone.origin] = config.sources[each.origin]
                readings[zone.origin] = Reading(zone, (), sha256(each.text.encode()).digest())
            continue
        source = each if isinstance(each, Source) else Source.on(each.origin, machine.disk, each.path)
        reading = source.reading or source.read()
        sources[source.name] = replace(source, reading=None)
        readings[source.name] = reading
        zones.append(reading.zone)
    for zone in zones:
        if isinstance(zone, StoredZone) and zone.origin in _altered(config):
            raise ZoneError(f"zone {name_text(zone.origin)}: a compiled zone is not signed and takes no updates")
    signed = {origin_of(origin) for origin in config.sign}
    overlay = Overlay(machine.disk)
    zones = [overlay.over(zone) if zone.origin in signed else zone for zone in zones]
    orders: dict[Rotation, Order] = {"cyclic": cyclic, "random": at_random(machine.rng.randrange), "fixed": fixed}
    authority = Authority(zones, orders[config.rotation], config.limits.udp_payload)
    bound = placed(machine, endpoints("listen", config.listen))
    guard = guard_of(machine, config.limits, config.cookies, config.cookie_secrets, config.introduction)
    service: Any
    follows = machine.worker is not None and not machine.worker.is_owner
    stores = {} if follows else _key_stores(config, machine, zones)
    signings = {origin: signing_of(store.load(), config.dnssec) for origin, store in stores.items()}
    kept_zones = zone_keeper(config.changing, machine, authority, signings)
    if config.recursion_for:
        allowed = networks("recursion_for", config.recursion_for)
        switches = hardening(TEXTBOOK, config.recursion_features)
        service = chain_service(
            machine, authority, bound, allowed, config.limits, machine.port(53), guard, config.recursion_limits, switches
        )
        kept_zones.setServiceParent(service)  # type: ignore[no-untyped-call]
        service.keeper = kept_zones
    else:
        service = AuthoritativeService(machine, authority, bound, config.limits, kept_zones, guard)
    service.signer = None
    if stores:
        parents = {origin_of(origin): [peer.place(machine) for peer in peers_of(text)] for origin, text in config.parents}
        service.signer = Keeper(machine, kept_zones, stores, config.timing, parents, overlay)
        service.signer.setServiceParent(service)
    if not follows:
        service.reloader = Reloader(machine, authority, kept_zones, sources, readings)
        service.reloader.setServiceParent(service)
    found: IService = service
    if machine.worker is None:
        return found
    files = {origin: (reading.zone, reading.digest) for origin, reading in readings.items()}
    if follows:
        if isinstance(service, AuthoritativeService):
            service.special.forwarding = Forwarding(machine, machine.worker, config.changing.limits.updates)
        return Follower(machine, machine.worker, kept_zones, found, files)
    owner: Any = Owner(machine, machine.worker, kept_zones, files)
    owner.setServiceParent(service)
    return found


def _altered(config: Config) -> set[Name]:
    """Zones that this server makes new versions of."""
    return {dns.name.from_text(origin) for origin in [*config.sign, *(origin for origin, _ in config.changing.update)]}


def _key_stores(config: Config, machine: Machine, zones: Sequence[Zone]) -> dict[Name, KeyStore]:
    """Where the keys of the zones to sign are."""
    wanted = {dns.name.from_text(origin) for origin in config.sign}
    return {
        zone.origin: KeyStore(
            machine,
            zone.origin,
            tuple(key for key in config.given_keys() if key.zone == zone.origin),
            config.dnssec.split,
        )
        for zone in zones
        if zone.origin in wanted
    }


class Options(ChangingOptions, WorkerOptions):
    """Command line of `twistd netstack-dns`."""

    synopsis = "[--zone ORIGIN=FILE]... [--listen ENDPOINT]... [options]"
    optParameters = [
        *RATE_OPTIONS,
        *INTRODUCTION_OPTIONS,
        ["recursion-cache-entries", None, _ASKING.cache_entries, "RRsets that it remembers of other servers.", int],
        ["recursion-clients", None, _ASKING.clients, "Clients that wait for other servers at once.", int],
        ["recursion-deadline", None, _ASKING.deadline, "Seconds for a question that is asked on.", float],
        ["rotation", None, "cyclic", "Order of an RRset's records: cyclic, random or fixed."],
        ["udp-payload", None, _LIMITS.udp_payload, "Largest UDP message, octets.", int],
        ["udp-buffer", None, _LIMITS.udp_buffer, "Octets of queries that may wait in the system; 0: its default.", int],
        ["tcp-connections", None, _LIMITS.tcp_connections, "TCP connections open at once.", int],
        ["tcp-idle", None, _LIMITS.tcp_idle, "Seconds without a whole query on a TCP connection.", float],
        ["denial", None, "nsec", f"How signed zones prove what does not exist: {' or '.join(DENIALS)}."],
        ["signature-validity", None, Policy().validity, "Seconds that signatures hold.", int],
        ["key-safety", None, Timing().safety, "Seconds for a change of keys to reach all servers of the zone.", int],
        ["parent-ds-ttl", None, Timing().ds_ttl, "TTL of the parent's DS records, at least.", int],
        ["tcp-pipeline", None, _LIMITS.tcp_pipeline, "Queries of one TCP connection in hand at once.", int],
        ["compiled-bytes", None, _LIMITS.compiled_bytes, "Replies kept compiled for each UDP socket, octets.", int],
    ]

    optFlags = [["split-keys", None, "Sign with a KSK and a ZSK instead of one key for both."]]

    def __init__(self) -> None:
        self.zones: list[Source] = []
        self.sign: list[str] = []
        self.recursion_for: list[str] = []
        self.recursion_features: list[str] = []
        self.parents: list[tuple[str, str]] = []
        super().__init__()

    def opt_zone(self, value: str) -> None:
        """A zone and its master file (RFC 1035 §5), or what `netstack zone compile` made of it, ORIGIN=FILE; repeatable."""
        origin, _, path = value.partition("=")
        if not origin or not path:
            raise usage.UsageError(f"--zone {value}: expected ORIGIN=FILE")
        self.zones.append(Source(origin, RealDisk(Path(path).absolute().parent), Path(path).name))

    def opt_recursion_for(self, network: str) -> None:
        """A network for which other servers are asked where the zones only refer to them; may be repeated."""
        self.recursion_for.append(network)

    def opt_parent(self, value: str) -> None:
        """Servers of a signed zone's parent, ORIGIN=ADDRESS[:PORT],..., asked for DS records while keys are rolled over."""
        origin, _, servers = value.partition("=")
        if not origin or not servers:
            raise usage.UsageError(f"--parent {value}: expected ORIGIN=ADDRESS[:PORT],...")
        self.parents.append((origin, servers))

    def opt_recursion_feature(self, value: str) -> None:
        """A feature of netstack-resolver for that, such as mixed-case, cookies or serve-stale; may be repeated."""
        self.recursion_features.append(value)

    def opt_sign(self, origin: str) -> None:
        """Sign the zone of this origin (DNSSEC); may be repeated."""
        self.sign.append(origin)

    def postOptions(self) -> None:
        super().postOptions()
        self.config()
        try:
            self.zones = [replace(source, reading=source.read()) for source in self.zones]
        except ZoneError as error:
            raise usage.UsageError(str(error)) from error

    def config(self) -> Config:
        """The configuration; raises UsageError."""
        try:
            limits = ServerLimits(
                self["udp-payload"],
                self["udp-buffer"],
                self["tcp-connections"],
                self["tcp-idle"],
                self["tcp-pipeline"],
                self["compiled-bytes"],
                **rate_limits(self),
            )
            policy = Policy(self["denial"], self["signature-validity"], bool(self["split-keys"]))
            listen = tuple(self.listen) or LISTEN
            config = Config(
                tuple(self.zones),
                listen,
                self["rotation"],
                limits,
                tuple(self.sign),
                policy,
                timing=Timing(self["key-safety"], self["parent-ds-ttl"]),
                parents=tuple(self.parents),
                changing=self.changes(),
                recursion_for=tuple(self.recursion_for),
                recursion_features=tuple(self.recursion_features),
                recursion_limits=ResolverLimits(
                    cache_entries=self["recursion-cache-entries"],
                    clients=self["recursion-clients"],
                    deadline=self["recursion-deadline"],
                ),
                cookies=self["cookies"],
                cookie_secrets=cookie_secrets(self),
                introduction=introduction(self),
            )
        except ValueError as error:
            raise usage.UsageError(str(error)) from error
        return config


def makeService(options: Options) -> IService:
    """For twistd."""
    config = options.config()

    def made(machine: Machine) -> IService:
        service: Any = build(config, machine)
        if isinstance(service, Follower):
            return service

        def reload() -> None:
            service.reloader.reload()
            if service.signer is not None:
                service.signer.look()

        signals: Any = Signals(machine.reactor, {SIGHUP: reload})
        signals.setServiceParent(service)
        found: IService = service
        return found

    keeps = bool(config.sign or config.changing.update or config.changing.secondary)
    served = options.served(config.listen, made, keeps)
    options.zones.clear()  # the process keeps its options, and they the zones as they were at the start
    return served
