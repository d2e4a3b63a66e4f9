"""`netstack link`: the access links of sites, shown and set while the world runs."""

import argparse
from typing import Any

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import PASS, USAGE, CommandError


def run(options: argparse.Namespace) -> int:
    """List, show one site, or set what is given."""
    changes = {key: getattr(options, key) for key in ("rate", "delay", "loss") if hasattr(options, key)}
    if "rate" in changes:
        changes["rate_bps"] = changes.pop("rate")
    if changes and options.site is None:
        raise CommandError("which site? netstack link SITE --delay 50ms", USAGE, "usage")
    with Client(options.name) as client:
        if changes:
            client.call("links.set", site=options.site, direction=options.direction, changes=changes)
        links: dict[str, Any] = client.call("links.list")
    if options.site is not None:
        if options.site not in links:
            raise CommandError(f"no site {options.site}; there are {', '.join(links)}", USAGE, "usage")
        links = {options.site: links[options.site]}
    if options.json:
        render.print_json({"links": links})
        return PASS
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("site", "direction", "rate", "delay", "loss"):
        table.add_column(column)
    for site, directions in links.items():
        for direction, settings in directions.items():
            table.add_row(
                site,
                direction,
                render.rate_text(settings["rate_bps"]),
                render.delay_text(settings["delay"]),
                render.loss_text(settings["loss"]),
            )
    render.console().print(table)
    return PASS
