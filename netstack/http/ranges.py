"""Parts of a representation (RFC 9110 §14): what a Range field asks for, and the octets between parts."""

import re
from collections.abc import Mapping, Sequence

from netstack.http.values import parse_http_date

# RFC 9110 §14.1.1: int-range = first-pos "-" [ last-pos ]; suffix-range = "-" suffix-length
_RANGE = re.compile(r"[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))?[ \t]*")


def asked_ranges(value: str, size: int, limit: int) -> list[tuple[int, int]] | None:
    """Offsets and lengths of the ranges that can be satisfied, none for 416, or None when Range is to be ignored (§14.2).

    Ignored: another unit than bytes, what is malformed, more than `limit` ranges. Ranges that overlap or touch are joined
    (§15.3.7.2), and then come in the order of the file; else the order is the client's.
    """
    unit, equals, listed = value.partition("=")
    if not equals or unit.strip(" \t").lower() != "bytes":
        return None
    elements = listed.split(",", limit + 1)
    if len(elements) > limit:
        return None
    found: list[tuple[int, int]] = []
    empty = True
    for element in elements:
        match = _RANGE.fullmatch(element)
        if match is None:
            return None
        if match[3] is not None:
            length = min(int(match[3]), size)
            start = size - length
        elif match[1] is not None:
            start = int(match[1])
            last = int(match[2]) if match[2] else size - 1
            if match[2] and last < start:
                return None
            length = min(last, size - 1) - start + 1
        else:
            continue
        empty = False
        if length > 0:
            found.append((start, length))
    return None if empty else _joined(found)


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    ordered = sorted(ranges)
    joined: list[tuple[int, int]] = []
    for start, length in ordered:
        if joined and start <= joined[-1][0] + joined[-1][1]:
            first, before = joined[-1]
            joined[-1] = first, max(before, start + length - first)
        else:
            joined.append((start, length))
    return ranges if len(joined) == len(ranges) else joined


def range_applies(fields: Mapping[str, str], etag: str, modified: int, wall: float) -> bool:
    """Whether If-Range lets a Range count (RFC 9110 §13.1.5): the strong tag is the same, or the date exactly.

    A date is a strong validator only when it was a second or more before the response was made (§8.8.2.2).
    """
    condition = fields.get("if-range")
    if condition is None:
        return True
    if condition.startswith('"'):
        return condition == etag
    date = parse_http_date(condition)
    return date is not None and date == modified and modified + 1 < wall


def content_range(start: int, length: int, size: int) -> str:
    """The value of Content-Range (RFC 9110 §14.4)."""
    return f"bytes {start}-{start + length - 1}/{size}"


def part_heads(ranges: Sequence[tuple[int, int]], size: int, media: str, boundary: str) -> tuple[list[bytes], bytes]:
    """What stands before each part of multipart/byteranges, and after the last (RFC 9110 §14.6)."""
    heads = [
        f"\r\n--{boundary}\r\nContent-Type: {media}\r\nContent-Range: {content_range(*each, size)}\r\n\r\n".encode()
        for each in ranges
    ]
    heads[0] = heads[0][2:]
    return heads, f"\r\n--{boundary}--\r\n".encode()
