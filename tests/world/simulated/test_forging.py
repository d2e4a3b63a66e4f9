"""Datagrams in another's name: they arrive as that one's, over links, and no service can send them."""

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.protocol import DatagramProtocol

from netstack.kernel.links import LinkSettings
from netstack.sansio import Address
from netstack.world.simulated.forging import Forger, on_the_wire
from netstack.world.simulated.network import AccessNetwork
from netstack.world.simulated.simulation import Simulation


class Kept(DatagramProtocol):
    def __init__(self) -> None:
        self.got: list[tuple[float, bytes, object]] = []

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        self.got.append((simulation_now(self), datagram, addr))
        if datagram == b"bad":
            raise ValueError("this datagram alone is lost")


def simulation_now(kept: Any) -> float:
    return float(kept.transport.reactor.seconds())


def made(link: LinkSettings | None = None) -> tuple[Simulation, Forger, Kept]:
    simulation = Simulation(1, LinkSettings(delay=0.01))
    site = None if link is None else AccessNetwork(link, link)
    evil = simulation.host("evil", "10.0.0.66", site=site)
    victim = simulation.host("victim", "10.0.0.1")
    kept = Kept()
    assert victim.reactor is not None
    victim.reactor.listenUDP(5000, kept, interface="10.0.0.1")
    return simulation, Forger(evil), kept


def test_one_datagram_arrives_as_anothers() -> None:
    simulation, forger, kept = made()
    forger.send(b"hello", ("10.0.0.53", 53), ("10.0.0.1", 5000))
    forger.send(b"nobody", ("10.0.0.53", 53), ("10.0.0.1", 5001))
    simulation.run()
    assert kept.got == [(0.01, b"hello", ("10.0.0.53", 53))]
    assert forger.octets == 2 * 28 + 11
    with pytest.raises(LookupError, match=r"10\.0\.0\.9"):
        forger.send(b"", ("10.0.0.53", 53), ("10.0.0.9", 1))


def test_it_crosses_links_as_any_other() -> None:
    simulation, forger, kept = made(LinkSettings(rate_bps=8000, delay=0.1))
    for _ in range(2):
        forger.send(bytes(72), ("10.0.0.53", 53), ("10.0.0.1", 5000))
    simulation.run()
    assert [round(when, 3) for when, _, _ in kept.got] == [0.21, 0.31]


def packets() -> Iterator[tuple[int, bytes]]:
    for port in (4999, 5000, 5001, 5000, 5000):
        yield port, b"bad" if port == 5000 else b""


def test_a_burst_arrives_at_once_and_closed_ports_say_nothing() -> None:
    simulation, forger, kept = made()
    burst = forger.burst(packets(), ("10.0.0.53", 53), "10.0.0.1", 500)
    with simulation.expecting(ValueError) as errors:
        simulation.run()
    assert (burst.sent, burst.arrived, burst.done, len(errors)) == (5, 3, True, 3)
    assert [when for when, _, _ in kept.got] == [0.01] * 3


def test_a_burst_at_a_host_that_is_down() -> None:
    simulation, forger, kept = made()
    simulation.hosts["victim"].power_off()
    burst = forger.burst(packets(), ("10.0.0.53", 53), "10.0.0.1", 500)
    simulation.run()
    assert (burst.sent, burst.done, kept.got) == (0, True, [])


def test_equal_runs_have_equal_hashes() -> None:
    def run() -> tuple[str, str]:
        simulation, forger, _ = made()
        forger.send(b"hello", ("10.0.0.53", 53), ("10.0.0.1", 5000))
        simulation.run()
        return simulation.hashes()

    assert run() == run()


def test_somebody_on_the_wire_reads_rewrites_and_drops() -> None:
    simulation, forger, kept = made(LinkSettings(delay=0.1))
    site = forger.host.site
    assert site is not None
    seen: list[tuple[bytes, Address, Address]] = []

    def rewrite(data: bytes, source: Address, destination: Address) -> bytes | None:
        seen.append((data, source, destination))
        return None if data == b"drop" else data.upper()

    on_the_wire(site.up, rewrite)
    for text in (b"hello", b"drop"):
        forger.send(text, ("10.0.0.53", 53), ("10.0.0.1", 5000))
    simulation.run()
    assert [data for _, data, _ in kept.got] == [b"HELLO"]
    assert seen == [(text, ("10.0.0.53", 53), ("10.0.0.1", 5000)) for text in (b"hello", b"drop")]
    on_the_wire(site.up, None)
    forger.send(b"hello", ("10.0.0.53", 53), ("10.0.0.1", 5000))
    simulation.run()
    assert [data for _, data, _ in kept.got] == [b"HELLO", b"hello"]
    assert site.up.plain
