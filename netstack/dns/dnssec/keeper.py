"""Keeps the zones of a server signed: signatures made anew before they expire, keys rolled over step by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dns.name import Name
from dns.opcode import Opcode
from dns.rdatatype import RdataType
from dns.rrset import RRset
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.dns.changes import Maintenance
from netstack.dns.client import query
from netstack.dns.dnssec.delegations import Delegations, Overlay
from netstack.dns.dnssec.keys import anchors
from netstack.dns.dnssec.keystore import KeyStore, roles_of
from netstack.dns.dnssec.lifecycle import (
    ROLES,
    Facts,
    Held,
    Role,
    Timing,
    advance,
    next_step,
    rolling,
    shifted,
    signing_of,
    waits_for_parent,
)
from netstack.dns.dnssec.signatures import Due, due
from netstack.dns.dnssec.signer import Signing
from netstack.dns.keeper import ZoneKeeper
from netstack.dns.requests import NoReply, message, request
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import ResolutionError
from netstack.sansio import Address

STEP = 100
"""Signatures that are renewed together, under one serial."""
LOOK = 3600.0
"""Seconds between looks at the wall clock: whether it goes as time does."""
DRIFT = 600.0
"""Seconds by which it may have gone otherwise."""
ROUNDS = 10
"""Times that what is due is looked for and signed before others have their turn."""
AGAIN = 60.0
"""Seconds after which renewal is tried again when the disk failed."""
POLL = 300.0
"""Seconds between looks at the parent's DS records, while another is awaited."""


class RollError(ValueError):
    """What is asked of a zone's keys cannot be done; the text says why."""


@dataclass(slots=True)
class _Tended:
    """One zone's keys, and the work on it."""

    origin: Name
    keys: KeyStore
    parents: tuple[Address, ...]
    """Servers of the parent zone."""
    timer: IDelayedCall | None = None
    work: Deferred[None] | None = None
    again: bool = False
    """Something was asked for while the work was under way."""
    changed: bool = False
    """Its keys are others than those that the served zone tells of."""


class Keeper(Service):
    """Tends the signed zones of one server. Renewals go together where they are due soon, so that serials are few."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        zones: ZoneKeeper,
        keys: Mapping[Name, KeyStore],
        timing: Timing,
        parents: Mapping[Name, Sequence[Address]],
        overlay: Overlay,
    ) -> None:
        """`parents`: servers of a zone's parent."""
        self.overlay = overlay
        self.machine = machine
        self.zones = zones
        self.timing = timing
        self.delegations = Delegations(machine, zones, self._delegated)
        zones.announced = self.delegations.announced
        zones.over = overlay.over
        self.tended = {origin: _Tended(origin, store, tuple(parents.get(origin, ()))) for origin, store in keys.items()}

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for each in self.tended.values():
            for anchor in anchors(self._signing(each.origin).published):
                self.log.info("{name} signs {anchor}", name=self.machine.name, anchor=anchor)
            self._look(each)

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        self.delegations.stop()
        for each in self.tended.values():
            if each.timer is not None:
                each.timer.cancel()
                each.timer = None
            if each.work is not None:
                each.work.cancel()

    def look(self) -> None:
        """See what is due, and what is asked for by files, now."""
        for each in self.tended.values():
            self._look(each)

    def _delegated(self, zone: Zone, ds: RRset) -> None:
        """A child's new DS records are to outlive a restart, where the zone's file would have others."""
        if self.zones.nameserver.rules_of(zone.origin).policy is None:
            self.overlay.put(zone, ds)

    # What an operator asks for

    def listed(self) -> list[dict[str, Any]]:
        """All keys: zone, tag, role, state, the time of each step (seconds since 1970)."""
        found = []
        for origin, tended in sorted(self.tended.items(), key=lambda each: name_text(each[0])):
            for held in tended.keys.held:
                times = {name: getattr(held.life, name) for name in held.life.__slots__ if name != "ds_ttl"}
                found.append({"zone": name_text(origin), "tag": held.tag, "role": held.role, "state": held.state, **times})
        return found

    def roll(self, origin: Name, role: str | None = None) -> Held:
        """Begin to replace the zone's key of a kind; the new one. Raises RollError, OSError."""
        tended = self._of(origin)
        there = roles_of(tended.keys.held)
        if role is None and len(there) == 1:
            role = there[0]
        wanted: Role | None = next((each for each in ROLES if each == role), None)
        if wanted is None or wanted not in there:
            raise RollError(f"{name_text(origin)}: expected one of its kinds of keys, {' or '.join(there)}, got {role}")
        if rolling(tended.keys.held, wanted):
            raise RollError(f"{name_text(origin)}: a rollover of its {wanted} is under way; wait until it is over")
        new = tended.keys.make(wanted)
        self._keep(tended, (*tended.keys.held, new))
        self._look(tended)
        return new

    def parent_has(self, origin: Name) -> None:
        """The operator has seen the DS record of the new key at the parent, and no other. Raises RollError, OSError."""
        tended, wall = self._of(origin), self.machine.wall()
        held = tended.keys.held
        if not waits_for_parent(held):
            raise RollError(f"{name_text(origin)}: no DS record is awaited")
        now = []
        for each in held:
            life = each.life
            if life.submitted is not None and life.seen is None:
                life = replace(life, seen=wall)
            elif each.entry and life.seen is not None and life.superseded is None:
                life = replace(life, superseded=wall, ds_ttl=self.timing.ds_ttl)
            now.append(replace(each, life=life))
        self._keep(tended, tuple(now))
        self._look(tended)

    def _of(self, origin: Name) -> _Tended:
        found = self.tended.get(origin)
        if found is None:
            there = ", ".join(sorted(map(name_text, self.tended))) or "none"
            raise RollError(f"{name_text(origin)} is not signed by this server; {there} is")
        return found

    def _signing(self, origin: Name) -> Signing:
        signing = self.zones.nameserver.rules_of(origin).signing
        if signing is None:
            raise LookupError(f"{name_text(origin)} is not signed here")
        return signing

    # The work

    def _look(self, tended: _Tended) -> None:
        """See what is due and do it."""
        if tended.timer is not None:
            tended.timer.cancel()
            tended.timer = None
        if tended.work is not None:
            tended.again = True
        elif self.running:
            tended.work = Deferred.fromCoroutine(self._tend(tended))
            tended.work.addErrback(self._failed, tended)

    def _failed(self, failure: Failure, tended: _Tended) -> None:
        tended.work = None
        if failure.check(CancelledError) is None:
            if failure.check(OSError) is None:
                self.log.failure("{zone}: keys and signatures", failure, zone=name_text(tended.origin))
            self._wait(tended, self.machine.wall() + AGAIN)

    async def _tend(self, tended: _Tended) -> None:
        origin, rounds = tended.origin, 0
        while True:
            tended.again = False
            self._requested(tended)
            zone = self.zones.nameserver.authority.zones.get(origin)
            if zone is None:  # it is being signed for the first time
                next = self.machine.wall() + AGAIN
                break
            wall, signing = self.machine.wall(), self._signing(origin)
            validity = signing.policy.validity
            found = await self._due(zone, wall, signing)
            facts = await self._facts(tended, zone, found)
            held = advance(tended.keys.held, facts, self.timing)
            if held != tended.keys.held:
                self._keep(tended, held)
            if tended.changed:
                tended.changed = False
                await self.zones.changes.maintain(Maintenance(origin))
                continue
            if found.now and rounds < ROUNDS:
                rounds += 1
                await self._sign(origin, found)
                continue
            next = min(found.next - validity / 4, next_step(held, facts, self.timing))
            if found.now:
                next = self.machine.wall() + AGAIN
            if waits_for_parent(held) and tended.parents:
                next = min(next, wall + POLL)
            break
        tended.work = None
        self._wait(tended, next)

    async def _due(self, zone: Zone, wall: float, signing: Signing) -> Due:
        validity = signing.policy.validity
        before = wall + validity / 4 + validity / 64
        return await self.machine.offload(lambda: due(zone, wall, before, _tags(signing)), cost=0.0)

    def _requested(self, tended: _Tended) -> None:
        """A rollover that the operator asks for by a file."""
        role = tended.keys.requested()
        if role is not None:
            try:
                self.roll(tended.origin, role or None)
            except RollError as error:
                self.log.error("{why}", why=str(error))

    async def _sign(self, origin: Name, found: Due) -> None:
        if found.dead:
            self.log.warn(
                "{zone}: {dead} signatures do not hold now and are made anew", zone=name_text(origin), dead=found.dead
            )
        for at in range(0, len(found.now), STEP):
            await self.zones.changes.maintain(Maintenance(origin, again=found.now[at : at + STEP]))

    async def _facts(self, tended: _Tended, zone: Zone, found: Due) -> Facts:
        parent = await self._parent(tended) if waits_for_parent(tended.keys.held) else None
        served = zone.nodes[zone.origin].rrsets.get(RdataType.DNSKEY)
        records: Any = () if served is None else served
        ttl = zone.soa.ttl if served is None else served.ttl
        return Facts(self.machine.wall(), ttl, found.longest_ttl, frozenset(records), found.tags, parent)

    async def _parent(self, tended: _Tended) -> tuple[frozenset[int], int] | None:
        """The DS records that all the parent's servers have; they are told that there are others to be had (RFC 9859)."""
        name, seen, longest = name_text(tended.origin), set(), 0
        for server in tended.parents:
            try:
                reply = await query(self.machine, server, name, "DS", recursion_desired=False)
            except ResolutionError:
                return None
            ds = [rrset for rrset in reply.answer if rrset.rdtype == RdataType.DS and rrset.name == tended.origin]
            seen.add(frozenset(rdata.key_tag for rrset in ds for rdata in rrset))
            longest = max([longest, *(rrset.ttl for rrset in ds)])
        wanted = {each.tag for each in tended.keys.held if each.life.submitted is not None and each.life.superseded is None}
        if seen and seen != {frozenset(wanted)}:
            for server in tended.parents:
                told = message(self.machine.rng.getrandbits(16), Opcode.NOTIFY, tended.origin, RdataType.CDS)
                try:
                    await request(self.machine, server, told, None, self.zones.limits)
                except NoReply as error:
                    self.log.info("{zone}: NOTIFY of CDS: {why}", zone=name, why=str(error))
        return (seen.pop(), longest) if len(seen) == 1 else None

    def _keep(self, tended: _Tended, held: tuple[Held, ...]) -> None:
        """From now on the keys are these, and sign as their lives say; on disk first."""
        before = {each.file: each.state for each in tended.keys.held}
        tended.keys.save(held)
        rules = self.zones.nameserver.rules_of(tended.origin)
        if rules.signing is not None:
            rules.signing = signing_of(held, rules.signing.policy)
        tended.changed = True
        for each in held:
            if before.get(each.file) != each.state:
                self.log.info(
                    "{zone}: key {tag} ({role}) is {state}",
                    zone=name_text(tended.origin), tag=each.tag, role=each.role, state=each.state,
                )  # fmt: skip

    def _wait(self, tended: _Tended, due: float) -> None:
        """Until a time of the wall clock, which is looked at now and then since it may be set."""
        if not self.running:
            return
        if tended.again:
            self._look(tended)
            return
        wall, time = self.machine.wall(), self.machine.reactor.seconds()
        delay = max(1.0, min(due - wall, LOOK))
        tended.timer = self.machine.reactor.callLater(delay, self._on_timer, tended, due, wall - time)

    def _on_timer(self, tended: _Tended, due: float, offset: float) -> None:
        tended.timer = None
        wall = self.machine.wall()
        drift = wall - self.machine.reactor.seconds() - offset
        if abs(drift) >= DRIFT:
            self.log.warn("{zone}: the clock was set by {drift} s", zone=name_text(tended.origin), drift=round(drift))
            tended.keys.held = shifted(tended.keys.held, drift)
        if wall < due and abs(drift) < DRIFT:
            self._wait(tended, due)
        else:
            self._look(tended)


def _tags(signing: Signing) -> dict[int, frozenset[bool]]:
    """Key tag -> what it signs, as `due` takes it."""
    return {
        key.tag: frozenset(of_keys for of_keys, keys in ((True, signing.of_keys), (False, signing.of_data)) if key in keys)
        for key in (*signing.of_keys, *signing.of_data)
    }
