"""The queue: every message that is ours goes to all its recipients, or its sender is told why not (RFC 5321 §4.5.4, §6.1).

Recipients of one destination wait in a lane. A lane has a few workers, each with a connection that takes message after
message. A host that cannot be reached defers all that waits in its lane at once. A pass over what is due costs its own
length and a heap's logarithm; messages that wait for their time cost memory alone.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from netstack.kernel.machine import Machine
from netstack.mail.addresses import Mailbox
from netstack.smtp.envelope import Destination, Envelope, Fate, change_of
from netstack.smtp.limits import QueueLimits
from netstack.smtp.notices import Kind, notice
from netstack.smtp.spool import Damaged, Spool, SpoolLimits

LOCAL = ""
"""The lane of mailboxes here."""
_LOOK_AGAIN = 3600.0
"""Seconds after which the clock is looked at again: it may have jumped."""
_log = Logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt for one recipient."""

    fate: Fate
    """WAITING: not now."""
    status: str
    """RFC 3463."""
    said: str
    """The reply or the trouble, for people and for the report."""
    remote: str = ""
    """Who said it."""
    relayed_dsn: bool = False
    """The next server takes care of the sender's wishes for reports."""


@dataclass(frozen=True, slots=True)
class Job:
    """An attempt: a message, and which of its recipients it is for."""

    number: int
    envelope: Envelope
    indexes: tuple[int, ...]
    content: bytes


class Unreachable(Exception):
    """Nobody takes mail for a destination now: all that waits for it waits longer. `outcome` is that of each recipient."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.said)
        self.outcome = outcome


class Session(Protocol):
    """A way to one destination, for one message after the other."""

    async def deliver(self, job: Job) -> Sequence[Outcome]:
        """One for each of the job's recipients. Raises Unreachable; nothing else."""

    @property
    def usable(self) -> bool:
        """Whether another message may follow."""

    def close(self) -> None: ...


@dataclass(slots=True)
class Counts:
    """What the queue has done; for the metrics."""

    accepted: int = 0
    delivered: int = 0
    relayed: int = 0
    deferred: int = 0
    """Attempts for a recipient that failed for the time being."""
    failed: int = 0
    expired: int = 0
    reports: int = 0
    attempts: int = 0


class _Lane:
    __slots__ = ("active", "destination", "idle", "queued", "waiting")

    def __init__(self, destination: str) -> None:
        self.destination = destination
        self.waiting: deque[tuple[int, tuple[int, ...]]] = deque()
        self.active = 0
        self.idle: list[Deferred[None]] = []
        """Workers that keep a connection for what may come."""
        self.queued = False


class Queue:
    """One for each host. `lane` says where a recipient goes: a domain, or LOCAL; `session` opens the way there."""

    def __init__(
        self,
        machine: Machine,
        name: str,
        lane: Callable[[Mailbox], str],
        session: Callable[[str], Session],
        limits: QueueLimits | None = None,
        spool: SpoolLimits | None = None,
        delayed: Callable[[Fate, float], None] = lambda fate, seconds: None,
    ) -> None:
        """`name` is this host's, in reports; `delayed` is told how long a recipient's mail took."""
        self.limits = limits or QueueLimits()
        self.counts = Counts()
        self.messages: dict[int, Envelope] = {}
        self._machine = machine
        self._name = name
        self._lane_of = lane
        self._session = session
        self._delayed = delayed
        self._rng = Random(machine.rng.getrandbits(64))
        self._spool = Spool(machine, spool or SpoolLimits(), lambda number: self.messages[number].head())
        self._lanes: dict[str, _Lane] = {}
        self._ready: deque[_Lane] = deque()
        """Lanes with something to do and room for a worker, in turn."""
        self._active = 0
        """Workers of lanes that are not LOCAL."""
        self._due: list[tuple[float, int]] = []
        self._timer: IDelayedCall | None = None
        self._alarm = 0.0
        """What the timer is set for: wall seconds."""
        self._resting: dict[Deferred[None], None] = {}
        """Those of them that keep a connection for what may come, the one that does so longest first."""
        self._open_work = 0
        self._starting = self._waking = False
        self._stopping = False
        self._stopped: list[Deferred[None]] = []

    def oldest(self) -> float:
        """Seconds since the message came that came first of those that wait."""
        first = next(iter(self.messages.values()), None)
        return 0.0 if first is None else max(0.0, self._machine.wall() - first.arrived)

    @property
    def spool(self) -> Spool:
        return self._spool

    def start(self) -> None:
        """Take up what is there from before."""
        for number, envelope in self._spool.open(_envelope, _changed):
            if isinstance(envelope, Exception):
                _log.error("message {number} cannot be read and stays: {error}", number=f"{number:X}", error=envelope)
                continue
            self._enter(number, envelope)
            self._settle_up(number, envelope, [])
        self._wake()

    def stop(self) -> Deferred[None]:
        """Start nothing more; fires when what is on its way has come to an end and is noted."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for lane in [*self._lanes.values()]:  # who has nothing more to do leaves at once
            lane.waiting.clear()
            self._rouse(lane)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        self._check_stopped()
        return stopped

    def next_number(self) -> int:
        """A number for a message that `accept` will be given: it stands in the message's own trace field."""
        return self._spool.take_number()

    def accept(
        self, envelopes: Sequence[Envelope], content: bytes, number: int | None = None, patient: bool = False
    ) -> Deferred[int]:
        """Take a message, all its envelopes or none: fires with its number, the first one's, once it is safe. `patient`:
        others come soon, and may be waited for. Raises SpoolFull; fails with OSError."""
        numbers = [self._spool.take_number() if number is None else number]
        numbers += [self._spool.take_number() for _ in envelopes[1:]]
        for envelope in envelopes:
            envelope.length = len(content)
        heads = [(each, envelope.head()) for each, envelope in zip(numbers, envelopes, strict=True)]
        written = self._spool.accept(heads[0][1], content, numbers[0], heads[1:], patient)

        def taken(number: int) -> int:
            now = self._machine.wall()
            for each, envelope in zip(numbers, envelopes, strict=True):
                self.counts.accepted += 1
                self._enter(each, envelope)
                self._dispatch(each, envelope, now)
            return number

        return written.addCallback(taken)

    def delivered(self, arrived: float) -> None:
        """Count a message that went straight into a mailbox here."""
        self.counts.accepted += 1
        self.counts.attempts += 1
        self.counts.delivered += 1
        self._delayed(Fate.DELIVERED, max(0.0, self._machine.wall() - arrived))

    # What people do to it

    def flush(self, numbers: Iterable[int]) -> int:
        """Try these now; the number of those that wait."""
        count = 0
        for number in numbers:
            envelope = self.messages.get(number)
            if envelope is None or envelope.frozen:
                continue
            count += 1
            for recipient in envelope.recipients:
                if recipient.fate is Fate.WAITING and recipient.due:
                    recipient.due = self._machine.wall()
            self._dispatch(number, envelope, self._machine.wall())
        return count

    def freeze(self, number: int, frozen: bool = True) -> bool:
        """Keep a message from being tried, or let it go again; False when there is none."""
        envelope = self.messages.get(number)
        if envelope is None:
            return False
        envelope.frozen = frozen
        self._note(number, {"frozen": frozen})
        if not frozen:
            self.flush([number])
        return True

    def remove(self, number: int) -> bool:
        """Forget a message; nobody is told. False when there is none."""
        if self.messages.pop(number, None) is None:
            return False
        self._forget(number)
        return True

    # Entering and leaving

    def _enter(self, number: int, envelope: Envelope) -> None:
        self.messages[number] = envelope
        envelope.waiting = sum(each.fate is Fate.WAITING for each in envelope.recipients)
        now = self._machine.wall()
        dues = [each.due for each in envelope.recipients if each.fate is Fate.WAITING]
        if dues and min(dues) > now:
            heapq.heappush(self._due, (min(dues), number))
        elif dues:
            heapq.heappush(self._due, (now, number))

    def _forget(self, number: int) -> None:
        try:
            self._spool.done(number).addErrback(self._not_noted, number)
        except Exception as error:  # the spool is closed
            _log.warn("message {number}: its end is not noted: {error}", number=f"{number:X}", error=error)

    def _note(self, number: int, change: dict[str, object]) -> None:
        self._spool.change(number, change).addErrback(self._not_noted, number)

    def _not_noted(self, failure: object, number: int) -> None:
        """The disk is full or fails: after a restart it may be tried once more."""
        _log.warn("message {number}: what became of it is not on disk: {failure}", number=f"{number:X}", failure=failure)

    # When

    def _wake(self) -> None:
        """Dispatch what is due; set the timer for what is next."""
        if self._stopping or self._waking:
            return  # an attempt that ended at once: the loop below goes on
        now = self._machine.wall()
        self._waking = True
        try:
            while self._due and self._due[0][0] <= now:
                _, number = heapq.heappop(self._due)
                envelope = self.messages.get(number)
                if envelope is not None:
                    self._dispatch(number, envelope, now)
        finally:
            self._waking = False
        if self._due and (self._timer is None or self._due[0][0] < self._alarm):
            if self._timer is not None:
                self._timer.cancel()
            self._alarm = self._due[0][0]
            pause = min(max(0.0, self._alarm - now), _LOOK_AGAIN)
            self._timer = self._machine.reactor.callLater(pause, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._wake()

    def _pause(self, attempts: int) -> float:
        limits = self.limits
        pause = min(limits.first_retry * limits.growth ** min(attempts - 1, 100), limits.longest_retry)
        return pause * (1 + limits.jitter * self._rng.uniform(-1, 1))

    # Where

    def _dispatch(self, number: int, envelope: Envelope, now: float) -> None:
        """Put the recipients that are due into their lanes."""
        if envelope.frozen or self._stopping:
            return
        lanes: dict[str, list[int]] = {}
        for index, recipient in enumerate(envelope.recipients):
            if recipient.fate is Fate.WAITING and 0 <= recipient.due <= now:
                recipient.due = -1.0  # in a lane
                lanes.setdefault(self._lane_of(recipient.mailbox), []).append(index)
        for destination, indexes in lanes.items():
            lane = self._lanes.get(destination)
            if lane is None:
                lane = self._lanes[destination] = _Lane(destination)
            lane.waiting.append((number, tuple(indexes)))
            if lane.idle:
                lane.idle.pop().callback(None)
            elif not lane.queued:
                lane.queued = True
                self._ready.append(lane)
        self._start_workers()

    def _start_workers(self) -> None:
        """Give lanes workers, one to each in turn, as far as there is room."""
        if self._starting:
            return  # a worker that ended at once: the loop below goes on
        self._starting = True
        turns = len(self._ready)
        while turns and self._ready:
            lane = self._ready.popleft()
            turns -= 1
            local = lane.destination == LOCAL
            most = self.limits.local if local else self.limits.per_destination
            wanted = bool(lane.waiting) and lane.active < most
            if wanted and not local and self._active >= self.limits.connections and self._resting:
                next(iter(self._resting)).cancel()  # a connection that only waits makes room
            if wanted and (local or self._active < self.limits.connections):
                lane.active += 1
                self._active += not local
                self._open_work += 1
                Deferred.fromCoroutine(self._work(lane)).addErrback(self._broken, lane)
                turns = len(self._ready) + 1
            lane.queued = bool(lane.waiting) and lane.active < most
            if lane.queued:
                self._ready.append(lane)
        self._starting = False

    def _broken(self, failure: object, lane: _Lane) -> None:
        _log.error("a worker for {lane} broke: {failure}", lane=lane.destination or "mailboxes", failure=failure)

    async def _work(self, lane: _Lane) -> None:
        """Message after message over one session."""
        session: Session | None = None
        sent = 0
        try:
            while not self._stopping:
                if not lane.waiting:
                    if session is None or not session.usable or not await self._more(lane):
                        return
                    continue
                number, indexes = lane.waiting.popleft()
                envelope = self.messages.get(number)
                if envelope is None:
                    continue
                if session is None or not session.usable or sent >= self.limits.per_connection:
                    if session is not None:
                        session.close()
                    session, sent = self._session(lane.destination), 0
                sent += 1
                await self._attempt(lane, session, number, envelope, indexes)
        finally:
            if session is not None:
                session.close()
            lane.active -= 1
            self._active -= lane.destination != LOCAL
            self._open_work -= 1
            if lane.waiting and not lane.queued and not self._stopping:
                lane.queued = True
                self._ready.append(lane)
            elif not lane.waiting and not lane.active:
                self._lanes.pop(lane.destination, None)
            self._start_workers()
            self._check_stopped()

    async def _attempt(
        self, lane: _Lane, session: Session, number: int, envelope: Envelope, indexes: tuple[int, ...]
    ) -> None:
        self.counts.attempts += 1
        try:
            outcomes = await session.deliver(Job(number, envelope, indexes, self._spool.content(number)))
        except Unreachable as nobody:
            self._settle(number, envelope, indexes, [nobody.outcome] * len(indexes))
            waiting, lane.waiting = lane.waiting, deque()
            for other, its_indexes in waiting:
                its_envelope = self.messages.get(other)
                if its_envelope is not None:
                    self._settle(other, its_envelope, its_indexes, [nobody.outcome] * len(its_indexes))
        except KeyError:
            return  # removed meanwhile
        except (Damaged, OSError) as error:
            damaged = isinstance(error, Damaged)
            outcome = Outcome(Fate.FAILED if damaged else Fate.WAITING, "5.3.0" if damaged else "4.3.0", str(error))
            self._settle(number, envelope, indexes, [outcome] * len(indexes))
        except Exception:
            _log.failure("an attempt for {lane} broke", lane=lane.destination or "mailboxes")
            session.close()
            self._settle(number, envelope, indexes, [Outcome(Fate.WAITING, "4.3.0", "internal error")] * len(indexes))
        else:
            self._settle(number, envelope, indexes, outcomes)

    async def _more(self, lane: _Lane) -> bool:
        """Wait for another message; False when the connection has waited long enough."""
        if not self.limits.keep or self._stopping or lane.destination == LOCAL:
            return False
        roused: Deferred[None] = Deferred()
        lane.idle.append(roused)
        self._resting[roused] = None
        timer = self._machine.reactor.callLater(self.limits.keep, roused.cancel)
        try:
            await roused
        except CancelledError:
            if roused in lane.idle:
                lane.idle.remove(roused)
            return False
        finally:
            del self._resting[roused]
        if timer.active():
            timer.cancel()
        return True

    def _rouse(self, lane: _Lane) -> None:
        idle, lane.idle = lane.idle, []
        for each in idle:
            each.cancel()

    # What came of it

    def _settle(self, number: int, envelope: Envelope, indexes: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        if self.messages.get(number) is not envelope:
            return  # removed meanwhile
        now = self._machine.wall()
        changed = []
        for index, outcome in zip(indexes, outcomes, strict=True):
            recipient = envelope.recipients[index]
            recipient.attempts += 1
            recipient.said, recipient.status, recipient.remote = outcome.said[:500], outcome.status, outcome.remote
            recipient.relayed_dsn = outcome.relayed_dsn
            recipient.fate = outcome.fate
            if outcome.fate is Fate.WAITING:
                self._defer(envelope, recipient, now)
            else:
                recipient.due = 0.0
                self._count(outcome.fate)
            if recipient.fate is not Fate.WAITING:
                envelope.waiting -= 1
                self._delayed(recipient.fate, max(0.0, now - envelope.arrived))
            changed.append(index)
        self._settle_up(number, envelope, changed)
        self._wake()

    def _defer(self, envelope: Envelope, recipient: Destination, now: float) -> None:
        self.counts.deferred += 1
        lifetime = self.limits.lifetime if envelope.sender is not None else self.limits.report_lifetime
        if now - envelope.arrived >= lifetime:
            recipient.fate, recipient.due = Fate.FAILED, 0.0
            recipient.said = f"given up after {_duration(now - envelope.arrived)}; the last time: {recipient.said}"[:500]
            recipient.status = "4.4.7"
            self.counts.expired += 1
            self.counts.failed += 1
        else:
            recipient.due = min(now + self._pause(recipient.attempts), envelope.arrived + lifetime)

    def _count(self, fate: Fate) -> None:
        if fate is Fate.FAILED:
            self.counts.failed += 1
        elif fate is Fate.RELAYED:
            self.counts.relayed += 1
        elif fate is Fate.DELIVERED:
            self.counts.delivered += 1

    def _settle_up(self, number: int, envelope: Envelope, changed: Sequence[int]) -> None:
        """Tell the sender what he wants to know, then note it; forget a message that is done.

        The report is safe before the message it is about is forgotten, and so is told of twice rather than never.
        """
        reports = self._reports(number, envelope, changed)
        if not reports:
            self._noted(number, envelope, changed)
            return
        for kind, recipients in reports:
            for recipient in recipients if kind is Kind.DELAY else ():
                recipient.delay_told = True

        async def tell() -> None:
            for kind, recipients in reports:
                try:
                    original = self._spool.content(number)
                except (Damaged, OSError, KeyError):
                    original = b""
                now, unique = self._machine.wall(), f"{self._machine.rng.getrandbits(96):024x}"
                message = notice(kind, self._name, envelope, recipients, original, now, unique, self.limits.returned)
                assert envelope.sender is not None  # noqa: S101  no reports about reports
                about = Envelope(
                    None, [Destination(envelope.sender, frozenset({"NEVER"}))], now, message.body, envelope.utf8
                )
                about.source = "report"
                await self.accept([about], message.octets)
                self.counts.reports += 1

        def told(_: object) -> None:
            self._noted(number, envelope, changed)

        def not_told(failure: object) -> None:
            """The disk takes no report: the recipients wait until it does."""
            _log.error("message {number}: no report can be written: {failure}", number=f"{number:X}", failure=failure)
            now = self._machine.wall()
            for index in changed:
                recipient = envelope.recipients[index]
                if recipient.fate is Fate.FAILED:
                    recipient.fate, recipient.due = Fate.WAITING, now + self._pause(recipient.attempts)
                    envelope.waiting += 1
            self._noted(number, envelope, changed)

        Deferred.fromCoroutine(tell()).addCallbacks(told, not_told)

    def _reports(self, number: int, envelope: Envelope, changed: Sequence[int]) -> list[tuple[Kind, list[Destination]]]:
        if envelope.sender is None:
            return []
        now = self._machine.wall()
        recipients = [envelope.recipients[index] for index in changed]
        late = now - envelope.arrived >= self.limits.delay_notice
        found = {
            Kind.FAILURE: [each for each in recipients if each.fate is Fate.FAILED and each.wants("FAILURE")],
            Kind.DELAY: [
                each for each in recipients
                if each.fate is Fate.WAITING and late and not each.delay_told and each.wants("DELAY")
            ],
            Kind.SUCCESS: [
                each for each in recipients
                if each.fate not in (Fate.FAILED, Fate.WAITING) and each.wants("SUCCESS") and not each.relayed_dsn
            ],
        }  # fmt: skip
        return [(kind, each) for kind, each in found.items() if each]

    def _noted(self, number: int, envelope: Envelope, changed: Sequence[int]) -> None:
        if self.messages.get(number) is not envelope:
            return
        if envelope.waiting == 0:
            del self.messages[number]
            self._forget(number)
            self._check_stopped()
            return
        for index in changed:
            self._note(number, change_of(index, envelope.recipients[index]))
        dues = [each.due for each in envelope.recipients if each.fate is Fate.WAITING and each.due > 0]
        if dues:
            heapq.heappush(self._due, (min(dues), number))
            self._wake()

    def _check_stopped(self) -> None:
        if self._stopping and self._open_work == 0 and self._stopped:
            stopped, self._stopped = self._stopped, []

            def closed(_: object) -> None:
                for each in stopped:
                    each.callback(None)

            self._spool.close().addBoth(closed)


def _envelope(head: dict[str, Any]) -> Envelope | Exception:
    """Of a message in the spool, or why it cannot be read."""
    try:
        return Envelope.from_head(head)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return error


def _changed(envelope: Envelope | Exception, change: dict[str, Any]) -> Envelope | Exception:
    """The same with what the spool noted later."""
    if isinstance(envelope, Envelope):
        try:
            envelope.change(change)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            return error
    return envelope


def _duration(seconds: float) -> str:
    """For people."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
