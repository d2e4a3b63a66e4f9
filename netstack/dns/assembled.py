"""Replies of the authoritative server put together from octets (RFC 1034 §4.3.2): what `Authority.answer` says, at a tenth
of its cost; pure.

No objects are made of a question: zones, names and types are looked up by its octets, and a reply is joined from those of
its RRsets. `Authority.answer` remains the rule; what is not done here (the proofs of signed zones, SVCB) is left to
`rendered.py`.
"""

from typing import NamedTuple

from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.authority import ALIASES, REDIRECTIONS, Authority, Order
from netstack.dns.events import NOT_AUTHORITATIVE
from netstack.dns.nodes import Node
from netstack.dns.octets import NameOctets, Placed, RRsetOctets, filled, message, octets_of, suffixes
from netstack.dns.options import without_options
from netstack.dns.rendered import Renderer
from netstack.dns.wire import HEADER, LARGEST, PLAIN_UDP
from netstack.dns.zone import Zone, ZoneUnavailable, one_of

_AA, _TC = 0x04, 0x02
_DO = 0x80
_NXDOMAIN, _REFUSED, _SERVFAIL, _YXDOMAIN = (int(it) for it in (
    Rcode.NXDOMAIN, Rcode.REFUSED, Rcode.SERVFAIL, Rcode.YXDOMAIN,
))  # fmt: skip
_FIXED = 10
"""Octets of a record before its data, the owner's name apart."""
_A, _AAAA, _NS, _CNAME, _SOA, _ANY = (int(it) for it in (
    RdataType.A, RdataType.AAAA, RdataType.NS, RdataType.CNAME, RdataType.SOA, RdataType.ANY,
))  # fmt: skip
_DS, _DNSKEY, _DNAME = int(RdataType.DS), int(RdataType.DNSKEY), int(RdataType.DNAME)
_SERVICES = (int(RdataType.SVCB), int(RdataType.HTTPS))
"""Their additional records are the plain path's to find (RFC 9460 §4.1)."""
_NOT_OURS = b"\0\x06\0\x0f\0\x02" + NOT_AUTHORITATIVE.to_bytes(2, "big")
"""An OPT record's length and its one option, an extended error (RFC 8914 §2)."""
_ASKED = b"\xc0\x0c"
_WILDCARD = b"\x01*"


_FLAGS = frozenset(bytes((high, low)) for high in (0, 1) for low in (0, 0x10, 0x20, 0x30))
"""A query's flags: RD, CD and AD may be set."""
_META = range(128, 255)
"""Types that are questions about transfers, transactions and the like (RFC 6895 §3.1); ANY is answered as others are."""


def ordinary(data: bytes, end: int) -> bool:
    """Whether this is a query in the one form in which resolvers send them; `end`: its first zero octet from 12 on.

    Opcode QUERY, one question of class IN whose name is not compressed, then nothing or one OPT record of version 0
    without options. For such messages what is between the name's letters and the message's end says all.
    """
    if end < HEADER or data[2:4] not in _FLAGS or data[4:11] != b"\0\1\0\0\0\0\0" or data[11] > 1:
        return False
    at = HEADER
    while at < end:
        if data[at] > 63:
            return False
        at += data[at] + 1
    if at != end or end - HEADER > 254 or data[end + 3 : end + 5] != b"\0\1":
        return False
    rdtype = int.from_bytes(data[end + 1 : end + 3], "big")
    if rdtype in _META or rdtype in (0, RdataType.OPT):
        return False
    rest = data[end + 5 :]
    if data[11] == 0:
        return not rest
    return len(rest) == 11 and rest[:3] == b"\0\0\x29" and rest[5:7] == b"\0\0" and rest[9:] == b"\0\0"


class Assembled(NamedTuple):
    """A reply to one query."""

    wire: bytes
    rcode: int
    rdtype: int
    worth: bool
    """Whether it may be asked for again: made of names that exist. Names that do not are without number."""


class Assembler:
    """Puts together the replies of one Authority."""

    __slots__ = ("_opt", "_renderer", "authority")

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self._renderer = Renderer(authority)
        self._opt = b"\0\0\x29" + authority.udp_payload.to_bytes(2, "big") + b"\0\0"

    def answer(self, data: bytes, order: Order, stream: bool) -> Assembled | None:
        """The reply to any message, apart from its EDNS(0) options; None: the plain path is needed."""
        bare = without_options(data)
        end = bare.find(0, HEADER)
        if not ordinary(bare, end):
            return None
        try:
            return self.reply(bare, end, order, stream) or self.rendered(bare, end, order, stream)
        except ZoneUnavailable:
            return None

    def rendered(self, data: bytes, end: int, order: Order, stream: bool = False) -> Assembled:
        """As `reply`, for all that it leaves, at some times its cost; raises ZoneUnavailable."""
        wire, rcode, worth = self._renderer.reply(data, end, order, stream)
        return Assembled(wire, rcode, data[end + 1] << 8 | data[end + 2], worth)

    def reply(self, data: bytes, end: int, order: Order, stream: bool = False) -> Assembled | None:
        """The reply to a query that is `ordinary`, whose question's name ends at `end`; None: the plain path is needed."""
        asked = data[HEADER : end + 1].lower()
        rdtype = data[end + 1] << 8 | data[end + 2]
        signs, opt, largest = False, b"", PLAIN_UDP
        if data[11]:
            signs = data[end + 12] >= _DO
            opt = self._opt + (b"\x80\0\0\0" if signs else b"\0\0\0\0")
            largest = max(PLAIN_UDP, min(data[end + 8] << 8 | data[end + 9], self.authority.udp_payload))
        if stream:
            largest = LARGEST
        found = self._zone(asked, rdtype)
        if found is None:
            if opt:
                opt = opt[:-2] + _NOT_OURS
            return Assembled(message(data, end, 0, _REFUSED, opt, more=bool(opt)), _REFUSED, rdtype, False)
        answer: list[Placed] = []
        authority: list[Placed] = []
        additional: list[Placed] = []
        flags, rcode, worth, referral = 0, 0, True, False
        name, owner, zone = asked, None if len(asked) > 1 else NameOctets(asked), found
        seen = {asked}
        while True:
            if zone is _UNAVAILABLE:
                return None
            find = zone.nodes.find
            if signs and _signed(zone):
                return None
            at, node = 0, find(name)
            while node is None:
                at += name[at] + 1
                node = find(name[at:])
            dname = node.octets(_DNAME) if at else None
            if node.cut is not None:
                cut = octets_of(node.cut)
                if rdtype != _DS or cut != name:
                    top = zone.nodes[node.cut]
                    dname, at = top.octets(_DNAME), len(name) - len(cut)
                    if dname is None:
                        referral = _refer(zone, top, authority, additional)
                        break
            flags = _AA
            if dname is not None:
                worth = False  # the alias has the question's letters as they were asked
                if all(placed.octets is not dname for placed in answer):
                    answer.append(Placed(dname, dname.name))
                below = data[HEADER : HEADER + at] if owner is None else owner.octets()[:at]
                made = _redirected(dname, below, name)
                if made is None:
                    rcode = _YXDOMAIN
                    break
                alias = made
            elif at:
                wild = find(_WILDCARD + name[at:])
                worth = False
                if wild is None:
                    rcode = _NXDOMAIN
                    if not answer:
                        return Assembled(_denial(data, end, asked, rcode, opt, largest, zone), rcode, rdtype, False)
                    authority.append(Placed(zone.negative, zone.negative.name))
                    break
                node = wild
            if dname is None:
                octets, chosen = node.octets(rdtype), None
                if octets is None:
                    if rdtype != _ANY:
                        chosen = node.octets(_CNAME)
                    elif node.rrsets:
                        octets = node.octets(one_of(node).rdtype)
                if octets is not None and octets.rdtype in _SERVICES:
                    return None
                if octets is not None:
                    if not answer and octets.count == 1 and octets.bodies and not octets.hosts and owner is None:
                        wire = message(data, end, _AA, 0, _ASKED + octets.bodies[0] + opt, b"\0\1", b"\0\0", bool(opt))
                        if len(wire) <= largest:
                            return Assembled(wire, 0, rdtype, worth)
                    first = order(octets.count, node, RdataType(octets.rdtype)) if octets.count > 1 else 0
                    answer.append(Placed(octets, owner, first))
                    if octets.hosts:
                        _add_hosts(zone, octets, first, additional)
                    break
                if chosen is None:
                    if not answer:
                        return Assembled(_denial(data, end, asked, rcode, opt, largest, zone), rcode, rdtype, worth)
                    authority.append(Placed(zone.negative, zone.negative.name))
                    break
                alias = chosen
            answer.append(Placed(alias, owner))
            if dname is not None and rdtype == _CNAME:
                break
            owner = alias.target
            name = owner.key
            if name in seen:
                rcode = _SERVFAIL  # RFC 1034 §3.6.2: loops are signalled as an error
                break
            if len(seen) > (ALIASES if dname is None else REDIRECTIONS):
                break
            seen.add(name)
            found = self._zone(name, rdtype)
            if found is None:
                break
            zone = found
        room = largest - len(opt)
        return Assembled(
            filled(data, end, flags, rcode, opt, room, answer, authority, additional, referral), rcode, rdtype, worth
        )

    def _zone(self, name: bytes, rdtype: int) -> Zone | None:
        """As `Authority.zone_of`; `_UNAVAILABLE` for a zone that is ours and cannot be answered for."""
        origins = self.authority.origins
        at = 0
        if rdtype == _DS and len(name) > 1 and origins.get(name) is not None:
            parent = self._zone(name[name[0] + 1 :], 0)
            if parent is not None:
                return parent
        key = name
        while key not in origins:
            if not name[at]:
                return None
            at += name[at] + 1
            key = name[at:]
        return origins[key] or _UNAVAILABLE


def _signed(zone: Zone) -> bool:
    apex = zone.nodes[zone.origin]
    return _DNSKEY in apex.rrsets and _SOA in apex.signatures


def _redirected(dname: RRsetOctets, below: bytes, name: bytes) -> RRsetOctets | None:
    """The CNAME that a DNAME makes of `name`, whose labels `below` are kept; None where it is too long (RFC 6672 §2.2)."""
    body = dname.bodies[0]
    target = below + body[_FIXED:]
    return RRsetOctets(name, _CNAME, int.from_bytes(body[4:8], "big"), [target]) if len(target) <= 255 else None


def _refer(zone: Zone, cut: Node, authority: list[Placed], additional: list[Placed]) -> bool:
    """A referral: the NS RRset at a cut and the addresses that this zone has for its servers."""
    servers = cut.octets(_NS)
    if servers is None:
        raise LookupError("a cut without NS records")
    authority.append(Placed(servers, servers.name))
    for host in servers.hosts:
        _add(additional, zone.nodes.find(host.key), None)
    return True


def _add_hosts(zone: Zone, octets: RRsetOctets, first: int, additional: list[Placed]) -> None:
    """Addresses of the hosts that the answer names: those of the same zone."""
    hosts, find = octets.hosts, zone.nodes.find
    seen = set()
    apex = zone.octets
    for host in hosts[first:] + hosts[:first] if first else hosts:
        key = host.key
        if key in seen or not key.endswith(apex):
            continue
        seen.add(key)
        at, node = 0, find(key)
        while node is None and key[at]:
            at += key[at] + 1
            node = find(key[at:])
        if node is None:
            continue
        if node.cut is not None:
            delegated = zone.nodes[node.cut].octets(_DNAME) is None
            _add(additional, node if delegated and not at else None, None)
        elif at and node.octets(_DNAME) is not None:
            continue
        elif at:
            _add(additional, find(_WILDCARD + key[at:]), host)
        else:
            _add(additional, node, None)


def _add(additional: list[Placed], node: Node | None, owner: NameOctets | None) -> None:
    """A node's addresses, under another name where there is one."""
    if node is not None:
        for rdtype in (_A, _AAAA):
            octets = node.octets(rdtype)
            if octets is not None:
                additional.append(Placed(octets, owner or octets.name))


def _denial(data: bytes, end: int, asked: bytes, rcode: int, opt: bytes, largest: int, zone: Zone) -> bytes:
    """A reply that has a zone's SOA record alone, whose octets depend on where the question's name ends; mostly."""
    apex = len(zone.octets)
    soa = zone.denials.get(end)
    if soa is None:
        out, known = bytearray(data[: end + 5]), {}
        for at in suffixes(asked):
            if len(asked) - at <= apex:
                known[asked[at:]] = HEADER + at
        zone.negative.write(out, known, zone.negative.name)
        soa = zone.denials[end] = bytes(out[end + 5 :])
    below, at = 0, 0  # a longer part of the question's name may be in the record as well
    while len(asked) - at > apex:
        below, at = at, at + asked[at] + 1
    if end + 5 + len(soa) + len(opt) > largest or (at and asked[below:] in zone.beside):
        placed = [Placed(zone.negative, zone.negative.name)]
        return filled(data, end, _AA, rcode, opt, largest - len(opt), [], placed, [], False)
    return message(data, end, _AA, rcode, soa + opt, b"\0\0", b"\0\1", bool(opt))


_UNAVAILABLE: Zone = Zone.__new__(Zone)
"""Stands for every zone that is not available."""
