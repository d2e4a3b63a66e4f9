"""Which servers can be asked over TLS though nothing says so: unilateral probing (RFC 9539 §4); pure.

A server is asked in the clear until a handshake with it has succeeded; one that has not is not probed again for a day.
"""

from collections import OrderedDict
from enum import Enum, auto

from netstack.dns.servers import REMEMBERED

PATIENCE = 30.0
"""Seconds after which a probe of which nothing was heard is over."""


class _State(Enum):
    PENDING = auto()
    GOOD = auto()
    FAILED = auto()


class Probing:
    """What is known of servers by their addresses, the ones used longest ago forgotten. Times are monotonic seconds.

    A success counts for `persistence` seconds from the last reply, a failure for `damping`.
    """

    def __init__(self, persistence: float, damping: float) -> None:
        self.persistence = persistence
        self.damping = damping
        self._known: OrderedDict[str, tuple[_State, float]] = OrderedDict()

    def good(self, address: str, now: float) -> bool:
        """Whether it is to be asked over TLS."""
        state, until = self._known.get(address, (None, 0.0))
        return state is _State.GOOD and now < until

    def due(self, address: str, now: float) -> bool:
        """Whether it is to be probed now; it is pending then."""
        _, until = self._known.get(address, (None, 0.0))
        if now < until:
            return False
        self._keep(address, _State.PENDING, now + PATIENCE)
        return True

    def succeeded(self, address: str, now: float) -> None:
        """A handshake is done, or a reply has come over TLS."""
        self._keep(address, _State.GOOD, now + self.persistence)

    def failed(self, address: str, now: float) -> None:
        """It is not there, or does not reply."""
        self._keep(address, _State.FAILED, now + self.damping)

    def forget(self) -> None:
        """As at the start."""
        self._known.clear()

    def _keep(self, address: str, state: _State, until: float) -> None:
        self._known[address] = state, until
        self._known.move_to_end(address)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
