"""Where a proxy goes for its clients, and where not: names, ports, and addresses that only it can reach (RFC 9110 §17.16).

A client says a name, and its own DNS where that leads: loopback, private and other special addresses (RFC 6890) are the
proxy's neighbourhood, not the client's, and are out of reach unless a network is named. It is asked about each
address that a name turns out to have, just before it is connected to.
"""

from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from netstack.http.places import Place

_TRANSLATED = ip_network("64:ff9b::/96")
"""RFC 6052: an IPv4 address behind a translator."""
Network = IPv4Network | IPv6Network


class Destinations:
    """The access list of one proxy."""

    def __init__(
        self,
        reach: Sequence[Network],
        denied: Collection[str],
        tunnel_ports: Sequence[tuple[int, int]],
        tunnel_names: Collection[str],
        actual: Callable[[int], int] = lambda port: port,
        standard: Callable[[int], int] = lambda port: port,
    ) -> None:
        """`reach`: networks that are not everybody's, and may be gone to. `denied`: names that may not, and those below.

        `tunnel_ports`: ranges of standard ports for tunnels; `tunnel_names`: the only names for these, if there are any.
        `actual`, `standard`: ports in use and standard ones.
        """
        self._reach = reach
        self._denied, self._tunnel_names = _names(denied), _names(tunnel_names)
        self._tunnel_ports = tunnel_ports
        self._actual, self._standard = actual, standard

    def permits(self, place: Place, address: str) -> bool:
        """Whether an address that a place has may be connected to."""
        if place.own:
            return True
        try:
            found = embedded(ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        if any(found in network for network in self._reach):
            return True
        return found.is_global and not found.is_multicast

    def denies(self, host: str) -> bool:
        """Whether nobody goes to a name."""
        return _below(host, self._denied)

    def tunnel(self, host: str, port: int) -> Place | str:
        """Where a CONNECT leads, or why it is refused. Ports below 1024 are standard ones: clients know no others."""
        actual = self._actual(port) if 0 < port < 1024 else port
        standard = self._standard(actual)
        if not any(low <= standard <= high for low, high in self._tunnel_ports):
            return f"This proxy makes no tunnels to port {port}."
        if self.denies(host) or (self._tunnel_names and not _below(host, self._tunnel_names)):
            return f"This proxy makes no tunnels to {host}."
        return Place(False, host.strip("[]"), actual)


def embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for (RFC 4291 §2.5.5.2, RFC 3056, RFC 6052), or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _names(names: Collection[str]) -> frozenset[str]:
    return frozenset(name.lower().strip(".") for name in names)


def _below(host: str, names: Collection[str]) -> bool:
    """Whether a name is one of `names`, or below one."""
    if not names:
        return False
    labels = host.lower().rstrip(".").split(".")
    return any(".".join(labels[at:]) in names for at in range(len(labels)))
