"""What a lab measures with: worlds on the substrate that was asked for, from the seed that was asked for."""

from dataclasses import dataclass

from netstack.world.session import Session, open_session


@dataclass(frozen=True, slots=True)
class Bench:
    """Handed to a lab's `measure`."""

    on: str
    seed: int

    def world(self, name: str) -> Session:
        """A world that is up, by name; a context manager that stops it."""
        return open_session(name, self.on, self.seed)
