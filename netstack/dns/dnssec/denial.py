"""What NSEC and NSEC3 records prove (RFC 4035 §5.4, RFC 5155 §8, RFC 6840 §4). The records are verified before; pure."""

from base64 import b32hexdecode
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import dns.name
from dns.name import Name
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.dnssec.names import hashed
from netstack.dns.dnssec.verify import MANY_ITERATIONS, Effort

MOST_ITERATIONS = 50
"""Hashed more often, the answer counts as insecure (RFC 9276 §3.2)."""
OPT_OUT = 1
_WILDCARD = dns.name.Name((b"*",))

Cut = Literal["none", "insecure"]


class ManyIterations(Exception):
    """The zone asks for more hashing than we do."""

    code = MANY_ITERATIONS


class Denial:
    """The records of one reply, all of one zone."""

    def __init__(self, zone: Name, records: Sequence[RRset], effort: Effort) -> None:
        """Raises ManyIterations."""
        self.zone = zone
        self.effort = effort
        self.nsec: list[tuple[Name, Any]] = [
            (rrset.name, rdata) for rrset in records if rrset.rdtype == RdataType.NSEC for rdata in rrset
        ]
        self.nsec3: list[tuple[bytes, Any]] = [
            (rrset.name.labels[0].lower(), rdata)
            for rrset in records
            if rrset.rdtype == RdataType.NSEC3 and rrset.name.parent() == zone
            for rdata in rrset
            if rdata.algorithm == 1 and rdata.flags in (0, OPT_OUT)
        ]
        if any(rdata.iterations > MOST_ITERATIONS for _, rdata in self.nsec3):
            raise ManyIterations
        self.opt_out = False
        """What was asked last was proved by a span that may hold unsigned delegations: it is not secure (RFC 5155 §9.2)."""
        self._hashes: dict[tuple[Name, bytes, int], bytes] = {}

    def no_name(self, name: Name) -> bool:
        """The name does not exist, nor a wildcard for it (RFC 4035 §5.4, RFC 5155 §8.4)."""
        for found in self._covering(name):
            encloser = _common(name, found)
            if self._span(_WILDCARD.concatenate(encloser)):
                return True
        encloser3 = self._encloser(name)
        return encloser3 is not None and self._covered3(_WILDCARD.concatenate(encloser3)) is not None

    def no_data(self, name: Name, rdtype: RdataType) -> bool:
        """The name exists or a wildcard stands for it, the type does not (RFC 4035 §5.4, RFC 5155 §8.5-8.7)."""
        for owner, record in self.nsec:
            if owner == name and _lacks(record, rdtype):
                return True
            if owner < name and record.next.is_subdomain(name) and record.next != name and not _above(owner, record, name):
                return True  # an empty name between others
        for found in self._covering(name):
            wildcard = _WILDCARD.concatenate(_common(name, found))
            if any(owner == wildcard and _lacks(record, rdtype) for owner, record in self.nsec):
                return True
        matching = self._matching3(name)
        if matching is not None:
            return _lacks(matching, rdtype)
        encloser = self._encloser(name)
        if encloser is None:
            return False
        if rdtype == RdataType.DS and self._opted_out(name, encloser):
            return True
        wild = self._matching3(_WILDCARD.concatenate(encloser))
        return wild is not None and _lacks(wild, rdtype)

    def no_closer(self, name: Name, labels: int) -> bool:
        """Nothing is closer to the name than the wildcard of so many labels (RFC 4035 §5.3.4, RFC 5155 §8.8)."""
        if any(len(_common(name, record)) - 1 <= labels for record in self._covering(name)):
            return True
        next_closer = Name(name.labels[-(labels + 2) :])
        covering = self._covered3(next_closer)
        self.opt_out = covering is not None and bool(covering.flags & OPT_OUT)
        return covering is not None

    def cut(self, name: Name) -> Cut | None:
        """What is proved about a delegation at a name without DS records; None: nothing (RFC 4035 §5.2, RFC 6840 §4.4)."""
        for owner, record in self.nsec:
            if owner == name and _lacks(record, RdataType.DS):
                return "insecure" if _has(record, RdataType.NS) else "none"
        matching = self._matching3(name)
        if matching is not None and _lacks(matching, RdataType.DS):
            return "insecure" if _has(matching, RdataType.NS) else "none"
        encloser = self._encloser(name) if matching is None else None
        if encloser is not None and self._opted_out(name, encloser):
            return "insecure"
        if self.no_data(name, RdataType.DS) or self.no_name(name):
            return "none"
        return None

    # NSEC

    def _covering(self, name: Name) -> Iterator[tuple[Name, Any]]:
        for owner, record in self.nsec:
            if self._spans(owner, record, name) and not _above(owner, record, name):
                yield owner, record

    def _span(self, name: Name) -> bool:
        return any(True for _ in self._covering(name))

    def _spans(self, owner: Name, record: Any, name: Name) -> bool:
        following: Name = record.next
        if following.is_subdomain(name) and following != name:
            return False  # the name exists, as an empty one
        return bool(owner < name and (name < following or following == self.zone))

    # NSEC3

    def _hash(self, name: Name, record: Any) -> bytes:
        salt, iterations = record.salt, record.iterations
        key = (name, salt, iterations)
        if key not in self._hashes:
            self.effort.hash(iterations)
            self._hashes[key] = hashed(name, salt, iterations)
        return self._hashes[key]

    def _matching3(self, name: Name) -> Any:
        """The record of a name's own hash, or None."""
        for label, record in self.nsec3:
            if _digest(label) == self._hash(name, record):
                return record
        return None

    def _covered3(self, name: Name) -> Any:
        """The record whose span a name's hash falls into, or None."""
        for label, record in self.nsec3:
            digest, start, end = self._hash(name, record), _digest(label), record.next
            if (start < digest < end) if start < end else (digest > start or digest < end):
                return record
        return None

    def _encloser(self, name: Name) -> Name | None:
        """The closest encloser that is proved (RFC 5155 §8.3)."""
        if not self.nsec3:
            return None
        below = name
        while below != self.zone and below.is_subdomain(self.zone):
            encloser = below.parent()
            record = self._matching3(encloser)
            if record is not None:
                delegated = _has(record, RdataType.NS) and not _has(record, RdataType.SOA)
                covering = self._covered3(below)
                if delegated or _has(record, RdataType.DNAME) or covering is None:
                    return None
                self.opt_out = bool(covering.flags & OPT_OUT)
                return encloser
            below = encloser
        return None

    def _opted_out(self, name: Name, encloser: Name) -> bool:
        record = self._covered3(Name(name.labels[-len(encloser) - 1 :]))
        return record is not None and bool(record.flags & OPT_OUT)


def _common(name: Name, record: tuple[Name, Any]) -> Name:
    """The closest encloser: the longest of the name's ancestors that the record's two names show to exist."""
    owner, rdata = record
    following: Name = rdata.next
    depth = max(name.fullcompare(owner)[2], name.fullcompare(following)[2])
    return Name(name.labels[-depth:])


def _above(owner: Name, record: Any, name: Name) -> bool:
    """A record of the parent's side of a cut, or at a DNAME, says nothing of what is below (RFC 6840 §4.1)."""
    if name == owner or not name.is_subdomain(owner):
        return False
    return (_has(record, RdataType.NS) and not _has(record, RdataType.SOA)) or _has(record, RdataType.DNAME)


def _lacks(record: Any, rdtype: RdataType) -> bool:
    """Neither the type nor an alias is there, and the record is of the side of a cut that answers for the type."""
    if _has(record, rdtype) or _has(record, RdataType.CNAME):
        return False
    if rdtype == RdataType.DS:
        return not _has(record, RdataType.SOA)
    return not _has(record, RdataType.NS) or _has(record, RdataType.SOA)


def _has(record: Any, rdtype: RdataType) -> bool:
    window, bit = divmod(int(rdtype), 256)
    for number, bitmap in record.windows:
        if number == window:
            return bit // 8 < len(bitmap) and bool(bitmap[bit // 8] & (0x80 >> bit % 8))
    return False


def _digest(label: bytes) -> bytes:
    try:
        return b32hexdecode(label.upper() + b"=" * (-len(label) % 8))
    except ValueError:
        return b""
