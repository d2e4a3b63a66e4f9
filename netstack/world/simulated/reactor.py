"""The reactor of one boot of one simulated host."""

import errno
import os
import sys
from collections.abc import Callable
from itertools import count
from math import inf, nextafter
from typing import TYPE_CHECKING, Any

from twisted.internet import error, interfaces
from twisted.internet.base import _ThreePhaseEvent
from twisted.internet.defer import Deferred
from twisted.internet.posixbase import _DisconnectSelectableMixin
from twisted.logger import Logger
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from netstack.sansio import Address
from netstack.world.simulated.names import HostNames
from netstack.world.simulated.scheduler import NANOSECONDS, Scheduler, Timer
from netstack.world.simulated.tcp import Connector, Socket, StreamPort
from netstack.world.simulated.udp import DatagramPort

if TYPE_CHECKING:
    from netstack.world.simulated.host import SimulatedHost

ANY = ("", "0.0.0.0", "::")  # noqa: S104  as services write it
LOCAL = ("127.0.0.1", "::1")
EPHEMERAL = (32768, 60999)
"""The ports that clients get, as on Linux; in order here, so that runs repeat."""

_log = Logger()


@implementer(
    interfaces.IReactorTime,
    interfaces.IReactorTCP,
    interfaces.IReactorUDP,
    interfaces.IReactorSSL,
    interfaces.IReactorCore,
    interfaces.IReactorFDSet,
    interfaces.IReactorPluggableNameResolver,
    interfaces.IReactorPluggableResolver,
    interfaces.IReactorThreads,
    interfaces.IReactorFromThreads,
)
class SimulatedReactor(_DisconnectSelectableMixin):
    """What a host's services get. A crash makes it inert for good; the next boot has another one.

    Sockets belong to it, so those of an earlier boot are out of reach of the living.
    """

    def __init__(self, host: "SimulatedHost", scheduler: Scheduler, window: int, slow_start: bool) -> None:
        self.host = host
        self.scheduler = scheduler
        self.alive = True
        """False once the process is dead: nothing runs, is sent or is scheduled any more."""
        self.running = False
        self.window = window
        """Octets of a stream that may be unacknowledged."""
        self.slow_start = slow_start
        self.listeners: dict[Address, Socket] = {}
        self.datagrams: dict[Address, DatagramPort] = {}
        self.streams: dict[Socket, None] = {}
        """Connections that are not closed, in the order they were made."""
        self.next_descriptor = count(3).__next__
        self._next_port = EPHEMERAL[0] - 1
        self._triggers: dict[str, _ThreePhaseEvent] = {}
        self._names: Any = HostNames(self)
        self._stopped = False
        self.soon(self._start)

    def __repr__(self) -> str:
        return f"<reactor of {self.host.name}{'' if self.alive else ', dead'}>"

    def soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Run at this instant, after what is already due."""
        if self.alive:
            scheduler = self.scheduler
            scheduler.at(scheduler.now, self, call, *arguments)

    def _start(self) -> None:
        if not self.running:
            self.running = True
            self.fireSystemEvent("startup")

    # IReactorTime

    def seconds(self) -> float:
        """Since the simulation's start."""
        return self.scheduler.now / NANOSECONDS

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Timer:
        """Strictly later than asked for, as on a real reactor; without delay at this instant, in order of the calls."""
        if delay < 0:
            raise AssertionError(f"{delay} is not greater than or equal to 0 seconds")
        now = self.scheduler.now / NANOSECONDS
        time = now + delay
        if delay and time == now:
            time = nextafter(now, inf)  # after some months floats are coarser than short delays
        timer = Timer(time, callable, args, kwargs, self._cancelled, self.push, self.seconds)
        timer.reactor = self
        self.push(timer)
        return timer

    def push(self, timer: Any) -> None:
        """Put a timer into the heap for its time."""
        scheduler = self.scheduler
        now = scheduler.now
        time = timer.time
        if time <= now / NANOSECONDS:  # not times NANOSECONDS: that rounds away what is left, and time would stand still
            due = now
        else:
            due = int(time * NANOSECONDS) + 1
            while due / NANOSECONDS <= time:  # as above
                due += 256
        timer.due = due
        if self.alive:
            scheduler.at(due, self, timer)

    def _cancelled(self, timer: Any) -> None:
        self.scheduler.cancelled()

    def getDelayedCalls(self) -> list[Timer]:
        """The calls that wait, in no order."""
        return [
            call
            for due, _, reactor, call, _ in self.scheduler.heap
            if reactor is self and type(call) is Timer and call.active() and call.due == due
        ]

    # IReactorFDSet, as Twisted's transports use it

    def addReader(self, selectable: Any) -> None:
        """Call doRead when there is something to read."""
        socket = self._socket(selectable)
        if socket.reader is None:
            socket.reader = selectable
            socket.want_read()

    def removeReader(self, selectable: Any) -> None:
        """The reverse of addReader."""
        socket = getattr(selectable, "socket", None)
        if socket is not None:
            socket.reader = None

    def addWriter(self, selectable: Any) -> None:
        """Call doWrite when there is room."""
        socket = self._socket(selectable)
        if socket.writer is None:
            socket.writer = selectable
            socket.want_write()

    def removeWriter(self, selectable: Any) -> None:
        """The reverse of addWriter."""
        socket = getattr(selectable, "socket", None)
        if socket is not None:
            socket.writer = None

    def _socket(self, selectable: Any) -> Socket:
        socket = getattr(selectable, "socket", None)
        if not isinstance(socket, Socket):
            raise TypeError(f"{selectable!r} has no simulated socket; file descriptors cannot be watched here")
        return socket

    def read(self, selectable: Any) -> None:
        """Let it read; an exception closes it and is logged, which fails the run."""
        try:
            why = selectable.doRead()
        except Exception:
            why = sys.exc_info()[1]
            log.err()
        if why:
            self._disconnectSelectable(selectable, why, True)  # type: ignore[no-untyped-call]

    def write(self, selectable: Any) -> None:
        """Let it write; an exception closes it and is logged, which fails the run."""
        try:
            why = selectable.doWrite()
        except Exception:
            why = sys.exc_info()[1]
            log.err()
        if why:
            self._disconnectSelectable(selectable, why, False)  # type: ignore[no-untyped-call]

    def removeAll(self) -> list[Any]:
        """Forget all readers and writers; returns them."""
        found: dict[Any, None] = {}
        for socket in (*self.listeners.values(), *self.streams):
            for selectable in (socket.reader, socket.writer):
                if selectable is not None:
                    found[selectable] = None
            socket.reader = socket.writer = None
        return list(found)

    def getReaders(self) -> list[Any]:
        """What reads."""
        return [s.reader for s in (*self.listeners.values(), *self.streams) if s.reader is not None]

    def getWriters(self) -> list[Any]:
        """What waits to write."""
        return [s.writer for s in self.streams if s.writer is not None]

    # Addresses and ports

    def source_for(self, destination: str) -> str | None:
        """The address from which the host talks to `destination`, or None when it has none of that family."""
        if destination in LOCAL and destination not in self.host.network.addresses:
            return destination
        six = ":" in destination
        for address in self.host.addresses:
            if (":" in address) == six:
                return address
        return None

    def ephemeral_port(self) -> int:
        """A port that no socket of this host uses; raises OSError when there is none."""
        first, last = EPHEMERAL
        taken = {port for _, port in self.datagrams}
        taken.update(port for _, port in self.listeners)
        crowded = len(self.streams) > (last - first) // 2
        if crowded:
            taken.update(stream.local[1] for stream in self.streams)
        for _ in range(last - first + 1):
            self._next_port = self._next_port + 1 if first <= self._next_port + 1 <= last else first
            if self._next_port not in taken:
                return self._next_port
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    def _bind(self, table: dict[Address, Any], interface: str, port: int) -> Address:
        if interface in ANY:
            interface = ""
        elif interface not in self.host.addresses and interface not in LOCAL:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        if port == 0:
            port = self.ephemeral_port()
        else:
            others = (interface, "") if interface else ("", *self.host.addresses, *LOCAL)
            if any((address, port) in table for address in others):
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return interface, port

    def bind_stream(self, interface: str, port: int) -> Address:
        """An address and port for a stream socket; raises OSError."""
        return self._bind(self.listeners, interface, port)

    def bind_datagram(self, interface: str, port: int) -> Address:
        """An address and port for a datagram socket; raises OSError."""
        return self._bind(self.datagrams, interface, port)

    def hold(self, socket: Socket) -> None:
        """A connection began."""
        self.streams[socket] = None

    def release(self, socket: Socket) -> None:
        """A connection was closed at this end."""
        self.streams.pop(socket, None)

    # IReactorTCP, IReactorUDP, IReactorSSL

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> StreamPort:
        """As IReactorTCP says."""
        listening = StreamPort(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: tuple[str, int] | None = None
    ) -> Connector:
        """As IReactorTCP says; names are looked up by the machine's resolver."""
        connector = Connector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> StreamPort:
        """As IReactorSSL says."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        secure = TLSMemoryBIOFactory(contextFactory, False, factory, clock=self)
        return self.listenTCP(port, secure, backlog, interface)

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: Any,
        contextFactory: Any,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Connector:
        """As IReactorSSL says."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        secure = TLSMemoryBIOFactory(contextFactory, True, factory, clock=self)
        return self.connectTCP(host, port, secure, timeout, bindAddress)

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> DatagramPort:
        """As IReactorUDP says."""
        return DatagramPort(self, port, protocol, interface, maxPacketSize)

    # Names

    @property
    def nameResolver(self) -> Any:
        """For Twisted's own endpoints; ours ask machine.resolver."""
        return self._names

    def installNameResolver(self, resolver: Any) -> Any:
        """As IReactorPluggableNameResolver says."""
        old, self._names = self._names, resolver
        return old

    def installResolver(self, resolver: Any) -> Any:
        """As IReactorPluggableResolver says."""
        from twisted.internet._resolver import SimpleResolverComplexifier

        return self.installNameResolver(SimpleResolverComplexifier(resolver))

    def resolve(self, name: str, timeout: Any = ()) -> Deferred[str]:
        """The first IPv4 address of a name."""
        from twisted.internet._resolver import ComplexResolverSimplifier

        return ComplexResolverSimplifier(self._names).getHostByName(name)

    # IReactorCore and threads

    def addSystemEventTrigger(self, phase: str, eventType: str, callable: Any, *args: Any, **kwargs: Any) -> Any:
        """As IReactorCore says."""
        event = self._triggers.setdefault(eventType, _ThreePhaseEvent())
        return eventType, event.addTrigger(phase, callable, *args, **kwargs)

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """As IReactorCore says."""
        self._triggers[triggerID[0]].removeTrigger(triggerID[1])

    def fireSystemEvent(self, eventType: str) -> None:
        """As IReactorCore says."""
        event = self._triggers.get(eventType)
        if event is not None:
            event.fireEvent()

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """At once when the host is up, else when it comes up."""
        if self.running:
            callable(*args, **kwargs)
            return None
        return self.addSystemEventTrigger("after", "startup", callable, *args, **kwargs)

    def stop(self) -> None:
        """The process ends by itself: shut down gracefully, then be dead."""
        if self._stopped or not self.running:
            raise error.ReactorNotRunning("Can't stop reactor that isn't running.")
        self._stopped = True
        self.addSystemEventTrigger("after", "shutdown", self.host.kill)
        self.callLater(0, self.fireSystemEvent, "shutdown")

    def run(self, installSignalHandlers: bool = True) -> None:
        """The simulation runs, not a host's reactor."""
        raise error.ReactorAlreadyRunning()

    def crash(self) -> None:
        """The process ends at once."""
        self.host.kill()

    def iterate(self, delay: float = 0) -> None:
        """There is no nested loop here."""
        raise RuntimeError("a simulated reactor cannot be iterated")

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """At this instant: there are no threads."""
        self.callLater(0, callable, *args, **kwargs)

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """For libraries' thread pools; ours use machine.offload."""
        self.callLater(0, callable, *args, **kwargs)

    def callInThreadWithCallback(self, onResult: Any, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """As a thread pool's, for deferToThread."""

        def work() -> None:
            try:
                result = callable(*args, **kwargs)
            except Exception:
                onResult(False, Failure())
            else:
                onResult(True, result)

        self.callLater(0, work)

    def getThreadPool(self) -> Any:
        """Itself: work runs inline."""
        return self

    def suggestThreadPoolSize(self, size: int) -> None:
        """There are no threads."""

    # Ends

    def die(self) -> None:
        """The process is gone."""
        self.alive = False
        self.running = False
