"""The chain of trust (RFC 4035 §5): from a trust anchor by DS and DNSKEY records down to what is to be judged; pure.

Judging is a generator: it yields the questions whose outcomes it needs, which the resolver answers as any other.
"""

import re
from collections import OrderedDict
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import dns.dnssec
import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS
from dns.rrset import RRset

from netstack.dns.dnssec.aggressive import Spans
from netstack.dns.dnssec.denial import Denial, ManyIterations
from netstack.dns.dnssec.evidence import DENIALS
from netstack.dns.dnssec.verify import (
    BOGUS,
    DENIAL_MISSING,
    INDETERMINATE,
    KEY_MISSING,
    MANY_ITERATIONS,
    Bogus,
    Effort,
    entry_keys,
    expanded,
    signatures_of,
    supported,
    verify,
    zone_keys,
)
from netstack.dns.events import ExtendedError, Outcome
from netstack.dns.wire import Question, name_text
from netstack.dns.zone import ADDRESS_TYPES, redirection

ZONES = 10_000
"""Zones, and names that are none, whose state is remembered."""
LONGEST = 3600.0
"""Seconds that it is, at most."""
DENIALS_LOOKED_AT = 8
_SENTINEL = re.compile(rb"root-key-sentinel-(is|not)-ta-([0-9]{5})", re.IGNORECASE)


class Security(Enum):
    """RFC 4035 §4.3; what is indeterminate there, outside of all trust anchors, is INSECURE here."""

    SECURE = auto()
    INSECURE = auto()
    BOGUS = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst that holds of any part of an answer, and why."""

    security: Security
    error: ExtendedError | None = None


@dataclass(frozen=True, slots=True)
class ZoneState:
    """A zone that was reached: with its keys, or `keys` None: it is not signed, or not by a chain that we know."""

    name: Name
    keys: tuple[DNSKEY, ...] | None
    error: ExtendedError | None = None
    ttl: float = 3600.0
    """How long the keys may be used."""


SECURE = Verdict(Security.SECURE)
_NO_CUT = "no cut"


class Trust:
    """Trust anchors, and the zones that were reached from them. `now` (monotonic) and `wall` are set by the caller."""

    def __init__(self, anchors: Iterable[str]) -> None:
        """`anchors`: DS or DNSKEY records as text, `NAME [TTL] [IN] DS ...`; raises ValueError."""
        self.now = 0.0
        self.wall = 0.0
        self.anchors: dict[Name, list[DS]] = {}
        self.negative: dict[Name, float] = {}
        """Negative trust anchors (RFC 7646): what is at and below these counts as unsigned until a time, monotonic."""
        for text in anchors:
            name, ds = anchor(text)
            self.anchors.setdefault(name, []).append(ds)
        self.spans: Spans | None = None
        """Where denials are kept for aggressive use."""
        self._known: OrderedDict[Name, tuple[float, ZoneState | str]] = OrderedDict()

    def forget(self) -> None:
        """As at the start: only the anchors are trusted."""
        self._known.clear()
        if self.spans is not None:
            self.spans.flush()

    def reached(self) -> list[Name]:
        """The names whose state is known."""
        return list(self._known)

    def forget_zone(self, name: Name) -> None:
        """Look for this zone's keys anew."""
        self._known.pop(name, None)

    def sentinel(self, question: Question) -> bool:
        """False: the question is a root key sentinel whose statement is wrong, to be answered by SERVFAIL (RFC 8509 §3)."""
        found = _SENTINEL.fullmatch(question.name.labels[0]) if question.rdtype in ADDRESS_TYPES else None
        if found is None:
            return True
        trusted = int(found[2]) in {ds.key_tag for ds in self.anchors.get(dns.name.root, ())}
        return trusted is (found[1].lower() == b"is")

    def forget_chain(self, name: Name) -> list[Name]:
        """Forget the zones above a name; their names, and its own."""
        names = [Name(name.labels[-depth:]) for depth in range(1, len(name) + 1)]
        for above in names:
            self._known.pop(above, None)
        return names

    def judge(self, question: Question, outcome: Outcome) -> Generator[Question, Outcome, Verdict]:
        """What an outcome is worth; yields the questions to be answered first."""
        effort = Effort()
        verdict = SECURE
        try:
            name = question.name
            found = False
            dnames: list[RRset] = []
            for rrset in outcome.answer:
                if any(_made_of(dname, rrset) for dname in dnames):
                    pass  # it is as good as the DNAME; signed it is not (RFC 6672 §5.3.1)
                else:
                    judged = yield from self._records(rrset, outcome.proof, effort, _new(question, outcome))
                    verdict = _worse(verdict, judged)
                found = rrset.rdtype == question.rdtype
                if rrset.rdtype == RdataType.CNAME:
                    name = rrset[0].target
                elif rrset.rdtype == RdataType.DNAME:
                    dnames.append(rrset)
            if outcome.rcode == Rcode.YXDOMAIN and dnames and redirection(dnames[-1], name).alias is None:
                return verdict
            if not found:
                judged = yield from self._absence(Question(name, question.rdtype), outcome, effort)
                verdict = _worse(verdict, judged)
        except Bogus as bogus:
            return Verdict(Security.BOGUS, ExtendedError(bogus.code, bogus.text))
        return verdict

    # Records and their absence

    def _records(
        self, rrset: RRset, proof: Sequence[RRset], effort: Effort, new: bool
    ) -> Generator[Question, Outcome, Verdict]:
        signatures = signatures_of(proof, rrset.name, rrset.rdtype)
        zone = yield from self._zone(_signer(rrset.name, rrset.rdtype, [each.signer for each in signatures]), effort)
        if zone.keys is None:
            return Verdict(Security.INSECURE, zone.error)
        signature = verify(rrset, signatures, zone.name, zone.keys, self.wall, effort)
        if expanded(rrset, signature):
            try:
                denial = self._denial(zone, proof, effort, new)
            except ManyIterations:
                return _iterations(zone)
            if not denial.no_closer(rrset.name, signature.labels):
                raise Bogus(DENIAL_MISSING, f"no proof that {name_text(rrset.name)} is a wildcard's")
            if denial.opt_out:
                return Verdict(Security.INSECURE)
            if self.spans is not None and new:
                self.spans.wildcard(zone.name, rrset, signature, self.now, self.wall)
        return SECURE

    def _absence(self, question: Question, outcome: Outcome, effort: Effort) -> Generator[Question, Outcome, Verdict]:
        name, rdtype = question
        if outcome.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
            raise Bogus(INDETERMINATE, "no answer to validate")
        signers = [rdata.signer for rrset in outcome.proof if rrset.covers in (*DENIALS, RdataType.SOA) for rdata in rrset]
        zone = yield from self._zone(_signer(name, rdtype, signers[:8]), effort)
        if zone.keys is None:
            return Verdict(Security.INSECURE, zone.error)
        new = _new(question, outcome)
        if outcome.soa is not None:
            signatures = signatures_of(outcome.proof, outcome.soa.name, RdataType.SOA)
            signature = verify(outcome.soa, signatures, zone.name, zone.keys, self.wall, effort)
            if self.spans is not None and new:
                self.spans.soa(zone.name, outcome.soa, signature, self.now, self.wall)
        try:
            denial = self._denial(zone, outcome.proof, effort, new)
        except ManyIterations:
            return _iterations(zone)
        proved = denial.no_name(name) if outcome.rcode == Rcode.NXDOMAIN else denial.no_data(name, rdtype)
        if not proved:
            what = "does not exist" if outcome.rcode == Rcode.NXDOMAIN else f"has no {rdtype.name}"
            raise Bogus(DENIAL_MISSING, f"no proof that {name_text(name)} {what}")
        return Verdict(Security.INSECURE) if denial.opt_out else SECURE

    def _denial(self, zone: ZoneState, proof: Sequence[RRset], effort: Effort, new: bool) -> Denial:
        """The zone's denials among a reply's records, each verified; raises Bogus, ManyIterations.

        `new`: their TTLs have just begun.
        """
        records = [rrset for rrset in proof if rrset.rdtype in DENIALS and rrset.name.is_subdomain(zone.name)]
        for rrset in records[:DENIALS_LOOKED_AT]:
            signatures = signatures_of(proof, rrset.name, rrset.rdtype)
            signature = verify(rrset, signatures, zone.name, zone.keys or (), self.wall, effort)
            if expanded(rrset, signature):
                raise Bogus(BOGUS, f"a denial at {name_text(rrset.name)} was made from a wildcard")
            if self.spans is not None and new:
                self.spans.denial(zone.name, rrset, signature, self.now, self.wall)
        return Denial(zone.name, records[:DENIALS_LOOKED_AT], effort)

    # Zones

    def _zone(self, target: Name, effort: Effort) -> Generator[Question, Outcome, ZoneState]:
        """The deepest zone at or above a name that the chain leads to, or the first one that is not signed."""
        start = target
        while start not in self.anchors:
            if len(start) <= 1 or self.negative.get(start, 0.0) > self.now:
                return ZoneState(target, None)
            start = start.parent()
        if self.negative.get(start, 0.0) > self.now:
            return ZoneState(target, None)
        zone = self._remembered(start)
        if not isinstance(zone, ZoneState):
            zone = yield from self._enter(start, self.anchors[start], effort)
            self._remember(start, zone, zone.ttl)
        for depth in range(len(start) + 1, len(target) + 1):
            if zone.keys is None:
                break
            child = Name(target.labels[-depth:])
            state = self._remembered(child)
            if state is None:
                effort.question()
                outcome = yield Question(child, RdataType.DS)
                state = yield from self._descend(zone, child, outcome, effort)
                self._remember(child, state, min(_ttl(outcome), state.ttl if isinstance(state, ZoneState) else LONGEST))
            if isinstance(state, ZoneState):
                zone = state
        return zone

    def _descend(
        self, zone: ZoneState, child: Name, outcome: Outcome, effort: Effort
    ) -> Generator[Question, Outcome, ZoneState | str]:
        """What is at a name one label below, as its DS records say, or their proved absence."""
        keys = zone.keys or ()
        first = outcome.answer[0] if outcome.answer else None
        if first is not None:
            verify(first, signatures_of(outcome.proof, first.name, first.rdtype), zone.name, keys, self.wall, effort)
            if first.rdtype != RdataType.DS:
                return _NO_CUT  # an alias: nothing can be delegated there, nor below a DNAME
            return (yield from self._enter(child, list(first), effort))
        if outcome.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
            raise Bogus(INDETERMINATE, f"the DS records of {name_text(child)} cannot be had")
        try:
            cut = self._denial(zone, outcome.proof, effort, _new(Question(child, RdataType.DS), outcome)).cut(child)
        except ManyIterations:
            return ZoneState(child, None, ExtendedError(MANY_ITERATIONS))
        if cut is None:
            raise Bogus(DENIAL_MISSING, f"no proof that {name_text(child)} has no DS records")
        return ZoneState(child, None) if cut == "insecure" else _NO_CUT

    def _enter(self, name: Name, ds: Sequence[DS], effort: Effort) -> Generator[Question, Outcome, ZoneState]:
        """A zone by its DS records: its keys, when one that they point at has signed them (RFC 4035 §5.2)."""
        known = supported(ds)
        if not known:
            return ZoneState(name, None)
        effort.question()
        outcome = yield Question(name, RdataType.DNSKEY)
        rrset = next((rrset for rrset in outcome.answer if rrset.rdtype == RdataType.DNSKEY and rrset.name == name), None)
        if rrset is None:
            raise Bogus(KEY_MISSING, f"{name_text(name)} has no DNSKEY records")
        trusted = entry_keys(name, rrset, known)
        if not trusted:
            raise Bogus(KEY_MISSING, f"no key of {name_text(name)} is the one of its DS records")
        verify(rrset, signatures_of(outcome.proof, name, RdataType.DNSKEY), name, trusted, self.wall, effort)
        return ZoneState(name, tuple(zone_keys(rrset)), ttl=rrset.ttl)

    def _remembered(self, name: Name) -> ZoneState | str | None:
        kept = self._known.get(name)
        if kept is None or kept[0] <= self.now:
            return None
        return kept[1]

    def _remember(self, name: Name, state: ZoneState | str, seconds: float) -> None:
        self._known[name] = (self.now + min(LONGEST, seconds), state)
        self._known.move_to_end(name)
        if len(self._known) > ZONES:
            self._known.popitem(last=False)


def anchor(text: str) -> tuple[Name, DS]:
    """A trust anchor from a DS or DNSKEY record's text; raises ValueError."""
    fields = text.split()
    kind = next((field.upper() for field in fields[1:4] if field.upper() in ("DS", "DNSKEY")), None)
    if kind is None:
        raise ValueError(f"expected a DS or DNSKEY record such as '. IN DS 20326 8 2 E06D...', got {text!r}")
    at = next(at for at, field in enumerate(fields) if at and field.upper() == kind)
    try:
        name = dns.name.from_text(fields[0])
        rdata: Any = dns.rdata.from_text(dns.rdataclass.IN, kind, " ".join(fields[at + 1 :]))
        if kind == "DNSKEY":
            rdata = dns.dnssec.make_ds(name, rdata, "SHA256")
    except dns.exception.DNSException as error:
        raise ValueError(f"expected a DS or DNSKEY record, got {text!r}: {error}") from error
    found: DS = rdata
    return name, found


def _signer(name: Name, rdtype: RdataType, signers: Iterable[Name]) -> Name:
    """The zone to look for: the deepest that signed and can have; without one, as deep as the data's name.

    DS records belong to the parent of their name.
    """
    highest = name.parent() if rdtype == RdataType.DS and len(name) > 1 else name
    able = [signer for signer in signers if highest.is_subdomain(signer)]
    return max(able, key=len, default=highest)


def _made_of(dname: RRset, rrset: RRset) -> bool:
    """Whether an RRset is the CNAME that a DNAME makes of its name."""
    if rrset.rdtype != RdataType.CNAME or rrset.name == dname.name or not rrset.name.is_subdomain(dname.name):
        return False
    alias = redirection(dname, rrset.name).alias
    return alias is not None and bool(alias[0].target == rrset[0].target)


def _new(question: Question, outcome: Outcome) -> bool:
    """Whether the proof came with this answer just now, no part of it from the cache, nor expired (RFC 8767)."""
    answer = outcome.answer
    return (
        not outcome.kept
        and outcome.error is None
        and (not answer or (len(answer) == 1 and answer[0].rdtype == question.rdtype))
    )


def _worse(a: Verdict, b: Verdict) -> Verdict:
    return b if a.security is Security.SECURE else a


def _iterations(zone: ZoneState) -> Verdict:
    why = f"{name_text(zone.name)} hashes its names too often"
    return Verdict(Security.INSECURE, ExtendedError(MANY_ITERATIONS, why))


def _ttl(outcome: Outcome) -> float:
    rrset = outcome.answer[0] if outcome.answer else outcome.soa
    return 60.0 if rrset is None else float(rrset.ttl)
