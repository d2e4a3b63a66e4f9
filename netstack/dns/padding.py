"""What the stream that carries a message adds to it: padding under TLS, and how long the stream is kept; pure.

Padding is RFC 7830 in blocks of RFC 8467 §4.1; the time is the option of RFC 7828.
"""

from netstack.dns.options import opt_at, option, with_option
from netstack.dns.tsig import split
from netstack.dns.wire import LARGEST

KEEPALIVE, PADDING = 11, 12
QUERY_BLOCK, REPLY_BLOCK = 128, 468
"""Octets."""
TICKS = 10
"""The keepalive option's units in a second."""


def padded(message: bytes, block: int) -> bytes:
    """The message with octets of zero up to a whole number of blocks, or to the largest size; it must have an OPT record."""
    length = len(message) + 4
    if length > LARGEST:
        return message
    return with_option(message, PADDING, bytes(min(-length % block, LARGEST - length)))


def query_on_stream(query: bytes, secure: bool) -> bytes:
    """A client's query: it asks how long the stream may be kept, and is padded under TLS."""
    if opt_at(query) is None:
        return query
    query = with_option(query, KEEPALIVE, b"")
    return padded(query, QUERY_BLOCK) if secure else query


def without_stream_options(query: bytes) -> bytes:
    """A query without what it says of its stream alone, so that it is equal to others."""
    at = None if query[10:12] == b"\0\0" else opt_at(query)
    if at is None:
        return query
    start, end = at + 11, at + 11 + int.from_bytes(query[at + 9 : at + 11], "big")
    left, place = b"", start
    while place + 4 <= end <= len(query):
        following = place + 4 + int.from_bytes(query[place + 2 : place + 4], "big")
        if int.from_bytes(query[place : place + 2], "big") not in (KEEPALIVE, PADDING):
            left += query[place:following]
        place = following
    if place != end or len(left) == end - start:
        return query
    return query[: at + 9] + len(left).to_bytes(2, "big") + left + query[end:]


def reply_on_stream(query: bytes, reply: bytes, idle: float | None, secure: bool) -> bytes:
    """A server's reply, with what its query asked for; under TLS it is padded where the query was.

    `idle`: seconds after which the stream is closed, None where HTTP sees to that. What is signed is not altered.
    """
    if query[10:12] == b"\0\0":
        return reply
    at = opt_at(query)
    if at is None:
        return reply
    told = idle is not None and option(query, at, KEEPALIVE) is not None
    pads = secure and option(query, at, PADDING) is not None
    if not (told or pads) or opt_at(reply) is None or split(reply)[1] is not None:
        return reply
    if told and idle is not None and len(reply) + 6 <= LARGEST:
        reply = with_option(reply, KEEPALIVE, min(0xFFFF, int(idle * TICKS)).to_bytes(2, "big"))
    return padded(reply, REPLY_BLOCK) if pads else reply


def kept_for(reply: bytes) -> float | None:
    """The seconds for which a server says that it keeps the stream; None when it does not say."""
    at = opt_at(reply)
    value = None if at is None else option(reply, at, KEEPALIVE)
    return int.from_bytes(value, "big") / TICKS if value is not None and len(value) == 2 else None
