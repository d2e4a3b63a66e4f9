"""`netstack up`: bring a world up in this process, or in one of its own with `--detach`."""

import argparse
import json
import os
import resource
import select
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from netstack.cli import namespaces, render
from netstack.cli.errors import FAIL, PASS, USAGE, CommandError
from netstack.world.control.paths import AlreadyRunning, Claim, NoPrivateDirectory, names_in_use


def run(options: argparse.Namespace) -> int:
    """Foreground: until Ctrl-C or SIGTERM. Detached: until everything is ready, or the reason why it is not is printed."""
    world = load(options.world)
    unknown = [host for host in options.trace or () if host not in world.hosts]
    if unknown:
        from netstack.world.problems import nearest

        close = nearest(unknown[0], world.hosts)
        raise CommandError(f"--trace: no host {unknown[0]} in {world.name}{close}", USAGE, "usage")
    name = options.name or world.name
    if options.detach:
        return detach(lambda ready: serve(world, name, options, ready), name, options)
    return serve(world, name, options, lambda status, seconds: announce(status, seconds, options.json, False))


def load(world: str) -> Any:
    """The world of a file or name."""
    from netstack.world import loader
    from netstack.world.problems import WorldError

    try:
        return loader.load(world)
    except WorldError as error:
        raise CommandError(str(error), FAIL, "world") from None


def serve(world: Any, name: str, options: argparse.Namespace, ready: Callable[[dict[str, Any], float], None]) -> int:
    """Run the world in this process until it is told to stop; `ready` is called once with the status."""
    started = time.monotonic()
    try:
        claim = Claim.take(name)
    except AlreadyRunning as error:
        raise CommandError(str(error), kind="already-running") from None
    except NoPrivateDirectory as error:
        raise CommandError(str(error), kind="directory") from None
    many_descriptors()
    try:
        bring_up = namespaces.serve if options.substrate == "namespaces" else loopback
        return bring_up(world, name, options, claim, lambda status: ready(status, time.monotonic() - started))
    finally:
        claim.release()


def state_directory(name: str) -> Path:
    """Where a world's state and logs lie; nothing is made."""
    from netstack.kernel.real import default_state_directory

    return default_state_directory() / name


def many_descriptors() -> None:
    """As many open sockets as this user may have: every connection of every host is one of this process."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def loopback(
    world: Any, name: str, options: argparse.Namespace, claim: Claim, ready: Callable[[dict[str, Any]], None]
) -> int:
    """All hosts in this process, on 127.x addresses."""
    from twisted.internet import reactor as installed
    from twisted.internet.defer import Deferred

    from netstack.kernel.log import log_to
    from netstack.kernel.real import steady
    from netstack.world.control.server import ControlServer
    from netstack.world.control.verbs import WorldVerbs
    from netstack.world.loopback import LoopbackOptions, bring_up
    from netstack.world.problems import WorldError
    from netstack.world.running import BringUpError

    reactor: Any = installed
    steady(reactor)
    log_to(state_directory(name) / "log")
    failure: list[CommandError] = []

    async def start() -> None:
        chosen = LoopbackOptions(name=name, port_offset=options.port_offset, shaped=options.shaped)
        try:
            running = await bring_up(world, chosen, reactor)
        except (BringUpError, WorldError) as error:
            in_use = "another process listens there" in str(error)
            hint = "\nOther ports: netstack up --port-offset 10000; other addresses: --name OTHER" if in_use else ""
            failure.append(CommandError(f"{error}{hint}", kind="bring-up"))
            reactor.stop()
            return
        control = ControlServer(reactor, claim.socket, WorldVerbs(running, reactor.stop).table())

        async def drain() -> None:
            await running.stop()
            control.stopService()

        reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(drain()))
        if options.trace is not None:
            running.journal.enable(*(options.trace or running.hosts))
        control.startService()
        ready(running.status())

    def failed(error: Any) -> None:
        failure.append(CommandError(f"{error.type.__name__}: {error.getErrorMessage()}"))
        error.printTraceback()
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(start()).addErrback(failed))
    reactor.run()
    if failure:
        raise failure[0]
    return PASS


def announce(status: dict[str, Any], seconds: float, as_json: bool, detached: bool) -> None:
    """What runs where, and commands to paste."""
    if as_json:
        render.print_json(status)
        sys.stdout.flush()
        return
    out = render.console()
    out.print(render.status_table(status))
    hosts = len(status["hosts"])
    services = sum(len(host["services"]) for host in status["hosts"].values())
    out.print(f"\n[bold]{status['world']}[/] is up: {hosts} hosts, {services} services in {seconds:.2f} s.")
    commands = suggestions(status)
    if commands:
        out.print("Try, in another terminal:\n" if not detached else "Try:\n")
        for command in commands:
            out.print(f"  {command}", markup=False, soft_wrap=True)
    out.print(f"\nStop it with: {program()} down --name {status['world']}" if detached else "\nCtrl-C stops it.")
    sys.stdout.flush()


def suggestions(status: dict[str, Any]) -> list[str]:
    """Commands that work as printed on this world."""
    hosts: dict[str, Any] = status["hosts"]
    netstack, name = program(), "" if names_in_use() in ([], [status["world"]]) else f" --name {status['world']}"
    plugins = {host: [service["plugin"] for service in found["services"]] for host, found in hosts.items()}
    sites = {hosts[host]["site"] for host, found in plugins.items() if "netstack-resolver" in found}
    clients = [host for host, found in plugins.items() if not found and hosts[host]["site"] in sites]
    origins = [host for host, found in plugins.items() if "netstack-origin" in found]
    if not clients or not origins:
        return [f"{netstack} status{name}"]
    client = "cse.nyu.edu" if "cse.nyu.edu" in clients else clients[0]
    origin = "gaia.cs.umass.edu" if "gaia.cs.umass.edu" in origins else origins[0]
    on = f"{netstack} exec{name} {client} --"
    commands = [
        f"{netstack} resolve{name} {origin} --from {client} --cold --trace",
        f"{netstack} get{name} http://{origin}/ --from {client}",
        f"{on} dig {origin}",
        f"{on} curl https://{origin}/",
        f"{on} telnet {origin} 80",
    ]
    page = "www.someschool.edu"
    if page in origins:
        commands.append(f"{on} curl https://{page}/somedepartment/home.index")
    hosts_of_mail = {host for host, found in plugins.items() if "netstack-smtp" in found}
    if {"mail.crepes.fr", "mail.hamburger.edu"} <= hosts_of_mail:
        commands.append(
            f"{netstack} mail send{name} --from alice@crepes.fr --to bob@hamburger.edu --body 'Do you like ketchup?'"
        )
        commands.append(f"{netstack} mail ls{name} bob@hamburger.edu")
    return commands


def program() -> str:
    """How this command was called, for commands to paste: `netstack` where that is found on PATH."""
    called, found = Path(sys.argv[0]), shutil.which("netstack")
    if called.name == "__main__.py":
        return f"{sys.executable} -m netstack.cli"
    return "netstack" if found and Path(found).resolve() == called.resolve() else str(called)


def detach(serving: Callable[[Callable[[dict[str, Any], float], None]], int], name: str, options: argparse.Namespace) -> int:
    """Serve in a process of its own; returns when it is ready or has failed."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _daemon(serving, name, writer)
    os.close(writer)
    os.waitpid(child, 0)  # ends as soon as it has forked the daemon
    report = _report(reader, options.timeout, name)
    if "error" in report:
        raise CommandError(report["error"], kind=report["kind"])
    announce(report["status"], report["seconds"], options.json, True)
    return PASS


def _daemon(serving: Callable[[Callable[[dict[str, Any], float], None]], int], name: str, writer: int) -> None:
    """The rest of the child's life; its one report goes down the pipe."""
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    directory = state_directory(name)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = os.open(directory / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)

    def say(report: dict[str, Any]) -> None:
        with os.fdopen(writer, "w") as file, suppress(BrokenPipeError):
            json.dump(report, file)

    code = FAIL
    try:
        code = serving(lambda status, seconds: say({"status": status, "seconds": seconds}))
    except CommandError as error:
        with suppress(OSError):
            say({"error": str(error), "kind": error.kind})
    except BaseException as error:
        with suppress(OSError):
            say({"error": f"{type(error).__name__}: {error}; see {directory / 'output'}", "kind": "failed"})
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _report(reader: int, timeout: float, name: str) -> dict[str, Any]:
    end = time.monotonic() + timeout
    data = b""
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise CommandError(f"{name} is not ready after {timeout:g} s; stop it with: netstack down --name {name}")
            piece = pipe.read(65536)
            if not piece:
                break
            data += piece
    if not data:
        raise CommandError(f"{name} ended without a word; see {state_directory(name) / 'output'}")
    report: dict[str, Any] = json.loads(data)
    return report
