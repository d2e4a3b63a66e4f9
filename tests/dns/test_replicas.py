"""Primary and secondary on the simulated Internet: refresh, retry, expire, NOTIFY, and what breaks in between."""

from typing import Any

import pytest
from dns.rcode import Rcode
from twisted.internet.protocol import ClientFactory, Factory, Protocol

from netstack.dns.limits import ZoneLimits
from netstack.dns.requests import NoReply
from netstack.dns.tsig import Key, signed_query
from netstack.kernel.links import LinkSettings
from tests.dns.replicas import KEY, ZONE, Replicas

HOUR = 3600.0


def up(**options: Any) -> Replicas:
    """Both servers, the zone transferred."""
    made = Replicas(**options)
    made.run(5)
    assert made.serial(made.secondary) == 1
    return made


def test_a_change_is_at_the_secondary_after_a_few_round_trips() -> None:
    net = up()
    assert net.update("www", "10.1.1.1") == Rcode.NOERROR
    net.run(1)
    assert net.answer(net.primary, "www") == net.answer(net.secondary, "www") == ["10.1.1.1"]
    assert net.serial(net.secondary) == 2
    counts = net.services["dns2"].keeper.counts
    assert counts.transfers == {("in", "whole"): 1, ("in", "differences"): 1}
    assert net.services["dns"].keeper.counts.notifies == {"out": 1}


def test_without_notify_the_refresh_timer_finds_the_change() -> None:
    net = up()
    net.simulation.network.cut(net.primary, net.secondary)
    assert net.update("www", "10.1.1.1") == Rcode.NOERROR
    net.run(120)
    net.simulation.network.heal(net.primary, net.secondary)
    assert net.serial(net.secondary) == 1
    net.run(0.8 * HOUR)
    assert net.serial(net.secondary) == 1
    net.run(0.2 * HOUR)
    assert net.serial(net.secondary) == 2


def test_a_secondary_serves_until_the_zone_expires_and_comes_back() -> None:
    net = up()
    net.primary.power_off()
    net.run(23 * HOUR)
    assert net.serial(net.secondary) == 1
    asked = net.services["dns2"].keeper.secondaries
    assert len(asked) == 1
    net.run(2.1 * HOUR)
    assert net.serial(net.secondary) == Rcode.SERVFAIL
    net.primary.boot()
    net.run(700)
    assert net.serial(net.secondary) == 1


def test_retries_come_faster_than_refreshes() -> None:
    net = up()
    net.primary.power_off()
    net.run(1.05 * HOUR)  # the refresh that fails
    net.primary.boot()
    assert net.update("www", "10.1.1.1") == Rcode.NOERROR  # NOTIFY tells it at once; without:
    net.run(5)
    assert net.serial(net.secondary) == 2
    net.simulation.network.cut(net.primary, net.secondary)
    net.run(1.05 * HOUR)
    assert net.update("www", "10.1.1.2") == Rcode.NOERROR
    net.run(60)
    net.simulation.network.heal(net.primary, net.secondary)
    net.run(600)
    assert net.serial(net.secondary) == 3


def test_a_secondary_that_boots_serves_its_copy_from_disk() -> None:
    net = up()
    assert net.update("www", "10.1.1.1") == Rcode.NOERROR
    net.run(5)
    net.primary.power_off()
    net.secondary.power_off()
    net.run(HOUR)
    net.secondary.boot()
    assert net.answer(net.secondary, "www") == ["10.1.1.1"]
    net.run(23.1 * HOUR)
    assert net.serial(net.secondary) == Rcode.SERVFAIL, "the hour without power counts"


def test_a_copy_that_grew_too_old_is_not_served() -> None:
    net = up()
    net.primary.power_off()
    net.secondary.power_off()
    net.run(25 * HOUR)
    net.secondary.boot()
    assert net.serial(net.secondary) == Rcode.SERVFAIL
    net.primary.boot()
    net.run(30)
    assert net.serial(net.secondary) == 1


def test_a_primary_that_loses_power_keeps_what_it_acknowledged() -> None:
    net = up()
    for number in range(1, 6):
        assert net.update(f"h{number}", f"10.1.1.{number}") == Rcode.NOERROR
        net.primary.power_off()
        net.run(1)
        net.primary.boot()
        found = [net.answer(net.primary, f"h{each}") for each in range(1, number + 1)]
        assert found == [[f"10.1.1.{each}"] for each in range(1, number + 1)]
        assert net.serial(net.primary) == number + 1
    net.run(2 * HOUR)
    assert net.serial(net.secondary) == 6
    counts = net.services["dns2"].keeper.counts
    assert counts.transfers["in", "whole"] == 1, "the journal is the history too"


def test_a_zone_file_with_a_greater_serial_replaces_the_copy() -> None:
    net = up()
    assert net.update("www", "10.1.1.1") == Rcode.NOERROR
    net.primary.kill()
    net.zone = ZONE.format(100) + "ftp A 10.1.1.9\n"
    net.primary.boot()
    assert (net.answer(net.primary, "ftp"), net.answer(net.primary, "www")) == (["10.1.1.9"], Rcode.NXDOMAIN)
    net.run(1.1 * HOUR)
    assert net.serial(net.secondary) == 100
    assert net.services["dns2"].keeper.counts.transfers["in", "whole"] == 1
    assert net.update("mail", "10.1.1.2") == Rcode.NOERROR
    net.primary.power_off()
    net.primary.boot()
    assert net.serial(net.primary) == 101


BIG = ZONE.format(1) + "".join(f"h{number} TXT {' '.join(['x' * 250] * 4)}\n" for number in range(3000))


def test_a_primary_that_dies_in_mid_transfer() -> None:
    net = Replicas(zone=BIG)
    net.simulation.join(net.primary, net.secondary, LinkSettings(rate_bps=1e6, delay=0.05))
    net.secondary.kill()
    net.run(5)
    net.secondary.boot()
    net.run(2)
    assert net.services["dns"].counters()["transfers_out"] == 1
    net.primary.power_off()
    net.run(10)
    assert net.serial(net.secondary) == Rcode.SERVFAIL, "half a zone is none"
    net.primary.boot()
    net.run(900)
    assert net.serial(net.secondary) == 1


class Silent(Protocol):
    """Takes connections, says nothing."""


def test_a_primary_that_hangs_is_passed_over() -> None:
    net = Replicas(secondary=(("umass.edu", "10.0.0.9%transfer,10.0.0.1%transfer"),), limits=ZoneLimits(transfer_idle=5))
    hanging = net.simulation.host("hanging", "10.0.0.9")
    machine = net.simulation.machine(hanging)
    net.simulation.call(hanging, machine.reactor.listenTCP, 53, Factory.forProtocol(Silent))
    net.run(120)
    assert net.serial(net.secondary) == 1


class Deaf(Protocol):
    """Asks for the zone and reads nothing of it."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()
        transport.write(self.factory.asked)  # type: ignore[union-attr]


class Once(ClientFactory):
    """One deaf connection."""

    protocol = Deaf


def test_secondaries_that_hang_hold_little_and_not_for_ever() -> None:
    net = up(zone=BIG)
    machine = net.simulation.machine(net.client)
    asked, _ = signed_query(b"\0\7\0\0\0\1\0\0\0\0\0\0\5umass\3edu\0\0\xfc\0\1", KEY, machine.wall())
    factory: Any = Once()
    factory.asked = len(asked).to_bytes(2, "big") + asked
    for _ in range(15):
        net.simulation.call(net.client, machine.reactor.connectTCP, "10.0.0.1", 53, factory)
    net.run(10)
    service = net.services["dns"]
    assert service.counters()["transfers_out"] == ZoneLimits().transfers_out
    held = sum(driver._queued for driver in service.listeners[1].factory.drivers)
    assert held < 15 * 400_000
    assert net.update("www", "10.1.1.1") == Rcode.NOERROR
    net.run(700)  # the secondary was REFUSED while all transfers were taken, and comes again
    assert service.counters()["transfers_out"] == 0
    assert net.serial(net.secondary) == 2


def test_a_secondary_with_another_key_gets_nothing() -> None:
    net = Replicas(keys=(Key.make("transfer", b"another"),))
    net.run(60)
    assert net.serial(net.secondary) == Rcode.SERVFAIL
    with pytest.raises(NoReply, match="BADSIG"):
        net.update("www", "10.1.1.1", Key.make("transfer", b"another"))


def test_a_clock_that_is_wrong_ends_transfers_until_it_is_right() -> None:
    net = up()
    net.secondary.skew = 1000.0
    assert net.update("www", "10.1.1.1") == Rcode.NOERROR
    net.run(60)
    assert net.serial(net.secondary) == 1
    net.secondary.skew = 0.0
    net.run(2 * HOUR)
    assert net.serial(net.secondary) == 2


def test_the_same_seed_gives_the_same_run() -> None:
    def once(seed: int) -> tuple[str, str]:
        net = up(seed=seed)
        net.update("www", "10.1.1.1")
        net.run(3 * HOUR)
        return net.simulation.hashes()

    assert once(3) == once(3)
    assert once(3) != once(4)
