"""Many datagrams for each wake-up: a UDP port that reads and writes by recvmmsg(2) and sendmmsg(2) (Linux, 64 bits).

Only datagrams that a driver's bypass answers gain by it, so `listen.py` makes such a port for drivers that have one. While
the bypass is off (journal, shaped links), and where the system has not these calls, it reads as Twisted's port does.
"""

import ctypes
import errno
import mmap
import socket
import sys
from typing import TYPE_CHECKING, Any

from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.udp import Port
from twisted.logger import Logger

from netstack.sansio import Address

if TYPE_CHECKING:
    from netstack.kernel.datagrams import Bypass, DatagramDriver

BATCH = 64
"""Datagrams of one system call."""
ROUNDS = 8
"""System calls of one wake-up; then others get their turn."""
LARGEST = 65536
SLOT = LARGEST + 4096 + 192
"""Octets from one datagram's place to the next: not a power of two, or all of them fall into the same lines of the caches.
Memory that no datagram reaches is never touched, so it costs nothing."""
NAME = 28
"""Octets of a sockaddr_in6, the largest address."""
_DONTWAIT = 0x40
_TRANSIENT = (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED, errno.ECONNRESET, errno.ENETUNREACH, errno.EHOSTUNREACH)


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vectors_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Header(ctypes.Structure):
    """struct mmsghdr: a message, and how much of it was received or sent."""

    _fields_ = (("message", _Message), ("length", ctypes.c_uint32))


_HEADER, _VECTOR = ctypes.sizeof(_Header), ctypes.sizeof(_Vector)


def available(reactor: object) -> bool:
    """Whether this system has the calls and the reactor real descriptors."""
    if sys.platform != "linux" or sys.maxsize < 2**32 or not isinstance(reactor, PosixReactorBase):
        return False
    libc = ctypes.CDLL(None)
    return hasattr(libc, "recvmmsg") and hasattr(libc, "sendmmsg")


class Batch:
    """Room for a batch that came and for one that goes out, over one socket."""

    def __init__(self, descriptor: int, family: int) -> None:
        self.descriptor = descriptor
        self.family = family
        libc = ctypes.CDLL(None, use_errno=True)
        self._recvmmsg, self._sendmmsg = libc.recvmmsg, libc.sendmmsg
        self._recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
        self._sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
        self.received, self.outgoing = mmap.mmap(-1, SLOT * BATCH), mmap.mmap(-1, SLOT * BATCH)
        self._names = (ctypes.c_char * (NAME * BATCH))()
        self._names_at = ctypes.addressof(self._names)
        self._in, self._in_vectors = self._headers(self.received)
        self._out, self._out_vectors = self._headers(self.outgoing)
        self._in_at, self._out_at = ctypes.addressof(self._in), ctypes.addressof(self._out)
        self.starts = [SLOT * i for i in range(BATCH)]
        # The fields that change with each datagram, as flat arrays of numbers: far cheaper than structures' attributes
        self.lengths = memoryview(self._in).cast("B").cast("I")[_Header.length.offset // 4 :: _HEADER // 4]
        self._out_lengths = memoryview(self._out_vectors).cast("B").cast("Q")[1 :: _VECTOR // 8]
        self._out_names = memoryview(self._out).cast("B").cast("Q")[0 :: _HEADER // 8]
        self._out_name_lengths = memoryview(self._out).cast("B").cast("I")[2 :: _HEADER // 4]
        self._name_length = 16 if family == socket.AF_INET else NAME
        for i in range(BATCH):
            self._out_name_lengths[i] = self._name_length
        self._astray = False
        self.current = 0
        """The datagram in hand, for `source`."""

    def _headers(self, room: mmap.mmap) -> tuple[Any, Any]:
        start = ctypes.addressof(ctypes.c_char.from_buffer(room))
        vectors = (_Vector * BATCH)()
        headers = (_Header * BATCH)()
        for i in range(BATCH):
            vectors[i] = _Vector(start + SLOT * i, LARGEST)
            vector = ctypes.addressof(vectors) + _VECTOR * i
            headers[i] = _Header(_Message(self._names_at + NAME * i, NAME, vector, 1, None, 0, 0), 0)
        return headers, vectors

    def receive(self) -> int:
        """How many datagrams came, 0 when none waits; raises OSError."""
        count: int = self._recvmmsg(self.descriptor, self._in_at, BATCH, _DONTWAIT, None)
        if count >= 0:
            return count
        number = ctypes.get_errno()
        if number in _TRANSIENT:
            return 0
        raise OSError(number, "recvmmsg")

    def source(self) -> Address:
        """Who sent the datagram in hand."""
        at = NAME * self.current
        name = self._names.raw[at : at + NAME]
        port = int.from_bytes(name[2:4], "big")
        if self.family == socket.AF_INET:
            return socket.inet_ntop(socket.AF_INET, name[4:8]), port
        text = socket.inet_ntop(socket.AF_INET6, name[8:24])
        scope = int.from_bytes(name[24:28], sys.byteorder)
        return (f"{text}%{socket.if_indextoname(scope)}" if scope else text), port

    def put(self, place: int, reply: bytes) -> None:
        """The reply to the datagram in hand goes out as number `place`, at most the datagram's own number."""
        start = self.starts[place]
        size = len(reply)
        self.outgoing[start : start + size] = reply
        self._out_lengths[place] = size
        if place != self.current:
            self._astray = True
            self._out_names[place] = self._names_at + NAME * self.current

    def send(self, count: int) -> tuple[int, int]:
        """Send what was put at 0 to `count`: how many went out, and their octets. What the system refuses is lost."""
        done = refused = refused_octets = 0
        while done < count:
            sent = self._sendmmsg(self.descriptor, self._out_at + _HEADER * done, count - done, _DONTWAIT)
            if sent <= 0:
                refused += 1
                refused_octets += self._out_lengths[done]
                sent = 1
            done += sent
        octets = sum(self._out_lengths[:count]) - refused_octets
        if self._astray:
            self._astray = False
            for i in range(count):
                self._out_names[i] = self._names_at + NAME * i
        return count - refused, octets


class BatchedPort(Port):
    """Twisted's UDP port; datagrams that the driver's bypass answers are read and answered in batches."""

    log = Logger()
    protocol: "DatagramDriver"
    _batch: Batch | None = None
    _refused = False

    def doRead(self) -> None:
        """Called when the socket is readable."""
        driver = self.protocol
        bypass = driver.bypassing()
        if self._refused or bypass is None:
            super().doRead()  # type: ignore[no-untyped-call]
            return
        batch = self._batch
        if batch is None:
            batch = self._batch = Batch(self.socket.fileno(), self.addressFamily)
        for _ in range(ROUNDS):
            try:
                count = batch.receive()
            except OSError as error:
                self._refused = True  # such as a sandbox that does not know the call: as Twisted reads, from now on
                self.log.warn("{port}: datagrams are read one by one: {error}", port=self, error=error)
                return
            if count:
                self._answer(driver, bypass, batch, count)
            if count < BATCH or not self.connected:
                return

    def _answer(self, driver: "DatagramDriver", bypass: "Bypass", batch: Batch, count: int) -> None:
        answer, source, put = bypass.answer, batch.source, batch.put
        received, starts, lengths = batch.received, batch.starts, batch.lengths
        seconds = driver.machine.reactor.seconds
        began = seconds()
        octets = ready = 0
        for i in range(count):
            start = starts[i]
            data = received[start : start + lengths[i]]
            octets += len(data)
            batch.current = i
            try:
                reply = answer(data, source)
                if reply is not None:
                    put(ready, reply)
                    ready += 1
                    continue
                if ready:  # what is ready does not wait for what takes long
                    driver.sent(*batch.send(ready), ready, seconds() - began)
                    ready = 0
                driver.plain(data, source())
            except Exception:
                self.log.failure("a datagram of {octets} octets", octets=len(data))
        driver.traffic.datagrams_received += count
        driver.traffic.received += octets
        if ready:
            driver.sent(*batch.send(ready), ready, seconds() - began)

    def connectionLost(self, reason: Any = None) -> None:
        """The socket is closed: its rooms are given back."""
        self._batch = None
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
