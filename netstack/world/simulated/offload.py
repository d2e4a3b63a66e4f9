"""Work for threads, inline: it runs at once and its result is there after its declared cost in virtual time."""

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from netstack.kernel.reactor import Reactor

T = TypeVar("T")


class InlineOffload:
    """Implements kernel.offload.Offload."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor

    def __call__(self, work: Callable[[], T], cost: float = 0.0) -> Deferred[T]:
        """Run `work` at now + `cost` and fire with its result or failure."""
        done: Deferred[T] = Deferred()

        def run() -> None:
            try:
                result = work()
            except Exception:
                done.errback(Failure())
            else:
                done.callback(result)

        self._reactor.callLater(cost, run)
        return done
