"""Zone files read again while the server answers: checked off the reactor's thread, then served at once, or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from dns.name import Name
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from netstack.dns.authority import Authority
from netstack.dns.changes import Maintenance
from netstack.dns.dnssec.mending import with_serial
from netstack.dns.history import Difference, difference
from netstack.dns.keeper import ZoneKeeper
from netstack.dns.serial import following, newer, serial_of
from netstack.dns.source import Reading
from netstack.dns.stored import StoredZone
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone, ZoneError
from netstack.kernel.background import background
from netstack.kernel.machine import Machine

READ = 0.01
"""Seconds that reading a file takes in the simulation."""
ATTEMPTS = 3
"""Readings of one file, when the zone changes meanwhile."""
Result = Literal["loaded", "unchanged", "refused", "asked"]


class Readable(Protocol):
    """Where a zone comes from: `Source`, or a world's file. Where `automatic` is true the serial number does not count."""

    def read(self) -> Reading:
        """The zone as it is now; raises ZoneError that names file and line."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What became of one zone: "asked" is a copy, whose primary is asked for a newer version."""

    zone: str
    result: Result
    serial: int | None
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Read:
    reading: Reading
    found: Difference | None
    """From the version that is served; None where nobody is to get it, or the zone is signed."""


class Reloader(Service):
    """Reads the files of one server again, one after the other."""

    log = Logger()

    def __init__(
        self,
        machine: Machine,
        authority: Authority,
        keeper: ZoneKeeper,
        sources: Mapping[Name, Readable],
        readings: Mapping[Name, Reading],
    ) -> None:
        """`readings`: what is served now."""
        self.machine = machine
        self.authority = authority
        self.keeper = keeper
        self.sources = dict(sources)
        self._digests = {origin: reading.digest for origin, reading in readings.items()}
        self._serials = {origin: serial_of(reading.zone.soa) for origin, reading in readings.items()}
        self._one_by_one = DeferredLock()

    def reload(self, origin: Name | None = None, force: bool = False) -> Deferred[list[Reloaded]]:
        """Read one zone's file, or all; never fails. `force`: whatever the serial number says."""
        return self._one_by_one.run(lambda: Deferred.fromCoroutine(self._reload(origin, force)))

    async def _reload(self, origin: Name | None, force: bool) -> list[Reloaded]:
        origins = [*self.sources] if origin is None else [origin]
        found = []
        for each in origins:
            outcome = await self._zone(each, force)
            found.append(outcome)
            zone, served = outcome.zone, outcome.serial
            for warning in outcome.warnings:
                self.log.warn("{zone}: {warning}", zone=zone, warning=warning)
            if outcome.result == "refused":
                self.log.warn(
                    "{zone}: not loaded, serial {serial} stays: {why}", zone=zone, serial=served, why=outcome.reason
                )
            else:
                self.log.info("{zone}: {result}, serial {serial}", zone=zone, result=outcome.result, serial=served)
            self.keeper.counts.reloads[outcome.result] += 1
        return found

    async def _zone(self, origin: Name, force: bool) -> Reloaded:
        if origin not in self.sources:
            if self.keeper.refresh(origin):
                return self._outcome(origin, "asked")
            return self._outcome(origin, "refused", "expected a zone that this server has from a file, or a copy")
        if not self.keeper.replaceable(origin):
            return self._outcome(origin, "refused", "it takes updates, which would be lost: freeze it first")
        for _ in range(ATTEMPTS):
            served = self.authority.zones.get(origin)
            try:
                read = await self.machine.offload(lambda served=served: self._read(origin, served, force), cost=READ)  # type: ignore[misc]
            except ZoneError as error:
                return self._outcome(origin, "refused", str(error))
            except Exception as error:  # what is wrong with one zone must not keep the others from being read
                self.log.failure("{zone}: reading failed", zone=name_text(origin))
                return self._outcome(origin, "refused", f"{type(error).__name__}: {error}")
            warnings = tuple(str(remark) for remark in read.reading.remarks) if isinstance(read, _Read) else ()
            if read is None:
                return self._outcome(origin, "unchanged")
            if self._signed(origin):
                try:
                    await self.keeper.changes.maintain(Maintenance(origin, plain=self.keeper.over(read.reading.zone)))
                except OSError as error:
                    return self._outcome(origin, "refused", str(error))
            elif self.authority.zones.get(origin) is served:
                self.keeper.install(read.reading.zone, read.found)
            else:
                continue
            self._digests[origin] = read.reading.digest
            self._serials[origin] = serial_of(read.reading.zone.soa)
            return self._outcome(origin, "loaded", warnings=warnings)
        return self._outcome(origin, "refused", "the zone changes all the time; try again")

    def _read(self, origin: Name, served: Zone | None, force: bool) -> _Read | None:
        """Off the reactor's thread: what is to be served now; None: what is. Raises ZoneError."""
        with background():
            return self._compared(origin, served, force)

    def _compared(self, origin: Name, served: Zone | None, force: bool) -> _Read | None:
        reading = self.sources[origin].read()
        rules = self.keeper.nameserver.rules_of(origin)
        if isinstance(reading.zone, StoredZone) and (rules.signing is not None or rules.policy is not None):
            raise ZoneError(f"zone {name_text(origin)}: a compiled zone is not signed and takes no updates")
        signed = self._signed(origin)
        if served is None:
            raise ZoneError(f"zone {name_text(origin)}: it is being signed")
        before = self._serials[origin] if signed else serial_of(served.soa)
        if getattr(self.sources[origin], "automatic", False):
            if reading.digest == self._digests[origin]:
                return None
            reading = replace(reading, zone=with_serial(reading.zone, following(before)))
        serial = serial_of(reading.zone.soa)
        if newer(serial, before):
            return _Read(reading, None if signed else _difference(served, reading.zone))
        if force:
            return _Read(reading, None)
        if reading.digest == self._digests[origin]:
            return None
        found = None if signed else _difference(served, reading.zone)
        if found is None or _content(found):
            why = "stayed the same, but not what the zone holds" if serial == before else f"went back from {before}"
            raise ZoneError(
                f"zone {name_text(origin)}: the serial number {serial} {why}; raise it, or nobody fetches the zone"
            )
        return None

    def _signed(self, origin: Name) -> bool:
        return self.keeper.nameserver.rules_of(origin).signing is not None

    def _outcome(self, origin: Name, result: Result, reason: str = "", warnings: tuple[str, ...] = ()) -> Reloaded:
        served = self.authority.zones.get(origin)
        return Reloaded(name_text(origin), result, None if served is None else serial_of(served.soa), reason, warnings)


def _difference(old: Zone, new: Zone) -> Difference | None:
    """None where a version is a compiled file: those are not compared name by name."""
    return None if isinstance(old, StoredZone) or isinstance(new, StoredZone) else difference(old, new)


def _content(found: Difference) -> bool:
    """Whether two versions differ in more than their serial number."""
    return bool(found.deleted or found.added) or found.old[0].replace(serial=0) != found.new[0].replace(serial=0)
