"""UDP over simulated links. The path of a datagram is written for speed: a million of them pass in a few seconds."""

from heapq import heappush
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from twisted.logger import Logger
from zope.interface import implementer

from netstack.sansio import Address

if TYPE_CHECKING:
    from netstack.world.simulated.host import SimulatedHost
    from netstack.world.simulated.reactor import SimulatedReactor

HEADERS = 28
"""Octets of IPv4 and UDP headers."""
LARGEST = 65507
"""Octets of payload (RFC 768, RFC 791)."""
UNREACHABLE = 56
"""Octets of an ICMP port unreachable message (RFC 792)."""

_log = Logger()


@implementer(IListeningPort, IUDPTransport)
class DatagramPort:
    """A bound datagram socket."""

    __slots__ = (
        "__weakref__", "_connected", "_extend", "_find", "_heap", "_routes", "_scheduler", "_sequence", "bound", "broadcast",
        "host", "ident", "largest", "listening", "protocol", "reactor", "source", "stopping",
    )  # fmt: skip

    def __init__(self, reactor: "SimulatedReactor", port: int, protocol: Any, interface: str, largest: int) -> None:
        if interface and not isIPAddress(interface) and not isIPv6Address(interface):
            raise InvalidAddressError(interface, "not an IPv4 or IPv6 address.")
        self.reactor = reactor
        self.host = host = reactor.host
        try:
            self.bound = reactor.bind_datagram(interface, port)
        except OSError as why:
            raise CannotListenError(interface, port, why) from why
        network = host.network
        self._scheduler = network.scheduler
        self._heap = network.heap
        self._sequence = network.sequence
        self._find = network.addresses.get
        self._routes = host.routes.get
        self._extend = host.packets.extend
        self._connected: Address | None = None
        self.protocol = protocol
        self.largest = largest
        self.source: Address = (self.bound[0] or reactor.source_for("::" if interface == "::" else "") or "", self.bound[1])
        self.ident = host.ident + self.bound[1]
        self.broadcast = False
        self.stopping: Deferred[None] | None = None
        reactor.datagrams[self.bound] = self
        self.listening = True
        protocol.makeConnection(self)

    def write(self, packet: bytes, addr: Address | None = None) -> None:
        """Send a datagram; to a connected port's peer when `addr` is None."""
        if self._connected is not None:
            if addr is not None and addr != self._connected:
                raise AssertionError(f"connected to {self._connected}, not {addr}")
            addr = self._connected
        elif addr is None:
            raise AssertionError("where to?")
        if not self.listening or not self.reactor.alive:
            return
        size = len(packet)
        if size > LARGEST:
            raise MessageLengthError("message too long")
        if type(packet) is not bytes:
            packet = bytes(packet)
        host = self.host
        there = self._find(addr[0]) or host.network.find(addr[0], host)
        now = self._scheduler.now
        if there is None:
            if not isIPAddress(addr[0]) and not isIPv6Address(addr[0]):
                raise InvalidAddressError(addr[0], "write() only accepts IP addresses, not hostnames")
            self._extend((now, self.ident, -1, size + HEADERS))
            return
        size += HEADERS
        self._extend((now, self.ident, there.ident + addr[1], size))
        path = self._routes(there) or host.network.path(host, there)
        link = path[0]
        if link.plain and len(path) == 1:
            link.carried += size
            link.packets += 1
            heappush(self._heap, (now + link.delay, self._sequence(), None, deliver, (there, addr, packet, self)))
        else:
            host.network.carry(path, size, deliver, (there, addr, packet, self))

    def writeSequence(self, seq: Any, addr: Address | None = None) -> None:
        """Send one datagram made of several parts."""
        self.write(b"".join(seq), addr)

    def connect(self, host: str, port: int) -> None:
        """Send to and hear from one peer alone; refusals are then reported."""
        if self._connected is not None:
            raise RuntimeError("already connected, reconnecting is not currently supported")
        if not isIPAddress(host) and not isIPv6Address(host):
            raise InvalidAddressError(host, "not an IPv4 or IPv6 address.")
        self._connected = (host, port)

    def startListening(self) -> None:
        """It has been listening since it was made."""

    def stopListening(self) -> Deferred[None] | None:
        """Stop; fires when the port is free and the protocol was told."""
        if not self.listening:
            return None
        if self.stopping is None:
            self.stopping = Deferred()
            self.reactor.callLater(0, self._stop)
        return self.stopping

    loseConnection = stopListening

    def _stop(self) -> None:
        self.listening = False
        if self.reactor.datagrams.get(self.bound) is self:
            del self.reactor.datagrams[self.bound]
        self.protocol.doStop()
        stopping, self.stopping = self.stopping, None
        if stopping is not None:
            stopping.callback(None)

    def getHost(self) -> IPv4Address | IPv6Address:
        """Where it is bound."""
        if ":" in self.bound[0] or (not self.bound[0] and ":" in self.source[0]):
            return IPv6Address("UDP", self.bound[0] or "::", self.bound[1])
        return IPv4Address("UDP", self.bound[0] or "0.0.0.0", self.bound[1])  # noqa: S104  as the system writes it

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Kept, without effect: there is no broadcast here."""
        self.broadcast = enabled

    def getBroadcastAllowed(self) -> bool:
        """What was set."""
        return self.broadcast

    def _refused(self) -> None:
        """A port unreachable message came back."""
        if self.listening and self.reactor.alive:
            self._scheduler.current = self.reactor
            self.protocol.connectionRefused()


def deliver(there: "SimulatedHost", address: Address, packet: bytes, sender: DatagramPort) -> None:
    """A datagram arrives. Whatever its receiver raises is logged and concerns this datagram alone, as in Twisted."""
    reactor = there.reactor
    if reactor is None:
        if there.powered:
            _refuse(there, address, sender)
        return
    ports = reactor.datagrams
    port = ports.get(address) or ports.get(("", address[1]))
    if port is None:
        _refuse(there, address, sender)
        return
    if port._connected is not None and port._connected != sender.source:
        return
    reactor.scheduler.current = reactor
    try:
        port.protocol.datagramReceived(packet if len(packet) <= port.largest else packet[: port.largest], sender.source)
    except Exception:
        _log.failure("in datagramReceived of {host}", host=there.name)


def _refuse(there: "SimulatedHost", address: Address, sender: DatagramPort) -> None:
    if sender._connected is not None:
        network = there.network
        there.packets.extend((network.scheduler.now, there.ident + address[1], sender.ident, UNREACHABLE))
        network.carry(network.path(there, sender.host), UNREACHABLE, sender._refused, ())
