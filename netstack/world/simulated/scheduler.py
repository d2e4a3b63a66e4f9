"""Virtual time: one heap of events in integer nanoseconds, run in order, the same order for the same seed."""

import gc
import sys
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

from twisted.internet.base import DelayedCall
from twisted.logger import Logger

if TYPE_CHECKING:
    from netstack.world.simulated.reactor import SimulatedReactor

NANOSECONDS = 1_000_000_000
HOUSEKEEPING = 1 << 16
"""Events between two rounds of housekeeping: hashing what was recorded and collecting young garbage."""
FULL_COLLECTION = 1 << 20
"""Events between two full collections."""

Event = tuple[int, int, "SimulatedReactor | None", Callable[..., Any], tuple[Any, ...]]
"""(nanoseconds, sequence number, reactor in whose name it runs, function, arguments)."""

_log = Logger()


def nanoseconds(seconds: float) -> int:
    """The nearest whole number of nanoseconds."""
    return round(seconds * NANOSECONDS)


class TimeStandsStill(Exception):
    """Too many events at one instant: something calls itself without delay."""


class Timer(DelayedCall):
    """A DelayedCall of one reactor; its old heap entries are dropped when their time comes."""

    reactor: "SimulatedReactor"
    due = 0
    """Nanoseconds of the latest entry in the heap; an earlier one is void."""

    def __call__(self) -> None:
        if self.called or self.cancelled:
            return
        if self.delayed_time:
            self.activate_delay()
            self.reactor.push(self)
        elif self.due <= self.reactor.scheduler.now:
            self.called = 1
            self.func(*self.args, **self.kw)


class Scheduler:
    """Runs events in order of (time, sequence number). Zero delays are first-in-first-out at the same instant."""

    __slots__ = ("_cancelled", "current", "events", "heap", "housekeeping", "most_at_once", "now", "sequence")

    def __init__(self, most_at_once: int = 1_000_000) -> None:
        self.now = 0
        """Nanoseconds since the start."""
        self.heap: list[Event] = []
        self.sequence = count(1).__next__
        self.current: SimulatedReactor | None = None
        """Whose event runs now; None between events and for the network's own."""
        self.events = 0
        self.housekeeping: list[Callable[[], None]] = []
        """Called every HOUSEKEEPING events and at the end of a run."""
        self.most_at_once = most_at_once
        self._cancelled = 0

    def at(self, when: int, reactor: "SimulatedReactor | None", call: Callable[..., Any], *arguments: Any) -> None:
        """Run `call` at `when` (nanoseconds) in the name of `reactor`, unless that one is dead by then."""
        heappush(self.heap, (when, self.sequence(), reactor, call, arguments))

    def cancelled(self) -> None:
        """A timer was cancelled: when most of the heap may be void, drop what is."""
        self._cancelled += 1
        if self._cancelled > 1000 and self._cancelled * 2 > len(self.heap):
            self._cancelled = 0
            self.heap[:] = [
                entry
                for entry in self.heap
                if (entry[2] is None or entry[2].alive) and (type(entry[3]) is not Timer or entry[3].active())
            ]
            heapify(self.heap)

    def run(self, until: int | None = None, stop: Callable[[], bool] | None = None) -> None:
        """Run until nothing is left, `until` (nanoseconds) has come, or `stop()` is true between two events.

        The garbage collector is off meanwhile and called at fixed event counts, so that finalizers run at the same
        instants each time. An exception that reaches this loop is logged, as the real reactors do.
        """
        heap, limit = self.heap, sys.maxsize if until is None else until
        events, now = self.events, self.now
        first = events
        due = events - events % HOUSEKEEPING + HOUSEKEEPING
        collecting = gc.isenabled()
        gc.disable()
        try:
            while True:
                if stop is not None:
                    self.current = None
                    if stop():
                        return
                if not heap or heap[0][0] > limit:
                    break
                when, _, reactor, call, arguments = heappop(heap)
                if reactor is not None and (not reactor.alive or (type(call) is Timer and not call.active())):
                    continue
                if when != now:
                    self.now = now = when
                    first = events
                elif events - first > self.most_at_once:
                    raise TimeStandsStill(f"{events - first} events at {now / NANOSECONDS} s; the last one is {call}")
                self.current = reactor
                events += 1
                if events == due:
                    due += HOUSEKEEPING
                    self._keep_house(events)
                try:
                    call(*arguments)
                except Exception:
                    _log.failure("in an event of the simulation")
            if until is not None and until > self.now:
                self.now = until
        finally:
            self.events = events
            self.current = None
            for work in self.housekeeping:
                work()
            if collecting:
                gc.enable()

    def _keep_house(self, events: int) -> None:
        for work in self.housekeeping:
            work()
        gc.collect(2 if not events % FULL_COLLECTION else 1)
