"""Zones that change, on one machine: copies on disk, secondaries' timers and transfers, NOTIFY to others, updates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dns.name import Name
from dns.opcode import Opcode
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.dns.changes import SYNC, Changes
from netstack.dns.dnssec.mending import resumed
from netstack.dns.dnssec.signer import Signing, sign_zone
from netstack.dns.history import Difference, History, changed, difference
from netstack.dns.limits import ZoneLimits
from netstack.dns.metrics import ZoneCounts
from netstack.dns.nameserver import Nameserver, Notified
from netstack.dns.notifier import Notifier, Target
from netstack.dns.requests import NoReply, fetch, message, request
from netstack.dns.secondary import AskSerial, Expired, Fetch, Secondary
from netstack.dns.serial import newer, serial_of
from netstack.dns.store import StoreError, ZoneStore
from netstack.dns.transfer import Current, Increments, NotIncremental, TransferError, Transferred, soa_of
from netstack.dns.tsig import Key
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone, ZoneError
from netstack.kernel.machine import Machine
from netstack.sansio import Address

AT_ONCE = 5000
"""Names of a zone that is signed while the server starts; a larger one is signed while it runs."""
SIGNATURE = 0.00015
"""Seconds that one takes in the simulation."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a secondary gets a zone from."""

    primaries: tuple[Address, ...]
    key: Key | None = None
    names: Mapping[Address, str] = field(default_factory=dict)
    """Of those that are asked over TLS: what their certificates must be for."""


class ZoneKeeper(Service):
    """Keeps the zones of a Nameserver; queries are answered whatever it does."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        nameserver: Nameserver,
        upstreams: Mapping[Name, Upstream],
        targets: Mapping[Name, Sequence[Target]],
        limits: ZoneLimits,
        counts: ZoneCounts,
        owner: bool = True,
        servers: int | None = None,
    ) -> None:
        """Without `owner` another process keeps the zones on disk, transfers them and tells others.

        `servers`: the port at which a primary's zones' own name servers are told of changes as well; None: they are not.
        """
        self._servers = servers if owner else None
        self.machine = machine
        self.nameserver = nameserver
        self.limits = limits
        self.counts = counts
        self.stores: dict[Name, ZoneStore] = {}
        self.notifier = Notifier(machine, limits, counts)
        self.targets = dict(targets)
        self.changes = Changes(machine, nameserver, self.store, counts, self.announce, limits.updates)
        self.secondaries = {origin: _Copy(self, origin, upstream) for origin, upstream in sorted(upstreams.items(), key=str)}
        self._transfers_in = 0
        self._waiting: list[Deferred[None]] = []
        self.announced: Callable[[Name, Name], None] = lambda origin, child: None
        """Called when a child of a signed zone has CDS records."""
        self.over: Callable[[Zone], Zone] = lambda zone: zone
        """What a signed zone's file is changed by: the DS records that its children asked for."""
        self._unsigned: list[Zone] = []
        """Large zones that are signed for the first time once the service runs."""
        for origin, rules in nameserver.rules.items():
            rules.history = History(limits.differences, limits.difference_records)
            if not owner:
                continue
            if rules.signing is not None:
                self._load_signed(origin, rules.signing)
            elif rules.policy is not None:
                self._load(origin)
        for copy in self.secondaries.values():
            copy.load()

    def store(self, origin: Name) -> ZoneStore:
        """The files of a zone."""
        found = self.stores.get(origin)
        if found is None:
            found = self.stores[origin] = ZoneStore(self.machine.disk, origin)
        return found

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for copy in self.secondaries.values():
            copy.start()
        for zone in self._unsigned:
            signed = Deferred.fromCoroutine(self._sign(zone))
            signed.addErrback(lambda failure: self.log.failure("signing failed", failure))
        self._unsigned = []

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        for copy in self.secondaries.values():
            copy.stop()
        self.notifier.stop()
        stopped = self.changes.idle()
        stopped.addCallback(self._close)
        return stopped

    def _close(self, _: None) -> None:
        for store in self.stores.values():
            store.close()

    def replace(self, zone: Zone) -> bool:
        """Serve another version of a primary's zone, such as a changed file.

        False when its serial is not newer, and for a zone that is signed, or changed by updates or transfers.
        """
        served = self.nameserver.authority.zones.get(zone.origin)
        if not self.replaceable(zone.origin) or self.nameserver.rules_of(zone.origin).signing is not None:
            return False
        if served is not None and not newer(serial_of(zone.soa), serial_of(served.soa)):
            return False
        self.install(zone, None if served is None else difference(served, zone))
        return True

    def replaceable(self, origin: Name) -> bool:
        """Whether nothing but a file changes the zone now."""
        rules = self.nameserver.rules_of(origin)
        return rules.notify_from is None and (rules.policy is None or rules.frozen)

    def install(self, zone: Zone, found: Difference | None) -> None:
        """Serve a version from now on; `found` leads to it from the one that is served, None: it is transferred whole."""
        history = self.nameserver.rules_of(zone.origin).history
        if found is None:
            history.clear()
        else:
            history.add(found)
        self.changes.end(zone.origin)
        self.nameserver.authority.put(zone)
        self.announce(zone)

    async def freeze(self, origin: Name) -> bool:
        """Refuse updates of a zone until `thaw`, those under way apart; False for one that takes none."""
        rules = self.nameserver.rules_of(origin)
        if rules.policy is None:
            return False
        rules.frozen = True
        await self.changes.idle()
        return True

    def thaw(self, origin: Name) -> bool:
        """Take updates again; False for a zone that was not frozen."""
        rules = self.nameserver.rules_of(origin)
        was, rules.frozen = rules.frozen, False
        return was

    def refresh(self, origin: Name) -> bool:
        """Have a copy's primary asked now; False for a zone that is none."""
        copy = self.secondaries.get(origin)
        if copy is None or not copy.running:
            return False
        copy.engine.notified(copy.engine.primaries[0][0], None, self.machine.now().monotonic)
        copy.carry_out()
        return True

    def announce(self, zone: Zone) -> None:
        """Tell the secondaries (RFC 1996 §3.3)."""
        if self.running:
            targets = self.targets.get(zone.origin, ())
            self.notifier.tell(zone, targets)
            if self._servers is not None and zone.origin not in self.secondaries:
                told = Deferred.fromCoroutine(self.notifier.tell_servers(zone, self._servers, targets))
                told.addErrback(lambda failure: self.log.failure("NOTIFY failed", failure))

    def notified(self, notified: Notified) -> None:
        """A primary told us."""
        copy = self.secondaries.get(notified.origin)
        self.counts.notifies["in"] += 1
        if copy is not None and copy.running:
            copy.engine.notified(notified.address, notified.serial, self.machine.now().monotonic)
            copy.carry_out()

    def turn(self) -> Deferred[None]:
        """Fires when one more transfer may begin; `done` gives it back."""
        waiting: Deferred[None] = Deferred(self._waiting_no_more)
        if self._transfers_in < self.limits.transfers_in:
            self._transfers_in += 1
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    def done(self) -> None:
        """A transfer that had its turn is over."""
        if self._waiting:
            self._waiting.pop(0).callback(None)
        else:
            self._transfers_in -= 1

    def _waiting_no_more(self, waiting: Deferred[None]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _load(self, origin: Name) -> None:
        """A zone that takes updates: what is on disk, unless the configured one has a newer serial."""
        configured = self.nameserver.authority.zones.get(origin)
        if configured is None:
            return
        stored = self.store(origin).load()
        if stored is None:
            return
        history = self.nameserver.rules_of(origin).history
        for each in stored.differences:
            history.add(each)
        if newer(serial_of(configured.soa), serial_of(stored.zone.soa)):
            history.add(difference(stored.zone, configured))
            self.log.info("{zone}: the zone file is newer than the copy on disk", zone=name_text(origin))
            return  # the first update writes it all
        self.nameserver.authority.put(stored.zone)
        if stored.torn == 0:
            self.changes.begin(origin)

    def _load_signed(self, origin: Name, signing: Signing) -> None:
        """A zone that is signed here: the signed version on disk with what is new in the configured one."""
        configured = self.nameserver.authority.zones.get(origin)
        if configured is None:
            return
        rules, store = self.nameserver.rules_of(origin), self.store(origin)
        wall = self.machine.wall()
        try:
            stored = store.load()
        except StoreError as error:
            if rules.policy is not None:
                raise
            self.log.warn("{why}; the zone file is signed anew", why=str(error))
            stored = None
        if stored is None and len(configured.nodes) > AT_ONCE:
            self.nameserver.authority.withdraw(origin)
            self._unsigned.append(configured)
            return
        if stored is None:
            zone = sign_zone(configured, signing, wall)
        else:
            for each in stored.differences:
                rules.history.add(each)
            zone = stored.zone
            counts = rules.policy is None or newer(serial_of(configured.soa), serial_of(zone.soa))
            found = resumed(zone, configured if counts else None, signing, wall)
            if found is not None:
                rules.history.add(found)
                zone = changed(stored.zone, [found])
        self.nameserver.authority.put(zone)
        if stored is not None and zone is stored.zone and stored.torn == 0:
            self.changes.begin(origin)
        else:
            store.write(zone, list(rules.history))
            self.changes.begin(origin)

    async def _sign(self, configured: Zone) -> None:
        """Sign a large zone off the reactor's thread; SERVFAIL until it is done, since nobody may see it unsigned."""
        origin, name = configured.origin, name_text(configured.origin)
        rules, wall = self.nameserver.rules_of(origin), self.machine.wall()
        signing = rules.signing
        if signing is None:
            return

        def work() -> Zone:
            told = 0

            def progress(done: int, of: int) -> None:
                nonlocal told
                if done * 10 // of > told:
                    told = done * 10 // of
                    self.log.info("{zone}: {done} of {all} RRsets are signed", zone=name, done=done, all=of)

            zone = sign_zone(configured, signing, wall, progress)
            self.store(origin).write(zone)
            return zone

        zone = await self.machine.offload(work, cost=SIGNATURE * len(configured.nodes))
        self.changes.begin(origin)
        self.nameserver.authority.put(zone)
        self.log.info("{zone}: signed, serial {serial}", zone=name, serial=serial_of(zone.soa))
        self.announce(zone)


class _Copy:
    """A secondary's copy of one zone."""

    def __init__(self, keeper: ZoneKeeper, origin: Name, upstream: Upstream) -> None:
        self.keeper = keeper
        self.origin = origin
        self.key = upstream.key
        self.names = upstream.names
        self.machine = keeper.machine
        self.engine = Secondary(upstream.primaries, keeper.limits, self.machine.rng.random)
        self.running = False
        self._age = 0.0
        self._timer: IDelayedCall | None = None
        self._task: Deferred[None] | None = None

    def load(self) -> None:
        """The copy on disk is served if it is not too old; else SERVFAIL until there is one."""
        authority = self.keeper.nameserver.authority
        authority.withdraw(self.origin)
        store = self.keeper.store(self.origin)
        try:
            stored = store.load()
        except StoreError as error:  # it comes again from the primary
            self.keeper.log.warn("{why}; the zone is transferred anew", why=str(error))
            return
        if stored is None:
            return
        refreshed = store.last_refresh()
        soa: Any = stored.zone.soa[0]
        self._age = self.machine.wall() - refreshed if refreshed is not None else float(soa.expire)
        if self._age < soa.expire:
            for each in stored.differences:
                self.history.add(each)
            authority.put(stored.zone)

    @property
    def zone(self) -> Zone | None:
        """What is served."""
        return self.keeper.nameserver.authority.zones.get(self.origin)

    @property
    def history(self) -> History:
        """Of the copy."""
        return self.keeper.nameserver.rules_of(self.origin).history

    def start(self) -> None:
        """Begin to ask the primaries."""
        self.running = True
        zone = self.zone
        self.engine.start(None if zone is None else zone.soa, self._age, self.machine.now().monotonic)
        self.carry_out()

    def stop(self) -> None:
        """Ask no more."""
        self.running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def carry_out(self) -> None:
        """What the engine asks for, and its timer."""
        if not self.running:
            return
        for event in self.engine.output():
            if isinstance(event, Expired):
                self.keeper.log.warn("{zone}: expired, no primary has answered", zone=name_text(self.origin))
                self.keeper.nameserver.authority.withdraw(self.origin)
                self.history.clear()
            elif isinstance(event, AskSerial | Fetch):
                work = self._ask(event) if isinstance(event, AskSerial) else self._fetch(event)
                self._task = Deferred.fromCoroutine(work)
                self._task.addErrback(self._failed)
        due = self.engine.next_timer()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if due is not None:
            reactor = self.machine.reactor
            self._timer = reactor.callLater(max(0.0, due - reactor.seconds()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.engine.on_timer(self.machine.now().monotonic)
        self.carry_out()

    def _failed(self, failure: Failure) -> None:
        """Expected reasons are the primaries'; anything else is an error of ours, which must not end the refreshing."""
        if not self.running:
            return
        if failure.check(NoReply, TransferError, ZoneError):
            self.keeper.log.info("{zone}: {why}", zone=name_text(self.origin), why=failure.getErrorMessage())
        else:
            self.keeper.log.failure("{zone}: refresh failed", failure, zone=name_text(self.origin))
        self.engine.failed(self.machine.now().monotonic)
        self.carry_out()

    async def _ask(self, event: AskSerial) -> None:
        identity = self.machine.rng.getrandbits(16)
        asked = message(identity, Opcode.QUERY, self.origin)
        reply = await request(
            self.machine, event.primary, asked, self.key, self.keeper.limits, name=self.names.get(event.primary)
        )
        soa = soa_of(reply, identity, self.origin)
        self.engine.told(serial_of(soa), self.machine.now().monotonic)
        if self.zone is not None and serial_of(self.zone.soa) == serial_of(soa):
            await self._write(None)
        self.carry_out()

    async def _fetch(self, event: Fetch) -> None:
        zone = self.zone if event.serial is not None else None
        counts = self.keeper.counts
        await self.keeper.turn()
        try:
            outcome = await fetch(
                self.machine, event.primary, self.origin, None if zone is None else zone.soa, self.key, self.keeper.limits,
                self.names.get(event.primary),
            )  # fmt: skip
            new, differences = self._version(zone, outcome)
        except NotIncremental:
            self.engine.not_incremental()
            self.carry_out()
            return
        except TransferError:
            counts.transfers["in", "failed"] += 1
            raise
        finally:
            self.keeper.done()
        counts.transfers["in", "differences" if isinstance(outcome, Increments) else "whole"] += 1
        await self._install(new, differences)

    def _version(self, zone: Zone | None, outcome: Transferred) -> tuple[Zone, list[Difference] | None]:
        if isinstance(outcome, Increments) and zone is not None:
            try:
                return changed(zone, outcome.differences), list(outcome.differences)
            except ZoneError as error:
                raise NotIncremental(str(error)) from error
        if isinstance(outcome, Increments | Current):
            raise NotIncremental("the primary's serial is not what it said")
        return outcome.zone, None

    async def _install(self, new: Zone, differences: list[Difference] | None) -> None:
        """Serve a version from now on, then keep it on disk."""
        served = self.zone
        appended = differences
        if differences is None and served is not None and newer(serial_of(new.soa), serial_of(served.soa)):
            differences = [difference(served, new)]
        elif differences is None:
            self.history.clear()
        for each in differences or ():
            self.history.add(each)
        self.keeper.nameserver.authority.put(new)
        self.keeper.log.info(
            "{zone}: serial {serial} by {kind}",
            zone=name_text(self.origin), serial=serial_of(new.soa), kind="differences" if appended else "whole transfer",
        )  # fmt: skip
        self.keeper.announce(new)
        await self._write(new, appended)
        self.engine.fetched(new.soa, self.machine.now().monotonic)
        self.carry_out()

    async def _write(self, zone: Zone | None, appended: list[Difference] | None = None) -> None:
        """Keep the version and when it was the primary's; a disk that fails costs the copy, not the service."""
        store, history, wall = self.keeper.store(self.origin), list(self.history), self.machine.wall()

        def write() -> None:
            if zone is not None and appended and store.journal_octets:
                store.append(appended)
            elif zone is not None:
                store.write(zone, history)
            store.refreshed(wall)

        try:
            await self.machine.offload(write, cost=SYNC)
        except OSError as error:
            store.journal_octets = 0
            self.keeper.log.error("{zone}: cannot be kept on disk: {why}", zone=name_text(self.origin), why=str(error))
