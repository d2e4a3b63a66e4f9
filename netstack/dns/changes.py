"""Changes on their way into a zone: applied in order, signed where the zone is, on disk together, then served and answered
for (RFC 2136 §3.5). Updates come from others, maintenance (signatures, keys) from this server.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.dns.authority import Reply
from netstack.dns.dnssec.mending import mend, revised
from netstack.dns.dnssec.signatures import Signed
from netstack.dns.dnssec.signer import Signing
from netstack.dns.history import Difference, changed
from netstack.dns.metrics import ZoneCounts
from netstack.dns.nameserver import Change, Nameserver
from netstack.dns.serial import serial_of
from netstack.dns.store import ZoneStore
from netstack.dns.update import Refused, apply, only_delegations
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

    served: Zone
    zone: Zone
    signing: Signing | None
    differences: list[Difference] = field(default_factory=list)
    touched: set[Name] = field(default_factory=set)
    again: list[Signed] = field(default_factory=list)
    mended: bool = False
    """Something was asked for that only the signing will show."""
    plain: Zone | None = None
    """The unsigned version whose data takes the place of all."""

    def sign(self, wall: float) -> None:
        """Make all that was drafted one difference between signed versions; raises ZoneError."""
        if self.signing is None:
            return
        if self.plain is not None:
            self.zone, names = revised(self.zone, self.plain)
            self.touched |= names
        found = mend(self.served, self.zone, self.touched, self.signing, wall, self.again)
        self.differences = [] if found is None else [found]
        self.zone = changed(self.served, self.differences)


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What a server does to its own zone: RRsets that take the place of others, and some that are signed anew."""

    origin: Name
    put: Sequence[RRset] = ()
    """One without records: it goes."""
    again: Collection[Signed] = ()
    plain: Zone | None = None
    """Another unsigned version of a signed zone, such as a changed file's."""


_Answer = tuple[Change | Maintenance, Any, Rcode]


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
        self._queue: deque[tuple[Change | Maintenance, Any]] = deque()
        """With each update who gets the reply, with maintenance the Deferred that tells of its end."""
        self._writing = False
        self._known: set[Name] = set()
        """Zones whose copy on disk is what their journal begins with."""
        self._size: dict[Name, int] = {}
        self._idle: list[Deferred[None]] = []
        self.settled: Callable[[], Deferred[None]] = lambda: succeed(None)
        """Fires when all processes that serve the zones have what was installed; answers wait for it."""

    def begin(self, origin: Name) -> None:
        """The zone's files are in order: the next difference may be appended."""
        self._known.add(origin)

    def end(self, origin: Name) -> None:
        """The zone's files are not of the version that is served: the next difference replaces them."""
        self._known.discard(origin)

    def submit(self, change: Change, answered: Answered) -> None:
        """Carry out an update; `answered` gets the reply when that is on disk, or was refused."""
        if len(self._queue) >= self._most:
            self._answer(change, answered, Rcode.SERVFAIL)
            return
        self._queue.append((change, answered))
        self._go_on()

    def maintain(self, maintenance: Maintenance) -> Deferred[None]:
        """Carry it out; fires when it is on disk and served, and fails when it could not be written."""
        done: Deferred[None] = Deferred()
        self._queue.append((maintenance, done))
        self._go_on()
        return done

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
            answers: list[_Answer] = []
            for _ in range(min(TOGETHER, len(self._queue))):
                change, answered = self._queue.popleft()
                if isinstance(change, Maintenance):
                    self._draft(change, drafts)
                    answers.append((change, answered, Rcode.NOERROR))
                else:
                    answers.append((change, answered, self._apply(change, drafts)))
            changed_zones = {origin: draft for origin, draft in drafts.items() if draft.differences or draft.mended}
            if not changed_zones:
                self._answer_all(answers)
                continue
            self._writing = True
            self._begin(changed_zones, answers)

    def _begin(self, drafts: dict[Name, _Draft], answers: list[_Answer]) -> None:
        wall = self.machine.wall()
        written = self.machine.offload(lambda: self._write(drafts, wall), cost=SYNC)
        written.addBoth(self._written, drafts, answers)
        written.addErrback(lambda failure: self.log.failure("an update ended in an error", failure))

    def _apply(self, change: Change, drafts: dict[Name, _Draft]) -> Rcode:
        served = self.nameserver.authority.zones.get(change.origin)
        policy = self.nameserver.rules_of(change.origin).policy
        if served is None or policy is None:
            return Rcode.SERVFAIL
        if self.nameserver.rules_of(change.origin).frozen:
            return Rcode.REFUSED
        draft = self._draft_of(served, drafts)
        signed = draft.signing is not None
        try:
            found = apply(draft.zone, change.update, lambda name, rdtype: policy.allows(change.key, name, rdtype), signed)
            if found is not None:
                after = changed(draft.zone, [found])
                narrow = [
                    record
                    for record in (*found.deleted, *found.added)
                    if policy.within_delegations(change.key, record.name, record.rdtype)
                ]
                if narrow:
                    only_delegations(draft.zone, after, narrow)
                draft.zone = after
                draft.differences.append(found)
                draft.touched.update(record.name for record in (*found.deleted, *found.added))
        except Refused as refused:
            self.log.debug("{zone}: update refused: {why}", zone=name_text(change.origin), why=str(refused))
            return refused.rcode
        except ZoneError as error:  # what the update asks for is no zone
            self.log.debug("{zone}: update refused: {why}", zone=name_text(change.origin), why=str(error))
            return Rcode.REFUSED
        return Rcode.NOERROR

    def _draft_of(self, served: Zone, drafts: dict[Name, _Draft]) -> _Draft:
        found = drafts.get(served.origin)
        if found is None:
            signing = self.nameserver.rules_of(served.origin).signing
            found = drafts[served.origin] = _Draft(served, served, signing)
        return found

    def _draft(self, maintenance: Maintenance, drafts: dict[Name, _Draft]) -> None:
        served = self.nameserver.authority.zones.get(maintenance.origin)
        if served is None:
            return
        draft = self._draft_of(served, drafts)
        draft.mended = True
        draft.again += maintenance.again
        draft.plain = maintenance.plain or draft.plain
        for rrset in maintenance.put:
            kept = [each for each in draft.zone.rrsets_at(rrset.name) if rrset.rdtype not in (each.rdtype, each.covers)]
            draft.zone = draft.zone.with_names({rrset.name: [*kept, *([rrset] if rrset else [])]})
            draft.touched.add(rrset.name)

    def _write(self, drafts: dict[Name, _Draft], wall: float) -> None:
        """Off the reactor's thread: signatures are made, and the disk is touched."""
        for origin, draft in drafts.items():
            draft.sign(wall)
            if not draft.differences:
                continue
            store = self._store(origin)
            history = self.nameserver.rules_of(origin).history
            if origin in self._known and store.journal_octets < 2 * self._size.get(origin, 0) + COMPACT:
                store.append(draft.differences)
                continue
            self._known.discard(origin)
            store.write(draft.zone, [*history, *draft.differences])
            self._size[origin] = store.journal_octets
            self._known.add(origin)

    def _written(self, result: object, drafts: dict[Name, _Draft], answers: list[_Answer]) -> None:
        self._writing = False
        failed = isinstance(result, Failure)
        if failed:
            # what is in the journal now is not known: the next write replaces it
            self._known.difference_update(drafts)
            self.log.error("{name}: zones cannot be written: {why}", name=self.machine.name, why=result.getErrorMessage())  # type: ignore[attr-defined]
        else:
            for origin, draft in drafts.items():
                self._serve(origin, draft, sum(1 for change, _, _ in answers if change.origin == origin))
        self._answer_all(
            [
                (change, answered, Rcode.SERVFAIL if failed and change.origin in drafts else rcode)
                for change, answered, rcode in answers
            ]
        )
        if not failed:
            for draft in drafts.values():
                if draft.differences:
                    self._installed(draft.zone)
        self._go_on()
        if not self._writing:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def _serve(self, origin: Name, draft: _Draft, changes: int) -> None:
        if not draft.differences:
            return
        history = self.nameserver.rules_of(origin).history
        for each in draft.differences:
            history.add(each)
            self.counts.signatures += sum(1 for record in each.added if record.rdtype == RdataType.RRSIG)
        self.nameserver.authority.put(draft.zone)
        self.log.info(
            "{zone}: serial {serial} by {count} changes",
            zone=name_text(origin), serial=serial_of(draft.zone.soa), count=changes,
        )  # fmt: skip

    def _answer_all(self, answers: list[_Answer]) -> None:
        def answer(_: None) -> None:
            for each in answers:
                self._answer(*each)

        self.settled().addCallback(answer).addErrback(lambda failure: self.log.failure("answers to updates", failure))

    def _answer(self, change: Change | Maintenance, answered: Any, rcode: Rcode) -> None:
        if isinstance(change, Maintenance):
            if rcode == Rcode.NOERROR:
                answered.callback(None)
            else:
                answered.errback(OSError(f"zone {name_text(change.origin)} cannot be written"))
            return
        self.counts.updates[rcode] += 1
        answered(change.seal.error(rcode, self.machine.wall()))
