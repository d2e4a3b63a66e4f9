"""TLS of accepted connections straight on their sockets: one recv and one send for each wake-up.

Twisted's own layer asks OpenSSL through several objects and until it has no more; this one asks it once for each record.
Both have the same contexts and give a driver the same: the plain way of this one is `kernel/tls.py`.
"""

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.tcp import Port
from twisted.python.failure import Failure

from netstack.kernel.tls import agreed
from netstack.kernel.transport import AcceptedTransport
from netstack.sansio import Security

RECORD = 16 * 1024
"""Octets of one record at most (RFC 8446 §5.1)."""
TURN = 64 * 1024
"""Octets sent of one connection, at least, before others get their turn."""
ROOM = 12 * RECORD
"""Octets of records sent at once at most: more than what is read of a file at once."""


def accept_secure(port: Any, factory: Any, connection: Callable[[], SSL.Connection]) -> bool:
    """Set a listening port up for TLS on its sockets, without layers in between; False where that cannot be.

    `connection` makes one of the server's side for each socket.
    """
    if type(port) is not Port or not hasattr(SSL, "_lib") or not hasattr(SSL, "_ffi"):
        return False
    port.factory = factory
    acceptor: Any = Acceptor(connection)
    port.transport = acceptor
    return True


class Acceptor:
    """What the connections of one listener share: their contexts, and the functions of OpenSSL."""

    def __init__(self, connection: Callable[[], SSL.Connection]) -> None:
        self.connection = connection
        inner: Any = SSL  # the library behind pyOpenSSL: its own calls cost more than OpenSSL's work on a small record
        self.library, self.ffi = inner._lib, inner._ffi
        self.take, self.give = self.library.BIO_write, self.library.BIO_read
        self.read, self.write, self.rest = self.library.SSL_read, self.library.SSL_write, self.library.BIO_get_mem_data
        self.buffer = self.ffi.new("char[]", ROOM)
        """Lent to each connection for as long as one call takes."""
        self.view = memoryview(self.ffi.buffer(self.buffer))
        self.start = self.ffi.new("char **")

    def __call__(self, *arguments: Any) -> "SecureTransport":
        """Twisted's port makes its transports so."""
        return SecureTransport(self, *arguments)


class SecureTransport(AcceptedTransport):
    """A socket with TLS on it, of the server's side (RFC 8446, RFC 5246)."""

    def __init__(self, acceptor: Acceptor, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._acceptor = acceptor
        self._tls: Any = acceptor.connection()
        self._ssl, self._source, self._sink = self._tls._ssl, self._tls._into_ssl, self._tls._from_ssl
        self._up = self._leaving = self._reading = False
        self._held = 0
        """Octets written while reading, which go out together at the end of that."""

    def security(self) -> Security:
        """What the handshake agreed on."""
        return agreed(self._tls)

    # Reading

    def _dataReceived(self, data: bytes | None) -> Any:
        if not data:
            self.readConnectionLost(Failure(ConnectionDone()))
            return None
        self._acceptor.take(self._source, data, len(data))
        self._reading = True
        try:
            if self._up or self._shake_hands():
                self._read()
        finally:
            self._reading = False
            self._push()
        return None

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done."""
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.ZeroReturnError:
            self._fail(ConnectionLost("closed during the TLS handshake"))
            return False
        except SSL.Error as error:
            self._fail(error)
            return False
        self._up = True
        protocol: Any = self.protocol
        protocol.handshakeCompleted()
        return True

    def _read(self) -> None:
        """Hand on what has come in whole; a record at a time."""
        acceptor = self._acceptor
        while self.connected and not self._aborting:
            size = acceptor.read(self._ssl, acceptor.buffer, ROOM)
            if size <= 0:
                self._read_nothing(size)
                return
            self.protocol.dataReceived(acceptor.view[:size].tobytes())
            if not acceptor.rest(self._source, acceptor.start):
                return

    def _read_nothing(self, result: int) -> None:
        library = self._acceptor.library
        error = library.SSL_get_error(self._ssl, result)
        if error == library.SSL_ERROR_WANT_READ:
            return
        if error == library.SSL_ERROR_ZERO_RETURN:  # close_notify: answered, and what is queued goes out before the FIN
            if not self._leaving:
                self._leaving = True
                library.SSL_shutdown(self._ssl)
            self._push()
            self.producer = None  # there is nobody any more to write to: it must not be asked for more
            super().loseConnection()  # type: ignore[no-untyped-call]
            return
        try:
            self._tls._raise_ssl_error(self._ssl, result)
        except SSL.Error as said:
            self._fail(said)

    def _fail(self, error: Exception) -> None:
        """TLS cannot go on: its alert is sent, and the connection closed."""
        self._leaving = True
        self._push()
        if self.connected and not self._aborting:
            self.connectionLost(Failure(error))

    # Writing

    def write(self, data: bytes) -> None:
        if not self._up or self._leaving or self._aborting or not self.connected:
            return
        size = len(data)
        if size > RECORD:
            self._write_much(data, size)
        elif self._acceptor.write(self._ssl, data, size) != size:
            self._broken()
        else:
            self._held += size
            if not self._reading or self._held >= RECORD:
                self._push()

    def _write_much(self, data: bytes, size: int) -> None:
        """Record by record out of OpenSSL's buffer, which keeps the size that it once had; sent together."""
        acceptor, done = self._acceptor, 0
        octets = acceptor.ffi.from_buffer(data)
        for start in range(0, size, RECORD):
            length = min(RECORD, size - start)
            if acceptor.write(self._ssl, octets + start, length) != length:
                self._broken()
                return
            done += max(0, acceptor.give(self._sink, acceptor.buffer + done, ROOM - done))
            if ROOM - done < 3 * RECORD:
                self._send(done)
                done = 0
        self._send(done)
        self._push()
        producer: Any = self.producer
        if size >= TURN and producer is not None and not self.producerPaused:
            self.producerPaused = True
            producer.pauseProducing()
            self.startWriting()  # type: ignore[no-untyped-call]

    def _push(self) -> None:
        """Send what OpenSSL has to say."""
        self._held = 0
        acceptor = self._acceptor
        while (size := acceptor.give(self._sink, acceptor.buffer, ROOM)) > 0:
            self._send(size)
            if size < ROOM:
                break

    def _send(self, size: int) -> None:
        """So many octets of the shared buffer: straight to the socket when nothing older waits."""
        sent = 0
        if not (self.dataBuffer or self._tempDataBuffer or self.disconnecting or not self.connected):
            try:  # noqa: SIM105  a third of the cost of suppress()
                sent = self.socket.send(self._acceptor.view[:size])
            except OSError:
                pass  # full, or broken: the reactor meets the same error, and reports the lost connection
        if sent < size:
            super().write(bytes(self._acceptor.view[sent:size]))  # type: ignore[no-untyped-call]

    def _broken(self) -> None:
        self._acceptor.library.ERR_clear_error()
        self.abortConnection()  # type: ignore[no-untyped-call]

    def doWrite(self) -> Any:
        """Nothing, where reading met the connection's end in the same wake-up."""
        return super().doWrite() if self.connected else None

    # Closing

    def loseConnection(self) -> None:
        """Send close_notify; the peer's ends the connection. Before the handshake's end there is nobody to say it to."""
        if self._leaving or self._aborting or not self.connected:
            return
        if not self._up:
            self.abortConnection()  # type: ignore[no-untyped-call]
            return
        self._leaving = True
        self._acceptor.library.SSL_shutdown(self._ssl)
        if not self._reading:
            self._push()

    def readConnectionLost(self, reason: Failure) -> None:
        """The peer's FIN; without its close_notify the stream is cut off (RFC 8446 §6.1)."""
        self.connectionLost(reason if self._leaving else Failure(ConnectionLost()))
