"""What the two questions are answered with: plans for a request, outcomes of a response."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from netstack.cache.entry import Entry
from netstack.cache.policy.answering import Answer
from netstack.cache.policy.combining import Piece


class Why(Enum):
    """Why a request goes forward: `fwd` of Cache-Status (RFC 9211 §2.2)."""

    BYPASS = "bypass"
    METHOD = "method"
    URI_MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    MISS = "miss"
    REQUEST = "request"
    STALE = "stale"
    PARTIAL = "partial"


class Stale(Enum):
    """What allows that a stale response is served (RFC 9111 §4.2.4)."""

    MAX_STALE = "max-stale"
    WHILE_REVALIDATE = "stale-while-revalidate"
    IF_ERROR = "stale-if-error"


@dataclass(frozen=True, slots=True)
class Forward:
    """Ask the next server. `fields` are all field lines of the request but Content-Length."""

    why: Why
    fields: Sequence[tuple[str, str]]
    key: bytes
    stored: Sequence[Entry] = ()
    """All that was stored under the key."""
    selected: Entry | None = None
    """The stored response that would have been used."""
    nominated: Sequence[Entry] = ()
    """What the request asks to validate; with one of them this plan is a validation."""
    may_store: bool = False
    """The response may be stored if it says nothing against it."""
    collapsible: bool = False
    """Requests that come meanwhile may wait for this one's response, and then ask `plan` again (RFC 9111 §4)."""
    completes: bool = False
    """Asks for what the selected response lacks; its octets come first in what the client gets (RFC 9111 §3.3)."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer from the store."""

    entry: Entry
    answer: Answer
    stale: Stale | None = None
    refresh: Forward | None = None
    """To be sent in the background, without a client (RFC 5861 §3); at most one at a time for a key."""


@dataclass(frozen=True, slots=True)
class Final:
    """The cache answers by itself: only-if-cached, Max-Forwards, a loop."""

    status: int
    detail: str
    """A token for Cache-Status, logs and metrics: "only-if-cached", "max-forwards", "loop"."""
    fields: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    """None: a page that explains."""


Plan = Serve | Forward | Final


class Action(Enum):
    """What becomes of a response."""

    PASS = "pass"  # noqa: S105
    """To the client, not to the store."""
    STORE = "store"
    """To the client, and its body to the store under `entry`."""
    COMBINE = "combine"
    """Its body joins a stored one by `pieces` under `entry`; to the client goes the body as it comes, or `answer`."""
    SERVE = "serve"
    """Its body is dropped: `answer` of `entry` goes to the client."""
    AGAIN = "again"
    """Of no use to anybody: the request is to be sent once more as `again` says."""
    FAIL = "fail"
    """The next server broke the protocol: 502."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to do with a response. The store is changed in this order: `removes`, `freshened`, then `entry`'s body."""

    action: Action
    entry: Entry | None = None
    answer: Answer | None = None
    freshened: Sequence[tuple[Entry, Entry]] = ()
    """Stored responses with the same bodies and new metadata: the old and the new."""
    removes: Sequence[Entry] = ()
    """What is no longer stored, as `entry` takes its place or it is known to be out of date."""
    invalidates: Sequence[bytes] = ()
    """Keys whose responses all go (RFC 9111 §4.4)."""
    pieces: Sequence[Piece] = ()
    base: Entry | None = None
    """The stored response, as it was, whose body `answer` or `pieces` take octets from."""
    stale: Stale | None = None
    again: Forward | None = None
    detail: str = ""
    """Why it is not stored, or what went wrong: a word of a closed set, for logs and metrics."""
    fields: Sequence[tuple[str, str]] = field(default=())
    """The response's field lines as they go to the client when no `answer` is given, with Via, without framing."""
