"""What is doubtful about a zone that can be served: name servers that cannot be found, aliases where none may be; pure."""

from collections.abc import Iterator
from typing import Any

import dns.name
from dns.name import Name
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.wire import name_text, type_text
from netstack.dns.zone import ADDRESS_TYPES, Alias, Delegation, Found, NoData, NoName, Redirection, Zone

_HOSTS = {RdataType.NS: "target", RdataType.MX: "exchange", RdataType.SRV: "target"}
_NAMES = {**_HOSTS, RdataType.CNAME: "target", RdataType.PTR: "target", RdataType.DNAME: "target"}
_AT_CUT = frozenset({RdataType.NS, RdataType.DS, RdataType.NSEC, RdataType.RRSIG})
WEEK = 604800


def doubts(zone: Zone) -> Iterator[str]:
    """One sentence for each, names in the order of the zone."""
    yield from _times(zone)
    glue = set(_glue(zone))
    for rrset in zone:
        where = f"{name_text(rrset.name)} {type_text(rrset.rdtype)}"
        node = zone.nodes.get(rrset.name)
        cut = None if node is None else node.cut
        if cut is not None and not _belongs(rrset, cut, glue):
            yield f"{where} is below {name_text(cut)}, which is another zone's, and is no glue"
            continue
        for target in _targets(rrset):
            if _doubled(target, zone.origin):
                yield f"{where} names {target.to_text()}: is a final dot missing?"
            if rrset.rdtype in _HOSTS:
                yield from _host(zone, rrset, where, target)
            elif rrset.rdtype == RdataType.CNAME and _missing(zone, target):
                yield f"{where} leads to {name_text(target)}, which does not exist"


def _times(zone: Zone) -> Iterator[str]:
    """RFC 1912 §2.2."""
    soa: Any = zone.soa[0]
    if soa.retry > soa.refresh:
        yield f"SOA: retry ({soa.retry}) is longer than refresh ({soa.refresh})"
    if soa.expire <= soa.refresh + soa.retry:
        yield f"SOA: expire ({soa.expire}) is not longer than refresh and retry ({soa.refresh + soa.retry})"
    if soa.minimum > WEEK:
        yield f"SOA: what does not exist is remembered for {soa.minimum} seconds (RFC 2308 §5: one to three hours are usual)"


def _host(zone: Zone, rrset: RRset, where: str, host: Name) -> Iterator[str]:
    """Whether a host that a record names can be found, as far as this zone knows (RFC 1912 §2.4, §2.8, RFC 2181 §10.3)."""
    if host == dns.name.root or not host.is_subdomain(zone.origin):
        return
    found = [zone.lookup(host, rdtype) for rdtype in ADDRESS_TYPES]
    shown = name_text(host)
    if isinstance(found[0], Alias | Redirection):
        yield f"{where} names {shown}, which is an alias (RFC 2181 §10.3)"
    elif isinstance(found[0], Delegation):
        inside = rrset.rdtype == RdataType.NS and host.is_subdomain(rrset.name) and rrset.name != zone.origin
        if (inside or rrset.name == zone.origin) and not any(True for _ in zone.addresses(host)):
            yield f"{where} names {shown}, whose address (glue) is missing"
    elif not any(isinstance(each, Found) for each in found):
        lack = "does not exist" if isinstance(found[0], NoName) else "has no address"
        if isinstance(found[0], NoName | NoData):
            yield f"{where} names {shown}, which {lack}"


def _missing(zone: Zone, name: Name) -> bool:
    return name.is_subdomain(zone.origin) and isinstance(zone.lookup(name, RdataType.A), NoName)


def _glue(zone: Zone) -> Iterator[Name]:
    """Hosts that delegations name."""
    for name, node in zone.nodes.items():
        if node.cut == name:
            yield from (rdata.target for rdata in node.rrsets.get(RdataType.NS, ()))


def _belongs(rrset: RRset, cut: Name, glue: set[Name]) -> bool:
    if rrset.name == cut and rrset.rdtype in _AT_CUT:
        return True
    return rrset.rdtype in ADDRESS_TYPES and rrset.name in glue


def _targets(rrset: RRset) -> Iterator[Name]:
    field = _NAMES.get(rrset.rdtype)
    if field is not None:
        yield from (getattr(rdata, field) for rdata in rrset)


def _doubled(target: Name, origin: Name) -> bool:
    """The origin twice at the end, as a name without its final dot becomes."""
    labels = [label.lower() for label in origin.labels[:-1]]
    return bool(labels) and [label.lower() for label in target.labels[-2 * len(labels) - 1 : -1]] == labels * 2
