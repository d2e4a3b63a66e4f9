"""netstack-resolver: the recursive, caching server (RFC 1034 §5.3.3): from root hints, by itself."""

from dataclasses import dataclass, field
from typing import Literal

from netstack.dns.limits import ResolverLimits, ServerLimits

Profile = Literal["textbook", "hardened"]
PROFILES: tuple[Profile, ...] = ("textbook", "hardened")


@dataclass(frozen=True, slots=True)
class Config:
    """Where it listens, where it begins, and for whom it works."""

    hints: tuple[tuple[str, str], ...]
    """The root's servers: (name, address); a name may come more than once."""
    listen: tuple[str, ...] = ("udp:53", "tcp:53")
    """Endpoints (`netstack.kernel.listen`) with standard ports: `build` puts `machine.port()` over them."""
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks of clients; others are REFUSED."""
    profile: Profile = "hardened"
    """"textbook": the messages of the chapter's figures and no others. "hardened": the root's servers are also asked for
    their own names first (priming, RFC 8109), and servers' IPv6 addresses are used where the machine has one."""
    port: int = 53
    """Of the servers that it asks; standard: `machine.port()` is put over it."""
    server_limits: ServerLimits = field(default_factory=ServerLimits)
    limits: ResolverLimits = field(default_factory=ResolverLimits)
