"""What nodes say to each other, and what a node tells who runs it."""

from collections.abc import Sequence
from dataclasses import dataclass

from netstack.ring.identifiers import Contact
from netstack.sansio import Event


class Message:
    """Of one node to another."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Step(Message):
    """Who comes next on the way to a key? (the iterative look-up)"""

    number: int
    key: int


@dataclass(frozen=True, slots=True)
class StepAnswer(Message):
    """The node that is responsible, when `done`; else nodes between the answerer and the key, the closest to it first."""

    number: int
    done: bool
    nodes: Sequence[Contact]
    successors: Sequence[Contact] = ()
    """The answerer's: where all between it and the key are gone, the first of these at or after the key is responsible."""


@dataclass(frozen=True, slots=True)
class Forward(Message):
    """A look-up that is passed on from node to node (the recursive one, the chapter's)."""

    number: int
    key: int
    origin: Contact
    path: Sequence[int]
    """Identifiers of the nodes that it has been at, the origin first."""


@dataclass(frozen=True, slots=True)
class Found(Message):
    """To the origin of a Forward: this node is responsible."""

    number: int
    responsible: Contact
    path: Sequence[int]


@dataclass(frozen=True, slots=True)
class Neighbours(Message):
    """Are you there, who is before you, who after you? (stabilization, §4.4)"""

    number: int


@dataclass(frozen=True, slots=True)
class NeighboursAnswer(Message):
    number: int
    predecessor: Contact | None
    successors: Sequence[Contact]
    """Itself where it is alone; none where it has no place on the circle, yet or any more."""


@dataclass(frozen=True, slots=True)
class Notify(Message):
    """I am there: I might be your predecessor, or a successor that you do not know of."""

    node: Contact


@dataclass(frozen=True, slots=True)
class Ping(Message):
    number: int


@dataclass(frozen=True, slots=True)
class Pong(Message):
    number: int


@dataclass(frozen=True, slots=True)
class Leaving(Message):
    """The sender goes: these were its neighbours."""

    predecessor: Contact | None
    successors: Sequence[Contact]


# What a node tells


@dataclass(frozen=True, slots=True)
class LookedUp(Event):
    """A look-up came to its end; `responsible` is None where it failed."""

    number: int
    key: int
    responsible: Contact | None
    path: Sequence[int]
    """Identifiers of the nodes that were asked, or that passed it on; the node itself first, the responsible one last."""
    timeouts: int
    seconds: float

    @property
    def forwards(self) -> int:
        """Messages from node to node up to the responsible one: the chapter's count. The paper's is one less."""
        return len(self.path) - 1


@dataclass(frozen=True, slots=True)
class Joined(Event):
    """The node has a place on the circle."""

    successor: Contact


@dataclass(frozen=True, slots=True)
class JoinFailed(Event):
    """It has no place there: nobody answers, or a node that is there has its identifier."""

    through: Contact
    taken_by: Contact | None = None


@dataclass(frozen=True, slots=True)
class Alone(Event):
    """All nodes that it knew are gone, and it is a circle of its own: it may join again through others."""


@dataclass(frozen=True, slots=True)
class NeighboursChanged(Event):
    """Keys may have to move."""

    predecessor: Contact | None
    successors: Sequence[Contact]


@dataclass(frozen=True, slots=True)
class NodeGone(Event):
    """A neighbour or shortcut does not answer any more."""

    node: Contact


@dataclass(frozen=True, slots=True)
class Misbehaved(Event):
    """A node sent what it should not have, which was not heeded."""

    sender: Contact
    fault: str
    """One of `faults.Fault`."""
