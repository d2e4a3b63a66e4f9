"""What a lab measures with: worlds on the substrate that was asked for, from the seed that was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netstack.world import loader
from netstack.world.model import without
from netstack.world.session import Session, open_session


@dataclass(frozen=True, slots=True)
class Bench:
    """Handed to a lab's `measure`."""

    on: str
    seed: int
    full: bool = False
    """Whether it may take minutes: more of the same, with smaller errors. Else a sample of seconds."""

    def world(self, name: str, ring: bool = False) -> Session:
        """A world that is up, by name; a context manager that stops it. Without `ring` its ring hosts run nothing.

        They look after their circle every second, which takes long in labs that let days pass.
        """
        world = loader.load(name)
        return open_session(world if ring else without(world, "ring"), self.on, self.seed)

    def changed(self, base: str, changes: Mapping[str, Any], name: str, ring: bool = False) -> Session:
        """A world that is another one but for some tables."""
        world = loader.extended(base, changes, name)
        return open_session(world if ring else without(world, "ring"), self.on, self.seed)

    def made(self, table: Mapping[str, Any], name: str) -> Session:
        """A world of the lab's own, from a table as of a world file."""
        return open_session(loader.parse(table, name, name), self.on, self.seed)
