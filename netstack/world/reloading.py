"""Zones of a world whose file changes while it is up: the records are made anew, the hosts and zones stay."""

import hashlib
from typing import TYPE_CHECKING

from netstack.world.addresses import AddressTable
from netstack.world.loader import load
from netstack.world.model import World
from netstack.world.problems import WorldError
from netstack.world.zones import zone_texts

if TYPE_CHECKING:
    from netstack.dns.source import Reading


class WorldZone:
    """One zone of the file of a world. Its serial number is not the file's: each change has the next one."""

    automatic = True

    def __init__(self, world: World, table: AddressTable, name: str, ca: bytes = b"") -> None:
        self.world = world
        self.table = table
        self.name = name
        self.ca = ca

    def read(self) -> "Reading":
        """As the file has it now; raises ZoneError."""
        from netstack.dns.source import Reading
        from netstack.dns.zone import Zone, ZoneError

        try:
            world = load(self.world.file)
        except WorldError as error:
            raise ZoneError(str(error)) from error
        if [*world.hosts] != [*self.world.hosts] or [*world.zones] != [*self.world.zones]:
            raise ZoneError(f"{self.world.file} has other hosts or zones than the world that is up: netstack down, then up")
        text = zone_texts(world, self.table, self.ca)[self.name]
        return Reading(Zone.from_text(self.name, text), (), hashlib.sha256(text.encode()).digest())
