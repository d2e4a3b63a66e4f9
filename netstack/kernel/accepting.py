"""What the connections that one listener accepted share, so that each costs less."""

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall

from netstack.kernel.limits import StreamLimits
from netstack.kernel.reactor import Reactor
from netstack.sansio import Address


def first_look(limits: StreamLimits) -> float:
    """The age at which a connection's times are first looked at: early enough for the end of a short one."""
    return min(limits.discard, limits.idle)


class Young(Protocol):
    """A connection of less than a certain age."""

    def grown(self) -> None:
        """It has reached that age."""


class Nursery:
    """Tells each connection when it is `age` seconds old; one delayed call for all of them, none while there are none.

    Most connections end before, without a timer of their own.
    """

    def __init__(self, reactor: Reactor, age: float) -> None:
        self.age = age
        self.no_delay = False
        """Whether accepted sockets inherit TCP_NODELAY from the listening one."""
        self.local: Address | None = None
        """The connections' local address, unless the listener has all of the host's."""
        self._reactor = reactor
        self._young: dict[Young, float] = {}
        """When each is grown; the oldest first."""
        self._call: IDelayedCall | None = None

    def add(self, young: Young, now: float) -> float:
        """A new connection; gives the time when it will be told."""
        due = self._young[young] = now + self.age
        if self._call is None:
            self._call = self._reactor.callLater(self.age, self._look)
        return due

    def drop(self, young: Young) -> None:
        """It is gone; maybe it was grown before."""
        if self._young.pop(young, None) is not None and not self._young and self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        now = self._reactor.seconds()
        try:
            while self._young:
                young, due = next(iter(self._young.items()))
                if due > now:
                    break
                del self._young[young]
                young.grown()
        finally:
            if self._young and self._call is None:
                due = next(iter(self._young.values()))
                self._call = self._reactor.callLater(max(0.0, due - self._reactor.seconds()), self._look)
