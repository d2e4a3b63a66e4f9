"""Worlds of any size, for benchmarks and tests: a root, a TLD, sites with a zone, a resolver, Web servers and end hosts."""

from netstack.world.model import Host, Service, Site, World, Zone, world_of

LEAST = 6
PER_SITE = 10


def generated_world(hosts: int, web_servers: int = 3) -> World:
    """A world of exactly `hosts` hosts, at least 6. Of every site's ten, one is its name server and one its resolver."""
    if hosts < LEAST:
        raise ValueError(f"hosts: expected at least {LEAST}, got {hosts}")
    sites = [Site("core")]
    declared: list[Host] = []
    zones = [
        Zone(".", ("a.root-servers.net",), site="core"),
        Zone("test", ("a.nic.test",), site="core"),
    ]
    left = hosts - 2
    number = 0
    while left:
        number += 1
        name = f"site{number}"
        size = left if left < PER_SITE + 3 else PER_SITE
        left -= size
        sites.append(Site(name, resolver=f"resolver.{name}.test"))
        zones.append(Zone(f"{name}.test", (f"dns.{name}.test",), site=name))
        for member in range(size - 2):
            if member < web_servers:
                declared.append(Host(f"www{member}.{name}.test", name, services=(Service("origin", "origin"),)))
            else:
                declared.append(Host(f"host{member}.{name}.test", name))
    return world_of(f"generated{hosts}", sites, declared, zones)
