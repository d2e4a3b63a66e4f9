"""Two nodes make their copies of an arc agree: sums of places first, then only what differs.

Who begins sends the sums of a few spans; the other answers with finer sums where they differ, or with what lies there
once it is little. So the cost grows with the differences, and with the logarithm of the keys. One message of bounded
size is under way.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from netstack.ring.claims import Span
from netstack.ring.coordinator import Coordinator
from netstack.ring.data_messages import (
    Compare,
    CompareAnswer,
    Item,
    Part,
    Pull,
    PullAnswer,
    Store,
)
from netstack.ring.identifiers import Contact
from netstack.ring.records import DataOptions, Record
from netstack.ring.sums import LEAF
from netstack.ring.table import OVERHEAD, Held, Table, place_of
from netstack.ring.tasks import Answers, Ask, Wait

PARTS = 32
"""Spans of one question."""
WAYS = 16
"""Into which a span is divided."""
TRIES = 3
AT_ONCE = 64
"""Keys that are asked for, or given, in one message, if they are small."""


class Copying:
    """Both sides, of one node."""

    def __init__(self, table: Table, options: DataOptions, coordinator: Coordinator, clock: Callable[[], float]) -> None:
        self.pulled = self.pushed = 0
        """Records that came, and that were given."""
        self._table = table
        self._options = options
        self._coordinator = coordinator
        self._clock = clock

    def agree(self, other: Contact, epoch: int, spans: Sequence[Span]) -> Generator[Wait, Any, bool]:
        """Exchange what differs; whether all of it was."""
        stack = [self._part(first, last) for first, last in spans]
        while stack:
            asked, stack = stack[-PARTS:], stack[:-PARTS]
            answer = yield from self._ask(other, _compare(epoch, tuple(asked)))
            if not isinstance(answer, CompareAnswer) or answer.reason:
                return False
            for part in answer.parts:
                ours = self._part(part.first, part.last)
                if (ours.count, ours.sum) != (part.count, part.sum):
                    stack.append(ours)
            if answer.listed and not (yield from self._exchange(other, epoch, answer)):
                return False
        return True

    def compare(self, question: Compare) -> CompareAnswer:
        """The other side's first step."""
        self._table.expire(self._clock())
        sums = self._table.sums
        parts: list[Part] = []
        listed: list[Part] = []
        items: list[Item] = []
        for part in question.parts[:PARTS]:
            count, total = sums.measure(part.first, part.last)
            if (count, total) == (part.count, part.sum):
                continue
            width = (part.last - part.first + WAYS) // WAYS
            if max(count, part.count) <= LEAF or part.first >= part.last:
                listed.append(Part(part.first, part.last, count, total))
                items.extend(Item(each.position, each.digest) for each in sums.between(part.first, part.last))
                continue
            for first in range(part.first, part.last + 1, width):
                parts.append(self._part(first, min(part.last, first + width - 1)))
        return CompareAnswer(question.number, "", tuple(parts), tuple(listed), tuple(items))

    def pull(self, question: Pull) -> PullAnswer:
        """Records at the places that were asked for, as many as one message takes, at least one of them."""
        records: list[Record] = []
        size = 0
        for position in question.positions[:AT_ONCE]:
            for held in self._table.sums.between(position, position):
                if not records or size + held.octets <= self._options.batch:
                    records.append(held.record(self._clock()))
                    size += held.octets
        return PullAnswer(question.number, "", tuple(records))

    def _part(self, first: int, last: int) -> Part:
        count, total = self._table.sums.measure(first, last)
        return Part(first, last, count, total)

    def _exchange(self, other: Contact, epoch: int, answer: CompareAnswer) -> Generator[Wait, Any, bool]:
        theirs = {item.position: item.digest for item in answer.items}
        ours = {
            each.position: each.digest for part in answer.listed for each in self._table.sums.between(part.first, part.last)
        }
        wanted = [position for position, digest in theirs.items() if ours.get(position) != digest]
        while wanted:
            asked = tuple(wanted[:AT_ONCE])
            pulled = yield from self._ask(other, _pull(epoch, asked))
            if not isinstance(pulled, PullAnswer) or pulled.reason or not pulled.records:
                return False
            self._coordinator.take(pulled.records)
            self.pulled += len(pulled.records)
            came = {place_of(record.key) for record in pulled.records}
            left = [position for position in wanted if position not in came]
            if len(left) == len(wanted):
                return False
            wanted = left
        given = [
            held
            for part in answer.listed
            for held in self._table.sums.between(part.first, part.last)
            if theirs.get(held.position) != held.digest
        ]
        return (yield from self.give(other, epoch, given))

    def give(self, other: Contact, epoch: int, given: Iterable[Held]) -> Generator[Wait, Any, bool]:
        """Records to be merged there, in batches."""
        batch: list[Record] = []
        size = 0
        for held in [*given, None]:
            if batch and (held is None or size + held.octets > self._options.batch or len(batch) >= AT_ONCE):
                answer = yield from self._ask(other, _store(epoch, tuple(batch)))
                if answer is None or answer.reason:
                    return False
                self.pushed += len(batch)
                batch, size = [], 0
            if held is not None:
                batch.append(held.record(self._clock()))
                size += held.octets + OVERHEAD
        return True

    def _ask(self, other: Contact, message: Callable[[int], Any]) -> Generator[Wait, Any, Any]:
        for _ in range(TRIES):
            answers: Answers = yield Ask([(other, message)], self._options.timeout)
            if answers.came:
                return answers.came[0][1]
        return None


def _compare(epoch: int, parts: Sequence[Part]) -> Callable[[int], Compare]:
    return lambda number: Compare(number, epoch, parts)


def _pull(epoch: int, positions: Sequence[int]) -> Callable[[int], Pull]:
    return lambda number: Pull(number, epoch, positions)


def _store(epoch: int, records: Sequence[Record]) -> Callable[[int], Store]:
    return lambda number: Store(number, epoch, records)
