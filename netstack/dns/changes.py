"""Updates on their way into a zone: applied in order, on disk together, then served and answered for (RFC 2136 §3.5)."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from dns.name import Name
from dns.rcode import Rcode
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.dns.authority import Reply
from netstack.dns.history import Difference, changed
from netstack.dns.metrics import ZoneCounts
from netstack.dns.nameserver import Change, Nameserver
from netstack.dns.serial import serial_of
from netstack.dns.store import ZoneStore
from netstack.dns.update import Refused, apply
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone, ZoneError
from netstack.kernel.machine import Machine

TOGETHER = 100
"""Updates that share one write to the disk."""
SYNC = 0.002
"""Seconds that a write to the disk takes in the simulation."""
COMPACT = 1 << 20
"""Octets by which a journal grows before it is written anew."""

Answered = Callable[[Reply], None]


@dataclass(slots=True)
class _Draft:
    """One zone as the updates of one write leave it."""

    zone: Zone
    differences: list[Difference] = field(default_factory=list)


class Changes:
    """The updates of one server. While one write is under way, those that come wait for the next."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        nameserver: Nameserver,
        store: Callable[[Name], ZoneStore],
        counts: ZoneCounts,
        installed: Callable[[Zone], None],
        waiting: int,
    ) -> None:
        """`installed` is called with each new version once it is served; `waiting` bounds the queue."""
        self.machine = machine
        self.nameserver = nameserver
        self.counts = counts
        self._store = store
        self._installed = installed
        self._most = waiting
        self._queue: deque[tuple[Change, Answered]] = deque()
        self._writing = False
        self._known: set[Name] = set()
        """Zones whose copy on disk is what their journal begins with."""
        self._size: dict[Name, int] = {}
        self._idle: list[Deferred[None]] = []

    def begin(self, origin: Name) -> None:
        """The zone's files are in order: the next difference may be appended."""
        self._known.add(origin)

    def submit(self, change: Change, answered: Answered) -> None:
        """Carry out an update; `answered` gets the reply when that is on disk, or was refused."""
        if len(self._queue) >= self._most:
            self._answer(change, answered, Rcode.SERVFAIL)
            return
        self._queue.append((change, answered))
        self._go_on()

    def idle(self) -> Deferred[None]:
        """Fires when nothing is under way."""
        waiting: Deferred[None] = Deferred()
        if self._writing:
            self._idle.append(waiting)
        else:
            waiting.callback(None)
        return waiting

    def _go_on(self) -> None:
        while self._queue and not self._writing:
            drafts: dict[Name, _Draft] = {}
            answers = []
            for _ in range(min(TOGETHER, len(self._queue))):
                change, answered = self._queue.popleft()
                answers.append((change, answered, self._apply(change, drafts)))
            changed_zones = {origin: draft for origin, draft in drafts.items() if draft.differences}
            if not changed_zones:
                for change, answered, rcode in answers:
                    self._answer(change, answered, rcode)
                continue
            self._writing = True
            written = self.machine.offload(lambda zones=changed_zones: self._write(zones), cost=SYNC)  # type: ignore[misc]
            written.addBoth(self._written, changed_zones, answers)
            written.addErrback(lambda failure: self.log.failure("an update ended in an error", failure))

    def _apply(self, change: Change, drafts: dict[Name, _Draft]) -> Rcode:
        served = self.nameserver.authority.zones.get(change.origin)
        policy = self.nameserver.rules_of(change.origin).policy
        if served is None or policy is None:
            return Rcode.SERVFAIL
        draft = drafts.setdefault(change.origin, _Draft(served))
        try:
            found = apply(draft.zone, change.update, lambda name, rdtype: policy.allows(change.key, name, rdtype))
            if found is not None:
                draft.zone = changed(draft.zone, [found])
                draft.differences.append(found)
        except Refused as refused:
            self.log.debug("{zone}: update refused: {why}", zone=name_text(change.origin), why=str(refused))
            return refused.rcode
        except ZoneError as error:  # what the update asks for is no zone
            self.log.debug("{zone}: update refused: {why}", zone=name_text(change.origin), why=str(error))
            return Rcode.REFUSED
        return Rcode.NOERROR

    def _write(self, drafts: dict[Name, _Draft]) -> None:
        """Off the reactor's thread: the disk alone is touched."""
        for origin, draft in drafts.items():
            store = self._store(origin)
            history = self.nameserver.rules_of(origin).history
            if origin in self._known and store.journal_octets < 2 * self._size.get(origin, 0) + COMPACT:
                store.append(draft.differences)
                continue
            self._known.discard(origin)
            store.write(draft.zone, [*history, *draft.differences])
            self._size[origin] = store.journal_octets
            self._known.add(origin)

    def _written(self, result: object, drafts: dict[Name, _Draft], answers: list[tuple[Change, Answered, Rcode]]) -> None:
        self._writing = False
        failed = isinstance(result, Failure)
        if failed:
            # what is in the journal now is not known: the next write replaces it
            self._known.difference_update(drafts)
            self.log.error("{name}: zones cannot be written: {why}", name=self.machine.name, why=result.getErrorMessage())  # type: ignore[attr-defined]
        else:
            for origin, draft in drafts.items():
                history = self.nameserver.rules_of(origin).history
                for each in draft.differences:
                    history.add(each)
                self.nameserver.authority.put(draft.zone)
                self.log.info(
                    "{zone}: serial {serial} by {count} updates",
                    zone=name_text(origin), serial=serial_of(draft.zone.soa), count=len(draft.differences),
                )  # fmt: skip
        for change, answered, rcode in answers:
            self._answer(change, answered, Rcode.SERVFAIL if failed and change.origin in drafts else rcode)
        if not failed:
            for draft in drafts.values():
                self._installed(draft.zone)
        self._go_on()
        if not self._writing:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def _answer(self, change: Change, answered: Answered, rcode: Rcode) -> None:
        self.counts.updates[rcode] += 1
        answered(change.seal.error(rcode, self.machine.wall()))
