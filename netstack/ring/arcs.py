"""Which arc a peer serves and who has its copies: configurations taken up, renewed and given up, copies compared.

One task looks at the node's neighbours whenever they change. It hands an arc over to a predecessor that has come, takes one
over from one that is gone, and replaces holders, each time with a greater epoch (see `claims`); then it makes the
holders' copies agree with its own, and again every `sync` seconds.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any

from netstack.ring.claims import Claims, Config, Span, enough, overlap, spans_of, to_be_asked, without
from netstack.ring.copying import Copying
from netstack.ring.data_messages import Claim, ClaimAnswer, DataMessage, Known, Own, OwnAnswer
from netstack.ring.engine import Node
from netstack.ring.identifiers import Contact
from netstack.ring.records import DataOptions
from netstack.ring.tasks import Answers, Ask, Pause, Wait, Work

Steps = Generator[Wait, Any, bool]
Mark = tuple[int, Contact]
"""The epoch and owner of a configuration: what it is known by."""
OWNED, PROMISED = "owned", "promised"
"""Why a claim is refused: the answerer serves the arc itself; it has promised a greater epoch."""
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
        self.claims = Claims(node().circle.bits)
        self.serving: Config | None = None
        self.frozen: Sequence[Span] = ()
        """Of what it serves: it is being handed over."""
        self.in_use = False
        """Enough holders have all that was acknowledged before this configuration."""
        self.synced: set[Contact] = set()
        """Holders that agreed with this node's copy in this configuration."""
        self.joining = False
        self.founder = False
        """It began a circle: arcs that nobody knows of are its own."""
        self.leaving = False
        self.forced = 0
        """Configurations that were taken up without all whose promise they needed: `patience` was over."""
        self.taken = self.handed = 0
        """Arcs taken over from nodes that are gone, and handed over."""
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
        self._given: set[Mark] = set()
        """What it handed over, and was not told that it arrived: it is no longer its own."""
        self._former: set[Contact] = set()
        """Those that had to do with earlier configurations."""
        self._contested = False
        self._since: float | None = None
        """When it began to wait for promises that it needs."""
        self._last_sync = 0.0
        self._news = self._incomplete = False
        """Something has changed; what had no quorum was taken back, so that its own copy may lack what others took up."""
        self._failures = 0
        """Attempts at a new configuration, one after the other."""

    # What others ask

    def serves(self, position: int) -> bool:
        """Whether a key is this peer's to answer for now."""
        serving, here = self.serving, ((position, position),)
        return serving is not None and overlap(self.spans(serving), here) and not overlap(self.frozen, here)

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

    def claimed(self, sender: Contact, question: Claim) -> ClaimAnswer | None:
        """Another peer wants an arc, or has it."""
        config = question.config
        if config.owner != sender:
            return None
        known = tuple(Known(each, in_use) for each, in_use in self.claims.known(config.start, config.end))
        spans, serving = self.spans(config), self.serving
        mine = [each for each in (serving, *self._rights) if each is not None and overlap(self.spans(each), spans)]
        if not self.leaving and any(question.taking or each.epoch >= config.epoch for each in mine):
            return ClaimAnswer(question.number, OWNED, known)
        if not config.epoch:
            return ClaimAnswer(question.number, "", known)
        if not self.claims.promise(config, question.in_use, self._clock()):
            return ClaimAnswer(question.number, PROMISED, known)
        if serving is not None and overlap(self.spans(serving), spans):
            self._lose(config)
        return ClaimAnswer(question.number, "", known)

    def given(self, sender: Contact, question: Own) -> OwnAnswer:
        """An arc is handed over to this peer."""
        if question.config.owner != sender or not self.claims.holds(sender, question.config.epoch) or self.leaving:
            return OwnAnswer(question.number, PROMISED)
        if all(_mark(each) != _mark(question.config) for each in self._rights):
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
        before = self._node().predecessor
        serving = self.serving
        comes = (
            before is not None
            and serving is not None
            and self._node().circle.within(serving.start, before.ident, self._me.ident)
        )
        if before is not None and comes and self.in_use and (yield from self.hand_over(before, before.ident)):
            return 0.0
        others = self._others()
        start = self._start()
        if start is None:
            return options.sync
        if not self._is_new(start, others):
            self._since = None
        elif not (yield from self._take_up(start, others)):
            self._failures += 1
            return again * self._vary() * float(1 << min(self._failures, 4))
        self._failures = 0
        if self.serving is not None and not self.leaving:
            if (self._clock() - self._last_sync >= options.sync or not self.in_use or self._unsynced()) and not (
                yield from self._synchronize()
            ):
                return again
            return again if comes else max(again, self._last_sync + options.sync - self._clock())
        return options.sync

    def _others(self) -> list[Contact]:
        """Who is to have copies."""
        return [each for each in self._node().successors if each != self._me][: self._options.copies - 1]

    def _start(self) -> int | None:
        """Where the arc begins that it is to serve, or serves and has to hand over; None where that is not known."""
        node, size = self._node(), self._node().circle.size
        starts = [each.start for each in self._rights]
        if self.serving is not None:
            starts.append(self.serving.start)
        if node.predecessor is not None:
            starts.append(node.predecessor.ident)
        elif node.successors[0] == self._me and not self.joining:
            starts.append(self._me.ident)
        return max(starts, key=lambda start: (self._me.ident - start) % size or size, default=None)

    def _is_new(self, start: int, others: Sequence[Contact]) -> bool:
        serving = self.serving
        return (
            serving is None
            or serving.start != start
            or {*serving.holders} != {*others}
            or self._contested
            or bool(self._rights)
        )

    def _unsynced(self) -> bool:
        return self.serving is not None and any(each not in self.synced for each in self.serving.holders)

    def _take_up(self, start: int, others: Sequence[Contact]) -> Steps:
        """A new configuration: promises, then data if the owner is gone."""
        target = spans_of(start, self._me.ident, self._bits)
        rights = {_mark(each) for each in self._rights}
        known: dict[Mark, tuple[Config, bool]] = {}
        if self.serving is not None:
            if _mark(self.serving) not in self._given:
                rights.add(_mark(self.serving))
            self._learn(known, self.serving, self.in_use)
            yield from self._before(others)
        for each in self._rights:
            self._learn(known, each, True)
        own: set[Mark] = set()
        for each, in_use in self.claims.known(start, self._me.ident):
            self._learn(known, each, in_use)
            own.add(_mark(each))
        if self._is_taking(target, known, rights):
            if not (yield from self._nobody_serves(start, others, known)):
                return False
            if self._unknown(target, known) and not self.founder and not self._is_over():
                return False  # somebody has it, or had it
        config, promised = self._ballot(start, others, known), {self._me: own}
        asked_already: set[Contact] = set()
        for _ in range(ROUNDS):
            if not self.claims.promise(config, False, self._clock()):
                for each, in_use in self.claims.known(start, self._me.ident):
                    self._learn(known, each, in_use)
                config, promised = self._ballot(start, others, known), {self._me: own}
                continue
            asked = self._to_ask(target, known, others) - promised.keys() - asked_already
            if not asked:
                break
            taking, there = self._is_taking(target, known, rights), asked - self.gone
            answers: Answers = yield Ask(
                [(each, _claim(config, taking)) for each in sorted(asked)], self._options.timeout, until=_no_more(there)
            )
            refused = False
            for who, answer in answers.came:
                for one in answer.known:
                    self._learn(known, one.config, one.in_use)
                if answer.reason == OWNED:
                    self._since = None
                    self._yield_to(known)
                    return False
                if answer.reason:
                    refused = True
                else:
                    promised[who] = {_mark(one.config) for one in answer.known}
            asked_already |= asked
            if refused:
                config, promised, asked_already = self._ballot(start, others, known), {self._me: own}, set()
        configs = self._configs(target, known)
        lacking = [each for each in configs if not self._is_enough(*known[_mark(each)], rights, promised)]
        unknown = self._unknown(target, known)
        if unknown and not (self.founder and promised.keys() >= {*others}):
            lacking.append(config)
        if lacking and not self._is_over():
            return False
        before = self.serving
        if before is not None and any(each.owner != self._me and each.epoch > before.epoch for each in configs):
            self._lost(target)
            self._incomplete = True
        taken = [
            each
            for each in configs
            if self._incomplete or (_mark(each) not in rights and not (each.owner == self._me and _mark(each) in own))
        ]
        sources = {each for one in taken for each in (one.owner, *one.holders)} | ({*others} if unknown else set())
        for source in sorted(sources & promised.keys() - {self._me}):
            if not (yield from self._copying.agree(source, config.epoch, target)) and not self._is_over():
                return False
        if not self.claims.promise(config, False, self._clock()):
            return False
        if lacking:
            self.forced += 1
        self.taken += bool(taken)
        self.serving, self.frozen, self.in_use = config, (), False
        self.synced = set()
        self._rights = [each for each in self._rights if _mark(each) not in rights]
        self._contested, self._since, self._given, self._incomplete = False, None, set(), False
        self._former = {each for one in configs for each in (one.owner, *one.holders)} - {self._me, *others}
        return True

    def _nobody_serves(self, start: int, others: Sequence[Contact], known: dict[Mark, tuple[Config, bool]]) -> Steps:
        """Ask who serves an arc, without wanting any promise yet: who does will hand it over."""
        target, asked = spans_of(start, self._me.ident, self._bits), {self._me}
        question = Config(start, self._me.ident, 0, self._me, ())
        for _ in range(ROUNDS):
            more = self._to_ask(target, known, others) - asked
            if not more:
                return True
            asked |= more
            answers: Answers = yield Ask(
                [(each, _claim(question, True)) for each in sorted(more)],
                self._options.timeout,
                until=_no_more(more - self.gone),
            )
            for _, answer in answers.came:
                for one in answer.known:
                    self._learn(known, one.config, one.in_use)
            if any(answer.reason == OWNED for _, answer in answers.came):
                self._since = None
                self._yield_to(known)
                return False
        return True

    def _before(self, others: Sequence[Contact]) -> Generator[Wait, Any, None]:
        """Bring those who are to have copies and do not yet up to date while the old configuration is still served."""
        serving = self.serving
        for each in others:
            if serving is not None and each not in serving.holders and self.in_use:
                answers: Answers = yield Ask([(each, _claim(serving, False, True))], self._options.timeout)
                if answers.came and not answers.came[0][1].reason:
                    yield from self._copying.agree(each, serving.epoch, self.spans(serving))

    def _synchronize(self) -> Steps:
        """Make the holders' copies agree; whether those of all do."""
        serving, all_agree = self.serving, True
        if serving is None:
            return False
        self._last_sync = self._clock()
        for each in serving.holders:
            answers: Answers = yield Ask([(each, _claim(serving, False, self.in_use))], self._options.timeout)
            if self.serving != serving:
                return False
            if not answers.came:
                all_agree = False
                continue
            answer: ClaimAnswer = answers.came[0][1]
            if answer.reason or (each in self.synced and _mark(serving) not in {_mark(one.config) for one in answer.known}):
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
            self._tell(each, _claim(serving, False, True))

    # Handing over

    def hand_over(self, to: Contact, end: int) -> Steps:
        """Give what it serves up to an identifier to another peer: its keys first, the last ones while nobody may write."""
        serving = self.serving
        if serving is None or not self.in_use:
            return False
        part = Config(serving.start, end, serving.epoch, self._me, serving.holders)
        spans = self.spans(part)
        answers: Answers = yield Ask([(to, _claim(part, False, True))], self._options.timeout)
        if not answers.came:
            return False
        if answers.came[0][1].reason:
            self._contested = True
            return False
        if not (yield from self._copying.agree(to, part.epoch, spans)) or self.serving != serving:
            return False
        self.frozen = spans
        if not (yield from self._copying.agree(to, part.epoch, spans)) or self.serving != serving:
            self.frozen = ()
            return False
        self._given.add(_mark(part))
        answers = yield Ask([(to, lambda n: Own(n, part))], self._options.timeout)
        if not answers.came or answers.came[0][1].reason:
            self._contested = True  # it may have it, or not
            return False
        self._given.discard(_mark(part))
        self.handed += 1
        if self.serving == serving:
            self._lose(part, handed=True)
        self.frozen = ()
        return True

    # Inside

    def spans(self, config: Config) -> list[Span]:
        return spans_of(config.start, config.end, self._bits)

    def _lose(self, config: Config, handed: bool = False) -> None:
        """Another peer serves this arc now; `handed`: it has all of its keys from this one."""
        if not handed:
            self._lost(self.spans(config))
            self._incomplete = True
        serving = self.serving
        self._rights = [each for each in self._rights if not overlap(self.spans(each), self.spans(config))]
        if serving is None:
            return
        if config.end != self._me.ident and self._node().circle.within(serving.start, config.end, self._me.ident):
            self.serving = Config(config.end, self._me.ident, serving.epoch, self._me, serving.holders)
            self._contested = self._contested or not self.in_use
        else:
            self.serving = None
        self.wake()

    def _yield_to(self, known: dict[Mark, tuple[Config, bool]]) -> None:
        """Somebody serves some of it: what others serve with a greater epoch than this peer has is no longer its own."""
        for config, in_use in known.values():
            if not in_use or config.owner == self._me:
                continue
            spans, serving = self.spans(config), self.serving
            self._rights = [
                each for each in self._rights if each.epoch >= config.epoch or not overlap(self.spans(each), spans)
            ]
            if serving is not None and serving.epoch < config.epoch and overlap(self.spans(serving), spans):
                self._lose(config)

    def _learn(self, known: dict[Mark, tuple[Config, bool]], config: Config, in_use: bool) -> None:
        mark, size = _mark(config), 1 << self._bits
        before = known.get(mark)
        if before is not None:
            in_use = in_use or before[1]
            if ((before[0].end - before[0].start) % size or size) >= ((config.end - config.start) % size or size):
                config = before[0]
        known[mark] = config, in_use

    def _ballot(self, start: int, others: Sequence[Contact], known: dict[Mark, tuple[Config, bool]]) -> Config:
        epoch = 1 + max((epoch for epoch, _ in known), default=0)
        return Config(start, self._me.ident, epoch, self._me, tuple(others))

    def _configs(self, target: Sequence[Span], known: dict[Mark, tuple[Config, bool]]) -> list[Config]:
        return to_be_asked(target, dict(known.values()), self._bits)

    def _to_ask(
        self, target: Sequence[Span], known: dict[Mark, tuple[Config, bool]], others: Sequence[Contact]
    ) -> set[Contact]:
        found = {*others}
        for config in self._configs(target, known):
            found |= {config.owner, *config.holders}
        return found - {self._me}

    def _is_taking(self, target: Sequence[Span], known: dict[Mark, tuple[Config, bool]], rights: set[Mark]) -> bool:
        configs = self._configs(target, known)
        return bool(self._unknown(target, known)) or any(
            _mark(each) not in rights and each.owner != self._me for each in configs
        )

    def _unknown(self, target: Sequence[Span], known: dict[Mark, tuple[Config, bool]]) -> list[Span]:
        """Places of which it is not known who surely served them."""
        return without(target, [span for config, in_use in known.values() if in_use for span in self.spans(config)])

    def _is_enough(self, config: Config, in_use: bool, rights: set[Mark], promised: dict[Contact, set[Mark]]) -> bool:
        mark = _mark(config)
        if not in_use and mark in promised.get(config.owner, ()):
            return True  # who wanted it has given it up
        who = {each for each, marks in promised.items() if mark in marks or not in_use}
        return enough(config, mark in rights, who, self._quorum)

    def _is_over(self) -> bool:
        """Whether it has waited for promises as long as it may."""
        if self._since is None:
            self._since = self._clock()
        return self._clock() - self._since >= self._options.patience


def _no_more(there: set[Contact]) -> Callable[[Sequence[tuple[Contact, ClaimAnswer]]], bool]:
    """Whether to wait no longer: somebody refuses, or all that are there have answered."""
    return lambda came: any(answer.reason for _, answer in came) or there <= {each for each, _ in came}


def _mark(config: Config) -> Mark:
    return config.epoch, config.owner


def _claim(config: Config, taking: bool, in_use: bool = False) -> Callable[[int], DataMessage]:
    return lambda number: Claim(number, config, in_use, taking)
