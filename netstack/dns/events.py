"""What passes between the engines of the DNS, their drivers and their roles."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from dns.rcode import Rcode
from dns.rrset import RRset

from netstack.dns.cache import Entry
from netstack.sansio import Address, Command, Event
from netstack.sansio.durations import Durations

Proto = Literal["udp", "tcp", "tls", "https"]
"""What carries a query to a server."""


@dataclass(frozen=True, slots=True)
class QueryReceived(Event):
    """A server got a message; `source` is None on a stream, which has one other end."""

    data: bytes
    source: Address | None = None


@dataclass(frozen=True, slots=True)
class ReplyReceived(Event):
    """A client got a message."""

    data: bytes
    source: Address | None = None


@dataclass(frozen=True, slots=True)
class StreamEnded(Event):
    """The peer of a client's stream sends no more."""


@dataclass(frozen=True, slots=True)
class SendReply(Command):
    """Answer one query; `data` None: no reply is due, the query is done with."""

    data: bytes | None
    destination: Address | None = None
    last: bool = True
    """On a stream: False where the same query is answered by more messages (RFC 5936 §2.2)."""


@dataclass(frozen=True, slots=True)
class SendQuery(Command):
    """Ask."""

    data: bytes
    destination: Address | None = None


class ExtendedError(NamedTuple):
    """Why (RFC 8914): a code of its registry and a text for people."""

    code: int
    text: str = ""


OTHER, STALE_ANSWER, CACHED_ERROR, PROHIBITED, STALE_NXDOMAIN, NOT_AUTHORITATIVE, NO_REACHABLE_AUTHORITY = (
    0, 3, 13, 18, 19, 20, 22,
)  # fmt: skip
"""Codes of RFC 8914 §4."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a question: the alias chain and the records, or the SOA of what does not exist; TTLs as left now."""

    rcode: Rcode
    answer: tuple[RRset, ...] = ()
    soa: RRset | None = None
    error: ExtendedError | None = None
    kept: tuple[Entry, ...] = ()
    """What of the cache it was made of, in the order of its RRsets; nothing unless it came from there alone."""
    proof: tuple[RRset, ...] = ()
    """Signatures and denials that came with the records, where they are asked for (DNSSEC)."""
    secure: bool = False
    """All of it was validated (RFC 4035 §4.3)."""


@dataclass(frozen=True, slots=True)
class SendUpstream(Event):
    """To a resolver's driver: send a query from a socket of its own; the same key again: repeat it from that socket."""

    key: int
    destination: Address
    data: bytes
    stream: bool
    secure: bool = False
    """By TLS, with whoever answers there."""


@dataclass(frozen=True, slots=True)
class Probe(Event):
    """To a resolver's driver: find out whether a server can be asked over TLS, and tell by `probed`."""

    address: str


@dataclass(frozen=True, slots=True)
class Dismiss(Event):
    """To a resolver's driver: close the socket of this key."""

    key: int


@dataclass(frozen=True, slots=True)
class Resolved(Event):
    """A question that `waiter` asked is answered."""

    waiter: object
    outcome: Outcome


@dataclass(slots=True)
class ResolverCounts:
    """What a resolver counts."""

    cache_requests: int = 0
    cache_hits: int = 0
    queries_udp: int = 0
    queries_tcp: int = 0
    queries_encrypted: Counter[Proto] = field(default_factory=Counter)
    timeouts: int = 0
    lame: int = 0
    mismatched: int = 0
    """Replies whose id or question is not that of the query, or that come from elsewhere: forged or late."""
    failures: int = 0
    """Questions that ended as SERVFAIL."""
    stale: int = 0
    """Questions answered by what had expired."""
    prefetches: int = 0
    """Questions asked again before they expired."""
    doubtful: int = 0
    """Replies without the question's case or the expected cookie, which led to TCP."""
    secure: int = 0
    """Answers whose chain of trust holds (DNSSEC)."""
    insecure: int = 0
    """Answers of zones that are not signed."""
    synthesised: int = 0
    """Secure answers that follow from denials known before; nobody was asked (RFC 8198)."""
    bogus: int = 0
    """Answers that are not what their zone signed."""
    rcodes: Counter[Rcode] = field(default_factory=Counter)
    """Replies of servers, by what they say."""
    round_trips: Durations = field(default_factory=Durations)
    """From a query to its reply; without those of queries that were repeated."""


@dataclass(slots=True)
class StreamCounts:
    """What a client counts of its streams to servers."""

    opened: int = 0
    reused: int = 0
    """Queries on a stream that had carried another before."""
    repeated: int = 0
    """Queries sent once more, on a new stream."""
