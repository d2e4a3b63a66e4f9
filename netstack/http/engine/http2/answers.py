"""Field blocks of responses that all HTTP/2 connections of a service share."""

from netstack.http.engine.heads import Heads
from netstack.http.engine.http2.fields import encode_field, encode_lines, encode_status
from netstack.http.values import http_date

KEPT = 1024
"""Blocks that are remembered; then all are made anew."""
LONGEST = 2048
"""A longer one is not remembered."""


class Answers:
    """Turns what roles say in the lines of HTTP/1 into blocks, once for lines that come again."""

    def __init__(self, heads: Heads) -> None:
        self._dated = heads.dated
        self._lines = encode_lines(heads.lines)
        self._statuses: dict[int, bytes] = {}
        self._kept: dict[bytes, bytes] = {}
        self._lengths: dict[int, bytes] = {}
        self._second = -1
        self._common = b""

    def common(self, wall: float) -> bytes:
        """The fields that all responses of a second have (RFC 9110 §6.6.1)."""
        second = int(wall)
        if second != self._second:
            self._second = second
            self._common = (encode_field(b"date", http_date(wall).encode()) if self._dated else b"") + self._lines
        return self._common

    def status(self, status: int) -> bytes:
        """The pseudo-header field of a response (RFC 9113 §8.3.2)."""
        found = self._statuses.get(status)
        if found is None:
            found = self._statuses[status] = encode_status(status)
        return found

    def block(self, status: int, fields: bytes, length: int | None, common: bytes, lines: bytes = b"") -> bytes:
        """The whole field section of a response; `lines` are fields that will not come again."""
        found = self._kept.get(fields)
        if found is None:
            found = encode_lines(fields)
            if len(fields) <= LONGEST:
                if len(self._kept) >= KEPT:
                    self._kept.clear()
                self._kept[fields] = found
        block = self.status(status) + common + found
        if lines:
            block += encode_lines(lines)
        if length is not None and status not in (204, 304):
            block += self._lengths.get(length) or self._length(length)
        return block

    def _length(self, length: int) -> bytes:
        if len(self._lengths) >= KEPT:
            self._lengths.clear()
        made = self._lengths[length] = encode_field(b"content-length", b"%d" % length)
        return made
