"""What nodes say to each other about data, and what a peer tells who runs it. A reason of "" means that it is done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netstack.ring.claims import Config
from netstack.ring.identifiers import Contact
from netstack.ring.messages import Message
from netstack.ring.records import NEVER, Record, Value, Version
from netstack.sansio import Event

REASONS = ("lookup", "unanswered", "quorum", "too large", "too many", "full", "leaving", "deadline")
"""Why an operation fails: nobody responsible was found; who is does not answer; too few copies do; the value or key, or the
values of the key, or all of the node's, are beyond the limits; this node goes; it took too long. After "unanswered",
"quorum" and "deadline" a write may have happened, or still happen, for once."""

OWNED, PROMISED = "owned", "promised"
"""Why a claim is refused: the answerer serves the arc itself, or is to; it has promised a greater epoch."""


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


# Who is to have copies


@dataclass(frozen=True, slots=True)
class Claim(DataMessage):
    """The sender is the owner of an arc, or wants to be; promise to serve no smaller epoch there. Epoch 0: who serves it?"""

    number: int
    config: Config
    in_use: bool
    """All that was acknowledged before is in enough of its copies: earlier ones need not be remembered."""
    taking: bool
    """The sender believes that the owner is gone; one that is there says no."""


def claim(config: Config, taking: bool, in_use: bool = False) -> Callable[[int], DataMessage]:
    """The same, when its number is known."""
    return lambda number: Claim(number, config, in_use, taking)


@dataclass(frozen=True, slots=True)
class Known:
    """A configuration that the answerer has promised to follow."""

    config: Config
    in_use: bool


@dataclass(frozen=True, slots=True)
class ClaimAnswer(DataMessage):
    number: int
    reason: str
    known: Sequence[Known]
    """Before this claim."""
    waiting: bool = False
    """The answerer has no arc yet: it cannot know who serves which."""
    owner: Contact | None = None
    """Where it was asked who serves an arc: who does, or is to, as far as it knows."""
    after: Sequence[Contact] = ()
    """Its successors, to be asked next."""


@dataclass(frozen=True, slots=True)
class Own(DataMessage):
    """The arc of this configuration is yours; you have all of its keys."""

    number: int
    config: Config


@dataclass(frozen=True, slots=True)
class OwnAnswer(DataMessage):
    number: int
    reason: str


# Copies that are made to agree


@dataclass(frozen=True, slots=True)
class Part:
    """How many keys lie between two places, both included, and the sum of their digests."""

    first: int
    last: int
    count: int
    sum: int


@dataclass(frozen=True, slots=True)
class Item:
    """A key's place and the digest of its record."""

    position: int
    digest: int


@dataclass(frozen=True, slots=True)
class Compare(DataMessage):
    """What of this do you have differently?"""

    number: int
    epoch: int
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class CompareAnswer(DataMessage):
    number: int
    reason: str
    parts: Sequence[Part]
    """Finer ones of those that differ."""
    listed: Sequence[Part]
    """Those of which all keys are among the items."""
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Pull(DataMessage):
    """Give me the records at these places."""

    number: int
    epoch: int
    positions: Sequence[int]


@dataclass(frozen=True, slots=True)
class PullAnswer(DataMessage):
    number: int
    reason: str
    records: Sequence[Record]
    """Some of them; who wants the others asks again."""


@dataclass(frozen=True, slots=True)
class Offer(DataMessage):
    """To the owner of their places: the sender has copies that are not its to keep."""

    number: int
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class OfferAnswer(DataMessage):
    number: int
    reason: str
    wanted: Sequence[int]
    """Places of those that the owner does not have like that; the others may be dropped."""


@dataclass(frozen=True, slots=True)
class Give(DataMessage):
    """To the owner: take these and store them in the copies; after that the sender drops them."""

    number: int
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class GiveAnswer(DataMessage):
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
