"""A zone and the look-up in it (RFC 1034 §4.3.2 step 3, wildcards RFC 4592, delegations RFC 9471, DNAME RFC 6672)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.rdataclass
from dns.name import Name
from dns.rdata import Rdata
from dns.rdataset import Rdataset
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rrset import RRset

from netstack.dns.master import BESIDE_CNAME, SINGLE, Include, read_master
from netstack.dns.nodes import Node, Nodes
from netstack.dns.octets import RRsetOctets, octets_of
from netstack.dns.order import Order
from netstack.dns.wire import name_text

ADDRESS_TYPES = (RdataType.A, RdataType.AAAA)


_cname: Callable[..., Rdata] = CNAME


class ZoneError(ValueError):
    """The text is not a zone that can be served; the message says where and what was expected."""


class ZoneUnavailable(LookupError):
    """The zone is this server's and cannot be answered for: its copy is expired, was not yet transferred, or is damaged."""


@dataclass(frozen=True, slots=True)
class ZoneText:
    """A zone as it is configured: an origin such as "umass.edu" or ".", and its master file (RFC 1035 §5)."""

    origin: str
    text: str


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
class Redirection:
    """The name lies below a DNAME: `alias` is the CNAME made of it, None where the new name is too long (RFC 6672 §2.2)."""

    dname: RRset
    alias: RRset | None


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


Result = Found | Alias | Redirection | Delegation | NoData | NoName


class Zone:
    """One zone, class IN, in memory: a dict of names, so that a look-up costs one access for each missing label."""

    def __init__(self, origin: Name, rrsets: Iterable[RRset]) -> None:
        """`rrsets` as of a master file; raises ZoneError when there is no SOA or NS at the origin or a rule is broken."""
        self.origin = origin
        self.octets = octets_of(origin)
        self.nodes = Nodes()
        self.hashed = Nodes()
        """NSEC3 records: their owners are no names of the zone (RFC 5155 §7.2.8)."""
        self._order: Order | None = None
        self._hashed_order: Order | None = None
        for rrset in rrsets:
            self._add(rrset)
        self._check_apex()
        self._mark_cuts(self.nodes)

    @classmethod
    def from_text(cls, origin: str, text: str, file: str = "", include: Include | None = None) -> "Zone":
        """From a master file; raises ZoneError with the file's name, if there is one, and the line's number."""
        try:
            name = dns.name.from_text(origin)
        except dns.exception.DNSException as error:
            raise ZoneError(f"zone {origin!r}: the origin is not a domain name: {error}") from error
        contents = read_master(name, text, file, include)
        for remark in contents.errors:
            raise ZoneError(f"zone {origin}: {remark}")
        zone = cls(name, contents.rrsets)
        for hidden in zone.occluded():
            raise ZoneError(f"zone {origin}: {hidden}")
        return zone

    def lookup(self, name: Name, rdtype: RdataType) -> Result:
        """What the zone says of a name at or below its origin."""
        encloser, nodes = name, self.nodes
        node = nodes.get(encloser)
        while node is None:
            encloser = encloser.parent()
            node = nodes.get(encloser)
        if node.cut is not None and not (rdtype == RdataType.DS and node.cut == name):
            dname = self.nodes[node.cut].rrsets.get(RdataType.DNAME)
            return self._delegation(node.cut) if dname is None else redirection(dname, name)
        if encloser is not name:
            dname = node.rrsets.get(RdataType.DNAME)
            if dname is not None:
                return redirection(dname, name)
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
            return Found(_named(one_of(node), name), node)
        return NoData()

    def addresses(self, name: Name) -> Iterator[RRset]:
        """The A and AAAA RRsets kept for a name, glue or not."""
        node = self.nodes.get(name)
        if node is not None:
            for rdtype in ADDRESS_TYPES:
                rrset = node.rrsets.get(rdtype)
                if rrset is not None:
                    yield rrset

    def occluded(self) -> Iterator[str]:
        """Says of each name with records that nobody sees that it must not be in a file."""
        for name, node in self.nodes.items():
            if node.cut is not None and node.rrsets and RdataType.DNAME in self.nodes[node.cut].rrsets:
                yield f"{name_text(name)}: expected no names below a DNAME record (RFC 6672 §2.4)"

    def rrsets_at(self, name: Name) -> list[RRset]:
        """The RRsets kept for a name, signatures by the type that they cover."""
        node = self.nodes.get(name)
        return [] if node is None else list(_all_of(node))

    def hashed_at(self, name: Name) -> list[RRset]:
        """The NSEC3 RRset that a hash owns, and its signatures."""
        node = self.hashed.get(name)
        return [] if node is None else list(_all_of(node))

    @property
    def order(self) -> Order:
        """Its names in canonical order, those without records too; sorted when it is asked for first."""
        if self._order is None:
            self._order = Order(self.nodes)
        return self._order

    @property
    def hashed_order(self) -> Order:
        """The owners of its NSEC3 records, sorted."""
        if self._hashed_order is None:
            self._hashed_order = Order(self.hashed)
        return self._hashed_order

    def watched(self, damaged: Callable[["Zone", str], None]) -> None:
        """Who serves it wants to know when it turns out that it cannot be read any more, and why."""

    def snapshot(self) -> Iterable[RRset]:
        """The RRsets as they are now, whatever changes while they are read."""
        return list(self)

    def __iter__(self) -> Iterator[RRset]:
        for nodes in (self.nodes, self.hashed):
            for node in nodes.values():
                yield from _all_of(node)

    def with_names(self, names: Mapping[Name, Iterable[RRset]]) -> "Zone":
        """The next version: other RRsets at some names, NSEC3 records too, all else shared with this one, which stays.

        Raises ZoneError.
        """
        made = copy(self)
        made.nodes = self.nodes.copy()
        moved: set[Name] = set()
        emptied: list[Name] = []
        hashes: list[Name] = []
        for name, rrsets in names.items():
            before = made.nodes.pop(name, None)
            if name in made.hashed or any(RdataType.NSEC3 in (rrset.rdtype, rrset.covers) for rrset in rrsets):
                if not hashes:
                    made.hashed = self.hashed.copy()
                made.hashed.pop(name, None)
                hashes.append(name)
            for rrset in rrsets:
                made._add(rrset)
            after = made.nodes.get(name)
            if after is None and before is not None:
                emptied.append(name)
            if cutting(before) != cutting(after):
                moved.add(name)
        fresh = made._keep_ancestors(emptied, names, self.order) if emptied else set()
        for name in names:
            while name in made.nodes and made.nodes[name] is not self.nodes.get(name):
                fresh.add(name)
                if name == self.origin:
                    break
                name = name.parent()
        made._order = self._order
        if self._order is not None:
            added = [name for name in fresh if name not in self.nodes]
            removed = [name for name in _with_ancestors(emptied, self.origin) if name not in made.nodes]
            made._order = self._order.altered(added, removed) if added or removed else self._order
        if hashes:
            made._hashed_order = None
            if self._hashed_order is not None:
                gone = [name for name in hashes if name not in made.hashed]
                made._hashed_order = self._hashed_order.altered([name for name in hashes if name in made.hashed], gone)
        for top in moved:
            for name in made.order.below(top):
                if name not in fresh:
                    fresh.add(name)
                    made.nodes[name] = made.nodes[name].twin()
        made._check_apex()
        made._mark_cuts(fresh)
        return made

    def _keep_ancestors(self, emptied: Iterable[Name], others: Iterable[Name], before: Order) -> set[Name]:
        """Names without records exist as long as names below them do (RFC 4592 §2.2.2): those made anew for that."""
        needed: set[Name] = set()
        parents = {name.parent() for name in others if name != self.origin and name in self.nodes}
        above = _with_ancestors(parents, self.origin)
        for name in sorted(_with_ancestors(emptied, self.origin), key=len, reverse=True):
            node = self.nodes.get(name)
            if node is not None and node.rrsets:
                continue
            if name in above or any(below in self.nodes for below in before.below(name) if below != name):
                if node is None:
                    self.nodes[name] = Node()
                    needed.add(name)
            elif node is not None:
                del self.nodes[name]
        return needed

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
        if rrset.rdtype in SINGLE and len(node.rrsets[rrset.rdtype]) > 1:
            raise ZoneError(f"{where}: expected one {rrset.rdtype.name} record (RFC 2181 §10.1, RFC 6672 §2.4)")
        if RdataType.DNAME in node.rrsets and RdataType.NS in node.rrsets and rrset.name != self.origin:
            raise ZoneError(f"{where}: expected no DNAME record beside a delegation (RFC 6672 §2.3)")
        if RdataType.CNAME in node.rrsets and not BESIDE_CNAME.issuperset(node.rrsets):
            raise ZoneError(f"{where}: expected no other data beside a CNAME record (RFC 1034 §3.6.2)")
        name = rrset.name
        while name != self.origin:
            name = name.parent()
            if name in self.nodes:
                break
            self.nodes[name] = Node()

    def _check_apex(self) -> None:
        apex = self.nodes.get(self.origin)
        if apex is None or RdataType.SOA not in apex.rrsets:
            raise ZoneError(f"zone {name_text(self.origin)}: expected a SOA record at the origin")
        if RdataType.NS not in apex.rrsets:
            raise ZoneError(f"zone {name_text(self.origin)}: expected at least one NS record at the origin")
        self.soa = apex.rrsets[RdataType.SOA]
        self.negative_soa = _negative(self.soa)
        self.negative = RRsetOctets.of(self.negative_soa)
        self.beside = self.negative.beside(self.octets)
        self.denials: dict[int, bytes] = {}
        """The negative SOA as it is in a reply, by where the question's name ends (`assembled.py`)."""

    def _mark_cuts(self, names: Iterable[Name]) -> None:
        for name in sorted(names, key=len):
            if name == self.origin:
                continue
            node, above = self.nodes[name], self.nodes[name.parent()]
            node.cut = above.cut
            if node.cut is None and RdataType.DNAME in above.rrsets:
                node.cut = name.parent()
            elif node.cut is None and RdataType.NS in node.rrsets:
                node.cut = name

    def _delegation(self, cut: Name) -> Delegation:
        servers = self.nodes[cut].rrsets[RdataType.NS]
        glue = tuple(address for rdata in servers for address in self.addresses(rdata.target))
        return Delegation(cut, servers, glue)


def redirection(dname: RRset, name: Name) -> Redirection:
    """What a DNAME makes of a name below it: a CNAME with its TTL (RFC 6672 §2.2, §3.1)."""
    kept = name.labels[: len(name) - len(dname.name)]
    try:
        target = Name(kept + dname[0].target.labels)
    except dns.exception.DNSException:
        return Redirection(dname, None)
    alias = RRset(name, dname.rdclass, RdataType.CNAME)
    alias.ttl = dname.ttl
    alias.items = {_cname(dname.rdclass, RdataType.CNAME, target): None}
    return Redirection(dname, alias)


def cutting(node: Node | None) -> tuple[bool, ...]:
    """Whether names below are another zone's, or hidden."""
    return tuple(node is not None and rdtype in node.rrsets for rdtype in (RdataType.NS, RdataType.DNAME))


def _all_of(node: Node) -> Iterator[RRset]:
    """A node's RRsets, signatures by the type that they cover."""
    yield from (rrset for rdtype, rrset in node.rrsets.items() if rdtype != RdataType.RRSIG)
    yield from node.signatures.values()


def _with_ancestors(names: Iterable[Name], origin: Name) -> set[Name]:
    found: set[Name] = set()
    for name in names:
        while name not in found and name != origin:
            found.add(name)
            name = name.parent()
    return found


def hints_from_text(text: str) -> list[tuple[str, str]]:
    """Root hints from a master file such as InterNIC's named.root: (name, address) of each server; raises ZoneError."""
    contents = read_master(dns.name.root, text)
    for remark in contents.errors:
        raise ZoneError(f"root hints: {remark}")
    root = [rrset for rrset in contents.rrsets if rrset.name == dns.name.root and rrset.rdtype == RdataType.NS]
    servers = {rdata.target for rrset in root for rdata in rrset}
    return [
        (name_text(rrset.name), rdata.address)
        for rrset in contents.rrsets
        if rrset.name in servers and rrset.rdtype in ADDRESS_TYPES
        for rdata in rrset
    ]


def ordered(rrset: RRset, first: int) -> RRset:
    """A copy that begins with record number `first`, counted around."""
    rdatas = list(rrset.items)
    first %= len(rdatas)
    turned = _rrset(rrset.name, rrset)
    turned.items = dict.fromkeys(rdatas[first:] + rdatas[:first])
    return turned


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
    made = ordered(soa, 0)
    made.ttl = min(soa.ttl, soa[0].minimum)
    return made


def one_of(node: Node) -> RRset:
    """RFC 8482 §4.1: one RRset is answer enough to ANY; an address if there is one."""
    for rdtype in (*ADDRESS_TYPES, RdataType.CNAME, RdataType.MX):
        if rdtype in node.rrsets:
            return node.rrsets[rdtype]
    return next(iter(node.rrsets.values()))
