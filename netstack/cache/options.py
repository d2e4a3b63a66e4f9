"""What a proxy is told to do, and its bounds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

from netstack.cache.targets import Site
from netstack.sansio.bounds import all_positive

FORWARDED = ("off", "x", "standard", "both")
"""Whether origins are told for whom a request is: not; by X-Forwarded-For; by Forwarded (RFC 7239); by both."""
OWN = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """Bounds of one proxy. Times in seconds, sizes in octets."""

    fetches: int = 10_000
    """Requests to origins under way: 503."""
    waiting: int = 10_000
    """Clients that wait for another one's response; one more goes its own way."""
    passed: int = 10_000
    """URLs that are known to have responses that are not stored: nobody waits there for another one's response."""
    passed_seconds: float = 120.0
    """For which that is known."""
    abandoned_octets: int = 64 * 1024
    """A response that nobody waits for any more is received to its end when no more are missing than this."""
    abandoned_percent: float = 95.0
    """Or when so much of it is there."""
    lagging_seconds: float = 10.0
    """For the slowest of several readers of a response that is not stored to catch up; then it is cut off."""
    ready: int = 4096
    """Responses that are kept as octets ready to be sent."""
    ready_octets: int = 128 * 1024
    """The largest body of one."""
    ready_memory: int = 64 * 1024 * 1024
    """Octets of all their bodies."""
    inline: int = 256 * 1024
    """The largest body in memory that is handed to a connection in one piece."""

    def __post_init__(self) -> None:
        all_positive(self, ("passed", "waiting", "abandoned_octets", "abandoned_percent", "ready"))


@dataclass(frozen=True, slots=True)
class TunnelLimits:
    """Bounds of tunnels. Times in seconds."""

    tunnels: int = 1000
    """At once: 503."""
    per_client: int = 200
    """Of one client's address: 503."""
    idle_seconds: float = 120.0
    """Without an octet in either direction."""
    half_seconds: float = 30.0
    """The same when one side has ended its direction."""
    seconds: float = 86_400.0
    """For a tunnel, whatever goes through it."""

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """Roles of a proxy."""

    sites: Sequence[Site] = ()
    """Reverse proxy: the sites that it stands before."""
    forward: bool = True
    """Forward proxy: for clients of `allow`, to the ports of `ports`."""
    allow: Sequence[IPv4Network | IPv6Network] = OWN
    ports: Sequence[tuple[int, int]] = ((80, 80), (443, 443), (1024, 65535))
    reach: Sequence[IPv4Network | IPv6Network] = ()
    """Networks that are not everybody's, and that the forward proxy goes to; without them not to loopback and the like."""
    denied: Sequence[str] = ()
    """Names that the forward proxy does not go to, nor to any below them."""
    tunnel_ports: Sequence[tuple[int, int]] = ((443, 443),)
    tunnel_names: Sequence[str] = ()
    """If there are any: names to which alone, and to those below them, there are tunnels."""
    tunnels: TunnelLimits = field(default_factory=TunnelLimits)
    forwarded: str = "off"
    purge_key: bytes = b""
    """Who sends it may remove stored responses by PURGE, over TLS or from this machine; if empty, nobody may."""
    limits: ProxyLimits = field(default_factory=ProxyLimits)
