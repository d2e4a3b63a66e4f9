"""A zone and the look-up in it (RFC 1034 §4.3.2 step 3, wildcards RFC 4592, delegations and glue RFC 9471)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import dns.exception
import dns.name
import dns.rdataclass
import dns.zone
from dns.name import Name
from dns.rdataset import Rdataset
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.wire import name_text

ADDRESS_TYPES = (RdataType.A, RdataType.AAAA)
_ALONE_WITH_CNAME = {RdataType.CNAME, RdataType.RRSIG, RdataType.NSEC, RdataType.NSEC3}


_NONE: Mapping[RdataType, RRset] = MappingProxyType({})


class ZoneError(ValueError):
    """The text is not a zone that can be served; the message says where and what was expected."""


@dataclass(frozen=True, slots=True)
class ZoneText:
    """A zone as it is configured: an origin such as "umass.edu" or ".", and its master file (RFC 1035 §5)."""

    origin: str
    text: str


class Node:
    """The RRsets of one name. A name that exists only because names below it do (RFC 4592 §2.2.2) has none."""

    __slots__ = ("cut", "rrsets", "signatures", "turns")

    def __init__(self) -> None:
        self.rrsets: dict[RdataType, RRset] = {}
        self.signatures: Mapping[RdataType, RRset] = _NONE
        """RRSIG records by the type that they cover; `rrsets` holds all of them as one RRset (RFC 4034 §3)."""
        self.cut: Name | None = None
        """The delegation at or above this name; data here is glue then, or a DS at the cut itself."""
        self.turns: dict[RdataType, int] = {}
        """How often an RRset of more than one record was given: its rotation."""


@dataclass(frozen=True, slots=True)
class Found:
    """The name has the type: `rrset` carries the name that was asked; `node` is where it is kept (rotation)."""

    rrset: RRset
    node: Node


@dataclass(frozen=True, slots=True)
class Alias:
    """The name is an alias (RFC 1034 §3.6.2)."""

    rrset: RRset


@dataclass(frozen=True, slots=True)
class Delegation:
    """The name lies at or below a cut: the NS RRset there and the addresses that this zone has for its servers."""

    cut: Name
    servers: RRset
    glue: tuple[RRset, ...]


@dataclass(frozen=True, slots=True)
class NoData:
    """The name exists, the type does not (RFC 2308 §2.2)."""


@dataclass(frozen=True, slots=True)
class NoName:
    """The name does not exist (RFC 2308 §2.1)."""


Result = Found | Alias | Delegation | NoData | NoName


class Zone:
    """One zone, class IN, in memory: a dict of names, so that a look-up costs one access for each missing label."""

    def __init__(self, origin: Name, rrsets: Iterable[RRset]) -> None:
        """`rrsets` as of a master file; raises ZoneError when there is no SOA or NS at the origin or a rule is broken."""
        self.origin = origin
        self.nodes: dict[Name, Node] = {}
        self.hashed: dict[Name, Node] = {}
        """NSEC3 records: their owners are no names of the zone (RFC 5155 §7.2.8)."""
        for rrset in rrsets:
            self._add(rrset)
        apex = self.nodes.get(origin)
        if apex is None or RdataType.SOA not in apex.rrsets:
            raise ZoneError(f"zone {name_text(origin)}: expected a SOA record at the origin")
        if RdataType.NS not in apex.rrsets:
            raise ZoneError(f"zone {name_text(origin)}: expected at least one NS record at the origin")
        self.soa = apex.rrsets[RdataType.SOA]
        self.negative_soa = _negative(self.soa)
        self._mark_cuts()

    @classmethod
    def from_text(cls, origin: str, text: str) -> "Zone":
        """From a master file without $INCLUDE; raises ZoneError with the line's number."""
        try:
            name = dns.name.from_text(origin)
        except dns.exception.DNSException as error:
            raise ZoneError(f"zone {origin!r}: the origin is not a domain name: {error}") from error
        try:
            read = dns.zone.from_text(text, origin=name, relativize=False, allow_include=False, check_origin=False)
        except (dns.exception.DNSException, ValueError) as error:
            raise ZoneError(f"zone {origin}: {str(error).replace('<string>:', 'line ') or type(error).__name__}") from error
        return cls(name, (_rrset(owner, rdataset) for owner, rdataset in read.iterate_rdatasets()))

    def lookup(self, name: Name, rdtype: RdataType) -> Result:
        """What the zone says of a name at or below its origin."""
        encloser, nodes = name, self.nodes
        node = nodes.get(encloser)
        while node is None:
            encloser = encloser.parent()
            node = nodes.get(encloser)
        if node.cut is not None and not (rdtype == RdataType.DS and node.cut == name):
            return self._delegation(node.cut)
        if encloser is not name:
            node = nodes.get(Name((b"*", *encloser.labels)))  # RFC 4592 §3.3.1: the source of synthesis
            if node is None:
                return NoName()
        rrset = node.rrsets.get(rdtype)
        if rrset is not None:
            return Found(_named(rrset, name), node)
        alias = node.rrsets.get(RdataType.CNAME)
        if alias is not None and rdtype != RdataType.ANY:
            return Alias(_named(alias, name))
        if rdtype == RdataType.ANY and node.rrsets:
            return Found(_named(_one_of(node), name), node)
        return NoData()

    def addresses(self, name: Name) -> Iterator[RRset]:
        """The A and AAAA RRsets kept for a name, glue or not."""
        node = self.nodes.get(name)
        if node is not None:
            for rdtype in ADDRESS_TYPES:
                rrset = node.rrsets.get(rdtype)
                if rrset is not None:
                    yield rrset

    def rrsets_at(self, name: Name) -> list[RRset]:
        """The RRsets kept for a name, signatures by the type that they cover."""
        node = self.nodes.get(name)
        if node is None:
            return []
        return [*(rrset for rdtype, rrset in node.rrsets.items() if rdtype != RdataType.RRSIG), *node.signatures.values()]

    def __iter__(self) -> Iterator[RRset]:
        for nodes in (self.nodes, self.hashed):
            for node in nodes.values():
                yield from (rrset for rdtype, rrset in node.rrsets.items() if rdtype != RdataType.RRSIG)
                yield from node.signatures.values()

    def _add(self, rrset: RRset) -> None:
        where = f"zone {name_text(self.origin)}: {name_text(rrset.name)}"
        if not rrset.name.is_subdomain(self.origin):
            raise ZoneError(f"{where} is outside the zone; expected a name at or below {name_text(self.origin)}")
        if rrset.rdclass != dns.rdataclass.IN:
            raise ZoneError(f"{where}: expected class IN, got {dns.rdataclass.to_text(rrset.rdclass)}")
        if rrset.rdtype == RdataType.SOA and rrset.name != self.origin:
            raise ZoneError(f"{where}: expected a SOA record at the origin alone")
        of_chain = RdataType.NSEC3 in (rrset.rdtype, rrset.covers)
        node = (self.hashed if of_chain else self.nodes).setdefault(rrset.name, Node())
        if rrset.rdtype == RdataType.RRSIG:
            node.signatures = {**node.signatures, rrset.covers: rrset}
            rrset = ordered(rrset, 0)
            rrset.covers = RdataType.NONE
        if rrset.rdtype in node.rrsets:
            node.rrsets[rrset.rdtype].items.update(rrset.items)
        else:
            node.rrsets[rrset.rdtype] = rrset
        if of_chain:
            return
        if RdataType.CNAME in node.rrsets and not _ALONE_WITH_CNAME.issuperset(node.rrsets):
            raise ZoneError(f"{where}: expected no other data beside a CNAME record (RFC 1034 §3.6.2)")
        name = rrset.name
        while name != self.origin:
            name = name.parent()
            if name in self.nodes:
                break
            self.nodes[name] = Node()

    def _mark_cuts(self) -> None:
        for name in sorted(self.nodes, key=len):
            if name == self.origin:
                continue
            node = self.nodes[name]
            node.cut = self.nodes[name.parent()].cut
            if node.cut is None and RdataType.NS in node.rrsets:
                node.cut = name

    def _delegation(self, cut: Name) -> Delegation:
        servers = self.nodes[cut].rrsets[RdataType.NS]
        glue = tuple(address for rdata in servers for address in self.addresses(rdata.target))
        return Delegation(cut, servers, glue)


def hints_from_text(text: str) -> list[tuple[str, str]]:
    """Root hints from a master file such as InterNIC's named.root: (name, address) of each server; raises ZoneError."""
    try:
        read = dns.zone.from_text(text, origin=".", relativize=False, allow_include=False, check_origin=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise ZoneError(f"root hints: {error or type(error).__name__}") from error
    servers = {rdata.target for rdata in read.get_rdataset(dns.name.root, RdataType.NS) or ()}
    return [
        (name_text(name), rdata.address)
        for name, rdataset in read.iterate_rdatasets()
        if name in servers and rdataset.rdtype in ADDRESS_TYPES
        for rdata in rdataset
    ]


def ordered(rrset: RRset, first: int) -> RRset:
    """A copy that begins with record number `first`, counted around."""
    rdatas = list(rrset.items)
    first %= len(rdatas)
    copy = _rrset(rrset.name, rrset)
    copy.items = dict.fromkeys(rdatas[first:] + rdatas[:first])
    return copy


def _named(rrset: RRset, name: Name) -> RRset:
    """The RRset under the name that was asked, which differs where a wildcard matched."""
    return rrset if rrset.name == name else _rrset(name, rrset)


def _rrset(name: Name, rdataset: Rdataset) -> RRset:
    made = RRset(name, rdataset.rdclass, rdataset.rdtype, rdataset.covers)
    made.ttl = rdataset.ttl
    made.items = rdataset.items
    return made


def _negative(soa: RRset) -> RRset:
    """The SOA as negative answers carry it: its TTL is at most its MINIMUM field (RFC 2308 §3)."""
    copy = ordered(soa, 0)
    copy.ttl = min(soa.ttl, soa[0].minimum)
    return copy


def _one_of(node: Node) -> RRset:
    """RFC 8482 §4.1: one RRset is answer enough to ANY; an address if there is one."""
    for rdtype in (*ADDRESS_TYPES, RdataType.CNAME, RdataType.MX):
        if rdtype in node.rrsets:
            return node.rrsets[rdtype]
    return next(iter(node.rrsets.values()))
