"""`netstack cache ls|inspect|purge`: what a Web cache has stored, and having it removed."""

import argparse
from collections.abc import Iterator
from typing import Any

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import FAIL, PASS, USAGE, CommandError
from netstack.cli.paged import lines_to, pages

PLUGIN = "netstack-cache"


def run(options: argparse.Namespace) -> int:
    """As the action says."""
    actions = {"ls": ls, "inspect": inspect, "purge": purge}
    return actions[options.action](options)


def host_of(client: Client, named: str | None) -> str:
    """The host of the Web cache: the one that is named, or the world's only one."""
    if named is not None:
        return named
    hosts = client.call("status")["hosts"]
    found: list[str] = [
        name for name, host in hosts.items() if any(service["plugin"] == PLUGIN for service in host["services"])
    ]  # fmt: skip
    if len(found) != 1:
        told = f"there are {', '.join(found)}: say which one with --at" if found else "the world has no Web cache"
        raise CommandError(told, USAGE, "usage")
    return found[0]


def ls(options: argparse.Namespace) -> int:
    """One line for each stored response."""
    with Client(options.name) as client:
        items = pages(client, "objects.list", host=host_of(client, options.at), prefix=options.prefix or "")

        def lines() -> Iterator[str]:
            empty = True
            for item in items:
                empty = False
                state = f"fresh for {item['ttl']} s" if item["state"] == "fresh" else "stale"
                yield f"{item['url']}  {item['status']}  {item['octets']} octets  age {item['age']} s  {state}"
            if empty:
                yield f"nothing stored below {options.prefix}" if options.prefix else "nothing stored"

        lines_to(options.output, items if options.json else lines(), options.json)
    return PASS


def inspect(options: argparse.Namespace) -> int:
    """All that is known of what is stored under a URL; 1 when there is nothing."""
    with Client(options.name) as client:
        found = client.call("objects.inspect", host=host_of(client, options.at), url=options.url)
    if options.json:
        render.print_json(found)
    else:
        print("\n".join(described(found)))
    return PASS if found["variants"] else FAIL


def described(found: dict[str, Any]) -> Iterator[str]:
    """What `inspect` prints."""
    yield f"{found['url']}: {len(found['variants']) or 'nothing'} stored"
    if found["fetching"]:
        yield f"{found['fetching']} requests to the origin under way"
    if found["passed"]:
        yield f"its response was not to be stored; remembered for {found['passed']:.0f} s"
    for variant in found["variants"]:
        yield ""
        whole = "" if variant["length"] == variant["octets"] else f" of {variant['length']}, from {variant['first']}"
        state = f"fresh for {variant['ttl']} s" if variant["state"] == "fresh" else "stale"
        yield f"{variant['status']}, {variant['octets']} octets{whole}, age {variant['age']} s, {state}"
        if variant["flags"]:
            yield ", ".join(variant["flags"])
        for name, value in variant["vary"].items():
            yield f"for {name}: {'(without the field)' if value is None else value}"
        for name, value in variant["fields"]:
            yield f"  {name}: {value}"


def purge(options: argparse.Namespace) -> int:
    """Remove what is stored under a URL, below a prefix, or everything."""
    given = [options.url is not None, options.prefix is not None, options.all]
    if sum(given) != 1:
        raise CommandError("expected a URL, or --prefix, or --all", USAGE, "usage")
    with Client(options.name) as client:
        found = client.call(
            "objects.purge", host=host_of(client, options.at), url=options.url, prefix=options.prefix, all=options.all
        )
    if options.json:
        render.print_json(found)
    else:
        count = found["removed"]
        print(f"{count} stored {'response' if count == 1 else 'responses'} removed")
    return PASS
