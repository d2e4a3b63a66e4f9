"""Replies whose RRsets are looked up as `Authority.answer` does, and put together from octets: signed zones, SVCB; pure."""

import dns.name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.authority import Authority, Order
from netstack.dns.octets import NameOctets, Placed, RRsetOctets, filled
from netstack.dns.wire import AA, HEADER, LARGEST, PLAIN_UDP, Query, Question

REMEMBERED = 20_000
"""RRsets whose octets are at hand."""


class Sections:
    """What `Authority.fill` asks of a message."""

    __slots__ = ("additional", "answer", "authority", "code", "edns", "flags")

    def __init__(self) -> None:
        self.answer: list[RRset] = []
        self.authority: list[RRset] = []
        self.additional: list[RRset] = []
        self.flags = 0
        self.code = 0
        self.edns = -1

    def set_rcode(self, rcode: Rcode) -> None:
        """The reply's RCODE."""
        self.code = int(rcode)


class Renderer:
    """Makes the replies of one Authority that need its own look-up; octets of RRsets are remembered until a zone changes."""

    __slots__ = ("_octets", "authority")

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self._octets: dict[int, RRsetOctets] = {}
        authority.watchers.append(self._octets.clear)

    def reply(self, data: bytes, end: int, order: Order, stream: bool) -> tuple[bytes, int, bool]:
        """The reply to a query of the ordinary form, its RCODE, and whether it may be asked for again in the same letters.

        Raises ZoneUnavailable.
        """
        name = dns.name.from_wire(data, HEADER)[0]
        rdtype = data[end + 1] << 8 | data[end + 2]
        payload, signs, opt = PLAIN_UDP, False, b""
        if data[11]:
            own = self.authority.udp_payload
            payload, signs = max(PLAIN_UDP, min(data[end + 8] << 8 | data[end + 9], own)), data[end + 12] >= 0x80
            opt = b"\0\0\x29" + own.to_bytes(2, "big") + (b"\0\0\x80\0\0\0" if signs else bytes(6))
        query = Query(0, Question(name, RdataType(rdtype)), False, False, bool(opt), payload, signs)
        sections = Sections()
        referral = self.authority.fill(sections, query, order)
        wire = filled(
            data, end, 0x04 if sections.flags & AA else 0, sections.code, opt, (LARGEST if stream else payload) - len(opt),
            [self._placed(rrset) for rrset in sections.answer],
            [self._placed(rrset) for rrset in sections.authority],
            [self._placed(rrset) for rrset in sections.additional], referral,
        )  # fmt: skip
        lasting = sections.code == Rcode.NOERROR and all(rrset.rdtype != RdataType.DNAME for rrset in sections.answer)
        return wire, sections.code, lasting

    def _placed(self, rrset: RRset) -> Placed:
        """An RRset's octets: copies of it share its records, and may have another name or TTL."""
        items = rrset.items
        made = self._octets.get(id(items))
        if made is None or made.source is not items or made.ttl != rrset.ttl or made.rdtype != rrset.rdtype:
            owner = rrset.name.to_wire() or b""
            rdatas = [rdata.to_wire() or b"" for rdata in rrset]
            made = RRsetOctets(owner, int(rrset.rdtype), rrset.ttl, rdatas, items)
            made.written = rrset.name
            if len(self._octets) >= REMEMBERED:
                self._octets.clear()
            self._octets[id(items)] = made
        return Placed(made, made.name if made.written is rrset.name else NameOctets(rrset.name.to_wire() or b""))
