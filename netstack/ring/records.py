"""What is kept under a key: a list of values, each with its version and its life; copies are merged, never replaced.

Merging two copies of a record gives the same whichever comes first and however often: of each value the newest version
stays, at the same version a dead one; values older than the version before which all were cleared are gone. So copies
that have seen the same changes, in any order, are equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from typing import NamedTuple

from netstack.sansio.bounds import all_positive, positive

POSITION_BITS = 160
"""A key's place is all of its SHA-1; its identifier on the circle is the first bits of that."""


class Version(NamedTuple):
    """When a value was written, in the order that one change knew of another: no clock."""

    counter: int = 0
    """Greater than all that its giver had seen (Lamport)."""
    origin: int = 0
    """Who gave it: a number that each node draws when it starts, so that one that lost its counter gives none twice."""

    def __str__(self) -> str:
        return f"{self.counter}-{self.origin:x}"


NEVER = Version()


@dataclass(frozen=True, slots=True)
class Value:
    """One of a key's."""

    name: bytes
    """The first 16 octets of SHA-256 of its octets."""
    version: Version
    life: float
    """Seconds that are left of it; of a dead one until it may be forgotten."""
    dead: bool = False
    """Removed or expired: only its name is kept, so that an older copy does not bring it back."""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Record:
    """A key's values, or some of them."""

    key: bytes
    cleared: Version
    """Values of versions before this are gone."""
    life: float
    """Seconds until that may be forgotten."""
    values: Sequence[Value]


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Of one node's share of the data; all nodes of a ring have the same. Times in seconds, sizes in octets."""

    copies: int = 3
    """Of each key: at the node that is responsible and at its next successors."""
    write_quorum: int = 0
    """Copies that are durable before a write is answered; 0: the majority of `copies`."""
    read_quorum: int = 0
    """Copies that are asked, and agree in the end, before a read is answered; 0: the majority."""
    ttl: float = inf
    """Of values that are put without one."""
    tombstone: float = 86400.0
    """For which it is known of a removed value that it was."""
    lateness: float = 60.0
    """The same of an expired one: copies do not expire in the same moment."""
    key_octets: int = 1024
    value_octets: int = 64 * 1024
    values: int = 64
    """Of one key, the dead ones among them."""
    record_octets: int = 256 * 1024
    """Of all values of one key."""
    keys: int = 1_000_000
    """At one node, copies included."""
    octets: int = 1024 * 1024 * 1024
    """Of keys and values at one node."""
    requests: int = 1000
    """Of this node's users under way at once; the same again for what other nodes ask of it."""
    timeout: float = 1.0
    """For another node's answer."""
    deadline: float = 10.0
    """For a whole put, get or remove with all its attempts."""
    again: float = 0.2
    """Until the next attempt; it doubles."""
    sync: float = 10.0
    """Between two comparisons of a node's copies with those of its holders."""
    patience: float = 10.0
    """With holders whose promise is needed to take over an arc, or for other holders, and who are silent; then without."""
    batch: int = 64 * 1024
    """Of records in one message, or one record."""

    def __post_init__(self) -> None:
        all_positive(self, ("write_quorum", "read_quorum"))
        for name in ("write_quorum", "read_quorum"):
            if not 0 <= getattr(self, name) <= self.copies:
                raise ValueError(f"{name}: expected 0 to {self.copies}, the copies, got {getattr(self, name)}")

    @property
    def to_write(self) -> int:
        return self.write_quorum or self.copies // 2 + 1

    @property
    def to_read(self) -> int:
        return self.read_quorum or self.copies // 2 + 1


def check_life(life: float) -> float:
    """Raises ValueError unless it is above zero."""
    positive("ttl", life)
    return life


def digest_of(key: bytes, cleared: Version, values: Sequence[tuple[bytes, Version, bool]]) -> int:
    """128 bits that differ where two copies of a record do; lives, which no two copies share, are not in it."""
    found = blake2b(digest_size=16)
    found.update(b"%d %d %d " % (len(key), *cleared))
    found.update(key)
    for name, version, dead in sorted(values):
        found.update(b"%d %d %d " % (*version, dead))
        found.update(name)
    return int.from_bytes(found.digest(), "big")
