"""What can be wrong with a message, whatever the node that it came to knows otherwise."""

from collections.abc import Callable, Sequence
from enum import StrEnum

from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import (
    Forward,
    Found,
    Leaving,
    Message,
    NeighboursAnswer,
    Notify,
    Step,
    StepAnswer,
)

MOST_ADDRESS = 262
"""Characters of a host's name, a colon and a port."""


class Fault(StrEnum):
    """Why a message was not heeded."""

    OUTSIDE = "outside"
    """It has an identifier that is not on the circle."""
    LARGE = "large"
    """It names more nodes than are to be named, a path of more hops, or an address that is none."""
    DOUBLE = "double"
    """Its sender has the identifier of the node that it came to: who joins hears that it is taken, and nothing else."""
    UNASKED = "unasked"
    """It answers nothing that was asked: too late, a second time, or to a question of another kind."""
    FOREIGN = "foreign"
    """It answers what another node was asked."""
    BEHALF = "behalf"
    """It speaks for another node."""
    LOOP = "loop"
    """It has been here before."""


_Parts = tuple[Sequence[int], Sequence[Contact]]

_PARTS: dict[type[Message], Callable[..., _Parts]] = {
    Step: lambda message: ((message.key,), ()),
    StepAnswer: lambda message: ((), (*message.nodes, *message.successors)),
    Forward: lambda message: ((message.key, *message.path), (message.origin,)),
    Found: lambda message: (message.path, (message.responsible,)),
    NeighboursAnswer: lambda message: ((), _with(message.predecessor, message.successors)),
    Notify: lambda message: ((), (message.node,)),
    Leaving: lambda message: ((), _with(message.predecessor, message.successors)),
}


def _with(first: Contact | None, others: Sequence[Contact]) -> Sequence[Contact]:
    return others if first is None else (first, *others)


def fault(message: Message, sender: Contact, me: Contact, circle: Circle, named: int, hops: int) -> Fault | None:
    """What is wrong with a message by itself. At most `named` nodes in one list, `hops` identifiers in a path."""
    size = circle.size
    if sender.ident == me.ident and not isinstance(message, NeighboursAnswer):
        return Fault.DOUBLE
    if not 0 <= sender.ident < size:
        return Fault.OUTSIDE
    parts = _PARTS.get(type(message))
    if parts is None:
        return None
    idents, contacts = parts(message)
    if len(contacts) > 2 * named + 1 or len(idents) > hops + 1:
        return Fault.LARGE
    if isinstance(message, Forward):
        if message.path[-1:] != (sender.ident,) or message.path[0] != message.origin.ident:
            return Fault.BEHALF
        if me.ident in message.path:
            return Fault.LOOP
    elif isinstance(message, Notify):
        if message.node != sender:
            return Fault.BEHALF
    elif isinstance(message, Found) and (message.responsible != sender or message.path[:1] != (me.ident,)):
        return Fault.BEHALF
    for ident in idents:
        if not 0 <= ident < size:
            return Fault.OUTSIDE
    for ident, address in contacts:
        if not 0 <= ident < size:
            return Fault.OUTSIDE
        if len(address) > MOST_ADDRESS:
            return Fault.LARGE
    return None
