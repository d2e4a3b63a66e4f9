"""Work that would block the reactor: threads on a real one, declared cost in virtual time in the simulation."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

T = TypeVar("T")


class Offload(Protocol):
    """Runs blocking work and fires with its result or failure."""

    def __call__(self, work: Callable[[], T], cost: float = 0.0) -> Deferred[T]:
        """Run `work` off the reactor thread. `cost` is its declared duration in seconds, used by the simulation alone."""


class ThreadOffload:
    """Runs work in the real reactor's thread pool; `cost` is ignored."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __call__(self, work: Callable[[], T], cost: float = 0.0) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)
