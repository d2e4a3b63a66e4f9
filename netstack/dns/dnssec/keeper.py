"""Keeps the zones of a server signed: keys on the disk, signatures by the wall clock, made anew before they expire."""

from collections.abc import Sequence

import dns.name
from dns.name import Name
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.dns.changes import Maintenance
from netstack.dns.dnssec.keys import ENTRY_POINT, MATERIAL, Key, KeyFormatError, anchors, read_key, zone_keys
from netstack.dns.dnssec.signatures import due
from netstack.dns.dnssec.signer import Signing
from netstack.dns.keeper import ZoneKeeper
from netstack.dns.wire import name_text
from netstack.kernel.machine import Machine

DIRECTORY = "keys"
"""On the machine's disk, whose files are the owner's alone (mode 0600)."""
STEP = 100
"""Signatures that are renewed together, under one serial."""
LOOK = 3600.0
"""Seconds between looks at the wall clock: whether it goes as time does."""
DRIFT = 600.0
"""Seconds by which it may have gone otherwise."""
AGAIN = 60.0
"""Seconds after which renewal is tried again when the disk failed."""


class Keeper(Service):
    """Renews signatures when a quarter of their validity is left; those due soon go together, so that serials are few."""

    log = Logger()

    def __init__(self, machine: Machine, zones: ZoneKeeper, origins: Sequence[Name]) -> None:
        self.machine = machine
        self.zones = zones
        self.origins = tuple(origins)
        self._timers: dict[Name, IDelayedCall] = {}
        self._under_way: dict[Name, Deferred[None]] = {}

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for origin in self.origins:
            for anchor in anchors(self._signing(origin).published):
                self.log.info("{name} signs {anchor}", name=self.machine.name, anchor=anchor)
            self._look(origin)

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for work in tuple(self._under_way.values()):
            work.cancel()

    def _signing(self, origin: Name) -> Signing:
        signing = self.zones.nameserver.rules_of(origin).signing
        if signing is None:
            raise LookupError(f"{name_text(origin)} is not signed here")
        return signing

    def _look(self, origin: Name) -> None:
        """Find what is due and sign it anew, a few at a time."""
        self._timers.pop(origin, None)
        if origin in self._under_way:
            return
        work = self._under_way[origin] = Deferred.fromCoroutine(self._renew(origin))
        work.addErrback(self._failed, origin)

    def _failed(self, failure: Failure, origin: Name) -> None:
        self._under_way.pop(origin, None)
        if failure.check(CancelledError) is None:
            if failure.check(OSError) is None:
                self.log.failure("{zone}: signatures cannot be renewed", failure, zone=name_text(origin))
            self._wait(origin, self.machine.wall() + AGAIN)

    async def _renew(self, origin: Name) -> None:
        zone = self.zones.nameserver.authority.zones.get(origin)
        if zone is None:  # it is being signed for the first time
            self._done(origin, self.machine.wall() + AGAIN)
            return
        signing, wall = self._signing(origin), self.machine.wall()
        validity = signing.policy.validity
        before = wall + validity / 4 + validity / 64

        found = await self.machine.offload(lambda: due(zone, wall, before, _tags(signing)), cost=0.0)
        if found.dead:
            self.log.warn(
                "{zone}: {dead} signatures do not hold now and are made anew", zone=name_text(origin), dead=found.dead
            )
        for at in range(0, len(found.now), STEP):
            await self.zones.changes.maintain(Maintenance(origin, again=found.now[at : at + STEP]))
        self._done(origin, found.next - validity / 4)

    def _done(self, origin: Name, next: float) -> None:
        self._under_way.pop(origin, None)
        self._wait(origin, next)

    def _wait(self, origin: Name, due: float) -> None:
        """Until a time of the wall clock, which is looked at now and then since it may be set."""
        if self.running:
            wall, time = self.machine.wall(), self.machine.reactor.seconds()
            delay = max(1.0, min(due - wall, LOOK))
            self._timers[origin] = self.machine.reactor.callLater(delay, self._on_timer, origin, due, wall - time)

    def _on_timer(self, origin: Name, due: float, offset: float) -> None:
        self._timers.pop(origin, None)
        wall = self.machine.wall()
        if wall < due and abs(wall - self.machine.reactor.seconds() - offset) < DRIFT:
            self._wait(origin, due)
        else:
            self._look(origin)


def _tags(signing: Signing) -> dict[int, frozenset[bool]]:
    """Key tag -> what it signs, as `due` takes it."""
    return {
        key.tag: frozenset(of_keys for of_keys, keys in ((True, signing.of_keys), (False, signing.of_data)) if key in keys)
        for key in (*signing.of_keys, *signing.of_data)
    }


def kept_keys(machine: Machine, zone: Name, split: bool) -> tuple[Key, ...]:
    """A zone's keys from the machine's disk, as dnssec-keygen names its files; made and written there when there are none.

    The zone's DS records are kept beside them in `dsset-ZONE.`. Raises KeyFormatError.
    """
    disk = machine.disk
    stem = f"K{name_text(zone).rstrip('.')}.+"
    try:
        names = [name for name in disk.list(DIRECTORY) if name.startswith(stem) and name.endswith(".private")]
    except FileNotFoundError:
        names = []
    keys = []
    for name in names:
        stem = f"{DIRECTORY}/{name.removesuffix('.private')}"
        try:
            key = read_key(disk.read(stem + ".key").decode("utf-8"), disk.read(stem + ".private").decode("utf-8"))
        except (KeyFormatError, FileNotFoundError, UnicodeDecodeError) as error:
            raise KeyFormatError(f"{stem}: {error}") from error
        if key.zone != zone:
            raise KeyFormatError(f"{stem}: expected a key of {name_text(zone)}, got one of {name_text(key.zone)}")
        keys.append(key)
    if any(key.record.flags & ENTRY_POINT for key in keys):
        return tuple(keys)
    keys += zone_keys(zone, iter(lambda: machine.rng.randbytes(MATERIAL), b""), split)
    for key in keys:
        disk.write(f"{DIRECTORY}/{key.file}.private", key.private_text().encode())
        disk.write(f"{DIRECTORY}/{key.file}.key", key.public_text().encode())
    dsset = "".join(f"{anchor}\n" for anchor in anchors(keys))
    disk.write(f"{DIRECTORY}/dsset-{name_text(zone).rstrip('.')}.", dsset.encode())
    return tuple(keys)


def origin_name(origin: str) -> Name:
    """A zone's name from an option; raises ValueError."""
    try:
        return dns.name.from_text(origin)
    except dns.exception.DNSException as error:
        raise ValueError(f"{origin!r} is not a domain name: {error}") from error
