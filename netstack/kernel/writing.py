"""What a stream driver has to write and how it gets to the transport: in order, files from the disk, half closes between."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from twisted.internet.protocol import Protocol as TwistedProtocol

from netstack.kernel.closing import HalfClose
from netstack.kernel.files import FileChanged, Part
from netstack.kernel.metrics import Traffic
from netstack.kernel.transport import register, send_now
from netstack.sansio import FileSlice


class WritingProtocol(TwistedProtocol):
    """The writing half of a driver; the driver sets `traffic`, pauses and resumes as the transport says, and closes."""

    __slots__ = ("_closing", "_direct", "_gone", "_outbox", "_paused", "_queued", "traffic")
    traffic: Traffic

    def __init__(self) -> None:
        self._direct = self._paused = self._closing = self._gone = False
        self._outbox: deque[bytes | Part | HalfClose] | tuple[()] = ()
        """What is to be written before new output; a queue only while there is something."""
        self._queued = 0
        """Octets in the outbox, files not counted."""

    def abort(self, reason: str) -> None:
        """Reset the connection now."""
        raise NotImplementedError

    def _enqueue(self, output: Sequence[bytes | FileSlice | HalfClose]) -> None:
        outbox = self._outbox
        if not isinstance(outbox, deque):
            self._outbox = outbox = deque()
        for item in output:
            if type(item) is bytes:
                self._queued += len(item)
            outbox.append(Part(item) if isinstance(item, FileSlice) else item)

    def _write_queued(self) -> None:
        """The outbox, as far as the transport takes it."""
        outbox = self._outbox
        while outbox and not self._paused:
            item = outbox.popleft()
            if isinstance(item, Part):
                if not self._send_file(item):
                    break
            elif item is HalfClose.HERE:
                self._half_close()
            else:
                if outbox and isinstance(outbox[0], bytes):
                    parts = [item]
                    while outbox and isinstance(outbox[0], bytes):
                        parts.append(outbox.popleft())  # type: ignore[arg-type]  # just tested
                    item = b"".join(parts)
                self._queued -= len(item)
                self._write(item, self._closing and not outbox)

    def _write(self, data: bytes, is_last: bool = False) -> None:
        self.traffic.sent += len(data)
        if self._direct:
            send_now(self.transport, data, self, is_last)  # type: ignore[arg-type]  # a driver is an IPushProducer
        else:
            self.transport.write(data)  # type: ignore[union-attr]

    def _send_file(self, part: Part) -> bool:
        """Send of a file what can be sent now; False when the rest waits for the transport, or there is none.

        A file that has become shorter breaks the connection: its length was promised.
        """
        transport: Any = self.transport
        try:
            sent = part.send(transport) if self._direct else None
            data = part.read() if sent is None else b""
        except FileChanged:
            part.close()
            self.abort("file changed")
            return False
        if part.left:
            self._outbox.appendleft(part)  # type: ignore[union-attr]  # it was just taken from there
        else:
            part.close()
        if sent is None:
            if data:
                self._write(data)
            return True
        self.traffic.sent += sent
        if not part.left:
            return True
        register(transport, self)  # type: ignore[arg-type]  # as above
        self._paused = transport.producerPaused = True  # the transport calls resumeProducing when it can write
        transport.startWriting()
        return False

    def _drop_output(self) -> None:
        for item in self._outbox:
            if isinstance(item, Part):
                item.close()
        if isinstance(self._outbox, deque):
            self._outbox.clear()
        self._queued = 0

    def _half_close(self) -> None:
        transport: Any = self.transport
        if hasattr(transport, "loseWriteConnection"):
            transport.loseWriteConnection()
