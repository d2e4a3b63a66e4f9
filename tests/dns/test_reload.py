"""Zone files read again: what is loaded, what is refused and why, who is told, what becomes of updates meanwhile."""

from typing import Any

import dns.name
import pytest
from dns.rcode import Rcode
from twisted.internet.defer import Deferred

from netstack.dns.masterfile import MasterFile
from netstack.dns.octets import octets_of
from netstack.dns.reload import Reloaded
from netstack.dns.zonefile import Compiler
from netstack.taps import dns as tap
from netstack.world.simulated import Simulation, SimulationFailed
from tests.dns.replicas import LISTEN, UMASS, ZONE, Replicas

PATH = "etc/umass.zone"


class Reloads(Replicas):
    """The primary has its zone from a file on its disk."""

    def __init__(self, updates: bool = False, sign: bool = False) -> None:
        self.updates, self.sign = updates, sign
        super().__init__()
        self.write(ZONE.format(1))
        self.run(10)

    def primary_config(self) -> tap.Config:
        signed = ("umass.edu",) if self.sign else ()
        zone = tap.ZoneFile("umass.edu", PATH)
        return tap.Config((zone,), LISTEN, changing=self.changing(self.updates), sign=signed)

    def write(self, text: str, path: str = PATH) -> None:
        """Change a file."""
        self.simulation.machine(self.primary).disk.write(path, text.encode())

    def reload(self, zone: str | None = None, force: bool = False) -> Reloaded:
        """The outcome for the zone."""
        reloader = self.services["dns"].reloader
        origin = None if zone is None else dns.name.from_text(zone)

        async def run(machine: object) -> list[Reloaded]:
            done: Deferred[list[Reloaded]] = reloader.reload(origin, force)
            return await done

        (found,) = self.simulation.ask(self.primary, run, None)
        assert isinstance(found, Reloaded)
        return found


NEW = ZONE.format(2) + "www A 10.0.0.9\n"


def test_a_new_version_is_served_and_the_secondary_has_it_by_differences() -> None:
    net = Reloads()
    assert net.serial(net.secondary) == 1
    net.write(NEW)
    assert net.reload() == Reloaded("umass.edu", "loaded", 2)
    assert net.answer(net.primary, "www") == ["10.0.0.9"]
    net.run(5)
    assert net.answer(net.secondary, "www") == ["10.0.0.9"]
    counts = net.services["dns2"].keeper.counts
    assert counts.transfers["in", "differences"] == 1
    assert net.reload() == Reloaded("umass.edu", "unchanged", 2)
    assert dict(net.services["dns"].keeper.counts.reloads) == {"loaded": 1, "unchanged": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NEW + "bad A x\n", "zone umass.edu: umass.zone:8: A: Text input is malformed."),
        (NEW.replace("NS", "TXT"), "umass.zone: zone umass.edu: expected at least one NS record"),
        (ZONE.format(1) + "www A 10.0.0.9\n", "the serial number 1 stayed the same, but not what the zone holds"),
        (ZONE.format(4294967295) + "www A 10.0.0.9\n", "the serial number 4294967295 went back from 1"),
        (NEW + "$INCLUDE ../shadow\n", "umass.zone:8: $INCLUDE ../shadow: it leads out of the disk"),
    ],
)
def test_a_file_that_is_not_loaded_leaves_the_old_version(text: str, expected: str) -> None:
    net = Reloads()
    net.write(text)
    outcome = net.reload()
    assert (outcome.result, outcome.serial) == ("refused", 1)
    assert expected in outcome.reason
    assert net.answer(net.primary, "www") == Rcode.NXDOMAIN
    assert net.answer(net.primary, "dns") == ["10.0.0.1"]


def test_a_file_that_is_gone() -> None:
    net = Reloads()
    net.simulation.machine(net.primary).disk.remove(PATH)
    outcome = net.reload("umass.edu")
    assert outcome.result == "refused"
    assert "umass.zone" in outcome.reason
    assert net.answer(net.primary, "dns") == ["10.0.0.1"]


def test_by_force_whatever_the_serial_says() -> None:
    net = Reloads()
    net.write(ZONE.format(1) + "www A 10.0.0.9\n")
    assert net.reload(force=True) == Reloaded("umass.edu", "loaded", 1)
    assert net.answer(net.primary, "www") == ["10.0.0.9"]
    assert len(net.services["dns"].keeper.nameserver.rules_of(UMASS).history) == 0


def test_comments_alone_change_nothing_and_doubts_are_told() -> None:
    net = Reloads()
    net.write("; nothing new\n" + ZONE.format(1))
    assert net.reload() == Reloaded("umass.edu", "unchanged", 1)
    net.write(ZONE.format(2) + "dns 7 A 10.0.0.7\n")
    (warning,) = net.reload().warnings
    assert warning == "umass.zone:7: dns.umass.edu A: TTL 7 is not that of the RRset, which is 172800"


def test_other_zones_are_not_reloaded() -> None:
    net = Reloads()
    assert net.reload("nyu.edu").reason == "expected a zone that this server has from a file, or a copy"


def test_a_copy_asks_its_primary() -> None:
    net = Reloads()
    net.services["dns"].keeper.targets.clear()
    net.write(NEW)
    net.reload()
    reloader = net.services["dns2"].reloader

    async def run(machine: object) -> list[Reloaded]:
        done: Deferred[list[Reloaded]] = reloader.reload(UMASS)
        return await done

    assert net.simulation.ask(net.secondary, run, None) == [Reloaded("umass.edu", "asked", 1)]
    net.run(5)
    assert net.serial(net.secondary) == 2


def test_a_zone_that_takes_updates_is_frozen_first() -> None:
    net = Reloads(updates=True)
    keeper = net.services["dns"].keeper
    assert net.update("laptop", "10.0.0.50") == Rcode.NOERROR
    net.write(ZONE.format(9) + "www A 10.0.0.9\n")
    outcome = net.reload()
    assert (outcome.result, outcome.reason) == ("refused", "it takes updates, which would be lost: freeze it first")

    async def freeze(machine: object) -> bool:
        return bool(await keeper.freeze(UMASS))

    assert net.simulation.ask(net.primary, freeze, None)
    assert net.update("phone", "10.0.0.51") == Rcode.REFUSED
    assert net.answer(net.primary, "laptop") == ["10.0.0.50"]
    assert net.reload() == Reloaded("umass.edu", "loaded", 9)
    assert keeper.thaw(UMASS)
    assert not keeper.thaw(UMASS)
    assert net.update("phone", "10.0.0.51") == Rcode.NOERROR
    assert (net.answer(net.primary, "laptop"), net.answer(net.primary, "phone")) == (Rcode.NXDOMAIN, ["10.0.0.51"])
    net.primary.power_off()
    net.primary.boot()
    net.run(1)  # the copy on disk is of the version after the reload
    assert (net.serial(net.primary), net.answer(net.primary, "phone")) == (10, ["10.0.0.51"])
    assert net.answer(net.primary, "www") == ["10.0.0.9"]
    net.run(5)
    assert net.answer(net.secondary, "phone") == ["10.0.0.51"]


def test_a_signed_zone_is_signed_anew() -> None:
    net = Reloads(sign=True)
    net.write(NEW)
    assert net.reload() == Reloaded("umass.edu", "loaded", 2)
    zone = net.services["dns"].authority.zones[UMASS]
    assert zone.nodes[dns.name.from_text("www.umass.edu")].signatures
    net.write(NEW + "more A 10.0.0.10\n")
    assert net.reload().result == "refused"


def test_replies_compiled_before_are_forgotten() -> None:
    net = Reloads()
    for _ in range(3):
        assert net.answer(net.primary, "dns") == ["10.0.0.1"]
    net.write(ZONE.format(2).replace("dns A 10.0.0.1", "dns A 10.0.0.77"))
    net.reload()
    assert net.answer(net.primary, "dns") == ["10.0.0.77"]


def test_with_recursion_for_clients() -> None:
    simulation = Simulation(1)
    host = simulation.host("chain", "10.0.0.7")
    machine = simulation.machine(host)
    machine.disk.write(PATH, ZONE.format(1).encode())
    config = tap.Config((tap.ZoneFile("umass.edu", PATH),), LISTEN, recursion_for=("10.0.0.0/8",))
    service: Any = tap.build(config, machine)
    machine.disk.write(PATH, NEW.encode())
    found: list[Reloaded] = []
    service.reloader.reload().addCallback(found.extend)
    simulation.run(until=simulation.now + 1)
    assert found == [Reloaded("umass.edu", "loaded", 2)]


def compiled(text: str) -> bytes:
    """What `netstack zone compile` makes of a master file."""
    origin = dns.name.from_text("umass.edu")
    compiler = Compiler(octets_of(origin))
    for record in MasterFile(origin).records(text.splitlines(keepends=True)):
        compiler.add(record)
    return b"".join(compiler.chunks())


class CompiledReloads(Reloads):
    """The file is a compiled one."""

    def write(self, text: str, path: str = PATH) -> None:
        self.simulation.machine(self.primary).disk.write(path, compiled(text))


def test_a_compiled_zone_is_transferred_and_replaced_by_its_next_version() -> None:
    net = CompiledReloads()
    assert net.serial(net.secondary) == 1
    net.write(NEW)
    assert net.reload() == Reloaded("umass.edu", "loaded", 2)
    assert net.answer(net.primary, "www") == ["10.0.0.9"]
    net.run(5)
    assert net.answer(net.secondary, "www") == ["10.0.0.9"]
    assert net.services["dns2"].keeper.counts.transfers["in", "whole"] == 2
    assert net.reload() == Reloaded("umass.edu", "unchanged", 2)
    net.write(NEW + "more A 10.0.0.1\n")
    assert "the serial number 2 stayed the same" in net.reload().reason
    assert net.answer(net.primary, "www") == ["10.0.0.9"]


def test_a_damaged_compiled_zone_leaves_the_old_version() -> None:
    net = CompiledReloads()
    disk = net.simulation.machine(net.primary).disk
    disk.write(PATH, disk.read(PATH)[:-1])
    assert net.reload().reason.startswith("zone umass.edu: umass.zone: the end of the file is missing or damaged")
    assert net.answer(net.primary, "dns") == ["10.0.0.1"]


@pytest.mark.parametrize("options", [{"updates": True}, {"sign": True}])
def test_a_compiled_zone_is_not_altered(options: dict[str, bool]) -> None:
    with pytest.raises(SimulationFailed, match="a compiled zone is not signed and takes no updates"):
        CompiledReloads(**options)
