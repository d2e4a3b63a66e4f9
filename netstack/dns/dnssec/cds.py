"""What a parent makes of its child's CDS records (RFC 7344 §4.1, §6): only what the present keys vouch for; pure."""

from collections.abc import Sequence
from typing import Any

import dns.rdataclass
from dns.name import Name
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.DS import DS
from dns.rrset import RRset

from netstack.dns.dnssec.verify import Bogus, Effort, entry_keys, signatures_of, supported, verify
from netstack.dns.wire import name_text

MOST = 8
"""CDS records of one child."""


class NotAccepted(Exception):
    """The child's DS records stay as they are; the text says why."""


def accepted(child: Name, ds: RRset, keys: Sequence[RRset], told: Sequence[RRset], wall: float) -> RRset:
    """The DS records that the child asks for. `keys`, `told`: the answers for DNSKEY and CDS, with signatures.

    Raises NotAccepted where the present DS records do not lead to the CDS records' signature, and where those asked for
    would not lead to the child's keys. The wish to have none (RFC 8078 §4) is not followed.
    """
    dnskey = _of(keys, child, RdataType.DNSKEY)
    cds = _of(told, child, RdataType.CDS)
    effort = Effort()
    try:
        present = entry_keys(child, dnskey, supported(ds))
        verify(dnskey, signatures_of(keys, child, RdataType.DNSKEY), child, present, wall, effort)
        verify(cds, signatures_of(told, child, RdataType.CDS), child, present, wall, effort)
        wanted = [_ds(rdata) for rdata in list(cds)[:MOST] if rdata.algorithm]
        future = entry_keys(child, dnskey, supported(wanted))
        verify(dnskey, signatures_of(keys, child, RdataType.DNSKEY), child, future, wall, effort)
    except Bogus as bogus:
        raise NotAccepted(bogus.text) from bogus
    made = RRset(child, ds.rdclass, RdataType.DS)
    made.ttl = ds.ttl
    made.items = dict.fromkeys(wanted)
    return made


def _of(answer: Sequence[RRset], child: Name, rdtype: RdataType) -> RRset:
    for rrset in answer:
        if rrset.name == child and rrset.rdtype == rdtype:
            return rrset
    raise NotAccepted(f"{name_text(child)} has no {rdtype.name} records")


def _ds(cds: Any) -> DS:
    fields = (cds.key_tag, cds.algorithm, cds.digest_type, cds.digest)
    return DS(dns.rdataclass.IN, RdataType.DS, *fields)  # type: ignore[no-untyped-call]
