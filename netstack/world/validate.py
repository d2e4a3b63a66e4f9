"""The rules that a complete world keeps; each check yields the problems that it finds."""

import re
from collections.abc import Callable, Iterator

from netstack.world import mail
from netstack.world.model import PLUGINS, World, enclosing
from netstack.world.problems import Problem, one_of, path

MOST_ADDRESSES = 16
LONGEST_TTL = 2**31 - 1
"""RFC 2181 §8."""
NOT_A_NAME = "not a host's name; expected labels of a-z, 0-9 and - joined by dots, no dot at the end"
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_SITE = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def problems(world: World) -> list[Problem]:
    """Everything that is wrong with a world; empty when it can be brought up."""
    return [problem for check in CHECKS for problem in check(world)]


def is_name(name: str) -> bool:
    """Whether text is a host's or zone's name as world files write it: lower case, no final dot (RFC 1123 §2.1)."""
    return len(name) <= 253 and all(_LABEL.fullmatch(label) for label in name.split("."))


def _sites(world: World) -> Iterator[Problem]:
    if not world.sites:
        yield Problem("sites", "missing; expected at least one site, such as [sites.core]")
    for site in world.sites.values():
        if not _SITE.fullmatch(site.name):
            yield Problem(path("sites", site.name), "not a site's name; expected at most 32 of a-z, 0-9 and -")
        if site.resolver is not None and not is_name(site.resolver):
            yield Problem(path("sites", site.name, "resolver"), f"{site.resolver!r} is not a host's name")
        if site.proxy is not None and not is_name(site.proxy):
            yield Problem(path("sites", site.name, "proxy"), f"{site.proxy!r} is not a host's name")


def _hosts(world: World) -> Iterator[Problem]:
    for host in world.hosts.values():
        key = path("hosts", host.name)
        if not is_name(host.name):
            yield Problem(key, NOT_A_NAME)
            continue
        if host.site not in world.sites:
            yield Problem(f"{key}.site", f"unknown site {host.site!r}; expected {one_of(world.sites)}")
        if not 1 <= host.addresses <= MOST_ADDRESSES:
            yield Problem(f"{key}.addresses", f"{host.addresses} is out of range; expected 1 to {MOST_ADDRESSES}")
        if host.ttl is not None and not 0 <= host.ttl <= LONGEST_TTL:
            yield Problem(f"{key}.ttl", f"{host.ttl} is out of range; expected 0 to {LONGEST_TTL} seconds")
        zone = world.zone_of(host.name)
        serves = host.service("dns") is not None
        if zone is None or (zone.name == "." and not serves and not host.derived):
            wanted = one_of(path("zones", name) for name in list(enclosing(host.name))[:-1])
            yield Problem(key, f"its name falls into no zone; expected a table {wanted}")


def _aliases(world: World) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for host in world.hosts.values():
        key = path("hosts", host.name, "aliases")
        for alias in host.aliases:
            if not is_name(alias):
                yield Problem(key, f"{alias!r} is not a host's name")
            elif alias in world.hosts:
                yield Problem(key, f"{alias} is a host of its own; expected a name that nothing else has")
            elif alias in seen:
                yield Problem(key, f"{alias} is an alias of {seen[alias]} already")
            elif world.zone_of(alias) is None:
                yield Problem(key, f"{alias} falls into no zone")
            seen[alias] = host.name


def _services(world: World) -> Iterator[Problem]:
    for host in world.hosts.values():
        for service in host.services:
            if service.plugin not in PLUGINS:
                key = path("hosts", host.name, "services", service.name)
                yield Problem(key, f"unknown plugin {service.plugin!r}; expected {one_of(PLUGINS)}")


def _zones(world: World) -> Iterator[Problem]:
    if "." not in world.zones:
        yield Problem('zones."."', "missing; expected the root zone with its servers")
    for zone in world.zones.values():
        key = path("zones", zone.name)
        if zone.name != "." and not is_name(zone.name):
            yield Problem(key, 'not a zone\'s name; expected labels of a-z, 0-9 and -, no dot at the end, or "."')
        if not zone.servers:
            yield Problem(f"{key}.servers", "no server; expected at least one host's name")
        for server in zone.servers:
            if not is_name(server):
                yield Problem(f"{key}.servers", f"{server!r} is not a host's name")
            elif server not in world.hosts:
                yield Problem(
                    f"{key}.servers", f'{server} is not a host; expected [hosts."{server}"] or a site for it in {key}.site'
                )
        for host in zone.updates:
            if host not in world.hosts:
                yield Problem(f"{key}.updates", f"{host!r} is not a host; expected the name of a table of [hosts]")
        if zone.site is not None and zone.site not in world.sites:
            yield Problem(f"{key}.site", f"unknown site {zone.site!r}; expected {one_of(world.sites)}")
        for name, ttl in (("ttl", zone.ttl), ("negative_ttl", zone.negative_ttl)):
            if not 0 <= ttl <= LONGEST_TTL:
                yield Problem(f"{key}.{name}", f"{ttl} is out of range; expected 0 to {LONGEST_TTL} seconds")


CHECKS: tuple[Callable[[World], Iterator[Problem]], ...] = (_sites, _hosts, _aliases, _services, _zones, mail.problems)
"""Every rule that the loader applies; `zones.problems` adds the parsing of records, which costs more."""
