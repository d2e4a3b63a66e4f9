"""Where a request goes: a forward proxy's by its own target (RFC 9112 §3.2.2), a reverse proxy's by the site's name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from netstack.http.values import authority
from netstack.http.wire import Request

SCHEMES = {"http": 80, "https": 443}
KNOWN = 4096
"""Clients' addresses whose network is remembered."""
Networks = Sequence[IPv4Network | IPv6Network]


@dataclass(frozen=True, slots=True)
class Site:
    """A site that this proxy stands before, and the server that has it. Raises ValueError."""

    names: tuple[str, ...]
    origin: str
    """`http://HOST[:PORT]` or `https://HOST[:PORT]`; a server under TLS must prove that it is HOST."""

    def __post_init__(self) -> None:
        for name in self.names:
            if authority(name) != (name, None):
                raise ValueError(f"{name!r} is not a host's name in lower case without a port")
        parts = urlsplit(self.origin)
        named = authority(parts.netloc)
        if not self.names or parts.scheme not in SCHEMES or named is None or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"{self.origin!r} is not an origin such as http://10.0.0.1:8080 or https://www.example.org")

    @classmethod
    def parse(cls, text: str) -> "Site":
        """From `NAME[,NAME...]=URL`; raises ValueError."""
        names, equals, origin = text.partition("=")
        if not equals or not names:
            raise ValueError(f"{text!r} is not NAME[,NAME...]=URL")
        return cls(tuple(names.split(",")), origin)


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is for."""

    secure: bool
    host: str
    """Of the server to ask: a name, or an address without brackets."""
    port: int
    """In use."""
    scheme: str
    authority: str
    """The Host field for it; with `scheme` and `path` the target URI."""
    path: str
    """In origin form, with the query; "*" for OPTIONS alone."""
    key_port: int
    """Of the target URI, always said: what is stored is known by it."""
    site: str | None = None
    """The name under which this proxy stands before the server; None for a forward proxy's."""

    @property
    def uri(self) -> str:
        """The target URI (RFC 9110 §7.1)."""
        return f"{self.scheme}://{self.authority}{'' if self.path == '*' else self.path}"


class Refused(Exception):
    """A request that is not for this proxy, or not from a client of its own: status, and what to do."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Targets:
    """Finds targets. `port` gives the port in use for a standard one."""

    def __init__(
        self, sites: Sequence[Site], forward: bool, ports: Sequence[tuple[int, int]], port: Callable[[int], int]
    ) -> None:
        """`ports`: ranges that a forward proxy goes to, with standard numbers."""
        self._sites: dict[str, tuple[bool, str, int]] = {}
        for site in sites:
            parts = urlsplit(site.origin)
            standard = SCHEMES[parts.scheme]
            place = parts.scheme == "https", parts.hostname or "", parts.port or port(standard)
            self._sites.update(dict.fromkeys(site.names, place))
        self._forward = forward
        self._ports = ports
        self._port = port

    @property
    def forwards(self) -> bool:
        """Whether it is a forward proxy."""
        return self._forward

    def judge_client(self, friend: bool) -> None:
        """Whether a client may use the forward proxy; raises Refused."""
        if not self._forward:
            raise Refused(403, "This is no forward proxy: it makes no tunnels.")
        if not friend:
            raise Refused(403, "This proxy is for the clients of its own networks, and your address is not in any of them.")

    def of(self, request: Request, secure: bool, friend: bool) -> Target:
        """What a request is for. `secure`: it came under TLS; `friend`: its client may use the forward proxy.

        Raises Refused.
        """
        host = request.host or ""
        path = request.path if request.query is None else f"{request.path}?{request.query}"
        place = self._sites.get(host)
        if place is not None:
            scheme = request.scheme or ("https" if secure else "http")
            standard = SCHEMES.get(scheme, 80)
            key_port = self._port(standard) if request.port in (None, standard) else request.port
            return Target(*place, scheme, _authority(host, request.port, scheme), path, key_port, host)
        if not self._forward:
            raise Refused(421, f"{host or 'A request without a host'} is not served here.")
        self.judge_client(friend)
        if request.scheme is None:
            raise Refused(
                400,
                "This is a proxy, and the request names no server: a proxy's client sends the whole URL "
                "(curl: --proxy, programs: http_proxy=http://HOST:PORT).",
            )
        found = SCHEMES.get(request.scheme)
        if found is None:
            raise Refused(400, f"This proxy fetches http and https URLs, not {request.scheme[:20]}.")
        actual = self._port(found) if request.port in (None, found) else request.port
        if not (actual == self._port(found) or any(low <= actual <= high for low, high in self._ports)):
            raise Refused(403, f"This proxy does not go to port {actual}.")
        return Target(
            request.scheme == "https", host.strip("[]"), actual, request.scheme,
            _authority(host, request.port, request.scheme), path, actual,
        )  # fmt: skip


class Friends:
    """Clients of the proxy's own networks."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._known: dict[str, bool] = {}

    def __contains__(self, address: str) -> bool:
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            known = self._known[address] = self._belongs(address)
        return known

    def _belongs(self, address: str) -> bool:
        try:
            found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self._networks)


def _authority(host: str, port: int | None, scheme: str) -> str:
    """The Host field of a URL: without the port that the scheme has by itself."""
    return host if port is None or port == SCHEMES.get(scheme) else f"{host}:{port}"


def parse_ports(text: str) -> tuple[tuple[int, int], ...]:
    """Ranges from `80,443,1024-65535`; raises ValueError."""
    ranges = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        try:
            ranges.append((int(low), int(high or low)))
        except ValueError:
            raise ValueError(f"{part!r} is not a port or a range such as 1024-65535") from None
        if not 0 < ranges[-1][0] <= ranges[-1][1] < 65536:
            raise ValueError(f"{part!r} is not a range of ports from 1 to 65535")
    return tuple(ranges)
