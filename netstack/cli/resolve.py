"""`netstack resolve NAME [TYPE]`: look a name up as a host does, and show the messages as the chapter draws them."""

import argparse
from collections.abc import Mapping
from typing import Any

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import FAIL, PASS


def run(options: argparse.Namespace) -> int:
    """0 when there is an answer, else 1 (the name does not exist, has no such records, or nobody answers)."""
    with Client(options.name) as client:
        found = client.call(
            "resolve",
            name=options.query,
            type=options.type,
            host=options.host,
            cold=options.cold,
            trace=options.trace,
        )
    if options.json:
        render.print_json({key: found[key] for key in ("answer", "rcode", "messages")})
    else:
        show(options, found)
    return PASS if found["answer"] else FAIL


def show(options: argparse.Namespace, found: Mapping[str, Any]) -> None:
    """The ladder, the answer, the count."""
    out = render.console()
    if options.trace:
        out.print(render.ladder(found["messages"], out.width), markup=False)
        out.print()
    for record in found["answer"]:
        out.print(record, markup=False)
    if not found["answer"]:
        reason = "has no such records" if found["rcode"] == "NOERROR" else found["rcode"]
        out.print(f"{options.query} {options.type}: {reason}", markup=False)
    if options.trace:
        count = len(found["messages"])
        out.print(f"\n[bold]{count} message{'' if count == 1 else 's'}[/]")
