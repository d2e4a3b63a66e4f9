"""Blocking work of one owner, one piece after another beside the reactor; what comes next is decided in its turn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from netstack.kernel.offload import Offload
from netstack.kernel.reactor import Reactor


@dataclass(frozen=True, slots=True)
class Work:
    """`run` may block; `done` gets its result or Failure in the reactor's thread."""

    run: Callable[[], Any]
    done: Callable[[Any], None]
    cost: float = 0.0
    """Seconds in the simulation."""


A_TURN = Work(lambda: None, lambda result: None)
"""Nothing: others get their turn, before the next work is asked for."""


class Lane:
    """Asks `following` for work whenever none is under way."""

    def __init__(self, reactor: Reactor, offload: Offload, following: Callable[[], Work | None]) -> None:
        self._reactor = reactor
        self._offload = offload
        self._following = following
        self.busy = False
        """Work is under way."""
        self._waiting: list[Deferred[None]] = []

    def go(self) -> None:
        """There may be work."""
        if self.busy:
            return
        work = self._following()
        if work is None:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)
            return
        self.busy = True
        if work is A_TURN:
            self._reactor.callLater(0, self._done, None, work)
            return
        self._offload(work.run, work.cost).addBoth(self._done, work)

    def _done(self, result: Any, work: Work) -> None:
        try:
            work.done(result)
        finally:
            self.busy = False
        self.go()

    def idle(self) -> "Deferred[None]":
        """Fires when there is nothing left to do."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        self.go()
        return waiter


def failed(result: Any) -> OSError | None:
    """What is wrong with the disk, if that is the result; any other failure is raised."""
    if not isinstance(result, Failure):
        return None
    if not isinstance(result.value, OSError):
        result.raiseException()
    return result.value
