"""The arithmetic of links, exact to the nanosecond; and the textbook's figures of connections."""

from typing import Any

import pytest

from netstack.kernel.links import LinkSettings
from netstack.world.simulated import AccessNetwork, Link, SimulatedHost, Simulation
from tests.world.simulated.ends import Accepting, Datagrams, End, Once


class Timed(Datagrams):
    """Keeps when datagrams arrive."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__()
        self.simulation = simulation
        self.times: list[int] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.times.append(self.simulation.scheduler.now)


def pair(default: LinkSettings | None = None) -> tuple[Simulation, SimulatedHost, SimulatedHost, Any, Timed]:
    """Two hosts; a socket of the first, what the second hears on port 9."""
    simulation = Simulation(1, default)
    a, b = simulation.host("a", "10.0.0.1"), simulation.host("b", "10.0.0.2")
    assert a.reactor is not None
    assert b.reactor is not None
    timed = Timed(simulation)
    b.reactor.listenUDP(9, timed)
    return simulation, a, b, a.reactor.listenUDP(0, Datagrams()), timed


def test_delay_and_rate_are_exact() -> None:
    simulation, a, b, socket, timed = pair()
    link, _ = simulation.join(a, b, LinkSettings(rate_bps=8_000_000, delay=0.01))
    for size in (972, 472):  # 28 octets of headers each: 1000 and 500 octets at one octet per microsecond
        socket.write(b"x" * size, ("10.0.0.2", 9))
    simulation.run()
    assert timed.times == [1_000_000 + 10_000_000, 1_500_000 + 10_000_000]
    assert (link.packets, link.carried, link.dropped) == (2, 1500, 0)


def test_a_full_queue_drops() -> None:
    simulation, a, b, socket, timed = pair()
    link, _ = simulation.join(a, b, LinkSettings(rate_bps=8_000_000, queue=2500))
    for _ in range(6):
        socket.write(b"x" * 972, ("10.0.0.2", 9))
    simulation.run()
    assert timed.times == [1_000_000, 2_000_000, 3_000_000]
    assert link.dropped == 3


def test_links_in_series_and_shared() -> None:
    simulation, a, b, socket, timed = pair()
    first, second = Link(LinkSettings(rate_bps=8e6, delay=0.001)), Link(LinkSettings(rate_bps=4e6, delay=0.002))
    simulation.route(a, b, first, second)
    for _ in range(2):
        socket.write(b"x" * 972, ("10.0.0.2", 9))
    simulation.run()
    # The second packet waits for the slower link: 1 ms + 1 ms + 2 ms + 2 ms, then 2 ms more.
    assert timed.times == [6_000_000, 8_000_000]


def test_loss_is_as_frequent_as_set() -> None:
    simulation, a, b, socket, timed = pair()
    simulation.join(a, b, LinkSettings(loss=0.1))
    for _ in range(10_000):
        socket.write(b"x", ("10.0.0.2", 9))
    simulation.run()
    assert 8_850 <= len(timed.times) <= 9_150


def test_links_change_while_packets_are_on_their_way() -> None:
    simulation, a, b, socket, timed = pair()
    link, _ = simulation.join(a, b, LinkSettings(delay=1))
    socket.write(b"x", ("10.0.0.2", 9))
    link.set(LinkSettings(delay=0.25))
    socket.write(b"x", ("10.0.0.2", 9))
    link.cut()
    socket.write(b"x", ("10.0.0.2", 9))
    link.heal()
    simulation.run()
    assert timed.times == [250_000_000, 1_000_000_000]


def test_sites_share_their_access_links_and_keep_local_traffic_local() -> None:
    simulation = Simulation(1, LinkSettings(delay=0.1))
    home = AccessNetwork(up=LinkSettings(delay=0.01), down=LinkSettings(delay=0.02), lan=LinkSettings(delay=0.003))
    office = AccessNetwork(up=LinkSettings(delay=0.04), down=LinkSettings(delay=0.05))
    one = simulation.host("one", "10.0.0.1", site=home)
    two = simulation.host("two", "10.0.0.2", site=home)
    three = simulation.host("three", "10.0.1.1", site=office)
    delays = [
        sum(link.delay for link in simulation.network.path(source, destination))
        for source, destination in ((one, two), (one, three), (three, one))
    ]
    assert delays == [3_000_000, 160_000_000, 160_000_000]
    assert simulation.network.path(two, three)[0] is home.up


def transfers(simulation: Simulation, server: SimulatedHost, clients: list[SimulatedHost], size: int) -> float:
    """One connection for each client, on which the server sends so many octets; when the last one is complete."""

    class Sending(End):
        def connectionMade(self) -> None:
            self.transport.write(b"x" * size)  # type: ignore[union-attr]
            self.transport.loseConnection()  # type: ignore[union-attr]

    assert server.reactor is not None
    server.reactor.listenTCP(80, Accepting(*(Sending() for _ in clients)), backlog=len(clients))
    ends = [End() for _ in clients]
    for host, end in zip(clients, ends, strict=True):
        assert host.reactor is not None
        simulation.call(host, host.reactor.connectTCP, server.addresses[0], 80, Once(end), 1000)
    simulation.run(stop=lambda: all(end.lost.called for end in ends))
    assert all(len(end.heard) == size for end in ends)
    return simulation.now


def test_a_thousand_transfers_over_a_shared_link() -> None:
    simulation = Simulation(1, LinkSettings(delay=0.01))
    server = simulation.host("server", "10.0.0.1")
    shared = Link(LinkSettings(rate_bps=10e6, delay=0.01))
    clients = [simulation.host(f"c{n}", f"10.1.{n >> 8}.{n & 255}") for n in range(1000)]
    for client in clients:
        simulation.route(server, client, shared)
    took = transfers(simulation, server, clients, 100_000)
    octets = 1000 * (100_000 + 69 * 40 + 40 + 40)  # 69 segments of data, SYN+ACK, FIN
    theory = octets * 8 / 10e6 + 0.01 + 0.02  # the last octet's delay; the link is idle until the first request
    assert took == pytest.approx(theory, rel=0.001)


@pytest.mark.parametrize(
    ("persistent", "pipelined", "round_trips"), [(False, False, 22), (True, False, 12), (True, True, 3)]
)
def test_round_trips_of_a_page_with_ten_objects(persistent: bool, pipelined: bool, round_trips: int) -> None:
    simulation = Simulation(1, LinkSettings(delay=0.5))
    client, server = simulation.host("client", "10.0.0.1"), simulation.host("server", "10.0.0.2")

    class Answering(End):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"!" * len(data))  # type: ignore[union-attr]

    class Many(Accepting):
        def buildProtocol(self, addr: Any) -> Any:
            return Answering()

    async def fetch() -> None:
        reactor = client.reactor
        assert reactor is not None

        async def connect() -> Any:
            end = End()
            reactor.connectTCP("10.0.0.2", 80, Once(end))
            await end.made
            return end

        async def ask(end: Any, count: int = 1) -> None:
            had = len(end.heard)
            end.transport.write(b"?" * count)
            await end.hears(had + count)

        if persistent:
            end = await connect()
            await ask(end)
            if pipelined:
                await ask(end, 10)
            else:
                for _ in range(10):
                    await ask(end)
        else:
            for _ in range(11):
                await ask(await connect())

    assert server.reactor is not None
    server.reactor.listenTCP(80, Many())
    simulation.ask(client, fetch)
    assert simulation.now == round_trips


def test_loss_and_slow_start_deliver_everything_in_order() -> None:
    for slow_start in (False, True):
        simulation = Simulation(3, LinkSettings(delay=0.02, loss=0.05), slow_start=slow_start)
        server, client = simulation.host("server", "10.0.0.1"), simulation.host("client", "10.0.0.2")
        transfers(simulation, server, [client], 1_000_000)
