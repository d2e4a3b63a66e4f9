"""A node as a Twisted service: it listens, joins, looks after its place on the circle, and leaves politely when it stops."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
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
from netstack.ring.joining import Acknowledged, Joining, NotJoined
from netstack.ring.links import PROTOCOL, Identity, LinkLimits, Links, Unreachable, taken
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

UPKEEP = (
    Neighbours, NeighboursAnswer, Notify, Ping, Pong, Claim, ClaimAnswer, Own, OwnAnswer, Compare, CompareAnswer, Pull,
    PullAnswer, Offer, OfferAnswer, Give, GiveAnswer,
)  # fmt: skip
"""What nodes say to keep the circle, and the copies on it, in order."""
RECENT = 32
"""Look-ups of late that a node remembers."""


class Keeper(Protocol):
    """Makes records durable."""

    def open(self) -> Sequence[Record]:
        """What is kept; from now on more may come, until `close`. Blocks; fails with OSError."""

    def keep(self, records: Sequence[Record], dropped: Sequence[bytes]) -> "Deferred[None]":
        """Merge records into what is kept, drop keys; fires when both are durable."""

    def close(self) -> "Deferred[None]":
        """Fires when what was to be kept is."""


class OperationFailed(Exception):
    """A get, put or remove came to nothing: one of `data_messages.REASONS`."""


class RingService(MultiService):
    """Runs a `Peer` on a machine, a new one each time that it starts. What is asked of it (`look_up`, ...) are Deferreds."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        made: Callable[[Iterable[Record]], Peer],
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
        """`made`: a peer with records that were kept. `keeper`: where they are kept; without one they are lost when it
        stops. `by_hand`: identifiers of nodes that it has shortcuts to. `leave`: seconds to hand over what it has when it
        stops.
        `patience`: for what is asked of it (TimeoutError).
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.machine = machine
        self.peer = made(())
        self.network = network
        self.counts = counts
        self.joining = joining or Joining()
        self.recent: deque[LookedUp] = deque(maxlen=RECENT)
        self.placed = False
        """Whether it has a place on a circle."""
        self.trouble = ""
        """Why it has none: somebody else has its identifier."""
        self._made = made
        self._linked: Callable[[], Links] = lambda: Links(
            machine, self.peer.me, network, codec, self, counts, links, bounds, streams, identity, journal_upkeep
        )
        self.links = self._linked()
        counts.successors = lambda: sum(each != self.peer.me for each in self.peer.node.successors)
        counts.keys, counts.octets = lambda: len(self.peer.table), lambda: self.peer.table.octets
        counts.missing = self._missing
        counts.rounds = lambda: self.peer.node.rounds
        counts.arcs = lambda: self.peer.arcs.counts
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
        self._stopped = self._news = self._settled = self._used = False
        self._acknowledged = Acknowledged(self.peer.node)
        self._stops: list[Deferred[Any]] = []
        """Of those who wait for it to stop."""
        self._joins: list[Deferred[None]] = []
        """Of those who wait for it to join."""
        self._timer: IDelayedCall | None = None
        self._drawing: IDelayedCall | None = None
        self._due = 0.0
        self._refusals: set[str] = set()
        self._unremembered: set[int] = set()
        served = traffic(machine.registry, PROTOCOL, "server")
        grace = self.links.bounds.bye_seconds + 1.0
        for endpoint in endpoints:
            listener = StreamListener(
                machine, endpoint, PROTOCOL, lambda: self.links.engine(), lambda: self.links.accepted(), served,
                self.links.streams, grace=grace,
            )  # fmt: skip
            listener.setServiceParent(self)  # type: ignore[no-untyped-call]
            self.listeners.append(listener)

    # Life

    def startService(self) -> None:
        """Begin a life: with the records that were kept, and nothing else of an earlier one."""
        if self._stops:
            raise RuntimeError(f"{self.machine.name} is still stopping")
        records = () if self._keeper is None else self._keeper.open()
        if records or self._used:
            self.peer, self.links = self._made(records), self._linked()
        self.trouble = ""
        self.placed = self._stopped = self._news = self._settled = False
        self._acknowledged = Acknowledged(self.peer.node)
        self._refusals, self._unremembered = set(), set()
        self._used = True
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
        """Hand over and tell the neighbours, say Bye to all, then close. Who asks again meanwhile waits for the same."""
        stopped: Deferred[Any] = Deferred()
        if not self.running and not self._stops:
            stopped.callback(None)
            return stopped
        self._stops.append(stopped)
        if len(self._stops) == 1:
            left = self._leave_circle() if self.placed and not self._stopped else succeed(None)
            left.addCallback(lambda _: self._end())
            left.addBoth(self._ended)
        return stopped

    def awaited(self) -> int:
        """1 until the node has a place and both neighbours know it: a world that has just begun waits for it."""
        if not self.running or self._stopped or self._settled:
            return 0
        self._settled = self.placed and (not self.joining.through or self._acknowledged.by_both())
        return int(not self._settled)

    def not_ready(self) -> list[str]:
        """What it lacks until others may send it their questions: a place on the circle, and its arc."""
        if not self.placed or self.peer.left:
            return [f"{self.machine.name} has no place on the circle {self.network}. {self.trouble}".strip()]
        return [] if self.peer.arcs.serving is not None else [f"{self.machine.name} does not serve its arc yet"]

    async def join(self, through: Sequence[str]) -> None:
        """Join a circle through these nodes, HOST:PORT: for a node that has left, has no place yet, or is alone on a circle.

        Raises NotJoined; the node is then as it was before.
        """
        name = self.machine.name
        if self._stops or self._joins:
            doing = "leaving" if self._stops else "joining"
            raise NotJoined(f"{name} is {doing} already: ask again in a moment")
        if self.running and self.placed and self.peer.node.successors[0] != self.peer.me:
            raise NotJoined(f"{name} has a place on the circle {self.network}: have it leave that first")
        before, was_running, was_placed = self.joining, self.running and not self._stopped, self.placed
        if not was_running:
            await self.stopService()  # one that has stopped because somebody has its identifier still listens
        self.joining = replace(before, through=tuple(through), begin=False)
        joined: Deferred[None] = Deferred()
        self._joins.append(joined)
        try:
            if not was_running:
                self._start_again()
            elif was_placed:
                self._begin_to_join()
            else:
                self._news = True
                self._wake()
            await joined
        except Exception as error:
            self.joining = before
            self._joins.clear()
            if self._stopped or not was_running:
                await self.stopService()
                if was_running:
                    self._start_again()
            elif was_placed:
                self.peer.alone(self.machine.now())
                self._after(())
                self._get_placed()
            if isinstance(error, NotJoined | OSError | CannotListenError):
                raise NotJoined(f"{name} has not joined: {error}") from None
            raise

    def _start_again(self) -> None:
        self.privilegedStartService()  # type: ignore[no-untyped-call]
        self.startService()

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
            if not self._settled:
                self._acknowledged.heard(sender, message)

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
        if reason == "taken" and not (self.placed or self._stopped):
            self.trouble = text
            self._not_joined(text)
            self._stop_node()  # or it would join beside the other one

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
            if isinstance(event, JoinFailed) and event.taken_by is not None:
                self._taken(event.taken_by)
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
            joining, problems = self.joining, ["there is none but the node itself"]
            for place in joining.through:
                if place == self.peer.me.address:
                    continue
                self.trouble = ""
                try:
                    contact, placed = await self.links.find(place)
                except Unreachable as error:
                    self.log.debug("{name} does not join through {error}", name=self.machine.name, error=error)
                    problems.append(str(error))
                    continue
                answered = True
                if placed and await self._join_through(contact):
                    self._get_placed()
                    return
                silent = f"it did not let {self.machine.name} in within {self.joining.seconds:g} s"
                problems.append(f"{place}: {self.trouble or silent if placed else 'it has no place on a circle itself'}")
            if self.joining.begin:
                self.peer.alone(self.machine.now())
                self._after(())
                self._get_placed()
                return
            if joining is self.joining and self._joins:
                self._not_joined("; ".join(problems[1:] or problems))
                continue
            if not answered:
                places = ", ".join(self.joining.through)
                self.log.warn("{name} reaches none of {places}; it tries again", name=self.machine.name, places=places)
            await self._sleep(pause)
            pause = min(2 * pause, self.joining.most_retry)

    def _taken(self, by: Contact) -> None:
        """A node of the circle has this one's identifier."""
        if by == self.peer.me:
            return  # of an earlier life, which the others do not know to be over
        self.trouble = taken(by)
        if self.trouble not in self._refusals:
            self._refusals.add(self.trouble)
            self.log.warn("{name} does not join: {text}", name=self.machine.name, text=self.trouble)

    def _not_joined(self, why: str) -> None:
        """Who had it join hears why it did not."""
        joins, self._joins = self._joins, []
        for each in joins:
            each.errback(NotJoined(why))

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
        self.trouble = ""
        joins, self._joins = self._joins, []
        for each in joins:
            each.callback(None)
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

    def _ended(self, result: Any) -> Any:
        """All who waited for it to stop hear that it has; the first one also what went wrong."""
        self.placed = False
        stops, self._stops = self._stops, []
        for each in stops:
            each.callback(result if each is stops[0] else None)

    def _missing(self) -> int:
        """Copies of the arc's keys that others should have."""
        peer = self.peer
        return peer.options.copies - 1 - len(peer.arcs.synced.intersection(peer.arcs.holders()[1]))

    def _stop_node(self) -> "Deferred[Any]":
        self._stopped = True
        self._not_joined("it stops")
        self._wake()
        if self._joined is not None:
            self._told(JoinFailed(self.peer.me))
        for call in (self._timer, self._drawing):
            if call is not None and call.active():
                call.cancel()
        self._timer = self._drawing = None
        for done in tuple(self._waiting.values()):
            done.cancel()
        return self.links.stop()
