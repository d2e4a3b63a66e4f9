"""One model of links: rate, delay, loss. Virtual time, the loopback shaper and namespaces all apply these numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from netstack.kernel.reactor import Reactor

SEGMENT = 1460
"""Octets of a stream that go in one packet (Ethernet's 1500 without headers)."""
HEADERS = 40
"""Octets of the headers of IPv4 and TCP; charged for every packet."""
DATAGRAM_HEADERS = 28
"""Octets of the headers of IPv4 and UDP."""
RETRANSMISSION = 0.2
"""Least seconds until a lost segment is sent again (Linux's least retransmission timeout; RFC 6298 §2.4 says 1 s)."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One direction of a link."""

    rate_bps: float | None = None
    """Bits per second; None is unlimited."""
    delay: float = 0.0
    """Propagation, seconds."""
    loss: float = 0.0
    """Probability that a packet is lost, 0..1."""
    queue: int | None = None
    """Octets that may wait for the link before packets are dropped; None is unlimited."""


class Link:
    """One direction of a link, shared by all flows that cross it: what one sends, another waits for.

    `settings` may be changed at any time; None is no link at all: nothing is charged.
    """

    __slots__ = ("dropped", "free", "octets", "settings")

    def __init__(self, settings: LinkSettings | None = None) -> None:
        self.settings = settings
        self.free = 0.0
        """When what is queued now will have been sent."""
        self.octets = 0
        """Carried since the start, headers too."""
        self.dropped = 0
        """Packets lost since the start, by chance or because the queue was full."""

    def arrival(self, at: float, octets: int, rng: Random, droppable: bool = True) -> float | None:
        """When a packet that enters the link at `at` arrives at its other end; None when it is lost.

        A packet that is not droppable (of a stream, whose octets the shaper may not lose) is neither lost nor dropped.
        """
        settings = self.settings
        if settings is None:
            return at
        if droppable and settings.loss and rng.random() < settings.loss:
            self.dropped += 1
            return None
        if settings.rate_bps:
            start = self.free if self.free > at else at
            if droppable and settings.queue is not None and (start - at) * settings.rate_bps / 8 > settings.queue:
                self.dropped += 1
                return None
            at = self.free = start + octets * 8 / settings.rate_bps
        self.octets += octets
        return at + settings.delay


class Links(Protocol):
    """The links that a host's own drivers must imitate because nothing below them does (loopback)."""

    senders_elsewhere: bool
    """Whether peers may be drivers in other processes, which shape what they send: what arrives is not shaped again then.

    What foreign programs send to us is not delayed either, for the two cannot be told apart.
    """

    def path(self, source: str, destination: str) -> Sequence[Link]:
        """What a packet between two addresses crosses, in order; empty for nothing.

        A stream asks once, when it opens: with an empty path, or one without settings, it is not shaped, also not later.
        """


def delay(path: Sequence[Link]) -> float:
    """The propagation of a whole path now."""
    return sum(link.settings.delay for link in path if link.settings is not None)


def shaped(path: Sequence[Link]) -> bool:
    """Whether any link of the path has a setting now."""
    return any(link.settings is not None for link in path)


def handshake(path: Sequence[Link]) -> float:
    """Seconds for one packet of a TCP handshake to cross a path whose queues are empty."""
    total = 0.0
    for link in path:
        if link.settings is not None:
            total += link.settings.delay
            if link.settings.rate_bps:
                total += HEADERS * 8 / link.settings.rate_bps
    return total


def carry(
    reactor: Reactor,
    rng: Random,
    path: Sequence[Link],
    octets: int,
    arrived: Callable[[], None],
    lost: Callable[[], None],
) -> None:
    """Let a datagram cross a path: `arrived` or `lost` is called, later. A link's queue is entered when it is reached."""
    at = reactor.seconds()
    for index, link in enumerate(path):
        arrives = link.arrival(at, octets + DATAGRAM_HEADERS, rng)
        if arrives is None:
            lost()
            return
        at = arrives
        if index + 1 < len(path) and link.settings is not None and link.settings.rate_bps:
            rest = path[index + 1 :]
            reactor.callLater(max(0.0, at - reactor.seconds()), carry, reactor, rng, rest, octets, arrived, lost)
            return
    reactor.callLater(max(0.0, at - reactor.seconds()), arrived)


def segment_arrival(link: Link, at: float, octets: int, rng: Random, timeout: float) -> float:
    """When a segment of a stream arrives at a link's other end.

    Each loss costs the time of a retransmission, twice as long as the one before; after six the segment gets through.
    """
    settings = link.settings
    if settings is None:
        return at
    if settings.loss:
        for _ in range(6):
            if rng.random() >= settings.loss:
                break
            link.dropped += 1
            at += timeout
            timeout *= 2
    arrives = link.arrival(at, octets + HEADERS, rng, droppable=False)
    return at if arrives is None else arrives
