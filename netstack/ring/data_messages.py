"""What nodes say to each other about data, and what a peer tells who runs it. A reason of "" means that it is done."""

from collections.abc import Sequence
from dataclasses import dataclass

from netstack.ring.identifiers import Contact
from netstack.ring.messages import Message
from netstack.ring.records import NEVER, Record, Value, Version
from netstack.sansio import Event

REASONS = ("lookup", "unanswered", "quorum", "too large", "too many", "full", "leaving", "deadline")
"""Why an operation fails: nobody responsible was found; who is does not answer; too few copies do; the value or key, or the
values of the key, or all of the node's, are beyond the limits; this node goes; it took too long. After "unanswered",
"quorum" and "deadline" a write may have happened, or still happen, for once."""


class DataMessage(Message):
    """Of one peer to another."""

    __slots__ = ()


# Of a peer to the one that is responsible for a key


@dataclass(frozen=True, slots=True)
class Get(DataMessage):
    number: int
    key: bytes
    quorum: int
    """Copies that have to agree."""


@dataclass(frozen=True, slots=True)
class GetAnswer(DataMessage):
    number: int
    reason: str
    owner: Contact | None
    """Whom to ask instead."""
    version: Version
    values: Sequence[Value]


@dataclass(frozen=True, slots=True)
class Put(DataMessage):
    """Add a value, or set it in the place of all others."""

    number: int
    key: bytes
    value: bytes
    life: float
    replace: bool
    quorum: int
    """Copies that have to be durable."""
    version: Version
    """Which an earlier attempt was given; (0, 0) for none."""
    age: float
    """Seconds since the first attempt at this node."""


@dataclass(frozen=True, slots=True)
class Remove(DataMessage):
    """Remove a value, or all."""

    number: int
    key: bytes
    name: bytes
    """The value's; empty for all."""
    quorum: int
    version: Version
    age: float


@dataclass(frozen=True, slots=True)
class Begun(DataMessage):
    """A write has its version, which another attempt must not change."""

    number: int
    version: Version


@dataclass(frozen=True, slots=True)
class WriteAnswer(DataMessage):
    number: int
    reason: str
    owner: Contact | None
    version: Version
    copies: int


# Of the one that is responsible to those that have copies


@dataclass(frozen=True, slots=True)
class Fetch(DataMessage):
    """Give me your copy, unless its digest is this one."""

    number: int
    epoch: int
    key: bytes
    digest: int


@dataclass(frozen=True, slots=True)
class FetchAnswer(DataMessage):
    number: int
    reason: str
    same: bool
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Store(DataMessage):
    """Merge these, durably."""

    number: int
    epoch: int
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class StoreAnswer(DataMessage):
    number: int
    reason: str


# What a peer tells


@dataclass(frozen=True, slots=True)
class Stored(Event):
    """A put or remove is done: durable in so many copies."""

    number: int
    version: Version
    copies: int


@dataclass(frozen=True, slots=True)
class Got(Event):
    """A get is done: the key's living values, the newest last."""

    number: int
    values: Sequence[Value]
    version: Version = NEVER
    """The greatest under this key."""


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """An operation is given up, for one of REASONS."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Keep(Event):
    """To be made durable, then reported with `persisted(batch)`: records to merge into what is kept, keys to drop."""

    batch: int
    records: Sequence[Record]
    dropped: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Left(Event):
    """The peer has handed over what it had."""
