"""Datagrams in another's name, and somebody on the wire, for labs and tests alone: no Machine leads here.

The network between does not filter sources (BCP 38, RFC 2827), as too many real ones do not.
"""

from collections.abc import Callable, Iterable
from typing import Any

from dns.exception import DNSException
from dns.message import Message, from_wire
from twisted.logger import Logger

from netstack.sansio import Address
from netstack.world.simulated.host import SimulatedHost
from netstack.world.simulated.network import Link
from netstack.world.simulated.udp import HEADERS, deliver

_log = Logger()


class Forged:
    """What stands in for the socket of a sender who is not there: nobody is told of refusals."""

    __slots__ = ("source",)
    _connected = None

    def __init__(self, source: Address) -> None:
        self.source = source


Rewrite = Callable[[bytes, Address, Address], "bytes | None"]
"""Given a datagram, its sender's address and where it goes: what arrives instead; None: nothing."""


def of_replies(change: Callable[[Message], None]) -> Rewrite:
    """Change name servers' replies; what is none goes on as it is."""

    def rewrite(data: bytes, source: Address, destination: Address) -> bytes | None:
        if source[1] != 53:
            return data
        try:
            message = from_wire(data)
        except DNSException:
            return data
        change(message)
        return bytes(message.to_wire())

    return rewrite


def on_the_wire(link: Link, rewrite: Rewrite | None) -> None:
    """Let somebody read and rewrite the datagrams that cross a link; None: nobody any more. Streams pass as they are.

    The packets keep the size by which the link was charged.
    """

    def tamper(arrive: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if arrive is not deliver or rewrite is None:
            return arguments
        there, address, packet, sender = arguments
        changed = rewrite(packet, sender.source, address)
        return None if changed is None else (there, address, changed, sender)

    link.tamper = None if rewrite is None else tamper
    link._judge()


class Burst:
    """Datagrams sent one right after the other; `arrived` of them found an open port so far."""

    __slots__ = ("arrived", "done", "sent")

    def __init__(self) -> None:
        self.sent = self.arrived = 0
        self.done = False


class Forger:
    """Sends from where a host stands, in the name of others."""

    def __init__(self, host: SimulatedHost) -> None:
        self.host = host
        self.octets = 0
        """Sent, headers included."""

    def send(self, data: bytes, source: Address, destination: Address) -> None:
        """One datagram, as any other: it crosses links, with their rates and losses."""
        host = self.host
        there = host.network.find(destination[0], host)
        if there is None:
            raise LookupError(f"nobody has the address {destination[0]}")
        size = len(data) + HEADERS
        self.octets += size
        host.packets.extend((host.network.scheduler.now, host.ident, there.ident + destination[1], size))
        host.network.carry(host.network.path(host, there), size, deliver, (there, destination, data, Forged(source)))

    def burst(self, packets: Iterable[tuple[int, bytes]], source: Address, destination: str, octets: int) -> Burst:
        """Many datagrams as one event, for floods of millions: (port, data) each, to one address.

        They cross the path as one packet of `octets` and arrive together, in order; `packets` is read when they do.
        """
        host = self.host
        there = host.network.find(destination, host)
        if there is None:
            raise LookupError(f"nobody has the address {destination}")
        burst = Burst()
        self.octets += octets
        host.packets.extend((host.network.scheduler.now, host.ident, there.ident, octets))
        host.network.carry(host.network.path(host, there), octets, _arrive, (there, destination, packets, source, burst))
        return burst


def _arrive(there: SimulatedHost, address: str, packets: Iterable[tuple[int, bytes]], source: Address, burst: Burst) -> None:
    """As `udp.deliver`, for each; those to closed ports cost next to nothing."""
    reactor = there.reactor
    burst.done = True
    if reactor is None:
        return
    opened = reactor.datagrams
    reactor.scheduler.current = reactor
    sent = 0
    for port, data in packets:
        sent += 1
        socket = opened.get((address, port)) or opened.get(("", port))
        if socket is None or (socket._connected is not None and socket._connected != source):
            continue
        burst.arrived += 1
        try:
            socket.protocol.datagramReceived(data[: socket.largest], source)
        except Exception:
            _log.failure("in datagramReceived of {host}", host=there.name)
    burst.sent = sent
