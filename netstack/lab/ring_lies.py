"""Nodes of a ring that lie together: look-ups that come past one of them are to end at another one."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from random import Random

from netstack.lab.ring_network import RingNetwork, settled
from netstack.ring.engine import Chance, Node, RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import (
    Forward,
    Found,
    LookedUp,
    Message,
    Neighbours,
    NeighboursAnswer,
    Step,
    StepAnswer,
)
from netstack.sansio import Event

BITS = 32


class Liar(Node):
    """Says that others of its kind are responsible for all keys, and knows of no node that is not of its kind."""

    __slots__ = ("friends",)

    def __init__(self, circle: Circle, me: Contact, options: RingOptions, rng: Chance, friends: Sequence[Contact]) -> None:
        """`friends`: all liars in the order of their identifiers, itself among them."""
        super().__init__(circle, me, options, rng)
        self.friends = friends

    def receive(self, sender: Contact, message: Message, now: float) -> Iterator[Event]:
        """What it is asked, answered with a lie; the rest as any node does."""
        if isinstance(message, Step):
            named = self._after(message.key)
            self._send(sender, StepAnswer(message.number, True, named, named))
        elif isinstance(message, Neighbours):
            before = self.friends[bisect_left(self.friends, self.me) - 1]
            self._send(sender, NeighboursAnswer(message.number, before, self._after(self.me.ident + 1)))
        elif isinstance(message, Forward):
            self._send(message.origin, Found(message.number, self.me, message.path))
        else:
            yield from super().receive(sender, message, now)

    def _after(self, ident: int) -> Sequence[Contact]:
        at = bisect_left(self.friends, Contact(ident))
        return [*self.friends[at:], *self.friends[:at]][: self.options.successors]


def ring_with_liars(
    nodes: int, liars: int, options: RingOptions, seed: int, bits: int = 32
) -> tuple[RingNetwork, list[Contact]]:
    """A settled ring in which some lie from now on; and the honest ones."""
    rng = Random(seed)
    circle = Circle(BITS)
    contacts = sorted(Contact(ident) for ident in rng.sample(range(circle.size), nodes))
    friends = sorted(rng.sample(contacts, liars))
    network = RingNetwork(lambda rng: rng.uniform(0.01, 0.05), seed)
    for node in settled(circle, contacts, options, seed):
        if node.me in friends:
            liar = Liar(circle, node.me, options, Random(node.me.ident), friends)
            liar.predecessor, liar.successors = node.predecessor, node.successors
            network.add(liar)
        else:
            network.add(node)
    return network, [each for each in contacts if each not in friends]


def wrong_answers(nodes: int, part: float, options: RingOptions, lookups: int, seed: int = 0) -> tuple[float, float, float]:
    """Look-ups of honest nodes for keys of honest ones: which part ends at a wrong node, which fails; questions for each."""
    network, honest = ring_with_liars(nodes, round(nodes * part), options, seed)
    everybody = sorted(network.nodes)
    truth = set(honest)
    rng = Random(seed + 1)
    asked: dict[tuple[Contact, int], Contact] = {}
    while len(asked) < lookups:
        key = rng.randrange(1 << BITS)
        responsible = everybody[bisect_left(everybody, Contact(key)) % nodes]
        if responsible in truth:
            asked[network.look_up(rng.choice(honest), key)] = responsible
    before = network.messages
    network.run(network.now + options.patience + 2 * options.timeout)
    found: list[tuple[LookedUp, Contact]] = [(network.done[each], responsible) for each, responsible in asked.items()]
    wrong = sum(each.responsible not in (None, responsible) for each, responsible in found)
    failed = sum(each.responsible is None for each, _ in found)
    return wrong / lookups, failed / lookups, (network.messages - before) / 2 / lookups
