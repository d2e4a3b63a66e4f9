"""What the responsible node does with a key: it gives versions, writes to the copies, and reads so that copies agree.

Its own copy is one of every quorum. A read answers only what so many copies have, its own among them, durably; where they
differ it makes them agree first (the write-back of Attiya, Bar-Noy and Dolev's register), so that no later read sees less.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from typing import Any

from netstack.ring.data_messages import (
    Fetch,
    FetchAnswer,
    Get,
    GetAnswer,
    Put,
    Remove,
    Store,
    StoreAnswer,
    WriteAnswer,
)
from netstack.ring.identifiers import Contact
from netstack.ring.records import NEVER, DataOptions, Record, Value, Version
from netstack.ring.table import OVERHEAD, Full, Held, Table, name_of, place_of
from netstack.ring.tasks import Answers, Ask, Durable, Wait

Reading = Generator[Wait, Any, GetAnswer]
Writing = Generator[Wait, Any, WriteAnswer]
ELSEWHERE = "elsewhere"
"""The one that was asked is not responsible: no failure, another one is asked."""
FOREIGN = "foreign"
"""A holder follows another owner, or a later epoch."""
LEAP = 1 << 20
"""A version may be so far ahead of what this node has seen: others that are farther are made up."""


class Coordinator:
    """Of one node."""

    def __init__(
        self,
        table: Table,
        options: DataOptions,
        origin: int,
        clock: Callable[[], float],
        keep: Callable[[Sequence[Record]], None],
        holders: Callable[[], tuple[int, Sequence[Contact]]],
        serves: Callable[[int], bool],
        contested: Callable[[Contact], None],
    ) -> None:
        """`keep` makes records durable; `holders` gives the epoch and the other nodes that have copies; `serves` tells
        whether a place is still this node's; `contested` is told of holders that follow another one."""
        self._table = table
        self._options = options
        self._origin = origin
        self._clock = clock
        self._keep = keep
        self._holders = holders
        self._serves = serves
        self._contested = contested
        self._counter = 0
        self._doubtful: OrderedDict[tuple[bytes, Version], None] = OrderedDict()
        """Writes that are not known to have got their quorum."""

    def read(self, question: Get) -> Reading:
        """The values of a key."""
        table, number = self._table, question.number
        table.expire(self._clock())
        held = table.get(question.key)
        asked = held.digest if held is not None else 0
        epoch, holders = self._holders()
        answers: Answers = yield Ask(
            [(each, lambda n: Fetch(n, epoch, question.key, asked)) for each in holders if question.quorum > 1],
            self._options.timeout,
            question.quorum - 1,
            _is_done,
        )
        for each, answer in answers.came:
            self._heard(each, answer)
            self.take(answer.records)
        table.expire(self._clock())
        held = table.get(question.key)
        now = self._clock()
        record = held.record(now) if held is not None else Record(question.key, NEVER, 0.0, ())
        version = held.newest if held is not None else NEVER
        digest = held.digest if held is not None else 0
        agree = {each for each, answer in answers.came if not answer.reason and answer.same and digest == asked}
        if held is not None:
            batch = held.batch
            if len(agree) < question.quorum - 1:
                agree |= yield from self._bring(
                    record, [each for each in holders if each not in agree], epoch, question.quorum - 1 - len(agree)
                )
            yield Durable(batch)
        if len(agree) < question.quorum - 1:
            return GetAnswer(number, "quorum", None, version, ())
        if self._holders()[0] != epoch or not self._serves(place_of(question.key)):
            return GetAnswer(number, ELSEWHERE, None, version, ())
        values = sorted((value for value in record.values if not value.dead), key=lambda value: value.version)
        return GetAnswer(number, "", None, version, tuple(values))

    def write(self, question: Put | Remove, begun: Callable[[Version], None]) -> Writing:
        """Add or remove values; `begun` is told the version before anything else happens."""
        table, number = self._table, question.number
        table.expire(self._clock())
        if question.version.counter > max(self._counter, table.newest) + LEAP:
            return WriteAnswer(number, "unanswered", None, NEVER, 0)
        held = table.get(question.key)
        if (
            question.version != NEVER
            and held is not None
            and question.version < held.newest
            and not held.has(question.version)
        ):
            # an earlier owner gave it: it was superseded, or never came so far, and it is too late for it now
            return WriteAnswer(number, "unanswered", None, NEVER, 0)
        if question.version == NEVER:
            trouble = self._trouble(question, held)
            if trouble:
                return WriteAnswer(number, trouble, None, NEVER, 0)
            if isinstance(question, Remove) and not _is_there(held, question.name):
                read = yield from self.read(Get(number, question.key, question.quorum))
                return WriteAnswer(number, read.reason, None, read.version, question.quorum)
            self._counter = max(self._counter, table.newest) + 1
        version = question.version if question.version != NEVER else Version(self._counter, self._origin)
        record = self._changed(question, version)
        begun(version)
        try:
            self.take([record], strict=True)
        except Full:
            return WriteAnswer(number, "full", None, NEVER, 0)
        held = table.get(question.key)
        batch = held.batch if held is not None else 0
        self._doubtful[question.key, version] = None
        while len(self._doubtful) > self._options.requests:
            self._doubtful.popitem(last=False)
        epoch, holders = self._holders()
        stored = yield from self._bring(record, holders, epoch, question.quorum - 1)
        yield Durable(batch)
        enough = len(stored) >= question.quorum - 1
        if enough:
            self._doubtful.pop((question.key, version), None)
        return WriteAnswer(number, "" if enough else "quorum", None, version, 1 + len(stored))

    def forget(self, is_lost: Callable[[int], bool]) -> list[bytes]:
        """Another node has become the owner of some places: take back there what did not get a quorum; the keys.

        Nobody has seen it, and it must not come to light behind what that owner writes.
        """
        keys = []
        for key, version in [*self._doubtful]:
            if is_lost(place_of(key)):
                del self._doubtful[key, version]
                if self._table.retract(key, version):
                    keys.append(key)
        return keys

    def take(self, records: Sequence[Record], strict: bool = False) -> None:
        """Merge what others have; `strict`: raises Full, which else only leaves a record out."""
        news = []
        for record in records:
            try:
                if self._table.merge(record, self._clock()):
                    news.append(record)
            except Full:
                if strict:
                    raise
        if news:
            self._keep(news)

    def _bring(
        self, record: Record, holders: Sequence[Contact], epoch: int, enough: int
    ) -> Generator[Wait, Any, set[Contact]]:
        """Store a record in others' copies; which of them have it."""
        answers: Answers = yield Ask(
            [(each, lambda n: Store(n, epoch, (record,))) for each in holders], self._options.timeout, enough, _is_done
        )
        for each, answer in answers.came:
            self._heard(each, answer)
        return {each for each, answer in answers.came if not answer.reason}

    def _heard(self, holder: Contact, answer: FetchAnswer | StoreAnswer) -> None:
        if answer.reason == FOREIGN:
            self._contested(holder)

    def _trouble(self, question: Put | Remove, held: Held | None) -> str:
        """The reason why a new write is refused, or ""."""
        options = self._options
        if not 0 < len(question.key) <= options.key_octets:
            return "too large"
        if isinstance(question, Remove):
            return ""
        if len(question.value) > options.value_octets:
            return "too large"
        if held is None or question.replace:
            return ""
        more = name_of(question.value) not in held.values
        if more and len(held.values) >= options.values:
            return "too many"
        if more and held.octets + len(question.value) + OVERHEAD > options.record_octets:
            return "too many"
        return ""

    def _changed(self, question: Put | Remove, version: Version) -> Record:
        tombstone = self._options.tombstone
        if isinstance(question, Put):
            value = Value(name_of(question.value), version, question.life, False, question.value)
            return Record(question.key, version if question.replace else NEVER, tombstone, (value,))
        if question.name:
            return Record(question.key, NEVER, 0.0, (Value(question.name, version, tombstone, True),))
        return Record(question.key, version, tombstone, ())


def _is_done(answer: FetchAnswer | StoreAnswer) -> bool:
    return not answer.reason


def _is_there(held: Held | None, name: bytes) -> bool:
    """Whether there is something to be removed."""
    if held is None:
        return False
    if not name:
        return any(not entry.dead for entry in held.values.values())
    entry = held.values.get(name)
    return entry is not None and not entry.dead
