"""Large messages on their way into their files, before they are committed: those that come together, in one pass."""

from collections.abc import Sequence
from zlib import crc32

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from netstack.kernel.disk import Disk
from netstack.kernel.offload import Offload
from netstack.mail.store.intake import Incoming, whole
from netstack.mail.store.messages import Arrival
from netstack.mail.store.summary import summary

COST = 0.001
"""Seconds that a pass takes, in the simulation alone."""
TOGETHER_OCTETS = 8 * 1024 * 1024
"""About how much is written in one pass: it is in memory twice meanwhile."""
_Waiting = tuple[Incoming, str, Deferred[tuple[Arrival, bool]]]


class Placing:
    """One account's. While a pass is under way those who come wait for the next one: it is one job, and one sync of their
    directory."""

    def __init__(self, disk: Disk, offload: Offload) -> None:
        self._disk = disk
        self._offload = offload
        self._waiting: list[_Waiting] = []
        self._busy = False

    def add(self, incoming: Incoming, path: str) -> Deferred[tuple[Arrival, bool]]:
        """Fires when it is in its file, durable, with whether others of the same pass follow at once. Fails with OSError;
        then nothing is there."""
        done: Deferred[tuple[Arrival, bool]] = Deferred()
        self._waiting.append((incoming, path, done))
        self._next()
        return done

    def _next(self) -> None:
        if self._busy or not self._waiting:
            return
        octets, count = 0, 0
        while count < len(self._waiting) and octets < TOGETHER_OCTETS:
            octets, count = octets + self._waiting[count][0].size, count + 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        self._busy = True

        def placed(found: list[Arrival | OSError] | Failure) -> None:
            self._busy = False
            self._next()
            for number, (_, _, done) in enumerate(group, 1):
                arrival = found if isinstance(found, Failure) else found[number - 1]
                if isinstance(arrival, Arrival):
                    done.callback((arrival, number < len(group)))
                else:
                    done.errback(arrival)

        self._offload(lambda: self._write([(incoming, path) for incoming, path, _ in group]), COST).addBoth(placed)

    def _write(self, group: Sequence[tuple[Incoming, str]]) -> list[Arrival | OSError]:
        """In a thread."""
        found: list[Arrival | OSError] = []
        contents: list[tuple[str, bytes]] = []
        for incoming, path in group:
            try:
                octets = whole(incoming)
            except OSError as error:
                found.append(error)
            else:
                contents.append((path, octets))
                found.append(incoming.arrival(None, path, crc32(octets), summary(octets)))
        try:
            self._disk.write_all(contents)
        except OSError:
            self._disk.remove_all([path for path, _ in contents])
            raise
        return found
