"""How a node comes into a circle, and when its neighbours know it."""

from dataclasses import dataclass

from netstack.ring.engine import Node
from netstack.ring.identifiers import Contact
from netstack.ring.messages import Message, NeighboursAnswer, Notify
from netstack.sansio.bounds import positive


@dataclass(frozen=True, slots=True)
class Joining:
    """How a node comes into a circle. Times in seconds."""

    through: tuple[str, ...] = ()
    """HOST:PORT of nodes, tried in this order; without any the node begins a circle of its own."""
    begin: bool = False
    """It begins one where none of them has a place on a circle."""
    seconds: float = 10.0
    """For one of them to let it in."""
    retry: float = 1.0
    """After none of them did, before they are tried again; doubled each time."""
    most_retry: float = 30.0
    """The longest such time."""

    def __post_init__(self) -> None:
        for name in ("seconds", "retry", "most_retry"):
            positive(f"join_{name}", getattr(self, name))


class NotJoined(Exception):
    """A node has got no place on a circle; the text says why, and what to do."""


class Acknowledged:
    """Which of a node's two neighbours have said that they take it for theirs."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._by: set[Contact] = set()

    def heard(self, sender: Contact, message: Message) -> None:
        """A node has spoken, which may be a neighbour."""
        before, after, me = self._node.predecessor, self._node.successors[0], self._node.me
        if isinstance(message, NeighboursAnswer):
            knows = (sender != after or message.predecessor == me) and (
                sender != before or tuple(message.successors[:1]) == (me,)
            )
        elif isinstance(message, Notify):  # from who takes this node for its successor
            knows = sender == before != after
        else:
            return
        self._by = {each for each in self._by if each in (before, after)} - {sender}
        if knows and sender in (before, after):
            self._by.add(sender)

    def by_both(self) -> bool:
        return {self._node.predecessor, self._node.successors[0]} <= self._by
