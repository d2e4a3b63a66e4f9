"""A look-up that a node does step by step: whom to ask next, and who is responsible by all that was said.

A node cannot choose its identifier, so what is said is weighed by it: whoever is there and is the closest at or after the
key is responsible, whatever others say. Nodes that lie can only keep the right one from being heard of; several paths
without a node in common make that harder.
"""

from collections.abc import Collection, Sequence
from enum import Enum, auto
from typing import NamedTuple

from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import StepAnswer


class Purpose(Enum):
    """What a look-up is for."""

    ASKED = auto()
    """Who runs the node wants to know."""
    SHORTCUT = auto()
    JOIN = auto()
    REJOIN = auto()
    """To see whether a node that was lost is on this circle again, or on another one."""


class Path:
    """One way to a key."""

    __slots__ = ("candidates", "idents")

    def __init__(self, me: int) -> None:
        self.idents = [me]
        """Of the nodes that answered."""
        self.candidates: list[Contact] = []
        """Nodes between the last one that answered and the key, the closest to the key last."""


class LookUp:
    """Its state. Who runs it sends the questions."""

    __slots__ = (
        "_circle", "asked", "before", "begun", "checked", "claims", "finger", "key", "me", "named",
        "number", "paths", "present", "purpose", "spare", "timeouts", "waiting",
    )  # fmt: skip

    def __init__(
        self, circle: Circle, number: int, key: int, me: Contact, begun: float, purpose: Purpose, paths: int, named: int
    ) -> None:
        """At most `named` nodes of an answer are looked at."""
        self._circle = circle
        self.number = number
        self.key = key
        self.me = me
        self.begun = begun
        self.purpose = purpose
        self.named = named
        self.finger = -1
        """The shortcut that it is for."""
        self.paths = [Path(me.ident) for _ in range(paths)]
        self.timeouts = 0
        self.waiting = 0
        """Answers that are not there yet."""
        self.asked: dict[Contact, None] = {}
        """In the order in which they were: the first one is whom it went by."""
        self.checked: set[Contact] = set()
        """Of the claims: those that were asked whether they are there."""
        self.claims: dict[Contact, int] = {}
        """Nodes that are responsible as somebody said, or that would be if others are gone -> the path that led to them."""
        self.spare: list[list[Contact]] = []
        """Candidates that better ones were asked in place of, the closest to the key last in each."""
        self.present: Contact | None = None
        """The closest of the claims that is there."""
        self.before: Contact | None = None
        """The closest to the key of all that answered a step."""

    def start(self, candidates: Sequence[Contact], claims: Sequence[Contact] = ()) -> None:
        """With what the node itself knows, the closest to the key first."""
        count = len(self.paths)
        for place, path in enumerate(self.paths):
            path.candidates = list(candidates[place::count])[::-1]
        self._claim(claims, 0)

    def answered(self, place: int, sender: Contact, answer: StepAnswer) -> None:
        """A node on the way said what it knows. What it says of places that it cannot know of is left out."""
        circle, key = self._circle, self.key
        path = self.paths[place]
        if path.idents[-1] != sender.ident:
            path.idents.append(sender.ident)
        size, start = circle.size, sender.ident
        span = (key - start) % size
        if self.before is None or span < (key - self.before.ident) % size:
            self.before = sender
        if path.candidates:
            self.spare.append(path.candidates)
            path.candidates = []
        nodes = answer.nodes[: self.named]
        if answer.done:
            self._claim([each for each in nodes if each == sender or circle.reaches(start, key, each.ident)], place)
            return
        if answer.successors and circle.reaches(start, key, answer.successors[-1].ident):
            self._claim([each for each in answer.successors[: self.named] if circle.reaches(start, key, each.ident)], place)
        left = [(key - each.ident) % size for each in nodes]
        closer = {pair for pair in zip(left, nodes, strict=True) if pair[0] < span and pair[1] not in self.asked}
        path.candidates = [each for _, each in sorted(closer, reverse=True)]

    def next(self, place: int, gone: Collection[Contact], hops: int) -> Contact | None:
        """Whom to ask next on a path; None at its end."""
        candidates = self.paths[place].candidates
        while candidates and len(self.asked) < hops:
            best = candidates.pop()
            if best not in self.asked and best not in gone and best.ident != self.me.ident:
                self.asked[best] = None
                return best
        return None

    def next_claim(self, gone: Collection[Contact], hops: int) -> Contact | None:
        """Who is to be asked whether it is there: it would be responsible, being closer than all that are."""
        if len(self.checked) >= hops:
            return None
        size, key = self._circle.size, self.key
        least = size if self.present is None else (self.present.ident - key) % size
        best = None
        for each in self.claims:
            distance = (each.ident - key) % size
            if distance < least and each not in self.checked and each not in gone:
                best, least = each, distance
        if best is not None:
            self.checked.add(best)
        return best

    def confirmed(self, node: Contact, predecessor: Contact | None) -> None:
        """A claim is there, and has said who is before it, which is responsible if the key is not past it."""
        circle, key = self._circle, self.key
        span = circle.distance(key, node.ident)
        if self.present is None or span < circle.distance(key, self.present.ident):
            self.present = node
        if predecessor is not None and circle.distance(key, predecessor.ident) < span:
            self._claim([predecessor], self.claims.get(node, 0))

    def turn_back(self) -> bool:
        """Nobody of whom was said that it is responsible is there: go on with candidates that were left aside."""
        while self.spare:
            left = [each for each in self.spare.pop() if each not in self.asked]
            if left:
                self.paths[0].candidates = left
                return True
        return False

    def path(self, responsible: Contact | None) -> list[int]:
        """The identifiers on the way to a node."""
        if responsible is None:
            return self.paths[0].idents
        idents = self.paths[self.claims.get(responsible, 0)].idents
        return idents if idents[-1] == responsible.ident else [*idents, responsible.ident]

    def _claim(self, nodes: Sequence[Contact], place: int) -> None:
        joining = self.purpose in (Purpose.JOIN, Purpose.REJOIN)
        for each in nodes:
            if not (joining and each == self.me):
                self.claims.setdefault(each, place)
        while len(self.claims) > 8 * self.named:
            del self.claims[max(self.claims, key=lambda each: self._circle.distance(self.key, each.ident))]


class Asked(NamedTuple):
    """What a question was asked for."""

    lookup: LookUp
    path: int
    """-1 where a claim is checked."""
