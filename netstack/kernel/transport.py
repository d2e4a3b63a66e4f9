"""Twisted's plain TCP transports, driven without a turn of the reactor: send, FIN and close at once."""

import socket
import sys
from socket import IPPROTO_TCP, SHUT_WR, TCP_NODELAY
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Client, Port, Server
from twisted.python.failure import Failure

from netstack.sansio import Address

RECEIVED = 64 * 1024
"""Octets received of one connection before others get their turn."""
_MORE = getattr(socket, "MSG_MORE", 0)  # Linux
_CLOSED = Failure(ConnectionDone())


class AcceptedTransport(Server):
    """Twisted's transport, closed by the peer's FIN at once when ours is out."""

    def _getLogPrefix(self, applicationObject: object) -> str:
        return "StreamDriver"

    def doRead(self) -> Any:
        """As Twisted's, with a call less for octets of a stream that goes on."""
        try:
            data = self.socket.recv(RECEIVED)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        return self._dataReceived(data)

    def _dataReceived(self, data: bytes | None) -> ConnectionDone | None:
        if data:
            self.protocol.dataReceived(data)
            return None
        if not self._writeDisconnected:
            return CONNECTION_DONE
        self._shouldShutdown = False  # both FINs have passed: shutdown(2) could do nothing more
        self.connectionLost(_CLOSED)
        return None

    def doWrite(self) -> Any:
        """A producer that has its turn, and then waits for the next one, stays registered with the poller meanwhile."""
        producer: Any = self.producer
        if producer is None or not self.producerPaused or self.dataBuffer or self._tempDataBuffer:
            return super().doWrite()  # type: ignore[no-untyped-call]
        self.producerPaused = False
        producer.resumeProducing()
        half = self._writeDisconnecting and not self._writeDisconnected
        idle = not (self.producerPaused or self.dataBuffer or self._tempDataBuffer or self.disconnecting or half)
        if idle and self.connected and not self._aborting:
            self.stopWriting()  # type: ignore[no-untyped-call]
        return None


PLAIN = frozenset({AcceptedTransport, Server, Client})
"""Transports over a socket of the system, without TLS."""


def accept_plainly(port: Any) -> tuple[bool, Address | None]:
    """Set a listening port up for its connections: whether they inherit TCP_NODELAY, and their local address if known."""
    if type(port) is not Port:
        return False, None
    port.transport = AcceptedTransport
    host = port.getHost()
    local = None if host.host in ("0.0.0.0", "::") else (host.host, host.port)  # noqa: S104  compared, not bound
    if sys.platform != "linux":
        return False, local
    port.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # Linux: an accepted socket has the options of its listener
    return True, local


def unsent(transport: Any) -> bool:
    """Whether older octets wait in the transport, or it is closing or lost: its socket must not be written to."""
    return bool(transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting or not transport.connected)


def send_now(transport: Any, data: bytes, producer: IPushProducer, is_last: bool = False) -> None:
    """Write, straight to the socket when nothing is queued: half the CPU of a small reply.

    `producer` is registered when the transport has to queue: before, there is nothing to pause for. `is_last`: the FIN
    follows at once, and goes in the same segment: one packet less, and the peer is woken once.
    """
    if not (transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting or not transport.connected):
        try:
            sent = transport.socket.send(data, _MORE if is_last else 0)
        except OSError:
            sent = 0  # full, or broken: inside the reactor it meets the same error, and reports the lost connection
        if sent == len(data):
            return
        data = data[sent:]
    register(transport, producer)
    transport.write(data)


def register(transport: Any, producer: IPushProducer) -> None:
    """Have the producer paused and resumed from now on."""
    if transport.producer is None:
        transport.registerProducer(producer, True)


def finish_now(transport: Any) -> None:
    """Send the FIN of a transport without unsent octets."""
    transport._writeDisconnecting = transport._writeDisconnected = True
    try:  # noqa: SIM105  a third of the cost of suppress()
        transport.socket.shutdown(SHUT_WR)
    except OSError:
        pass  # reset meanwhile: reading tells
