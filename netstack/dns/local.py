"""Names that a resolver answers by itself, since the Internet's servers can say nothing of them (RFC 6303, RFC 6761); pure.

Each is a zone of its own with the SOA that RFC 6303 §3 gives: names below do not exist.
"""

from collections.abc import Iterable

import dns.name
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset, from_text

from netstack.dns.events import Outcome
from netstack.dns.wire import Question

TTL = 10800
_SOA = f"{{0}} nobody.invalid. 1 3600 1200 604800 {TTL}"
_REVERSE = (
    "0", "10", "127", "254.169", "168.192", "2.0.192", "100.51.198", "113.0.203", "255.255.255.255",
    *(f"{octet}.172" for octet in range(16, 32)),  # private (RFC 1918)
    *(f"{octet}.100" for octet in range(64, 128)),  # shared (RFC 7793)
)  # fmt: skip
_REVERSE6 = (
    ".".join("0" * 32), "1." + ".".join("0" * 31), "d.f", "8.e.f", "9.e.f", "a.e.f", "b.e.f", "8.b.d.0.1.0.0.2",
)  # fmt: skip
EMPTY = (
    *(f"{text}.in-addr.arpa" for text in _REVERSE),
    *(f"{text}.ip6.arpa" for text in _REVERSE6),
    "home.arpa",  # RFC 8375 §4
)
"""Addresses, and homes, that are others to everybody (RFC 6303 §4)."""
ABSENT = ("invalid", "onion")
"""Names that do not exist, themselves neither (RFC 6761 §6.4, RFC 7686 §2)."""
LOCALHOST = dns.name.from_text("localhost")
_ADDRESSES = {RdataType.A: "127.0.0.1", RdataType.AAAA: "::1"}
_OURS = {dns.name.from_text("1.0.0.127.in-addr.arpa"), dns.name.from_text(f"{_REVERSE6[1]}.ip6.arpa")}
"""The addresses of localhost, backwards."""


class LocalZones:
    """Answers for these zones, but for what other servers are told to be asked about."""

    def __init__(self, others: Iterable[Name] = ()) -> None:
        """`others`: zones with forwarders of their own, which know better."""
        self._others = {name for name in others if len(name) > 1}
        self._zones = {dns.name.from_text(text): True for text in EMPTY}
        self._zones |= {dns.name.from_text(text): False for text in ABSENT}
        self._zones[LOCALHOST] = True

    def answer(self, question: Question) -> Outcome | None:
        """None: it is a name like others."""
        name, rdtype = question
        zone = name
        while zone not in self._zones:
            if len(zone) <= 1 or zone in self._others:
                return None
            zone = zone.parent()
        if (rdtype == RdataType.DS and name == zone) or any(zone.is_subdomain(other) for other in self._others):
            return None
        found = _records(question, zone, self._zones[zone])
        if found is not None:
            return Outcome(Rcode.NOERROR, (found,))
        exists = (name == zone and self._zones[zone]) or name in _OURS or zone == LOCALHOST
        return Outcome(Rcode.NOERROR if exists else Rcode.NXDOMAIN, (), _soa(zone))


def _records(question: Question, zone: Name, exists: bool) -> RRset | None:
    name, rdtype = question
    if zone == LOCALHOST and rdtype in _ADDRESSES:  # RFC 6761 §6.3: whatever is below it, too
        return from_text(name, TTL, "IN", rdtype, _ADDRESSES[rdtype])
    if name in _OURS and rdtype == RdataType.PTR:
        return from_text(name, TTL, "IN", rdtype, "localhost.")
    if name == zone and rdtype == RdataType.SOA and exists:
        return _soa(zone)
    if name == zone and rdtype == RdataType.NS and exists:
        return from_text(name, TTL, "IN", rdtype, zone.to_text())
    return None


def _soa(zone: Name) -> RRset:
    return from_text(zone, TTL, "IN", RdataType.SOA, _SOA.format(zone.to_text()))
