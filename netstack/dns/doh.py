"""DNS over HTTPS (RFC 8484): which message a request carries and how its reply goes back, whatever speaks HTTP; pure."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from contextlib import suppress
from urllib.parse import unquote

from dns.rdatatype import RdataType

from netstack.dns.options import opt_at
from netstack.dns.padding import QUERY_BLOCK, padded
from netstack.dns.wire import HEADER, LARGEST, MalformedMessage, parse_reply

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
    try:
        found = parse_reply(reply)
    except MalformedMessage:
        return 0
    if found.rcode() not in (0, 3):
        return 0
    if found.answer:
        return min(rrset.ttl for rrset in found.answer)
    soa = next((rrset for rrset in found.authority if rrset.rdtype == RdataType.SOA), None)
    return 0 if soa is None else min(soa.ttl, soa[0].minimum)


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
