"""Copies that are not a peer's to keep any more: offered to who is responsible, dropped once that one has them.

A peer that was away may have what was removed meanwhile. What has been nobody's for longer than it is known that a value
was removed is dropped without an offer.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from netstack.ring.arcs import Arcs
from netstack.ring.claims import without
from netstack.ring.coordinator import ELSEWHERE, Coordinator
from netstack.ring.copying import AT_ONCE
from netstack.ring.data_messages import Give, GiveAnswer, Item, Offer, OfferAnswer, Store
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.records import POSITION_BITS, DataOptions, Record
from netstack.ring.table import Full, Held, Table, place_of
from netstack.ring.tasks import Answers, Ask, Durable, LookUp, Pause, Wait, Work

EVERYWHERE = [(0, (1 << POSITION_BITS) - 1)]
OFFERS = 64
"""Of one round."""


class Strays:
    """Of one peer."""

    def __init__(
        self,
        circle: Circle,
        me: Contact,
        table: Table,
        options: DataOptions,
        arcs: Arcs,
        coordinator: Coordinator,
        clock: Callable[[], float],
        drop: Callable[[Sequence[bytes]], None],
    ) -> None:
        self._circle = circle
        self._me = me
        self._table = table
        self._options = options
        self._arcs = arcs
        self._coordinator = coordinator
        self._clock = clock
        self._drop = drop

    def work(self) -> Work:
        """For as long as the peer runs."""
        while True:
            yield Pause(self._options.sync)
            for _ in range(OFFERS):
                if not (yield from self._offer()):
                    break

    def held(self) -> Iterator[Held]:
        """Copies that are not this peer's to keep."""
        arcs, options = self._arcs, self._options
        mine = arcs.claims.copies(self._me, self._clock() - 3 * options.sync - options.deadline)
        if arcs.serving is not None:
            mine.extend(arcs.spans(arcs.serving))
        for first, last in without(EVERYWHERE, mine):
            yield from self._table.sums.between(first, last)

    def _offer(self) -> Generator[Wait, Any, bool]:
        """Offer some that have one owner; whether they are dropped."""
        now = self._clock()
        self._table.expire(now)
        found: list[Held] = []
        outdated: list[bytes] = []
        for held in self.held():
            held.seen = held.seen or now
            if now - held.seen > self._options.tombstone:
                outdated.append(held.key)
            else:
                found.append(held)
            if len(found) >= AT_ONCE or len(outdated) >= 10 * AT_ONCE:
                break
        if outdated:
            self._drop(outdated)
        if not found:
            return bool(outdated)
        bits = self._circle.bits
        ident = found[0].position >> POSITION_BITS - bits
        owner = yield LookUp(ident)
        if owner is None or owner == self._me:
            return False
        span = self._circle.distance(ident, owner.ident)
        offered = [each for each in found if self._circle.distance(ident, each.position >> POSITION_BITS - bits) <= span]
        items = tuple(Item(each.position, each.digest) for each in offered)
        answers: Answers = yield Ask([(owner, lambda n: Offer(n, items))], 2 * self._options.timeout)
        if not answers.came or answers.came[0][1].reason:
            return False
        wanted = {*answers.came[0][1].wanted}
        gone = [each.key for each, item in zip(offered, items, strict=True) if item.position not in wanted]
        records: list[Record] = []
        size = 0
        for each in offered:
            if each.position in wanted and (not records or size + each.octets <= self._options.batch):
                records.append(each.record(self._clock()))
                size += each.octets
        if records:
            answers = yield Ask([(owner, lambda n: Give(n, tuple(records)))], 2 * self._options.timeout)
            if answers.came and not answers.came[0][1].reason:
                gone.extend(record.key for record in records)
        mine = {each.key for each in self.held()}
        gone = [key for key in gone if key in mine]
        self._drop(gone)
        return bool(gone)

    # As the owner

    def offered(self, question: Offer) -> OfferAnswer:
        """Which of these it does not have in the same way."""
        items = question.items[:AT_ONCE]
        if not self._arcs.in_use or not all(self._arcs.serves(item.position) for item in items):
            return OfferAnswer(question.number, ELSEWHERE, ())
        wanted = [item.position for item in items if not self._has(item)]
        return OfferAnswer(question.number, "", tuple(wanted))

    def took(self, question: Give) -> Generator[Wait, Any, GiveAnswer]:
        """Take records as a write, into so many copies."""
        number = question.number
        places = [place_of(record.key) for record in question.records]
        if not self._arcs.in_use or not all(self._arcs.serves(place) for place in places):
            return GiveAnswer(number, ELSEWHERE)
        try:
            self._coordinator.take(question.records, strict=True)
        except Full:
            return GiveAnswer(number, "full")
        epoch, holders = self._arcs.holders()
        records = question.records
        answers: Answers = yield Ask(
            [(each, lambda n: Store(n, epoch, records)) for each in holders],
            self._options.timeout,
            enough=self._options.to_write - 1,
            good=lambda answer: not answer.reason,
        )
        for record in records:
            held = self._table.get(record.key)
            if held is not None:
                yield Durable(held.batch)
        stored = sum(not answer.reason for _, answer in answers.came)
        return GiveAnswer(number, "" if stored >= self._options.to_write - 1 else "quorum")

    def _has(self, item: Item) -> bool:
        return any(held.digest == item.digest for held in self._table.sums.between(item.position, item.position))
