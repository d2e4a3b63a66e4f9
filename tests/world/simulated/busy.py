"""A world with a bit of everything, for the tests of determinism: prints its hashes and what it counted."""

import sys
from typing import Any

from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, Protocol

from netstack.kernel.links import LinkSettings
from netstack.kernel.machine import Machine
from netstack.world.simulated import SimulatedHost, Simulation


class Echo(Protocol):
    """Answers what it hears, in upper case."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data.upper())  # type: ignore[union-attr]


class Asking(Protocol):
    """Sends, waits for as much, writes a row, closes."""

    def __init__(self, machine: Machine, data: bytes, secure: bool) -> None:
        self.machine = machine
        self.data = data
        self.left = len(data)
        self.secure = secure

    def connectionMade(self) -> None:
        self.transport.write(self.data)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.left -= len(data)
        if self.left == 0:
            machine = self.machine
            machine.journal.write(
                machine.wall(),
                "tcp",
                "echo",
                True,
                (machine.address, 1),
                ("10.9.0.1", 7),
                "asked",
                self.data[:40],
                self.secure,
            )
            self.transport.loseConnection()  # type: ignore[union-attr]


class Asker(ClientFactory):
    """Makes Asking protocols."""

    noisy = False

    def __init__(self, machine: Machine, data: bytes, secure: bool) -> None:
        self.arguments = (machine, data, secure)

    def buildProtocol(self, addr: Any) -> Asking:
        return Asking(*self.arguments)


class Gossip(DatagramProtocol):
    """Passes on what it hears to somebody, until it has gone round often enough."""

    noisy = False

    def __init__(self, machine: Machine, others: list[str]) -> None:
        self.machine = machine
        self.others = others

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if len(datagram) > 1:
            self.transport.write(datagram[1:], (self.machine.rng.choice(self.others), 4000))  # type: ignore[union-attr]


def busy(seed: int) -> tuple[str, str, int]:
    """(hash of packets, hash of the journal, packets) of two minutes with losses, a crash, TLS and timers."""
    simulation = Simulation(seed, LinkSettings(delay=0.02, loss=0.02))
    server = simulation.host("server.test", "10.9.0.1")
    clients = [simulation.host(f"client{n}.test", f"10.0.0.{n + 1}") for n in range(8)]
    addresses = [host.addresses[0] for host in clients]
    for number, host in enumerate(clients[:4]):
        simulation.join(host, server, LinkSettings(rate_bps=1e6, delay=0.01 * number, loss=0.01, queue=30_000))

    def serve(host: SimulatedHost) -> None:
        machine = simulation.machine(host)
        factory = Factory.forProtocol(Echo)
        factory.noisy = False
        machine.reactor.listenTCP(7, factory)
        machine.reactor.listenTCP(8, machine.tls.server(factory))

    def ask(host: SimulatedHost) -> None:
        machine = simulation.machine(host)
        machine.journal.enable(machine.name)
        machine.reactor.listenUDP(4000, Gossip(machine, addresses)).write(b"." * 300, (machine.rng.choice(addresses), 4000))

        def again() -> None:
            secure = machine.rng.random() < 0.4
            factory: Any = Asker(machine, machine.rng.randbytes(machine.rng.randrange(1, 40_000)), secure)
            if secure:
                factory = machine.tls.client(factory, "server.test")
            machine.reactor.connectTCP("10.9.0.1", 8 if secure else 7, factory)
            machine.reactor.callLater(machine.rng.expovariate(0.5), again)

        again()

    server.program = serve
    server.start()
    for host in clients:
        host.program = ask
        host.start()
    simulation.at(30, server.power_off)
    simulation.at(40, server.boot)
    simulation.at(60, clients[0].kill)
    simulation.at(61, clients[0].boot)
    simulation.at(70, simulation.network.cut, clients[1], server)
    simulation.at(80, simulation.network.heal, clients[1], server)
    simulation.run(until=120)
    packets, journal = simulation.hashes()
    return packets, journal, simulation.packets.sent


if __name__ == "__main__":
    print(*busy(int(sys.argv[1])))
