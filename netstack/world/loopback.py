"""The loopback substrate: every host of a world in this process, on addresses 127.NETWORK.y.z of its own.

A world holds its network by a lock on a file, which the kernel gives back when the process dies, however it dies.
Links begin without delay, loss or bound on their rate, so that a world is quick; `shaped` asks for those of the world file.
"""

import errno
import fcntl
import os
import resource
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from netstack.kernel.authority import TLSError
from netstack.kernel.real import default_state_directory
from netstack.world.addresses import AddressError, Parameters, addresses
from netstack.world.certificates import Certificates
from netstack.world.compose import certified
from netstack.world.control.paths import NoPrivateDirectory, make_private, runtime_root
from netstack.world.model import World
from netstack.world.process import Place, ProcessHosts
from netstack.world.running import BringUpError, Running
from netstack.world.sites import SiteLinks

PORT_OFFSET = 10_000
"""Added to every port where the standard ones cannot be had."""
NETWORKS = range(1, 255)
GUARD_PORT = 20_053
"""UDP port of the socket that marks a network as taken."""


@dataclass(frozen=True, slots=True)
class LoopbackOptions:
    """How a world is brought up on loopback."""

    name: str | None = None
    """What keeps it apart from others; None: the world's name."""
    network: int | None = None
    """127.NETWORK.0.0/16; None: one that no other world holds, the same for the same name when it is free."""
    port_offset: int | None = None
    """None: 0 where the standard ports may be bound and nobody listens there on all addresses, else PORT_OFFSET."""
    state_directory: Path | None = None
    """None: `$XDG_STATE_HOME/netstack/NAME`."""
    hosts: tuple[str, ...] | None = None
    """Those to bring up; None: all."""
    shaped: bool = False
    """Whether links begin as the world file says."""
    seed: int | None = None


class NetworkLock:
    """One network 127.NUMBER.0.0/16, held by this process.

    The lock on a file is seen by worlds of the same user alone; a socket bound inside the network is seen by all.
    """

    def __init__(self, number: int, descriptor: int, guard: socket.socket | None) -> None:
        self.number = number
        self._descriptor = descriptor
        self._guard = guard

    @classmethod
    def take(cls, preferred: int, only: bool = False, shared: bool = False) -> "NetworkLock":
        """The preferred one, or the next that is free unless it is to be that one only; raises BringUpError.

        `shared`: with other processes that carry single hosts of the same world.
        """
        try:
            root = runtime_root()
            make_private(root)
            folder = root / ".networks"
            make_private(folder)
        except NoPrivateDirectory as error:
            raise BringUpError(str(error)) from error
        for step in range(1 if only else len(NETWORKS)):
            number = NETWORKS[(preferred - NETWORKS.start + step) % len(NETWORKS)]
            descriptor = os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            if shared:
                return cls(number, descriptor, None)
            guard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                guard.bind((f"127.{number}.255.253", GUARD_PORT))
            except OSError as error:
                guard.close()
                os.close(descriptor)
                if error.errno == errno.EADDRINUSE:
                    continue
                raise BringUpError(f"no addresses 127.{number}.0.0/16 on this machine: {error.strerror}") from error
            return cls(number, descriptor, guard)
        held = f"127.{preferred}.0.0/16 is" if only else "all networks 127.1.0.0/16 to 127.254.0.0/16 are"
        raise BringUpError(f"{held} held by another world: stop one with netstack down, or choose another network")

    def release(self) -> None:
        """Give it back; twice is once."""
        descriptor, self._descriptor = self._descriptor, -1
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.close()
        if descriptor >= 0:
            os.close(descriptor)


def standard_ports_are_free(address: str) -> bool:
    """Whether this process may listen on ports below 1024, and nobody else does on all addresses of the machine."""
    for kind, ports in ((socket.SOCK_STREAM, (53, 80, 443)), (socket.SOCK_DGRAM, (53,))):
        for port in ports:
            with socket.socket(socket.AF_INET, kind) as probe:
                try:
                    probe.bind((address, port))
                except OSError as error:
                    if error.errno in (errno.EACCES, errno.EADDRINUSE):
                        return False
    return True


def allow_many_sockets() -> None:
    """Raise this process's bound on open files as far as the system lets it: a host has five sockets and more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class LoopbackWorld:
    """A world on loopback: `await up()`, then `running`, then `await stop()`."""

    def __init__(self, world: World, options: LoopbackOptions | None = None, reactor: Any = None) -> None:
        """Takes the network and makes what is missing of the certificates; raises BringUpError."""
        self.world = world
        self.options = options = options or LoopbackOptions()
        name = options.name or world.name
        unknown = [host for host in options.hosts or () if host not in world.hosts]
        if unknown:
            raise BringUpError(f"there is no host {unknown[0]} in {world.name}")
        state = options.state_directory or default_state_directory() / name
        preferred = options.network or NETWORKS[crc32(name.encode()) % len(NETWORKS)]
        allow_many_sockets()
        self._lock: NetworkLock | None = NetworkLock.take(
            preferred, options.network is not None or options.hosts is not None, options.hosts is not None
        )
        try:
            offset = options.port_offset
            if offset is None:
                offset = 0 if standard_ports_are_free(f"127.{self._lock.number}.255.254") else PORT_OFFSET
            table = addresses(world, "loopback", Parameters(self._lock.number, offset))
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            certificates = Certificates(state, time.time, name)
            certificates.issue(certified(world, options.hosts))
            self.process = ProcessHosts(
                world,
                table,
                Place(name, state, options.hosts, seed=world.seed if options.seed is None else options.seed),
                certificates,
                SiteLinks(world, table, options.shaped),
                reactor,
            )
        except (AddressError, TLSError, OSError) as error:
            self._lock.release()
            raise BringUpError(f"cannot bring {name} up: {error}") from error
        self.process.running.stopping = self.stop

    @property
    def running(self) -> Running:
        """The world."""
        return self.process.running

    async def up(self) -> Running:
        """Everything is bound, then started; raises BringUpError, and nothing is left then."""
        try:
            return await self.process.up()
        except BaseException:
            self._release()
            raise

    async def stop(self) -> None:
        """Drain, stop, give the network back."""
        await self.process.stop()
        self._release()

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


async def bring_up(world: World, options: LoopbackOptions | None = None, reactor: Any = None) -> Running:
    """A world on loopback; `await running.stop()` ends it. Raises BringUpError or WorldError; nothing is left then."""
    return await LoopbackWorld(world, options, reactor).up()
