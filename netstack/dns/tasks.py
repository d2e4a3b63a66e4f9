"""What a Recursor and its algorithm pass to each other: tasks, what they wait for, and what ends the wait."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from dns.message import Message
from dns.name import Name

from netstack.dns.cache import Entry, Key
from netstack.dns.events import Outcome
from netstack.dns.wire import Question


@dataclass(frozen=True, slots=True)
class Try:
    """Ask a server, again if it was asked before, and wait."""

    address: str
    stream: bool
    timeout: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Go on waiting."""


@dataclass(frozen=True, slots=True)
class Need:
    """Wait for the outcome of another question."""

    question: Question


@dataclass(frozen=True, slots=True)
class Replied:
    """A reply that belongs to its query."""

    address: str
    message: Message
    stream: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """The server could not be asked, or sent nonsense."""

    address: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """The time is over."""


Step = Try | Wait | Need
Input = Replied | Broken | Silence | Outcome | None
Steps = Generator[Step, Any, Outcome]


@dataclass(slots=True)
class Budget:
    """Shared by a client's question and those that it brings about."""

    queries: int
    hosts: int
    """Names of name servers whose addresses may still be looked up (against NXNSAttack)."""
    sent: int = 0


@dataclass(eq=False, slots=True)
class Task:
    """One question under way."""

    question: Question
    depth: int
    budget: Budget
    deadline: float
    asked: Question
    """What the servers are asked now: the question, where its aliases have led, or a part of the name."""
    refresh: bool = False
    """What the cache has is asked for again (prefetch)."""
    recursion: bool = False
    """The servers are asked to do the rest (forwarding)."""
    waiters: list[object] = field(default_factory=list)
    parents: list["Task"] = field(default_factory=list)
    child: "Task | None" = None
    steps: Steps | None = None
    wake: float | None = None
    stale_at: float | None = None
    """When those who wait are given what has expired (RFC 8767 §5)."""
    fresh: dict[Key, Entry] = field(default_factory=dict)
    """What this task has learned, whatever its TTL and the cache's bounds."""
    exchanges: dict[tuple[str, bool], "Exchange"] = field(default_factory=dict)
    admitted: bool = False
    """It may send queries: it was within the bound of resolutions when it sent the first one."""
    done: bool = False


@dataclass(eq=False, slots=True)
class Exchange:
    """A query in flight. Each has its own socket, hence a port of its own, and its own id (RFC 5452)."""

    key: int
    task: Task
    address: str
    question: Question
    """As sent: its labels have the case that the reply's must have."""
    plain: Name
    """The question's name as it is to be known."""
    identity: int
    data: bytes
    stream: bool
    sent: float
    cookie: bytes | None
    """The client cookie that was sent."""
    secure: bool = False
    """Over TLS because the server was found to speak it; it may be asked in the clear as well."""
    repeated: bool = False
    mismatched: int = 0
