"""Master files (RFC 1035 §5) of a world's zones: SOA, NS, delegations with glue, the hosts' addresses, extra records."""

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import ip_address

from netstack.world import mail
from netstack.world.addresses import AddressTable, addresses
from netstack.world.model import Host, World, Zone, enclosing
from netstack.world.problems import Problem, path
from netstack.world.signing import ds_lines

SERIAL = 1
REFRESH = 86_400
RETRY = 7200
EXPIRE = 3_600_000
"""Timers of secondaries as RIPE-203 recommends them: NOTIFY tells of changes, the timers are for what it misses."""


def zone_texts(world: World, table: AddressTable, ca: bytes = b"") -> dict[str, str]:
    """The master file of every zone, by name; the same world, table and CA (PEM) give the same text."""
    hosts: dict[str, list[str]] = defaultdict(list)
    for host in world.hosts.values():
        for home, line in _host_records(world, table, host):
            hosts[home].append(line)
    for home, line in mail.records(world, ca):
        hosts[home].append(line)
    children: dict[str, list[Zone]] = defaultdict(list)
    for zone in world.zones.values():
        above = parent(world, zone.name)
        if above is not None and zone.delegated:
            children[above.name].append(zone)
    return {
        zone.name: "\n".join(
            (
                *_apex(zone),
                *hosts[zone.name],
                *_delegations(world, table, zone, children[zone.name]),
                *_pointers(world, table, zone),
                zone.records.strip(),
                "",
            )
        )
        for zone in world.zones.values()
    }


def hints(world: World, table: AddressTable) -> tuple[tuple[str, str], ...]:
    """The root's servers for a resolver to begin with: (name, address)."""
    return tuple((name, address) for name in world.roots() for address in table.hosts[name])


def parent(world: World, zone: str) -> Zone | None:
    """The zone that delegates a zone; None for the root."""
    return next((world.zones[name] for name in enclosing(zone) if name != zone and name in world.zones), None)


def problems(world: World) -> list[Problem]:
    """What is wrong with the records that zones bring along; costs the parsing of every zone."""
    from netstack.dns.access import name_of
    from netstack.dns.master import read_master
    from netstack.dns.zone import Zone as ServedZone
    from netstack.dns.zone import ZoneError

    found = []
    for name, text in zone_texts(world, addresses(world, "simulated")).items():
        try:
            ServedZone.from_text(name, text)
        except ZoneError as error:
            before = len(text.splitlines()) - len(world.zones[name].records.strip().splitlines())
            wrong = [each for each in read_master(name_of(name), text).errors if each.line > before]
            told = [f"line {each.line - before}: {each.text}" for each in wrong] or [str(error)]
            found += [Problem(path("zones", name, "records"), each) for each in told]
    return found


def absolute(name: str) -> str:
    """A name as master files write it in full."""
    return "." if name == "." else name + "."


def _apex(zone: Zone) -> Iterator[str]:
    yield f"$ORIGIN {absolute(zone.name)}"
    yield f"$TTL {zone.ttl}"
    mailbox = "hostmaster" + ("." if zone.name == "." else f".{zone.name}.")
    yield (f"@ IN SOA {absolute(zone.servers[0])} {mailbox} {SERIAL} {REFRESH} {RETRY} {EXPIRE} {zone.negative_ttl}")
    for server in zone.servers:
        yield f"@ IN NS {absolute(server)}"


def _host_records(world: World, table: AddressTable, host: Host) -> Iterator[tuple[str, str]]:
    """(zone, line) for a host's addresses and aliases."""
    ttl = "" if host.ttl is None else f"{host.ttl} "
    zone = world.zone_of(host.name)
    if zone is not None:
        for address in table.hosts[host.name]:
            yield zone.name, f"{absolute(host.name)} {ttl}IN A {address}"
    for alias in host.aliases:
        home = world.zone_of(alias)
        if home is None:
            continue
        if alias == home.name:
            for address in table.hosts[host.name]:
                yield home.name, f"{absolute(alias)} {ttl}IN A {address}"
        else:
            yield home.name, f"{absolute(alias)} {ttl}IN CNAME {absolute(host.name)}"


def _pointers(world: World, table: AddressTable, zone: Zone) -> Iterator[str]:
    """PTR records (RFC 1035 §3.5): from the hosts' addresses to their names."""
    if not zone.reverse:
        return
    for host in world.hosts.values():
        for address in table.hosts[host.name]:
            name = ip_address(address).reverse_pointer
            if zone.name in enclosing(name):
                yield f"{absolute(name)} IN PTR {absolute(host.name)}"


def _delegations(world: World, table: AddressTable, zone: Zone, children: list[Zone]) -> Iterator[str]:
    """NS records of the zones below, and the addresses of their servers that this zone alone can give (RFC 9471)."""
    glue: dict[str, None] = {}
    for child in children:
        for server in child.servers:
            yield f"{absolute(child.name)} IN NS {absolute(server)}"
            if zone.name in enclosing(server) and world.zone_of(server) != zone:
                glue[server] = None
        yield from ds_lines(world, child.name)
    for server in glue:
        for address in table.hosts[server]:
            yield f"{absolute(server)} IN A {address}"
