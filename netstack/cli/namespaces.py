"""`netstack up --substrate namespaces`: a process for each host, and this one as their supervisor."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from netstack.cli.errors import PASS, CommandError
from netstack.world.control.paths import Claim


def serve(world: Any, name: str, options: argparse.Namespace, claim: Claim, ready: Callable[[dict[str, Any]], None]) -> int:
    """Bring all hosts up, serve the control socket until told to stop. This process leaves its own namespaces."""
    from netstack.kernel.real import default_state_directory
    from netstack.world.problems import WorldError
    from netstack.world.running import BringUpError

    try:
        from netstack.world.namespaces.substrate import NamespaceOptions, NamespaceWorld
    except ImportError as error:
        raise CommandError(missing(error), kind="bring-up") from None
    recorded = () if options.trace is None else tuple(options.trace or world.hosts)
    directory = default_state_directory() / name
    try:
        chosen = NamespaceOptions(name, directory, claim.directory, shaped=options.shaped, recorded=recorded)
        hosts = NamespaceWorld(world, chosen)
        hosts.start()
    except ImportError as error:
        raise CommandError(missing(error), kind="bring-up") from None
    except (BringUpError, WorldError) as error:
        raise CommandError(str(error), kind="bring-up") from None
    try:
        return supervise(hosts, claim, ready)
    finally:
        hosts.stop()


def missing(error: ImportError) -> str:
    """What to do about a package that is not there: in this very environment, which need not be the one of `pip`."""
    package = error.name or "pyroute2"
    install = f"{sys.executable} -m pip install {package}"
    return f"hosts in namespaces need the Python package {package}; install it with: {install}"


def supervise(hosts: Any, claim: Claim, ready: Callable[[dict[str, Any]], None]) -> int:
    """The supervisor's reactor, which starts after the hosts were forked."""
    from twisted.internet import reactor as installed
    from twisted.internet.defer import Deferred

    from netstack.kernel.log import log_to
    from netstack.kernel.real import steady

    reactor: Any = installed
    steady(reactor)
    log_to(hosts.options.state_directory / "log")
    failure: list[CommandError] = []

    async def start() -> None:
        control = await hosts.serve(reactor, claim.socket, reactor.stop)
        reactor.addSystemEventTrigger("before", "shutdown", control.stopService)
        ready(dict(await hosts.status()))

    def failed(error: Any) -> None:
        failure.append(CommandError(f"{error.type.__name__}: {error.getErrorMessage()}"))
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(start()).addErrback(failed))
    reactor.run()
    if failure:
        raise failure[0]
    return PASS
