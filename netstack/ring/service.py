"""A node as a Twisted service: it listens, joins, looks after its place on the circle, and leaves politely when it stops."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint, StreamListener
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.ring.credentials import Credentials
from netstack.ring.data_messages import REASONS as FAILURES
from netstack.ring.data_messages import (
    Claim,
    ClaimAnswer,
    Compare,
    CompareAnswer,
    Failed,
    Give,
    GiveAnswer,
    Got,
    Keep,
    Left,
    Offer,
    OfferAnswer,
    Own,
    OwnAnswer,
    Pull,
    PullAnswer,
    Stored,
)
from netstack.ring.identifiers import Contact
from netstack.ring.links import PROTOCOL, Identity, LinkLimits, Links, Unreachable
from netstack.ring.messages import (
    Alone,
    Joined,
    JoinFailed,
    LookedUp,
    Message,
    Misbehaved,
    Neighbours,
    NeighboursAnswer,
    NodeGone,
    Notify,
    Ping,
    Pong,
    Step,
    StepAnswer,
)
from netstack.ring.metrics import RingCounts
from netstack.ring.peer import Peer
from netstack.ring.records import Record
from netstack.ring.stream import StreamBounds
from netstack.ring.wire import Codec
from netstack.sansio import Event, Now
from netstack.sansio.bounds import positive

UPKEEP = (
    Neighbours, NeighboursAnswer, Notify, Ping, Pong, Claim, ClaimAnswer, Own, OwnAnswer, Compare, CompareAnswer, Pull,
    PullAnswer, Offer, OfferAnswer, Give, GiveAnswer,
)  # fmt: skip
"""What nodes say to keep the circle, and the copies on it, in order."""
RECENT = 32
"""Look-ups of late that a node remembers."""


@dataclass(frozen=True, slots=True)
class Joining:
    """How a node comes into a circle. Times in seconds."""

    through: tuple[str, ...] = ()
    """HOST:PORT of nodes, tried in this order; without any the node begins a circle of its own."""
    begin: bool = False
    """It begins one where none of them has a place on a circle."""
    seconds: float = 10.0
    """For one of them to let it in."""
    retry: float = 1.0
    """After none of them did, before they are tried again; doubled each time."""
    most_retry: float = 30.0
    """The longest such time."""

    def __post_init__(self) -> None:
        for name in ("seconds", "retry", "most_retry"):
            positive(f"join_{name}", getattr(self, name))


class Keeper(Protocol):
    """Makes records durable."""

    def keep(self, records: Sequence[Record], dropped: Sequence[bytes]) -> "Deferred[None]":
        """Merge records into what is kept, drop keys; fires when both are durable."""

    def close(self) -> "Deferred[None]":
        """Fires when what was to be kept is."""


class OperationFailed(Exception):
    """A get, put or remove came to nothing: one of `data_messages.REASONS`."""


class RingService(MultiService):
    """Runs a `Peer` on a machine. What is asked of it (`look_up`, ...) are Deferreds."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        peer: Peer,
        codec: Codec,
        network: str,
        endpoints: Sequence[Endpoint],
        counts: RingCounts,
        joining: Joining | None = None,
        links: LinkLimits | None = None,
        bounds: StreamBounds | None = None,
        streams: StreamLimits | None = None,
        identity: Identity | None = None,
        keeper: Keeper | None = None,
        credentials: Credentials | None = None,
        by_hand: Sequence[int] = (),
        journal_upkeep: bool = False,
        leave: float = 10.0,
        patience: float = 60.0,
    ) -> None:
        """`keeper`: where records are kept; without one they are lost when the process ends. `by_hand`: identifiers of nodes
        that it has shortcuts to. `leave`: seconds to hand over what it has when it stops. `patience`: for what is asked of
        it (TimeoutError).
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.machine = machine
        self.peer = peer
        self.network = network
        self.counts = counts
        self.joining = joining or Joining()
        self.recent: deque[LookedUp] = deque(maxlen=RECENT)
        self.placed = False
        """Whether it has a place on a circle."""
        self.trouble = ""
        """Why it never will: its identifier is somebody else's."""
        self.links = Links(machine, peer.me, network, codec, self, counts, links, bounds, streams, identity, journal_upkeep)
        counts.successors = lambda: sum(each != peer.me for each in peer.node.successors)
        counts.keys, counts.octets = lambda: len(peer.table), lambda: peer.table.octets
        counts.missing = lambda: peer.options.copies - 1 - len(peer.arcs.synced.intersection(peer.arcs.holders()[1]))
        self.listeners: list[StreamListener] = []
        self._keeper = keeper
        self._credentials = credentials
        if credentials is not None:
            child: Any = credentials
            child.setServiceParent(self)
        self._by_hand = by_hand
        self._leave = leave
        self._patience = patience
        self._waiting: dict[int, Deferred[Any]] = {}
        self._joined: Deferred[bool] | None = None
        self._woken: Deferred[None] | None = None
        self._left: Deferred[None] | None = None
        self._stopped = self._news = False
        self._timer: IDelayedCall | None = None
        self._drawing: IDelayedCall | None = None
        self._due = 0.0
        self._refusals: set[str] = set()
        self._unremembered: set[int] = set()
        served = traffic(machine.registry, PROTOCOL, "server")
        grace = self.links.bounds.bye_seconds + 1.0
        for endpoint in endpoints:
            listener = StreamListener(
                machine, endpoint, PROTOCOL, self.links.engine, self.links.accepted, served, self.links.streams, grace=grace
            )
            listener.setServiceParent(self)  # type: ignore[no-untyped-call]
            self.listeners.append(listener)

    # Life

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for listener in self.listeners:
            self.log.info(
                "{name} is node {ident} of {network} on {endpoint}",
                name=self.machine.name, ident=self.peer.me.ident, network=self.network, endpoint=listener.endpoint,
            )  # fmt: skip
        self.peer.start(self.machine.now(), joins=bool(self.joining.through))
        self._after(())
        if self.joining.through:
            self._begin_to_join()
        else:
            self._get_placed()

    def stopService(self) -> Deferred[Any]:
        """Hand over and tell the neighbours, say Bye to all, then close."""
        left = self._leave_circle() if self.placed else succeed(None)
        return left.addCallback(lambda _: self._end())

    def awaited(self) -> int:
        """1 until the node has a place on the circle: a world that has just begun waits for it."""
        return int(self.running and not self.placed and not self._stopped)

    # What is asked of it

    def look_up(self, ident: int, remembered: bool = True) -> "Deferred[LookedUp]":
        """Who is responsible for an identifier, step by step; fails with ValueError where too many are under way.

        Those that are not to be `remembered` are not in `recent`.
        """

        def begin(now: Now) -> int:
            number = self.peer.look_up(ident, now)
            if not remembered:
                self._unremembered.add(number)
            return number

        return self._ask(begin)

    def pass_on(self, ident: int) -> "Deferred[LookedUp]":
        """The same, handed from node to node (the chapter's way)."""
        return self._ask(lambda now: self.peer.pass_on(ident, now))

    def get(self, key: bytes, *, quorum: int | None = None) -> "Deferred[Got]":
        """A key's values; fails with OperationFailed, and with ValueError for what cannot be asked."""
        return self._ask(lambda now: self.peer.get(key, now, quorum=quorum))

    def put(
        self, key: bytes, value: bytes, *, ttl: float | None = None, replace: bool = False, quorum: int | None = None
    ) -> "Deferred[Stored]":
        """Add a value, or set it in the place of all others; fails as `get` does."""
        return self._ask(lambda now: self.peer.put(key, value, now, ttl=ttl, replace=replace, quorum=quorum))

    def remove(self, key: bytes, value: bytes | None = None, *, quorum: int | None = None) -> "Deferred[Stored]":
        """Remove a value, or all; fails as `get` does."""
        return self._ask(lambda now: self.peer.remove(key, now, value, quorum=quorum))

    def _ask(self, begin: Callable[[Any], int]) -> "Deferred[Any]":
        now = self.machine.now()
        number = maybeDeferred(begin, now)
        done: Deferred[Any] = number.addCallback(self._begun)
        self._after(self.peer.on_timer(now))
        clock: Any = self.machine.reactor
        return done.addTimeout(self._patience, clock)

    def _begun(self, number: int) -> "Deferred[Any]":
        def given_up(_: Any) -> None:
            self._waiting.pop(number, None)

        done = self._waiting[number] = Deferred(given_up)
        return done

    # Of Links

    def received(self, sender: Contact, message: Message, upkeep: bool) -> None:
        if not self._stopped:
            self._after(self.peer.receive(sender, message, self.machine.now()), upkeep)

    def placed_other(self, contact: Contact) -> None:
        """Another node has got a place: one that waits for it may join."""
        if contact.address in self.joining.through:
            self._news = True
            self._wake()

    def unreachable(self, contact: Contact) -> None:
        self.machine.reactor.callLater(0, self._unreachable, contact)  # it may be told while the peer speaks

    def _unreachable(self, contact: Contact) -> None:
        if not self._stopped:
            self._after(self.peer.unreachable(contact, self.machine.now()))

    def cut_off(self, contact: Contact) -> None:
        self.machine.reactor.callLater(0, self._cut_off, contact)

    def _cut_off(self, contact: Contact) -> None:
        if not self._stopped:
            self._after(self.peer.cut_off(contact, self.machine.now()))

    def refused(self, place: str, reason: str, text: str) -> None:
        """A node and this one do not talk to each other: said once for each reason."""
        if reason not in ("self", "many") and reason not in self._refusals:
            self._refusals.add(reason)
            self.log.warn("{name} and {place} do not talk: {text}", place=place, name=self.machine.name, text=text)
        if reason == "taken" and not self.placed and not self._stopped:
            self.trouble = text
            self._stop_node()

    # Steps of the peer

    def _after(self, events: Iterable[Event], upkeep: bool = False) -> None:
        """What follows a call of the peer: its events, its messages, its timer. `upkeep`: it was told something of that."""
        for event in events:
            self._told(event)
        for to, message in self.peer.outgoing():
            if to == self.peer.me:
                self.machine.reactor.callLater(0, self.received, to, message, False)
            else:
                self.links.send(to, message, self._is_upkeep(message, upkeep))
        if self._stopped:
            return
        due = self.peer.next_timer()
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self.machine.reactor.callLater(max(0.0, due - self.machine.reactor.seconds()), self._on_timer)

    def _is_upkeep(self, message: Message, told: bool) -> bool:
        """Whether a message is nobody's wish; `told`: it may be an answer to what was none."""
        if isinstance(message, Step):
            return self.peer.node.is_upkeep(message.number)
        return isinstance(message, UPKEEP) or (told and isinstance(message, StepAnswer))

    def _on_timer(self) -> None:
        self._timer = None
        now = self.machine.now()
        self._after(self.peer.on_timer(now) if now.monotonic >= self.peer.next_timer() else ())

    def _told(self, event: Event) -> None:
        if isinstance(event, LookedUp):
            self.counts.looked_up(event)
            if event.number in self._unremembered:
                self._unremembered.discard(event.number)
            else:
                self.recent.append(event)
            self._settle(event.number, event)
        elif isinstance(event, Got | Stored):
            self.counts.operations["done"] += 1
            self._settle(event.number, event)
        elif isinstance(event, Failed):
            self.counts.operations[event.reason if event.reason in FAILURES else "other"] += 1
            self._settle(event.number, Failure(OperationFailed(event.reason)))
        elif isinstance(event, Keep):
            self._keep(event)
        elif isinstance(event, Left):
            self._gone()
        elif isinstance(event, Alone):
            if self.placed and self.joining.through:
                self._begin_to_join()
        elif isinstance(event, NodeGone):
            self.counts.gone += 1
            self.links.forget(event.node)
        elif isinstance(event, Misbehaved):
            self.counts.faults[event.fault] += 1
        elif isinstance(event, Joined | JoinFailed):
            joined, self._joined = self._joined, None
            if joined is not None:
                joined.callback(isinstance(event, Joined))
            elif isinstance(event, Joined) and not self.placed:  # later than it was waited for
                self._get_placed()

    def _settle(self, number: int, result: Any) -> None:
        done = self._waiting.pop(number, None)
        if done is not None:
            done.callback(result)

    def _keep(self, event: Keep) -> None:
        """Have records made durable, then say so."""
        kept = succeed(None) if self._keeper is None else self._keeper.keep(event.records, event.dropped)
        kept.addCallback(lambda _: self.machine.reactor.callLater(0, self._kept, event.batch))
        kept.addErrback(lambda failure: self.log.failure("{name} cannot keep records", failure, name=self.machine.name))

    def _kept(self, batch: int) -> None:
        if not self._stopped:
            self._after(self.peer.persisted(batch, self.machine.now()))

    # Joining and leaving

    def _begin_to_join(self) -> None:
        self.placed = self.links.placed = False
        joined = Deferred.fromCoroutine(self._join())
        joined.addErrback(lambda failure: self.log.failure("{name} cannot join", failure, name=self.machine.name))

    async def _join(self) -> None:
        """Try the nodes in turn, until one lets this one in."""
        pause = self.joining.retry
        if self._credentials is not None:
            await self._credentials.certified()
        while not (self._stopped or self.placed):
            answered = self._news = False
            for place in self.joining.through:
                if place == self.peer.me.address:
                    continue
                try:
                    contact, placed = await self.links.find(place)
                except Unreachable as error:
                    self.log.debug("{name} does not join through {error}", name=self.machine.name, error=error)
                    continue
                answered = True
                if placed and await self._join_through(contact):
                    self._get_placed()
                    return
            if self.joining.begin:
                self.peer.alone(self.machine.now())
                self._after(())
                self._get_placed()
                return
            if not answered:
                places = ", ".join(self.joining.through)
                self.log.warn("{name} reaches none of {places}; it tries again", name=self.machine.name, places=places)
            await self._sleep(pause)
            pause = min(2 * pause, self.joining.most_retry)

    async def _join_through(self, contact: Contact) -> bool:
        joined = self._joined = Deferred()
        late = self.machine.reactor.callLater(self.joining.seconds, self._told, JoinFailed(contact))
        self.peer.join(contact, self.machine.now())
        self._after(())
        try:
            return await joined
        finally:
            if late.active():
                late.cancel()

    async def _sleep(self, seconds: float) -> None:
        """So long, or until a node to join through has got a place."""
        if self._news or self._stopped:
            return
        woken = self._woken = Deferred()
        late = self.machine.reactor.callLater(seconds, self._wake)
        await woken
        if late.active():
            late.cancel()

    def _wake(self) -> None:
        woken, self._woken = self._woken, None
        if woken is not None:
            woken.callback(None)

    def _get_placed(self) -> None:
        self.placed = self.links.placed = True
        self.log.info("{name} has a place on the circle {network}", name=self.machine.name, network=self.network)
        self.links.announce()
        if self._by_hand:
            self._draw_shortcuts(self.peer.node.options.stabilize)

    def _draw_shortcuts(self, pause: float) -> None:
        """Have shortcuts to the nodes that were given by hand, once these are there."""
        shortcuts, bits = self.peer.node.shortcuts, self.peer.circle.bits
        missing = [at for at in range(len(self._by_hand)) if bits + at not in shortcuts]
        for at in missing:
            self.look_up(self._by_hand[at]).addCallbacks(self._draw, lambda _: None, (at,))
        again = min(2 * pause, self.joining.most_retry) if missing else self.joining.most_retry
        self._drawing = self.machine.reactor.callLater(pause, self._draw_shortcuts, again)

    def _draw(self, found: LookedUp, at: int) -> None:
        node = found.responsible
        if node is not None and node.ident == self._by_hand[at] and node != self.peer.me:
            self.peer.node.shortcuts[self.peer.circle.bits + at] = node

    def _leave_circle(self) -> "Deferred[None]":
        left = self._left = Deferred()
        late = self.machine.reactor.callLater(self._leave, self._gone)
        self.peer.leave(self.machine.now())
        self._after(())
        left.addBoth(lambda _: late.cancel() if late.active() else None)
        return left

    def _gone(self) -> None:
        left, self._left = self._left, None
        if left is not None:
            left.callback(None)

    def _end(self) -> "Deferred[Any]":
        ended = self._stop_node()
        stopped = maybeDeferred(super().stopService)
        stopped.addBoth(lambda _: ended)
        return stopped.addBoth(lambda _: None if self._keeper is None else self._keeper.close())

    def _stop_node(self) -> "Deferred[Any]":
        self._stopped = True
        self._wake()
        if self._joined is not None:
            self._told(JoinFailed(self.peer.me))
        for call in (self._timer, self._drawing):
            if call is not None and call.active():
                call.cancel()
        for done in tuple(self._waiting.values()):
            done.cancel()
        return self.links.stop()
