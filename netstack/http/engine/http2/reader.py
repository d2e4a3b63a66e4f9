"""From octets to frames: the preface, sizes, and field blocks put together (RFC 9113 §3.4, §4, §6.10)."""

from collections.abc import Iterator

from netstack.http.engine.http2 import frames
from netstack.http.engine.http2.frames import (
    CONTINUATION,
    END_HEADERS,
    HEADERS,
    PADDED,
    PRIORITIZED,
    Code,
    ConnectionFault,
    Frame,
)
from netstack.http.engine.server import PREFACE

CONTINUATIONS = 16
"""Frames that one field block may have after its HEADERS."""


class EndlessBlock(ConnectionFault):
    """A field block that does not end: an attack (CVE-2024-27316 and its like)."""


class FrameReader:
    """Takes a client's frames out of what arrives; HEADERS come with all their CONTINUATION frames, as one."""

    def __init__(self, block: int) -> None:
        """`block`: octets of a field block."""
        self._limit = block
        self._buffer = bytearray()
        self._greeted = self._settled = False
        self._block: tuple[int, int, bytearray, int] | None = None
        """One that has not ended: stream, flags, octets, frames."""
        self._octets = b""

    def feed(self, data: bytes) -> None:
        """Octets arrived; at most one read of the driver waits here, and one incomplete frame."""
        self._buffer += data

    @property
    def hurries(self) -> bool:
        """Something has begun that has to end in the time of a head: all but contents."""
        buffer = self._buffer
        return not self._settled or self._block is not None or (len(buffer) > 0 and buffer[3:4] != b"\0")

    def read(self, keep: bool) -> Iterator[tuple[Frame, bytes]]:
        """The complete frames, and with `keep` all octets of each; raises ConnectionFault."""
        buffer, at = self._buffer, 0
        if not self._greeted:
            if not PREFACE.startswith(buffer[: len(PREFACE)]):
                raise ConnectionFault(Code.PROTOCOL_ERROR, "the connection does not begin as RFC 9113 §3.4 says")
            if len(buffer) < len(PREFACE):
                return
            self._greeted = True
            at = len(PREFACE)
            self._octets = PREFACE if keep else b""
        try:
            while len(buffer) - at >= frames.HEAD:
                size = buffer[at] << 16 | buffer[at + 1] << 8 | buffer[at + 2]
                if size > frames.FRAME:
                    raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of {size} octets; {frames.FRAME} are allowed")
                end = at + frames.HEAD + size
                if len(buffer) < end:
                    break
                stream = int.from_bytes(buffer[at + 5 : at + 9], "big") & frames.MAX_WINDOW
                frame: Frame | None = Frame(buffer[at + 3], buffer[at + 4], stream, bytes(buffer[at + 9 : end]))
                if keep:
                    self._octets += buffer[at:end]
                at = end
                frame = self._judge(frame)  # type: ignore[arg-type]  # it was made just here
                if frame is not None:
                    octets, self._octets = self._octets, b""
                    yield frame, octets
        finally:
            del buffer[:at]

    def _judge(self, frame: Frame) -> Frame | None:
        """The frame, without what is of no interest beyond; None for a part of a field block."""
        kind, flags, stream, payload = frame
        if self._block is not None:
            if kind != CONTINUATION or stream != self._block[0]:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "a field block is interrupted (RFC 9113 §6.10)")
            return self._go_on(flags, payload)
        if not self._settled:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is no SETTINGS (RFC 9113 §3.4)")
            self._settled = True
        if kind == CONTINUATION:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS before it")
        if kind != HEADERS:
            return frame
        if flags & (PADDED | PRIORITIZED):
            payload = frames.unpadded(flags, payload)
            if flags & PRIORITIZED:
                if len(payload) < 5:
                    raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS without the priority that it announces")
                payload = payload[5:]
        if flags & END_HEADERS:
            return frame if payload is frame.payload else Frame(kind, flags, stream, payload)
        self._block = stream, flags, bytearray(payload), 0
        return None

    def _go_on(self, flags: int, payload: bytes) -> Frame | None:
        assert self._block is not None  # noqa: S101  the caller looked
        stream, first, block, count = self._block
        block += payload
        if count >= CONTINUATIONS or len(block) > self._limit:
            raise EndlessBlock(Code.ENHANCE_YOUR_CALM, "a field block that does not end")
        self._block = stream, first, block, count + 1
        if not flags & END_HEADERS:
            return None
        self._block = None
        return Frame(HEADERS, first | END_HEADERS, stream, bytes(block))
