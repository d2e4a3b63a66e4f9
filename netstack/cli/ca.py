"""`netstack ca export`: the certificate to trust."""

import argparse

from netstack.cli import output, render
from netstack.cli.client import Client
from netstack.cli.errors import PASS


def run(options: argparse.Namespace) -> int:
    """Write the CA's certificate as PEM."""
    with Client(options.name) as client:
        found = client.call("ca")
    pem: str = found["pem"]
    if options.output:
        output.write(options.output, pem.encode())
    if options.json:
        render.print_json({"ca": options.output or found["path"], "pem": pem})
    elif not options.output:
        print(pem, end="")
    return PASS
