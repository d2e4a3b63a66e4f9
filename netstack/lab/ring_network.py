"""Nodes of a ring in virtual time without sockets or services: thousands of engines in one process, for figures."""

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Protocol

from netstack.ring.engine import Node, RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import LookedUp, Message
from netstack.sansio import Event


class Carried(Protocol):
    """A node, or what behaves as one."""

    @property
    def me(self) -> Contact: ...

    def start(self, now: float) -> None: ...

    def look_up(self, key: int, now: float) -> int: ...

    def pass_on(self, key: int, now: float) -> int: ...

    def receive(self, sender: Contact, message: Message, now: float) -> Iterable[Event]: ...

    def on_timer(self, now: float) -> Iterable[Event]: ...

    def next_timer(self) -> float: ...

    def outgoing(self) -> list[tuple[Contact, Message]]: ...


class RingNetwork:
    """Carries messages between nodes with a delay; who is not there hears nothing and says nothing."""

    def __init__(self, delay: Callable[[Random], float] = lambda rng: 0.05, seed: int = 0) -> None:
        """`delay` gives seconds for one message."""
        self.now = 0.0
        self.nodes: dict[Contact, Node] = {}
        self.carried: dict[Contact, Carried] = {}
        """The nodes, or what they are inside of."""
        self.messages = 0
        self.log: list[tuple[float, Contact, Contact, Message]] = []
        """What was sent, once `recording` is on."""
        self.recording = False
        self.done: dict[tuple[Contact, int], LookedUp] = {}
        self.told: list[tuple[float, Contact, Event]] = []
        """All other events."""
        self.apart: Callable[[Contact, Contact], bool] = lambda sender, to: False
        """Whether what one sends does not get to the other: a partition."""
        self._delay = delay
        self._rng = Random(seed)
        self._heap: list[tuple[float, int, Contact, tuple[Contact, Message] | None]] = []
        self._count = 0
        self._alarms: dict[Contact, float] = {}

    def add(self, node: Node) -> None:
        """A node that is up from now on."""
        self.nodes[node.me] = node
        self.carry(node)

    def carry(self, node: Carried) -> None:
        """The same of what behaves as a node."""
        self.carried[node.me] = node
        node.start(self.now)
        self.serve(node)

    def fail(self, contact: Contact) -> None:
        """A node is gone without a word."""
        self.nodes.pop(contact, None)
        self.carried.pop(contact, None)
        self._alarms.pop(contact, None)

    def serve(self, node: Carried) -> None:
        """Carry what a node has said, and set its alarm; to be called after its methods."""
        for to, message in node.outgoing():
            self.messages += 1
            if self.recording:
                self.log.append((self.now, node.me, to, message))
            if not self.apart(node.me, to):
                self._push(self.now + self._delay(self._rng), to, (node.me, message))
        due = max(self.now, node.next_timer())
        if due < self._alarms.get(node.me, float("inf")):
            self._alarms[node.me] = due
            self._push(due, node.me, None)

    def run(self, until: float, stop: bool = False) -> None:
        """Go on to a time, or with `stop` to the first event that a node tells."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            when, _, to, what = heapq.heappop(heap)
            self.now = max(self.now, when)
            node = self.carried.get(to)
            if node is None:
                continue
            if what is None:
                if self._alarms.get(to) != when:
                    continue  # it was set earlier meanwhile
                del self._alarms[to]
                events = node.on_timer(self.now)
            else:
                events = node.receive(what[0], what[1], self.now)
            for event in events:
                if isinstance(event, LookedUp):
                    self.done[to, event.number] = event
                else:
                    self.told.append((self.now, to, event))
            self.serve(node)
            if stop and (self.done or self.told):
                return
        self.now = max(self.now, until)

    def look_up(self, contact: Contact, key: int) -> tuple[Contact, int]:
        """Begin a look-up, step by step; its result will be in `done` under what is returned."""
        node = self.carried[contact]
        number = node.look_up(key, self.now)
        self.serve(node)
        return contact, number

    def pass_on(self, contact: Contact, key: int) -> tuple[Contact, int]:
        """The same by handing the question on."""
        node = self.carried[contact]
        number = node.pass_on(key, self.now)
        self.serve(node)
        return contact, number

    def _push(self, when: float, to: Contact, what: tuple[Contact, Message] | None) -> None:
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, to, what))


def settled(circle: Circle, contacts: Sequence[Contact], options: RingOptions, seed: int = 0) -> list[Node]:
    """Nodes of a circle on which everybody knows all that is to be known: as it is after a while without churn."""
    ordered = sorted(contacts)
    count = len(ordered)
    idents = [each.ident for each in ordered]
    if len(set(idents)) != count:
        raise ValueError("two nodes have one identifier")
    nodes = []
    rng = Random(seed)  # one for all: each has 2.5 KB
    for place, contact in enumerate(ordered):
        node = Node(circle, contact, options, rng)
        if count > 1:
            node.predecessor = ordered[place - 1]
            node.successors = [ordered[(place + step) % count] for step in range(1, min(options.successors, count - 1) + 1)]
            if options.shortcuts:
                nearest = circle.distance(contact.ident, node.successors[0].ident)
                for finger in range(nearest.bit_length() - 1, circle.bits):
                    if 1 << finger > nearest:
                        other = ordered[_responsible(idents, (contact.ident + (1 << finger)) % circle.size)]
                        if other != contact:
                            node.shortcuts[finger] = other
        nodes.append(node)
    return nodes


def _responsible(idents: Sequence[int], key: int) -> int:
    """Place of the first identifier that is not before the key, or of the first of all."""
    return bisect_left(idents, key) % len(idents)
