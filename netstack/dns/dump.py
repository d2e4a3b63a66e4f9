"""A zone that is served as the text of a master file, in canonical order, however large it is."""

from collections.abc import Iterator

from dns.name import Name
from dns.rdatatype import RdataType
from twisted.internet.defer import Deferred

from netstack.dns.master import canonical, lines_of
from netstack.dns.serial import serial_of
from netstack.dns.wire import name_text
from netstack.dns.zone import Zone
from netstack.kernel.machine import Machine

SORTED = 1e-6
"""Seconds that sorting takes for each name in the simulation."""


def dump(machine: Machine, zone: Zone) -> "Deferred[Iterator[str]]":
    """The lines, made as they are asked for; names are sorted off the reactor's thread."""
    return machine.offload(lambda: lines(zone), cost=SORTED * len(zone.nodes))


def lines(zone: Zone) -> Iterator[str]:
    """The SOA record first, which makes it a file that others read; then name by name, signatures after what they cover."""
    owners = [*((canonical(name), name) for name in zone.nodes), *((canonical(name), name) for name in zone.hashed)]
    owners.sort(key=lambda pair: pair[0])
    return _lines(zone, [name for _, name in owners])


def _lines(zone: Zone, owners: list[Name]) -> Iterator[str]:
    yield f"; {name_text(zone.origin)}, serial {serial_of(zone.soa)}"
    yield from lines_of(zone.soa)
    for name in owners:
        for nodes in (zone.nodes, zone.hashed):
            node = nodes.get(name)
            if node is None:
                continue
            for rdtype in sorted(node.rrsets):
                if rdtype not in (RdataType.RRSIG, RdataType.SOA):
                    yield from lines_of(node.rrsets[rdtype])
                if rdtype in node.signatures:
                    yield from lines_of(node.signatures[rdtype])
