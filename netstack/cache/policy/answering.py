"""The response that a stored one makes for a request: its conditions and ranges (RFC 9110 §13-14, RFC 9111 §4.3.2)."""

from collections.abc import Mapping
from dataclasses import dataclass

from netstack.cache.entry import Entry, head_lines
from netstack.cache.policy.freshness import parse_date
from netstack.cache.rules import Rules
from netstack.http.ranges import asked_ranges, content_range, part_heads, range_applies
from netstack.http.values import entity_tags
from netstack.http.wire import Request, field_block

_NOT_IN_304 = frozenset({
    "content-type", "content-encoding", "content-language", "content-disposition", "content-md5", "accept-ranges",
})  # fmt: skip
"""Representation metadata that a 304 does not repeat (RFC 9110 §15.4.5)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response out of a stored one. Who sends it adds Age, Cache-Status, and Content-Length or chunks."""

    status: int
    head: bytes
    """Field lines, each with its CRLF."""
    parts: tuple[tuple[int, int], ...] = ()
    """Offsets in the stored body and lengths: nothing for an answer without content, several for multipart/byteranges."""
    length: int | None = 0
    """Content-Length; for HEAD that of GET's answer; None while it is not known, or for several parts: see `between`."""
    ranges: tuple[tuple[int, int], ...] = ()
    """Of several parts: the offsets in the representation."""
    size: int = 0
    media: str = ""

    def between(self, boundary: str) -> tuple[list[bytes], bytes]:
        """What stands before each of several parts, and after the last; `boundary` is as in the head."""
        return part_heads(self.ranges, self.size, self.media, boundary)

    def multipart_head(self, boundary: str) -> bytes:
        """The field line that says that there are several parts (RFC 9110 §14.6)."""
        return f"Content-Type: multipart/byteranges; boundary={boundary}\r\n".encode()


def answer(entry: Entry, request: Request, rules: Rules) -> Answer | None:
    """What is served of an entry; None when it lacks octets that the request needs (RFC 9111 §3.3)."""
    fields = request.fields
    if entry.status in (200, 206) and not_modified(entry, fields):
        return Answer(304, head_304(entry))
    size = entry.length
    if "range" in fields and request.method == "GET" and entry.status == 200 and size is not None:
        found = None
        if range_applies(fields, entry.etag or "", -1 if entry.modified is None else entry.modified, float(entry.date)):
            found = asked_ranges(fields["range"], size, rules.ranges)
        if found is not None:
            return _ranges(entry, found, size)
    if request.method == "HEAD":
        return Answer(entry.status, entry.head, length=size)
    if entry.stop is None:
        return Answer(entry.status, entry.head, ((0, -1),), None) if entry.first == 0 else None
    if not entry.whole:
        return None
    return Answer(entry.status, entry.head, ((0, entry.stored),) if entry.stored else (), entry.stored)


def not_modified(entry: Entry, fields: Mapping[str, str]) -> bool:
    """Whether the client has what is stored: If-None-Match, else If-Modified-Since (RFC 9110 §13.2.2).

    Without a Last-Modified the Date counts (RFC 9111 §4.3.2).
    """
    match = fields.get("if-none-match")
    if match is not None:
        tags = entity_tags(match)
        if tags is None:
            return False
        own = None if entry.etag is None else entry.etag.removeprefix("W/")
        return "*" in tags or any(tag.removeprefix("W/") == own for tag in tags)
    value = fields.get("if-modified-since")
    since = None if value is None else parse_date(value)
    return since is not None and (entry.date if entry.modified is None else entry.modified) <= since


def head_304(entry: Entry) -> bytes:
    """The fields that a 304 has of a stored response (RFC 9110 §15.4.5)."""
    gone = _NOT_IN_304 if entry.etag is None else _NOT_IN_304 | {"last-modified"}
    return field_block((name, value) for name, value in head_lines(entry.head) if name.lower() not in gone)


def _ranges(entry: Entry, found: list[tuple[int, int]], size: int) -> Answer | None:
    """206 or 416 (RFC 9110 §15.3.7, §15.5.17)."""
    if not found:
        return Answer(
            416,
            b"Content-Range: bytes */%d\r\n" % size + _without(entry, "content-range", "content-type", "content-encoding"),
        )
    stop = size if entry.stop is None else entry.stop
    if any(start < entry.first or start + length > stop for start, length in found):
        return None
    parts = tuple((start - entry.first, length) for start, length in found)
    if len(found) == 1:
        line = f"Content-Range: {content_range(*found[0], size)}\r\n".encode()
        return Answer(206, line + _without(entry, "content-range"), parts, found[0][1])
    media = entry.field("content-type") or "application/octet-stream"
    return Answer(206, _without(entry, "content-range", "content-type"), parts, None, tuple(found), size, media)


def _without(entry: Entry, *names: str) -> bytes:
    """The head without these fields; a Content-Range that was stored means nothing (RFC 9110 §14.4)."""
    return field_block((name, value) for name, value in head_lines(entry.head) if name.lower() not in names)
