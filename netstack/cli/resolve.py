"""`netstack resolve NAME [TYPE]`: look a name up as a host does, and show the messages as the chapter draws them."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import FAIL, PASS
from netstack.kernel.resolver import is_address


def run(options: argparse.Namespace) -> int:
    """0 when there is an answer, else 1 (the name does not exist, has no such records, or nobody answers)."""
    if options.type in ("A", "PTR") and is_address(options.query):
        options.query, options.type = ip_address(options.query).reverse_pointer, "PTR"
    with Client(options.name) as client:
        found = client.call(
            "resolve",
            name=options.query,
            type=options.type,
            host=options.host,
            cold=options.cold,
            trace=options.trace or options.sections,
        )
    if options.json:
        render.print_json({key: found[key] for key in ("answer", "rcode", "messages")})
    else:
        show(options, found)
    return PASS if found["answer"] else FAIL


def show(options: argparse.Namespace, found: Mapping[str, Any]) -> None:
    """The ladder, the answer, the count."""
    out = render.console()
    traced = options.trace or options.sections
    if traced:
        out.print(render.ladder(found["messages"], out.width), markup=False)
        out.print()
    if options.sections:
        for line in sections(found["messages"]):
            out.print(line, markup=False, overflow="fold")
        out.print()
    for record in found["answer"]:
        out.print(record, markup=False)
    if not found["answer"]:
        reason = "has no such records" if found["rcode"] == "NOERROR" else found["rcode"]
        out.print(f"{options.query} {options.type}: {reason}", markup=False)
    if traced:
        count = len(found["messages"])
        known = f", from the cache of {found['messages'][0]['to']}" if count == 2 and found["answer"] else ""
        out.print(f"\n[bold]{count} message{'' if count == 1 else 's'}[/]{known}")


def sections(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What each reply says, under its number in the ladder."""
    from netstack.dns.shown import texts

    for number, row in enumerate(messages, 1):
        for place, line in enumerate(texts(row.get("dns", {}))):
            yield f"{number}  {row['from']}: {line}" if place == 0 else f"   {line}"
