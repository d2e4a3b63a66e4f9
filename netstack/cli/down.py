"""`netstack down`: stop a world and wait until it is gone."""

import argparse
import time

from netstack.cli import render
from netstack.cli.client import Client
from netstack.cli.errors import PASS, CommandError
from netstack.world.control.paths import names_in_use


def run(options: argparse.Namespace) -> int:
    """Ask for the stop; returns when the world's name is free again."""
    with Client(options.name, options.timeout) as client:
        world = client.world
        client.call("stop")
    end = time.monotonic() + options.timeout
    while world in names_in_use():
        if time.monotonic() > end:
            raise CommandError(f"{world} has not stopped after {options.timeout:g} s", kind="timeout")
        time.sleep(0.02)
    if options.json:
        render.print_json({"world": world, "state": "down"})
    else:
        print(f"{world} is down")
    return PASS
