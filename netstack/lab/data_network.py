"""Peers of a ring in virtual time: nodes with data, the network of `ring_network` between them, and a disk for each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from netstack.lab.ring_network import RingNetwork, settled
from netstack.ring.data_messages import Failed, Got, Keep, Left, Stored
from netstack.ring.engine import Node, RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import Message
from netstack.ring.peer import Peer
from netstack.ring.records import DataOptions, Record
from netstack.sansio import Event, Now

Outcome = Stored | Got | Failed
START = 1_700_000_000.0
"""The wall's time when the network begins."""


@dataclass(frozen=True, slots=True)
class _CutOff(Message):
    """Not of a peer, but of who carries messages: the connection to it is gone."""


@dataclass(frozen=True, slots=True)
class _Unreachable(Message):
    """The same: nobody is there."""


class Seat:
    """A peer as the network carries it; what it wants kept is durable at once, or when the disk says so."""

    def __init__(self, peer: Peer, network: "DataNetwork", joins: bool) -> None:
        self.peer = peer
        self.joins = joins
        self.me = peer.me
        self._network = network

    def start(self, now: float) -> None:
        self.peer.start(at(now), self.joins)

    def look_up(self, key: int, now: float) -> int:
        return self.peer.look_up(key, at(now))

    def pass_on(self, key: int, now: float) -> int:
        return self.peer.pass_on(key, at(now))

    def receive(self, sender: Contact, message: Message, now: float) -> Iterable[Event]:
        if isinstance(message, _CutOff):
            return self._kept(self.peer.cut_off(sender, at(now)), now)
        if isinstance(message, _Unreachable):
            return self._kept(self.peer.unreachable(sender, at(now)), now)
        return self._kept(self.peer.receive(sender, message, at(now)), now)

    def on_timer(self, now: float) -> Iterable[Event]:
        return self._kept(self.peer.on_timer(at(now)), now)

    def next_timer(self) -> float:
        return self.peer.next_timer()

    def outgoing(self) -> list[tuple[Contact, Message]]:
        return self.peer.outgoing()

    def _kept(self, events: Iterable[Event], now: float) -> Iterator[Event]:
        waiting = [*events]
        while waiting:
            event = waiting.pop(0)
            if isinstance(event, Keep):
                waiting.extend(self.peer.persisted(event.batch, at(now)))
            elif isinstance(event, Stored | Got | Failed):
                self._network.outcomes[self.me, event.number] = event
            else:
                yield event


class DataNetwork(RingNetwork):
    """Carries peers."""

    def __init__(
        self, delay: Callable[[Random], float] = lambda rng: 0.05, seed: int = 0, heard: float | None = None
    ) -> None:
        """`heard`: seconds after which others hear that a peer has failed, as where a process dies and its machine closes
        its connections; None where the machine is gone, too, and says nothing."""
        super().__init__(delay, seed)
        self.heard = heard
        self.unreachable: set[Contact] = set()
        """Who sends to these hears that nobody is there, where `heard` is set."""
        self.outcomes: dict[tuple[Contact, int], Outcome] = {}
        """Of gets, puts and removes: by the peer and what it returned."""
        self.seats: dict[Contact, Seat] = {}
        self.passes: Callable[[Contact, Contact, Message], bool] | None = None
        """Whether a message from one to the other gets through; all do without it."""

    def _push(self, when: float, to: Contact, what: tuple[Contact, Message] | None) -> None:
        if what is not None and self.heard is not None and to in self.unreachable:
            super()._push(self.now + self.heard, what[0], (to, _Unreachable()))
        elif what is None or self.passes is None or self.passes(what[0], to, what[1]):
            super()._push(when, to, what)

    def add_peer(self, peer: Peer, joins: bool = False) -> None:
        """A peer that is up from now on."""
        self.unreachable.discard(peer.me)
        seat = self.seats[peer.me] = Seat(peer, self, joins)
        self.nodes[peer.me] = peer.node
        self.carry(seat)

    def fail(self, contact: Contact) -> None:
        super().fail(contact)
        self.seats.pop(contact, None)
        if self.heard is not None:
            self.unreachable.add(contact)
            for other in self.seats:
                super()._push(self.now + self.heard, other, (contact, _CutOff()))

    def join(self, peer: Peer, through: Contact) -> None:
        """A peer that comes up and enters the circle."""
        self.add_peer(peer, joins=True)
        peer.join(through, at(self.now))
        self.serve(self.seats[peer.me])

    def leave(self, contact: Contact) -> None:
        """A peer that begins to go."""
        self.seats[contact].peer.leave(at(self.now))
        self.serve(self.seats[contact])

    def begin(self, contact: Contact, operation: Callable[[Peer, Now], int]) -> tuple[Contact, int]:
        """Begin a get, put or remove; its outcome will be in `outcomes` under what is returned."""
        number = operation(self.seats[contact].peer, at(self.now))
        self.serve(self.seats[contact])
        return contact, number

    def outcome(self, contact: Contact, operation: Callable[[Peer, Now], int], patience: float = 60.0) -> Outcome:
        """Wait for one."""
        begun = self.begin(contact, operation)
        until = self.now + patience
        while begun not in self.outcomes and self.now < until:
            self.run(min(until, self.now + 0.05))
        return self.outcomes[begun]


def at(now: float) -> Now:
    """Both clocks."""
    return Now(now, START + now)


def settled_peers(
    circle: Circle, contacts: Sequence[Contact], ring: RingOptions, data: DataOptions, seed: int = 0
) -> list[Peer]:
    """Peers without data on a circle on which everybody knows all that is to be known."""
    rng = Random(seed)
    return [peer_of(node, data, rng) for node in settled(circle, contacts, ring, seed)]


def peer_of(node: Node, data: DataOptions, rng: Random, kept: Iterable[Record] = ()) -> Peer:
    """A peer around a node that knows its neighbours."""
    peer = Peer(node.circle, node.me, node.options, data, rng, kept)
    peer.node = node
    return peer


__all__ = ["DataNetwork", "Left", "Outcome", "Seat", "at", "peer_of", "settled_peers"]
