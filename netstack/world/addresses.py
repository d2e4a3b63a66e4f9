"""Addresses of a world's hosts: a pure function of the world, the substrate and its parameters; nothing is discovered.

Every site owns blocks of 256 addresses, one sequence of blocks for the hosts that the world file declares and one for
those that follow from it, so that a host added at the end of a site, or a zone with its server, moves no other host.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network
from types import MappingProxyType
from typing import Literal

from netstack.world.model import World

Substrate = Literal["simulated", "loopback", "namespaces", "kubernetes"]
SUBSTRATES: tuple[Substrate, ...] = ("simulated", "loopback", "namespaces", "kubernetes")
BLOCK = 256
USED = 254
"""Of a block: .0 and .255 are left out, for programs that take them for a network and its broadcast."""
SEQUENCES = 2
LEAST_STRIDE = 32
PRIVATE = "10.0.0.0/8"
SERVICE_CIDR = "10.96.0.0/12"


class AddressError(ValueError):
    """The world does not fit into the addresses that the substrate has."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a substrate needs beside the world."""

    network: int = 53
    """Loopback: the world's own second octet, 127.NETWORK.0.0/16."""
    port_offset: int = 0
    """Loopback: what is added to every standard port."""
    service_cidr: str = SERVICE_CIDR
    """Kubernetes: the cluster's range of Service addresses."""
    client_networks: tuple[str, ...] = ()
    """Networks from which foreign clients come, beside the substrate's own."""


@dataclass(frozen=True)
class AddressTable:
    """Who has which address. `hosts` is in the world's order."""

    substrate: Substrate
    network: str
    """The range that all addresses are taken from."""
    hosts: Mapping[str, tuple[str, ...]]
    client_networks: tuple[str, ...]
    """Where clients of this world come from: for access lists."""
    port_offset: int = 0
    sites: Mapping[str, str] = field(default_factory=dict)
    """Host -> site."""

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Address -> host."""
        return {address: name for name, found in self.hosts.items() for address in found}

    @cached_property
    def site_of(self) -> Mapping[str, str]:
        """Address -> site."""
        return {address: self.sites[name] for address, name in self.names.items()}

    def name(self, address: str) -> str:
        """The host that has an address; the address itself when it is foreign."""
        return self.names.get(address, address)

    def first(self, host: str) -> str:
        """The first address of a host."""
        return self.hosts[host][0]


def addresses(world: World, substrate: Substrate, parameters: Parameters | None = None) -> AddressTable:
    """The table of a world on a substrate; raises AddressError when it does not fit."""
    parameters = parameters or Parameters()
    network, clients = _range(substrate, parameters)
    stride = LEAST_STRIDE
    while stride < SEQUENCES * len(world.sites) + 1:
        stride *= 2
    sites = {name: number for number, name in enumerate(world.sites)}
    taken: dict[int, int] = {}
    table: dict[str, tuple[str, ...]] = {}
    start, blocks = int(network.network_address), network.num_addresses // BLOCK
    for host in world.hosts.values():
        sequence = 1 + SEQUENCES * sites[host.site] + host.derived
        found = []
        for _ in range(host.addresses):
            number = taken.get(sequence, 0)
            taken[sequence] = number + 1
            block = sequence + number // USED * stride
            if block >= blocks:
                raise AddressError(
                    f"site {host.site} has more hosts than {network} has room for on {substrate}: "
                    f"{host.name} is number {number + 1}"
                )
            found.append(_dotted(start + block * BLOCK + 1 + number % USED))
        table[host.name] = tuple(found)
    return AddressTable(
        substrate,
        str(network),
        MappingProxyType(table),
        (*clients, *parameters.client_networks),
        parameters.port_offset if substrate == "loopback" else 0,
        MappingProxyType({host.name: host.site for host in world.hosts.values()}),
    )


def _range(substrate: Substrate, parameters: Parameters) -> tuple[IPv4Network, tuple[str, ...]]:
    if substrate == "loopback":
        if not 1 <= parameters.network <= 254:
            raise AddressError(f"127.{parameters.network}.0.0/16 is not a loopback network; expected a number from 1 to 254")
        return IPv4Network(f"127.{parameters.network}.0.0/16"), ("127.0.0.0/8",)
    if substrate == "kubernetes":
        network = IPv4Network(parameters.service_cidr)
        # Pods ask from addresses of their own, which no table knows.
        return network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
    return IPv4Network(PRIVATE), (PRIVATE,)


def _dotted(number: int) -> str:
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
