"""`netstack capture -o FILE`: the messages of a world as packets that Wireshark reads; needs no rights and no interface."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, BinaryIO

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import PASS, CommandError
from netstack.cli.rows import row_of
from netstack.kernel.journal import Row
from netstack.kernel.pcapng import Capture


def run(options: argparse.Namespace) -> int:
    """Record until Ctrl-C, SIGTERM or `--seconds`, then end the file well."""
    messages = 0
    with Client(options.name) as client, ExitStack() as stack:
        stream: BinaryIO = sys.stdout.buffer
        if options.output != "-":
            try:
                stream = stack.enter_context(Path(options.output).open("wb"))
            except OSError as error:
                raise CommandError(f"cannot write {options.output}: {error.strerror}") from error
        notes = sys.stderr if options.output == "-" or options.json else sys.stdout
        capture = stack.enter_context(closing(Capture(stream)))
        for row in recorded(client, options) if options.no_follow else followed(client, options, notes):
            capture.write(row)
            messages += 1
            if not options.no_follow:
                capture.flush()
    packets = capture.packets
    if options.json and options.output != "-":
        render.print_json({"file": options.output, "messages": messages, "packets": packets})
    else:
        print(f"{messages} messages, {packets} packets", file=notes)
    return PASS


def recorded(client: Client, options: argparse.Namespace) -> Iterator[Row]:
    """The rows that the journal holds."""
    for item in client.call("journal.read", hosts=options.hosts, octets=True)["messages"]:
        yield row_of(item)


def followed(client: Client, options: argparse.Namespace, notes: Any) -> Iterator[Row]:
    """Rows as they are written."""
    with client.cancelled_by_signals():
        print(f"recording {client.world} into {options.output}; Ctrl-C ends it", file=notes, flush=True)
        for item in client.stream("journal.follow", options.seconds, hosts=options.hosts, octets=True):
            yield row_of(item)
    if client.result and client.result["dropped"]:
        print(f"netstack: {client.result['dropped']} messages are missing: they came too fast", file=sys.stderr)
