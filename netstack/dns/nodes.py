"""The names of a zone and what each has, found by name or by the octets of a question; pure."""

from collections.abc import Callable, ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from types import MappingProxyType

import dns.name
from dns.name import Name
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.octets import RRsetOctets, octets_of

_NONE: Mapping[RdataType, RRset] = MappingProxyType({})


class Node:
    """The RRsets of one name. A name that exists only because names below it do (RFC 4592 §2.2.2) has none."""

    __slots__ = ("_octets", "cut", "name", "rrsets", "signatures", "turns")

    def __init__(self) -> None:
        self.name = dns.name.root
        """As it was written first; `Nodes` sets it."""
        self.rrsets: dict[RdataType, RRset] = {}
        self.signatures: Mapping[RdataType, RRset] = _NONE
        """RRSIG records by the type that they cover; `rrsets` holds all of them as one RRset (RFC 4034 §3)."""
        self.cut: Name | None = None
        """The delegation at or above this name; data here is glue then, or a DS at the cut itself.

        Or the DNAME above it, which hides what is here (RFC 6672 §2.4)."""
        self.turns: dict[RdataType, int] = {}
        """How often an RRset of more than one record was given: its rotation."""
        self._octets: dict[int, RRsetOctets] = {}

    def octets(self, rdtype: int) -> RRsetOctets | None:
        """An RRset ready to be put into replies; made when it is first needed."""
        rrset = self.rrsets.get(rdtype)  # type: ignore[call-overload]
        if rrset is None:
            return None
        made = self._octets.get(rdtype)
        if made is None or made.source is not rrset:
            made = self._octets[rdtype] = RRsetOctets.of(rrset)
        return made

    def twin(self) -> "Node":
        """A node of the same RRsets, whose cut is its own."""
        made = Node()
        made.rrsets, made.signatures, made.turns = self.rrsets, self.signatures, self.turns
        made.name, made._octets = self.name, self._octets
        return made


class Nodes(MutableMapping[Name, Node]):
    """Nodes by name; the letters' case does not matter (RFC 4343)."""

    __slots__ = ("_by_octets", "find")

    def __init__(self, by_octets: dict[bytes, Node] | None = None) -> None:
        self._by_octets: dict[bytes, Node] = {} if by_octets is None else by_octets
        self.find: Callable[[bytes], Node | None] = self._by_octets.get
        """A node by its name's octets in lower case."""

    def __getitem__(self, name: Name) -> Node:
        node = self.find(octets_of(name))
        if node is None:
            raise KeyError(name)
        return node

    def __contains__(self, name: object) -> bool:
        return isinstance(name, Name) and octets_of(name) in self._by_octets

    def __setitem__(self, name: Name, node: Node) -> None:
        octets = octets_of(name)
        if node.name is dns.name.root:
            before = self._by_octets.get(octets)
            node.name = name if before is None else before.name
        self._by_octets[octets] = node

    def __delitem__(self, name: Name) -> None:
        del self._by_octets[octets_of(name)]

    def __iter__(self) -> Iterator[Name]:
        for node in self._by_octets.values():
            yield node.name

    def __len__(self) -> int:
        return len(self._by_octets)

    def values(self) -> ValuesView[Node]:
        return self._by_octets.values()

    def items(self) -> ItemsView[Name, Node]:
        return _Items(self)

    def copy(self) -> "Nodes":
        """The same nodes; names may come and go without the other's knowledge."""
        return Nodes(dict(self._by_octets))


class _Items(ItemsView[Name, Node]):
    """Pairs, without a look-up for each."""

    def __init__(self, nodes: Nodes) -> None:
        super().__init__(nodes)
        self._nodes = nodes

    def __iter__(self) -> Iterator[tuple[Name, Node]]:
        for node in self._nodes.values():
            yield node.name, node
