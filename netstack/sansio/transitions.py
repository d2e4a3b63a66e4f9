"""State machines of engines as tables: the only place where a state changes."""

from collections.abc import Mapping
from enum import Enum
from typing import Generic, TypeVar

from netstack.sansio.errors import LocalProtocolError

State = TypeVar("State", bound=Enum)
Input = TypeVar("Input", bound=Enum)


class Transitions(Generic[State, Input]):
    """A table (state, input) -> state. A pair that is not in it is forbidden."""

    def __init__(self, name: str, table: Mapping[tuple[State, Input], State]) -> None:
        self.name = name
        self.table = dict(table)
        self._next = {(id(state), id(given)): then for (state, given), then in self.table.items()}
        """The same by identity: members of an Enum are hashed by a function in Python."""

    def next(self, state: State, given: Input) -> State:
        """The state after `given`; raises LocalProtocolError when the table has no such pair."""
        try:
            return self._next[id(state), id(given)]
        except KeyError:
            raise LocalProtocolError(f"{self.name}: {given.name} is not allowed in state {state.name}") from None

    def allows(self, state: State, given: Input) -> bool:
        """Whether the table has the pair."""
        return (state, given) in self.table

    def dot(self) -> str:
        """The diagram in Graphviz's language, drawn from the table that is in use."""
        edges = (f'  "{a.name}" -> "{b.name}" [label="{i.name}"];' for (a, i), b in self.table.items())
        return "\n".join((f'digraph "{self.name}" {{', *edges, "}"))
