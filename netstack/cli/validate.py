"""`netstack validate FILE`: every problem of a world file, with its key and what was expected."""

import argparse

from netstack.cli import render
from netstack.cli.errors import FAIL, PASS


def run(options: argparse.Namespace) -> int:
    """0 when the file describes a world, else 1."""
    from netstack.world import compose, loader, zones
    from netstack.world.problems import WorldError

    try:
        world = loader.load(options.file)
        more = [*zones.problems(world), *compose.problems(world)]
        if more:
            raise WorldError(world.file, more)
    except WorldError as error:
        found = [{"key": problem.key, "problem": problem.text} for problem in error.problems]
        if options.json:
            render.print_json({"file": error.file, "valid": False, "problems": found})
        else:
            print(error)
        return FAIL
    if options.json:
        counts = {"hosts": len(world.hosts), "sites": len(world.sites), "zones": len(world.zones)}
        render.print_json({"file": world.file, "valid": True, "problems": [], **counts})
    else:
        print(f"{world.file}: {len(world.hosts)} hosts, {len(world.sites)} sites, {len(world.zones)} zones")
    return PASS
