"""`netstack inspect HOST`: all about one host."""

import argparse
from collections.abc import Mapping
from typing import Any

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import PASS


def run(options: argparse.Namespace) -> int:
    """Print one host."""
    with Client(options.name) as client:
        host = client.call("inspect", host=options.host)
    if options.json:
        render.print_json(host)
        return PASS
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows(host):
        table.add_row(label, escape(text))
    render.console().print(table)
    return PASS


def rows(host: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Labels and texts, without the empty ones."""
    found = [
        ("name", host["name"]),
        ("about", host["about"]),
        ("also", ", ".join(host["aliases"])),
        ("site", host["site"]),
        ("addresses", ", ".join(host["addresses"])),
        ("resolver", host["resolver"] or ""),
        ("proxy", host["proxy"] or ""),
        ("state", host["state"]),
        ("zones", ", ".join(host["zones"])),
        ("recording", "yes" if host["recording"] else "no"),
    ]
    for service in host["services"]:
        for endpoint in service["endpoints"]:
            kind = "tls" if endpoint["tls"] else endpoint["transport"]
            found.append((service["name"], f"{kind} {endpoint['address']} port {endpoint['port']}"))
        if not service["endpoints"]:
            found.append((service["name"], service["plugin"]))
        if service["health"]:
            found.append(("health", service["health"]))
    return [(label, text) for label, text in found if text]
