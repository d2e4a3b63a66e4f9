"""A session on namespaces: a supervisor in a process of its own, whose hosts run a session's functions when told to.

Functions go by name, arguments and results by pickle, over the control sockets of this session alone: they lie in a
private directory, and whoever may write there can run what he likes as the same user anyway. `netstack up` has no such verb.
"""

import base64
import copyreg
import io
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from netstack.kernel.journal import Journal, Row
from netstack.world.addresses import addresses
from netstack.world.control.remote import RemoteControl
from netstack.world.control.server import ControlError, Stream, Verb
from netstack.world.model import World
from netstack.world.namespaces.substrate import NamespaceOptions, NamespaceWorld
from netstack.world.reactor_thread import ReactorThread
from netstack.world.running import BringUpError, Running
from netstack.world.session import PARSED, Session, _start_host, _stop_host
from netstack.world.sites import Direction, SiteLinks

SETTLE = 0.1
"""Seconds for the last messages to be written by the processes that send and receive them."""
PATIENCE = 60.0
"""For all hosts to be ready."""
GRACE = 15.0
"""Seconds in which they end."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a session's supervisor is told first."""

    world: World
    options: NamespaceOptions
    socket: Path


class NamespacesSession(Session):
    """A world in namespaces. Functions for its hosts must have a name that can be imported: no lambdas."""

    def __init__(self, world: World, seed: int | None = None, shaped: bool = True) -> None:
        """Raises BringUpError."""
        self._folder = TemporaryDirectory(prefix="netstack-")
        root = Path(self._folder.name)
        state, runtime = root / "state", root / "run"
        runtime.mkdir(mode=0o700)
        options = NamespaceOptions(f"session-{root.name}", state, runtime, seed, shaped)
        table = addresses(world, "namespaces")
        links = SiteLinks(world, table, shaped)
        self.running = Running(world, options.name, table, {}, Journal(), links, world.seed if seed is None else seed)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "netstack.world.namespaces.session"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._thread = ReactorThread()
        try:
            self._begin(Order(world, options, runtime / "control"))
        except BaseException:
            self.close()
            raise

    def ask(self, host: str, f: Callable[..., Any], *arguments: Any, within: float = 60.0) -> Any:
        return self._run(self._known(host), "machine", f, arguments, within)

    def drive(self, f: Callable[..., Any], *arguments: Any, within: float = 60.0) -> Any:
        """There is no process that carries the whole world: raises NotImplementedError."""
        raise NotImplementedError("in namespaces each host is a process of its own: use everywhere")

    def everywhere(self, f: Callable[..., Any], *arguments: Any, within: float = 60.0) -> None:
        for host in self.world.hosts:
            self._run(host, "running", f, arguments, within)

    def seconds(self) -> float:
        return time.monotonic()

    def stop_host(self, host: str) -> None:
        self._run(self._known(host), "running", _stop_host, (host,), 60.0)

    def start_host(self, host: str) -> None:
        self._run(self._known(host), "running", _start_host, (host,), 60.0)

    def record(self, *hosts: str) -> None:
        self._call("journal.clear")
        self._call("journal.enable", {"hosts": list(hosts)} if hosts else {})

    def rows(self) -> list[Row]:
        time.sleep(SETTLE)
        return [_row(row) for row in self._call("journal.read", {"octets": True})["messages"]]

    def clear(self) -> None:
        time.sleep(SETTLE)
        self._call("journal.clear")

    def flush(self) -> int:
        return int(self._call("flush")["flushed"])

    def link(self, site: str, direction: Direction = "both", **settings: Any) -> None:
        if site not in self.world.sites:
            raise LookupError(f"there is no site {site} in {self.world.name}")
        changes = {name: PARSED[name](value) if name in PARSED else value for name, value in settings.items()}
        self._call("links.set", {"site": site, "direction": direction, "changes": changes})

    def close(self) -> None:
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._thread.stop()
        self._folder.cleanup()

    def _begin(self, order: Order) -> None:
        told, said = self._process.stdin, self._process.stdout
        if told is None or said is None:
            raise BringUpError("no pipe to the supervisor")
        told.write(base64.b64encode(_pickled(order)) + b"\n")
        told.flush()
        answer = json.loads(said.readline() or b'{"error": "the supervisor ended without a word"}')
        if answer["error"] is not None:
            raise BringUpError(answer["error"])
        self._control: RemoteControl = self._thread.call(RemoteControl.connect, self._thread.reactor, order.socket)

    def _call(self, verb: str, arguments: Mapping[str, Any] | None = None, within: float = 60.0) -> Any:
        return self._thread.call(self._control.call, verb, arguments or {}, within=within)

    def _run(self, host: str, subject: str, f: Callable[..., Any], arguments: tuple[Any, ...], within: float) -> Any:
        asked = {
            "host": host,
            "subject": subject,
            "function": f"{f.__module__}:{f.__qualname__}",
            "arguments": base64.b64encode(_pickled(arguments)).decode(),
        }
        answer = self._call("run", asked, within)
        found = pickle.loads(base64.b64decode(answer["pickle"]))  # noqa: S301  from our own process
        if answer["failed"]:
            raise found
        return found


class SessionWorld(NamespaceWorld):
    """A world whose hosts run functions."""

    def world_verbs(self) -> dict[str, Verb]:
        return super().world_verbs() | {"run": self.verbs.by_one("run")}

    def host_verbs(self, running: Running, stop: Callable[[], None]) -> dict[str, Verb]:
        async def run(arguments: Mapping[str, Any], stream: Stream) -> object:
            module, _, name = arguments["function"].partition(":")
            subject = running if arguments["subject"] == "running" else running.hosts[arguments["host"]].machine
            failed = False
            try:
                function: Any = import_module(module)
                for part in name.split("."):
                    function = getattr(function, part)
                given = pickle.loads(base64.b64decode(arguments["arguments"]))  # noqa: S301  from our own session
                result = function(subject, *given)
                if hasattr(result, "send") and hasattr(result, "throw"):
                    result = Deferred.fromCoroutine(result)
                found = _pickled(await maybeDeferred(lambda: result))
            except Exception as error:
                failed, found = True, _pickled(_portable(error))
            return {"failed": failed, "pickle": base64.b64encode(found).decode()}

        return super().host_verbs(running, stop) | {"run": run}


def _portable(error: Exception) -> Exception:
    """The error as another process can have it."""
    try:
        pickle.loads(_pickled(error))  # noqa: S301  what was just pickled
    except Exception:
        return ControlError(f"{type(error).__name__}: {error}")
    return error


def _pickled(value: object) -> bytes:
    """As pickle.dumps; read-only mappings, of which worlds are made, go as well."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.dispatch_table = copyreg.dispatch_table.copy()
    pickler.dispatch_table[MappingProxyType] = lambda mapping: (_read_only, (dict(mapping),))
    pickler.dump(value)
    return buffer.getvalue()


def _read_only(mapping: dict[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(mapping)


def _row(row: Mapping[str, Any]) -> Row:
    data = base64.b64decode(row["data"])
    source, destination = (str(row["from_address"][0]), int(row["from_address"][1])), row["to_address"]
    return Row(
        row["time"],
        source,
        (str(destination[0]), int(destination[1])),
        row["from"],
        row["to"],
        row["transport"],
        row["protocol"],
        row["summary"],
        data,
        row["secure"],
        row["by_sender"],
        row["bytes"] - len(data),
    )


def main() -> int:
    """The supervisor: an order comes on standard input, whose end is the world's; what became of it goes to the output."""
    from netstack.world.problems import WorldError

    order: Order = pickle.loads(base64.b64decode(sys.stdin.buffer.readline()))  # noqa: S301  from our own session

    def say(error: str | None) -> None:
        sys.stdout.write(json.dumps({"error": error}) + "\n")
        sys.stdout.flush()

    try:
        hosts = SessionWorld(order.world, order.options)
        hosts.start()
    except (BringUpError, WorldError, ImportError) as error:
        say(str(error))
        return 1
    try:
        _serve(hosts, order.socket, say)
    finally:
        hosts.stop()
    return 0


def _serve(hosts: SessionWorld, socket: Path, say: Callable[[str | None], None]) -> None:
    from twisted.internet import reactor as installed
    from twisted.internet.protocol import Protocol
    from twisted.internet.stdio import StandardIO

    from netstack.kernel.real import steady

    reactor: Any = installed
    steady(reactor)

    class Ending(Protocol):
        """Standard input: nothing comes but its end."""

        def connectionLost(self, reason: object = None) -> None:
            if reactor.running:
                reactor.stop()

    async def start() -> None:
        control = await hosts.serve(reactor, socket, reactor.stop)
        reactor.addSystemEventTrigger("before", "shutdown", control.stopService)
        say(None)
        StandardIO(Ending(), reactor=reactor)

    def failed(failure: Any) -> None:
        say(failure.getErrorMessage())
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(start()).addErrback(failed))
    reactor.run()


if __name__ == "__main__":
    # pickle looks for the classes of this file by its name as a module
    from netstack.world.namespaces import session

    sys.exit(session.main())
