"""Which arc a peer serves and who has its copies: configurations taken up, renewed and given up, copies compared.

One task looks at the node's neighbours whenever they change. It hands an arc over to a predecessor that has come (see
`handover`), takes one over from one that is gone, and replaces holders, each time with a greater epoch (see `claims`); then
it makes the holders' copies agree with its own, and again every `sync` seconds.

A node without an arc asks who serves its place (see `inquiry`), and waits. Nobody serves what it was not handed over, or
promised by enough of those who have its copies; of these it goes on without those that have been silent, or without memory
of it, for `patience`, and never against one that answers.
"""

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import replace
from typing import Any

from netstack.ring.claims import Claims, Config, Heard, Mark, Span, enough, mark_of, overlap, spans_of, without
from netstack.ring.copying import Copying
from netstack.ring.data_messages import OWNED, PROMISED, Claim, ClaimAnswer, DataMessage, Known, Own, OwnAnswer, claim
from netstack.ring.engine import Node
from netstack.ring.handover import HandOver, Outcome
from netstack.ring.identifiers import Contact
from netstack.ring.inquiry import Inquiry, Served, no_more
from netstack.ring.patience import Patience
from netstack.ring.records import DataOptions
from netstack.ring.tasks import Answers, Ask, Pause, Wait, Work

Steps = Generator[Wait, Any, bool]
ROUNDS = 8
"""Of one attempt, each of which has learned of more configurations, or of greater epochs."""


class Arcs:
    """Of one peer."""

    def __init__(
        self,
        node: Callable[[], Node],
        options: DataOptions,
        copying: Copying,
        clock: Callable[[], float],
        wake: Callable[[], None],
        tell: Callable[[Contact, Callable[[int], DataMessage]], None],
        vary: Callable[[], float],
        lost: Callable[[Sequence[Span]], None],
    ) -> None:
        """`wake` is called when `work` has something to do; `tell` asks without waiting for an answer; `vary` gives numbers
        about 1, so that two that want one arc do not do so in step for ever; `lost` is told of places that another node has
        taken over."""
        self.claims = Claims(node().circle.bits, node().me)
        self.serving: Config | None = None
        self.in_use = False
        """Enough holders have all that was acknowledged before this configuration."""
        self.synced: set[Contact] = set()
        """Holders that agreed with this node's copy in this configuration."""
        self.joining = False
        self.founder = False
        """It begins a circle: until it has an arc, what nobody knows of is its own."""
        self.leaving = False
        self.counts = {"forced": 0, "taken": 0, "handed": 0}
        """Configurations taken up without all whose promise they needed (`patience` was over); arcs taken over from nodes
        that are gone; handed over."""
        self._node = node
        self._me = node().me
        self._bits = node().circle.bits
        self._options = options
        self._quorum = options.to_write
        self._copying = copying
        self._clock = clock
        self._wake = wake
        self._tell = tell
        self._vary = vary
        self._lost = lost
        self.gone: set[Contact] = set()
        """Nodes that do not answer, as the node says: they are asked, but not waited for."""
        self._rights: list[Config] = []
        """What others have handed over, and it does not serve yet."""
        self._former: set[Contact] = set()
        """Those that had to do with earlier configurations."""
        self._contested = False
        self._patience = Patience(clock, options)
        self._inquiry = Inquiry(node().circle, self._me, self._patience, self.gone, options.timeout)
        self._handing = HandOver(node().circle, copying, tell, options.timeout)
        self._last_sync = 0.0
        self._news = self._incomplete = False
        """Something has changed; what had no quorum was taken back, so that its own copy may lack what others took up."""
        self._failures = 0
        """Attempts at a new configuration, one after the other."""

    # What others ask

    def serves(self, position: int) -> bool:
        """Whether a key is this peer's to answer for now."""
        serving, here = self.serving, ((position, position),)
        return serving is not None and overlap(self.spans(serving), here) and not overlap(self._handing.frozen, here)

    def holders(self) -> tuple[int, Sequence[Contact]]:
        """The epoch, and the others that have copies."""
        return (self.serving.epoch, self.serving.holders) if self.serving is not None else (0, ())

    def follows(self, sender: Contact, epoch: int, position: int) -> bool:
        """Whether the sender is the owner of a place, as far as this peer has promised."""
        claim = self.claims.at(position)
        return claim is not None and claim.owner == sender and claim.epoch == epoch

    def contested(self, holder: Contact) -> None:
        """A holder follows another one, or has forgotten."""
        if holder in self.synced:
            self._contested = True
            self.wake()

    def owner_of(self, position: int) -> Contact | None:
        """Who serves a place that this peer does not, or is to, as far as it knows."""
        claim = self.claims.at(position)
        if claim is not None and claim.owner != self._me:
            return claim.owner
        return self._given_to([(position, position)])

    def heard(self, node: Contact) -> None:
        """It is there."""
        self.gone.discard(node)
        self._patience.ended(node)

    def claimed(self, sender: Contact, question: Claim) -> ClaimAnswer | None:
        """Another peer wants an arc, or has it."""
        config, number, me = question.config, question.number, self._me
        if config.owner != sender:
            return None
        known = tuple(Known(each, in_use) for each, in_use in self.claims.known(config.start, config.end))
        spans, serving = self.spans(config), self.serving
        if not config.epoch:
            is_mine = not self.leaving and overlap(self._mine(), spans)
            is_first = config.start == self._node().circle.before(sender.ident)
            if is_mine and is_first and self._handing.wait_for(sender):
                self.wake()
            owner = me if is_mine else self._given_to(spans)
            after = tuple(each for each in self._node().successors if each != me)
            return ClaimAnswer(number, OWNED if is_mine else "", known, serving is None, owner, after)
        served = serving is not None and overlap(without(self.spans(serving), self._handing.frozen), spans)
        if not self.leaving and (
            (question.taking and overlap(self._mine(), spans))
            or (served and serving is not None and serving.epoch >= config.epoch)
        ):
            return ClaimAnswer(number, OWNED, known)
        if not self.claims.promise(config, question.in_use, self._clock()):
            return ClaimAnswer(number, PROMISED, known)
        if overlap(self._mine(), spans):
            self._lose(config)
        elif serving is None and overlap(spans, spans_of(self._node().circle.before(me.ident), me.ident, self._bits)):
            self.wake()
        return ClaimAnswer(number, "", known, serving is None)

    def given(self, sender: Contact, question: Own) -> OwnAnswer:
        """An arc is handed over to this peer."""
        if question.config.owner != sender or not self.claims.holds(sender, question.config.epoch) or self.leaving:
            return OwnAnswer(question.number, PROMISED)
        if question.config not in self._rights:
            self._rights = [*self._rights[-8:], question.config]
        self.wake()
        return OwnAnswer(question.number, "")

    # The task

    def work(self) -> Work:
        """For as long as the peer runs; `wake` when the neighbours have changed."""
        while not self.leaving:
            self._news = False
            pause = yield from self._round()
            yield Pause(0.0 if self._news else pause, woken=True)

    def wake(self) -> None:
        """Something has changed: look at it, now or after what is under way."""
        self._news = True
        self._wake()

    def _round(self) -> Generator[Wait, Any, float]:
        """Do what is due; seconds until something is again."""
        options, again = self._options, self._options.again
        comes = None if self.serving is None else self._handing.next(self.serving, self._node().predecessor)
        if comes is not None and self.in_use:
            if (yield from self.hand_over(comes, comes.ident)):
                return 0.0
            self._handing.waits_no_more(comes)
        others, start = self._others(), self._start()
        if start is None and not self.founder:
            if self.joining:
                return options.sync
            place = self._node().circle.before(self._me.ident)
            served = yield from self._who_serves(others, Heard(place, self._me.ident, self._bits), place)
            if served is Served.SOMEBODY:
                return 4 * again * self._vary()  # it will be handed over
        elif start is not None and self._is_new(start, others) and not (yield from self._take_up(start, others)):
            return self._pause()
        if self.serving is not None and not self.in_use and not self.leaving and not (yield from self._synchronize()):
            return again
        further, failed = self._further(start), False
        if further is not None and not self.leaving:
            if (yield from self._take_up(further, others)):
                return 0.0
            failed = True
        pause = self._pause() if failed else options.sync
        if self.serving is None or self.leaving:
            return pause if failed else 4 * again
        if not failed:
            self._failures = 0
        if (self._clock() - self._last_sync >= options.sync or self._unsynced()) and not (yield from self._synchronize()):
            return again
        return min(pause, again if comes else max(again, self._last_sync + options.sync - self._clock()))

    def _pause(self) -> float:
        """After an attempt that failed."""
        self._failures += 1
        return self._options.again * self._vary() * float(1 << min(self._failures, 4))

    def _others(self) -> list[Contact]:
        """Who is to have copies."""
        return [each for each in self._node().successors if each != self._me][: self._options.copies - 1]

    def _length(self, start: int) -> int:
        return self._node().circle.distance(start, self._me.ident) or self._node().circle.size

    def _start(self) -> int | None:
        """Where the arc begins that it serves or was handed over; None without one that reaches to its place."""
        parts, reaches = self._parts(), self._node().circle.reaches
        found, at = None, self._me.ident
        while True:
            starts = [each.start for each in parts if reaches(each.start, at, each.end)]
            at = max(starts, key=self._length, default=at)
            if not starts or (found is not None and self._length(at) <= self._length(found)):
                return found
            found = at

    def _further(self, start: int | None) -> int | None:
        """Where the arc begins that would be its own if nobody served it; None where it is no longer than that."""
        node = self._node()
        if node.predecessor is not None:
            beyond = node.predecessor.ident
        elif node.successors[0] == self._me and not self.joining:
            beyond = self._me.ident
        else:
            return None
        return beyond if start is None or self._length(beyond) > self._length(start) else None

    def _is_new(self, start: int, others: Sequence[Contact]) -> bool:
        serving = self.serving
        return (
            serving is None
            or serving.start != start
            or {*serving.holders} != {*others}
            or self._contested
            or any(overlap(self.spans(each), self.spans(serving)) for each in self._rights)
        )

    def _unsynced(self) -> bool:
        return self.serving is not None and any(each not in self.synced for each in self.serving.holders)

    def _take_up(self, start: int, others: Sequence[Contact]) -> Steps:
        """A new configuration: promises, then data if the owner is gone."""
        me, known = self._me, Heard(start, self._me.ident, self._bits)
        target = known.target
        used = [each for each in self._rights if overlap(self.spans(each), target)]
        rights = {mark_of(each) for each in used}
        if self.serving is not None:
            if not self._handing.may_have_given(self.serving):
                rights.add(mark_of(self.serving))
            known.learn(self.serving, self.in_use)
            yield from self._before(others)
        for each in used:
            known.learn(each, True)
        own = self._learn_own(start, known)
        if known.is_taking(rights, me):
            served = yield from self._who_serves(others, known, start)
            if served is Served.SOMEBODY or (served is Served.UNSURE and known.unknown() and not self.founder):
                return False  # somebody has it, or had it
        config, promised = self._ballot(start, others, known), {me: own}
        asked_already: set[Contact] = set()
        for _ in range(ROUNDS):
            if not self.claims.promise(config, False, self._clock()):
                self._learn_own(start, known)
                config, promised = self._ballot(start, others, known), {me: own}
                continue
            asked = ({*others} | known.nodes()) - {me} - promised.keys() - asked_already
            if not asked:
                break
            taking, there = known.is_taking(rights, me), asked - self.gone
            answers: Answers = yield Ask(
                [(each, claim(config, taking)) for each in sorted(asked)], self._options.timeout, until=no_more(there)
            )
            refused = False
            for who, answer in answers.came:
                for one in answer.known:
                    known.learn(one.config, one.in_use)
                if answer.reason == OWNED:
                    self._yield_to(known)
                    return False
                if answer.reason:
                    refused = True
                else:
                    promised[who] = {mark_of(one.config) for one in answer.known}
            asked_already |= asked
            if refused:
                config, promised, asked_already = self._ballot(start, others, known), {me: own}, set()
        else:
            return False  # others want it, too
        lacking = [each for each in known.configs() if not self._is_enough(each, known, rights, promised)]
        if any(not self._is_enough(each, known, rights, promised, self._excused(each, known, promised)) for each in lacking):
            return False
        unknown, forced = known.unknown(), bool(lacking)
        if unknown and not (self.founder and promised.keys() >= {*others}):
            if not self._patience.is_over(start):
                return False
            forced = True
        before, configs = self.serving, known.configs()
        if before is not None and any(each.owner != me and each.epoch > before.epoch for each in configs):
            self._lost(target)
            self._incomplete = True
        taken = [
            each
            for each in configs
            if self._incomplete or (mark_of(each) not in rights and not (each.owner == me and mark_of(each) in own))
        ]
        sources = {each for one in taken for each in (one.owner, *one.holders)} | ({*others} if unknown else set())
        for source in sorted(sources & promised.keys() - {me}):
            if not (yield from self._copying.agree(source, config.epoch, target)):
                if not self._patience.is_over((source, None)):
                    return False
                forced = True
            else:
                self._patience.ended((source, None))
        if not self.claims.promise(config, False, self._clock()):
            return False
        self.counts["forced"] += forced
        self.counts["taken"] += bool(taken)
        self.serving, self.in_use = config, False
        self._handing.begin_anew()
        self.synced = set()
        self._rights = [each for each in self._rights if not overlap(self.spans(each), target)]
        self._contested = self._incomplete = self.founder = False
        self._former = {each for one in configs for each in (one.owner, *one.holders)} - {me, *others}
        return True

    def _who_serves(self, others: Sequence[Contact], known: Heard, start: int) -> Generator[Wait, Any, Served]:
        """Ask who serves an arc, and yield to who does."""
        self._learn_own(start, known)
        served = yield from self._inquiry.ask(
            start, known, others, self._node().successors, self.serving is not None, self.founder
        )
        if served is Served.SOMEBODY:
            self._yield_to(known)
        return served

    def _before(self, others: Sequence[Contact]) -> Generator[Wait, Any, None]:
        """Bring those who are to have copies and do not yet up to date while the old configuration is still served."""
        serving = self.serving
        for each in others:
            if serving is not None and each not in serving.holders and self.in_use:
                answers: Answers = yield Ask([(each, claim(serving, False, True))], self._options.timeout)
                if answers.came and not answers.came[0][1].reason:
                    yield from self._copying.agree(each, serving.epoch, self.spans(serving))

    def _synchronize(self) -> Steps:
        """Make the holders' copies agree; whether those of all do."""
        serving, all_agree = self.serving, True
        if serving is None:
            return False
        self._last_sync = self._clock()
        for each in serving.holders:
            answers: Answers = yield Ask([(each, claim(serving, False, self.in_use))], self._options.timeout)
            if self.serving != serving:
                return False
            if not answers.came:
                all_agree = False
                continue
            answer: ClaimAnswer = answers.came[0][1]
            if answer.reason or (
                each in self.synced and mark_of(serving) not in {mark_of(one.config) for one in answer.known}
            ):
                self._contested = True
                return False
            if not (yield from self._copying.agree(each, serving.epoch, self.spans(serving))):
                all_agree = False
                continue
            if self.serving != serving:
                return False
            self.synced.add(each)
            if not self.in_use and len(self.synced) >= min(self._quorum - 1, len(serving.holders)):
                self._now_in_use(serving)
        if not serving.holders and not self.in_use:
            self._now_in_use(serving)
        return all_agree

    def _now_in_use(self, serving: Config) -> None:
        self.in_use = self._news = True
        self.claims.promise(serving, True, self._clock())
        for each in sorted({*serving.holders, *self._former} - {self._me}):
            self._tell(each, claim(serving, False, True))

    def hand_over(self, to: Contact, end: int) -> Steps:
        """Give what it serves up to an identifier to another peer; whether that has it now."""
        serving = self.serving
        if serving is None or not self.in_use:
            return False
        part = replace(serving, end=end)
        outcome = yield from self._handing.give(part, to, lambda: self.serving == serving)
        if outcome is Outcome.CONTESTED:
            self._contested = True
        if outcome is not Outcome.DONE:
            return False
        self.counts["handed"] += 1
        if self.serving == serving:
            self._lose(part, handed=True)
        self._handing.frozen = ()
        return True

    # Inside

    def spans(self, config: Config) -> list[Span]:
        return config.spans(self._bits)

    def _mine(self) -> list[Span]:
        """Places that it serves, or is to serve because they were handed over to it."""
        return [span for each in self._parts() for span in self.spans(each)]

    def _parts(self) -> list[Config]:
        return self._rights if self.serving is None else [*self._rights, self.serving]

    def _given_to(self, spans: Sequence[Span]) -> Contact | None:
        """Who got some of these from it, or whom it waits for itself."""
        return self._handing.given_to(spans) or (self._inquiry.ahead if self.serving is None else None)

    def _lose(self, config: Config, handed: bool = False) -> None:
        """Another peer serves this arc now; `handed`: it has all of its keys from this one."""
        if not handed:
            self._lost(self.spans(config))
            self._incomplete = True
        serving = self.serving
        self._rights = [left for each in self._rights if (left := self._left(each, config)) is not None]
        if serving is not None and overlap(self.spans(serving), self.spans(config)):
            self.serving = self._left(serving, config)
            self._contested = self._contested or not self.in_use
        self.wake()

    def _left(self, config: Config, lost: Config) -> Config | None:
        """What is left of an arc at its end."""
        if not overlap(self.spans(config), self.spans(lost)):
            return config
        if lost.end != config.end and self._node().circle.within(config.start, lost.end, config.end):
            return replace(config, start=lost.end)
        return None

    def _yield_to(self, known: Heard) -> None:
        """Somebody serves some of it: what others serve with a greater epoch than this peer has is no longer its own."""
        for config, in_use in known.all():
            if not in_use or config.owner == self._me:
                continue
            self._rights = [
                left
                for each in self._rights
                if (left := each if each.epoch >= config.epoch else self._left(each, config)) is not None
            ]
            serving = self.serving
            if serving is not None and serving.epoch < config.epoch and overlap(self.spans(serving), self.spans(config)):
                self._lose(config)

    def _learn_own(self, start: int, known: Heard) -> set[Mark]:
        """What this peer has promised."""
        own = set()
        for each, in_use in self.claims.known(start, self._me.ident):
            known.learn(each, in_use)
            own.add(mark_of(each))
        return own

    def _ballot(self, start: int, others: Sequence[Contact], known: Heard) -> Config:
        return Config(start, self._me.ident, known.epoch() + 1, self._me, tuple(others))

    def _is_enough(
        self,
        config: Config,
        known: Heard,
        rights: Collection[Mark],
        promised: dict[Contact, set[Mark]],
        excused: Collection[Contact] = (),
    ) -> bool:
        mark, in_use = mark_of(config), known.in_use(config)
        if not in_use and mark in promised.get(config.owner, ()):
            return True  # who wanted it has given it up
        who = {each for each, marks in promised.items() if mark in marks or not in_use}.union(excused)
        return who >= {config.owner, *config.holders} or enough(config, mark in rights, who, self._quorum)

    def _excused(self, config: Config, known: Heard, promised: dict[Contact, set[Mark]]) -> set[Contact]:
        """Those of it that have been silent for `patience`, or have forgotten it."""
        mark, found = mark_of(config), set()
        for each in (config.owner, *config.holders):
            if each not in promised:
                what: object = each
            elif known.in_use(config) and mark not in promised[each]:
                what = each, mark
            else:
                continue
            if self._patience.is_over(what):
                found.add(each)
        return found
