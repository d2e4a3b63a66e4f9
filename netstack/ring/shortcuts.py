"""The finger table of a node ("shortcuts"), and those it knows in their order on the circle (Chord, §4.3)."""

from bisect import bisect_left
from collections.abc import Iterator, MutableMapping, Sequence

from netstack.ring.identifiers import Circle, Contact


class Shortcuts(MutableMapping[int, Contact]):
    """By the exponent of their distance; those given by hand by numbers from the bits on.

    Two short lists, for a simulation has a hundred thousand of these.
    """

    __slots__ = ("_exponents", "_nodes", "version")

    def __init__(self) -> None:
        self._exponents: list[int] = []
        self._nodes: list[Contact] = []
        self.version = 0
        """Another number after each change."""

    def __getitem__(self, exponent: int) -> Contact:
        at = bisect_left(self._exponents, exponent)
        if at == len(self._exponents) or self._exponents[at] != exponent:
            raise KeyError(exponent)
        return self._nodes[at]

    def __setitem__(self, exponent: int, node: Contact) -> None:
        at = bisect_left(self._exponents, exponent)
        if at < len(self._exponents) and self._exponents[at] == exponent:
            if self._nodes[at] == node:
                return
            self._nodes[at] = node
        else:
            self._exponents.insert(at, exponent)
            self._nodes.insert(at, node)
        self.version += 1

    def __delitem__(self, exponent: int) -> None:
        at = bisect_left(self._exponents, exponent)
        if at == len(self._exponents) or self._exponents[at] != exponent:
            raise KeyError(exponent)
        del self._exponents[at], self._nodes[at]
        self.version += 1

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._exponents))

    def __len__(self) -> int:
        return len(self._exponents)

    def drop_below(self, exponent: int) -> None:
        """Those whose distance is less than 2^exponent."""
        at = bisect_left(self._exponents, exponent)
        if at:
            del self._exponents[:at], self._nodes[:at]
            self.version += 1

    def nodes(self) -> Sequence[Contact]:
        """Those that they lead to, the nearest first; one may come several times."""
        return self._nodes

    def forget(self, node: Contact) -> None:
        """Drop all that lead to a node."""
        if node in self._nodes:
            for exponent in [each for each in self if self[each] == node]:
                del self[exponent]


class Known:
    """All that a node knows, successors and shortcuts, clockwise from itself."""

    __slots__ = ("_circle", "_me", "_nodes", "_successors", "_version")

    def __init__(self, circle: Circle, me: Contact) -> None:
        self._circle = circle
        self._me = me
        self._nodes: list[Contact] = []
        self._successors: Sequence[Contact] | None = None
        self._version = -1

    def before(self, key: int, most: int, successors: Sequence[Contact], shortcuts: Shortcuts) -> list[Contact]:
        """So many of those between the node and a key, the closest to the key first (closest_preceding_node).

        `successors` is another sequence after each change.
        """
        size, me = self._circle.size, self._me.ident
        nodes = self._nodes
        if successors is not self._successors or shortcuts.version != self._version:
            nodes = [each for each in dict.fromkeys((*successors, *shortcuts.nodes())) if each.ident != me]
            nodes.sort(key=lambda each: (each.ident - me) % size)
            self._nodes, self._successors, self._version = nodes, successors, shortcuts.version
        end = bisect_left(nodes, (key - me) % size or size, key=lambda each: (each.ident - me) % size)
        return nodes[max(0, end - most) : end][::-1]
