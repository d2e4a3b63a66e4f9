"""Keeps the zones of a server signed: keys on the disk, signatures by the wall clock, made anew before they expire."""

from collections.abc import Sequence
from dataclasses import dataclass

import dns.name
from dns.name import Name
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from netstack.dns.authority import Authority
from netstack.dns.dnssec.keys import ENTRY_POINT, MATERIAL, Key, KeyFormatError, anchors, read_key, zone_keys
from netstack.dns.dnssec.signer import Policy, sign
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone, ordered
from netstack.kernel.machine import Machine

DIRECTORY = "keys"
"""On the machine's disk, whose files are the owner's alone (mode 0600)."""


@dataclass(frozen=True, slots=True)
class SignedZone:
    """A zone as it is without signatures, and what signs it."""

    plain: Zone
    keys: tuple[Key, ...]


class Keeper(Service):
    """Signs zones when it is made and again when a quarter of the signatures' validity is left."""

    log = Logger()

    def __init__(self, machine: Machine, authority: Authority, zones: Sequence[SignedZone], policy: Policy) -> None:
        """Raises ZoneError for a zone that cannot be signed."""
        self.machine = machine
        self.authority = authority
        self.policy = policy
        self.zones = tuple(zones)
        self.signings = 0
        self._timer: IDelayedCall | None = None
        for zone in self.zones:
            authority.put(sign(zone.plain, zone.keys, policy, machine.wall()))
        self._due = self._next()

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for zone in self.zones:
            for anchor in anchors(zone.keys):
                self.log.info("{name} signs {anchor}", name=self.machine.name, anchor=anchor)
        self._wait()

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _next(self) -> float:
        return self.machine.wall() + self.policy.validity * 0.75

    def _wait(self) -> None:
        self._timer = self.machine.reactor.callLater(max(1.0, self._due - self.machine.wall()), self._sign_again)

    def _sign_again(self) -> None:
        """With a greater serial, so that secondaries fetch it (RFC 1982)."""
        self._timer = None
        if self.machine.wall() < self._due:  # the wall clock was set back
            self._wait()
            return
        self._due = self._next()
        self.signings += 1
        for zone in self.zones:
            newer = _with_serial(zone.plain, self.signings)
            done = self.machine.offload(lambda newer=newer, keys=zone.keys: self._signed(newer, keys), cost=0.0)  # type: ignore[misc]
            done.addCallback(self.authority.put)
            done.addErrback(lambda failure: self.log.failure("signing failed", failure))
        if self.running:
            self._wait()

    def _signed(self, zone: Zone, keys: Sequence[Key]) -> Zone:
        return sign(zone, keys, self.policy, self.machine.wall())


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


def _with_serial(zone: Zone, more: int) -> Zone:
    """The zone with a serial number that is greater by so much."""
    soa = ordered(zone.soa, 0)
    record = soa[0].replace(serial=(soa[0].serial + more) % (1 << 32))
    soa.items = dict.fromkeys([record])
    return Zone(zone.origin, [soa, *(rrset for rrset in zone if rrset is not zone.soa)])
