"""One node of the circle: look-ups, joining, stabilization, shortcuts, leaving (Chord, §4; the chapter's churn).

It knows no sockets: who runs it hands it messages with their sender and carries `outgoing()` to their nodes. Requests that
are not answered in time are given up, and the node that did not answer is forgotten.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import (
    Alone,
    Forward,
    Found,
    Joined,
    JoinFailed,
    Leaving,
    LookedUp,
    Message,
    Neighbours,
    NeighboursAnswer,
    NeighboursChanged,
    NodeGone,
    Notify,
    Ping,
    Pong,
    Step,
    StepAnswer,
)
from netstack.ring.shortcuts import Known, Shortcuts
from netstack.sansio import Event
from netstack.sansio.bounds import positive


class Chance(Protocol):
    """Random numbers; `random.Random` is one."""

    def uniform(self, a: float, b: float) -> float: ...


@dataclass(frozen=True, slots=True)
class RingOptions:
    """Of one node. Times in seconds."""

    successors: int = 2
    """Kept in the list (r of the paper); the chapter has two."""
    shortcuts: bool = True
    """A finger table: for each bit the node that is responsible for the identifier that far away (§4.3)."""
    stabilize: float = 1.0
    """Between two looks at the successor, the chapter's ping."""
    fix: float = 1.0
    """Between two looks at one shortcut, in turn."""
    spread: float = 0.0
    """The part of `stabilize` and `fix` by which each such pause may be shorter or longer; 0.5 in the paper."""
    hurry: float = 1.0
    """After neighbours have changed, the part of `stabilize` until the next look, then twice as long up to all of it; 1: no
    hurry, as in the paper."""
    timeout: float = 0.5
    """For an answer."""
    hops: int = 1000
    """Of one look-up, which then fails: nodes may lie."""
    lookups: int = 1000
    """Of one node under way at once."""
    candidates: int = 8
    """Nodes that an answer to a step names."""

    def __post_init__(self) -> None:
        for name in ("successors", "stabilize", "fix", "timeout", "hops", "lookups", "candidates"):
            positive(name, getattr(self, name))
        if not 0 < self.hurry <= 1:
            raise ValueError(f"hurry: expected more than 0 and at most 1, got {self.hurry}")
        if not 0 <= self.spread < 1:
            raise ValueError(f"spread: expected at least 0 and less than 1, got {self.spread}")


class _LookUp:
    """One that this node does, step by step."""

    __slots__ = (
        "asked", "before", "begun", "behind", "candidates", "final", "finals", "finger", "joining", "key", "mending",
        "number", "path", "timeouts",
    )  # fmt: skip

    def __init__(self, number: int, key: int, begun: float, me: int) -> None:
        self.number = number
        self.key = key
        self.begun = begun
        self.path = [me]
        self.timeouts = 0
        self.candidates: list[Contact] = []
        """The best one last."""
        self.finals: list[Contact] = []
        """Who is responsible, as the closest node so far says, the first one that is there; the best one last."""
        self.behind: tuple[int, Sequence[Contact]] | None = None
        """The closest node so far that did not say so, and its successors: `finals` once no candidate is left."""
        self.before: Contact | None = None
        """Who said who is responsible: the node before it."""
        self.final: Contact | None = None
        """The one of these that is asked whether it is there."""
        self.asked: set[Contact] = set()
        self.finger = -1
        """The shortcut that it is for; -1 for none."""
        self.joining = self.mending = False


class Node:
    """One node. Alone it is a circle of one; `join` brings it into another."""

    __slots__ = (
        "_fix_due", "_gone", "_haste", "_known", "_lookups", "_lost", "_next_finger", "_number", "_order", "_out",
        "_pending", "_rng", "_stabilize_due", "circle", "left", "me", "options", "predecessor", "shortcuts", "successors",
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
        self._lost = False
        """All its successors are gone, and the next one is being looked up: it can say nothing about what follows it."""
        self._rng = rng
        self._out: list[tuple[Contact, Message]] = []
        self._number = 0
        self._pending: dict[int, tuple[Contact, float, object]] = {}
        """Request -> whom it went to, when it is given up, what it was for."""
        self._order: deque[tuple[float, int]] = deque()
        self._lookups: dict[int, _LookUp] = {}
        self._stabilize_due = self._fix_due = 0.0
        self._haste = 1.0
        """The part of `stabilize` that the next pause lasts."""
        self._next_finger = 0
        self._gone: dict[Contact, float] = {}
        """Nodes that did not answer of late: others may still name them."""

    # What who runs it does

    def start(self, now: float) -> None:
        """Begin to look after the circle, at a moment of its own, so that nodes do not do so all at once."""
        self._stabilize_due = now + self._rng.uniform(0, self.options.stabilize)
        self._fix_due = now + self._rng.uniform(0, self.options.fix)

    def join(self, through: Contact, now: float) -> None:
        """Enter the circle that another node is in: Joined or JoinFailed follows."""
        lookup = self._begin(self.me.ident, now)
        lookup.joining = True
        lookup.candidates = [through]
        self._advance(lookup, now)

    def look_up(self, key: int, now: float) -> int:
        """Find who is responsible for a key, step by step: LookedUp follows, with the number that is returned.

        Raises ValueError when too many are under way.
        """
        if len(self._lookups) >= self.options.lookups:
            raise ValueError(f"{len(self._lookups)} look-ups are under way")
        lookup = self._begin(key % self.circle.size, now)
        lookup.candidates = self._towards(lookup.key)[::-1]
        self._due_now(lookup, now)
        return lookup.number

    def pass_on(self, key: int, now: float) -> int:
        """The same by handing the question on (the chapter's way): LookedUp follows if it does not get lost."""
        number = self._next()
        self._due_now(Forward(number, key % self.circle.size, self.me, ()), now)
        return number

    def leave(self) -> None:
        """Go politely: the neighbours are told."""
        self.left = True
        told = {self.successors[0]} | ({self.predecessor} if self.predecessor is not None else set())
        for each in sorted(told - {self.me}):
            self._send(each, Leaving(self.predecessor, tuple(self.successors)))

    def outgoing(self) -> list[tuple[Contact, Message]]:
        """Messages to be sent, once."""
        out, self._out = self._out, []
        return out

    def next_timer(self) -> float:
        """When `on_timer` wants to be called: monotonic seconds."""
        due = min(self._stabilize_due, self._fix_due if self.options.shortcuts else self._stabilize_due)
        while self._order and self._order[0][1] not in self._pending:
            self._order.popleft()
        return min(due, self._order[0][0]) if self._order else due

    def is_responsible(self, key: int) -> bool:
        """Whether a key is this node's: it lies after the predecessor, up to the node itself (the closest successor)."""
        before = self.predecessor
        if before is None:
            return self.successors[0] == self.me
        return self.circle.reaches(before.ident, key, self.me.ident)

    # Messages

    def receive(self, sender: Contact, message: Message, now: float) -> Iterator[Event]:
        """What another node said. A node that speaks is there."""
        if self._gone.pop(sender, None) is not None and self.circle.within(
            self.me.ident, sender.ident, self.successors[0].ident
        ):
            yield from self._take_successors([sender, *self.successors])  # it was only slow
        if isinstance(message, Step):
            done, nodes = self._step(message.key)
            self._send(sender, StepAnswer(message.number, done, nodes, tuple(self.successors)))
        elif isinstance(message, Forward):
            yield from self._forward(message)
        elif isinstance(message, Neighbours):
            self._send(sender, NeighboursAnswer(message.number, self.predecessor, tuple(self.successors)))
        elif isinstance(message, Notify):
            yield from self._notified(message.node, now)
        elif isinstance(message, Ping):
            self._send(sender, Pong(message.number))
        elif isinstance(message, Leaving):
            yield from self._left(sender, message)
        elif isinstance(message, Found):
            path = (*message.path, message.responsible.ident)
            yield LookedUp(message.number, -1, message.responsible, path, 0, 0.0)
        elif isinstance(message, StepAnswer | NeighboursAnswer | Pong):
            pending = self._pending.get(message.number)
            if pending is None or pending[0] != sender:
                return  # too late, or not asked for
            del self._pending[message.number]
            purpose = pending[2]
            if isinstance(message, StepAnswer) and isinstance(purpose, _LookUp):
                yield from self._answered(purpose, sender, message, now)
            elif isinstance(message, NeighboursAnswer):
                yield from self._stabilized(sender, message, now)

    def on_timer(self, now: float) -> Iterator[Event]:
        """Give up what was not answered; look after successor, predecessor and one shortcut."""
        while self._order and self._order[0][0] <= now:
            _, number = self._order.popleft()
            pending = self._pending.pop(number, None)
            if pending is not None:
                yield from self._silent(pending[0], pending[2], now)
        if now >= self._stabilize_due:
            self._stabilize_due = now + self._haste * self._pause(self.options.stabilize)
            self._haste = min(1.0, 2 * self._haste)
            successor = self.successors[0]
            if self._lost:
                yield from self._mend(now)
            elif successor != self.me:
                self._ask(successor, Neighbours(self._next()), "stabilize", now)
            elif self.predecessor is not None:  # two nodes that do not know it yet
                yield from self._take_successors([self.predecessor])
            if self.predecessor is not None and self.predecessor != successor and self.predecessor != self.me:
                self._ask(self.predecessor, Ping(self._next()), "ping", now)
        if self.options.shortcuts and now >= self._fix_due:
            self._fix_due = now + self._pause(self.options.fix)
            self._fix(now)

    # Look-ups

    def _begin(self, key: int, now: float) -> _LookUp:
        lookup = _LookUp(self._next(), key, now, self.me.ident)
        self._lookups[lookup.number] = lookup
        return lookup

    def _due_now(self, purpose: object, now: float) -> None:
        """The first step is this node's own knowledge, which `on_timer` looks at at once."""
        number = self._next()
        self._pending[number] = self.me, now, purpose
        self._order.appendleft((now, number))

    def _step(self, key: int) -> tuple[bool, Sequence[Contact]]:
        """What this node knows of the way to a key."""
        if self.is_responsible(key) and self.predecessor is not None:
            return True, (self.me,)
        successor = self.successors[0]
        if not self._lost and self.circle.reaches(self.me.ident, key, successor.ident):
            return True, tuple(self.successors)
        return False, tuple(self._towards(key))

    def _towards(self, key: int) -> list[Contact]:
        """Nodes that it knows between itself and a key, the closest to the key first (§4.3, closest_preceding_node)."""
        return self._known.before(key, self.options.candidates, self.successors, self.shortcuts)

    def _answered(self, lookup: _LookUp, sender: Contact, answer: StepAnswer, now: float) -> Iterator[Event]:
        if lookup.number not in self._lookups:
            return
        if not lookup.path or lookup.path[-1] != sender.ident:
            lookup.path.append(sender.ident)
        if sender == lookup.final or (answer.done and answer.nodes and answer.nodes[0] == sender):
            yield from self._done(lookup, sender, now)
            return
        if answer.done:
            lookup.candidates, lookup.finals, lookup.behind = [], list(answer.nodes)[::-1], None
            lookup.before = sender
            yield from self._advance(lookup, now)
            return
        lookup.behind = sender.ident, answer.successors
        key, size = lookup.key, self.circle.size
        span = (key - sender.ident) % size
        left = [(key - each.ident) % size for each in answer.nodes[: self.options.candidates]]
        closer = [pair for pair in zip(left, answer.nodes, strict=False) if pair[0] < span and pair[1] not in lookup.asked]
        closer.sort(reverse=True)
        lookup.candidates = [each for _, each in closer]
        yield from self._advance(lookup, now)

    def _advance(self, lookup: _LookUp, now: float) -> Iterator[Event] | tuple[()]:
        """Ask the best node that was not asked yet."""
        while lookup.candidates:
            best = lookup.candidates.pop()
            if best in lookup.asked or best in self._gone or best == self.me:
                continue
            if len(lookup.asked) >= self.options.hops:
                break
            lookup.asked.add(best)
            self._ask(best, Step(self._next(), lookup.key), lookup, now)
            return ()
        if lookup.behind is not None:
            before, successors = lookup.behind
            lookup.behind = None
            lookup.finals = [each for each in reversed(successors) if self.circle.reaches(before, lookup.key, each.ident)]
        while lookup.finals:
            final = lookup.finals.pop()
            if final == self.me:
                if lookup.joining or lookup.mending:  # others have not noticed that it was away
                    continue
                return self._done(lookup, final, now)
            if final in self._gone:
                continue
            lookup.final = final
            self._ask(final, Step(self._next(), lookup.key), lookup, now)
            return ()
        return self._done(lookup, None, now)

    def _done(self, lookup: _LookUp, responsible: Contact | None, now: float) -> Iterator[Event]:
        self._lookups.pop(lookup.number, None)
        if lookup.mending and (responsible is None or responsible.ident == self.me.ident or not self._lost):
            if self._lost:
                yield from self._walk_back(now)
            return
        if lookup.joining or lookup.mending:
            if responsible is None or responsible.ident == self.me.ident:
                yield JoinFailed(next(iter(lookup.asked), self.me))
                return
            yield from self._take_successors([responsible])
            self._send(responsible, Notify(self.me))
            if lookup.before is not None:  # it need not wait for its next look at its successor
                self._send(lookup.before, Notify(self.me))
            self._stabilize_due = now
            self._haste = self.options.hurry
            if lookup.joining:
                yield Joined(responsible)
            self._lost = False
        elif lookup.finger >= 0:
            if responsible is not None and responsible != self.me:
                self.shortcuts[lookup.finger] = responsible
        else:
            path = (
                lookup.path
                if responsible is None or responsible.ident == lookup.path[-1]
                else [*lookup.path, responsible.ident]
            )
            yield LookedUp(lookup.number, lookup.key, responsible, tuple(path), lookup.timeouts, now - lookup.begun)

    def _forward(self, message: Forward) -> Iterator[Event] | tuple[()]:
        """Pass a question on, or answer its origin."""
        if len(message.path) > self.options.hops:
            return ()
        path = (*message.path, self.me.ident)
        if self.is_responsible(message.key):
            return self._reply(message, self.me, path[:-1])
        successor = self.successors[0]
        if not self._lost and self.circle.reaches(self.me.ident, message.key, successor.ident):
            following = successor
        else:
            following = next((each for each in self._towards(message.key) if each not in self._gone), successor)
        if following == self.me:
            return self._reply(message, self.me, path[:-1])
        self._send(following, Forward(message.number, message.key, message.origin, path))
        return ()

    def _reply(self, message: Forward, responsible: Contact, path: Sequence[int]) -> Iterator[Event]:
        if message.origin == self.me:
            yield LookedUp(message.number, message.key, responsible, (*path, responsible.ident), 0, 0.0)
        else:
            self._send(message.origin, Found(message.number, responsible, path))

    # Stabilization (§4.4, §4.5)

    def _stabilized(self, successor: Contact, answer: NeighboursAnswer, now: float) -> Iterator[Event]:
        if self.successors[0] != successor:
            return
        between = answer.predecessor
        chain = [successor, *answer.successors]
        if (
            between is not None
            and between not in self._gone
            and self.circle.within(self.me.ident, between.ident, successor.ident)
        ):
            chain.insert(0, between)
        if self.me not in chain:  # the list of a node that is new, or has lost its own, is short
            chain += [each for each in self.successors if self.circle.within(chain[-1].ident, each.ident, self.me.ident)]
        before = self.successors
        yield from self._take_successors(chain)
        if self.successors is not before:
            self._hurry(now)
        if self.successors[0] != self.me:
            self._send(self.successors[0], Notify(self.me))

    def _take_successors(self, chain: Iterable[Contact]) -> Iterator[Event]:
        """The first ones of a chain that goes round the circle, up to the node itself."""
        found: list[Contact] = []
        for each in chain:
            if each == self.me:
                break
            if each not in found and each not in self._gone:
                found.append(each)
            if len(found) == self.options.successors:
                break
        found = found or [self.me]
        if found != self.successors:
            self.successors = found
            yield NeighboursChanged(self.predecessor, tuple(found))

    def _hurry(self, now: float) -> None:
        """Something has changed, and more may have: look again sooner, then at ever longer pauses."""
        if self.options.hurry < 1:
            self._haste = self.options.hurry
            self._stabilize_due = min(self._stabilize_due, now + self._haste * self.options.stabilize)

    def _notified(self, node: Contact, now: float) -> Iterator[Event]:
        before = self.predecessor
        if node == self.me or node == before:
            return
        if not self._lost and self.circle.within(self.me.ident, node.ident, self.successors[0].ident):
            alone = self.successors[0] == self.me
            yield from self._take_successors([node, *self.successors])
            self._hurry(now)
            if not alone:  # it follows
                return
        if before is None or self.circle.within(before.ident, node.ident, self.me.ident):
            self.predecessor = node
            self._hurry(now)
            yield NeighboursChanged(node, tuple(self.successors))

    def _left(self, sender: Contact, message: Leaving) -> Iterator[Event]:
        self._forget(sender)
        if sender == self.predecessor:
            self.predecessor = message.predecessor if message.predecessor != self.me else None
            yield NeighboursChanged(self.predecessor, tuple(self.successors))
        if sender in self.successors:
            chain = [each for each in self.successors if each != sender]
            yield from self._take_successors([*chain, *message.successors])

    def _silent(self, node: Contact, purpose: object, now: float) -> Iterator[Event]:
        """A node did not answer; or it is this one's own step."""
        if isinstance(purpose, Forward):
            yield from self._forward(purpose)
            return
        if isinstance(purpose, _LookUp) and node == self.me:  # the first step, which is this node's own
            done, nodes = self._step(purpose.key)
            if done and nodes[0] == self.me:
                yield from self._done(purpose, self.me, now)
                return
            if done:
                purpose.candidates, purpose.finals = [], list(nodes)[::-1]
            else:
                purpose.behind = self.me.ident, self.successors
            yield from self._advance(purpose, now)
            return
        self._gone[node] = now
        while len(self._gone) > 256:
            del self._gone[next(iter(self._gone))]
        yield NodeGone(node)
        self._forget(node)
        successors = self.successors
        if node in successors:
            rest = [each for each in successors if each != node]
            yield from self._take_successors(rest)
            self._lost = not rest
        if node == self.predecessor:
            self.predecessor = None
            yield NeighboursChanged(None, tuple(self.successors))
        if node in successors and self._lost:
            yield from self._mend(now)
        if isinstance(purpose, _LookUp) and purpose.number in self._lookups:
            purpose.timeouts += 1
            yield from self._advance(purpose, now)

    def _mend(self, now: float) -> Iterator[Event]:
        """Look up who follows, by its predecessor, whose list goes on after it."""
        if self.predecessor is None or self.predecessor in self._gone:
            yield from self._walk_back(now)
            return
        lookup = self._begin((self.me.ident + 1) % self.circle.size, now)
        lookup.mending = True
        lookup.candidates = [self.predecessor]
        yield from self._advance(lookup, now)

    def _walk_back(self, now: float) -> Iterator[Event]:
        """The nearest shortcut is its successor for now; stabilization goes back from there, node by node."""
        known = self._known.before(self.me.ident, len(self.shortcuts), self.successors, self.shortcuts)
        nearest = next((each for each in reversed(known) if each not in self._gone), None)
        if nearest is not None:
            self._lost = False
            self._stabilize_due = now
            yield from self._take_successors([nearest])
        elif self.predecessor is None:
            self._lost = False
            yield Alone()

    def _forget(self, node: Contact) -> None:
        self.shortcuts.forget(node)

    def _fix(self, now: float) -> None:
        """Look one shortcut up anew; those that the successor is responsible for need no look-up."""
        circle = self.circle
        if self.successors[0] == self.me:
            return
        for _ in range(circle.bits):
            finger = self._next_finger
            self._next_finger = (finger + 1) % circle.bits
            start = (self.me.ident + (1 << finger)) % circle.size
            if circle.reaches(self.me.ident, start, self.successors[0].ident):
                self.shortcuts.pop(finger, None)
                continue
            if len(self._lookups) < self.options.lookups:
                lookup = self._begin(start, now)
                lookup.finger = finger
                lookup.candidates = self._towards(start)[::-1]
                self._due_now(lookup, now)
            return

    # Sending

    def _pause(self, seconds: float) -> float:
        spread = self.options.spread
        return seconds * self._rng.uniform(1 - spread, 1 + spread) if spread else seconds

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _send(self, to: Contact, message: Message) -> None:
        self._out.append((to, message))

    def _ask(self, to: Contact, message: Step | Neighbours | Ping, purpose: object, now: float) -> None:
        due = now + self.options.timeout
        self._pending[message.number] = to, due, purpose
        self._order.append((due, message.number))
        self._send(to, message)
