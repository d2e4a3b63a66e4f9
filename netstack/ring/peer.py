"""A node with its share of the data: what who runs a node uses. Pure, as the node is.

Users of any peer get, put and remove; the peer looks up who is responsible and asks it, again and elsewhere if need be,
under one number and, once a write has its version, under that one: however often it is asked, a write happens once.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from math import inf
from typing import Any, Protocol

from netstack.ring.arcs import Arcs
from netstack.ring.claims import Span, overlap
from netstack.ring.coordinator import ELSEWHERE, FOREIGN, Coordinator
from netstack.ring.copying import Copying
from netstack.ring.data_messages import (
    Begun,
    Claim,
    ClaimAnswer,
    Compare,
    CompareAnswer,
    DataMessage,
    Failed,
    Fetch,
    FetchAnswer,
    Get,
    GetAnswer,
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
    Put,
    Remove,
    Store,
    StoreAnswer,
    Stored,
    WriteAnswer,
)
from netstack.ring.engine import Chance, Node, RingOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import Joined, LookedUp, Message, NeighboursChanged, NodeGone
from netstack.ring.records import NEVER, POSITION_BITS, DataOptions, Record, Version, check_life
from netstack.ring.strays import Strays
from netstack.ring.table import Full, Table, name_of, place_of
from netstack.ring.tasks import Answers, Ask, Durable, LookUp, Pause, Tasks, Wait, Work
from netstack.sansio import Event, Now

TRIES = 3
"""At a node that may have begun a write and does not say so."""
REDIRECTS = 3
"""Followed at once, one after the other."""


MOST_GONE = 1000
"""Nodes that do not answer and are remembered."""
_ANSWERS = (
    Begun, GetAnswer, WriteAnswer, FetchAnswer, StoreAnswer, ClaimAnswer, OwnAnswer, CompareAnswer, PullAnswer, OfferAnswer,
    GiveAnswer,
)  # fmt: skip


class Randomness(Chance, Protocol):
    """Random numbers; `random.Random` is one."""

    def getrandbits(self, k: int, /) -> int: ...


class Peer:
    """One node and its data."""

    def __init__(
        self,
        circle: Circle,
        me: Contact,
        ring: RingOptions,
        data: DataOptions,
        rng: Randomness,
        kept: Iterable[Record] = (),
    ) -> None:
        """`kept`: what an earlier life of this node has kept. Raises ValueError for more copies than successors have."""
        if data.copies > ring.successors + 1:
            raise ValueError(
                f"copies: expected at most {ring.successors + 1}, one more than the successors, got {data.copies}"
            )
        self.circle = circle
        self.me = me
        self.options = data
        self.node = Node(circle, me, ring, rng)
        self.table = Table(data)
        self.left = False
        self._kept = [*kept]
        self._now = Now(0.0, 0.0)
        self._began = 0.0
        self._out: list[tuple[Contact, Message]] = []
        self._events: list[Event] = []
        self._tasks = Tasks(rng.getrandbits(40) << 20, self._send, self._node_looks_up)
        origin = rng.getrandbits(62)
        self._coordinator = Coordinator(
            self.table, data, origin, self._clock, self._keep, self._holders, self._serves, self._contested
        )
        self.copying = Copying(self.table, data, self._coordinator, self._clock)
        vary = lambda: rng.uniform(0.5, 1.5)  # noqa: E731
        self.arcs = Arcs(lambda: self.node, data, self.copying, self._clock, self._wake, self._tasks.tell, vary, self._lost)
        self.strays = Strays(circle, me, self.table, data, self.arcs, self._coordinator, self._clock, self._drop)
        self._requests = self._served = 0
        """Under way: of this peer's users, of other peers."""
        self._writes: OrderedDict[tuple[Contact, int], WriteAnswer | None] = OrderedDict()
        """Writes for others, of late or under way: what was answered."""

    # What who runs it does

    def start(self, now: Now, joins: bool = False) -> None:
        """Begin a circle of its own; `joins`: begin to run, but serve nothing before it has joined one, or `alone`."""
        self._now, self._began = now, now.monotonic
        self.arcs.joining, self.arcs.founder = joins, not joins
        self.node.start(now.monotonic)
        for record in self._kept:
            self.table.merge(record, now.monotonic)
        self._kept = []
        self._tasks.run(self.arcs.work(), now.monotonic)
        self._tasks.run(self.strays.work(), now.monotonic)

    def join(self, through: Contact, now: Now) -> None:
        """Enter the circle that another peer is in: Joined or JoinFailed follows."""
        self._now = now
        self.arcs.joining = True
        self.node.join(through, now.monotonic)

    def alone(self, now: Now) -> None:
        """Begin a circle after all, where there was none to join."""
        self._now = now
        self.arcs.joining, self.arcs.founder = False, True
        self.arcs.wake()

    def look_up(self, ident: int, now: Now) -> int:
        """As the node's: LookedUp follows, under the node's own numbers."""
        return self.node.look_up(ident, now.monotonic)

    def pass_on(self, ident: int, now: Now) -> int:
        """As the node's."""
        return self.node.pass_on(ident, now.monotonic)

    def get(self, key: bytes, now: Now, *, quorum: int | None = None) -> int:
        """Read a key's values: Got or Failed follows, under the number that is returned. Raises ValueError."""
        copies = self._quorum(quorum, self.options.to_read)
        number = self._admitted(key, now)
        self._tasks.run(self._read(number, key, copies), now.monotonic)
        return number

    def put(
        self,
        key: bytes,
        value: bytes,
        now: Now,
        *,
        ttl: float | None = None,
        replace: bool = False,
        quorum: int | None = None,
    ) -> int:
        """Add a value, or set it in the place of all others: Stored or Failed follows. Raises ValueError."""
        copies = self._quorum(quorum, self.options.to_write)
        life = check_life(self.options.ttl if ttl is None else ttl)
        if len(value) > self.options.value_octets:
            raise ValueError(f"value: expected at most {self.options.value_octets} octets, got {len(value)}")
        number = self._admitted(key, now)

        def message(version: Version, age: float) -> Put:
            return Put(number, key, value, life, replace, copies, version, age)

        self._tasks.run(self._write(number, key, message), now.monotonic)
        return number

    def remove(self, key: bytes, now: Now, value: bytes | None = None, *, quorum: int | None = None) -> int:
        """Remove a value, or all: Stored or Failed follows. Raises ValueError."""
        copies = self._quorum(quorum, self.options.to_write)
        number = self._admitted(key, now)

        def message(version: Version, age: float) -> Remove:
            return Remove(number, key, b"" if value is None else name_of(value), copies, version, age)

        self._tasks.run(self._write(number, key, message), now.monotonic)
        return number

    def leave(self, now: Now) -> None:
        """Go politely: Left follows once others have all that it had, or after twice the deadline."""
        self._now = now
        if not self.left:
            self.left = self.arcs.leaving = True
            self._tasks.run(self._go(), now.monotonic)

    def receive(self, sender: Contact, message: Message, now: Now) -> Iterator[Event]:
        """What another peer said."""
        self._now = now
        self.arcs.heard(sender)
        if isinstance(message, DataMessage):
            self._data(sender, message)
        elif not self.left:  # else it is gone for those who look after the circle
            self._of_node(self.node.receive(sender, message, now.monotonic))
        yield from self._told()

    def unreachable(self, contact: Contact, now: Now) -> Iterator[Event]:
        """Who carries messages has found nobody there."""
        self._now = now
        self._of_node(self.node.unreachable(contact, now.monotonic))
        self._tasks.unreachable(contact, now.monotonic)
        yield from self._told()

    def cut_off(self, contact: Contact, now: Now) -> Iterator[Event]:
        """Who carries messages has lost the connection to a peer, which did not say that it ends it."""
        self._now = now
        if not self.left:
            self.node.cut_off(contact, now.monotonic)
        yield from self._told()

    def on_timer(self, now: Now) -> Iterator[Event]:
        """Give up, go on, look after the circle and the copies."""
        self._now = now
        if not self.left and now.monotonic >= self.node.next_timer():
            self._of_node(self.node.on_timer(now.monotonic))
        self.table.expire(now.monotonic)
        self._tasks.on_timer(now.monotonic)
        yield from self._told()

    def persisted(self, batch: int, now: Now) -> Iterator[Event]:
        """A batch of Keep is durable."""
        self._now = now
        self._tasks.persisted(batch, now.monotonic)
        yield from self._told()

    def next_timer(self) -> float:
        """When `on_timer` wants to be called: monotonic seconds; at once when there are events to be told."""
        if self._events:
            return self._now.monotonic
        node = inf if self.left else self.node.next_timer()
        return min(node, self._tasks.next_timer(), self.table.next_end())

    def outgoing(self) -> list[tuple[Contact, Message]]:
        """Messages to be sent, once."""
        out = [*self.node.outgoing(), *self._out]
        self._out = []
        return out

    # Operations of this peer's users

    def _quorum(self, asked: int | None, default: int) -> int:
        if asked is None:
            return default
        if not 1 <= asked <= self.options.copies:
            raise ValueError(f"quorum: expected 1 to {self.options.copies}, the copies, got {asked}")
        return asked

    def _admitted(self, key: bytes, now: Now) -> int:
        self._now = now
        if not 0 < len(key) <= self.options.key_octets:
            raise ValueError(f"key: expected 1 to {self.options.key_octets} octets, got {len(key)}")
        if self._requests >= self.options.requests:
            raise ValueError(f"{self._requests} requests are under way")
        if self.left:
            raise ValueError("this peer leaves")
        self._requests += 1
        return self._tasks.number()

    def _read(self, number: int, key: bytes, quorum: int) -> Work:
        question = Get(number, key, quorum)
        answer = yield from self._operate(key, number, lambda version, age: question)
        self._requests -= 1
        failed = Failed(number, answer if isinstance(answer, str) else "")
        self._events.append(Got(number, answer.values, answer.version) if isinstance(answer, GetAnswer) else failed)

    def _write(self, number: int, key: bytes, message: Callable[[Version, float], DataMessage]) -> Work:
        answer = yield from self._operate(key, number, message)
        self._requests -= 1
        failed = Failed(number, answer if isinstance(answer, str) else "")
        self._events.append(Stored(number, answer.version, answer.copies) if isinstance(answer, WriteAnswer) else failed)

    def _operate(
        self, key: bytes, number: int, message: Callable[[Version, float], Any]
    ) -> Generator[Wait, Any, GetAnswer | WriteAnswer | str]:
        """Ask who is responsible until it is done; or the reason why it is not."""
        ident = self.circle.of(key)
        options = self.options
        deadline = self._now.monotonic + options.deadline
        pause, reason, version = options.again, "deadline", NEVER
        owner: Contact | None = None
        tries, first, redirects = 0, 0.0, 0
        while self._now.monotonic < deadline:
            if owner is None:
                owner, tries, first = (yield LookUp(ident)), 0, self._now.monotonic
            answer: GetAnswer | WriteAnswer | None = None
            if owner is None:
                reason = "lookup"
            elif owner == self.me:
                answer = yield from self._serve(message(version, 0.0), lambda given: None)
            else:
                tries += 1
                left = deadline - self._now.monotonic
                asked = _always(message(version, self._now.monotonic - first))
                answers: Answers = yield Ask([(owner, asked)], min(2 * options.timeout, left), number=number)
                version = max(version, answers.begun)
                answer = answers.came[0][1] if answers.came else None
            if answer is None and owner is not None:
                reason = "unanswered"
                if isinstance(message(version, 0.0), Get) or version != NEVER:
                    owner = None
                elif tries >= TRIES and self._now.monotonic - first >= 2 * TRIES * options.timeout:
                    break  # it may have begun: a write that is begun elsewhere too would happen twice
                yield Pause(min(options.again, max(0.0, deadline - self._now.monotonic)))
                continue
            if answer is not None:
                if not answer.reason:
                    return answer
                reason = answer.reason if answer.reason != ELSEWHERE else reason
                if answer.reason not in (ELSEWHERE, "quorum", "leaving"):
                    break
                version = max(version, answer.version) if isinstance(answer, WriteAnswer) else version
                before, owner = owner, answer.owner
                redirects += 1
                if owner is not None and owner != before:
                    tries, first = 0, self._now.monotonic
                    if redirects % REDIRECTS:
                        continue
            yield Pause(min(pause, max(0.0, deadline - self._now.monotonic)))
            pause *= 2
        return reason

    # What others ask

    def _data(self, sender: Contact, message: DataMessage) -> None:
        now = self._now.monotonic
        if isinstance(message, _ANSWERS):
            self._tasks.answered(sender, message, now)
        elif isinstance(message, Get):
            self._tasks.run(self._serve_get(sender, message), now)
        elif isinstance(message, Put | Remove):
            self._tasks.run(self._serve_write(sender, message), now)
        elif isinstance(message, Fetch):
            self._tasks.run(self._fetched(sender, message), now)
        elif isinstance(message, Store):
            self._tasks.run(self._stored(sender, message), now)
        elif isinstance(message, Claim):
            answer = self.arcs.claimed(sender, message)
            if answer is not None:
                self._send(sender, answer)
        elif isinstance(message, Own):
            self._send(sender, self.arcs.given(sender, message))
        elif isinstance(message, Compare):
            knows = self.arcs.claims.holds(sender, message.epoch)
            self._send(
                sender, self.copying.compare(message) if knows else CompareAnswer(message.number, FOREIGN, (), (), ())
            )
        elif isinstance(message, Pull):
            knows = self.arcs.claims.holds(sender, message.epoch)
            self._send(sender, self.copying.pull(message) if knows else PullAnswer(message.number, FOREIGN, ()))
        elif isinstance(message, Offer):
            self._send(sender, self.strays.offered(message))
        elif isinstance(message, Give):
            self._tasks.run(self._took(sender, message), now)

    def _took(self, sender: Contact, message: Give) -> Work:
        try:
            answer = yield from self.strays.took(message)
        except ValueError:  # no records
            return
        self._send(sender, answer)

    def _serve(self, question: Get | Put | Remove, begun: Callable[[Version], None]) -> Generator[Wait, Any, Any]:
        """As the responsible node; or say who may be it."""
        elsewhere = self._elsewhere(place_of(question.key))
        if isinstance(question, Get):
            if elsewhere is not None:
                return _at_once(GetAnswer(question.number, ELSEWHERE, elsewhere[0], NEVER, ()))
            return self._coordinator.read(question)
        if elsewhere is not None:
            return _at_once(WriteAnswer(question.number, ELSEWHERE, elsewhere[0], NEVER, 0))
        return self._coordinator.write(question, begun)

    def _elsewhere(self, position: int) -> tuple[Contact | None] | None:
        """Whom to ask about a place that is not this peer's, as far as it knows."""
        if self.arcs.serves(position):
            return None
        owner = self.arcs.owner_of(position)
        if owner is not None:
            return (owner,)
        successor = self.node.successors[0]
        passed_on = self.arcs.serving is None or self.node.is_responsible(position >> POSITION_BITS - self.circle.bits)
        return (successor if passed_on and successor != self.me else None,)

    def _serve_get(self, sender: Contact, question: Get) -> Work:
        if self._served >= self.options.requests or not self._is_sane(question):
            return
        self._served += 1
        answer = yield from self._serve(question, lambda version: None)
        self._served -= 1
        self._send(sender, answer)

    def _serve_write(self, sender: Contact, question: Put | Remove) -> Work:
        number, key = question.number, (sender, question.number)
        if key in self._writes:
            known = self._writes[key]
            if known is not None:
                self._send(sender, known)
            return
        if self._served >= self.options.requests or not self._is_sane(question):
            return
        if question.version == NEVER and question.age > self._now.monotonic - self._began:
            self._send(sender, WriteAnswer(number, "unanswered", None, NEVER, 0))  # an earlier life may have begun it
            return
        self._served += 1
        self._writes[key] = None
        answer: WriteAnswer = yield from self._serve(question, lambda version: self._send(sender, Begun(number, version)))
        self._served -= 1
        if answer.reason:
            del self._writes[key]
        else:
            self._writes[key] = answer
            self._writes.move_to_end(key)
        while len(self._writes) > 2 * self.options.requests:
            self._writes.popitem(last=False)
        self._send(sender, answer)

    def _is_sane(self, question: Get | Put | Remove) -> bool:
        options = self.options
        if not (0 < len(question.key) <= options.key_octets and 1 <= question.quorum <= options.copies):
            return False
        return not isinstance(question, Put) or (len(question.value) <= options.value_octets and question.life > 0)

    def _fetched(self, sender: Contact, question: Fetch) -> Work:
        self.table.expire(self._now.monotonic)
        if not self.arcs.follows(sender, question.epoch, place_of(question.key)):
            self._send(sender, FetchAnswer(question.number, FOREIGN, False, ()))
            return
        held = self.table.get(question.key)
        if held is not None:
            yield Durable(held.batch)
        digest = held.digest if held is not None else 0
        records = () if held is None or digest == question.digest else (held.record(self._now.monotonic),)
        self._send(sender, FetchAnswer(question.number, "", digest == question.digest, records))

    def _stored(self, sender: Contact, question: Store) -> Work:
        if not all(self.arcs.follows(sender, question.epoch, place_of(each.key)) for each in question.records):
            self._send(sender, StoreAnswer(question.number, FOREIGN))
            return
        try:
            self._coordinator.take(question.records, strict=True)
        except Full:
            self._send(sender, StoreAnswer(question.number, "full"))
            return
        except ValueError:
            return
        for record in question.records:
            held = self.table.get(record.key)
            if held is not None:
                yield Durable(held.batch)
        self._send(sender, StoreAnswer(question.number, ""))

    # Inside

    def _go(self) -> Work:
        """Hand over, then wait until nobody counts on this peer's copies."""
        options, arcs = self.options, self.arcs
        begun = self._now.monotonic
        self.node.leave()
        while self._now.monotonic < begun + 2 * options.deadline:
            others = [each for each in self.node.successors if each != self.me]
            if not others:
                break
            if arcs.serving is not None and not (yield from arcs.hand_over(others[0], self.me.ident)):
                yield Pause(options.again)
            elif arcs.serving is None and not arcs.claims.holding(self.me, begun - 3 * options.sync):
                break
            elif arcs.serving is None:
                yield Pause(options.again)
        self._events.append(Left())

    def _clock(self) -> float:
        return self._now.monotonic

    def _wake(self) -> None:
        self._tasks.wake(self._now.monotonic)

    def _holders(self) -> tuple[int, Sequence[Contact]]:
        return self.arcs.holders()

    def _serves(self, position: int) -> bool:
        return self.arcs.serves(position)

    def _contested(self, holder: Contact) -> None:
        self.arcs.contested(holder)

    def _lost(self, spans: Sequence[Span]) -> None:
        for key in self._coordinator.forget(lambda position: overlap(spans, ((position, position),))):
            held = self.table.get(key)
            self._events.append(Keep(self._tasks.batch(), (), (key,)))
            if held is not None:
                held.batch = self._tasks.batch()
                self._events.append(Keep(held.batch, (held.record(self._now.monotonic),)))

    def _drop(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self.table.drop(key)
        if keys:
            self._events.append(Keep(self._tasks.batch(), (), tuple(keys)))

    def _keep(self, records: Sequence[Record]) -> None:
        batch = self._tasks.batch()
        for record in records:
            held = self.table.get(record.key)
            if held is not None:
                held.batch = batch
        self._events.append(Keep(batch, tuple(records)))

    def _node_looks_up(self, ident: int, now: float) -> int | None:
        try:
            return self.node.look_up(ident, now)
        except ValueError:
            return None

    def _of_node(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, NodeGone):
                if len(self.arcs.gone) > MOST_GONE:
                    self.arcs.gone.clear()
                self.arcs.gone.add(event.node)
            elif isinstance(event, Joined):
                self.arcs.joining = False
            if isinstance(event, Joined | NeighboursChanged):
                self.arcs.wake()
            if not isinstance(event, LookedUp) or not self._tasks.found(
                event.number, event.responsible, self._now.monotonic
            ):
                self._events.append(event)

    def _told(self) -> Iterator[Event]:
        while self._events:
            events, self._events = self._events, []
            yield from events

    def _send(self, to: Contact, message: Message) -> None:
        self._out.append((to, message))


def _always(message: DataMessage) -> Callable[[int], DataMessage]:
    return lambda number: message


def _at_once(answer: Any) -> Generator[Wait, Any, Any]:
    yield from ()
    return answer
