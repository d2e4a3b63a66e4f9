"""The options that every tap shares: where it listens, and the machine that it runs on outside a world."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from signal import SIGHUP, SIGUSR1
from typing import Any, TypeVar

from twisted.application.service import IService, MultiService
from twisted.python import usage

from netstack.kernel.authority import TLSError
from netstack.kernel.config import LayeredOptions
from netstack.kernel.disk import RealDisk
from netstack.kernel.health import health_listener, unbound
from netstack.kernel.holding import hold
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint, ListenError
from netstack.kernel.machine import Machine
from netstack.kernel.real import real_machine
from netstack.kernel.resolver import is_address
from netstack.kernel.signals import Signals
from netstack.kernel.tls import HostTLS
from netstack.kernel.workers.health import WorkersHealth
from netstack.kernel.workers.parent import WorkerLimits, Workers
from netstack.kernel.workers.ports import shareable
from netstack.kernel.workers.worker import WorkerService, this_worker
from netstack.sansio.bounds import positive

_LIMITS = StreamLimits()
_WORKERS = WorkerLimits()
MOST_WORKERS = 64
Built = TypeVar("Built")


class MachineOptions(LayeredOptions):
    """Name, addresses, state and certificates of the machine. A tap's Options inherit from it."""

    optParameters = [
        ["name", None, "localhost", "This host's name in metrics, journal and log."],
        ["state", None, None, "Directory of this host's files [default: below $XDG_STATE_HOME/netstack]."],
        ["port-offset", None, 0, "Added to every port, so that no right to use low ones is needed.", int],
        ["certificate", None, None, "PEM file of this host's certificate and its chain, for tls endpoints."],
        ["key", None, None, "PEM file of the certificate's key."],
        ["trust", None, None, "PEM file of the authorities trusted when this host connects to others."],
        ["health", None, 0, "Port of /livez, /readyz and /metrics; 0 is none.", int],
        ["handshake", None, _LIMITS.handshake, "Seconds for a TLS handshake.", float],
        ["connect", None, _LIMITS.connect, "Seconds for a connection of ours to be set up.", float],
        ["discard", None, _LIMITS.discard, "Seconds for a peer to close after our last octet.", float],
        ["output", None, _LIMITS.output_high, "Queued octets above which a connection reads no more.", int],
    ]
    arguments: Sequence[str] = ()
    """The command line."""
    held = -1
    """The descriptor that holds the state directory; twistd keeps its options as long as it runs."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.listen: list[str] = []
        super().__init__()  # type: ignore[no-untyped-call]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        self.arguments = list(options or ())
        super().parseOptions(options)

    def opt_address(self, value: str) -> None:
        """An address of this host; may be repeated, the first is for outgoing flows. 0.0.0.0 is all [default: 127.0.0.1]."""
        if not is_address(value):
            raise usage.UsageError(f"--address {value}: expected an IPv4 or IPv6 address")
        self.addresses.append(value)

    def opt_listen(self, value: str) -> None:
        """Where to listen, KIND:PORT[:interface=ADDRESS] with KIND tcp, udp or tls; may be repeated."""
        try:
            self.listen.append(str(Endpoint.parse(value)))
        except ValueError as error:
            raise usage.UsageError(f"--listen {error}") from None

    def postOptions(self) -> None:
        """Raises UsageError when a bound is not above zero, and for certificates that do not fit or are missing."""
        for key in ("handshake", "connect", "discard", "output"):
            try:
                positive(key, self[key])
            except ValueError as error:
                raise usage.UsageError(str(error)) from None
        ports = [Endpoint.parse(text).port for text in self.listen]
        for key, most in (("health", 65535), ("port-offset", 65535 - max(ports, default=0))):
            if not 0 <= self[key] <= most:
                raise usage.UsageError(f"{key}: expected a number from 0 to {most}, got {self[key]}")
        try:
            HostTLS.from_files(None, lambda: 0.0, self["certificate"], self["key"], self["trust"])
        except TLSError as error:
            raise usage.UsageError(str(error)) from None
        if not self.has_certificate() and any(Endpoint.parse(text).kind == "tls" for text in self.listen):
            raise usage.UsageError("a tls endpoint needs --certificate and --key")

    def has_certificate(self) -> bool:
        """Whether tls endpoints have one."""
        return self["certificate"] is not None

    def machine(self) -> Machine:
        """The real machine on this process's reactor; raises UsageError that names the file or option at fault."""
        addresses = tuple(self.addresses or ["127.0.0.1"])
        machine = real_machine(self["name"], addresses, self["state"], self["port-offset"])
        machine.limits = replace(
            _LIMITS,
            handshake=self["handshake"],
            connect=self["connect"],
            discard=self["discard"],
            output_high=self["output"],
            output_low=max(1, self["output"] // 4),
        )
        try:
            machine.tls = HostTLS.from_files(machine.reactor, machine.wall, self["certificate"], self["key"], self["trust"])
        except TLSError as error:
            raise usage.UsageError(str(error)) from None
        return machine

    def renew_certificate(self, machine: Machine) -> None:
        """Read the files of `--certificate` and `--key` again; raises UsageError, and then nothing is changed."""
        if self["certificate"] is None or not isinstance(machine.tls, HostTLS):
            return
        try:
            machine.tls.renew(HostTLS.from_files(None, machine.wall, self["certificate"], self["key"]).leaves)
        except TLSError as error:
            raise usage.UsageError(str(error)) from None

    def hold_state(self, machine: Machine) -> None:
        """Before a service is built that keeps something: its files are this process's and its workers' alone.

        Ends the process where another one has them.
        """
        if isinstance(machine.disk, RealDisk) and machine.worker is None:
            root = machine.disk.root
            self.held = built(lambda: hold(root))

    def with_health(self, service: IService, machine: Machine, not_ready: Callable[[], Sequence[str]] = tuple) -> IService:
        """The service, and beside it the health port where one is asked for; what cannot be bound ends the process.

        A worker's is its parent's. `not_ready`: what the service lacks beside its endpoints.
        """
        both: Any = Bound()  # type: ignore[no-untyped-call]
        service.setServiceParent(both)
        beside: Any = None
        if machine.worker is not None:
            beside = WorkerService(machine.worker, machine.reactor, machine.registry, lambda: unbound(service))
        elif self["health"]:
            beside = health_listener(machine, self["health"], lambda: [*unbound(service), *not_ready()])
        if beside is not None:
            beside.setServiceParent(both)
        together: IService = both
        return together


class WorkerOptions(MachineOptions):
    """Adds `--workers`: the service in several processes that share its ports."""

    optParameters = [
        ["workers", None, 1, "Processes that share the ports.", int],
        ["worker-silence", None, _WORKERS.silence, "Seconds for a worker to answer its parent; then it is killed.", float],
        ["worker-stop", None, _WORKERS.stop, "Seconds for a worker to end; then it is killed.", float],
    ]

    def postOptions(self) -> None:
        super().postOptions()
        if not 1 <= self["workers"] <= MOST_WORKERS:
            raise usage.UsageError(f"workers: expected a number from 1 to {MOST_WORKERS}, got {self['workers']}")
        for key in ("worker-silence", "worker-stop"):
            try:
                positive(key, self[key])
            except ValueError as error:
                raise usage.UsageError(str(error)) from None
        if self["workers"] > 1 and not shareable():
            raise usage.UsageError("workers: only Linux spreads flows over processes; expected 1")
        if self["workers"] > 1 and any(Endpoint.parse(text).port == 0 for text in self.listen):
            raise usage.UsageError(
                "workers: expected endpoints with a port: processes do not share one that is chosen for each"
            )

    def served(self, listen: tuple[str, ...], build: Callable[[Machine], IService], keeps: bool = False) -> IService:
        """The service of this process: the only one, a worker, or the parent of workers, which serves nothing itself.

        `keeps`: it writes to its state directory, which nobody else may do meanwhile.
        """
        machine = self.machine()
        machine.worker = this_worker()
        if keeps:
            self.hold_state(machine)
        if machine.worker is not None or self["workers"] == 1:
            return self.with_health(built(lambda: build(machine)), machine)
        both: Any = Bound()  # type: ignore[no-untyped-call]
        limits = WorkerLimits(silence=self["worker-silence"], stop=self["worker-stop"])
        twistd: Any = self.parent
        command = [twistd.subCommand, *self.arguments]
        bound = built(lambda: placed(machine, endpoints("listen", listen)))
        workers: Any = Workers(machine, command, bound, self["workers"], limits)
        workers.setServiceParent(both)
        signals: Any = Signals(machine.reactor, {number: partial(workers.pass_on, number) for number in (SIGHUP, SIGUSR1)})
        signals.setServiceParent(both)
        if self["health"]:
            health: Any = health_listener(machine, self["health"], list, role=lambda: WorkersHealth(workers))
            health.setServiceParent(both)
        together: IService = both
        return together


class Bound(MultiService):
    """Services whose endpoints are all bound, or none of them runs: the process ends, and one line says what is wrong."""

    def privilegedStartService(self) -> None:
        try:
            super().privilegedStartService()  # type: ignore[no-untyped-call]
        except ListenError as error:
            raise SystemExit(str(error)) from None


def built(build: Callable[[], Built]) -> Built:
    """What `build` makes; a file or an option that it cannot use ends the process, and one line says which."""
    try:
        return build()
    except OSError as error:
        raise SystemExit(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from None
    except ValueError as error:
        raise SystemExit(str(error)) from None


def reason(error: OSError | ValueError) -> str:
    """Why a file cannot be used, for a text that names it already."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def endpoints(key: str, listen: tuple[str, ...]) -> tuple[Endpoint, ...]:
    """The endpoints of a Config's field `key`; raises ValueError that names it."""
    if not listen:
        raise ValueError(f"{key}: expected at least one endpoint such as tcp:12000")
    try:
        return tuple(Endpoint.parse(text) for text in listen)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def networks(key: str, texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    """The networks of a Config's field `key`; raises ValueError that names it."""
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise ValueError(f"{key}: expected networks such as 127.0.0.0/8: {error}") from None


def in_use(machine: Machine, port: int) -> int:
    """The port for a standard one; raises ValueError where the offset makes it none."""
    found = machine.port(port)
    if found > 65535:
        raise ValueError(f"port-offset: expected at most {65535 - port} for port {port}, got {found - port}")
    return found


def placed(machine: Machine, found: tuple[Endpoint, ...]) -> list[Endpoint]:
    """Standard endpoints as they are bound: with the port in use, on each address of the machine where none is named.

    Raises ValueError for ports that cannot be.
    """
    return [
        Endpoint(endpoint.kind, in_use(machine, endpoint.port), interface)
        for endpoint in found
        for interface in ([endpoint.interface] if endpoint.interface else machine.addresses)
    ]
