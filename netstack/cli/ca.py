"""`netstack ca export`: the certificate to trust."""

import argparse
from pathlib import Path

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import PASS, CommandError


def run(options: argparse.Namespace) -> int:
    """Write the CA's certificate as PEM."""
    with Client(options.name) as client:
        found = client.call("ca")
    pem: str = found["pem"]
    if options.output:
        try:
            Path(options.output).write_text(pem)
        except OSError as error:
            raise CommandError(f"cannot write {options.output}: {error.strerror}") from error
    if options.json:
        render.print_json({"ca": options.output or found["path"], "pem": pem})
    elif not options.output:
        print(pem, end="")
    return PASS
