"""NOTIFY to secondaries (RFC 1996 §3): sent until it is answered, for the latest version alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dns.name import Name
from dns.opcode import Opcode
from dns.rdatatype import RdataType
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.dns.limits import ZoneLimits
from netstack.dns.metrics import ZoneCounts
from netstack.dns.requests import NoReply, message, request
from netstack.dns.tsig import Key
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import ResolutionError
from netstack.sansio import Address

SERVERS = 32
"""Name servers of a zone that are told; the rest learn of changes by their refresh timers."""


@dataclass(frozen=True, slots=True)
class Target:
    """A secondary, and the key that what it is told is signed with."""

    address: Address
    key: Key | None = None


class Notifier:
    """Tells each secondary of each zone; one that does not answer learns of the change by its refresh timer."""

    log = Logger()

    def __init__(self, machine: Machine, limits: ZoneLimits, counts: ZoneCounts) -> None:
        self.machine = machine
        self.limits = limits
        self.counts = counts
        self._under_way: dict[tuple[Name, Target], Deferred[bytes]] = {}

    def tell(self, zone: Zone, targets: Sequence[Target]) -> None:
        """Tell them of this version; what was being told before is told no more."""
        for target in targets:
            key = (zone.origin, target)
            before = self._under_way.pop(key, None)
            if before is not None:
                before.cancel()
            data = message(self.machine.rng.getrandbits(16), Opcode.NOTIFY, zone.origin, soa=zone.soa)
            self.counts.notifies["out"] += 1
            told = Deferred.fromCoroutine(request(self.machine, target.address, data, target.key, self.limits))
            self._under_way[key] = told
            told.addBoth(self._told, key, told)

    async def tell_servers(self, zone: Zone, port: int, told: Sequence[Target]) -> None:
        """Tell the zone's own name servers (RFC 1996 §3.3): not its SOA's MNAME, not ourselves, not those of `told`."""
        soa: Any = zone.soa[0]
        ours = {*self.machine.addresses, *(target.address[0] for target in told)}
        servers = zone.nodes[zone.origin].rrsets[RdataType.NS]
        for name in [rdata.target for rdata in servers][:SERVERS]:
            if name == soa.mname:
                continue
            addresses = [rdata.address for rrset in zone.addresses(name) for rdata in rrset]
            if not addresses and not name.is_subdomain(zone.origin):
                try:
                    addresses = list(await self.machine.resolver.addresses(name_text(name)))
                except ResolutionError as error:
                    self.log.debug("{zone}: NOTIFY: {why}", zone=name_text(zone.origin), why=str(error))
            self.tell(zone, [Target((address, port)) for address in addresses if address not in ours])
            ours.update(addresses)

    def stop(self) -> None:
        """Tell nobody anything more."""
        for told in tuple(self._under_way.values()):
            told.cancel()

    def _told(self, result: "bytes | Failure", key: tuple[Name, Target], told: "Deferred[bytes]") -> None:
        if self._under_way.get(key) is told:
            del self._under_way[key]
        if not isinstance(result, Failure):
            if result[3] & 15:
                self.log.info(
                    "{zone}: {address} answers NOTIFY with RCODE {rcode}",
                    zone=name_text(key[0]), address=key[1].address[0], rcode=result[3] & 15,
                )  # fmt: skip
            return
        if result.check(NoReply) is not None:
            self.log.info("{zone}: NOTIFY: {why}", zone=name_text(key[0]), why=result.getErrorMessage())
        elif result.check(CancelledError) is None:
            self.log.failure("{zone}: NOTIFY failed", result, zone=name_text(key[0]))
