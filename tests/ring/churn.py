"""A ring under users and under trouble, from a seed: who dies, leaves, joins, is cut off, and which messages are lost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from netstack.lab.data_network import DataNetwork, at, settled_peers
from netstack.ring.data_messages import DataMessage, Failed, Got, Left, Stored
from netstack.ring.engine import RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import Message
from netstack.ring.peer import Peer
from netstack.ring.records import DataOptions
from tests.ring.history import Operation

CIRCLE = Circle(32)
REFUSED = ("too large", "too many", "full")
"""Reasons after which a write has surely not happened."""


@dataclass
class Trouble:
    """What happens, in mean seconds between two of a kind; 0 for never."""

    kill: float = 0.0
    join: float = 0.0
    leave: float = 0.0
    crowd: float = 0.0
    """Ten join at once."""
    cut: float = 0.0
    """Some nodes and the others do not hear each other."""
    cut_for: float = 3.0
    cut_circle: bool = True
    """The messages that keep the circle are cut off, too, not those about data alone."""
    loss: float = 0.0
    """The part of the messages about data that is lost."""
    delay: tuple[float, float] = (0.01, 0.05)
    least: int = 4
    """Nodes that stay."""
    apart: float = 0.0
    """Seconds between two deaths at least."""


@dataclass
class Trial:
    """One run."""

    seed: int
    data: DataOptions = field(default_factory=lambda: DataOptions(patience=1e9, sync=2.0, deadline=6.0, timeout=0.5))
    trouble: Trouble = field(default_factory=Trouble)
    nodes: int = 10
    clients: int = 6
    keys: int = 4
    seconds: float = 40.0
    ring: RingOptions = field(default_factory=lambda: RingOptions(4, timeout=0.3, stabilize=0.5, fix=0.5))
    values: bool = True
    """Puts and removes of single values beside replacing ones."""

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        low, high = self.trouble.delay
        self.network = DataNetwork(lambda rng: rng.uniform(low, high), self.seed)
        self.operations: list[Operation] = []
        self.waiting: dict[tuple[Contact, int], tuple[Operation, int]] = {}
        self.side: set[Contact] = set()
        self.healed_at = 0.0
        self.events: list[str] = []
        self.deaths = self.cuts = 0
        self.network.passes = self._passes
        contacts = [Contact(ident, f"n{ident}") for ident in self.rng.sample(range(CIRCLE.size), self.nodes)]
        for peer in settled_peers(CIRCLE, contacts, self.ring, self.data, self.seed):
            self.network.add_peer(peer)

    def run(self) -> list[Operation]:
        """All that users did and saw."""
        network = self.network
        network.run(2.0)
        due = [(network.now + self.rng.uniform(0, 1), client) for client in range(self.clients)]
        kinds: tuple[tuple[float, Callable[[], None]], ...] = (
            (self.trouble.kill, self.kill), (self.trouble.join, self.join), (self.trouble.leave, self.leave),
            (self.trouble.cut, self.cut), (self.trouble.crowd, self.crowd),
        )  # fmt: skip
        comes = [(network.now + self.rng.expovariate(1 / mean), mean, what) for mean, what in kinds if mean]
        until = network.now + self.seconds
        while network.now < until:
            network.run(network.now + 0.02)
            self.stopped()
            self.collect(due)
            for place, (when, client) in enumerate(due):
                if network.now >= when:
                    due[place] = network.now + 1e9, client
                    self.begin(client)
            for place, (when, mean, what) in enumerate(comes):
                if network.now >= when:
                    comes[place] = network.now + self.rng.expovariate(1 / mean), mean, what
                    what()
            if self.side and network.now >= self.healed_at:
                self.say("healed")
                self.side = set()
        self.side = set()
        network.run(network.now + self.data.deadline + 2)
        self.collect(due)
        return self.operations

    def settle(self, seconds: float) -> None:
        """Without trouble."""
        self.side, self.trouble = set(), Trouble(delay=self.trouble.delay)
        self.network.run(self.network.now + seconds)

    def converged(self) -> dict[bytes, frozenset[bytes]]:
        """What each key has; raises AssertionError unless its copies are where they belong, are alike, and nowhere else."""
        ordered = sorted(self.network.nodes)
        found = {}
        for number in range(self.keys):
            key = b"key %d" % number
            first = next((place for place, each in enumerate(ordered) if each.ident >= CIRCLE.of(key)), 0)
            belongs = {ordered[(first + step) % len(ordered)] for step in range(self.data.copies)}
            held = {contact: each for contact, seat in self.network.seats.items() if (each := seat.peer.table.get(key))}
            assert held.keys() in (belongs, set()), "\n".join(self.events)
            assert len({each.digest for each in held.values()}) <= 1, "\n".join(self.events)
            found[key] = frozenset(entry.data for each in held.values() for entry in each.values.values() if not entry.dead)
        return found

    # Users

    def begin(self, client: int) -> None:
        there = [
            contact for contact, seat in self.network.seats.items() if not seat.peer.left and not seat.peer.arcs.joining
        ]
        contact = self.rng.choice(sorted(there))
        key = b"key %d" % self.rng.randrange(self.keys)
        kind = self.rng.choice(("get", "get", "put", "remove", "clear", "replace") if self.values else ("get", "replace"))
        known = [each.value for each in self.operations if each.key == key and each.kind in ("put", "replace")]
        value = b"%d" % len(self.operations)
        if kind == "remove":
            value = self.rng.choice(known[-4:]) if known else b"none"
        operation = Operation(kind, key, value if kind in ("put", "replace", "remove") else b"", self.network.now)
        operation.client = f"{client}@{contact.ident % 10000}"

        def ask(peer: Peer, now: object) -> int:
            when = at(self.network.now)
            if kind == "get":
                return peer.get(key, when)
            if kind in ("remove", "clear"):
                return peer.remove(key, when, value if kind == "remove" else None)
            return peer.put(key, value, when, replace=kind == "replace")

        self.operations.append(operation)
        self.waiting[self.network.begin(contact, ask)] = operation, client

    def collect(self, due: list[tuple[float, int]]) -> None:
        for where, (operation, client) in [*self.waiting.items()]:
            outcome = self.network.outcomes.pop(where, None)
            if outcome is None and where[0] in self.network.seats:
                continue
            del self.waiting[where]
            if isinstance(outcome, Got):
                operation.ended, operation.seen = self.network.now, frozenset(value.data for value in outcome.values)
                operation.version = outcome.version
            elif isinstance(outcome, Stored):
                operation.ended, operation.version = self.network.now, outcome.version
            elif isinstance(outcome, Failed):
                self.say(f"{operation.kind} of {operation.key!r} begun at {operation.begun:.3f} failed: {outcome.reason}")
                if outcome.reason in REFUSED:
                    self.operations.remove(operation)
            due[client] = self.network.now + self.rng.uniform(0.05, 1.0), client

    # Trouble

    def kill(self) -> None:
        there = sorted(self.network.seats)
        if len(there) <= self.trouble.least:
            return
        contact = self.rng.choice(there)
        self.say(f"{contact.ident} dies")
        self.deaths += 1
        self.network.fail(contact)

    def join(self) -> None:
        there = [contact for contact, seat in self.network.seats.items() if not seat.peer.left]
        contact = Contact(self.rng.randrange(CIRCLE.size))
        contact = Contact(contact.ident, f"n{contact.ident}")
        self.say(f"{contact.ident} joins")
        peer = Peer(CIRCLE, contact, self.ring, self.data, Random(self.rng.getrandbits(64)))
        self.network.join(peer, self.rng.choice(sorted(there)))

    def crowd(self) -> None:
        for _ in range(10):
            self.join()

    def leave(self) -> None:
        there = [contact for contact, seat in self.network.seats.items() if not seat.peer.left]
        if len(there) > self.trouble.least:
            contact = self.rng.choice(sorted(there))
            self.say(f"{contact.ident} leaves")
            self.network.leave(contact)

    def cut(self) -> None:
        if not self.side:
            there = sorted(self.network.seats)
            self.side = {*self.rng.sample(there, self.rng.randint(1, len(there) // 2))}
            self.cuts += 1
            self.healed_at = self.network.now + self.trouble.cut_for
            self.say(f"cut off: {sorted(each.ident for each in self.side)}")

    def stopped(self) -> None:
        """Those that have left are stopped."""
        for when, contact, event in self.network.told:
            if isinstance(event, Left) and contact in self.network.seats:
                self.events.append(f"{when:8.3f} {contact.ident} has left")
                self.network.fail(contact)
        self.network.told.clear()

    def say(self, what: str) -> None:
        self.events.append(f"{self.network.now:8.3f} {what}")

    def _passes(self, sender: Contact, to: Contact, message: Message) -> bool:
        is_data = isinstance(message, DataMessage)
        if is_data and self.trouble.loss and self.rng.random() < self.trouble.loss:
            return False
        return (sender in self.side) == (to in self.side) or not (is_data or self.trouble.cut_circle)
