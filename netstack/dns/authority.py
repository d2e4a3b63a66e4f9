"""The authoritative server's answers (RFC 1034 §4.3.2): queries in, replies out; pure.

One Authority holds many zones: a root, a TLD and a department's server are the same program with other zones.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import dns.name
from dns.message import Message
from dns.name import Name
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.dnssec.proofs import Proofs, signed
from netstack.dns.events import NOT_AUTHORITATIVE, ExtendedError
from netstack.dns.nodes import Node
from netstack.dns.octets import octets_of, suffixes
from netstack.dns.options import explain
from netstack.dns.wire import AA, LARGEST, Query, Question, Refusal, make_reply, parse_query, to_wire
from netstack.dns.zone import (
    ADDRESS_TYPES,
    Delegation,
    Found,
    NoData,
    NoName,
    Redirection,
    Zone,
    ZoneUnavailable,
    ordered,
)

ALIASES = 16
"""CNAME records followed within one reply; the rest is the client's to ask."""
REDIRECTIONS = 8
"""The same when the last is a DNAME's: each makes a name that is compressed once more, and decoders bound that."""
_SERVICES = (RdataType.SVCB, RdataType.HTTPS)
_WITH_HOST = {RdataType.MX: "exchange", RdataType.NS: "target", RdataType.SRV: "target"}

Order = Callable[[int, Node, RdataType], int]
"""Which of a node's so many records of a type is the first one in this reply; counted around."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply and what is counted about it; `question` None where there was none to read."""

    data: bytes
    rcode: Rcode
    question: Question | None


def cyclic(records: int, node: Node, rdtype: RdataType) -> int:
    """Each record is first in turn: the rotation that spreads load (RFC 1794)."""
    turn = node.turns.get(rdtype, 0)
    node.turns[rdtype] = turn + 1
    return turn % records


def fixed(records: int, node: Node, rdtype: RdataType) -> int:
    """Always as in the master file."""
    return 0


def at_random(below: Callable[[int], int]) -> Order:
    """A random record is first; `below(n)` gives 0..n-1."""
    return lambda records, node, rdtype: below(records)


class Authority:
    """Answers for its zones and refuses everything else. Zones come and go while it answers: `put`, `withdraw`.

    `zones` is to be read alone; whoever alters a zone in place says so by `changed`.
    """

    def __init__(self, zones: Iterable[Zone], order: Order = cyclic, udp_payload: int = 1232) -> None:
        self.zones: dict[Name, Zone] = {zone.origin: zone for zone in zones}
        self.origins: dict[bytes, Zone | None] = {octets_of(origin): zone for origin, zone in self.zones.items()}
        """The same by the origin's octets in lower case; None is a zone that is not available."""
        self.order = order
        self.udp_payload = udp_payload
        self.unavailable: set[Name] = set()
        self.watchers: list[Callable[[], None]] = []
        """Called whenever what is served may have changed: answers compiled before are forgotten then."""
        self.complain: Callable[[Name, str], None] = lambda origin, why: None
        """Told of a zone that had to be withdrawn."""
        for zone in self.zones.values():
            zone.watched(self._damaged)
        self._deepest = max((len(origin) for origin in self.zones), default=0)
        self._proofs: dict[Name, Proofs | None] = {}

    def put(self, zone: Zone) -> None:
        """Serve a zone from now on, in place of its predecessor."""
        self.zones[zone.origin] = self.origins[octets_of(zone.origin)] = zone
        self.unavailable.discard(zone.origin)
        zone.watched(self._damaged)
        self._deepest = max(self._deepest, len(zone.origin))
        self.changed()

    def withdraw(self, origin: Name) -> None:
        """Answer SERVFAIL for a zone: it is ours and there is no copy that may be served (RFC 1034 §4.3.5)."""
        self.zones.pop(origin, None)
        self.origins[octets_of(origin)] = None
        self.unavailable.add(origin)
        self._deepest = max(self._deepest, len(origin))
        self.changed()

    def _damaged(self, zone: Zone, why: str) -> None:
        if self.zones.get(zone.origin) is zone:
            self.withdraw(zone.origin)
            self.complain(zone.origin, why)

    def changed(self) -> None:
        """What is served is not what it was."""
        for watcher in self.watchers:
            watcher()
        self._proofs.clear()

    def source_of(self, name: bytes) -> bytes:
        """Whose records answer for a name, by octets in lower case: its own, or those of a wildcard or a DNAME above it."""
        places = [*suffixes(name), len(name) - 1]
        zone = next((zone for at in places if (zone := self.origins.get(name[at:])) is not None), None)
        try:
            there = 0 if zone is None else next((at for at in places if zone.nodes.find(name[at:]) is not None), 0)
        except ZoneUnavailable:
            there = 0
        return b"\1*" + name[there:] if there else name

    def answer(self, data: bytes, stream: bool) -> Reply | None:
        """The reply to a message; None when none is due."""
        query = parse_query(data, self.udp_payload, (RdataClass.IN, RdataClass.ANY))
        if query is None:
            return None
        if isinstance(query, Refusal):
            return Reply(query.reply, query.rcode, None)
        try:
            message, referral = self.compose(query, self.order)
        except ZoneUnavailable:
            message, referral = make_reply(query, self.udp_payload), False
            message.set_rcode(Rcode.SERVFAIL)
        wire = to_wire(message, LARGEST if stream else query.payload, additional_needed=referral)
        return Reply(wire, message.rcode(), query.question)

    def compose(self, query: Query, order: Order) -> tuple[Message, bool]:
        """The reply, and whether it is a referral, whose additional section must not be lost.

        Raises ZoneUnavailable.
        """
        message = make_reply(query, self.udp_payload)
        referral = self.fill(message, query, order)
        if query.rdclass == RdataClass.ANY:
            message.flags &= ~AA  # there may be more in other classes (RFC 1034 §6.2.2)
        return message, referral

    def zone_of(self, name: Name, rdtype: RdataType | None = None) -> Zone | None:
        """The deepest of the zones that holds a name; the parent's for DS at the zone's origin (RFC 4035 §3.1.4.1).

        Raises ZoneUnavailable.
        """
        if rdtype == RdataType.DS and len(name) > 1 and name in self.zones:
            parent = self.zone_of(name.parent())
            if parent is not None:
                return parent
        while len(name) > self._deepest:
            name = name.parent()
        while name not in self.zones:
            if name in self.unavailable:
                raise ZoneUnavailable(name)
            if len(name) <= 1:
                return None
            name = name.parent()
        return self.zones[name]

    def fill(self, message: Any, query: Query, order: Order) -> bool:
        """Fill the sections of a message, or of what has its sections; True when the reply is a referral.

        Raises ZoneUnavailable."""
        name, rdtype = query.question
        seen = {name}
        zone = self.zone_of(name, rdtype)
        if zone is None:
            message.set_rcode(Rcode.REFUSED)
            explain(message, ExtendedError(NOT_AUTHORITATIVE))
            return False
        while zone is not None:
            result = zone.lookup(name, rdtype)
            proofs = self._proofs_of(zone) if query.dnssec_ok else None
            if isinstance(result, Delegation):
                # RFC 1034 §4.3.2 step 3b; after a CNAME, AA still speaks of the first name (RFC 1035 §4.1.1)
                message.authority.append(result.servers)
                if proofs is not None:
                    proofs.secure(message, name, rdtype, result)
                message.additional.extend(result.glue)
                return True
            message.flags |= AA
            if isinstance(result, NoName | NoData):
                if isinstance(result, NoName):
                    message.set_rcode(Rcode.NXDOMAIN)
                message.authority.append(zone.negative_soa)
                if proofs is not None:
                    proofs.secure(message, name, rdtype, result)
                return False
            if isinstance(result, Found):
                rrset = result.rrset
                if len(rrset) > 1:
                    rrset = ordered(rrset, order(len(rrset), result.node, rrset.rdtype))
                message.answer.append(rrset)
                self._add_hosts(message, rrset, zone)
                if proofs is not None:
                    proofs.secure(message, name, rdtype, result)
                    proofs.sign_hosts(message)
                return False
            if isinstance(result, Redirection):
                alias = result.alias
                if result.dname not in message.answer:
                    message.answer.append(result.dname)
                    if proofs is not None:
                        proofs.secure(message, name, rdtype, result)
                if alias is None:
                    message.set_rcode(Rcode.YXDOMAIN)
                    return False
                message.answer.append(alias)
                if rdtype == RdataType.CNAME:
                    return False
            else:
                alias = result.rrset
                message.answer.append(alias)
                if proofs is not None:
                    proofs.secure(message, name, rdtype, result)
            name = alias[0].target
            if name in seen:
                message.set_rcode(Rcode.SERVFAIL)  # RFC 1034 §3.6.2: loops are signalled as an error
                return False
            if len(seen) > (REDIRECTIONS if isinstance(result, Redirection) else ALIASES):
                return False
            seen.add(name)
            zone = self.zone_of(name, rdtype)
        return False

    def _proofs_of(self, zone: Zone) -> Proofs | None:
        """What a signed zone proves its answers with; sorted once, at the first question with DO."""
        if zone.origin not in self._proofs:
            self._proofs[zone.origin] = Proofs(zone) if signed(zone) else None
        return self._proofs[zone.origin]

    def _add_hosts(self, message: Message, rrset: RRset, zone: Zone) -> None:
        """Addresses of the hosts that the answer names (RFC 1035 §3.3.9, §3.3.11, RFC 2782): those of the same zone."""
        targets = list(self._services(message, rrset, zone)) if rrset.rdtype in _SERVICES else []
        field = _WITH_HOST.get(rrset.rdtype)
        if field is not None:
            targets = [getattr(rdata, field) for rdata in rrset]
        seen = set()
        for target in targets:
            if target in seen or not target.is_subdomain(zone.origin):
                continue
            seen.add(target)
            for rdtype in ADDRESS_TYPES:
                found = zone.lookup(target, rdtype)
                if isinstance(found, Found):
                    message.additional.append(found.rrset)
                elif isinstance(found, Delegation):
                    message.additional.extend(glue for glue in zone.addresses(target) if glue.rdtype == rdtype)

    def _services(self, message: Message, rrset: RRset, zone: Zone) -> Iterator[Name]:
        """The hosts of SVCB and HTTPS records, and the records that those of alias mode lead to (RFC 9460 §4.1)."""
        followed = {rrset.name}
        while True:
            alias = next((rdata.target for rdata in rrset if rdata.priority == 0), None)
            yield from (rrset.name if rdata.target == dns.name.root else rdata.target for rdata in rrset if rdata.priority)
            if alias is None or alias == dns.name.root or alias in followed or len(followed) > REDIRECTIONS:
                return
            followed.add(alias)
            found = zone.lookup(alias, rrset.rdtype) if alias.is_subdomain(zone.origin) else None
            if not isinstance(found, Found):
                yield alias
                return
            rrset = found.rrset
            message.additional.append(rrset)
