"""From a world to services: which Config each service of a host gets, by plugin, and what it needs on the disk.

Everything a Config says about other hosts (zones, hints, networks, sites) comes from the world and its address table; a
service's options in the world file set the Config's other fields, by their names.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any

from netstack.kernel.listen import Endpoint
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import NoResolver, Resolver
from netstack.world import changing, content, mail, signing
from netstack.world.addresses import AddressTable, addresses
from netstack.world.model import Host, Service, World
from netstack.world.problems import Problem, WorldError, one_of, path
from netstack.world.reloading import WorldZone
from netstack.world.running import RunningService
from netstack.world.zones import hints, zone_texts

if TYPE_CHECKING:
    from twisted.application.service import IService

RING_DOORS = 4
"""Nodes that a node of the ring tries to join through."""
WWW = "www"
"""Directory of a host's disk; below it is one for each of its Web servers, named as the service."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """How a world composes a plugin."""

    listen: tuple[str, ...]
    """Its standard endpoints."""
    derived: "Callable[[Composer, Host, Service], dict[str, object]]"
    """The fields of its Config that follow from the world."""
    consumed: tuple[str, ...] = ()
    """Options that are the world's own business, not its Config's."""
    doors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further fields of its Config that are endpoints, with the standard ones."""
    defaults: tuple[str, ...] = ()
    """Derived fields that options override."""
    leaf: bool = False
    """It needs a certificate though it may have no tls endpoint: STARTTLS."""


class Composer:
    """Composes the hosts of one world on one substrate."""

    def __init__(self, world: World, table: AddressTable, ca: bytes = b"") -> None:
        self.world = world
        self.table = table
        self.ca = ca
        """The world's CA as PEM, for pages that offer it and zones that vouch for it."""

    @cached_property
    def zones(self) -> Mapping[str, str]:
        """Master files by zone."""
        return zone_texts(self.world, self.table, self.ca)

    @cached_property
    def hints(self) -> tuple[tuple[str, str], ...]:
        """The root's servers."""
        return hints(self.world, self.table)

    def config(self, host: Host, service: Service, listen_on: Sequence[str]) -> Any:
        """The Config of a service that listens on these addresses; raises WorldError."""
        plugin = COMPOSED[service.plugin]
        tap: Any = import_module(f"netstack.taps.{service.plugin}")
        key = path("hosts", host.name, "services", service.name)
        options = {name.replace("-", "_"): value for name, value in service.options.items() if name != "plugin"}
        derived = plugin.derived(self, host, service)
        for name in plugin.consumed:
            options.pop(name, None)
        found: list[Problem] = []
        doors = {"listen": plugin.listen, **plugin.doors}
        free = (*doors, *plugin.defaults)
        chosen = _chosen(tap.Config, {**doors, **derived}, options, key, found, free, plugin.consumed)
        for name in doors if not found else ():
            chosen[name] = _placed(chosen[name], listen_on, f"{key}.{name}", found)
        if not found:
            try:
                return tap.Config(**chosen)
            except ValueError as error:
                found.append(Problem(key, str(error)))
        raise WorldError(self.world.file or self.world.name, found)

    def services(self, host: Host, machine: Machine) -> list[RunningService]:
        """Build the services of a host on its machine; none listens yet. Raises WorldError."""
        built = []
        for service in host.services:
            config = self.config(host, service, machine.addresses)
            if service.plugin == "origin":
                content.write(
                    machine.disk,
                    f"{WWW}/{service.name}",
                    content.files(self.content_of(service), self.subject(host)),
                )
            if service.plugin == "dns":
                changing.begin(self.world, self.zones, host.name, machine.disk)
            elif service.plugin == "registrar":
                changing.begin_registrar(self.world, self.zones, host.name, machine.disk)
            tap: Any = import_module(f"netstack.taps.{service.plugin}")
            made: IService = tap.build(config, machine)
            built.append(RunningService(service.name, service.plugin, made))
        return built

    def resolver(self, host: Host, machine: Machine) -> Resolver:
        """What a host resolves names with: its site's resolver, or nothing where the site has none."""
        server = self.world.resolver_of(host.name)
        if server is None:
            return NoResolver()
        from netstack.dns.client import StubResolver

        return StubResolver(machine, [(address, machine.port(53)) for address in self.table.hosts[server]], types=("A",))

    def subject(self, host: Host) -> content.Subject:
        """What the pages of a host may write about."""
        return content.Subject(self.world, self.table, host, self.ca, self.endpoints)

    @cached_property
    def endpoints(self) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """Host -> service -> where it listens, as `udp:53`, with the ports in use."""
        return {
            name: {service.name: self._listens(service) for service in host.services}
            for name, host in self.world.hosts.items()
        }

    @cached_property
    def ring_places(self) -> Mapping[str, str]:
        """Where the node of each ring host is reached."""
        from netstack.ring.identifiers import place

        found = {}
        for host in self.world.hosts.values():
            service = host.service("ring")
            if service is not None:
                port = next((each.port for each in _standard(service)), 0) + self.table.port_offset
                found[host.name] = place(self.table.first(host.name), port)
        return found

    def _listens(self, service: Service) -> list[str]:
        return [f"{each.kind}:{each.port + self.table.port_offset}" for each in _standard(service)]

    def content_of(self, service: Service) -> str:
        """Which generated content a Web server shows."""
        return str(service.options.get("content", "plain"))

    def problems(self) -> list[Problem]:
        """What is wrong with the options of services, of all hosts at once."""
        found: list[Problem] = []
        for host in self.world.hosts.values():
            for service in host.services:
                try:
                    self.config(host, service, self.table.hosts[host.name])
                except WorldError as error:
                    found.extend(error.problems)
        return found or list(_proxies(self.world))


def _proxies(world: World) -> Iterable[Problem]:
    """Web caches of sites that programs cannot be sent to."""
    for site in world.sites.values():
        if site.proxy is not None and _proxy_port(world.hosts[site.proxy]) is None:
            wrong = f"the Web cache of {site.proxy} has no tcp endpoint, or is no forward proxy; expected one that is"
            yield Problem(path("sites", site.name, "proxy"), wrong)


def proxy_of(world: World, host: str) -> tuple[str, int] | None:
    """The Web cache that a host's programs go through: its host and its standard port."""
    name = world.proxy_of(host)
    port = None if name is None else _proxy_port(world.hosts[name])
    return None if name is None or port is None else (name, port)


def _proxy_port(host: Host) -> int | None:
    service = host.service("cache")
    if service is None or service.options.get("forward") is False:
        return None
    return next((each.port for each in _standard(service) if each.kind == "tcp"), None)


def standard_ports(world: World) -> list[int]:
    """Every port on which a service of the world listens, before any offset."""
    services = (service for host in world.hosts.values() for service in host.services)
    return sorted({each.port for service in services for each in _standard(service)})


def certified(world: World, hosts: Iterable[str] | None = None) -> list[tuple[str, tuple[str, ...]]]:
    """Hosts, of all or of those named, that need a certificate for a tls endpoint, and the names that it must carry."""
    chosen = (world.hosts[name] for name in (world.hosts if hosts is None else hosts))
    return [
        (host.name, (host.name, *host.aliases, *_node_names(world, host)))
        for host in chosen
        if any(
            COMPOSED[service.plugin].leaf or any(each.kind == "tls" for each in _standard(service))
            for service in host.services
        )
    ]


def _node_names(world: World, host: Host) -> Iterable[str]:
    """What the certificate of a ring's node has to carry beside."""
    service = host.service("ring")
    if service is not None and any(each.kind == "tls" for each in _standard(service)):
        from netstack.ring.identity import uri

        ident = service.options.get("ident")
        yield uri(str(service.options.get("network", world.name)), ident if isinstance(ident, int) else None)


def problems(world: World) -> list[Problem]:
    """The problems of a world's services' options; imports every tap that the world names."""
    return Composer(world, addresses(world, "simulated")).problems()


def _dns(composer: Composer, host: Host, service: Service) -> dict[str, object]:
    from netstack.dns.zone import ZoneText

    world = composer.world
    served = [zone for zone in world.served_by(host.name) if not changing.copied(world, zone, host.name)]
    derived: dict[str, object] = {"zones": tuple(ZoneText(zone.name, composer.zones[zone.name]) for zone in served)}
    if world.file:
        derived["sources"] = {zone.name: WorldZone(world, composer.table, zone.name, composer.ca) for zone in served}
    if changing.changes(world, host.name):
        derived["changing"] = changing.config(world, composer.table, host.name)
    names = tuple(zone.name for zone in served if signing.signed(world, zone.name))
    if names:
        from netstack.taps.dns import KeyText

        derived |= {"sign": names, "keys": tuple(KeyText(*signing.key_texts(world, name)) for name in names)}
        derived["parents"] = signing.parents(world, composer.table, names)
    if service.options.get("recursion") is True:
        derived["recursion_for"] = composer.table.client_networks
    return derived


def _resolver(composer: Composer, host: Host, service: Service) -> dict[str, object]:
    return {
        "hints": composer.hints,
        "allow": composer.table.client_networks,
        "profile": composer.world.profile.name,
        "forward": _forward(composer, service),
        "https": _https(host, service),
        "anchors": signing.anchors(composer.world) if composer.world.profile.validation else (),
    }


def _https(host: Host, service: Service) -> tuple[str, ...]:
    """The option `https`; by itself a resolver that has its host alone serves DNS over HTTPS."""
    given = service.options.get("https", ["tls:443"] if len(host.services) == 1 else [])
    return tuple(map(str, given)) if isinstance(given, list) else (str(given),)


def _forward(composer: Composer, service: Service) -> tuple[str, ...]:
    """The option `forward`, where a host's name may stand for its address: `HOST`, `tls://HOST`, `https://HOST`, with
    `ZONE=` before it."""
    given = service.options.get("forward", [])
    texts = given if isinstance(given, list) else [given]
    found = []
    for text in map(str, texts):
        zone, equals, server = text.rpartition("=")
        scheme, separator, name = server.rpartition("://")
        known = composer.table.hosts.get(name)
        if known is not None:
            address = f"[{known[0]}]" if ":" in known[0] else known[0]
            secure = {"tls": f"tls://{address}#{name}", "https": f"https://{name}/dns-query@{address}"}
            server = secure.get(scheme, server) if separator else known[0]
        found.append(f"{zone}{equals}{server}")
    return tuple(found)


def _origin(composer: Composer, host: Host, service: Service) -> dict[str, object]:
    from netstack.taps.origin import Site

    wanted = service.options.get("content", "plain")
    own = content.directory(wanted, composer.world) if isinstance(wanted, str) and "/" in wanted else None
    if own is not None and not own.is_dir():
        wrong = f"there is no directory {own}"
    elif own is None and (not isinstance(wanted, str) or wanted not in content.CONTENTS):
        wrong = f"unknown content {wanted!r}; expected {one_of(content.CONTENTS)}, or a directory such as ./pages"
    else:
        return {
            "sites": (Site((host.name, *host.aliases), f"{WWW}/{service.name}"),),
            "cleartext": composer.world.profile.cleartext_logins,
        }
    key = path("hosts", host.name, "services", service.name, "content")
    raise WorldError(composer.world.file or composer.world.name, [Problem(key, wrong)])


def _cache(composer: Composer, host: Host, service: Service) -> dict[str, object]:
    return {"allow": composer.table.client_networks, "reach": (composer.table.network,)}


def _registrar(composer: Composer, host: Host, service: Service) -> dict[str, object]:
    world, table = composer.world, composer.table
    zones = [zone for zone in world.zones.values() if host.name in zone.updates and changing.updated(world, zone)]
    return {
        "registries": tuple((zone.name, f"{table.first(zone.servers[0])}%{host.name}") for zone in zones),
        "keys": (changing.key(world, host.name),),
        "names": (host.name, *host.aliases),
        "plain": world.profile.cleartext_logins,
    }


def _smtp(composer: Composer, host: Host, service: Service) -> dict[str, object]:
    world = composer.world
    key = path("hosts", host.name, "services", service.name, "users")
    try:
        accounts = mail.accounts(world, host, service)
    except ValueError as error:
        raise WorldError(world.file or world.name, [Problem(key, str(error))]) from None
    strict = world.profile.mail_authentication
    return {
        "domains": mail.domains(world, host, service),
        "accounts": accounts,
        "dkim": mail.dkim(world, host, service),
        "cleartext": world.profile.cleartext_logins,
        "authentication": strict,
        "dane": strict,
        "mta_sts": strict,
    }


def _ring(composer: Composer, host: Host, service: Service) -> dict[str, object]:
    """All ring hosts of a world are one circle; the first of them begins it, where no other one has begun one. Nodes whose
    identifiers are given are the chapter's: 4 bits, two successors, little to do while nothing changes."""
    from netstack.taps.ring import Config

    places, own = composer.ring_places, composer.ring_places[host.name]
    doors = [place for place in islice(places.values(), RING_DOORS + 1) if place != own][:RING_DOORS]
    chapter = {"identity": "given", "bits": 4, "ring": replace(Config().ring, successors=2, calm=30.0)}
    return {
        "network": composer.world.name,
        "contact": own,
        "join": tuple(doors),
        "begin": len(doors) > 0 and own == next(iter(places.values())),
        "leave": 4.0,  # a world goes down at once: nobody is left to take anything over
        **(chapter if "ident" in service.options else {}),
    }


def _upper(composer: Composer, host: Host, service: Service) -> dict[str, object]:
    return {}


COMPOSED: Mapping[str, Plugin] = {
    "dns": Plugin(("udp:53", "tcp:53", "tls:853"), _dns, consumed=("recursion",)),
    "resolver": Plugin(("udp:53", "tcp:53", "tls:853"), _resolver, consumed=("forward", "https")),
    "origin": Plugin(("tcp:80", "tls:443"), _origin, consumed=("content",)),
    "cache": Plugin(("tcp:3128",), _cache),
    "registrar": Plugin(("tcp:80", "tls:443"), _registrar),
    "smtp": Plugin(
        ("tcp:25",),
        _smtp,
        consumed=("domains", "users"),
        doors={"submission": ("tcp:587", "tls:465")},
        defaults=("cleartext", "authentication", "dane", "mta_sts"),
        leaf=True,
    ),
    "ring": Plugin(("tcp:4160",), _ring, defaults=("network", "identity", "bits", "ring", "join", "begin", "leave")),
    "upper": Plugin(("udp:12000", "tcp:12000"), _upper),
}
"""Every plugin that a world file can name (`model.PLUGINS`)."""


def _standard(service: Service) -> list[Endpoint]:
    """Where a service listens, with standard ports; what is wrong with it is told elsewhere."""
    plugin = COMPOSED[service.plugin]
    found: list[Endpoint] = []
    for name, standard in {"listen": plugin.listen, **plugin.doors}.items():
        listen = service.options.get(name)
        placed = _placed(listen if isinstance(listen, list) else standard, [""], "", [])
        found += [Endpoint.parse(text) for text in placed]
    return found


def _placed(listen: Sequence[object], listen_on: Sequence[str], key: str, found: list[Problem]) -> tuple[str, ...]:
    """Endpoints without an interface, on each of the host's addresses."""
    placed = []
    for text in listen:
        try:
            endpoint = Endpoint.parse(str(text))
        except ValueError as error:
            found.append(Problem(key, str(error)))
            continue
        for address in (endpoint.interface,) if endpoint.interface else listen_on:
            placed.append(str(replace(endpoint, interface=address)))
    return tuple(placed)


def _chosen(
    kind: Any,
    derived: Mapping[str, object],
    options: Mapping[str, object],
    key: str,
    found: list[Problem],
    overridden: tuple[str, ...] = (),
    consumed: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The fields for a Config: what the world says, overridden by options where those are of the default's type.

    `overridden`: derived fields that options may set. `consumed`: options of the service that are not the Config's; they
    are named where another is not known.
    """
    chosen: dict[str, Any] = dict(derived)
    known = {field.name: field for field in fields(kind)}
    free = [name for name in known if name in overridden or name not in derived]
    for name, value in options.items():
        if name not in free:
            found.append(Problem(f"{key}.{name}", f"unknown option; expected {one_of([*consumed, *free])}"))
            continue
        field = known[name]
        default: Any = derived.get(name, field.default)
        if callable(field.default_factory):
            default = field.default_factory()
        if is_dataclass(default) and not isinstance(default, type):
            if not isinstance(value, Mapping):
                found.append(Problem(f"{key}.{name}", f"{value!r} is not a table"))
                continue
            below = {entry: getattr(default, entry.name) for entry in fields(default)}
            limits = {entry.name: value_below for entry, value_below in below.items()}
            bounds = _bounds(limits, value, f"{key}.{name}", found)
            try:
                chosen[name] = replace(default, **bounds)
            except ValueError as wrong:  # of the right type, and out of range
                found.append(Problem(f"{key}.{name}", str(wrong)))
            continue
        fitted = _fitted(value, default)
        if fitted is None:
            found.append(Problem(f"{key}.{name}", f"{value!r} is not {_NOUNS.get(type(default), 'of the right type')}"))
        else:
            chosen[name] = fitted
    return chosen


def _bounds(limits: Mapping[str, object], options: Mapping[str, object], key: str, found: list[Problem]) -> dict[str, Any]:
    """The entries of a table of limits."""
    chosen: dict[str, Any] = {}
    for name, value in options.items():
        field = name.replace("-", "_")
        if field not in limits:
            found.append(Problem(f"{key}.{name}", f"unknown option; expected {one_of(limits)}"))
            continue
        fitted = _fitted(value, limits[field])
        if fitted is None:
            found.append(Problem(f"{key}.{name}", f"{value!r} is not {_NOUNS.get(type(limits[field]), 'a bound')}"))
        else:
            chosen[field] = fitted
    return chosen


_NOUNS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list of texts",
}


def _fitted(value: object, default: object) -> Any:
    """The value as the default's type, or None."""
    if isinstance(value, list):
        texts = isinstance(default, tuple) and all(isinstance(item, str) for item in default)
        return tuple(value) if texts and all(isinstance(item, str) for item in value) else None
    if isinstance(default, bool) or isinstance(value, bool):
        return value if type(value) is type(default) else None
    if isinstance(default, float) and isinstance(value, int):
        return float(value)
    return value if type(value) is type(default) else None
