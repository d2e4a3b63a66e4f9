"""`netstack status`: the hosts of a world and what they serve."""

import argparse

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import FAIL, PASS


def run(options: argparse.Namespace) -> int:
    """Print the status; 0 when every host is ready, else 1."""
    with Client(options.name) as client:
        status = client.call("status")
    if options.json:
        render.print_json(status)
    else:
        ready = sum(host["state"] == "ready" for host in status["hosts"].values())
        out = render.console()
        out.print(f"[bold]{status['world']}[/] on {status['substrate']}: {ready} of {len(status['hosts'])} hosts ready\n")
        out.print(render.status_table(status))
    return PASS if all(host["state"] == "ready" for host in status["hosts"].values()) else FAIL
