"""How a node finds its way: look-ups that it does step by step, and those that nodes pass on to each other (Chord, §4.3)."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from netstack.ring.faults import Fault
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.lookup import Asked, LookUp, Purpose
from netstack.ring.messages import Forward, Found, LookedUp, Message, Misbehaved, Neighbours, Step
from netstack.ring.options import RingOptions
from netstack.ring.shortcuts import Known, Shortcuts
from netstack.sansio import Event


class Chance(Protocol):
    """Random numbers; `random.Random` is one."""

    def uniform(self, a: float, b: float) -> float: ...


class Seeker:
    """What a node knows of the circle, and its look-ups."""

    __slots__ = (
        "_gone", "_known", "_lookups", "_number", "_order", "_out", "_passed", "_pending", "_rng", "circle", "left", "me",
        "member", "options", "predecessor", "rounds", "shortcuts", "successors", "torn",
    )  # fmt: skip

    def __init__(self, circle: Circle, me: Contact, options: RingOptions, rng: Chance) -> None:
        self.circle = circle
        self.me = me
        self.options = options
        self.predecessor: Contact | None = None
        self.successors: list[Contact] = [me]
        """The next ones clockwise, never changed but replaced; itself when it is alone."""
        self.shortcuts = Shortcuts()
        """Not those that the first successor is responsible for."""
        self._known = Known(circle, me)
        self.left = False
        self.member = True
        """It has a place on a circle: not while it joins, nor after it has left."""
        self.torn = False
        """All its successors are gone, and the next one is being looked up: it can say nothing about what follows it."""
        self.rounds = 0
        """Of stabilizing."""
        self._rng = rng
        self._out: list[tuple[Contact, Message]] = []
        self._number = int(rng.uniform(0, 1 << 30))  # answers to an earlier node with this identifier match nothing
        self._pending: dict[int, tuple[Contact, object]] = {}
        """Request -> whom it went to, what it was for."""
        self._order: deque[tuple[float, int]] = deque()
        """When requests are given up."""
        self._passed: dict[int, tuple[int, float]] = {}
        """Look-ups that were passed on: the key, and when it began."""
        self._lookups: dict[int, LookUp] = {}
        self._gone: dict[Contact, float] = {}
        """Nodes that did not answer of late: others may still name them."""

    def look_up(self, key: int, now: float) -> int:
        """Find who is responsible for a key, step by step: LookedUp follows, with the number that is returned.

        Raises ValueError when too many are under way.
        """
        self._not_too_many()
        lookup = self._begin(key % self.circle.size, Purpose.ASKED, now)
        self._due_now(lookup, now)
        return lookup.number

    def pass_on(self, key: int, now: float) -> int:
        """The same by handing the question on (the chapter's way): LookedUp follows, a failed one if it gets lost."""
        self._not_too_many()
        number = int(self._rng.uniform(0, 1 << 53))  # who is not on its path does not know it
        self._passed[number] = key % self.circle.size, now
        self._due_now(Forward(number, key % self.circle.size, self.me, ()), now)
        return number

    def outgoing(self) -> list[tuple[Contact, Message]]:
        """Messages to be sent, once."""
        out, self._out = self._out, []
        return out

    def is_upkeep(self, number: int) -> bool:
        """Whether a Step that it has just sent is nobody's wish: for a shortcut, or a look for nodes that were lost."""
        pending = self._pending.get(number)
        asked = None if pending is None else pending[1]
        return isinstance(asked, Asked) and asked.lookup.purpose in (Purpose.SHORTCUT, Purpose.REJOIN)

    def is_responsible(self, key: int) -> bool:
        """Whether a key is this node's: it lies after the predecessor, up to the node itself (the closest successor)."""
        before = self.predecessor
        if before is None:
            return self.member and self.successors[0] == self.me
        return self.member and self.circle.reaches(before.ident, key, self.me.ident)

    def _not_too_many(self) -> None:
        if len(self._lookups) + len(self._passed) >= self.options.lookups:
            raise ValueError(f"{len(self._lookups) + len(self._passed)} look-ups are under way")

    def _begin(self, key: int, purpose: Purpose, now: float) -> LookUp:
        options = self.options
        named = max(options.candidates, options.successors)
        lookup = LookUp(self.circle, self._next(), key, self.me, now, purpose, options.paths, named)
        self._lookups[lookup.number] = lookup
        return lookup

    def _due_now(self, purpose: object, now: float) -> None:
        """The first step is this node's own knowledge, which `on_timer` looks at at once."""
        number = self._next()
        self._pending[number] = self.me, purpose
        self._order.appendleft((now, number))

    def _step(self, key: int) -> tuple[bool, Sequence[Contact]]:
        """What this node knows of the way to a key."""
        if self.predecessor is not None and self.is_responsible(key):
            return True, (self.me,)
        successor = self.successors[0]
        if successor == self.me and not self.member:
            return False, ()
        if not self.torn and self.circle.reaches(self.me.ident, key, successor.ident):
            return True, tuple(self.successors)
        return False, tuple(self._towards(key))

    def _towards(self, key: int) -> list[Contact]:
        """Nodes that it knows between itself and a key, the closest to the key first (§4.3, closest_preceding_node)."""
        return self._known.before(key, self.options.candidates, self.successors, self.shortcuts)

    def _own_step(self, lookup: LookUp, now: float) -> Iterator[Event]:
        if lookup.purpose in (Purpose.ASKED, Purpose.SHORTCUT):
            done, nodes = self._step(lookup.key)
            if done and nodes[0] == self.me:
                yield from self._done(lookup, self.me, now)
                return
            reaches, me, key = self.circle.reaches, self.me.ident, lookup.key
            claims = []
            if reaches(me, key, self.successors[-1].ident):
                claims = [each for each in self.successors if reaches(me, key, each.ident)]
            lookup.start(() if done else nodes, claims)
        for place in range(len(lookup.paths)):
            yield from self._advance(lookup, place, now)

    def _advance(self, lookup: LookUp, place: int, now: float) -> Iterator[Event] | tuple[()]:
        """Ask the next node on a path; at the end of all paths, ask those that may be responsible."""
        if lookup.number not in self._lookups:
            return ()
        hops = self.options.hops
        gone = self._gone if lookup.purpose in (Purpose.ASKED, Purpose.SHORTCUT) else ()
        while now - lookup.begun <= self.options.patience:
            node = lookup.next(place, gone, hops)
            if node is not None:
                self._ask(node, Step(self._next(), lookup.key), Asked(lookup, place), now)
                return ()
            if lookup.waiting:
                return ()
            claim = lookup.next_claim(gone, hops)
            if claim == self.me:
                lookup.confirmed(self.me, self.predecessor)
            elif claim is not None:
                self._ask(claim, Neighbours(self._next()), Asked(lookup, -1), now)
                return ()
            elif lookup.present is not None or not lookup.turn_back():
                break
            else:
                place = 0
        return self._done(lookup, lookup.present, now)

    def _done(self, lookup: LookUp, responsible: Contact | None, now: float) -> Iterator[Event]:
        """A look-up came to its end."""
        self._lookups.pop(lookup.number, None)
        path = lookup.path(responsible)
        yield LookedUp(lookup.number, lookup.key, responsible, tuple(path), lookup.timeouts, now - lookup.begun)

    def _forward(self, message: Forward, sender: Contact) -> Iterator[Event]:
        """Pass a question on, or answer its origin."""
        circle, me, key, before = self.circle, self.me.ident, message.key, self.predecessor
        path = (*message.path, me)
        successor = self.successors[0]
        here = self.is_responsible(key)
        following = successor
        if not here and self.member and sender != self.me and circle.reaches(sender.ident, key, me):
            # whoever sent it takes this node for its successor
            if before is None:
                here = True
            elif sender != successor and circle.within(sender.ident, before.ident, me):
                following = before
        if following == successor and (self.torn or not circle.reaches(me, key, successor.ident)):
            following = next((each for each in self._towards(key) if each not in self._gone), successor)
        if not here and following != self.me:
            self._send(following, Forward(message.number, key, message.origin, path))
            return
        if not self.member:
            return
        if message.origin == self.me:
            if self._passed.pop(message.number, None) is not None:
                yield LookedUp(message.number, key, self.me, path, 0, 0.0)
        else:
            self._send(message.origin, Found(message.number, self.me, path[:-1]))

    def _found(self, sender: Contact, message: Found, now: float) -> Iterator[Event]:
        """Somebody says that he is responsible for what was passed on."""
        passed = self._passed.get(message.number)
        if passed is None:
            yield Misbehaved(sender, Fault.UNASKED)
        else:
            del self._passed[message.number]
            path = (*message.path, sender.ident)
            yield LookedUp(message.number, passed[0], sender, path, 0, now - passed[1])

    # Sending

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _send(self, to: Contact, message: Message) -> None:
        self._out.append((to, message))

    def _ask(self, to: Contact, message: Step | Neighbours, purpose: object, now: float) -> None:
        if isinstance(purpose, Asked):
            purpose.lookup.waiting += 1
        self._pending[message.number] = to, purpose
        self._order.append((now + self.options.timeout, message.number))
        self._send(to, message)
