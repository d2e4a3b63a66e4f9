"""`netstack exec HOST -- COMMAND`: run a program as if on a host. The exit code is the program's."""

import argparse
import os
import sys

from netstack.cli.client import Client
from netstack.cli.environment import environment, on_host
from netstack.cli.errors import USAGE, CommandError
from netstack.world.control.paths import runtime_directory


def run(options: argparse.Namespace) -> int:
    """Become the program; returns only when it cannot be started."""
    program = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not program:
        raise CommandError("which command? netstack exec HOST -- COMMAND", USAGE, "usage")
    with Client(options.name) as client:
        view = client.call("environment", host=options.host)
        world = client.world
    if view["substrate"] == "simulated":
        raise CommandError("a simulated host has no sockets that a program could use: bring the world up on loopback")
    if view["substrate"] == "namespaces":
        from netstack.world.namespaces import linux

        try:
            linux.enter(view["pid"])
        except OSError as error:
            raise CommandError(f"cannot enter {view['host']}: {error.strerror}") from None
        surroundings = on_host(view, os.environ)
    else:
        directory = runtime_directory(world) / "exec" / view["host"]
        surroundings = environment(view, directory, os.environ)
    sys.stdout.flush()
    try:
        os.execvpe(program[0], program, surroundings)  # noqa: S606  the user's own command
    except FileNotFoundError:
        print(f"netstack: {program[0]}: command not found", file=sys.stderr)
        return 127
    except OSError as error:
        print(f"netstack: {program[0]}: {error.strerror}", file=sys.stderr)
        return 126
