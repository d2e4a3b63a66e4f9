"""netstack-internet: all hosts of a world in one process, or one host alone (a pod, a namespace)."""

import time
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.python import usage

from netstack.kernel.real import default_state_directory
from netstack.world.addresses import SERVICE_CIDR, Parameters, Substrate, addresses
from netstack.world.certificates import Certificates
from netstack.world.compose import certified
from netstack.world.control.paths import WORLD_NAME, AlreadyRunning, Claim, NoPrivateDirectory, is_world_name
from netstack.world.control.server import ControlServer
from netstack.world.control.verbs import WorldVerbs
from netstack.world.loader import DEFAULT, load
from netstack.world.loopback import LoopbackOptions, LoopbackWorld
from netstack.world.model import World
from netstack.world.problems import WorldError, one_of
from netstack.world.process import Place, ProcessHosts
from netstack.world.running import BringUpError

REAL: tuple[Substrate, ...] = ("loopback", "namespaces", "kubernetes")
"""The substrates of real processes."""


class Options(usage.Options):
    """Command line of `twistd netstack-internet`."""

    synopsis = "[--world FILE] [--host NAME] [options]"
    longdesc = "Brings up the services of every host of a world in this process, or those of one host alone."
    optFlags = [["shaped", None, "Loopback: links begin with the world file's rates, delays and losses."]]
    optParameters = [
        ["world", None, DEFAULT, "World file, or the name of one that is known."],
        ["name", None, None, "Keeps worlds apart on one machine [default: the world's name]."],
        ["host", None, None, "Bring up this host alone."],
        ["substrate", None, "loopback", "Where the addresses come from: loopback, namespaces or kubernetes."],
        ["port-offset", None, None, "Loopback: added to every port [default: 0 where low ports may be bound, else 10000]."],
        ["network", None, None, "Loopback: the world's own second octet of 127.x.0.0/16 [default: a free one]."],
        ["service-cidr", None, SERVICE_CIDR, "Kubernetes: the cluster's range of Service addresses."],
        ["seed", None, None, "Seed of the world [default: the world file's]."],
        ["state", None, None, "Directory of the world's state [default: $XDG_STATE_HOME/netstack/NAME]."],
    ]

    world: World

    def postOptions(self) -> None:
        try:
            self.world = load(self["world"])
        except WorldError as error:
            raise usage.UsageError(str(error)) from None
        if self["name"] is not None and not is_world_name(self["name"]):
            raise usage.UsageError(f"--name {self['name']}: expected {WORLD_NAME}")
        if self["substrate"] not in REAL:
            raise usage.UsageError(f"--substrate {self['substrate']}: expected {one_of(REAL)}")
        if self["host"] is not None and self["host"] not in self.world.hosts:
            raise usage.UsageError(f"--host {self['host']}: there is no such host in {self.world.name}")
        if self["host"] is None and self["substrate"] != "loopback":
            raise usage.UsageError(f"--substrate {self['substrate']} needs --host: one process carries one host there")
        for key, most in (("port-offset", 32_000), ("network", 254), ("seed", 2**63)):
            if self[key] is not None:
                self[key] = _number(key, self[key], most)

    @property
    def place(self) -> Place:
        """Name, state and hosts of the process."""
        name = self["name"] or self.world.name
        state = Path(self["state"]) if self["state"] else default_state_directory() / name
        return Place(
            name,
            state,
            None if self["host"] is None else (self["host"],),
            ("0.0.0.0",) if self["substrate"] == "kubernetes" else None,  # noqa: S104  a pod's address is the cluster's choice
            self.world.seed if self["seed"] is None else self["seed"],
        )


class WorldService(Service):
    """Hosts of a world as a Twisted service: bound before privileges are shed, started, drained at the end.

    A whole world serves a control socket, so that `netstack status`, `exec` and the rest work on it.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.hosts: ProcessHosts | None = None
        self._loopback: LoopbackWorld | None = None
        self._claim: Claim | None = None
        self._control: ControlServer | None = None

    def privilegedStartService(self) -> None:
        try:
            if self.options["host"] is None:
                self._claim = Claim.take(self.options.place.name)
            self.hosts = self._make()
            self.hosts.build()
            self.hosts.bind()
        except (AlreadyRunning, NoPrivateDirectory, BringUpError, WorldError, ValueError) as error:
            raise SystemExit(f"netstack-internet: {error}") from error

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        if self.hosts is None:
            self.privilegedStartService()
        if self.hosts is not None:
            self.hosts.start()
            if self._claim is not None:
                reactor = self.hosts.reactor
                verbs = WorldVerbs(self.hosts.running, reactor.stop).table()
                self._control = ControlServer(reactor, self._claim.socket, verbs)
                self._control.startService()

    def stopService(self) -> Deferred[Any] | None:
        super().stopService()  # type: ignore[no-untyped-call]
        if self.hosts is None:
            return None
        return Deferred.fromCoroutine(self._stop(self.hosts))

    async def _stop(self, hosts: ProcessHosts) -> None:
        await hosts.running.stop()
        if self._control is not None:
            self._control.stopService()
        if self._claim is not None:
            self._claim.release()

    def _make(self) -> ProcessHosts:
        options, place = self.options, self.options.place
        if options["substrate"] == "loopback":
            self._loopback = LoopbackWorld(
                options.world,
                LoopbackOptions(
                    place.name,
                    options["network"],
                    options["port-offset"],
                    place.state_directory,
                    place.hosts,
                    bool(options["shaped"]),
                    place.seed,
                ),
            )
            return self._loopback.process
        table = addresses(options.world, options["substrate"], Parameters(service_cidr=options["service-cidr"]))
        certificates = Certificates(place.state_directory, time.time, place.name)
        place.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificates.issue(certified(options.world, place.hosts))
        return ProcessHosts(options.world, table, place, certificates)


def makeService(options: Options) -> IService:
    """For twistd."""
    service: Any = WorldService(options)
    made: IService = service
    return made


def _number(key: str, text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > most:
        raise usage.UsageError(f"--{key} {text}: expected a whole number from 0 to {most}")
    return int(text)
