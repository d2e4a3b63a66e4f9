"""Work of a peer that waits in between: for answers of others, for a look-up, for the disk, or for some time."""

import heapq
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

from netstack.ring.data_messages import Begun, DataMessage
from netstack.ring.identifiers import Contact
from netstack.ring.records import NEVER, Version


class Numbered(Protocol):
    """A message that belongs to a question."""

    @property
    def number(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask these and wait for answers: all of them, or so many good ones (none: no waiting), but no longer than the time."""

    questions: Sequence[tuple[Contact, Callable[[int], DataMessage]]]
    """Whom, and the message with its number."""
    timeout: float
    enough: int = 1 << 30
    good: Callable[[Any], bool] = lambda answer: True
    number: int = 0
    """Of the one question, where it is asked again under its old number."""
    until: Callable[[Sequence[tuple[Contact, Any]]], bool] | None = None
    """Instead of `enough`: whether these answers are."""

    def is_done(self, came: Sequence[tuple[Contact, Any]]) -> bool:
        """Whether these answers are enough."""
        return self.until(came) if self.until is not None else sum(self.good(each) for _, each in came) >= self.enough


@dataclass(slots=True)
class Answers:
    """What an Ask brought."""

    came: list[tuple[Contact, Any]]
    begun: Version = NEVER
    """The version that a write was given, answered or not."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Wait for who is responsible for an identifier: a Contact or None."""

    ident: int


@dataclass(frozen=True, slots=True)
class Durable:
    """Wait for a batch of records."""

    batch: int


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float
    woken: bool = False
    """Shorter when something has changed (`wake`)."""


Wait = Ask | LookUp | Durable | Pause
Work = Generator[Wait, Any, None]


class _Task:
    __slots__ = ("answers", "numbers", "turn", "waits", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.turn = 0
        """Counts its waits, so that a late alarm is known."""
        self.waits: Wait | None = None
        self.numbers: dict[int, Contact] = {}
        self.answers = Answers([])


class Tasks:
    """All of one peer."""

    def __init__(
        self, first: int, send: Callable[[Contact, DataMessage], None], look_up: Callable[[int, float], int | None]
    ) -> None:
        """`first`: of the numbers, which no earlier life of the node used; `look_up` gives a number or None."""
        self._number = first
        self._send = send
        self._look_up = look_up
        self._asked: dict[int, _Task] = {}
        self._looked: dict[int, _Task] = {}
        self._durable: set[int] = set()
        self._unkept: dict[int, list[_Task]] = {}
        self._alarms: list[tuple[float, int, int, _Task]] = []
        self._sleeping: list[tuple[int, _Task]] = []
        self._count = 0

    def number(self) -> int:
        """A new one."""
        self._number += 1
        return self._number

    def batch(self) -> int:
        """The number of a new batch of records that is not durable yet."""
        number = self.number()
        self._unkept[number] = []
        return number

    def tell(self, to: Contact, message: Callable[[int], DataMessage]) -> None:
        """Ask without waiting."""
        self._send(to, message(self.number()))

    def run(self, work: Work, now: float) -> None:
        """Begin some work."""
        self._go_on(_Task(work), None, now)

    def answered(self, sender: Contact, message: Numbered, now: float) -> None:
        """An answer came; nobody may wait for it any more."""
        task = self._asked.get(message.number)
        if task is None or task.numbers.get(message.number) != sender:
            return
        ask = task.waits
        if not isinstance(ask, Ask):
            return
        if isinstance(message, Begun):
            task.answers.begun = message.version
            return
        del self._asked[message.number], task.numbers[message.number]
        task.answers.came.append((sender, message))
        if not task.numbers or ask.is_done(task.answers.came):
            self._go_on(task, task.answers, now)

    def unreachable(self, node: Contact, now: float) -> None:
        """Nobody is there: what it was asked will not be answered, and nobody waits for it."""
        for number, task in [*self._asked.items()]:
            if task.numbers.get(number) == node:
                del self._asked[number], task.numbers[number]
                if not task.numbers:
                    self._go_on(task, task.answers, now)

    def found(self, number: int, responsible: Contact | None, now: float) -> bool:
        """A look-up ended; whether it was one of these."""
        task = self._looked.pop(number, None)
        if task is not None:
            self._go_on(task, responsible, now)
        return task is not None

    def persisted(self, batch: int, now: float) -> None:
        """A batch is durable."""
        for task in self._unkept.pop(batch, ()):
            self._go_on(task, None, now)

    def wake(self, now: float) -> None:
        """Something has changed: who pauses until then goes on at once."""
        sleeping, self._sleeping = self._sleeping, []
        for turn, task in sleeping:
            if task.turn == turn:
                self._go_on(task, None, now)

    def on_timer(self, now: float) -> None:
        while self._alarms and self._alarms[0][0] <= now:
            _, _, turn, task = heapq.heappop(self._alarms)
            if task.turn == turn:
                self._go_on(task, task.answers if isinstance(task.waits, Ask) else None, now)

    def next_timer(self) -> float:
        while self._alarms and self._alarms[0][3].turn != self._alarms[0][2]:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else inf

    def _go_on(self, task: _Task, result: Any, now: float) -> None:
        for number in task.numbers:
            del self._asked[number]
        task.numbers = {}
        while True:
            task.turn += 1
            try:
                wait = task.waits = task.work.send(result)
            except StopIteration:
                return
            result = None
            if isinstance(wait, Durable):
                if wait.batch in self._unkept:
                    self._unkept[wait.batch].append(task)
                    return
            elif isinstance(wait, LookUp):
                looked = self._look_up(wait.ident, now)
                if looked is not None:
                    self._looked[looked] = task
                    return
            elif isinstance(wait, Pause):
                self._alarm(now + wait.seconds, task)
                if wait.woken:
                    self._sleeping = [each for each in self._sleeping if each[1].turn == each[0]]
                    self._sleeping.append((task.turn, task))
                return
            else:
                task.answers = result = Answers([])
                enough = wait.is_done(())
                for to, message in wait.questions:
                    number = wait.number or self.number()
                    if not enough:
                        self._asked[number] = task
                        task.numbers[number] = to
                    self._send(to, message(number))
                if task.numbers:
                    self._alarm(now + wait.timeout, task)
                    return

    def _alarm(self, when: float, task: _Task) -> None:
        self._count += 1
        heapq.heappush(self._alarms, (when, self._count, task.turn, task))
