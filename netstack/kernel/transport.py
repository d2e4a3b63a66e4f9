"""Twisted's plain TCP transports, driven without a turn of the reactor: send, FIN and close at once."""

import sys
from contextlib import suppress
from socket import IPPROTO_TCP, SHUT_WR, TCP_NODELAY
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.tcp import Client, Port, Server
from twisted.python.failure import Failure

PLAIN = frozenset({Server, Client})
"""Transports over a socket of the system, without TLS."""

_CLOSED = Failure(ConnectionDone())


def accept_without_delay(port: object) -> bool:
    """Set TCP_NODELAY on a listening socket, once for all connections; False where each needs it of its own."""
    if type(port) is not Port or sys.platform != "linux":
        return False
    port.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # Linux: an accepted socket has the options of its listener
    return True


def unsent(transport: Any) -> bool:
    """Whether older octets wait in the transport, or it is closing or lost: its socket must not be written to."""
    return bool(transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting or not transport.connected)


def send_now(transport: Any, data: bytes, producer: IPushProducer) -> None:
    """Write, straight to the socket when nothing is queued: half the CPU of a small reply.

    `producer` is registered when the transport has to queue: before, there is nothing to pause for.
    """
    if not unsent(transport):
        try:
            sent = transport.socket.send(data)
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
    with suppress(OSError):  # reset meanwhile: reading tells
        transport.socket.shutdown(SHUT_WR)


def close_finished(transport: Any) -> None:
    """Close a transport whose FIN is sent and whose peer's FIN is read: shutdown(2) could do nothing more."""
    transport._shouldShutdown = False
    transport.connectionLost(_CLOSED)
