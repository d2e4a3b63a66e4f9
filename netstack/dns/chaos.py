"""What a server says of itself to those who ask: names of class CH (RFC 4892), and NSID (RFC 5001); pure."""

from dataclasses import dataclass

import dns.exception
import dns.name
from dns.name import Name
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType

from netstack.dns.options import NSID, opt_at, option, question_end, with_option
from netstack.dns.wire import HEADER

LONGEST = 255
"""Octets of a text (RFC 1035 §3.3)."""


def _names(*texts: str) -> frozenset[Name]:
    return frozenset(map(dns.name.from_text, texts))


_VERSION = _names("version.bind", "version.server")
_SERVER = _names("id.server", "hostname.bind")


@dataclass(frozen=True, slots=True)
class Introduction:
    """An empty text is not told: the name is REFUSED then, as if it were unknown, and NSID has no answer."""

    version: str = ""
    server: str = ""
    nsid: str = ""

    def __post_init__(self) -> None:
        for name in ("version", "server", "nsid"):
            if len(getattr(self, name).encode()) > LONGEST:
                raise ValueError(f"{name}: expected at most {LONGEST} octets")

    def answer(self, query: bytes, udp_payload: int) -> bytes | None:
        """The reply to a query for one of these names, TXT and class CH; None for all others."""
        end = question_end(query)
        if end is None or query[2] & 0xF8 or query[end - 4 : end] != _ASKED:
            return None
        try:
            name, _ = dns.name.from_wire(query, HEADER)
        except dns.exception.DNSException:
            return None
        text = (self.version if name in _VERSION else self.server if name in _SERVER else "").encode()
        if not text:
            return None
        record = b"\xc0\x0c" + _ASKED + bytes(4) + (len(text) + 1).to_bytes(2, "big") + bytes([len(text)]) + text
        opt = b"" if opt_at(query) is None else b"\0\0\x29" + udp_payload.to_bytes(2, "big") + bytes(6)
        head = bytes([query[2] & 1 | 0x84, query[3] & 0x10, 0, 1, 0, 1, 0, 0, 0, bool(opt)])
        return query[:2] + head + query[HEADER:end] + record + opt

    def identify(self, query: bytes, reply: bytes) -> bytes:
        """The reply with this server's NSID, where the query asks for it (RFC 5001 §2.1)."""
        at = opt_at(query) if self.nsid else None
        if at is None or option(query, at, NSID) is None:
            return reply
        return with_option(reply, NSID, self.nsid.encode())


_ASKED = RdataType.TXT.to_bytes(2, "big") + RdataClass.CH.to_bytes(2, "big")
