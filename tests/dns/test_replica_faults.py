"""What breaks under zones that change: a full disk, a primary that dies in the middle of a new version or never ends."""

from collections.abc import Iterator
from typing import Any

import dns.message
import dns.rrset
import pytest
from dns.rcode import Rcode
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from netstack.dns.limits import ZoneLimits
from netstack.kernel.links import LinkSettings
from tests.dns.replicas import ZONE, Replicas

HOUR = 3600.0
RECORDS, LIMIT = 200, 5000
"""Of each message; of a transfer."""
NAMES = 300


def big(serial: int) -> str:
    """300 kilobytes, more than the link holds."""
    text = " ".join(["x" * 250] * 4)
    return ZONE.format(serial) + "".join(f"h{number} TXT version {serial} {text}\n" for number in range(NAMES))


def version(net: Replicas) -> int:
    """That the secondary serves, of every name that is asked for."""
    found = {str(net.answer(net.secondary, f"h{number}", "TXT")).split()[1] for number in range(0, NAMES, 50)}
    assert len(found) == 1
    return int(found.pop().strip('"'))


def disk_of(net: Replicas) -> Any:
    return net.simulation.machine(net.primary).disk


@pytest.mark.parametrize("left", [0, 1, 40])
def test_a_full_disk_refuses_updates_and_leaves_nothing_half(left: int) -> None:
    """RFC 2136 §3.5: what cannot be kept is SERVFAIL, and nobody sees it, now or after the next start."""
    net = Replicas()
    net.run(5)
    assert net.update("before", "10.1.1.1") == Rcode.NOERROR
    disk = disk_of(net)
    disk.room = disk.used + left
    assert net.update("lost", "10.1.1.2") == Rcode.SERVFAIL
    assert net.update("lost", "10.1.1.3") == Rcode.SERVFAIL
    assert net.answer(net.primary, "lost") == Rcode.NXDOMAIN
    assert net.answer(net.primary, "before") == ["10.1.1.1"]
    assert net.serial(net.primary) == 2
    net.primary.power_off()
    net.primary.boot()
    net.run(5)
    assert net.answer(net.primary, "lost") == Rcode.NXDOMAIN
    assert net.answer(net.primary, "before") == ["10.1.1.1"]
    assert net.update("lost", "10.1.1.2") == Rcode.SERVFAIL
    disk.room = float("inf")
    assert net.update("after", "10.1.1.4") == Rcode.NOERROR
    net.primary.power_off()
    net.primary.boot()
    net.run(5)
    assert net.answer(net.primary, "after") == ["10.1.1.4"]
    assert net.answer(net.primary, "lost") == Rcode.NXDOMAIN
    assert net.serial(net.primary) == net.serial(net.secondary) == 3


def test_a_secondary_whose_disk_is_full_serves_on() -> None:
    net = Replicas()
    net.run(5)
    disk: Any = net.simulation.machine(net.secondary).disk
    disk.room = disk.used
    assert net.update("www", "10.1.1.1") == Rcode.NOERROR
    net.run(5)
    assert net.answer(net.secondary, "www") == ["10.1.1.1"]
    assert net.serial(net.secondary) == 2


def test_a_secondary_whose_journal_was_cut_off_keeps_what_comes_after() -> None:
    """What is put behind half a difference would never be read again."""
    net = Replicas()
    net.run(5)
    for number in range(2):
        assert net.update(f"before{number}", "10.1.1.1") == Rcode.NOERROR
        net.run(5)
    disk: Any = net.simulation.machine(net.secondary).disk
    net.secondary.power_off()
    journal = disk.read("zones/umass.edu/journal")
    disk.write("zones/umass.edu/journal", journal[:-7])
    net.secondary.boot()
    net.run(5)
    assert net.update("after", "10.1.1.2") == Rcode.NOERROR
    net.run(5)
    assert net.serial(net.secondary) == 4
    net.primary.power_off()
    net.secondary.power_off()
    net.secondary.boot()
    net.run(5)
    assert net.serial(net.secondary) == 4
    assert net.answer(net.secondary, "after") == ["10.1.1.2"]


def test_a_primary_that_dies_in_the_middle_of_a_new_version() -> None:
    """The old version is served, whole, until all of the new one is there."""
    net = Replicas(zone=big(1))
    net.simulation.window = 65536
    net.run(10)
    assert net.serial(net.secondary) == 1
    net.primary.power_off()
    net.zone = big(2)
    net.simulation.join(net.primary, net.secondary, LinkSettings(rate_bps=5e4, delay=0.05))
    net.primary.boot()
    keeper = net.services["dns2"].keeper
    for fall in range(1, 3):
        for _ in range(4000):
            net.run(1)
            if keeper._transfers_in:
                break
        net.run(3)
        assert keeper._transfers_in == 1
        net.primary.power_off()
        net.run(150)  # what is on its way, and `transfer_idle`
        assert net.serial(net.secondary) == 1
        assert version(net) == 1
        assert keeper.counts.transfers["in", "failed"] == fall
        net.primary.boot()
    net.run(2 * HOUR)
    assert net.serial(net.secondary) == 2
    assert version(net) == 2


def endless(query: bytes) -> Iterator[bytes]:
    """Messages of a transfer without the SOA that would end it."""
    reply = dns.message.make_response(dns.message.from_wire(query))
    reply.flags |= dns.flags.AA
    reply.answer.append(soa(99))
    data = reply.to_wire()
    yield len(data).to_bytes(2, "big") + data
    texts = [f"10.9.{number}.9" for number in range(RECORDS)]
    reply.answer[:] = [dns.rrset.from_text("x.umass.edu.", 60, "IN", "A", *texts)]
    data = reply.to_wire()
    while True:
        yield len(data).to_bytes(2, "big") + data


def soa(serial: int) -> dns.rrset.RRset:
    return dns.rrset.from_text("umass.edu.", 60, "IN", "SOA", f"dns.umass.edu. h.umass.edu. {serial} 60 60 86400 60")


class Endless(Protocol):
    """A primary that sends as much as is taken, or a message now and then."""

    pause = 0.0
    sent = 0

    def connectionMade(self) -> None:
        self._asked = b""
        self._messages: Iterator[bytes] | None = None

    def dataReceived(self, data: bytes) -> None:
        self._asked += data
        if len(self._asked) > 2 and self._messages is None:
            self._messages = endless(self._asked[2:])
            transport: Any = self.transport
            if self.pause:
                self._later()
            else:
                transport.registerProducer(self, False)

    def _later(self) -> None:
        if self._messages is not None:
            self.resumeProducing()
            self.factory.reactor.callLater(self.pause, self._later)  # type: ignore[union-attr]

    def resumeProducing(self) -> None:
        transport: Any = self.transport
        if self._messages is not None:
            type(self).sent += 1
            transport.write(next(self._messages))

    def stopProducing(self) -> None:
        self._messages = None

    def connectionLost(self, reason: Any = None) -> None:
        self._messages = None


class Slow(Endless):
    pause = 4.0


class Serial(DatagramProtocol):
    """Says that there is a newer version."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        reply = dns.message.make_response(dns.message.from_wire(datagram))
        reply.flags |= dns.flags.AA
        reply.answer.append(soa(99))
        transport: Any = self.transport
        transport.write(reply.to_wire(), addr)


@pytest.mark.parametrize(
    ("protocol", "least", "most"),
    [(Endless, 5, 30), (Slow, 60, 75)],
)
def test_a_primary_that_sends_without_end(protocol: type[Endless], least: float, most: float) -> None:
    """It is left at the limit of records or of time, and tried again later and later."""
    limits = ZoneLimits(transfer_records=LIMIT, transfer_idle=10, transfer_time=60, transfers_in=1)
    net = Replicas(secondary=(("umass.edu", "10.0.0.9"),), keys=(), limits=limits)
    host = net.simulation.host("endless", "10.0.0.9")
    machine = net.simulation.machine(host)
    factory: Any = Factory.forProtocol(protocol)
    factory.reactor = machine.reactor
    net.simulation.call(host, machine.reactor.listenTCP, 53, factory)
    net.simulation.call(host, machine.reactor.listenUDP, 53, Serial())
    net.run(least)
    keeper = net.services["dns2"].keeper
    assert net.serial(net.secondary) == Rcode.SERVFAIL
    net.run(most - least)
    assert keeper.counts.transfers["in", "failed"] >= 1
    assert keeper._transfers_in <= 1
    assert net.serial(net.secondary) == Rcode.SERVFAIL, "half a zone is none"
