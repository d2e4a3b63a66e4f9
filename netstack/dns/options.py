"""EDNS(0) options in a message's octets (RFC 6891 §6.1.2): read and added; what is left of a reply without records; pure."""

from collections.abc import Iterator

import dns.edns
from dns.message import Message

from netstack.dns.events import ExtendedError
from netstack.dns.wire import HEADER

NSID, COOKIE = 3, 10
_OPT = b"\0\0\x29"
_ANY_FORM = (3, 10, 11, 12)
"""NSID, cookie, keepalive and padding: a message that has them can be read whatever they hold, the cookie's length apart."""
_TC = 0x02


def explain(message: Message, error: ExtendedError) -> None:
    """Say in the reply why it is as it is (RFC 8914 §2), to a client that speaks EDNS(0)."""
    if message.edns >= 0:
        option = dns.edns.EDEOption(dns.edns.EDECode.make(error.code), error.text or None)
        message.use_edns(0, message.ednsflags, message.payload, options=[*message.options, option])


def question_end(message: bytes) -> int | None:
    """Where the one question ends; None when there is not one, or it is cut off."""
    if len(message) < HEADER or message[4:6] != b"\0\1":
        return None
    at = _after_name(message, HEADER)
    return None if at is None or at + 4 > len(message) else at + 4


def opt_at(message: bytes) -> int | None:
    """Where the OPT record begins; None when there is none, or the message is cut off."""
    if len(message) < HEADER or message[10:12] == b"\0\0":
        return None
    at: int | None = HEADER
    for _ in range(int.from_bytes(message[4:6], "big")):
        at = None if at is None else _after_name(message, at)
        at = None if at is None else at + 4
    for _ in range(sum(int.from_bytes(message[place : place + 2], "big") for place in (6, 8, 10))):
        if at is None or at >= len(message):
            return None
        if message[at : at + 3] == _OPT:
            return at if at + 11 <= len(message) else None
        at = _after_name(message, at)
        at = None if at is None else at + 10 + int.from_bytes(message[at + 8 : at + 10], "big")
    return None


def payload_of(message: bytes, at: int) -> int:
    """The largest UDP message that the sender of this OPT record takes."""
    return max(512, int.from_bytes(message[at + 3 : at + 5], "big"))


def option(message: bytes, at: int, code: int) -> bytes | None:
    """The first option of a code in the OPT record at `at`."""
    return next((value for found, value in _options(message, at) if found == code), None)


def with_option(message: bytes, code: int, value: bytes) -> bytes:
    """The message with an option more; unchanged when it has no OPT record."""
    at = opt_at(message)
    if at is None:
        return message
    length = int.from_bytes(message[at + 9 : at + 11], "big")
    end = at + 11 + length
    added = code.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
    return message[: at + 9] + (length + len(added)).to_bytes(2, "big") + message[at + 11 : end] + added + message[end:]


def without_cookie(query: bytes) -> tuple[bytes, bytes] | None:
    """A query that ends with an OPT record whose one option is a COOKIE of the right length (RFC 7873 §5.2.2): the same
    without it, and the cookie. None for all others."""
    at = query.find(0, HEADER) + 5
    size = len(query) - at - 11
    if size < 12 or query[at : at + 3] != _OPT or query[at + 9 : at + 13] != size.to_bytes(2, "big") + b"\0\x0a":
        return None
    length = size - 4
    if query[at + 13 : at + 15] != length.to_bytes(2, "big") or not (length == 8 or 16 <= length <= 40):
        return None
    return query[: at + 9] + b"\0\0", query[at + 15 :]


def without_options(query: bytes) -> bytes:
    """A query that ends with an OPT record of options that change nothing in a zone's answer: the same without them.

    Others as they are."""
    at = query.find(0, HEADER) + 5
    size = len(query) - at - 11
    if size < 4 or query[at : at + 3] != _OPT or query[at + 9 : at + 11] != size.to_bytes(2, "big"):
        return query
    place, end = at + 11, len(query)
    while place < end:
        code, length = int.from_bytes(query[place : place + 2], "big"), int.from_bytes(query[place + 2 : place + 4], "big")
        if code not in _ANY_FORM or (code == COOKIE and not (length == 8 or 16 <= length <= 40)):
            return query
        place += 4 + length
    return query[: at + 9] + b"\0\0" if place == end else query


def truncated(message: bytes) -> bytes:
    """The reply with TC, and with header, question and OPT record alone (RFC 2181 §9)."""
    end, at = question_end(message), opt_at(message)
    if end is None:
        return message[:2] + bytes([message[2] | _TC]) + message[3:4] + bytes(8)
    opt = b"" if at is None else message[at : at + 11 + int.from_bytes(message[at + 9 : at + 11], "big")]
    counts = b"\0\1\0\0\0\0" + (b"\0\1" if opt else b"\0\0")
    return message[:2] + bytes([message[2] | _TC]) + message[3:4] + counts + message[HEADER:end] + opt


def _options(message: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    end = at + 11 + int.from_bytes(message[at + 9 : at + 11], "big")
    at += 11
    while at + 4 <= min(end, len(message)):
        length = int.from_bytes(message[at + 2 : at + 4], "big")
        yield int.from_bytes(message[at : at + 2], "big"), message[at + 4 : at + 4 + length]
        at += 4 + length


def _after_name(message: bytes, at: int) -> int | None:
    """Where a name that may be compressed ends."""
    while at < len(message):
        length = message[at]
        if length >= 0xC0:
            return at + 2
        if length == 0:
            return at + 1
        at += length + 1
    return None
