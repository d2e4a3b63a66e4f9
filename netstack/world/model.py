"""What a world is made of: frozen values, read from a world file by `loader` or made by a program such as `generated`.

Names are text without a final dot, lower case; the root zone is ".". A world is complete when `completed` has added what
follows from the rest: name servers and resolvers that no table declares, and the services that they run.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from netstack.kernel.links import LinkSettings

FREE = LinkSettings()
"""No delay, no loss, any rate."""
TTL = 172_800
"""Two days, as the chapter's records live."""
NEGATIVE_TTL = 900

PLUGINS: Mapping[str, str] = MappingProxyType(
    {
        "dns": "authoritative DNS server of the zones that name the host",
        "resolver": "local (recursive, caching) DNS server of a site",
        "origin": "Web server",
        "cache": "Web cache: forward or reverse proxy",
        "smtp": "mail host: takes mail for its domains, keeps it, and sends its users' mail",
        "registrar": "registrar: its form and API insert domains into the zones that name the host in `updates`",
        "ring": "a node of a distributed hash table: the ring hosts of a world are one circle",
        "upper": "UDP and TCP sentence-to-uppercase servers",
    }
)
"""The plugins that a host's service can name, without their prefix `netstack-`."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How strict the services of a world are: the chapter's behaviour, or each service's own default."""

    name: str
    cleartext_logins: bool
    validation: bool
    """DNSSEC validation by the resolvers."""
    priming: bool
    """Whether resolvers ask the root for its own servers first (RFC 8109)."""
    mail_authentication: bool
    """Whether mail is signed and checked (SPF, DKIM, DMARC), and its servers have to prove themselves (DANE, MTA-STS)."""
    ring_tls: bool
    """Whether nodes of the ring talk under TLS, each with a certificate that has its identifier."""


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "textbook": Profile(
            "textbook", cleartext_logins=True, validation=False, priming=False, mail_authentication=False, ring_tls=False
        ),
        "hardened": Profile(
            "hardened", cleartext_logins=False, validation=True, priming=True, mail_authentication=True, ring_tls=True
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Site:
    """An access network: its hosts share a link to the core, and a local resolver."""

    name: str
    up: LinkSettings = FREE
    """From the site to the core."""
    down: LinkSettings = FREE
    lan: LinkSettings = FREE
    """Between two hosts of the site."""
    resolver: str | None = None
    """The host that runs the site's resolver; None: its hosts resolve no names."""
    proxy: str | None = None
    """The host that runs the site's Web cache, for the programs of its hosts; None: they ask origin servers themselves."""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A plugin that runs on a host, with the options that its tap's Config takes."""

    name: str
    plugin: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Host:
    """A machine. Its A records, in the zone that its name falls into, come from its addresses."""

    name: str
    site: str
    addresses: int = 1
    services: tuple[Service, ...] = ()
    aliases: tuple[str, ...] = ()
    """Other names: CNAMEs, or A records where the alias is a zone's own name (RFC 1034 §3.6.2 forbids a CNAME there)."""
    ttl: int | None = None
    """Of the host's A records and aliases; None: the zone's."""
    derived: bool = False
    """Added by `completed`, not declared."""
    about: str = ""

    def service(self, plugin: str) -> Service | None:
        """The first service of a plugin."""
        return next((service for service in self.services if service.plugin == plugin), None)


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone of the DNS. SOA, NS, glue and the hosts' A records are derived; `records` holds the rest."""

    name: str
    servers: tuple[str, ...]
    """Hosts that serve it, the primary first."""
    records: str = ""
    """Master file text (RFC 1035 §5), relative to the zone."""
    ttl: int = TTL
    negative_ttl: int = NEGATIVE_TTL
    site: str | None = None
    """Where servers that are not declared stand, and hosts of the zone that name no site."""
    signed: bool | None = None
    """Whether its servers sign it (DNSSEC); None: as the profile has it."""
    updates: tuple[str, ...] = ()
    """Hosts that may change its delegations by dynamic update, each under a key of its own (registrars)."""
    reverse: bool = False
    """Whether it has the PTR records of all hosts' addresses that lie below it (`in-addr.arpa`)."""
    delegated: bool = True
    """Whether its parent refers to it from the start; if not, nobody finds it until a registrar has it inserted."""


@dataclass(frozen=True, slots=True)
class World:
    """A whole Internet. Mappings keep the file's order, from which addresses follow."""

    name: str
    sites: Mapping[str, Site]
    hosts: Mapping[str, Host]
    zones: Mapping[str, Zone]
    profile: Profile = PROFILES["textbook"]
    seed: int = 1
    title: str = ""
    file: str = ""
    """Where it was read from; empty for a generated one."""

    def zone_of(self, name: str) -> Zone | None:
        """The zone that a name falls into: the one with the longest name."""
        return next((self.zones[zone] for zone in enclosing(name) if zone in self.zones), None)

    def served_by(self, host: str) -> list[Zone]:
        """The zones for which a host is authoritative."""
        return [zone for zone in self.zones.values() if host in zone.servers]

    def roots(self) -> tuple[str, ...]:
        """The root name servers."""
        return self.zones["."].servers

    def resolver_of(self, host: str) -> str | None:
        """The host that runs the local resolver of a host's site."""
        return self.sites[self.hosts[host].site].resolver

    def proxy_of(self, host: str) -> str | None:
        """The host that runs the Web cache of a host's site; the cache itself has none."""
        proxy = self.sites[self.hosts[host].site].proxy
        return None if proxy == host else proxy


def enclosing(name: str) -> Iterator[str]:
    """A name, the name without its first label, ..., "."."""
    while name and name != ".":
        yield name
        name = name.partition(".")[2]
    yield "."


def completed(world: World) -> World:
    """The world with the hosts and services that follow from zones (`dns`), sites (`resolver`, `cache`) and mail (`origin`).

    A name server, resolver or Web cache that no table declares stands at the site of the zone, or at the one that it is for.
    Zones that name servers without a site are left for `validate.problems`.
    """
    hosts = dict(world.hosts)
    for zone in world.zones.values():
        for server in zone.servers:
            if server in hosts:
                hosts[server] = _with_service(hosts[server], "dns")
            elif zone.site is not None:
                hosts[server] = _with_service(Host(server, zone.site, derived=True), "dns")
    for site in world.sites.values():
        for name, plugin in ((site.resolver, "resolver"), (site.proxy, "cache")):
            if name is not None:
                host = hosts.get(name) or Host(name, site.name, derived=True)
                hosts[name] = _with_service(host, plugin)
    if world.profile.ring_tls:
        hosts.update((name, _with_ring_tls(host)) for name, host in hosts.items() if host.service("ring") is not None)
    made = replace(world, hosts=MappingProxyType(hosts))
    if world.profile.mail_authentication:
        from netstack.world import mail

        for host in list(mail.policy_hosts(made)):
            hosts.setdefault(host.name, host)
    return made


def without(world: World, plugin: str) -> World:
    """The world with the same hosts, none of which runs a plugin."""
    hosts = {
        name: replace(host, services=tuple(each for each in host.services if each.plugin != plugin))
        for name, host in world.hosts.items()
    }
    return replace(world, hosts=MappingProxyType(hosts))


def _with_service(host: Host, plugin: str) -> Host:
    if host.service(plugin) is not None:
        return host
    return replace(host, services=(*host.services, Service(plugin, plugin)))


def _with_ring_tls(host: Host) -> Host:
    """Where its node listens, unless the world says that itself."""
    services = (
        replace(each, options={"listen": ["tls:4160"], **each.options}) if each.plugin == "ring" else each
        for each in host.services
    )
    return replace(host, services=tuple(services))


def world_of(
    name: str,
    sites: Iterable[Site],
    hosts: Iterable[Host],
    zones: Iterable[Zone],
    profile: Profile = PROFILES["textbook"],
    seed: int = 1,
    title: str = "",
    file: str = "",
) -> World:
    """A complete world from its parts; of two with the same name the later one counts."""
    return completed(
        World(
            name,
            MappingProxyType({site.name: site for site in sites}),
            MappingProxyType({host.name: host for host in hosts}),
            MappingProxyType({zone.name: zone for zone in zones}),
            profile,
            seed,
            title,
            file,
        )
    )
