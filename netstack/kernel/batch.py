"""Many datagrams for each wake-up: a UDP port that reads and writes by recvmmsg(2) and sendmmsg(2) (Linux, 64 bits).

Only datagrams that a driver's bypass answers gain by it, so `listen.py` makes such a port for drivers that have one. While
the bypass is off (journal, shaped links), and where the system has not these calls, it reads as Twisted's port does.
"""

import ctypes
import errno
import mmap
import socket
import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate, chain
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
TEXTS = 10_000
"""Addresses whose text is remembered."""
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
        self._names = mmap.mmap(-1, NAME * BATCH)
        self._names_at = _address(self._names)
        self._named = b""
        """A copy of the senders' addresses of the batch in hand, where one was asked for."""
        self._in, self._in_vectors = self._headers(self.received)
        self._out, self._out_vectors = self._headers(self.outgoing)
        self._in_at, self._out_at = ctypes.addressof(self._in), ctypes.addressof(self._out)
        self.starts = [SLOT * i for i in range(BATCH)]
        self._outgoing_at = _address(self.outgoing)
        # The fields that change with each datagram, as flat arrays of numbers: far cheaper than structures' attributes
        self.lengths = memoryview(self._in).cast("B").cast("I")[_Header.length.offset // 4 :: _HEADER // 4]
        self._out_pairs = memoryview(self._out_vectors).cast("B").cast("Q")
        self._out_names = memoryview(self._out).cast("B").cast("Q")[0 :: _HEADER // 8]
        self._out_name_lengths = memoryview(self._out).cast("B").cast("I")[2 :: _HEADER // 4]
        self._texts: dict[bytes, str] = {}
        self._name_length = 16 if family == socket.AF_INET else NAME
        for i in range(BATCH):
            self._out_name_lengths[i] = self._name_length
        self.current = 0
        """The datagram in hand, for `source`."""

    def _headers(self, room: mmap.mmap) -> tuple[Any, Any]:
        start = _address(room)
        vectors = (_Vector * BATCH)()
        headers = (_Header * BATCH)()
        for i in range(BATCH):
            vectors[i] = _Vector(start + SLOT * i, LARGEST)
            vector = ctypes.addressof(vectors) + _VECTOR * i
            headers[i] = _Header(_Message(self._names_at + NAME * i, NAME, vector, 1, None, 0, 0), 0)
        return headers, vectors

    def receive(self) -> int:
        """How many datagrams came, 0 when none waits; raises OSError."""
        self._named = b""
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
        names = self._named
        if not names:
            names = self._named = self._names[:]
        port = names[at + 2] << 8 | names[at + 3]
        packed = names[at + 4 : at + 8] if self.family == socket.AF_INET else names[at + 8 : at + NAME]
        text = self._texts.get(packed)
        if text is None:
            if len(self._texts) >= TEXTS:
                self._texts.clear()
            text = self._texts[packed] = _text(packed)
        return text, port

    def send(self, replies: Sequence[bytes], to: Sequence[int]) -> tuple[int, int]:
        """Send replies to the senders of the datagrams of these numbers: how many went out, and their octets.

        What the system refuses is lost.
        """
        count, sizes = len(replies), list(map(len, replies))
        octets = sum(sizes)
        if octets > SLOT * BATCH:  # more than a batch of the largest: none fits a datagram
            return 0, 0
        self.outgoing[:octets] = b"".join(replies)
        at = accumulate(sizes, initial=self._outgoing_at)
        self._out_pairs[: 2 * count] = memoryview(array("Q", chain.from_iterable(zip(at, sizes, strict=False))))
        astray = to[-1] != count - 1
        if astray:
            for place, number in enumerate(to):
                self._out_names[place] = self._names_at + NAME * number
        done = refused = 0
        while done < count:
            sent = self._sendmmsg(self.descriptor, self._out_at + _HEADER * done, count - done, _DONTWAIT)
            if sent <= 0:
                refused += 1
                octets -= sizes[done]
                sent = 1
            done += sent
        if astray:
            for place in range(count):
                self._out_names[place] = self._names_at + NAME * place
        return count - refused, octets


def _address(room: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(room))


def _text(packed: bytes) -> str:
    """An IPv4 address, or an IPv6 one with its scope (RFC 4007 §11)."""
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    text = socket.inet_ntop(socket.AF_INET6, packed[:16])
    scope = int.from_bytes(packed[16:], sys.byteorder)
    return f"{text}%{socket.if_indextoname(scope)}" if scope else text


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
        answer, source, received = bypass.answer, batch.source, batch.received
        lengths = batch.lengths[:count].tolist()
        seconds = driver.machine.reactor.seconds
        began = seconds()
        replies: list[bytes] = []
        to: list[int] = []
        driver.traffic.datagrams_received += count
        driver.traffic.received += sum(lengths)
        for number, start, length in zip(range(count), batch.starts, lengths, strict=False):
            batch.current = number
            data = received[start : start + length]
            try:
                reply = answer(data, source)
                if reply:
                    replies.append(reply)
                    to.append(number)
                    continue
                if reply is not None:
                    continue
                if replies:  # what is ready does not wait for what takes long
                    driver.sent(*batch.send(replies, to), len(replies), seconds() - began)
                    replies, to = [], []
                driver.plain(data, source())
            except Exception:
                self.log.failure("a datagram of {octets} octets", octets=length)
        if replies:
            driver.sent(*batch.send(replies, to), len(replies), seconds() - began)

    def connectionLost(self, reason: Any = None) -> None:
        """The socket is closed: its rooms are given back."""
        self._batch = None
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
