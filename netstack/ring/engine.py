"""One node of the circle: look-ups, joining, stabilization, shortcuts, leaving (Chord, §4; the chapter's churn).

It knows no sockets: who runs it hands it messages with their sender, whom he has made sure of, and carries `outgoing()` to
their nodes. Requests that are not answered in time are given up, and the node that did not answer is forgotten.

Nodes may lie, but not about their own identifier. So a node believes of others only what they say themselves: who is a
neighbour or a shortcut has answered, and gives way only to one that answers and is closer, or when it answers no more.
"""

from collections.abc import Iterable, Iterator

from netstack.ring.faults import Fault, fault
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.lookup import Asked, LookUp, Purpose
from netstack.ring.messages import (
    Alone,
    Forward,
    Found,
    Joined,
    JoinFailed,
    Leaving,
    LookedUp,
    Message,
    Misbehaved,
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
from netstack.ring.options import RingOptions
from netstack.ring.seeking import Chance, Seeker
from netstack.sansio import Event

__all__ = ["Chance", "Node", "RingOptions"]


class Node(Seeker):
    """One node. Alone it is a circle of one; `join` brings it into another."""

    __slots__ = (
        "_calm", "_checking", "_fix_due", "_haste", "_next_finger", "_next_successor", "_notified_at", "_rejoin_due",
        "_spared", "_stabilize_due", "lost",
    )  # fmt: skip

    def __init__(self, circle: Circle, me: Contact, options: RingOptions, rng: Chance) -> None:
        super().__init__(circle, me, options, rng)
        self.lost: dict[Contact, None] = {}
        """Neighbours and shortcuts that did not answer any more, and nodes that may be there one day."""
        self._spared = 0
        """Requests up to this one got more time once, after the clock had leapt."""
        self._checking: set[Contact] = set()
        """Nodes that might be neighbours, which were asked."""
        self._stabilize_due = self._fix_due = self._rejoin_due = 0.0
        self._next_successor = 0
        self._notified_at = 0.0
        self._haste = 1.0
        """The part of `stabilize` that the next pause lasts."""
        self._calm = 1.0
        """How many times as long pauses are, for nothing has changed."""
        self._next_finger = 0

    # What who runs it does

    def start(self, now: float) -> None:
        """Begin to look after the circle, at a moment of its own, so that nodes do not do so all at once."""
        self._stabilize_due = now + self._rng.uniform(0, self.options.stabilize)
        self._fix_due = now + self._rng.uniform(0, self.options.fix)
        self._rejoin_due = now + self._rng.uniform(0, self.options.rejoin)

    def join(self, through: Contact, now: float) -> None:
        """Enter the circle that another node is in: Joined or JoinFailed follows. Until then it is on none."""
        self.member = False
        self._come_back(through, Purpose.JOIN, now, now)

    def remember(self, contacts: Iterable[Contact]) -> None:
        """Nodes to be looked for now and then, as those that were lost are."""
        for each in contacts:
            if each != self.me:
                self._keep_in_mind(each)

    def leave(self) -> None:
        """Go politely: the neighbours are told."""
        self.left, self.member = True, False
        told = {self.successors[0]} | ({self.predecessor} if self.predecessor is not None else set())
        for each in sorted(told - {self.me}):
            self._send(each, Leaving(self.predecessor, tuple(self.successors)))

    def next_timer(self) -> float:
        """When `on_timer` wants to be called: monotonic seconds."""
        due = self._stabilize_due
        if self.options.shortcuts and self._fix_due < due:
            due = self._fix_due
        if self.lost and self.options.rejoin and self._rejoin_due < due:
            due = self._rejoin_due
        while self._order and self._order[0][1] not in self._pending:
            self._order.popleft()
        if self._order and self._order[0][0] < due:
            due = self._order[0][0]
        if self._passed:
            due = min(due, next(iter(self._passed.values()))[1] + self.options.recursive)
        return due

    # Messages

    def receive(self, sender: Contact, message: Message, now: float) -> Iterator[Event]:
        """What another node said. A node that speaks is there. Misbehaved follows where it is not as it should be."""
        wrong = fault(message, sender, self.me, self.circle, self.options.named, self.options.hops)
        if wrong is not None:
            yield Misbehaved(sender, wrong)
            if wrong is not Fault.DOUBLE or not isinstance(message, Neighbours) or sender == self.me:
                return
        if self._gone.pop(sender, None) is not None and isinstance(message, NeighboursAnswer | Notify):
            yield from self._heard(sender, now)  # it was only slow
        if isinstance(message, Step):
            done, nodes = self._step(message.key)
            self._send(
                sender, StepAnswer(message.number, done, nodes, tuple(self.successors) if self.member or self.left else ())
            )
        elif isinstance(message, Neighbours):
            successors = tuple(self.successors) if self.member else ()
            self._send(sender, NeighboursAnswer(message.number, self.predecessor, successors))
        elif isinstance(message, Ping):
            self._send(sender, Pong(message.number))
        elif isinstance(message, Forward):
            yield from self._forward(message, sender)
        elif isinstance(message, Notify):
            if self.member:
                yield from self._notified(sender, now)
        elif isinstance(message, Leaving):
            yield from self._left(sender, message, now)
        elif isinstance(message, Found):
            yield from self._found(sender, message, now)
        elif isinstance(message, StepAnswer | NeighboursAnswer | Pong):
            yield from self._answer(sender, message, now)

    def unreachable(self, node: Contact, now: float) -> Iterator[Event]:
        """Who carries messages has found nobody there: as if all that it was asked had not been answered in time."""
        for number in [number for number, pending in self._pending.items() if pending[0] == node]:
            pending = self._pending.pop(number, None)
            if pending is not None:
                yield from self._silent(*pending, now)

    def cut_off(self, node: Contact, now: float) -> None:
        """Who carries messages has lost the connection to a node, which did not say why: a neighbour is looked at."""
        if self.member and (node in self.successors or node == self.predecessor) and node != self.me:
            self._check(node, now)

    def on_timer(self, now: float) -> Iterator[Event]:
        """Give up what was not answered; look after successor, predecessor, one shortcut, and one of the lost."""
        self._spare_after_a_leap(now)
        while self._order and self._order[0][0] <= now:
            _, number = self._order.popleft()
            pending = self._pending.pop(number, None)
            if pending is not None:
                yield from self._silent(*pending, now)
        while self._passed:
            number, (key, begun) = next(iter(self._passed.items()))
            if now < begun + self.options.recursive:
                break
            del self._passed[number]
            yield LookedUp(number, key, None, (self.me.ident,), 1, now - begun)
        if now >= self._stabilize_due:
            self._stabilize_due = now + self._haste * self._calm * self._pause(self.options.stabilize)
            if self._haste == 1:
                self._calm = min(self.options.calm, 1.5 * self._calm)
            self._haste = min(1.0, 2 * self._haste)
            if self.member:
                yield from self._stabilize(now)
        if self.options.shortcuts and now >= self._fix_due:
            self._fix_due = now + self._calm * self._pause(self.options.fix)
            if self.member:
                self._fix(now)
        if self.options.rejoin and now >= self._rejoin_due:
            self._rejoin_due = now + self.options.rejoin
            if self.member and self.lost:
                self._rejoin(now)

    def _spare_after_a_leap(self, now: float) -> None:
        """Called much too late, it was not others that were silent: their answers may be there by now. Once for each."""
        timeout = self.options.timeout
        others = (due for due, number in self._order if number in self._pending and self._pending[number][0] != self.me)
        if now - next(others, now) <= timeout:
            return
        late: list[tuple[float, int]] = []
        while self._order and self._order[0][0] <= now:
            late.append(self._order.popleft())
        spared = [(now + timeout / 2, number) for due, number in late if number > self._spared and due < now]
        self._order.extendleft(reversed([each for each in late if each[1] <= self._spared or each[0] >= now]))
        self._order.extend(spared)
        self._spared = self._number

    # Look-ups

    def _done(self, lookup: LookUp, responsible: Contact | None, now: float) -> Iterator[Event]:
        if lookup.purpose is Purpose.ASKED:
            yield from super()._done(lookup, responsible, now)
            return
        del self._lookups[lookup.number]
        if lookup.purpose is Purpose.SHORTCUT:
            if responsible is not None and responsible != self.me:
                self._take_shortcut(lookup.finger, responsible, now)
        elif responsible is not None and responsible.ident != self.me.ident:
            self.lost.pop(next(iter(lookup.asked), self.me), None)
            if responsible not in self.successors:  # from another circle, of which all were silent
                self._gone.clear()
            joining, self.member, self.torn = not self.member, True, False
            yield from self._heard(responsible, now)
            self._send(responsible, Notify(self.me))
            if lookup.before is not None and lookup.before != responsible:
                self._send(lookup.before, Notify(self.me))
            if joining:
                self._stabilize_due = now
                self._haste = self.options.hurry
                yield Joined(self.successors[0])
        elif lookup.purpose is Purpose.JOIN:
            through = next(iter(lookup.asked), self.me)
            if responsible is None and lookup.before is not None and now - lookup.begun < self.options.patience:
                self._come_back(through, Purpose.JOIN, lookup.begun, now + self.options.timeout)  # it joins itself yet
            else:
                yield JoinFailed(through, responsible)

    def _take_shortcut(self, finger: int, node: Contact, now: float) -> None:
        """The closer one of two; the other one is asked whether it is still there."""
        start = (self.me.ident + (1 << finger)) % self.circle.size
        present = self.shortcuts.get(finger)
        if present is not None and self.circle.distance(start, present.ident) < self.circle.distance(start, node.ident):
            self._check(present, now)
            return
        if present != node:
            self._stir(now)
        self.shortcuts[finger] = node

    # Answers

    def _answer(self, sender: Contact, message: StepAnswer | NeighboursAnswer | Pong, now: float) -> Iterator[Event]:
        pending = self._pending.get(message.number)
        if pending is None:
            yield Misbehaved(sender, Fault.UNASKED)
            return
        if pending[0] != sender:
            yield Misbehaved(sender, Fault.FOREIGN)
            return
        purpose = pending[1]
        asked_a_step = isinstance(purpose, Asked) and purpose.path >= 0
        if isinstance(message, StepAnswer) != asked_a_step or isinstance(message, Pong):
            yield Misbehaved(sender, Fault.UNASKED)
            return
        del self._pending[message.number]
        if isinstance(purpose, Asked):
            lookup = purpose.lookup
            lookup.waiting -= 1
            if isinstance(message, StepAnswer):
                lookup.answered(purpose.path, sender, message)
            elif message.successors:
                lookup.confirmed(sender, message.predecessor)
            yield from self._advance(lookup, max(0, purpose.path), now)
        elif isinstance(message, NeighboursAnswer):
            self._checking.discard(sender)
            yield from self._neighbour(sender, message, now)

    def _silent(self, node: Contact, purpose: object, now: float) -> Iterator[Event]:
        """A node did not answer; or it is this one's own step."""
        if node == self.me:
            if isinstance(purpose, Forward):
                yield from self._forward(purpose, self.me)
            elif isinstance(purpose, LookUp):
                yield from self._own_step(purpose, now)
            return
        self._gone[node] = now
        while len(self._gone) > self.options.silent:
            del self._gone[next(iter(self._gone))]
        self._checking.discard(node)
        known = node == self.predecessor or node in self.successors or node in self.shortcuts.nodes()
        if known:
            self._keep_in_mind(node)
            self._stir(now)
            yield NodeGone(node)
            yield from self._without(node, now)
        if isinstance(purpose, Asked):
            purpose.lookup.timeouts += 1
            purpose.lookup.waiting -= 1
            yield from self._advance(purpose.lookup, max(0, purpose.path), now)

    # Neighbours (§4.4, §4.5)

    def _stabilize(self, now: float) -> Iterator[Event]:
        self.rounds += 1
        while self._gone and now - next(iter(self._gone.values())) > self.options.forget:
            del self._gone[next(iter(self._gone))]
        if self.torn and all(each.purpose is not Purpose.REJOIN for each in self._lookups.values()):
            yield from self._mend(now)
        successor = self.successors[0]
        if successor != self.me:
            self._check(successor, now)
        elif self.predecessor is not None:  # two nodes that do not know it yet
            yield from self._heard(self.predecessor, now)
        before = self.predecessor  # which says each time that it is there, as long as it takes this node for its successor
        if (
            before is not None
            and before != successor
            and now - self._notified_at > 1.5 * self._calm * self.options.stabilize
        ):
            self._check(before, now)
        if len(self.successors) > 1:  # the others in turn
            self._next_successor = self._next_successor % (len(self.successors) - 1) + 1
            self._check(self.successors[self._next_successor], now)

    def _neighbour(self, sender: Contact, answer: NeighboursAnswer, now: float) -> Iterator[Event]:
        """A neighbour, or who might be one, said who is beside it."""
        if not answer.successors:
            if self.member:
                yield from self._without(sender, now)
            return
        yield from self._heard(sender, now)
        if not self.member:
            return
        named = [] if answer.predecessor is None else [answer.predecessor]
        self._look_at((*named, *answer.successors), now)
        if sender == self.successors[0]:
            self.torn = self.torn and answer.predecessor != self.me
            self._send(sender, Notify(self.me))
            end = self.circle.size  # past the node itself the successor names what comes after it
            if self.me not in answer.successors:
                end = self.circle.distance(self.me.ident, answer.successors[-1].ident)
            others = self.successors[1:]
            if list(answer.successors[: len(others)]) == others:
                return
            for each in others:  # it does not name them any more, or does not want to
                if each not in answer.successors and self.circle.distance(self.me.ident, each.ident) < end:
                    self._check(each, now)
        elif sender == self.predecessor and self.me not in answer.successors:
            self._send(sender, Notify(self.me))

    def _look_at(self, nodes: Iterable[Contact], now: float) -> None:
        """Ask those that would be neighbours, if they are there."""
        before, me = self.predecessor, self.me.ident
        known = {*self.successors}
        for each in nodes:
            if each not in known and each.ident != me:
                if len(self._checking) >= self.options.named:
                    return
                nearer = before is not None and self.circle.within(before.ident, each.ident, me)
                if nearer or self._is_among_successors(each):
                    self._check(each, now)

    def _is_among_successors(self, node: Contact) -> bool:
        last = self.successors[-1]
        if len(self.successors) < self.options.successors or last == self.me:
            return True
        return self.circle.within(self.me.ident, node.ident, last.ident)

    def _heard(self, node: Contact, now: float) -> Iterator[Event]:
        """A node is there and has a place on the circle: maybe among the neighbours."""
        if node.ident == self.me.ident:
            return
        changed = False
        if node not in self.successors and self._is_among_successors(node):
            others = [each for each in self.successors if each != self.me]
            if all(each.ident != node.ident for each in others):
                others.append(node)
                others.sort(key=lambda each: self.circle.distance(self.me.ident, each.ident))
                self.successors = others[: self.options.successors]
                changed = True
        before = self.predecessor
        if before is not None and self.circle.within(before.ident, node.ident, self.me.ident):
            self.predecessor = node
            changed = True
        if changed:
            self._hurry(now)
            yield NeighboursChanged(self.predecessor, tuple(self.successors))

    def _stir(self, now: float) -> None:
        """Something has changed: pauses are short again."""
        if self._calm > 1:
            self._calm = 1.0
            self._stabilize_due = min(self._stabilize_due, now + self._pause(self.options.stabilize))
            self._fix_due = min(self._fix_due, now + self._pause(self.options.fix))

    def _hurry(self, now: float) -> None:
        """Something has changed, and more may have: look again sooner, then at ever longer pauses."""
        self._stir(now)
        if self.options.hurry < 1:
            self._haste = self.options.hurry
            self._stabilize_due = min(self._stabilize_due, now + self._haste * self.options.stabilize)

    def _notified(self, node: Contact, now: float) -> Iterator[Event]:
        if self.predecessor is None:
            self.predecessor = node
            self._hurry(now)
            yield NeighboursChanged(node, tuple(self.successors))
        yield from self._heard(node, now)
        if node == self.predecessor:
            self._notified_at = now
        else:  # which is not there any more, as it seems
            self._check(self.predecessor, now)

    def _left(self, sender: Contact, message: Leaving, now: float) -> Iterator[Event]:
        """Whom it names has been nearest to it; who is nearer says so itself."""
        before = message.predecessor
        was = sender == self.predecessor
        yield from self._without(sender, now)
        if was and before is not None and self.predecessor is None and before != self.me and before not in self._gone:
            self.predecessor = before
            yield NeighboursChanged(before, tuple(self.successors))
        if self.member:
            self._look_at(message.successors, now)

    def _without(self, node: Contact, now: float) -> Iterator[Event]:
        """A node is gone, or has no place on the circle any more."""
        self.shortcuts.forget(node)
        changed = node == self.predecessor
        if changed or node in self.successors:
            self._stir(now)
        if changed:
            self.predecessor = None
        if node in self.successors:
            changed = True
            self.successors = [each for each in self.successors if each != node]
            if not self.successors:
                yield from self._mend(now)
            elif self.member:  # who comes after those that are left
                self._check(self.successors[0], now)
        if changed:
            yield NeighboursChanged(self.predecessor, tuple(self.successors))

    def _mend(self, now: float) -> Iterator[Event]:
        """All successors are gone: look the next one up by the predecessor, whose list goes on, or by a shortcut."""
        distance, me = self.circle.distance, self.me.ident
        known = sorted({*self.shortcuts.nodes()}, key=lambda each: (distance(me, each.ident), each))
        back = next(iter(known), self.me) if self.predecessor is None else self.predecessor
        nearer = [each for each in self.successors if self.torn and distance(me, each.ident) < distance(me, back.ident)]
        self.successors = nearer or [back]  # they have said meanwhile that they are there
        self.torn = back != self.me
        if back == self.me:
            yield Alone()
        elif self.member:
            self._come_back(back, Purpose.REJOIN, now, now)

    def _come_back(self, through: Contact, purpose: Purpose, begun: float, at: float) -> None:
        """Look for the own place by way of another node."""
        self._gone.pop(through, None)
        lookup = self._begin(self.me.ident, purpose, begun)
        lookup.start([through])
        self._pending[lookup.number] = self.me, lookup
        if at > begun:
            self._order.append((at, lookup.number))
        else:
            self._order.appendleft((at, lookup.number))

    def _rejoin(self, now: float) -> None:
        """Look for the own place by way of a node that was lost: it may be on another circle, which then becomes this."""
        if len(self._lookups) >= self.options.lookups:
            return
        lost = list(self.lost)
        self._come_back(lost[min(len(lost) - 1, int(self._rng.uniform(0, len(lost))))], Purpose.REJOIN, now, now)

    def _keep_in_mind(self, node: Contact) -> None:
        self.lost[node] = None
        while len(self.lost) > self.options.lost:
            del self.lost[next(iter(self.lost))]

    def _fix(self, now: float) -> None:
        """Look one shortcut up anew; those that the successor is responsible for need no look-up."""
        circle = self.circle
        if self.successors[0] == self.me:
            return
        first = circle.distance(self.me.ident, self.successors[0].ident).bit_length()
        self.shortcuts.drop_below(first)
        finger = self._next_finger if first <= self._next_finger < circle.bits else first
        self._next_finger = finger + 1
        if finger < circle.bits and len(self._lookups) < self.options.lookups:
            lookup = self._begin((self.me.ident + (1 << finger)) % circle.size, Purpose.SHORTCUT, now)
            lookup.finger = finger
            self._due_now(lookup, now)

    def _pause(self, seconds: float) -> float:
        spread = self.options.spread
        return seconds * self._rng.uniform(1 - spread, 1 + spread) if spread else seconds

    def _check(self, node: Contact, now: float) -> None:
        """Ask a neighbour, or who might be one."""
        if node not in self._checking:
            self._checking.add(node)
            self._ask(node, Neighbours(self._next()), None, now)
