"""What a signed zone adds to replies for those who ask with DO: signatures, DS, denials (RFC 4035 §3.1, RFC 5155 §7.2)."""

from collections.abc import Iterator

import dns.name
from dns.message import Message
from dns.name import Name
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.dnssec.names import hashed, hashed_name
from netstack.dns.nodes import Node
from netstack.dns.zone import Alias, Delegation, Found, NoData, NoName, Redirection, Result, Zone

_WILDCARD = dns.name.Name((b"*",))


def signed(zone: Zone) -> bool:
    """Whether a zone has keys and signatures to show."""
    apex = zone.nodes[zone.origin]
    return RdataType.DNSKEY in apex.rrsets and RdataType.SOA in apex.signatures


class Proofs:
    """The signatures and the chain of one signed zone, ready to be looked up."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self._hashes = zone.hashed_order
        self._salt, self._iterations = b"", 0
        if self._hashes:
            record = zone.hashed[self._hashes[0]].rrsets[RdataType.NSEC3][0]
            self._salt, self._iterations = record.salt, record.iterations

    def secure(self, message: Message, name: Name, rdtype: RdataType, result: Result) -> None:
        """Add to a reply what proves the result that was put into it just now."""
        if isinstance(result, Found):
            self._positive(message, name, result.rrset, result.node)
        elif isinstance(result, Alias):
            self._positive(message, name, result.rrset, self._node(name))
        elif isinstance(result, Redirection):  # the CNAME made of it has no signature (RFC 6672 §5.3.1)
            self._positive(message, result.dname.name, result.dname, self.zone.nodes[result.dname.name])
        elif isinstance(result, Delegation):
            self._referral(message, result.cut)
        else:
            self._absent(message, name, rdtype, result)

    def sign_hosts(self, message: Message) -> None:
        """Signatures of the additional section's RRsets, where they are the zone's own (RFC 4035 §3.1.1)."""
        made = []
        for rrset in message.additional:
            node = self.zone.nodes.get(rrset.name)
            signature = None if node is None or node.cut is not None else node.signatures.get(rrset.rdtype)
            if signature is not None:
                made.append(signature)
        message.additional.extend(made)

    # What each kind of reply needs

    def _positive(self, message: Message, name: Name, rrset: RRset, node: Node) -> None:
        signature = node.signatures.get(rrset.rdtype)
        if signature is not None:
            message.answer.append(_under(signature, name))
        if name not in self.zone.nodes:  # RFC 4035 §3.1.3.3: the wildcard was right, since there is no closer name
            self._add(message, self._covering(self._next_closer(name)))

    def _referral(self, message: Message, cut: Name) -> None:
        """RFC 4035 §3.1.4: the DS records, or the proof that there are none."""
        node = self.zone.nodes[cut]
        ds = node.rrsets.get(RdataType.DS)
        if ds is None:
            self._add(message, self._no_data(cut))
            return
        message.authority.append(ds)
        if RdataType.DS in node.signatures:
            message.authority.append(node.signatures[RdataType.DS])

    def _absent(self, message: Message, name: Name, rdtype: RdataType, result: NoData | NoName) -> None:
        soa = self.zone.nodes[self.zone.origin].signatures.get(RdataType.SOA)
        if soa is not None:
            signature = _under(soa, soa.name)
            signature.ttl = self.zone.negative_soa.ttl
            message.authority.append(signature)
        if isinstance(result, NoData) and name in self.zone.nodes:
            self._add(message, self._no_data(name))
            return
        encloser = self._closest_encloser(name)
        wildcard = _WILDCARD.concatenate(encloser)
        next_closer = self._next_closer(name)
        chain: list[Node] = []
        if self._hashes:
            chain += self._matching(encloser)
            chain += self._covering(next_closer)
        else:
            chain += self._covering(name)
        chain += self._no_data(wildcard) if isinstance(result, NoData) else self._covering(wildcard)
        self._add(message, chain)

    # The chain

    def _no_data(self, name: Name) -> list[Node]:
        """For a name that exists: its record, or with NSEC for a name without records the one that spans it."""
        found = list(self._matching(name))
        if found:
            return found
        if not self._hashes:
            return list(self._covering(name))
        encloser = name  # RFC 5155 §7.2.4: left out by opt-out, so its closest encloser is proved
        while not (found := list(self._matching(encloser))) and encloser != self.zone.origin:
            name, encloser = encloser, encloser.parent()
        return found + list(self._covering(name))

    def _matching(self, name: Name) -> Iterator[Node]:
        if self._hashes:
            node = self.zone.hashed.get(hashed_name(hashed(name, self._salt, self._iterations), self.zone.origin))
        else:
            node = self.zone.nodes.get(name)
            if node is not None and RdataType.NSEC not in node.rrsets:
                node = None
        if node is not None:
            yield node

    def _covering(self, name: Name) -> Iterator[Node]:
        """The record whose span a name falls into."""
        if self._hashes:
            digest = hashed_name(hashed(name, self._salt, self._iterations), self.zone.origin)
            yield self.zone.hashed[self._hashes[self._hashes.upto(digest)]]
            return
        order, at = self.zone.order, self.zone.order.upto(name)
        while at >= 0:
            node = self.zone.nodes[order[at]]
            if RdataType.NSEC in node.rrsets:
                yield node
                return
            at = at - 1 if node.cut is None else min(at - 1, order.upto(node.cut))  # glue has none

    def _add(self, message: Message, chain: Iterator[Node] | list[Node]) -> None:
        there = {id(rrset) for rrset in message.authority}
        for node in chain:
            for rdtype in (RdataType.NSEC, RdataType.NSEC3):
                record = node.rrsets.get(rdtype)
                if record is not None and id(record) not in there:
                    there.add(id(record))
                    message.authority.append(record)
                    if rdtype in node.signatures:
                        message.authority.append(node.signatures[rdtype])

    # Names

    def _node(self, name: Name) -> Node:
        return self.zone.nodes.get(name) or self.zone.nodes[_WILDCARD.concatenate(self._closest_encloser(name))]

    def _closest_encloser(self, name: Name) -> Name:
        """The deepest ancestor that exists (RFC 4592 §3.3.1)."""
        while name not in self.zone.nodes:
            name = name.parent()
        return name

    def _next_closer(self, name: Name) -> Name:
        """The name one label longer than the closest encloser (RFC 5155 §1.3)."""
        return Name(name.labels[-len(self._closest_encloser(name)) - 1 :])


def _under(rrset: RRset, name: Name) -> RRset:
    """A copy under another name."""
    copy = RRset(name, rrset.rdclass, rrset.rdtype, rrset.covers)
    copy.update_ttl(rrset.ttl)
    copy.items = rrset.items
    return copy
