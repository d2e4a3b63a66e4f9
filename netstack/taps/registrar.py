"""netstack-registrar: domains are registered by Web form and JSON API, inserted by signed update, looked up by RDAP."""

from dataclasses import dataclass, field, fields
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from netstack.dns.access import name_of
from netstack.dns.tsig import Key, keyring
from netstack.http.access import AccessLog
from netstack.http.application import ApplicationLimits, ApplicationServer
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import requests
from netstack.http.service import HTTPService
from netstack.http.values import authority
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.registrar.limits import RegistrarLimits
from netstack.registrar.metrics import counts
from netstack.registrar.pages import Pages
from netstack.registrar.policy import RESERVED, Invalid, Policy, host_name
from netstack.registrar.registrar import Registrar
from netstack.registrar.registry import TTL, Registry, RegistryClient
from netstack.registrar.server import RegistrarServer
from netstack.registrar.service import RegistrarService
from netstack.registrar.store import Store
from netstack.sansio.bounds import bounds_of
from netstack.taps.changing import Peer, keys_of
from netstack.taps.standalone import MachineOptions, built, endpoints, placed

_POLICY = Policy(())
_HTTP_OPTIONS = {
    "max-body": "body", "head-seconds": "head_seconds", "body-seconds": "body_seconds", "idle-seconds": "idle_seconds",
}  # fmt: skip
_LIMITS, _HTTP, _APPLICATION = RegistrarLimits(), HTTPLimits(body=64 * 1024), ApplicationLimits()


@dataclass(frozen=True, slots=True)
class Config:
    """What a registrar registers, and where. Raises ValueError that names the field and what was expected."""

    registries: tuple[tuple[str, str], ...]
    """(zone, ADDRESS[:PORT]%KEY): whose server takes the updates of a zone, and under which key."""
    keys: tuple[Key, ...] = field(default=(), repr=False)
    listen: tuple[str, ...] = ("tcp:80",)
    """Endpoints, `tcp` or `tls`, with standard ports: `build` puts `machine.port()` over them."""
    names: tuple[str, ...] = ()
    """The hosts' names that it answers to; any if empty."""
    plain: bool = False
    """Changes are taken without TLS, too: secrets cross the network in the clear."""
    ttl: int = TTL
    """Of delegations and glue, seconds."""
    reserved: tuple[str, ...] = RESERVED
    """Labels that nobody gets."""
    least_servers: int = _POLICY.least_servers
    policy: Policy = field(default=_POLICY)
    """All other rules; its registries are those above."""
    limits: RegistrarLimits = field(default_factory=RegistrarLimits)
    http: HTTPLimits = field(default=_HTTP)
    application: ApplicationLimits = field(default_factory=ApplicationLimits)
    connections: StreamLimits = field(default_factory=StreamLimits)
    access_log: bool = True

    def __post_init__(self) -> None:
        known = keyring(self.keys)
        if not self.registries:
            raise ValueError("registries: expected at least one zone with its server, such as com=192.0.2.1%KEY")
        zones = [zone for zone, _ in self.registries]
        for zone, text in self.registries:
            try:
                plain = host_name("registries", zone)
                peer = Peer.parse(text)
            except (Invalid, ValueError) as error:
                raise ValueError(f"registries: {zone}: {error}") from None
            if peer.name is not None:
                raise ValueError(f"registries: {zone}: expected no tls:// server, updates are signed and go in the clear")
            if plain != zone or zones.count(zone) > 1:
                raise ValueError(f"registries: {zone}: expected a zone once, in lower case without a final dot")
            if peer.key is None or peer.key not in known:
                raise ValueError(f"registries: {zone}: expected one of the keys that are given after %, got {text!r}")
        for name in self.names:
            if authority(name) != (name, None):
                raise ValueError(f"names: {name!r} is not a host's name in lower case without a port")
        for endpoint in endpoints("listen", self.listen):
            if endpoint.kind == "udp":
                raise ValueError(f"listen: {endpoint} is a datagram endpoint; expected tcp or tls")
        if not 0 <= self.ttl < 2**31:
            raise ValueError(f"ttl: expected 0 to {2**31 - 1} seconds, got {self.ttl}")
        if not 1 <= self.least_servers <= self.policy.most_servers:
            raise ValueError(f"least_servers: expected 1 to {self.policy.most_servers}, got {self.least_servers}")
        for bound in fields(self.http):
            if not getattr(self.http, bound.name) >= 0:
                raise ValueError(f"{bound.name}: expected a number not below 0")


def build(config: Config, machine: Machine) -> IService:
    """The service, a RegistrarService; raises StoreError for a journal on the disk that cannot be used."""
    keys = keyring(config.keys)
    clients = {}
    for zone, text in config.registries:
        peer = Peer.parse(text)
        key = keys[peer.key or name_of(".")]
        registry = Registry(zone, peer.place(machine), key, config.ttl)
        clients[zone] = RegistryClient(machine, registry, config.limits.patience)
    rules = {each.name: getattr(config.policy, each.name) for each in fields(Policy)}
    rules |= {"registries": tuple(clients), "reserved": config.reserved, "least_servers": config.least_servers}
    policy = Policy(**rules)
    registrar = Registrar(machine, Store(machine), clients, policy, config.limits, counts(machine.registry))
    names = config.names or (machine.name,)
    server = RegistrarServer(machine, registrar, Pages(names[0], policy), config.names, config.plain)
    log = AccessLog(machine, "combined") if config.access_log else None
    application = ApplicationServer(server, names, config.application, requests(machine.registry), log)
    where = placed(machine, endpoints("listen", config.listen))
    web = HTTPService(machine, where, application, config.http, config.connections, "netstack")
    service: Any = RegistrarService(registrar, web)
    built: IService = service
    return built


class Options(MachineOptions):
    """Command line of `twistd netstack-registrar`."""

    synopsis = "--tsig FILE... --registry ZONE=ADDRESS%KEY... [--listen ENDPOINT]... [options]"
    longdesc = (
        "Registers domains below the zones of --registry. Without --listen: tcp:80, where --plain is needed for changes."
    )
    optFlags = [
        ["plain", None, "Take changes without TLS, too: secrets cross the network in the clear."],
        ["no-access-log", None, "Do not log requests."],
    ]
    optParameters = [
        ["ttl", None, TTL, "TTL of delegations and glue, seconds.", int],
        ["reserved", None, ",".join(RESERVED), "Labels that nobody gets, with commas between."],
        ["least-servers", None, _POLICY.least_servers, "Name servers that a domain needs.", int],
        ["most-servers", None, _POLICY.most_servers, "Name servers that a domain may have.", int],
        ["most-addresses", None, _POLICY.most_addresses, "Addresses of one name server.", int],
        ["most-ds", None, _POLICY.most_ds, "DS records of a domain.", int],
        ["least-secret", None, _POLICY.least_secret, "Characters of a secret that a registrant chooses.", int],
        ["most-years", None, _POLICY.most_years, "Years that a domain is kept for.", int],
        ["domains", None, _LIMITS.domains, "Domains registered at once.", int],
        ["changes", None, _LIMITS.changes, "Changes under way at once.", int],
        ["client-changes", None, _LIMITS.client_changes, "Changes of one client's address in a second.", float],
        ["wrong-secrets", None, _LIMITS.wrong_secrets, "Wrong secrets for a domain before it takes none for a while.", int],
        ["wrong-seconds", None, _LIMITS.wrong_seconds, "Seconds of that while.", float],
        ["patience", None, _LIMITS.patience, "Seconds for the registry's answer; then 202.", float],
        ["first-retry", None, _LIMITS.first_retry, "Seconds before it is asked again; doubled each time.", float],
        ["most-retry", None, _LIMITS.most_retry, "Longest such time.", float],
        ["max-body", None, _HTTP.body, "Octets of a request's body (413).", int],
        ["head-seconds", None, _HTTP.head_seconds, "Seconds for a request's head (408).", float],
        ["body-seconds", None, _HTTP.body_seconds, "Seconds for a request's body (408).", float],
        ["idle-seconds", None, _HTTP.idle_seconds, "Seconds between requests of a connection.", float],
        ["bodies", None, _APPLICATION.bodies, "Octets of all bodies on their way (503).", int],
        ["answers", None, _APPLICATION.answers, "Requests being worked on (503).", int],
        ["max-connections", None, StreamLimits().connections, "Connections open at once.", int],
    ]

    def __init__(self) -> None:
        self.registries: list[tuple[str, str]] = []
        self.tsig: list[Key] = []
        self.names: list[str] = []
        super().__init__()

    def opt_registry(self, value: str) -> None:
        """A zone in which domains are registered, and who takes its updates: ZONE=ADDRESS[:PORT]%KEY; may be repeated."""
        zone, _, peer = value.partition("=")
        self.registries.append((zone, peer))

    def opt_tsig(self, path: str) -> None:
        """A file of keys as tsig-keygen writes it (RFC 8945); may be repeated."""
        self.tsig += keys_of(path)

    def opt_answer_to(self, name: str) -> None:
        """A host's name that it answers to; others are 421. May be repeated [default: any]."""
        self.names.append(name)

    def postOptions(self) -> None:
        super().postOptions()
        self.config()

    def config(self) -> Config:
        """The configuration; raises UsageError."""
        try:
            policy = Policy(
                (),
                least_servers=1,
                most_servers=self["most-servers"],
                most_addresses=self["most-addresses"],
                most_ds=self["most-ds"],
                least_secret=self["least-secret"],
                most_years=self["most-years"],
            )
            return Config(
                tuple(self.registries),
                tuple(self.tsig),
                tuple(self.listen) or ("tcp:80",),
                tuple(self.names),
                bool(self["plain"]),
                self["ttl"],
                tuple(label for label in self["reserved"].split(",") if label),
                self["least-servers"],
                policy,
                RegistrarLimits(
                    self["domains"],
                    self["changes"],
                    self["client-changes"],
                    self["wrong-secrets"],
                    self["wrong-seconds"],
                    self["patience"],
                    self["first-retry"],
                    self["most-retry"],
                ),
                bounds_of(HTTPLimits, self, _HTTP_OPTIONS),
                ApplicationLimits(self["bodies"], self["answers"]),
                bounds_of(StreamLimits, self, {"max-connections": "connections"}),
                not self["no-access-log"],
            )
        except ValueError as error:
            raise usage.UsageError(str(error)) from None


def makeService(options: Options) -> IService:
    """For twistd."""
    machine = options.machine()
    options.hold_state(machine)
    return options.with_health(built(lambda: build(options.config(), machine)), machine)
