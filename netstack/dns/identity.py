"""Which ids and source ports queries have: what a forger has to guess (RFC 5452 §4); pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Choice = Literal["random", "sequential", "fixed"]
FIRST_PORT, LAST_PORT = 32768, 65535
"""Ports of clients; below them are those of servers, shifted or not."""
PORTS, IDS = LAST_PORT - FIRST_PORT + 1, 1 << 16


@dataclass(frozen=True, slots=True)
class Identity:
    """All random (RFC 5452 §9.2). Anything else invites forgers: it is for labs, which show what each defence is worth."""

    source_port: Choice = "random"
    """"fixed": all queries leave from one port, as resolvers did before 2008."""
    id: Choice = "random"
    """"sequential": each query's id is the last one's plus 1."""
    ports: int = PORTS
    """So many ports are in use, from FIRST_PORT."""
    ids: int = IDS
    """So many ids are in use, from 0."""

    def __post_init__(self) -> None:
        if self.source_port not in ("random", "fixed"):
            raise ValueError(f"source_port: expected random or fixed, got {self.source_port!r}")
        if self.id not in ("random", "sequential", "fixed"):
            raise ValueError(f"id: expected random, sequential or fixed, got {self.id!r}")
        if not 1 <= self.ports <= PORTS:
            raise ValueError(f"ports: expected 1 to {PORTS}, got {self.ports}")
        if not (1 <= self.ids <= IDS and self.ids & (self.ids - 1) == 0):
            raise ValueError(f"ids: expected a power of 2 up to {IDS}, got {self.ids}")

    @property
    def weak(self) -> bool:
        """Whether forged replies have a better chance than they need to have."""
        return self != SAFE

    def numbers(self, getrandbits: Callable[[int], int]) -> Callable[[], int]:
        """What gives each query its id."""
        if self.id == "random":
            bits = self.ids.bit_length() - 1
            return lambda: getrandbits(bits)
        step, last = int(self.id == "sequential"), getrandbits(16)

        def following() -> int:
            nonlocal last
            last += step
            return last % self.ids

        return following


SAFE = Identity()
