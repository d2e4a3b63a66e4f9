"""`netstack cache dump HOST` and `netstack flush HOST [NAME]`: what a resolver remembers, and having it forget."""

import argparse
from collections.abc import Iterator

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import PASS, USAGE, CommandError
from netstack.cli.paged import lines_to, pages


def run(options: argparse.Namespace) -> int:
    """As the action says."""
    return dump(options) if options.action == "dump" else flush(options)


def dump(options: argparse.Namespace) -> int:
    """All that a host's resolver has in its cache."""
    from netstack.dns.caching import HEAD, dumped

    def text() -> Iterator[str]:
        yield HEAD
        for entry in entries:
            yield from dumped(entry)

    with Client(options.name) as client:
        entries = pages(client, "cache.dump", host=options.host)
        lines_to(options.output, entries if options.json else text(), options.json)
    return PASS


def flush(options: argparse.Namespace) -> int:
    """Empty a host's caches, or all hosts'; or have its resolver forget one name, or a tree."""
    if options.tree and options.query is None:
        raise CommandError("--tree: expected the name at its top", USAGE, "usage")
    hosts = [] if options.host is None else [options.host]
    with Client(options.name) as client:
        found = client.call("flush", hosts=hosts, name=options.query, tree=options.tree)
    if options.host is not None and not found["flushed"]:
        raise CommandError(f"{options.host} has no cache", USAGE, "usage")
    if options.json:
        render.print_json(found)
    elif options.query is None:
        print(f"{found['flushed']} cache{'' if found['flushed'] == 1 else 's'} emptied")
    else:
        what = f"{options.query} and all below" if options.tree else options.query
        count = found.get("forgotten", 0)
        print(f"{what}: {count} {'entry' if count == 1 else 'entries'} forgotten")
    return PASS if found["flushed"] else USAGE
