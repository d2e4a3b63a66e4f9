"""Who serves an arc: a node that wants one asks clockwise, without wanting any promise yet.

Who does hands it over. Only what nobody serves is taken over, and only once nobody who may know is silent.
"""

from collections.abc import Callable, Collection, Generator, Sequence
from enum import Enum, auto
from typing import Any

from netstack.ring.claims import Config, Heard
from netstack.ring.data_messages import OWNED, ClaimAnswer, claim
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.patience import Patience
from netstack.ring.tasks import Answers, Ask, Wait

FAR, STEP = 64, 8
"""Nodes that are asked who serves a place, clockwise; at once."""


class Served(Enum):
    """Who serves an arc."""

    SOMEBODY = auto()
    """It will hand it over."""
    UNSURE = auto()
    """Nobody who answered; others may know who does, or did."""
    NOBODY = auto()
    """All who might know who does have answered, or are gone."""


class Inquiry:
    """Of one peer."""

    def __init__(self, circle: Circle, me: Contact, patience: Patience, gone: Collection[Contact], timeout: float) -> None:
        """`gone`: nodes that do not answer, as it is known now; `timeout`: seconds for an answer."""
        self.ahead: Contact | None = None
        """Who said last that it serves this node's place."""
        self._circle = circle
        self._me = me
        self._patience = patience
        self._gone = gone
        self._timeout = timeout

    def ask(
        self, start: int, known: Heard, others: Collection[Contact], after: Collection[Contact], serves: bool, founds: bool
    ) -> Generator[Wait, Any, Served]:
        """Who serves the arc from `start` to this node.

        Those who have to do with it, and `others`, are asked and, while nobody knows whose it was, the nodes from here on
        clockwise, `after` first; what they tell of configurations comes to `known`. `serves`: this node has an arc.
        `founds`: it begins a circle, so that what nobody knows of is its own.
        """
        me, distance = self._me, self._circle.distance
        question = claim(Config(start, me.ident, 0, me, ()), True)
        asked, silent, has_arcs = {me}, False, serves
        named, beyond = {*others}, {*after}
        if self.ahead is not None:
            named = {self.ahead}
        while len(asked) < FAR:
            more = named - asked
            if not more:
                more = (known.nodes() | {*others}) - asked
            if not more and known.unknown() and not founds:
                more = {*sorted(beyond - asked, key=lambda each: distance(me.ident, each.ident))[:STEP]}
            if not more:
                break
            asked |= more
            answers: Answers = yield Ask(
                [(each, question) for each in sorted(more)], self._timeout, until=no_more(more - {*self._gone})
            )
            for who, answer in answers.came:
                for one in answer.known:
                    known.learn(one.config, one.in_use)
                has_arcs |= not answer.waiting
                beyond.update(answer.after[:STEP])
                if answer.owner is not None:
                    named.add(answer.owner)
                if answer.reason == OWNED:
                    self.ahead = who
            if any(answer.reason == OWNED for _, answer in answers.came):
                self._patience.ended(start)
                return Served.SOMEBODY
            for each in more - {who for who, _ in answers.came}:
                silent = not self._patience.is_over(each) or silent
        lost = self.ahead is not None and self.ahead in asked and self._patience.is_over(self.ahead)
        if not has_arcs and not lost:
            self._patience.ended(start)
            return Served.UNSURE
        self._patience.is_over(start)  # it counts from the first such answer, as that of those who are silent does
        return Served.UNSURE if silent else Served.NOBODY


def no_more(there: Collection[Contact]) -> Callable[[Sequence[tuple[Contact, ClaimAnswer]]], bool]:
    """Whether to wait no longer: somebody refuses, or all that are there have answered."""
    return lambda came: any(answer.reason for _, answer in came) or {*there} <= {each for each, _ in came}
