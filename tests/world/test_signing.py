"""Worlds with signed zones: the chain of DS records, keys that agree, signatures made anew in time."""

from typing import Any

import dns.dnssec
import dns.flags
import dns.name
import dns.rdata
import dns.rdataclass
import pytest
from dns.edns import EDEOption
from dns.message import Message
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.client import query
from netstack.kernel.machine import Machine
from netstack.world.addresses import addresses
from netstack.world.compose import Composer
from netstack.world.control.keys import KeyVerbs
from netstack.world.control.server import ControlError
from netstack.world.loader import load, parse
from netstack.world.model import World
from netstack.world.problems import WorldError
from netstack.world.signing import anchors, signed
from netstack.world.simulated.world import SimulatedWorld, bring_up
from netstack.world.zones import zone_texts

DAY = 86400.0


def small(profile: str = "hardened", **changes: object) -> World:
    zones: dict[str, object] = {
        ".": {"site": "core", "servers": ["a.root-servers.net"]},
        "edu": {"site": "core", "servers": ["a.edu-servers.net"]},
        "umass.edu": {"site": "umass", "records": "*.wild A 10.0.0.1"},
        "cs.umass.edu": {"site": "umass"},
        "test": {"site": "core", "servers": ["a.nic.test"]},
    }
    for zone, choice in changes.items():
        zones[zone.replace("_", ".")] = {**zones[zone.replace("_", ".")], "signed": choice}  # type: ignore[dict-item]
    table = {
        "profile": profile,
        "sites": {"core": {"resolver": False}, "umass": {}},
        "zones": zones,
        "hosts": {"gaia.cs.umass.edu": {}},
    }
    return parse(table, "signed", "signed")


def test_the_profile_decides_unless_the_zone_does() -> None:
    assert [zone for zone in small().zones if signed(small(), zone)] == [".", "edu", "umass.edu", "cs.umass.edu", "test"]
    world = small("textbook", umass_edu=True)
    assert [zone for zone in world.zones if signed(world, zone)] == ["umass.edu"]
    assert not any(signed(load("textbook"), zone) for zone in load("textbook").zones)
    with pytest.raises(WorldError, match="signed: 'yes' is not true or false"):
        small(edu="yes")


def test_parents_hold_ds_records_and_resolvers_trust_the_root() -> None:
    world = small()
    texts = zone_texts(world, addresses(world, "simulated"))
    assert "umass.edu. IN DS " in texts["edu"]
    assert "cs.umass.edu. IN DS " in texts["umass.edu"]
    assert [anchor.split()[0] for anchor in anchors(world)] == ["."]
    assert [anchor.split()[0] for anchor in anchors(small(edu=False))] == [".", "umass.edu."]
    assert anchors(small("textbook")) == ()
    assert " DS " not in "".join(zone_texts(small("textbook"), addresses(world, "simulated")).values())


def test_every_process_of_a_world_knows_the_same_keys() -> None:
    configs = []
    for _ in range(2):
        world = small()
        composer = Composer(world, addresses(world, "simulated"))
        host = world.hosts["dns.umass.edu"]
        configs.append(composer.config(host, host.services[0], ["10.0.0.1"]))
    assert configs[0].keys == configs[1].keys
    assert configs[0].sign == ("umass.edu",)
    assert "PrivateKey" not in repr(configs[0]), "keys are not to be seen in logs"


@pytest.fixture(scope="module")
def up() -> SimulatedWorld:
    return bring_up(small())


def look_up(up: SimulatedWorld, host: str, name: str, rdtype: str) -> Message:
    address = up.running.table.hosts[host][0]

    async def ask(machine: Machine) -> Message:
        return await query(machine, (address, machine.port(53)), name, rdtype, recursion_desired=False, dnssec_ok=True)

    message: Message = up.ask("gaia.cs.umass.edu", ask)
    return message


def signed_by(message: Message, keys: RRset, wall: float) -> RRset:
    """The first RRset of the answer, or the DS of a referral, if its signature is good."""
    section = message.answer or [rrset for rrset in message.authority if rrset.rdtype != RdataType.NS]
    rrset = section[0]
    signature = next(each for each in section if each.rdtype == RdataType.RRSIG and each.covers == rrset.rdtype)
    dns.dnssec.validate(rrset, signature, {keys.name: keys}, now=wall)
    return rrset


def keys_of(up: SimulatedWorld, host: str, zone: str, ds: set[str]) -> RRset:
    wall = up.host(host).wall()
    message = look_up(up, host, zone, "DNSKEY")
    keys = message.answer[0]
    assert {str(dns.dnssec.make_ds(keys.name, key, "SHA256")) for key in keys} == ds
    return signed_by(message, keys, wall)


def chain(up: SimulatedWorld) -> RRset:
    """From the trust anchor down to the address of gaia.cs.umass.edu, by the library's validation alone."""
    ds = {anchor.partition(" IN DS ")[2] for anchor in anchors(up.world)}
    servers = {
        ".": "a.root-servers.net",
        "edu": "a.edu-servers.net",
        "umass.edu": "dns.umass.edu",
        "cs.umass.edu": "dns.cs.umass.edu",
    }
    keys = None
    for zone, host in servers.items():
        keys = keys_of(up, host, zone, ds)
        answer = look_up(up, host, "gaia.cs.umass.edu", "A")
        rrset = signed_by(answer, keys, up.host(host).wall())
        ds = {str(rdata) for rdata in rrset}
    return rrset


def test_the_chain_from_the_root_to_an_address(up: SimulatedWorld) -> None:
    assert [str(rdata) for rdata in chain(up)] == list(up.running.table.hosts["gaia.cs.umass.edu"])


def through_resolver(up: SimulatedWorld, name: str, rdtype: str = "A") -> Message:
    """The site's resolver, asked with DO by a host of the site."""
    address = up.running.table.hosts["resolver.umass.test"][0]

    async def ask(machine: Machine) -> Message:
        return await query(machine, (address, machine.port(53)), name, rdtype, dnssec_ok=True, patience=20)

    message: Message = up.ask("gaia.cs.umass.edu", ask)
    return message


def test_resolvers_of_a_hardened_world_validate(up: SimulatedWorld) -> None:
    for name, rcode in (
        ("gaia.cs.umass.edu", Rcode.NOERROR),
        ("x.wild.umass.edu", Rcode.NOERROR),
        ("nowhere.umass.edu", Rcode.NXDOMAIN),
        ("nowhere.nowhere", Rcode.NXDOMAIN),
    ):
        message = through_resolver(up, name)
        assert message.rcode() == rcode
        assert message.flags & dns.flags.AD, message
    partly = bring_up(small(umass_edu=False))
    unsigned = through_resolver(partly, "dns.umass.edu")
    assert [str(rdata) for rdata in unsigned.answer[0]] == list(partly.running.table.hosts["dns.umass.edu"])
    assert not unsigned.flags & dns.flags.AD
    assert through_resolver(partly, "gaia.cs.umass.edu").flags & dns.flags.AD, "an island, by its own anchor"


def test_a_resolver_whose_clock_is_wrong_refuses(up: SimulatedWorld) -> None:
    """A month ahead, all signatures have expired: SERVFAIL with the reason, until the clock is right again."""
    resolver = up.host("resolver.umass.test")
    resolver.skew = 30 * DAY
    try:
        message = through_resolver(up, "dns.umass.edu")
        assert message.rcode() == Rcode.SERVFAIL
        assert [int(option.code) for option in message.options if isinstance(option, EDEOption)] == [7]
    finally:
        resolver.skew = 0.0
    up.simulation.run(until=up.simulation.now + 60)
    assert through_resolver(up, "dns.umass.edu").flags & dns.flags.AD


def test_signatures_are_made_anew_before_they_expire(up: SimulatedWorld) -> None:
    first = look_up(up, "dns.umass.edu", "umass.edu", "SOA").answer
    up.simulation.run(until=up.simulation.now + 11 * DAY)
    second = look_up(up, "dns.umass.edu", "umass.edu", "SOA").answer
    assert 7 * DAY < second[1][0].expiration - first[1][0].expiration < 18 * DAY
    assert second[0][0].serial > first[0][0].serial
    up.simulation.run(until=up.simulation.now + 200 * DAY)
    assert chain(up)


def test_a_zone_of_a_world_gets_another_key_and_its_parent_learns_of_it() -> None:
    """As `netstack keys roll umass.edu` asks for it; in virtual days, everything by the services of the world alone."""
    net = bring_up(small())
    verbs = KeyVerbs(net.running).table()

    def call(host: str, verb: str, **arguments: Any) -> Any:
        async def ask() -> object:
            return await verbs[verb](arguments, None)  # type: ignore[arg-type]

        return net.simulation.ask(net.host(host), ask)

    (old,) = call("dns.umass.edu", "keys.list", zone="umass.edu")["keys"]
    assert (old["host"], old["role"], old["state"]) == ("dns.umass.edu", "csk", "active")
    new = call("dns.umass.edu", "keys.roll", zone="umass.edu.")["tag"]
    with pytest.raises(ControlError, match="is under way"):
        call("dns.umass.edu", "keys.roll", zone="umass.edu")
    with pytest.raises(ControlError, match=r"no zone nyu\.com is signed here"):
        call("dns.umass.edu", "keys.roll", zone="nyu.com")
    for _ in range(20):
        net.simulation.run(until=net.simulation.now + 6 * 3600)
        assert through_resolver(net, "dns.umass.edu").flags & dns.flags.AD
    states = {key["tag"]: key["state"] for key in call("dns.umass.edu", "keys.list", zone="umass.edu")["keys"]}
    assert states == {old["tag"]: "removed", new: "active"}
    ds = look_up(net, "a.edu-servers.net", "umass.edu", "DS").answer[0]
    assert [rdata.key_tag for rdata in ds] == [new]


def test_two_runs_are_equal() -> None:
    hashes = set()
    for _ in range(2):
        again = bring_up(small(), journal=True)
        chain(again)
        hashes.add(again.simulation.hashes())
    assert len(hashes) == 1
