"""What a resolver remembers: RRsets and their absence, until their TTLs end (RFC 1035 §7.4, RFC 2308), bounded; pure."""

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum

from dns.name import Name
from dns.rcode import Rcode
from dns.rrset import RRset

from netstack.dns.zone import ordered

_OVERHEAD = 200
"""Octets of an entry besides its names and records, estimated."""


class Rank(IntEnum):
    """Trust in data, by where it came from (RFC 2181 §5.4.1). Only answers are given to clients."""

    ADDITIONAL = 1
    """Glue, and the NS records of a referral: good for finding servers."""
    ANSWER = 2
    """An authoritative answer."""


class Use:
    """Something made of entries of the cache; both times end when one of them goes. Monotonic seconds."""

    __slots__ = ("fresh", "until")

    def __init__(self, until: float) -> None:
        self.fresh = 0.0
        self.until = until


@dataclass(slots=True)
class Entry:
    """An RRset, or its absence: then `rcode` is NXDOMAIN, or NOERROR for no data, and `rrset` the SOA that says so."""

    rrset: RRset | None
    expires: float
    rank: Rank
    negative: bool = False
    rcode: Rcode = Rcode.NOERROR
    size: int = 0
    turn: int = 0
    """The record that comes first when the RRset is given next, counted around."""
    proof: tuple[RRset, ...] = ()
    """Signatures and denials that came with it."""
    learned: float = 0.0
    hits: int = 0
    """How often it was given to a client."""
    held: bool = False
    """It is in a cache."""
    uses: list[Use] = field(default_factory=list)

    def drop(self) -> None:
        """It is in the cache no longer."""
        self.held = False
        for use in self.uses:
            use.fresh = use.until = 0.0
        self.uses.clear()

    def at(self, now: float, rotate: bool = False) -> RRset | None:
        """The RRset with the TTL that is left; `rotate` makes another record the first one next time (RFC 1794)."""
        if self.rrset is None:
            return None
        copy = ordered(self.rrset, self.turn)
        self.turn += rotate
        copy.ttl = max(0, int(self.expires - now))
        return copy


ALL_TYPES = -1
"""NXDOMAIN is kept under this type, since it holds for all; no message can ask for it."""

Key = tuple[Name, int]


class Cache:
    """Bounded in entries and octets; what was used longest ago goes first. Times are monotonic seconds."""

    def __init__(self, entries: int, size: int, stale: float = 0.0) -> None:
        """What has expired is kept for `stale` seconds more, for `get` with `stale`."""
        self.limit = entries
        self.size_limit = size
        self.stale = stale
        self.size = 0
        self._entries: OrderedDict[Key, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: Name, rdtype: int, now: float, rank: Rank, stale: bool = False) -> Entry | None:
        """What is known of exactly this name and type, with at least this rank; `stale`: also what has expired."""
        key = (name, rdtype)
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= now and not stale:
            if entry.expires + self.stale <= now:
                self._drop(key, entry)
            return None
        if entry.rank < rank or entry.expires + self.stale <= now:
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, name: Name, rdtype: int, entry: Entry, now: float, asked: bool = True) -> None:
        """Remember, unless something more trusted is known (RFC 2181 §5.4.1) or the TTL is 0.

        Not `asked`: it came beside what was asked for, and changes nothing that is known as well (RFC 5452 §6).
        """
        if entry.expires <= now:
            return
        key = (name, rdtype)
        old = self._entries.get(key)
        if old is not None:
            if old.expires > now and (old.rank > entry.rank or (old.rank == entry.rank and not asked)):
                return
            self._drop(key, old)
        entry.size = _OVERHEAD + len(name.labels) * 16 + _octets(entry.rrset) + sum(map(_octets, entry.proof))
        self._entries[key] = entry
        entry.held = True
        self.size += entry.size
        while len(self._entries) > self.limit or self.size > self.size_limit:
            self._drop(*next(iter(self._entries.items())))

    def forget(self, name: Name, rdtype: int) -> None:
        """Forget one entry, if it is there."""
        entry = self._entries.get((name, rdtype))
        if entry is not None:
            self._drop((name, rdtype), entry)

    def keys(self) -> list[Key]:
        """What it has, what was used longest ago first."""
        return list(self._entries)

    def peek(self, key: Key) -> Entry | None:
        """An entry, expired or not, without using it."""
        return self._entries.get(key)

    def flush(self) -> None:
        """Forget everything."""
        for entry in self._entries.values():
            entry.drop()
        self._entries.clear()
        self.size = 0

    def _drop(self, key: Key, entry: Entry) -> None:
        del self._entries[key]
        entry.drop()
        self.size -= entry.size


def _octets(rrset: RRset | None) -> int:
    """An estimate of what the RRset's Python objects hold."""
    return 0 if rrset is None else sum(150 + len(rdata.to_wire()) for rdata in rrset)
