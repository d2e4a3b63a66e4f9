"""Message bodies as they arrive (RFC 9112 §6, §7): by length, chunked, or until the connection ends."""

import re
from collections.abc import Sequence
from typing import Protocol

from netstack.http.limits import HTTPLimits
from netstack.http.wire import TOKEN, BadMessage, bare_line_end, bare_line_feed, read_field_lines

# RFC 9112 §7.1: chunk-size [ chunk-ext ]; chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ).
# Extensions are read and ignored, but one that is none would let the next parser see the line end elsewhere.
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_EXTENSION = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (TOKEN, TOKEN, _QUOTED)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:%b)*" % _EXTENSION)
_FRAMING = frozenset({"content-length", "transfer-encoding"})


class BodyReader(Protocol):
    """Takes a body out of a buffer."""

    ended: bool
    trailers: Sequence[tuple[str, str]]

    def read(self, buffer: bytearray) -> bytes:
        """Content taken from the front of `buffer`, maybe none yet; raises BadMessage."""


class LengthReader:
    """Exactly `length` octets."""

    __slots__ = ("_left", "ended", "trailers")

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = not length
        self.trailers: Sequence[tuple[str, str]] = ()

    def read(self, buffer: bytearray) -> bytes:
        data = bytes(buffer[: self._left])
        del buffer[: len(data)]
        self._left -= len(data)
        self.ended = not self._left
        return data


class UntilCloseReader:
    """All octets until the connection ends; responses only. At most `limit`."""

    __slots__ = ("_left", "ended", "trailers")

    def __init__(self, limit: int) -> None:
        self._left = limit
        self.ended = False
        self.trailers: Sequence[tuple[str, str]] = ()

    def read(self, buffer: bytearray) -> bytes:
        self._left -= len(buffer)
        if self._left < 0:
            raise BadMessage("the body is longer than allowed", 413)
        data = bytes(buffer)
        buffer.clear()
        return data


class ChunkedReader:
    """The chunked transfer coding (RFC 9112 §7.1), strictly: CRLF only, sizes of at most 16 digits, bounded trailers."""

    __slots__ = ("_left", "_limits", "_part", "_searched", "_total", "ended", "trailers")

    def __init__(self, limits: HTTPLimits) -> None:
        self._limits = limits
        self._searched = 0
        """Octets of trailers that have not ended: no end and no bare line feed is in them."""
        self._left = 0
        self._total = 0
        self._part = "size"
        self.ended = False
        self.trailers: Sequence[tuple[str, str]] = ()

    def read(self, buffer: bytearray) -> bytes:
        content = []
        while not self.ended:
            if self._part == "data":
                data = bytes(buffer[: self._left])
                if not data:
                    break
                del buffer[: len(data)]
                content.append(data)
                self._left -= len(data)
                if self._left:
                    break
                self._part = "end"
            elif self._part == "end":
                if len(buffer) < 2:
                    if buffer and buffer[0] != 13:
                        raise BadMessage("a chunk is longer than its size says")
                    break
                if buffer[:2] != b"\r\n":
                    raise BadMessage("a chunk is longer than its size says")
                del buffer[:2]
                self._part = "size"
            elif self._part == "size":
                if not self._read_size(buffer):
                    break
            elif not self._read_trailers(buffer):
                break
        return b"".join(content)

    def _read_size(self, buffer: bytearray) -> bool:
        line = _line(buffer, self._limits.chunk_line)
        if line is None:
            return False
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise BadMessage(f"{line[:40]!r} is not the size of a chunk in hexadecimal digits (RFC 9112 §7.1)")
        self._left = int(match[1], 16)
        self._total += self._left
        if self._total > self._limits.body:
            raise BadMessage(f"the body has more than {self._limits.body} octets", 413)
        self._part = "data" if self._left else "trailers"
        return True

    def _read_trailers(self, buffer: bytearray) -> bool:
        if buffer[:2] == b"\r\n":
            del buffer[:2]
            self.ended = True
            return False
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3), self._limits.head)
        if end < 0:
            complete = len(buffer) - buffer.endswith(b"\r")
            if bare_line_end(buffer[self._searched : complete]):
                raise bare_line_feed()
            if len(buffer) > self._limits.head:
                raise BadMessage(f"the trailers are longer than {self._limits.head} octets", 431)
            self._searched = complete
            return False
        block = bytes(buffer[: end + 4])
        if bare_line_end(block):
            raise bare_line_feed()
        self.trailers = read_field_lines(block, self._limits.fields)
        for name, _ in self.trailers:
            if name.lower() in _FRAMING:
                raise BadMessage(f"{name} is no trailer: it would frame what has been read (RFC 9110 §6.5.1)")
        del buffer[: end + 4]
        self.ended = True
        return False


def _line(buffer: bytearray, limit: int) -> bytes | None:
    """A line without its CRLF, taken from the front."""
    end = buffer.find(b"\n", 0, limit + 2)
    if end < 0:
        if len(buffer) > limit:
            raise BadMessage(f"a chunk's size line is longer than {limit} octets")
        return None
    line = bytes(buffer[: end + 1])
    if bare_line_end(line):
        raise bare_line_feed()
    del buffer[: end + 1]
    return line[:-2]
