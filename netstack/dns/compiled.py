"""Replies compiled to wire: the authoritative server's hot path (RFC 1035 §4.1 for the header, RFC 6891 for EDNS(0)); pure.

A reply depends on its query's octets after the id alone, the letters' case in the question apart (RFC 4343), which is given
back as asked. So those octets are the key; the first query's reply is put together from octets (`assembled.py`), later ones
cost one look-up and a copy. Replies about names that do not exist are not kept: there is no end of them.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from dns.rdatatype import RdataType

from netstack.dns.assembled import Assembler, ordinary
from netstack.dns.authority import Authority
from netstack.dns.nodes import Node
from netstack.dns.wire import HEADER
from netstack.dns.zone import ZoneUnavailable
from netstack.sansio import Address

V = TypeVar("V")
OVERHEAD = 500
"""Octets of an entry besides its key and replies, estimated."""
_BARE = 16
"""Octets of a query from its name's last one on, with an OPT record without options."""
_TALLIES = 1000
"""Pairs of a type and an RCODE whose tally is at hand."""


class Memo(Generic[V]):
    """Values by octets, at most about `limit` octets of them: what was not asked for of late is forgotten, in halves."""

    __slots__ = ("_octets", "_old", "limit", "young")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.young: dict[bytes, V] = {}
        """What was found or put of late: look here first, then ask `find`."""
        self._old: dict[bytes, V] = {}
        self._octets = 0

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def find(self, key: bytes, size: Callable[[V], int]) -> V | None:
        """A value that is not among the young ones; it is young again."""
        value = self._old.pop(key, None)
        if value is not None:
            self.put(key, value, size(value))
        return value

    def put(self, key: bytes, value: V, size: int) -> None:
        """Keep a value that holds so many octets with its key."""
        self.grow(size)
        self.young[key] = value

    def grow(self, size: int) -> None:
        """A value holds so many octets more."""
        self._octets += size
        if self._octets > self.limit // 2:
            self._old, self.young, self._octets = self.young, {}, size

    def clear(self) -> None:
        """Forget all."""
        self.young, self._old, self._octets = {}, {}, 0


class Tally:
    """How many replies of one kind were given; the metrics take it over when they are read."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Tallies(Protocol):
    """Where replies are counted: `ServerMetrics`."""

    def tally(self, proto: str, family: str, rdtype: RdataType, rcode: int) -> Tally: ...

    def replies(self, count: int, seconds: float) -> None: ...


class _Turns:
    """The octets of a reply whose records take turns: they are compiled when they are first needed."""

    __slots__ = ("first", "node", "query", "rdtype", "wires")

    def __init__(self, query: bytes, records: int, node: Node, rdtype: RdataType) -> None:
        self.query = query
        self.node = node
        self.rdtype = rdtype
        self.first = 0
        self.wires: list[bytes | None] = [None] * records


class _Compiled:
    """A reply without its id, its question in lower case: `wire`, or one of those of `turns`."""

    __slots__ = ("size", "tally", "turns", "wire")

    def __init__(self, wire: bytes, tally: Tally, turns: _Turns | None, size: int) -> None:
        self.wire = wire
        self.tally = tally
        self.turns = turns
        self.size = size


class CompiledAnswers:
    """One datagram socket's bypass: answers of an Authority's zones, of family "1" (IPv4) or "2" (IPv6)."""

    def __init__(self, authority: Authority, tallies: Tallies, family: str, limit: int) -> None:
        self.authority = authority
        self.tallies = tallies
        self.family = family
        self.beyond: Callable[[bytes, Callable[[], Address]], bytes | None] | None = None
        """Answers other queries, if it can."""
        self.memo: Memo[_Compiled] = Memo(limit)
        self._assembler = Assembler(authority)
        self._tallies: dict[int, Tally] = {}
        authority.watchers.append(self.memo.clear)

    def answer(self, data: bytes, source: Callable[[], Address]) -> bytes | None:
        """The reply to a query; None when the plain path must see to it."""
        compiled = self.memo.young.get(data[2:])  # most clients ask in lower case
        if compiled is None:
            return self._other(data, source)
        turns = compiled.turns
        compiled.tally.count += 1
        return data[:2] + (compiled.wire if turns is None else self._in_turn(compiled, turns))

    def answered(self, count: int, seconds: float) -> None:
        """So many replies went out, so long after their queries were read."""
        self.tallies.replies(count, seconds)

    def _other(self, data: bytes, source: Callable[[], Address]) -> bytes | None:
        """As `answer`, for a question with upper-case letters or one that was not asked of late."""
        end = data.find(0, HEADER)
        if len(data) > end + _BARE and self.beyond is not None:
            return self.beyond(data, source)
        if not ordinary(data, end):
            return None
        key = data[2:end].lower() + data[end:]
        compiled = self.memo.young.get(key) or self.memo.find(key, lambda it: it.size)
        if compiled is None:
            return self._composed(data, end, key)
        compiled.tally.count += 1
        wire = compiled.wire if compiled.turns is None else self._in_turn(compiled, compiled.turns)
        return data[:2] + wire[: HEADER - 2] + data[HEADER:end] + wire[end - 2 :]

    def _composed(self, data: bytes, end: int, key: bytes) -> bytes | None:
        """Make a reply, and keep it if it is worth that."""
        turns: list[_Turns] = []

        def order(records: int, node: Node, rdtype: RdataType) -> int:
            turns.append(_Turns(data, records, node, rdtype))
            first = turns[0].first = self.authority.order(records, node, rdtype)
            return first

        try:
            made = self._assembler.reply(data, end, order) or self._assembler.rendered(data, end, order)
        except ZoneUnavailable:
            return None
        rdtype = data[end + 1] << 8 | data[end + 2]
        tally = self._tally(rdtype, made.rcode)
        tally.count += 1
        if made.worth:
            kept = _in_lower_case(made.wire, end)
            compiled = _Compiled(kept, tally, turns[0] if turns else None, len(key) + len(kept) + OVERHEAD)
            if turns:
                turns[0].wires[turns[0].first] = kept
            self.memo.put(key, compiled, compiled.size)
        return made.wire

    def _tally(self, rdtype: int, rcode: int) -> Tally:
        """Where a reply is counted."""
        tally = self._tallies.get(rdtype << 4 | rcode)
        if tally is None:
            if len(self._tallies) >= _TALLIES:
                self._tallies.clear()
            tally = self.tallies.tally("udp", self.family, RdataType(rdtype), rcode)
            self._tallies[rdtype << 4 | rcode] = tally
        return tally

    def _in_turn(self, compiled: _Compiled, turns: _Turns) -> bytes:
        """The octets with the record first whose turn it is."""
        which = self.authority.order(len(turns.wires), turns.node, turns.rdtype)
        wire = turns.wires[which]
        if wire is None:
            data, end = turns.query, turns.query.find(0, HEADER)

            def order(records: int, node: Node, rdtype: RdataType) -> int:
                return which

            try:
                made = self._assembler.reply(data, end, order) or self._assembler.rendered(data, end, order)
            except ZoneUnavailable:
                return compiled.wire
            wire = turns.wires[which] = _in_lower_case(made.wire, end)
            compiled.size += len(wire)
            self.memo.grow(len(wire))
        return wire


def _in_lower_case(wire: bytes, end: int) -> bytes:
    """A reply without its id; its question's name, which ends at `end`, in lower case."""
    return wire[2:HEADER] + wire[HEADER:end].lower() + wire[end:]
