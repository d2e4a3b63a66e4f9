"""A validating resolver (RFC 4035 §4): a Recursor's outcomes are judged before they are given; pure.

It has the Recursor's own interface, so that whatever drives one drives the other. For clients that check for themselves (CD)
the question goes to the Recursor alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace

from dns.rcode import Rcode
from dns.rdatatype import RdataType

from netstack.dns.cache import ALL_TYPES, Rank
from netstack.dns.dnssec.aggressive import Spans
from netstack.dns.dnssec.trust import Security, Trust, Verdict
from netstack.dns.dnssec.verify import INDETERMINATE
from netstack.dns.events import Dismiss, ExtendedError, Outcome, Probe, Resolved, SendUpstream
from netstack.dns.recursor import Recursor
from netstack.dns.wire import Question
from netstack.sansio import Address

BAD_TIME = 30.0
"""Seconds for which a bogus answer is remembered (RFC 4035 §4.7): its zone is not asked again for each client."""
BAD = 1000
"""How many are."""


@dataclass(eq=False, slots=True)
class _Judgement:
    """One question on its way: first resolved, then judged by what other questions bring to light."""

    question: Question
    deadline: float
    waiters: list[object] = field(default_factory=list)
    outcome: Outcome | None = None
    again: bool = False
    """It was bogus once, and what was learned then is forgotten."""
    steps: Generator[Question, Outcome, Verdict] | None = None


class Validator:
    """Resolves and validates. `wall` is the wall clock, by which signatures are judged."""

    def __init__(self, recursor: Recursor, trust: Trust, wall: Callable[[], float]) -> None:
        self.recursor = recursor
        self.trust = trust
        self.wall = wall
        self.counts = recursor.counts
        self.algorithm = recursor.algorithm
        self.hardening = recursor.hardening
        self.identity = recursor.identity
        if recursor.hardening.aggressive_nsec and trust.spans is None:
            trust.spans = Spans(recursor.limits.denials, recursor.limits.max_negative_ttl)
        self._judgements: dict[Question, _Judgement] = {}
        self._bad: OrderedDict[Question, tuple[float, Outcome]] = OrderedDict()
        self._done: list[Resolved] = []
        self._now = 0.0

    @property
    def in_flight(self) -> int:
        """Questions under way, those judged included."""
        return self.recursor.in_flight + len(self._judgements)

    def ask(self, question: Question, waiter: object, now: float, checking_disabled: bool = False) -> None:
        """Resolve; a Resolved with `waiter` comes out, at once or later. `checking_disabled`: whatever it is worth."""
        self._now = now
        if checking_disabled:
            self.recursor.ask(question, waiter, now)
            return
        bad = self._bad.get(question)
        if bad is not None and bad[0] > now:
            self._done.append(Resolved(waiter, bad[1]))
            return
        judgement = self._judgements.get(question)
        synthesised = self._synthesised(question) if judgement is None else None
        if synthesised is not None:
            self._done.append(Resolved(waiter, synthesised))
            return
        if judgement is None:
            judgement = _Judgement(question, now + self.recursor.limits.deadline)
            self._judgements[question] = judgement
            judgement.waiters.append(waiter)
            self.recursor.ask(question, judgement, now)
        else:
            judgement.waiters.append(waiter)

    def _synthesised(self, question: Question) -> Outcome | None:
        """What follows from denials that are known, where nothing is known of the name itself (RFC 8198 §5)."""
        spans, (name, rdtype) = self.trust.spans, question
        if spans is None:
            return None
        kept = (self.recursor.cache.get(name, each, self._now, Rank.ANSWER) for each in (rdtype, RdataType.CNAME, ALL_TYPES))
        if any(each is not None for each in kept) or not self.trust.sentinel(question):
            return None
        found = spans.answer(question, self._now)
        if found is not None:
            self.counts.cache_requests += 1
            self.counts.cache_hits += 1
            self.counts.synthesised += 1
            self.counts.secure += 1
        return found

    def receive(self, key: int, data: bytes, source: Address, now: float) -> None:
        """As Recursor.receive."""
        self._now = now
        self.recursor.receive(key, data, source, now)

    def failed(self, key: int, now: float, reason: str = "") -> None:
        """As Recursor.failed."""
        self._now = now
        self.recursor.failed(key, now, reason)

    def probed(self, address: str, success: bool, now: float) -> None:
        """As Recursor.probed."""
        self.recursor.probed(address, success, now)

    def next_timer(self) -> float | None:
        """When `on_timer` wants to be called."""
        first = next(iter(self._judgements.values()), None)  # the oldest one, whose deadline is the nearest
        due = self.recursor.next_timer()
        if first is None or (due is not None and due <= first.deadline):
            return due
        return first.deadline

    def on_timer(self, now: float) -> None:
        """The time asked for by `next_timer` has come."""
        self._now = now
        self.recursor.on_timer(now)
        for judgement in tuple(self._judgements.values()):
            if judgement.deadline > now:
                break
            self._finish(
                judgement, Verdict(Security.BOGUS, ExtendedError(INDETERMINATE, "not validated in time")), keep=False
            )

    def output(self) -> Sequence[SendUpstream | Dismiss | Resolved | Probe]:
        """What is to be done, once, in this order."""
        given: list[SendUpstream | Dismiss | Resolved | Probe] = []
        events = self.recursor.output()
        while events:
            for event in events:
                if isinstance(event, Resolved) and isinstance(event.waiter, _Judgement):
                    self._resume(event.waiter, event.outcome)
                else:
                    given.append(event)
            events = self.recursor.output()
        given += self._done
        self._done.clear()
        return given

    def bad(self) -> list[Question]:
        """The questions whose answers are remembered as bogus."""
        return list(self._bad)

    def forgive(self, question: Question) -> None:
        """Judge a question's answer anew."""
        self._bad.pop(question, None)

    def flush(self) -> None:
        """Forget all that was learned: the next question begins at the root, cold."""
        self.recursor.flush()
        self.trust.forget()
        self._bad.clear()

    # Judging

    def _resume(self, judgement: _Judgement, outcome: Outcome) -> None:
        if self._judgements.get(judgement.question) is not judgement:
            return  # too late: it was given up
        self.trust.now, self.trust.wall = self._now, self.wall()
        try:
            if judgement.steps is None:
                judgement.outcome = outcome
                if outcome.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN, Rcode.YXDOMAIN):
                    self._give(judgement, outcome)
                    return
                judgement.steps = self.trust.judge(judgement.question, outcome)
                question = next(judgement.steps)
            else:
                question = judgement.steps.send(outcome)
        except StopIteration as stop:
            self._finish(judgement, stop.value)
            return
        self.recursor.ask(question, judgement, self._now)

    def _finish(self, judgement: _Judgement, verdict: Verdict, keep: bool = True) -> None:
        outcome = judgement.outcome
        if verdict.security is Security.BOGUS and keep and not judgement.again:
            self._try_again(judgement)
        elif outcome is None or verdict.security is Security.BOGUS:
            self.counts.bogus += 1
            failed = Outcome(Rcode.SERVFAIL, error=verdict.error)
            if keep:
                self._remember_bad(judgement, failed)
            self._give(judgement, failed)
        elif verdict.security is Security.SECURE and not self.trust.sentinel(judgement.question):
            self._give(judgement, Outcome(Rcode.SERVFAIL))
        elif verdict.security is Security.SECURE:
            self.counts.secure += 1
            self._give(judgement, replace(outcome, secure=True))
        else:
            self.counts.insecure += 1
            self._give(judgement, replace(outcome, error=outcome.error or verdict.error))

    def _try_again(self, judgement: _Judgement) -> None:
        """Once, from the servers: the cache may have what has expired since, a key that was replaced, or one forgery."""
        self._forget(judgement)
        judgement.again, judgement.outcome, judgement.steps = True, None, None
        self.recursor.ask(judgement.question, judgement, self._now)

    def _remember_bad(self, judgement: _Judgement, failed: Outcome) -> None:
        """For a while; what was learned meanwhile is forgotten, so that it is asked for anew then."""
        self._bad[judgement.question] = (self._now + BAD_TIME, failed)
        self._bad.move_to_end(judgement.question)
        if len(self._bad) > BAD:
            self._bad.popitem(last=False)
        self._forget(judgement)

    def _forget(self, judgement: _Judgement) -> None:
        """The answer, and the chain of trust to each of its names."""
        forget, rdtype = self.recursor.cache.forget, judgement.question.rdtype
        names = [judgement.question.name]
        for rrset in judgement.outcome.answer if judgement.outcome is not None else ():
            names += [rrset.name, *(rdata.target for rdata in rrset if rrset.rdtype == RdataType.CNAME)]
        for name in names:
            for kept in (rdtype, RdataType.CNAME, RdataType.DNAME, ALL_TYPES):
                forget(name, kept)
            for above in self.trust.forget_chain(name):
                forget(above, RdataType.DS)
                forget(above, RdataType.DNSKEY)

    def _give(self, judgement: _Judgement, outcome: Outcome) -> None:
        del self._judgements[judgement.question]
        self._done += (Resolved(waiter, outcome) for waiter in judgement.waiters)
