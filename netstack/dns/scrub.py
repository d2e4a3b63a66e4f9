"""What a reply of a zone's server is worth: answer, referral, absence or nothing (RFC 1034 §5.3.3 step 4); pure.

Only records at or below the zone that was asked are taken (bailiwick); no server speaks for what is not delegated to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import dns.name
from dns.message import Message
from dns.name import Name
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.wire import AA, RA, Question
from netstack.dns.zone import ADDRESS_TYPES, redirection

_SOME_USE = (Rcode.NOERROR, Rcode.NXDOMAIN, Rcode.YXDOMAIN)
SERVERS = 16
"""Name servers of one delegation that are looked at; the rest are ignored."""


@dataclass(slots=True)
class Useful:
    """Records to keep. `referral` is the cut when the question is to be asked again there."""

    answers: list[RRset] = field(default_factory=list)
    """Authoritative: the alias chain and what it leads to, as far as this zone knows; not the CNAMEs made of DNAMEs."""
    extra: list[RRset] = field(default_factory=list)
    """NS records of a referral and addresses of name servers."""
    absent: Name | None = None
    """The end of the chain, when it or the type asked does not exist."""
    rcode: Rcode = Rcode.NOERROR
    soa: RRset | None = None
    referral: Name | None = None
    too_long: bool = False
    """The last of the answers is a DNAME that makes too long a name (YXDOMAIN, RFC 6672 §2.2)."""
    proof: list[RRset] = field(default_factory=list)
    """Signatures and denials of the reply, where they are wanted."""


@dataclass(frozen=True, slots=True)
class Useless:
    """Nothing to learn from. `plain` says that the server may just not know EDNS(0) (RFC 6891 §7)."""

    reason: str
    plain: bool = False
    lame: bool = True
    """The server does not serve the zone, or not us; else it just has no answer to this question."""


def scrub(message: Message, zone: Name, question: Question) -> Useful | Useless:
    """Judge a reply to `question` from a server of `zone`."""
    rcode = message.rcode()
    if rcode not in _SOME_USE:
        return Useless(Rcode.to_text(rcode), rcode in (Rcode.FORMERR, Rcode.NOTIMP), rcode in (Rcode.REFUSED, Rcode.NOTAUTH))
    authoritative = bool(message.flags & AA)
    useful = Useful()
    name, found = _chain(message, question, useful, zone)
    if found is not None:
        useful.extra.extend(_hosts(message, zone, found))
    if rcode == Rcode.YXDOMAIN and not (useful.too_long and authoritative):
        return Useless("YXDOMAIN without a reason", lame=False)
    if useful.answers:
        if not authoritative:
            return Useless("answer without authority")
        if found is not None or not name.is_subdomain(zone) or rcode != Rcode.NXDOMAIN:
            if found is None and not useful.too_long:
                _negative(message, zone, name, useful)
            return useful
    else:
        cut = _cut(message, zone, name)
        if cut is not None and not (authoritative and _soa(message, zone, name) is not None):
            useful.extra = [cut, *_hosts(message, zone, cut)]
            useful.referral = cut.name
            return useful
    if not authoritative:
        return Useless("neither authority nor referral")
    useful.absent, useful.rcode, useful.soa = name, rcode, _soa(message, zone, name)
    return useful


def forwarded(message: Message, question: Question) -> Useful | Useless:
    """Judge the reply of a server that was asked to do the whole work: it speaks for every zone, its own or not."""
    rcode = message.rcode()
    if rcode not in _SOME_USE:
        return Useless(Rcode.to_text(rcode), rcode in (Rcode.FORMERR, Rcode.NOTIMP), rcode in (Rcode.REFUSED, Rcode.NOTAUTH))
    if not message.flags & (RA | AA):
        return Useless("no recursion")
    useful = Useful()
    name, found = _chain(message, question, useful, dns.name.root)
    if rcode == Rcode.YXDOMAIN and not useful.too_long:
        return Useless("YXDOMAIN without a reason", lame=False)
    if found is not None or useful.too_long:
        return useful
    soa = _soa(message, dns.name.root, name)
    if rcode == Rcode.NXDOMAIN or soa is not None:
        useful.absent, useful.rcode, useful.soa = name, rcode, soa
    elif not useful.answers:
        if any(rrset.rdtype == RdataType.NS for rrset in message.authority):
            return Useless("referral")
        useful.absent = name
    return useful


def _chain(message: Message, question: Question, useful: Useful, zone: Name) -> tuple[Name, RRset | None]:
    """Gather the answer section's alias chain within the zone: where it leads, and the records that were asked for.

    Of a DNAME the CNAME is made here; what the server made of it is not looked at (RFC 6672 §3.4).
    """
    name, rdtype = question
    seen = {name}
    while name.is_subdomain(zone):
        dname = _dname(message.answer, zone, name)
        if dname is None:
            found = _find(message.answer, name, rdtype)
            if found is not None:
                useful.answers.append(found)
                return name, found
            alias = _find(message.answer, name, RdataType.CNAME)
        else:
            alias = redirection(dname, name).alias
            useful.too_long = alias is None
        if alias is None and dname is None:
            break
        kept = dname or alias
        if kept is not None and kept not in useful.answers:
            useful.answers.append(kept)
        if alias is None:
            break
        if rdtype == RdataType.CNAME:
            return name, alias
        name = alias[0].target
        if name in seen:
            break
        seen.add(name)
    return name, None


def _dname(section: list[RRset], zone: Name, name: Name) -> RRset | None:
    """The DNAME above a name, in bailiwick."""
    for rrset in section:
        if (
            rrset.rdtype == RdataType.DNAME
            and rrset.rdclass == RdataClass.IN
            and rrset.name != name
            and name.is_subdomain(rrset.name)
            and rrset.name.is_subdomain(zone)
        ):
            return rrset
    return None


def _negative(message: Message, zone: Name, name: Name, useful: Useful) -> None:
    """A chain that ends within the zone in a name without the type: NODATA, if a SOA says so."""
    if name.is_subdomain(zone):
        soa = _soa(message, zone, name)
        if soa is not None:
            useful.absent, useful.soa = name, soa


def _find(section: list[RRset], name: Name, rdtype: RdataType) -> RRset | None:
    for rrset in section:
        if rrset.rdtype == rdtype and rrset.name == name and rrset.rdclass == RdataClass.IN:
            return rrset
    return None


def _soa(message: Message, zone: Name, name: Name) -> RRset | None:
    for rrset in message.authority:
        if (
            rrset.rdtype == RdataType.SOA
            and rrset.rdclass == RdataClass.IN
            and name.is_subdomain(rrset.name)
            and rrset.name.is_subdomain(zone)
        ):
            return rrset
    return None


def _cut(message: Message, zone: Name, name: Name) -> RRset | None:
    """The NS records of a delegation towards `name`: strictly below the zone, or it leads nowhere."""
    for rrset in message.authority:
        if (
            rrset.rdtype == RdataType.NS
            and rrset.rdclass == RdataClass.IN
            and rrset.name != zone
            and rrset.name.is_subdomain(zone)
            and name.is_subdomain(rrset.name)
        ):
            return rrset
    return None


def _hosts(message: Message, zone: Name, servers: RRset) -> Iterator[RRset]:
    """Addresses in the additional section of the name servers in an NS RRset, in bailiwick."""
    if servers.rdtype != RdataType.NS:
        return
    for rdata in list(servers)[:SERVERS]:
        if rdata.target.is_subdomain(zone):
            for rdtype in ADDRESS_TYPES:
                found = _find(message.additional, rdata.target, rdtype)
                if found is not None:
                    yield found
