"""Simulated UDP messages per CPU second at 10 000 hosts (goal 150 000), memory per host, and two figures beside them."""

import gc
import resource
import sys
import time
from collections.abc import Iterator
from random import Random
from typing import Any

from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from netstack.kernel.links import LinkSettings
from netstack.world.simulated import AccessNetwork, Simulation
from tests.world.simulated.ends import Once

GOAL = 150_000


class Passing(DatagramProtocol):
    """Passes every datagram on to one other host."""

    noisy = False

    def __init__(self, to: tuple[str, int]) -> None:
        self.to = to

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.transport.write(datagram, self.to)  # type: ignore[union-attr]


def addresses(count: int) -> list[str]:
    """So many of 10.0.0.0/8."""
    return [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(count)]


def datagrams(hosts: int, messages: int, sites: int = 0) -> tuple[float, float]:
    """(messages per CPU second, octets of memory per host). Every host sends on what it gets, 50 octets at a time.

    With `sites`, hosts stand behind access links of many different delays; without, one default link joins them all.
    """
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    simulation = Simulation(1, LinkSettings(delay=0.02))
    rng = Random(1)
    networks = [
        AccessNetwork(LinkSettings(delay=rng.random() / 50), LinkSettings(delay=rng.random() / 50)) for _ in range(sites)
    ]
    names = addresses(hosts)
    for number, address in enumerate(names):
        host = simulation.host(f"host{number}", address, site=networks[number % sites] if sites else None)
        to = (names[(number * 7919 + 1) % hosts], 5000)
        assert host.reactor is not None
        port = host.reactor.listenUDP(5000, Passing(to), interface=address)
        simulation.at(rng.random() * 0.02, port.write, b"x" * 50, to)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / hosts
    simulation.run(until=0.02)
    start, sent = time.process_time(), simulation.packets.sent
    simulation.run(until=0.02 + 0.02 * (1 + (sites > 0)) * messages / hosts)
    took = time.process_time() - start
    return (simulation.packets.sent - sent) / took, memory


def transfer(octets: int, rate: float | None) -> float:
    """Simulated Mbit of one TCP transfer per CPU second."""
    simulation = Simulation(1, LinkSettings(delay=0.01, rate_bps=rate))
    client, server = simulation.host("client", "10.0.0.1"), simulation.host("server", "10.0.0.2")
    done: list[int] = []

    class Sending(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"x" * octets)  # type: ignore[union-attr]
            self.transport.loseConnection()  # type: ignore[union-attr]

    class Counting(Protocol):
        got = 0

        def dataReceived(self, data: bytes) -> None:
            self.got += len(data)

        def connectionLost(self, reason: Any = None) -> None:
            done.append(self.got)

    factory = Factory.forProtocol(Sending)
    factory.noisy = False
    assert server.reactor is not None
    assert client.reactor is not None
    server.reactor.listenTCP(80, factory)
    simulation.call(client, client.reactor.connectTCP, "10.0.0.2", 80, Once(Counting()))
    start = time.process_time()
    simulation.run()
    if done != [octets]:
        raise AssertionError(f"{done} octets arrived instead of {octets}")
    return octets * 8 / 1e6 / (time.process_time() - start)


def lines(messages: int = 1_000_000, hosts: int = 10_000) -> Iterator[str]:
    """The report."""
    rate, memory = datagrams(hosts, messages)
    yield f"UDP, {hosts} hosts on one default link: {rate:,.0f} messages/CPU s ({rate / GOAL:.2f} x goal)"
    yield f"memory: {memory:,.0f} octets for each host with a socket"
    rate, _ = datagrams(hosts, messages, sites=100)
    yield f"UDP, {hosts} hosts at 100 sites with access links: {rate:,.0f} messages/CPU s ({rate / GOAL:.2f} x goal)"
    yield f"TCP, 100 MB on an unlimited link: {transfer(100_000_000, None):,.0f} Mbit/CPU s"
    yield f"TCP, 10 MB on a 100 Mbit/s link, segment by segment: {transfer(10_000_000, 100e6):,.0f} Mbit/CPU s"


def main(arguments: list[str]) -> int:
    """`python -m tests.bench simulated [MESSAGES]`."""
    for line in lines(int(arguments[0]) if arguments else 1_000_000):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
