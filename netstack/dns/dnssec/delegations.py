"""A parent's side of its children's rollovers: told of CDS records (RFC 9859), it fetches them and changes its DS."""

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import dns.rdata
import dns.rdataclass
from dns.name import Name
from dns.rdatatype import RdataType
from dns.rrset import RRset
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from netstack.dns.changes import Maintenance
from netstack.dns.client import query
from netstack.dns.dnssec.cds import NotAccepted, accepted
from netstack.dns.dnssec.keys import KeyFormatError
from netstack.dns.dnssec.keystore import DIRECTORY
from netstack.dns.keeper import ZoneKeeper
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone
from netstack.kernel.disk import Disk
from netstack.kernel.machine import Machine
from netstack.kernel.resolver import ResolutionError

AT_ONCE = 10
"""Children that are asked at the same time; others are told again by their NOTIFY's repetition."""
LEAST = 30.0
"""Seconds between two looks at one child."""
REMEMBERED = 1000
SERVERS = 8
"""Addresses of a child's servers that are asked."""


class Delegations:
    """The children of one server's signed zones."""

    log = Logger()

    def __init__(self, machine: Machine, zones: ZoneKeeper, changed: Callable[[Zone, RRset], None]) -> None:
        """`changed` is called with a zone and a child's new DS records before they are served."""
        self.machine = machine
        self.zones = zones
        self._changed = changed
        self._under_way: dict[Name, Deferred[None]] = {}
        self._last: OrderedDict[Name, float] = OrderedDict()

    def announced(self, origin: Name, child: Name) -> None:
        """A child says that it has CDS records; whoever says so, they are looked at no more often than `LEAST`."""
        now = self.machine.reactor.seconds()
        if len(self._under_way) >= AT_ONCE or child in self._under_way or now - self._last.get(child, -LEAST) < LEAST:
            return
        self._last[child] = now
        self._last.move_to_end(child)
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        work = self._under_way[child] = Deferred.fromCoroutine(self._look(origin, child))
        work.addBoth(self._done, child)

    def stop(self) -> None:
        """Ask nobody anything more."""
        for work in tuple(self._under_way.values()):
            work.cancel()

    def _done(self, result: object, child: Name) -> None:
        self._under_way.pop(child, None)
        if not isinstance(result, Failure) or result.check(CancelledError) is not None:
            return
        if result.check(NotAccepted, OSError) is not None:
            self.log.info("{child}: DS records stay: {why}", child=name_text(child), why=result.getErrorMessage())
        else:
            self.log.failure("{child}: CDS", result, child=name_text(child))

    async def _look(self, origin: Name, child: Name) -> None:
        zone = self.zones.nameserver.authority.zones.get(origin)
        ds = None if zone is None or child not in zone.nodes else zone.nodes[child].rrsets.get(RdataType.DS)
        if zone is None or ds is None:
            return
        wanted: RRset | None = None
        asked = False
        for address in await self._servers(zone, child):
            server = (address, self.machine.port(53))
            try:
                keys = await query(self.machine, server, name_text(child), "DNSKEY", False, dnssec_ok=True)
                told = await query(self.machine, server, name_text(child), "CDS", False, dnssec_ok=True)
            except ResolutionError:
                continue
            asked = True
            found = accepted(child, ds, keys.answer, told.answer, self.machine.wall())
            if wanted is not None and wanted.items.keys() != found.items.keys():
                raise NotAccepted("its servers have different CDS records")
            wanted = found
        if not asked or wanted is None:
            raise NotAccepted("none of its servers answers")
        now = self.zones.nameserver.authority.zones.get(origin)
        present = None if now is None or child not in now.nodes else now.nodes[child].rrsets.get(RdataType.DS)
        if now is None or present is None or present.items.keys() != ds.items.keys():
            raise NotAccepted("they changed meanwhile")
        if wanted.items.keys() == ds.items.keys():
            return
        self._changed(now, wanted)
        await self.zones.changes.maintain(Maintenance(origin, put=[wanted]))
        self.log.info(
            "{child}: DS records now point at {tags}", child=name_text(child), tags=sorted(each.key_tag for each in wanted)
        )

    async def _servers(self, zone: Zone, child: Name) -> list[str]:
        """Addresses of the child's servers: glue, what other zones of ours know, or by the resolver."""
        found: list[str] = []
        for rdata in zone.nodes[child].rrsets.get(RdataType.NS, ()):
            for held in (zone, *self.zones.nameserver.authority.zones.values()):
                known = [each.address for rrset in held.addresses(rdata.target) for each in rrset]
                if known:
                    break
            else:
                try:
                    known = list(await self.machine.resolver.addresses(name_text(rdata.target)))
                except ResolutionError:
                    continue
            found += [address for address in known if address not in found]
        own = {":" in address for address in self.machine.addresses}
        return [address for address in found if (":" in address) in own][:SERVERS]


class Overlay:
    """DS records that children asked for, over those of zones' files, until a file has others for them."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._configured: dict[Name, list[str]] = {}

    def over(self, zone: Zone) -> Zone:
        """The zone as its file has it, with the DS records that count."""
        names: dict[Name, list[RRset]] = {}
        read = self._read(zone.origin)
        for ds in zone:
            if ds.rdtype != RdataType.DS:
                continue
            self._configured[ds.name] = _texts(ds)
            entry = read.get(ds.name.to_text().lower())
            if entry is None or entry["file"] != _texts(ds):
                continue
            made = RRset(ds.name, ds.rdclass, RdataType.DS)
            made.ttl = ds.ttl
            made.items = {dns.rdata.from_text(dns.rdataclass.IN, RdataType.DS, each): None for each in entry["now"]}
            names[ds.name] = [*(rrset for rrset in zone.rrsets_at(ds.name) if rrset.rdtype != RdataType.DS), made]
        return zone.with_names(names) if names else zone

    def put(self, zone: Zone, wanted: RRset) -> None:
        """Remember a child's new DS records; on disk when this returns."""
        read = self._read(zone.origin)
        read[wanted.name.to_text().lower()] = {"file": self._configured.get(wanted.name), "now": _texts(wanted)}
        self._disk.write(self._file(zone.origin), (json.dumps(read, indent=1) + "\n").encode())

    def _file(self, origin: Name) -> str:
        return f"{DIRECTORY}/delegations-{name_text(origin).rstrip('.')}."

    def _read(self, origin: Name) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._disk.read(self._file(origin)))
            if all(isinstance(entry["now"], list) and "file" in entry for entry in found.values()):
                return found
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, KeyError, TypeError):
            pass
        raise KeyFormatError(
            f"{self._file(origin)}: expected DS records by child; take it away to use those of the zone file"
        )


def _texts(rrset: RRset) -> list[str]:
    return sorted(rdata.to_text() for rdata in rrset)
