"""`netstack get URL`: fetch a page as a host does: name looked up, connection made, certificate checked, all by ours."""

import argparse
import base64
import sys

from netstack.cli import output, render
from netstack.cli.client import Client
from netstack.cli.errors import FAIL, PASS, USAGE, CommandError


def run(options: argparse.Namespace) -> int:
    """0 for a status below 400, else 1."""
    headers = [[part.strip() for part in line.partition(":")[::2]] for line in options.header]
    if not all(name for name, _ in headers) or not all(":" in line for line in options.header):
        raise CommandError("-H: expected 'NAME: VALUE'", USAGE, "usage")
    if "://" not in options.url:
        raise CommandError(f"{options.url!r} is no URL; try http://{options.url.lstrip('/')}", USAGE, "usage")
    with Client(options.name) as client:
        asked = {"url": options.url, "host": options.host, "headers": headers, "http2": options.http2}
        found = client.call("get", trace=options.trace, **asked)
    code = PASS if found["status"] < 400 else FAIL
    body = base64.b64decode(found["body"])
    if options.output:
        output.write(options.output, body)
    if options.json:
        render.print_json(found)
        return code
    notes = render.console(error=True)
    notes.print(f"{found['version']} {found['status']} {found['reason']}", style="bold", markup=False)
    for name, value in found["headers"]:
        notes.print(f"{name}: {value}", markup=False)
    if options.trace:
        notes.print()
        notes.print(render.ladder(found["messages"], notes.width), markup=False)
        notes.print(f"\n[bold]{len(found['messages'])} messages[/]")
    if not options.output:
        notes.print()
        sys.stderr.flush()
        if sys.stdout.isatty() and not readable(body):
            notes.print(f"netstack: {len(body)} octets that are no text; -o FILE writes them to a file", markup=False)
            return code
        sys.stdout.buffer.write(body)
        sys.stdout.flush()
    return code


def readable(body: bytes) -> bool:
    """Whether a terminal may be sent this: other octets would garble it."""
    try:
        return not any(ord(char) < 32 and char not in "\t\n\r\f" for char in body.decode())
    except UnicodeDecodeError:
        return False
