"""DNS over HTTPS (RFC 8484): which message a request carries and how its reply goes back, whatever speaks HTTP; pure."""

import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from contextlib import suppress
from urllib.parse import unquote

from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.options import opt_at
from netstack.dns.padding import QUERY_BLOCK, padded
from netstack.dns.wire import HEADER, LARGEST

MEDIA = "application/dns-message"
METHODS = ("GET", "HEAD", "POST")
PATH = "/dns-query"
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


class Refused(Exception):
    """A request that carries no message: an HTTP status, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def judge(method: str, media: str | None, length: int) -> None:
    """Look at a request's head alone: its Content-Type, and the octets of its content as far as they are known.

    Raises Refused: 405, 415 or 413.
    """
    if method not in METHODS:
        raise Refused(405, f"{method[:80]} is not allowed.")
    if method == "POST":
        found = (media or "").partition(";")[0].strip().lower()
        if found != MEDIA:
            raise Refused(415, f"A message is sent as {MEDIA}.")
        if length > LARGEST:
            raise Refused(413, f"A message has {LARGEST} octets at most.")


def message(method: str, query: str | None, content: bytes) -> bytes:
    """The message of a request that `judge` let pass (RFC 8484 §4.1). Raises Refused: 400 or 413."""
    data = content if method == "POST" else _variable(query or "")
    if len(data) > LARGEST:
        raise Refused(413, f"A message has {LARGEST} octets at most.")
    if len(data) < HEADER or data[2] & 0x80:
        raise Refused(400, "This is no DNS query.")
    return data


def lifetime(reply: bytes) -> int:
    """Seconds for which HTTP may keep a reply (RFC 8484 §5.1): the smallest TTL of its answer, or what RFC 2308 §5 says of
    one without; 0 for what is no answer."""
    if len(reply) < HEADER or reply[3] & 15 not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        return 0
    questions, answers, authorities, _ = struct.unpack("!4H", reply[4:HEADER])
    try:
        at, least = HEADER, 0
        for _ in range(questions):
            at = _after_name(reply, at) + 4
        for number in range(answers or authorities):
            at = _after_name(reply, at)
            rdtype, _, ttl, length = struct.unpack("!HHIH", reply[at : at + 10])
            at += 10 + length
            if answers:
                least = ttl if number == 0 else min(least, ttl)
            elif rdtype == RdataType.SOA:
                return min(int(ttl), int.from_bytes(reply[at - 4 : at], "big"))
    except (IndexError, struct.error):
        return 0
    return least


def _after_name(data: bytes, at: int) -> int:
    """Where a name that may be compressed ends; raises IndexError."""
    while data[at]:
        if data[at] >= 0xC0:
            return at + 2
        at += data[at] + 1
    return at + 1


def target(path: str, query: bytes) -> str:
    """What a client asks for by GET: the query has id 0, so that equal ones are equal (RFC 8484 §4.1), and is padded."""
    query = b"\0\0" + query[2:]
    if opt_at(query) is not None:
        query = padded(query, QUERY_BLOCK)
    return f"{path}?dns={urlsafe_b64encode(query).rstrip(b'=').decode()}"


def _variable(query: str) -> bytes:
    """`dns` of the query component, base64url without padding (RFC 4648 §5)."""
    values = [value for name, _, value in (pair.partition("=") for pair in query.split("&")) if name == "dns"]
    if len(values) != 1:
        raise Refused(400, "The variable dns is expected, once.")
    text = unquote(values[0]).rstrip("=")
    if _BASE64URL.fullmatch(text):
        with suppress(Error):
            return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    raise Refused(400, "The variable dns is not base64url (RFC 4648 section 5).")
