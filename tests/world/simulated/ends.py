"""Protocols for tests that keep what happens to them."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, Protocol
from zope.interface import implementer


class End(Protocol):
    """Keeps what happens to one end of a connection."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost: Deferred[Any] = Deferred()
        self.made: Deferred[End] = Deferred()
        self.events: list[str] = []
        self._waiting: list[tuple[int, Deferred[bytes]]] = []

    def connectionMade(self) -> None:
        self.events.append("made")
        self.made.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        for count, waiting in self._waiting[:]:
            if len(self.heard) >= count:
                self._waiting.remove((count, waiting))
                waiting.callback(self.heard)

    def hears(self, count: int) -> Deferred[bytes]:
        """Fires when so many octets are there."""
        waiting: Deferred[bytes] = Deferred()
        self._waiting.append((count, waiting))
        self.dataReceived(b"")
        return waiting

    def connectionLost(self, reason: Any = None) -> None:
        self.events.append("lost")
        self.lost.callback(reason.type)


@implementer(IHalfCloseableProtocol)
class HalfCloseable(End):
    """Hears about each direction."""

    def __init__(self) -> None:
        super().__init__()
        self.read_lost: Deferred[None] = Deferred()
        self.write_lost: Deferred[None] = Deferred()

    def readConnectionLost(self) -> None:
        self.events.append("read lost")
        self.read_lost.callback(None)

    def writeConnectionLost(self) -> None:
        self.events.append("write lost")
        self.write_lost.callback(None)


class Once(ClientFactory):
    """Connects one protocol."""

    noisy = False

    def __init__(self, end: Any) -> None:
        self.end = end
        self.failed: Deferred[Any] = Deferred()

    def buildProtocol(self, addr: Any) -> Any:
        return self.end

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.failed.callback(reason.type)


class Accepting(Factory):
    """Gives the ends in turn."""

    noisy = False

    def __init__(self, *ends: Any) -> None:
        self.ends = list(ends)

    def buildProtocol(self, addr: Any) -> Any:
        return self.ends.pop(0)


class Datagrams(DatagramProtocol):
    """Keeps what arrives."""

    noisy = False

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, Any]] = []
        self.arrived: Deferred[None] = Deferred()
        self.refused: Deferred[None] = Deferred()
        self.stopped = False

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.heard.append((datagram, addr))
        if not self.arrived.called:
            self.arrived.callback(None)

    def connectionRefused(self) -> None:
        if not self.refused.called:
            self.refused.callback(None)

    def stopProtocol(self) -> None:
        self.stopped = True
