"""The circle of identifiers: distances, intervals, and where keys and nodes lie (Stoica et al., Chord, §4.1)."""

from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import NamedTuple

LEAST_BITS, MOST_BITS = 4, 160


class Contact(NamedTuple):
    """A node as others know it."""

    ident: int
    address: str = ""
    """Where it is reached: `HOST:PORT`; empty in circles that are only drawn."""


def place(host: str, port: int) -> str:
    """`HOST:PORT` of a name or an address, an IPv6 one in brackets (RFC 3986 §3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Circle:
    """Identifiers of so many bits, counted modulo 2^bits."""

    bits: int
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            raise ValueError(f"bits: expected {LEAST_BITS} to {MOST_BITS}, got {self.bits}")
        object.__setattr__(self, "size", 1 << self.bits)

    def before(self, ident: int) -> int:
        """The identifier before one: where the arc begins that has it alone."""
        return (ident - 1) % self.size

    def distance(self, start: int, end: int) -> int:
        """Steps clockwise from one to the other."""
        return (end - start) % self.size

    def reaches(self, start: int, ident: int, end: int) -> bool:
        """Whether an identifier lies in (start, end]; the whole circle where the ends are one."""
        size = self.size
        return start == end or 0 < (ident - start) % size <= (end - start) % size

    def within(self, start: int, ident: int, end: int) -> bool:
        """Whether it lies in (start, end), without the ends; all but the end where they are one."""
        if start == end:
            return ident != start
        return 0 < (ident - start) % self.size < (end - start) % self.size

    def of(self, data: bytes) -> int:
        """Of a key or a node's name: the first bits of its hash, SHA-1 as in the paper, or SHA-256 of a node's key."""
        return int.from_bytes(sha1(data, usedforsecurity=False).digest(), "big") >> (160 - self.bits)

    def of_public_key(self, der: bytes) -> int:
        """A node's, which it cannot choose."""
        return int.from_bytes(sha256(der).digest(), "big") >> (256 - self.bits)
