"""Answers made of denials that were validated before (RFC 8198): what lies in an empty span is not asked for.

The same `Denial` that judges replies decides what the kept records prove; records of opt-out spans are not kept. Pure.
"""

from base64 import b32hexencode
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Iterable

import dns.rdataclass
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.RRSIG import RRSIG
from dns.rrset import RRset

from netstack.dns.dnssec.denial import MOST_ITERATIONS, OPT_OUT, Denial
from netstack.dns.dnssec.names import hashed
from netstack.dns.dnssec.verify import Bogus, Effort
from netstack.dns.events import Outcome
from netstack.dns.order import Key, canonical
from netstack.dns.wire import Question

HASHES = 60
"""What one question may cost in hashes; more, and it is asked as if nothing were known."""
_NEVER = frozenset({RdataType.ANY, RdataType.RRSIG, RdataType.NSEC, RdataType.NSEC3, RdataType.NSEC3PARAM, RdataType.SIG})


class _Kept:
    """Records with their signature until a time (monotonic)."""

    __slots__ = ("expires", "rrset", "signature")

    def __init__(self, rrset: RRset, signature: RRSIG, expires: float) -> None:
        self.rrset = rrset
        self.signature = signature
        self.expires = expires

    def given(self, ttl: int, name: Name | None = None) -> tuple[RRset, RRset]:
        """The records and their signature with a TTL, under another name where a wildcard stands for it."""
        rrset, signature = (
            RRset(name or self.rrset.name, dns.rdataclass.IN, rdtype, covers)
            for rdtype, covers in (
                (self.rrset.rdtype, RdataType.NONE),
                (RdataType.RRSIG, self.rrset.rdtype),
            )
        )
        rrset.items, signature.items = self.rrset.items, {self.signature: None}
        rrset.ttl = signature.ttl = ttl
        return rrset, signature


class _Zone:
    """What is known of one zone."""

    def __init__(self) -> None:
        self.soa: _Kept | None = None
        self.keys: list[Key] = []
        self.spans: dict[Key, _Kept] = {}
        """NSEC by owner, NSEC3 by hash."""
        self.parameters: tuple[bytes, int] | None = None
        """Of NSEC3: salt and iterations; None: the zone has NSEC."""
        self.wildcards: dict[tuple[Name, RdataType], _Kept] = {}

    def upto(self, key: Key, now: float) -> _Kept | None:
        """The record at a key or before it; of the last one where there is none: the chain is a circle."""
        if not self.keys:
            return None
        found = self.spans[self.keys[bisect_right(self.keys, key) - 1]]
        return found if found.expires > now else None


class Spans:
    """Validated denials, SOA records and wildcards of many zones; those learned longest ago go first. Monotonic seconds."""

    def __init__(self, most: int, longest: float) -> None:
        self.most = most
        self.longest = longest
        self._zones: dict[Name, _Zone] = {}
        self._order: OrderedDict[tuple[Name, object], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._order)

    def flush(self) -> None:
        """Forget all."""
        self._zones.clear()
        self._order.clear()

    # What was validated

    def denial(self, zone: Name, rrset: RRset, signature: RRSIG, now: float, wall: float) -> None:
        """An NSEC or NSEC3 RRset of a zone, whose signature holds."""
        rdata = rrset[0]
        if len(rrset) != 1:
            return
        held = self._zone(zone)
        if rrset.rdtype == RdataType.NSEC3:
            parameters: tuple[bytes, int] | None = (rdata.salt, rdata.iterations)
            if rdata.flags & OPT_OUT or rdata.algorithm != 1 or rdata.iterations > MOST_ITERATIONS:
                return
            key: Key = (rrset.name.labels[0].lower(),)
        else:
            parameters, key = None, canonical(rrset.name)
        if held.spans and held.parameters != parameters:
            self._forget(zone)
            held = self._zone(zone)
        held.parameters = parameters
        if key not in held.spans:
            insort(held.keys, key)
        held.spans[key] = self._kept(rrset, signature, now, wall)
        self._note(zone, key)

    def soa(self, zone: Name, soa: RRset, signature: RRSIG, now: float, wall: float) -> None:
        """A zone's SOA record, whose signature holds."""
        if soa.name == zone:
            self._zone(zone).soa = self._kept(soa, signature, now, wall)
            self._note(zone, None)

    def wildcard(self, zone: Name, rrset: RRset, signature: RRSIG, now: float, wall: float) -> None:
        """Records that a wildcard stands for, which is proved."""
        name = Name((b"*", *rrset.name.labels[-signature.labels - 1 :]))
        self._zone(zone).wildcards[name, rrset.rdtype] = self._kept(rrset, signature, now, wall)
        self._note(zone, (name, rrset.rdtype))

    # What follows from it

    def answer(self, question: Question, now: float) -> Outcome | None:
        """The answer that follows; None: it has to be asked for."""
        name, rdtype = question
        if rdtype in _NEVER:
            return None
        zone = name.parent() if rdtype == RdataType.DS and len(name) > 1 else name
        while zone not in self._zones:
            if len(zone) <= 1:
                return None
            zone = zone.parent()
        held = self._zones[zone]
        soa = held.soa
        if soa is None or soa.expires <= now:
            return None
        effort = Effort(hashes=HASHES)
        try:
            found = self._candidates(zone, held, name, now, effort)
            denial = Denial(zone, [each.rrset for each in found], effort)
            if denial.no_name(name):
                rcode = Rcode.NXDOMAIN
            elif denial.no_data(name, rdtype):
                rcode = Rcode.NOERROR
            else:
                return self._by_wildcard(held, denial, found, question, now)
        except Bogus:  # too many hashes
            return None
        ttl = int(min(each.expires for each in (soa, *found)) - now)
        rrset, signature = soa.given(min(ttl, soa.rrset[0].minimum))
        proof = (signature, *(each for kept in found for each in kept.given(ttl)))
        return Outcome(rcode, (), rrset, proof=proof, secure=True)

    def _by_wildcard(
        self, held: _Zone, denial: Denial, found: list[_Kept], question: Question, now: float
    ) -> Outcome | None:
        name, rdtype = question
        above = name
        while len(above) > 1:
            above = above.parent()
            kept = held.wildcards.get((Name((b"*", *above.labels)), rdtype))
            if kept is not None and kept.expires > now and denial.no_closer(name, len(above) - 1):
                ttl = int(min(each.expires for each in (kept, *found)) - now)
                rrset, signature = kept.given(ttl, name)
                return Outcome(
                    Rcode.NOERROR, (rrset,), None,
                    proof=(signature, *(each for one in found for each in one.given(ttl))), secure=True,
                )  # fmt: skip
        return None

    def _candidates(self, zone: Name, held: _Zone, name: Name, now: float, effort: Effort) -> list[_Kept]:
        """The records that may say something of a name: its own, its closest encloser's, the wildcard's."""
        if held.parameters is None:
            found = [held.upto(canonical(name), now)]
            if found[0] is not None:
                record = found[0].rrset[0]
                depth = max(name.fullcompare(each)[2] for each in (found[0].rrset.name, record.next))
                found.append(held.upto(canonical(Name((b"*", *name.labels[-depth:]))), now))
            return _live(found)
        salt, iterations = held.parameters

        def at(each: Name) -> _Kept | None:
            effort.hash(iterations)
            digest = b32hexencode(hashed(each, salt, iterations)).lower().rstrip(b"=")
            return held.upto((digest,), now)

        def matches(kept: _Kept | None, each: Name) -> bool:
            if kept is None:
                return False
            digest = b32hexencode(hashed(each, salt, iterations)).lower().rstrip(b"=")
            return bool(kept.rrset.name.labels[0].lower() == digest)

        below = name
        found = [at(below)]
        if matches(found[0], name):
            return _live(found)
        while below != zone:
            encloser = below.parent()
            kept = at(encloser)
            if matches(kept, encloser):
                return _live((kept, found[-1], at(Name((b"*", *encloser.labels)))))
            found.append(kept)
            below = encloser
        return []

    # Keeping

    def _kept(self, rrset: RRset, signature: RRSIG, now: float, wall: float) -> _Kept:
        left = (signature.expiration - int(wall)) % (1 << 32)
        return _Kept(rrset, signature, now + min(rrset.ttl, signature.original_ttl, left, self.longest))

    def _zone(self, zone: Name) -> _Zone:
        return self._zones.setdefault(zone, _Zone())

    def _note(self, zone: Name, what: object) -> None:
        self._order[zone, what] = None
        self._order.move_to_end((zone, what))
        while len(self._order) > self.most:
            (owner, oldest), _ = self._order.popitem(last=False)
            self._drop(owner, oldest)

    def _drop(self, zone: Name, what: object) -> None:
        held = self._zones[zone]
        if what is None:
            held.soa = None
        elif what in held.spans:
            del held.spans[what]
            del held.keys[bisect_right(held.keys, what) - 1]
        else:
            held.wildcards.pop(what, None)  # type: ignore[call-overload]
        if held.soa is None and not held.spans and not held.wildcards:
            del self._zones[zone]

    def _forget(self, zone: Name) -> None:
        held = self._zones.pop(zone, _Zone())
        for what in (*held.spans, *held.wildcards, None):
            self._order.pop((zone, what), None)


def _live(found: Iterable[_Kept | None]) -> list[_Kept]:
    """Each once."""
    return list(dict.fromkeys(each for each in found if each is not None))
