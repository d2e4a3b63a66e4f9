"""Handing over: parts of an arc go to all nodes that wait inside it, one after the other, and the rest is served meanwhile.

A part's keys are copied while the arc is served, the last ones while nobody may write; then its node is told that the
part is its own. Whoever asks later for what it got is sent there.
"""

from collections.abc import Callable, Generator, Sequence
from enum import Enum, auto
from typing import Any

from netstack.ring.claims import Config, Mark, Span, mark_of, overlap
from netstack.ring.copying import Copying
from netstack.ring.data_messages import DataMessage, Own, claim
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.tasks import Answers, Ask, Wait

JOINERS = 64
"""Nodes that wait for a part of an arc, and that got one, as far as a node remembers."""


class Outcome(Enum):
    """What came of an attempt to hand over."""

    DONE = auto()
    FAILED = auto()
    """It is still served here."""
    CONTESTED = auto()
    """The other node has promised it to somebody else, or may have it or not: it needs another configuration."""


class HandOver:
    """Of what one peer serves."""

    def __init__(
        self,
        circle: Circle,
        copying: Copying,
        tell: Callable[[Contact, Callable[[int], DataMessage]], None],
        timeout: float,
    ) -> None:
        """`tell` asks without waiting for an answer; `timeout`: seconds for one."""
        self.frozen: Sequence[Span] = ()
        """What is being handed over: nobody may write there."""
        self._circle = circle
        self._copying = copying
        self._tell = tell
        self._timeout = timeout
        self._given: set[Mark] = set()
        """What it handed over, and was not told that it arrived: it is no longer its own."""
        self._joiners: dict[Contact, None] = {}
        """Nodes that wait for a part of what it serves."""
        self._handed: list[tuple[Config, Contact]] = []
        """Which parts it gave to whom of late."""

    def wait_for(self, node: Contact) -> bool:
        """A node asks for its part; False where as many wait as may."""
        if len(self._joiners) >= JOINERS:
            return False
        self._joiners[node] = None
        return True

    def waits_no_more(self, node: Contact) -> None:
        self._joiners.pop(node, None)

    def next(self, serving: Config, before: Contact | None) -> Contact | None:
        """To whom the first part of an arc is to be handed over: the predecessor, or one that waits for it."""
        circle = self._circle
        inside = [each for each in self._joiners if circle.within(serving.start, each.ident, serving.owner.ident)]
        self._joiners = dict.fromkeys(inside)
        if before is not None and circle.within(serving.start, before.ident, serving.owner.ident):
            inside.append(before)
        return min(inside, key=lambda each: circle.distance(serving.start, each.ident), default=None)

    def given_to(self, spans: Sequence[Span]) -> Contact | None:
        """Who got some of these."""
        for part, to in reversed(self._handed):
            if overlap(part.spans(self._circle.bits), spans):
                return to
        return None

    def may_have_given(self, config: Config) -> bool:
        """Whether another node may have a part of a configuration, or not: it has not answered."""
        return mark_of(config) in self._given

    def begin_anew(self) -> None:
        """Another configuration has taken the place of all that was being handed over."""
        self.frozen, self._given = (), set()

    def give(self, part: Config, to: Contact, is_served: Callable[[], bool]) -> Generator[Wait, Any, Outcome]:
        """Hand a part over, while what it is a part of `is_served`. Where it is DONE, it stays frozen until the caller has
        given it up; where it is CONTESTED, until another configuration has taken its place."""
        spans = part.spans(self._circle.bits)
        answers: Answers = yield Ask([(to, claim(part, False, True))], self._timeout)
        if not answers.came:
            return Outcome.FAILED
        if answers.came[0][1].reason:
            return Outcome.CONTESTED
        if not (yield from self._copying.agree(to, part.epoch, spans)) or not is_served():
            return Outcome.FAILED
        self.frozen = spans
        if not (yield from self._copying.agree(to, part.epoch, spans)) or not is_served():
            self.frozen = ()
            return Outcome.FAILED
        self._given.add(mark_of(part))
        answers = yield Ask([(to, lambda n: Own(n, part))], self._timeout)
        if not answers.came or answers.came[0][1].reason:
            return Outcome.CONTESTED
        self._given.discard(mark_of(part))
        self._handed = [*self._handed[1 - JOINERS :], (part, to)]
        self._joiners.pop(to, None)
        for each in self._joiners:
            if self._circle.within(part.start, each.ident, part.end):
                self._tell(each, claim(part, False, True))  # somebody else has it now
        return Outcome.DONE
