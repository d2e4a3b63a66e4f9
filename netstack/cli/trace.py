"""`netstack trace`: the messages of hosts, as they happen."""

import argparse
import json
import sys

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import FAIL, PASS


def run(options: argparse.Namespace) -> int:
    """Record and print until Ctrl-C, `--count` or `--seconds`; `--json` prints one object a line."""
    with Client(options.name) as client:
        if options.on or options.off:
            enabled = client.call("journal.enable" if options.on else "journal.disable", hosts=options.hosts)["enabled"]
            if options.json:
                render.print_json({"recording": enabled})
            else:
                print(f"{len(enabled)} host{'' if len(enabled) == 1 else 's'} recorded")
            return PASS
        if options.no_follow:
            rows = client.call("journal.read", hosts=options.hosts, protocol=options.protocol)["messages"]
            for row in rows:
                show(row, options.json)
            if not rows:
                print(nothing(options), file=sys.stderr)
            return PASS
        if not options.json:
            print(f"recording on {client.world}; Ctrl-C ends it", flush=True)
        return follow(client, options)


def nothing(options: argparse.Namespace) -> str:
    """Why there may be nothing to show, and what to do."""
    wanted = "no such messages were recorded" if options.hosts or options.protocol else "no messages were recorded"
    return f"netstack: {wanted}; netstack trace --on starts recording, netstack trace shows messages as they happen"


def follow(client: Client, options: argparse.Namespace) -> int:
    """Print the rows of a stream; what a slow terminal has missed is said at the end."""
    seen = 0
    with client.cancelled_by_signals():
        for row in client.stream("journal.follow", options.seconds, hosts=options.hosts, protocol=options.protocol):
            if options.count is None or seen < options.count:
                show(row, options.json)
                seen += 1
            if seen == options.count:
                client.cancel()
    if client.result and client.result["dropped"]:
        print(f"netstack: {client.result['dropped']} messages were not shown: they came too fast", file=sys.stderr)
    return FAIL if options.count is not None and seen < options.count else PASS


def show(row: dict[str, object], as_json: bool) -> None:
    """One message on one line."""
    print(json.dumps(row) if as_json else render.message_line(row), flush=True)
