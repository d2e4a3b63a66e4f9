"""The resolver's algorithm (RFC 1034 §5.3.3), hardened as its switches say; pure: what it needs is yielded.

A task's steps are a generator that yields when it must wait, for a server (`Try`, `Wait`) or for another task (`Need`: the
address of a name server).
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import dns.name
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.cache import ALL_TYPES, Cache, Entry, Key, Rank
from netstack.dns.dnssec.evidence import evidence, of_absence, of_records, signed_ttl
from netstack.dns.events import (
    CACHED_ERROR,
    NO_REACHABLE_AUTHORITY,
    OTHER,
    STALE_ANSWER,
    STALE_NXDOMAIN,
    ExtendedError,
    Outcome,
    ResolverCounts,
)
from netstack.dns.failures import Failures
from netstack.dns.hardening import TEXTBOOK, Hardening
from netstack.dns.limits import ResolverLimits
from netstack.dns.scrub import Useful, Useless, forwarded, scrub
from netstack.dns.servers import Servers
from netstack.dns.tasks import Broken, Need, Replied, Silence, Step, Task, Try, Wait
from netstack.dns.wire import TC, Question, name_text
from netstack.dns.zone import redirection

_REFERRALS = 32
"""Each one leads deeper into the name, which has at most 127 labels; real ones have five."""
_ONE_BY_ONE = 4
"""The first labels of a name that are asked one by one when it is minimised (RFC 9156 §2.3, MINIMISE_ONE_LAB)."""

FAILED = Outcome(Rcode.SERVFAIL)
_ALIASES = Outcome(Rcode.SERVFAIL, error=ExtendedError(OTHER, "alias loop, or too many aliases"))
_REMEMBERED = Outcome(Rcode.SERVFAIL, error=ExtendedError(CACHED_ERROR, "it failed a moment ago"))
_BAD_COOKIE = 23


class Algorithm:
    """What a resolver knows, and how it finds out more. `now` is set by the Recursor before anything is run."""

    def __init__(
        self,
        hints: Sequence[tuple[str, str]],
        limits: ResolverLimits,
        fraction: Callable[[], float],
        address_types: Sequence[RdataType],
        priming: bool,
        rotate: bool,
        counts: ResolverCounts,
        dismiss: Callable[[Task], None],
        forward: Mapping[Name, Sequence[str]] | None = None,
        hardening: Hardening = TEXTBOOK,
        dnssec: bool = False,
    ) -> None:
        """`dismiss` ends a task's queries in flight, before it asks others.

        `forward`: for names at and below each of these, servers that are asked to do the rest.
        """
        self._dismiss = dismiss
        self.limits = limits
        self.hardening = hardening
        self.dnssec = dnssec
        """What proves an answer is kept with it."""
        self.address_types = tuple(address_types)
        self.priming = priming
        self.rotate = rotate
        self.counts = counts
        self.forward = dict(forward or {})
        self.forward_first = False
        """What forwarders do not answer is asked from the root."""
        self.avoided = {"0.0.0.0", "255.255.255.255", "::"}  # noqa: S104
        """Addresses that are asked by no delegation: of nobody, and our own."""
        self.cache = Cache(limits.cache_entries, limits.cache_bytes, limits.stale_time if hardening.serve_stale else 0.0)
        self.servers = Servers(limits.first_timeout, limits.max_timeout, limits.lame_time, fraction)
        self.failures = Failures(limits.failure_time, limits.failure_longest, limits.failure_entries)
        self.expiring: list[Question] = []
        """Popular questions to ask again before the cache forgets them."""
        self.now = 0.0
        self._hints: dict[Name, list[str]] = {}
        for name, address in hints:
            self._hints.setdefault(dns.name.from_text(name), []).append(address)

    def steps(self, task: Task) -> Generator[Step, Any, Outcome]:
        """Follow aliases from the question to the end of the chain."""
        name, rdtype = task.question
        answer: list[RRset] = []
        used: list[Entry] | None = []
        proof: list[RRset] = []
        seen = {name}
        while True:
            entry = self._known(task, name, rdtype)
            if entry is None:
                used = None
                question = Question(name, rdtype)
                if self.hardening.remember_failures and not task.refresh and self.failures.holds(question, self.now):
                    return _REMEMBERED
                failed = yield from self._find(task, question)
                if failed is not None:
                    self.failures.add(question, self.now)
                    return failed
                self.failures.ended(question)
                entry = self._known(task, name, rdtype)
                if entry is None:
                    return FAILED
            elif self.hardening.prefetch and task.depth == 0:
                self._count(name, rdtype, entry)
            if used is not None:
                used.append(entry)
            rrset = entry.at(self.now, self.rotate)
            proof += entry.proof
            if entry.negative:
                return Outcome(entry.rcode, tuple(answer), rrset, kept=tuple(used or ()), proof=tuple(proof))
            if rrset is None:
                return FAILED
            if rrset.rdtype == RdataType.DNAME and rrset.name != name:
                used = None  # the CNAME that is made of it is no entry of the cache
                alias = redirection(rrset, name).alias
                if all(each.rdtype != RdataType.DNAME or each.name != rrset.name for each in answer):
                    answer.append(rrset)
                if alias is None:
                    return Outcome(Rcode.YXDOMAIN, tuple(answer), proof=tuple(proof))
                rrset = alias
                if rdtype == RdataType.CNAME:
                    return Outcome(Rcode.NOERROR, (*answer, alias), proof=tuple(proof))
            elif rrset.rdtype == rdtype:
                return Outcome(Rcode.NOERROR, (*answer, rrset), kept=tuple(used or ()), proof=tuple(proof))
            answer.append(rrset)
            name = rrset[0].target
            if name in seen or len(seen) > self.limits.aliases:
                return _ALIASES
            seen.add(name)

    def stale(self, question: Question) -> Outcome | None:
        """An answer of which some part has expired (RFC 8767); None where too little is known."""
        name, rdtype = question
        answer: list[RRset] = []
        proof: list[RRset] = []
        for _ in range(self.limits.aliases + 1):
            kept = (
                self.cache.get(name, it, self.now, Rank.ANSWER, stale=True) for it in (rdtype, RdataType.CNAME, ALL_TYPES)
            )
            entry = next((it for it in kept if it is not None and (not it.negative or it.rrset is not None)), None)
            if entry is None:
                entry = self._dname_above(name, stale=True)
            if entry is None or entry.rrset is None:
                return None
            rrset = entry.at(self.now, self.rotate)
            if rrset is None:
                return None
            proof += entry.proof
            if entry.expires <= self.now:
                rrset.ttl = self.limits.stale_ttl
            if entry.negative:
                code = STALE_NXDOMAIN if entry.rcode == Rcode.NXDOMAIN else STALE_ANSWER
                return Outcome(entry.rcode, tuple(answer), rrset, ExtendedError(code), proof=tuple(proof))
            if rrset.rdtype == RdataType.DNAME and rrset.name != name:
                answer.append(rrset)
                rrset = redirection(rrset, name).alias
                if rrset is None:
                    return None
            answer.append(rrset)
            if rrset.rdtype == rdtype:
                return Outcome(Rcode.NOERROR, tuple(answer), None, ExtendedError(STALE_ANSWER), proof=tuple(proof))
            name = rrset[0].target
        return None

    def flush(self) -> None:
        """Forget all that was learned."""
        self.cache.flush()
        self.servers.forget()
        self.failures.flush()

    # Asking; what these return is why it failed, or None when there is something to know now

    def _find(self, task: Task, question: Question) -> Generator[Step, Any, Outcome | None]:
        task.asked = question
        zone: Name | None = question.name
        while self.forward and zone is not None:
            if zone in self.forward:
                failed = yield from self._forward(task, question, zone)
                if failed is None or not self.forward_first:
                    return failed
                break
            zone = zone.parent() if len(zone) > 1 else None
        return (yield from self._iterate(task, question))

    def _forward(self, task: Task, question: Question, zone: Name) -> Generator[Step, Any, Outcome | None]:
        """Let other servers do the work, as for all names at and below `zone`."""
        task.recursion = True
        useful = yield from self._ask(task, zone, question, list(self.forward[zone]), [])
        task.recursion = False
        if not isinstance(useful, Useful):
            return _unreachable(zone, useful)
        self._learn(task, question, useful)
        return None

    def _iterate(self, task: Task, question: Question) -> Generator[Step, Any, Outcome | None]:
        """Ask the servers of ever deeper zones until one has the answer."""
        zone = self._closest(task, question)
        if self.priming and zone == dns.name.root and self._rrset(task, zone, RdataType.NS) is None:
            prime = Question(dns.name.root, RdataType.NS)
            if question != prime:
                yield Need(prime)
        known, parts, whole = len(zone), 0, not self.hardening.minimise
        for _ in range(_REFERRALS + self.limits.minimised):
            task.asked = question
            if not whole:
                task.asked, known = self._part(task, question, known, parts)
            asked = task.asked
            part = asked.name != question.name
            parts += part
            useful = yield from self._ask(task, zone, asked, *self._addresses(task, zone), part)
            if not isinstance(useful, Useful):
                if not part or useful is None:
                    return _unreachable(zone, useful)
                whole = True  # a server that is confused by names without the type (RFC 9156 §2.3)
                continue
            self._learn(task, asked, useful, part)
            if useful.referral is not None:
                zone = useful.referral
                known, whole = len(zone), not self.hardening.minimise
            elif not part or (useful.answers and useful.answers[0].rdtype == RdataType.DNAME):
                return None
            elif useful.rcode == Rcode.NXDOMAIN or (useful.answers and useful.answers[0].rdtype == RdataType.CNAME):
                whole = True  # some servers deny names that have others below them: they are asked for the whole one
            else:
                known = len(asked.name)
        return Outcome(Rcode.SERVFAIL, error=ExtendedError(OTHER, "too many referrals"))

    def _part(self, task: Task, question: Question, known: int, parts: int) -> tuple[Question, int]:
        """What a server is asked when only `known` labels of the name are certain, and how many are now.

        The first labels are added one by one, then as many at once as keep `limits.minimised` (RFC 9156 §2.3).
        """
        name = question.name
        length = len(name)
        while True:
            left = self.limits.minimised - parts
            step = 1 if parts < _ONE_BY_ONE else -(-(length - known) // max(1, left))
            if left <= 0 or known + step >= length:
                return question, known
            part = Question(Name(name.labels[-(known + step) :]), RdataType.A)
            entry = self._known(task, *part)
            if entry is None:
                return part, known
            if entry.rcode == Rcode.NXDOMAIN or (entry.rrset is not None and entry.rrset.rdtype == RdataType.CNAME):
                return question, known
            known += step

    def _ask(
        self, task: Task, zone: Name, question: Question, addresses: list[str], unknown: list[Name], part: bool = False
    ) -> Generator[Step, Any, Useful | Useless | None]:
        """Ask the zone's servers in turn, in several rounds, until one is useful; None: none replied."""
        dead: set[str] = set()
        useless: Useless | None = None
        looked_up = 0
        for round in range(1 if self.forward_first and task.recursion else self.limits.attempts):
            queue = self.servers.order((it for it in addresses if it not in dead), zone, self.now)
            while True:
                if not queue:
                    if round > 0 or not unknown or looked_up >= self.limits.glueless or task.budget.hosts <= 0:
                        break
                    looked_up += 1
                    task.budget.hosts -= 1
                    self._dismiss(task)  # no reply may come while the task waits for another one
                    found = yield from self._host_addresses(unknown.pop(0))
                    fresh = [it for it in found if it not in addresses]
                    addresses += fresh
                    queue = self.servers.order(fresh, zone, self.now)
                    continue
                address = queue.pop(0)
                judged = yield from self._ask_server(task, zone, question, address, round, part)
                if isinstance(judged, Useful):
                    self._dismiss(task)
                    return judged
                if judged is not None:
                    useless, from_whom = judged
                    dead.add(from_whom)
        self._dismiss(task)
        return useless

    def _ask_server(
        self, task: Task, zone: Name, question: Question, address: str, round: int, part: bool
    ) -> Generator[Step, Any, Useful | tuple[Useless, str] | None]:
        """One server's turn. A useful reply, a useless one and whose it is, or None: no reply in time.

        A reply to an earlier turn counts as well: slow servers may answer while others are asked.
        """
        timeout = self.servers.timeout(address, round)
        given = yield Try(address, False, timeout)
        cookies_refused = 0
        while True:
            if isinstance(given, Silence):
                self.counts.timeouts += 1
                self.servers.silent(address)
                return None
            if isinstance(given, Broken):
                if given.address == address:
                    return Useless(given.reason or "no proper reply"), address
                given = yield Wait()
                continue
            reply: Replied = given
            message = reply.message
            if message.flags & TC and not reply.stream:
                given = yield Try(reply.address, True, max(timeout, self.limits.first_timeout))
                continue
            if message.rcode() == _BAD_COOKIE and not reply.stream:  # RFC 7873 §5.3: its new cookie is known now
                cookies_refused += 1
                given = yield Try(reply.address, cookies_refused > 1, timeout)
                continue
            judged = forwarded(message, question) if task.recursion else scrub(message, zone, question)
            if isinstance(judged, Useful):
                if self.dnssec:
                    judged.proof = evidence(message)
                return judged
            if judged.plain and not self.servers.is_plain(reply.address):
                self.servers.plain(reply.address)
                given = yield Try(reply.address, False, timeout)
                continue
            if judged.lame and not part:
                self.counts.lame += 1
                self.servers.lame(reply.address, zone, self.now)
            if reply.address == address:
                return judged, address
            given = yield Wait()

    def _host_addresses(self, name: Name) -> Generator[Step, Any, list[str]]:
        """A name server's addresses, resolved like any other name's."""
        addresses: list[str] = []
        for rdtype in self.address_types:
            outcome: Outcome = yield Need(Question(name, rdtype))
            if outcome.answer and outcome.answer[-1].rdtype == rdtype:
                addresses += (rdata.address for rdata in outcome.answer[-1])
        return addresses

    # What is known

    def _closest(self, task: Task, question: Question) -> Name:
        """The deepest zone towards the name whose servers can be found; a DS belongs to the parent (RFC 4035 §3.1.4.1)."""
        zone = question.name
        if question.rdtype == RdataType.DS and len(zone) > 1:
            zone = zone.parent()
        while len(zone) > 1:
            if self._rrset(task, zone, RdataType.NS) is not None and any(self._addresses(task, zone)):
                break
            zone = zone.parent()
        return zone

    def _addresses(self, task: Task, zone: Name) -> tuple[list[str], list[Name]]:
        """Of the zone's servers: the addresses that are known, and the names for which none is."""
        addresses: list[str] = []
        unknown: list[Name] = []
        servers = self._rrset(task, zone, RdataType.NS)
        names = [rdata.target for rdata in servers] if servers is not None else list(self._hints)
        for name in names:
            known = [
                rdata.address
                for rdtype in self.address_types
                for rdata in self._rrset(task, name, rdtype) or ()
                if rdata.address not in self.avoided
            ]
            if not known and zone == dns.name.root:
                known = self._hints.get(name, [])
            if known:
                addresses += known
            elif not name.is_subdomain(zone):  # else only the zone itself could tell: glue is missing
                unknown.append(name)
        return addresses, unknown

    def _rrset(self, task: Task, name: Name, rdtype: RdataType) -> RRset | None:
        entry = task.fresh.get((name, rdtype)) or self.cache.get(name, rdtype, self.now, Rank.ADDITIONAL)
        return None if entry is None or entry.negative else entry.rrset

    def _known(self, task: Task, name: Name, rdtype: RdataType) -> Entry | None:
        """The answer, the alias or the absence that is known with the rank of an answer."""
        cached = not (task.refresh and name == task.question.name)
        for kept in (rdtype, RdataType.CNAME, ALL_TYPES):
            entry = task.fresh.get((name, kept))
            if entry is None or entry.rank < Rank.ANSWER:
                entry = self.cache.get(name, kept, self.now, Rank.ANSWER) if cached else None
            if entry is not None and not (entry.negative and kept == RdataType.CNAME != rdtype):
                return entry
        redirected = self._dname_above(name, task.fresh, cached)
        if redirected is None and self.hardening.nxdomain_cut and cached:
            return self._nothing_below(name)
        return redirected

    def _dname_above(
        self, name: Name, fresh: Mapping[Key, Entry] = MappingProxyType({}), cached: bool = True, stale: bool = False
    ) -> Entry | None:
        """The DNAME above a name that is known (RFC 6672 §3.4.1): in `fresh`, or if `cached` in the cache."""
        while len(name) > 1:
            name = name.parent()
            entry = fresh.get((name, RdataType.DNAME))
            if entry is None and cached:
                entry = self.cache.get(name, RdataType.DNAME, self.now, Rank.ANSWER, stale=stale)
            if entry is not None and not entry.negative:
                return entry
        return None

    def _nothing_below(self, name: Name) -> Entry | None:
        """The absence of a name above this one (RFC 8020 §2)."""
        while len(name) > 2:
            name = name.parent()
            entry = self.cache.get(name, ALL_TYPES, self.now, Rank.ANSWER)
            if entry is not None:
                return entry
        return None

    def _count(self, name: Name, rdtype: RdataType, entry: Entry) -> None:
        """A client was given what the cache has: popular and near its end, it is to be asked for again."""
        entry.hits += 1
        whole = entry.expires - entry.learned
        if entry.hits > 1 and not entry.negative and entry.expires - self.now <= whole * self.limits.prefetch_part:
            kept = Question(name, rdtype)
            if entry.rrset is not None:
                kept = Question(entry.rrset.name, entry.rrset.rdtype)
            self.expiring.append(kept)

    def _learn(self, task: Task, question: Question, useful: Useful, part: bool = False) -> None:
        """Keep what a reply says; of a part of the name, its absence is left for the whole name's reply to say."""
        for rrset in useful.extra:
            delegated = rrset.name == useful.referral and rrset.rdtype == RdataType.NS
            self._keep(task, rrset, Rank.ADDITIONAL, asked=delegated)  # else a forged referral would move known servers
        for rrset in useful.answers:
            self._keep(task, rrset, Rank.ANSWER, of_records(rrset, useful.proof), rrset.name == question.name)
        if useful.absent is not None and not (part and useful.rcode == Rcode.NXDOMAIN):
            ttl = 0
            if useful.soa is not None:  # RFC 2308 §5
                ttl = min(signed_ttl(useful.soa, useful.proof), useful.soa[0].minimum, self.limits.max_negative_ttl)
            rdtype = ALL_TYPES if useful.rcode == Rcode.NXDOMAIN else question.rdtype
            entry = Entry(useful.soa, self.now + ttl, Rank.ANSWER, True, useful.rcode, learned=self.now)
            entry.proof = of_absence(useful.soa, useful.proof)
            task.fresh[useful.absent, rdtype] = entry
            self.cache.put(useful.absent, rdtype, entry, self.now)

    def _keep(self, task: Task, rrset: RRset, rank: Rank, proof: tuple[RRset, ...] = (), asked: bool = True) -> None:
        expires = self.now + min(signed_ttl(rrset, proof), self.limits.max_ttl)
        if rank is Rank.ANSWER and rrset.rdtype == RdataType.NS:  # only the parent may say that a zone lives on
            known = self.cache.get(rrset.name, RdataType.NS, self.now, Rank.ADDITIONAL)
            expires = expires if known is None or known.negative else min(expires, known.expires)
        entry = Entry(rrset, expires, rank, proof=proof, learned=self.now)
        old = task.fresh.get((rrset.name, rrset.rdtype))
        if old is None or old.rank <= rank:
            task.fresh[rrset.name, rrset.rdtype] = entry
        self.cache.put(rrset.name, rrset.rdtype, entry, self.now, asked)


def _unreachable(zone: Name, useless: Useless | None) -> Outcome:
    """The servers of a zone are of no use."""
    why = "silence" if useless is None else useless.reason
    return Outcome(Rcode.SERVFAIL, error=ExtendedError(NO_REACHABLE_AUTHORITY, f"servers of {name_text(zone)}: {why}"))
