"""The zones of worlds: dnspython reads them, and they agree with the hosts."""

import dns.name
import dns.reversename
import dns.zone
import pytest
from dns.rdatatype import RdataType

from netstack.world.addresses import addresses
from netstack.world.generated import generated_world
from netstack.world.loader import load
from netstack.world.model import World
from netstack.world.zones import hints, parent, zone_texts

WORLDS = [load("textbook"), load("intermediate"), load("small"), generated_world(60)]


def parsed(world: World) -> dict[str, dns.zone.Zone]:
    table = addresses(world, "simulated")
    return {
        name: dns.zone.from_text(text, dns.name.from_text(name), relativize=False)
        for name, text in zone_texts(world, table).items()
    }


def found(zone: dns.zone.Zone, name: str, rdtype: RdataType) -> set[str]:
    rdataset = zone.get_rdataset(dns.name.from_text(name), rdtype)
    return set() if rdataset is None else {str(rdata) for rdata in rdataset}


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_every_host_has_its_addresses_in_its_zone(world: World) -> None:
    zones, table = parsed(world), addresses(world, "simulated")
    for host in world.hosts.values():
        home = world.zone_of(host.name)
        assert home is not None
        assert found(zones[home.name], host.name, RdataType.A) == set(table.hosts[host.name])
        for alias in host.aliases:
            zone = world.zone_of(alias)
            assert zone is not None
            if zone.name == alias:
                assert set(table.hosts[host.name]) <= found(zones[zone.name], alias, RdataType.A)
            else:
                assert found(zones[zone.name], alias, RdataType.CNAME) == {host.name + "."}


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_every_delegation_can_be_followed(world: World) -> None:
    """Parent and child agree on the servers, and those below the parent have glue in it."""
    zones, table = parsed(world), addresses(world, "simulated")
    for zone in world.zones.values():
        servers = {server + "." for server in zone.servers}
        assert found(zones[zone.name], zone.name, RdataType.NS) == servers
        above = parent(world, zone.name)
        if above is None:
            assert zone.name == "."
            continue
        if not zone.delegated:
            assert not found(zones[above.name], zone.name, RdataType.NS)
            continue
        assert found(zones[above.name], zone.name, RdataType.NS) == servers
        for server in zone.servers:
            if above.name == "." or server.endswith("." + above.name):
                assert found(zones[above.name], server, RdataType.A) == set(table.hosts[server])


def test_times_to_live() -> None:
    zone = parsed(load("small"))["umass.edu"]
    soa = zone.get_rdataset(zone.origin, RdataType.SOA)
    assert soa is not None
    assert soa.ttl == 172_800
    assert soa[0].minimum == 900


def test_the_chapters_examples() -> None:
    world = load("textbook")
    zones, table = parsed(world), addresses(world, "simulated")
    relay = table.first("relay1.west-coast.enterprise.com")
    assert found(zones["enterprise.com"], "enterprise.com", RdataType.A) == {relay}
    assert found(zones["enterprise.com"], "www.enterprise.com", RdataType.CNAME) == {"relay1.west-coast.enterprise.com."}
    foo = zones["foo.com"]
    assert found(foo, "foo.com", RdataType.NS) == {"dns.foo.com."}
    assert found(foo, "foo.com", RdataType.MX) == {"10 mail.bar.foo.com."}
    assert found(foo, "www.foo.com", RdataType.CNAME) == {"relay1.bar.foo.com."}
    assert len(found(zones["cnn.com"], "cnn.com", RdataType.A)) == 3
    assert len(world.roots()) >= 2
    assert hints(world, table) == tuple((name, table.first(name)) for name in world.roots())


def test_intermediate_differs_from_textbook_by_a_delegation() -> None:
    zones = parsed(load("intermediate"))
    assert found(zones["umass.edu"], "cs.umass.edu", RdataType.NS) == {"dns.cs.umass.edu."}
    assert not found(zones["umass.edu"], "gaia.cs.umass.edu", RdataType.A)
    assert found(zones["cs.umass.edu"], "gaia.cs.umass.edu", RdataType.A)


def test_addresses_lead_to_names() -> None:
    world = load("textbook")
    for substrate in ("simulated", "loopback"):
        table = addresses(world, substrate)  # type: ignore[arg-type]
        zone = dns.zone.from_text(
            zone_texts(world, table)["in-addr.arpa"], dns.name.from_text("in-addr.arpa"), relativize=False
        )
        for name, held in table.hosts.items():
            for address in held:
                assert found(zone, str(dns.reversename.from_address(address)), RdataType.PTR) == {f"{name}."}
