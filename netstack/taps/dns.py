"""netstack-dns: the authoritative server (RFC 1034 §4.3), one or many zones."""

from dataclasses import dataclass, field
from typing import Literal

from netstack.dns.limits import ServerLimits
from netstack.dns.zone import ZoneText

Rotation = Literal["cyclic", "random", "fixed"]
ROTATIONS: tuple[Rotation, ...] = ("cyclic", "random", "fixed")


@dataclass(frozen=True, slots=True)
class ZoneFile:
    """A zone whose master file is on the machine's disk; `path` is relative to the disk's root."""

    origin: str
    path: str


@dataclass(frozen=True, slots=True)
class Config:
    """What a server serves, and where."""

    zones: tuple[ZoneText | ZoneFile, ...]
    listen: tuple[str, ...] = ("udp:53", "tcp:53")
    """Endpoints (`netstack.kernel.listen`) with standard ports: `build` puts `machine.port()` over them."""
    rotation: Rotation = "cyclic"
    """The order of an RRset's records: each first in turn, at random, or always as in the zone."""
    limits: ServerLimits = field(default_factory=ServerLimits)
