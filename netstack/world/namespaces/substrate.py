"""The namespaces substrate: every host of a world a process in namespaces of its own, on its own address, standard ports.

The supervisor makes certificates, loads the code and computes the zones once, forks the hosts, then serves the world's
control socket, on which it merges what the hosts say.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from netstack.kernel.authority import TLSError
from netstack.kernel.log import log_to
from netstack.kernel.real import steady
from netstack.world.addresses import AddressError, AddressTable, addresses
from netstack.world.certificates import Certificates
from netstack.world.compose import certified
from netstack.world.control.merged import MergedVerbs
from netstack.world.control.remote import RemoteControl
from netstack.world.control.server import ControlServer, Verb
from netstack.world.control.verbs import WorldVerbs
from netstack.world.model import World
from netstack.world.namespaces.linux import NotAllowed
from netstack.world.namespaces.supervisor import HostFailed, HostPlan, Supervisor
from netstack.world.process import Place, ProcessHosts
from netstack.world.running import BringUpError, Running
from netstack.world.sites import SiteLinks

CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where systems keep the certificates that programs trust."""
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"


@dataclass(frozen=True, slots=True)
class NamespaceOptions:
    """How a world is brought up in namespaces."""

    name: str
    state_directory: Path
    runtime_directory: Path
    """Private; the control sockets of the hosts lie below it."""
    seed: int | None = None
    shaped: bool = False
    """Whether links begin as the world file says."""
    recorded: tuple[str, ...] = ()
    """Hosts whose journal is on from the start."""


class NamespaceWorld:
    """A world in namespaces: `start()` before this process has a reactor, then `serve(reactor, ...)`, then `stop()`."""

    def __init__(self, world: World, options: NamespaceOptions) -> None:
        self.world = world
        self.options = options
        self.certificates = Certificates(options.state_directory, time.time, options.name)
        self.sockets = options.runtime_directory / "hosts"
        try:
            self.table = addresses(world, "namespaces")
            options.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.sockets.mkdir(mode=0o700, exist_ok=True)
            self.certificates.issue(certified(world))
            plans = [self._plan(name) for name in world.hosts]
        except (AddressError, TLSError, OSError) as error:
            raise BringUpError(f"cannot bring {options.name} up: {error}") from error
        self.supervisor = Supervisor(plans, ip_network(self.table.network).prefixlen, self._run)
        self._remotes: dict[str, RemoteControl] = {}

    def start(self) -> None:
        """Fork the hosts and wait until all are ready; raises BringUpError, and none is left then.

        This process leaves its namespaces, so it must have one thread. What is imported here is shared by all hosts.
        """
        preload(self.world)
        try:
            self.supervisor.start()
        except NotAllowed as error:
            raise BringUpError(str(error)) from error
        except HostFailed as error:
            raise BringUpError(f"cannot bring {self.options.name} up: {error}") from error

    async def serve(self, reactor: Any, socket: Path, stop: Callable[[], None]) -> ControlServer:
        """Connect to the hosts and serve the world's control socket; `stop` is called when a client asks for the end."""
        names = list(self.supervisor.pids)
        found = await gatherResults([RemoteControl.connect(reactor, self._socket(name)) for name in names])
        self._remotes.update(zip(names, found, strict=True))
        for name, pid in self.supervisor.pids.items():
            reactor.addReader(_Ending(reactor, pid, partial(self._remotes.pop, name, None)))
        self.verbs = MergedVerbs(
            reactor, self.world, self.table, self._remotes, self._about(), lambda: self.supervisor.pids, stop
        )
        control = ControlServer(reactor, socket, self.world_verbs())
        control.startService()
        return control

    def world_verbs(self) -> dict[str, Verb]:
        """What the world's control socket serves."""
        return self.verbs.verbs()

    def host_verbs(self, running: Running, stop: Callable[[], None]) -> dict[str, Verb]:
        """What a host's control socket serves."""
        return WorldVerbs(running, stop).table()

    async def status(self) -> Mapping[str, Any]:
        """The world as `netstack status --json` shows it."""
        found: Any = await self.verbs.status({}, _NoStream())
        status: Mapping[str, Any] = found
        return status

    def stop(self) -> None:
        """Drain and end all hosts."""
        self.supervisor.stop()

    def _about(self) -> dict[str, Any]:
        return {
            "world": self.options.name,
            "substrate": "namespaces",
            "seed": self._seed,
            "port_offset": 0,
            "ca": str(self.certificates.file),
            "state": str(self.options.state_directory),
        }

    @property
    def _seed(self) -> int:
        return self.world.seed if self.options.seed is None else self.options.seed

    def _socket(self, name: str) -> Path:
        """By number, for the path of a Unix socket is at most 107 octets long."""
        return self.sockets / f"{list(self.world.hosts).index(name)}.sock"

    def _plan(self, name: str) -> HostPlan:
        folder = self.options.state_directory / "hosts" / name / "etc"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file, text in host_files(self.world, self.table, name).items():
            (folder / file).write_text(text)
        files = {Path("/etc") / file: folder / file for file in ("resolv.conf", "hosts", "nsswitch.conf")}
        files |= dict.fromkeys(map(Path, CA_BUNDLES), self.certificates.file)
        return HostPlan(name, self.table.hosts[name], files)

    def _run(self, plan: HostPlan, ready: Callable[[], None]) -> None:
        """The life of a host, in its own process."""
        from twisted.internet import reactor as installed

        reactor: Any = installed
        steady(reactor)
        log_to(self.options.state_directory / "hosts" / plan.name / "log")
        failures: list[BaseException] = []
        socket = self._socket(plan.name)
        socket.unlink(missing_ok=True)
        place = Place(self.options.name, self.options.state_directory, (plan.name,), seed=self._seed)
        links = SiteLinks(self.world, self.table, self.options.shaped, senders_elsewhere=True)

        async def begin() -> None:
            process = ProcessHosts(self.world, self.table, place, self.certificates, links, reactor)
            running = await process.up()
            reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(running.stop()))
            if plan.name in self.options.recorded:
                running.journal.enable(plan.name)
            ControlServer(reactor, socket, self.host_verbs(running, reactor.stop)).startService()
            ready()

        def failed(failure: Any) -> None:
            failures.append(failure.value)
            reactor.stop()

        reactor.callWhenRunning(lambda: Deferred.fromCoroutine(begin()).addErrback(failed))
        reactor.run()
        if failures:
            raise failures[0]


def preload(world: World) -> None:
    """Import what the hosts need; everything but the reactor itself, which has a descriptor in each process."""
    import_module("twisted.internet.epollreactor")
    for plugin in sorted({service.plugin for host in world.hosts.values() for service in host.services}):
        import_module(f"netstack.taps.{plugin}")
    import_module("netstack.dns.client")
    import_module("netstack.http.client")


def host_files(world: World, table: AddressTable, name: str) -> dict[str, str]:
    """What a host's programs read in /etc: who resolves names, its own name, and nothing else of the machine's."""
    server = world.resolver_of(name)
    resolver = "".join(f"nameserver {address}\n" for address in table.hosts[server]) if server else "# no resolver\n"
    own = "".join(f"{address} {name}\n" for address in table.hosts[name])
    return {"resolv.conf": resolver, "hosts": f"127.0.0.1 localhost\n{own}", "nsswitch.conf": NSSWITCH}


class _Ending:
    """Tells when a process has ended (pidfd_open(2))."""

    def __init__(self, reactor: Any, pid: int, told: Callable[[], object]) -> None:
        self._reactor = reactor
        self._descriptor = os.pidfd_open(pid)
        self._told = told

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "host"

    def doRead(self) -> None:
        self._reactor.removeReader(self)
        os.close(self._descriptor)
        self._told()

    def connectionLost(self, reason: object) -> None:
        pass


class _NoStream:
    dropped = 0

    def send(self, item: object) -> bool:
        return False

    def ended(self) -> Deferred[None]:
        return Deferred()
