"""`netstack keys`: the keys of signed zones, and their rollover."""

import argparse
from datetime import UTC, datetime
from typing import Any

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import PASS, USAGE, CommandError

_STEPS = ("removed", "superseded", "retired", "seen", "submitted", "active", "published")
_SIGNED = 'a world file signs a zone with signed = true, all of them with profile = "hardened"'


def run(options: argparse.Namespace) -> int:
    """List, roll over, or tell that the parent has the new DS record."""
    if options.action != "list" and options.zone is None:
        raise CommandError(f"which zone? netstack keys {options.action} ZONE", USAGE, "usage")
    with Client(options.name) as client:
        if options.action == "roll":
            found: dict[str, Any] = client.call("keys.roll", zone=options.zone, role=options.role)
            told = f"{options.zone}: key {found['tag']} is on its way; netstack keys list {options.zone} shows how far"
        elif options.action == "seen":
            found = client.call("keys.seen", zone=options.zone)
            told = f"{options.zone}: the old key goes when nobody can need it any more"
        else:
            found, told = client.call("keys.list", **({} if options.zone is None else {"zone": options.zone})), ""
            if not found["keys"] and options.zone is not None:
                raise CommandError(f"no zone {options.zone} is signed here; {_SIGNED}", USAGE, "usage")
            if not found["keys"]:
                told = f"no zone of this world is signed; {_SIGNED}"
    if options.json:
        render.print_json(found)
    elif told:
        print(told)
    else:
        _show(found["keys"])
    return PASS


def _show(keys: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("zone", "host", "key", "kind", "state", "since", "(UTC)"):
        table.add_column(column)
    for key in keys:
        step = next((name for name in _STEPS if key[name] is not None), "")
        since = datetime.fromtimestamp(key[step], UTC).strftime("%Y-%m-%d %H:%M:%S") if step else ""
        table.add_row(key["zone"], key["host"], str(key["tag"]), key["role"], key["state"], step, since)
    render.console().print(table)
