"""Worlds of any size, for benchmarks and tests: a root, a TLD, sites with a zone, a resolver, Web servers and end hosts."""

import json
from typing import Any

from netstack.world.loader import parse
from netstack.world.model import World

LEAST = 6
PER_SITE = 10


def generated_world(hosts: int, web_servers: int = 3) -> World:
    """A world of exactly `hosts` hosts, at least 6. Of every site's ten, one is its name server and one its resolver."""
    return parse(_table(hosts, web_servers), f"generated{hosts}", f"generated{hosts}")


def generated_file(hosts: int, web_servers: int = 3) -> str:
    """The same as the text of a world file."""
    return "\n".join(
        f"[{section}]\n" + "".join(f"{json.dumps(name)} = {_inline(value)}\n" for name, value in entries.items())
        for section, entries in _table(hosts, web_servers).items()
    )


def _table(hosts: int, web_servers: int) -> dict[str, dict[str, Any]]:
    if hosts < LEAST:
        raise ValueError(f"hosts: expected at least {LEAST}, got {hosts}")
    sites: dict[str, Any] = {"core": {"resolver": False}}
    zones: dict[str, Any] = {
        ".": {"site": "core", "servers": ["a.root-servers.net"]},
        "test": {"site": "core", "servers": ["a.nic.test"]},
    }
    declared: dict[str, Any] = {}
    left = hosts - 2
    number = 0
    while left:
        number += 1
        name = f"site{number}"
        size = left if left < PER_SITE + 3 else PER_SITE
        left -= size
        sites[name] = {}
        zones[f"{name}.test"] = {"site": name}
        for member in range(size - 2):
            if member < web_servers:
                declared[f"www{member}.{name}.test"] = {"services": {"origin": {}}}
            else:
                declared[f"host{member}.{name}.test"] = {}
    return {"sites": sites, "zones": zones, "hosts": declared}


def _inline(value: Any) -> str:
    """A value in TOML; texts and lists of them are written as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(entry)}" for key, entry in value.items()) + "}"
    return json.dumps(value)
