"""Zones that change in a world: secondaries that transfer, updates under a registrar's key alone, disks of other runs."""

from typing import Any

import dns.message
import dns.name
import dns.update
import pytest
from dns.rcode import Rcode

from netstack.dns.client import query
from netstack.dns.limits import ZoneLimits
from netstack.dns.requests import NoReply, request
from netstack.dns.tsig import Key
from netstack.kernel.machine import Machine
from netstack.registrar.store import JOURNAL
from netstack.world import changing
from netstack.world.addresses import addresses
from netstack.world.compose import Composer
from netstack.world.loader import load, parse
from netstack.world.model import World
from netstack.world.problems import WorldError
from netstack.world.simulated.world import SimulatedWorld, bring_up

REGISTRAR, PRIMARY, SECONDARY = "registrar.test", "a.tld.test", "b.tld.test"
TABLE: dict[str, Any] = {
    "sites": {"core": {"resolver": False}, "far": {"resolver": False, "delay": "40 ms"}},
    "zones": {
        ".": {"site": "core", "servers": ["root.test"]},
        "test": {"site": "core", "servers": ["ns.test"]},
        "tld.test": {"site": "core", "servers": [PRIMARY, SECONDARY], "updates": REGISTRAR},
        "hidden.tld.test": {"site": "far", "servers": ["ns.hidden.tld.test"], "delegated": False},
    },
    "hosts": {REGISTRAR: {"site": "far"}, SECONDARY: {"site": "far"}, "www.tld.test": {"site": "core"}},
}


def up(profile: str = "textbook") -> SimulatedWorld:
    return bring_up(parse({**TABLE, "profile": profile}, "changing", "changing"))


def records(world: SimulatedWorld, server: str, name: str, rdtype: str) -> tuple[Rcode, list[str]]:
    """What one server says, referrals included."""
    address = world.running.table.first(server)

    async def ask(machine: Machine) -> tuple[Rcode, list[str]]:
        reply = await query(machine, (address, machine.port(53)), name, rdtype, recursion_desired=False)
        return reply.rcode(), sorted(str(rdata) for rrset in (*reply.answer, *reply.authority) for rdata in rrset)

    found: tuple[Rcode, list[str]] = world.ask(REGISTRAR, ask)
    return found


def update(world: SimulatedWorld, key: Key | None, name: str, rdtype: str, text: str) -> Rcode | str:
    """The response code of an update sent from the registrar's host, or why there is none."""
    message = dns.update.UpdateMessage("tld.test")
    message.add(dns.name.from_text(name), 300, rdtype, text)
    address = world.running.table.first(PRIMARY)

    async def send(machine: Machine) -> Rcode | str:
        try:
            reply = await request(machine, (address, machine.port(53)), message.to_wire(), key, ZoneLimits(attempts=1))
        except NoReply as error:
            return str(error)
        return dns.message.from_wire(reply).rcode()

    answer: Rcode | str = world.ask(REGISTRAR, send)
    return answer


def test_secondaries_have_their_zones_when_the_world_is_up() -> None:
    world = up()
    assert world.running.awaited() == 0
    assert 0.08 < world.simulation.now < 1
    assert records(world, SECONDARY, "www.tld.test", "A") == records(world, PRIMARY, "www.tld.test", "A")
    assert records(world, SECONDARY, "www.tld.test", "A")[0] == Rcode.NOERROR
    before = world.simulation.now
    world.simulation.run(for_seconds=3600)
    assert world.simulation.now == before + 3600
    assert world.simulation.packets.sent < 60, "an idle world does not talk"


@pytest.mark.parametrize("profile", ["textbook", "hardened"])
def test_an_update_by_the_registrar_reaches_the_secondary_at_once(profile: str) -> None:
    """In the second profile all zones are signed, the new delegation's absence of DS records too."""
    world = up(profile)
    key = changing.key(world.world, REGISTRAR)
    assert records(world, PRIMARY, "new.tld.test", "A")[0] == Rcode.NXDOMAIN
    assert update(world, key, "new.tld.test", "NS", "ns.elsewhere.test.") == Rcode.NOERROR
    world.simulation.run(for_seconds=1)
    for server in (PRIMARY, SECONDARY):
        assert records(world, server, "new.tld.test", "A") == (Rcode.NOERROR, ["ns.elsewhere.test."])
    world.host(PRIMARY).kill()
    assert records(world, SECONDARY, "new.tld.test", "A") == (Rcode.NOERROR, ["ns.elsewhere.test."])
    world.host(PRIMARY).boot()
    world.simulation.run(for_seconds=1)
    assert records(world, PRIMARY, "new.tld.test", "A") == (Rcode.NOERROR, ["ns.elsewhere.test."]), "an update survives"


def test_others_may_change_nothing() -> None:
    world = up()
    own = changing.key(world.world, REGISTRAR)
    assert update(world, None, "new.tld.test", "NS", "ns.elsewhere.test.") == Rcode.REFUSED
    assert "BADKEY" in str(update(world, Key.make("stranger", b"x" * 32), "new.tld.test", "NS", "ns.elsewhere.test."))
    assert "BADSIG" in str(update(world, Key.make(REGISTRAR, b"x" * 32), "new.tld.test", "NS", "ns.elsewhere.test."))
    transfer = changing.key(world.world, changing.transfer_key("tld.test"))
    assert update(world, transfer, "new.tld.test", "NS", "ns.elsewhere.test.") == Rcode.REFUSED
    assert update(world, own, "tld.test", "NS", "ns.elsewhere.test.") == Rcode.REFUSED
    assert update(world, own, "www.tld.test", "A", "10.6.6.6") == Rcode.REFUSED
    assert update(world, own, "www.tld.test", "NS", "ns.elsewhere.test.") == Rcode.REFUSED


def test_what_is_not_delegated_is_not_found() -> None:
    world = up()
    assert records(world, PRIMARY, "hidden.tld.test", "NS")[0] == Rcode.NXDOMAIN
    assert records(world, "ns.hidden.tld.test", "hidden.tld.test", "NS") == (Rcode.NOERROR, ["ns.hidden.tld.test."])


def test_keys_follow_from_the_world_and_are_not_seen() -> None:
    world = parse(TABLE, "changing", "changing")
    assert changing.key(world, REGISTRAR) == changing.key(parse(TABLE, "changing", "changing"), REGISTRAR)
    assert changing.key(world, REGISTRAR) != changing.key(parse({**TABLE, "seed": 2}, "changing", "changing"), REGISTRAR)
    composer = Composer(world, addresses(world, "simulated"))
    config = composer.config(world.hosts[PRIMARY], world.hosts[PRIMARY].services[0], ["10.0.0.1"])
    assert "secret" not in repr(config)
    assert config.changing.update == (("tld.test", f"{REGISTRAR} delegations"),)


def test_a_disk_of_another_world_is_not_believed() -> None:
    """On loopback a world may have other addresses in the next run, and its serial numbers begin anew."""
    world = up()
    assert update(world, changing.key(world.world, REGISTRAR), "new.tld.test", "NS", "ns.test.") == Rcode.NOERROR
    disk = world.running.hosts[PRIMARY].machine.disk
    texts = dict(Composer(world.world, world.running.table).zones)
    changing.begin(world.world, texts, PRIMARY, disk)
    assert "copy" in disk.list("zones/tld.test")
    changing.begin(world.world, texts | {"tld.test": texts["tld.test"] + "x A 10.0.0.9\n"}, PRIMARY, disk)
    assert disk.list("zones/tld.test") == ["begun"]


def test_a_registrar_forgets_with_its_registry() -> None:
    """The two would differ otherwise, and the addresses that it was told may be others' now."""
    world = up()
    disk = world.running.hosts[REGISTRAR].machine.disk
    texts = dict(Composer(world.world, world.running.table).zones)
    changing.begin_registrar(world.world, texts, REGISTRAR, disk)
    disk.write(JOURNAL, b"")
    changing.begin_registrar(world.world, texts | {"test": ""}, REGISTRAR, disk)
    assert disk.list("registrations") == ["begun", "journal"]
    changing.begin_registrar(world.world, texts | {"tld.test": ""}, REGISTRAR, disk)
    assert disk.list("registrations") == ["begun"]


def test_which_zones_change() -> None:
    book, chain = load("textbook"), load("recursive")

    def secondaries(world: World) -> set[str]:
        return {zone.name for zone in world.zones.values() if changing.replicated(world, zone)}

    assert secondaries(book) == {
        ".", "root-servers.net", "in-addr.arpa", "com", "net", "org", "gtld-servers.net", "umass.edu", "networkutopia.com",
    }  # fmt: skip
    assert secondaries(chain) == {"umass.edu", "networkutopia.com"}, "a server that asks on keeps its zones as they are"
    with pytest.raises(WorldError, match=r"updates: 'nobody\.test' is not a host"):
        parse({**TABLE, "zones": {**TABLE["zones"], "test": {"site": "core", "updates": "nobody.test"}}}, "x", "x")
