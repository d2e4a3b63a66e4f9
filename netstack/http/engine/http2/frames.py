"""Frames of HTTP/2: their heads, kinds, flags, settings and error codes (RFC 9113 §4, §6, §7; RFC 9218 §7)."""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from netstack.sansio import RemoteProtocolError

HEAD = 9
"""Octets before a frame's payload."""
FRAME = 16_384
"""SETTINGS_MAX_FRAME_SIZE as everybody has it at first, and as we leave it."""
WINDOW = 65_535
"""Windows as everybody has them at first (RFC 9113 §6.9.2)."""
MAX_WINDOW = 2**31 - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
NAMES = {
    DATA: "DATA", HEADERS: "HEADERS", PRIORITY: "PRIORITY", RST_STREAM: "RST_STREAM", SETTINGS: "SETTINGS",
    PUSH_PROMISE: "PUSH_PROMISE", PING: "PING", GOAWAY: "GOAWAY", WINDOW_UPDATE: "WINDOW_UPDATE",
    CONTINUATION: "CONTINUATION", PRIORITY_UPDATE: "PRIORITY_UPDATE",
}  # fmt: skip

_OF_CONNECTION = frozenset({SETTINGS, PING, GOAWAY, PRIORITY_UPDATE})
_SIZES = {RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_LEAST_SIZES = {GOAWAY: 8, PRIORITY_UPDATE: 4}

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20

_HEAD = Struct(">HBBBL")
_SETTING = Struct(">HL")


class Code(IntEnum):
    """RFC 9113 §7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(IntEnum):
    """RFC 9113 §6.5.2, RFC 9218 §2.1."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6
    NO_RFC7540_PRIORITIES = 9


class ConnectionFault(RemoteProtocolError):
    """The peer broke the connection's rules: GOAWAY with `error`, then the end (RFC 9113 §5.4.1)."""

    def __init__(self, error: Code, reason: str) -> None:
        super().__init__(reason, int(error))
        self.error = error


class StreamFault(RemoteProtocolError):
    """The peer broke one stream's rules: RST_STREAM with `error`; the others go on (RFC 9113 §5.4.2)."""

    def __init__(self, stream: int, error: Code, reason: str) -> None:
        super().__init__(reason, int(error))
        self.stream = stream
        self.error = error


class Frame(NamedTuple):
    """One frame whose head says what it is."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """A frame's first nine octets (RFC 9113 §4.1)."""
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return head(len(payload), kind, flags, stream) + payload


def read_frames(octets: bytes) -> Iterator[Frame]:
    """The frames in `octets`; the payload of the last may be cut short."""
    at = 0
    while len(octets) - at >= HEAD:
        high, low, kind, flags, stream = _HEAD.unpack_from(octets, at)
        end = at + HEAD + (high << 8 | low)
        yield Frame(kind, flags, stream & MAX_WINDOW, octets[at + HEAD : end])
        at = end


def judge(frame: Frame) -> None:
    """Raises the fault of a frame that clients do not send, not there, or not in that size (RFC 9113 §6, RFC 9218 §7.1)."""
    kind, _, number, payload = frame
    if kind in _OF_CONNECTION and number:
        raise ConnectionFault(Code.PROTOCOL_ERROR, f"{NAMES[kind]} on a stream")
    if kind in _SIZES and len(payload) != _SIZES[kind]:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"{NAMES[kind]} of a length other than {_SIZES[kind]}")
    if kind in _LEAST_SIZES and len(payload) < _LEAST_SIZES[kind]:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"{NAMES[kind]} of less than {_LEAST_SIZES[kind]} octets")
    if kind == PRIORITY and number == 0:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "PRIORITY on stream 0")
    if kind == PRIORITY and len(payload) != 5:
        raise StreamFault(number, Code.FRAME_SIZE_ERROR, "PRIORITY of a length other than 5")
    if kind == PUSH_PROMISE:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "clients do not push")


def settings(values: dict[Setting, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(key, value) for key, value in values.items()))


def read_settings(payload: bytes) -> dict[int, int]:
    """The parameters of a SETTINGS frame, of repeated ones the last; its values are checked (RFC 9113 §6.5)."""
    if len(payload) % 6:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "SETTINGS of a length that is no multiple of 6")
    found: dict[int, int] = {}
    for key, value in _SETTING.iter_unpack(payload):
        if key == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        if key == Setting.INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE above 2^31-1")
        if key == Setting.MAX_FRAME_SIZE and not FRAME <= value < 2**24:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "MAX_FRAME_SIZE outside of 2^14 to 2^24-1")
        found[key] = value
    return found


def header_frames(stream: int, block: bytes, ended: bool, largest: int = FRAME) -> bytes:
    """A field block in HEADERS and, where it is long, CONTINUATION frames (RFC 9113 §4.3)."""
    flags = END_STREAM if ended else 0
    if len(block) <= largest:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    parts = [frame(HEADERS, flags, stream, block[:largest])]
    for at in range(largest, len(block), largest):
        last = at + largest >= len(block)
        parts.append(frame(CONTINUATION, END_HEADERS if last else 0, stream, block[at : at + largest]))
    return b"".join(parts)


def unpadded(flags: int, payload: bytes) -> bytes:
    """The payload of a DATA or HEADERS frame without its padding (RFC 9113 §6.1)."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a padded frame without the length of its padding")
    padding = payload[0]
    if padding >= len(payload):
        raise ConnectionFault(Code.PROTOCOL_ERROR, "more padding than the frame is long")
    return payload[1 : len(payload) - padding]
