"""Addresses: pure, unique, inside their range, unmoved by additions."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.world.addresses import SUBSTRATES, AddressError, Parameters, Substrate, addresses
from netstack.world.generated import generated_world
from netstack.world.loader import load
from netstack.world.model import Host, Site, World, Zone, world_of

substrates = st.sampled_from(SUBSTRATES)


def world(sizes: list[list[int]], extra: Host | None = None) -> World:
    """Sites of hosts with so many addresses each."""
    sites = [Site(f"site{number}", resolver=f"resolver.site{number}.test") for number in range(len(sizes))]
    hosts = [
        Host(f"host{member}.site{number}.test", f"site{number}", addresses=count)
        for number, counts in enumerate(sizes)
        for member, count in enumerate(counts)
    ]
    if extra is not None:
        hosts.append(extra)
    return world_of("w", sites, hosts, [Zone(".", ("root.test",), site="site0")])


shapes = st.lists(st.lists(st.integers(1, 4), max_size=6), min_size=1, max_size=9)


@given(shapes, substrates)
def test_unique_and_inside(sizes: list[list[int]], substrate: Substrate) -> None:
    table = addresses(world(sizes), substrate)
    every = [address for found in table.hosts.values() for address in found]
    assert len(set(every)) == len(every)
    assert all(ip_address(address) in ip_network(table.network) for address in every)
    assert all(not address.endswith((".0", ".255")) for address in every)
    assert all(table.name(address) == name for name, found in table.hosts.items() for address in found)
    assert table == addresses(world(sizes), substrate)


@given(shapes, substrates, st.integers(0, 8))
def test_a_host_added_at_the_end_of_a_site_moves_no_other(sizes: list[list[int]], substrate: Substrate, site: int) -> None:
    site %= len(sizes)
    before = addresses(world(sizes), substrate).hosts
    after = addresses(world(sizes, Host(f"new.site{site}.test", f"site{site}")), substrate).hosts
    assert {name: after[name] for name in before} == before


def test_a_zone_with_its_server_moves_no_declared_host() -> None:
    small = load("small")
    zones = {**small.zones, "poly.edu": Zone("poly.edu", ("dns.poly.edu",), site="core")}
    grown = world_of("small", small.sites.values(), (h for h in small.hosts.values() if not h.derived), zones.values())
    before, after = addresses(small, "loopback").hosts, addresses(grown, "loopback").hosts
    assert "dns.poly.edu" in after
    assert {name: after[name] for name in before if name != "dns.nyu.edu"} == {
        name: found for name, found in before.items() if name != "dns.nyu.edu"
    }


def test_ranges_and_clients() -> None:
    small = load("small")
    loopback = addresses(small, "loopback", Parameters(network=77, port_offset=10_000, client_networks=("192.0.2.0/24",)))
    assert loopback.first("gaia.cs.umass.edu").startswith("127.77.")
    assert loopback.port_offset == 10_000
    assert loopback.client_networks == ("127.0.0.0/8", "192.0.2.0/24")
    assert loopback.site_of[loopback.first("cse.nyu.edu")] == "nyu"
    assert loopback.name("127.0.0.1") == "127.0.0.1"
    assert addresses(small, "namespaces", Parameters(port_offset=10_000)).port_offset == 0
    assert (
        addresses(small, "kubernetes", Parameters(service_cidr="172.20.0.0/16")).first("cse.nyu.edu").startswith("172.20.")
    )


def test_many_hosts() -> None:
    table = addresses(generated_world(10_000), "simulated")
    assert len({found[0] for found in table.hosts.values()}) == 10_000
    crowd = [Host(f"h{number}.test", "a") for number in range(1000)]
    one = world_of("w", [Site("a")], crowd, [Zone(".", ("root.test",), site="a")])
    assert len({found[0] for found in addresses(one, "loopback").hosts.values()}) == 1001


def test_too_many() -> None:
    crowd = [Host(f"h{number}.test", "a") for number in range(3000)]
    one = world_of("w", [Site("a")], crowd, [Zone(".", ("root.test",), site="a")])
    with pytest.raises(AddressError, match=r"site a has more hosts than 127\.53\.0\.0/16 has room for on loopback"):
        addresses(one, "loopback")
    with pytest.raises(AddressError, match="expected a number from 1 to 254"):
        addresses(replace(one, hosts={}), "loopback", Parameters(network=0))
