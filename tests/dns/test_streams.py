"""A client's streams to servers, on the simulated Internet: shared, kept, bounded, and given up in their time."""

from collections.abc import Callable
from typing import Any

import dns.message
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import deferLater

from netstack.dns.engine import ServerStream
from netstack.dns.events import QueryReceived, SendReply, StreamCounts
from netstack.dns.options import opt_at, option, with_option
from netstack.dns.padding import KEEPALIVE
from netstack.dns.streams import ALPN, PooledUpstream, PoolLimits, Server, StreamPool
from netstack.kernel.links import LinkSettings
from netstack.kernel.listen import Endpoint, StreamListener
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.roles import Connection
from netstack.sansio import Event
from netstack.world.simulated import SimulatedHost, Simulation

RTT, YEAR = 0.1, 365 * 86400
NAME, ADDRESS = "dns.a.test", "10.0.0.2"
PLAIN, SECURE = Server(ADDRESS, 53), Server(ADDRESS, 853, NAME)

Script = Callable[["Serving", bytes, Connection], None]


def reply(query: bytes) -> bytes:
    return query[:2] + b"\x81\x80" + query[4:]


class Serving:
    """One connection of a server that does as a script says; `seen` has its queries."""

    def __init__(self, script: Script, connections: "list[Serving]") -> None:
        self.script = script
        self.number = len(connections)
        self.seen: list[bytes] = []
        connections.append(self)

    def handle(self, event: Event, connection: Connection) -> None:
        if isinstance(event, QueryReceived):
            self.seen.append(event.data)
            self.script(self, event.data, connection)

    def lost(self, reason: str) -> None:
        pass


def answers(serving: Serving, query: bytes, connection: Connection) -> None:
    connection.send(SendReply(reply(query)))


class World:
    """A client, and servers at ADDRESS and the two next ones."""

    def __init__(self, script: Script = answers, limits: PoolLimits | None = None) -> None:
        self.simulation = Simulation(seed=1, default_link=LinkSettings(delay=RTT / 2))
        self.client = self.simulation.host("client.test", "10.0.0.1")
        self.connections: list[Serving] = []
        self.script = script
        for number, name in enumerate((NAME, "b.test", "c.test")):
            host = self.simulation.host(name, f"10.0.0.{2 + number}")
            host.program = self.program
            host.start()
        self.machine = self.simulation.machine(self.client)
        self.pool = StreamPool(self.machine, limits)
        self.replies: list[bytes | str] = []

    def program(self, host: SimulatedHost) -> None:
        machine = self.simulation.machine(host)
        for kind, port in (("tcp", 53), ("tls", 853)):
            endpoint: Any = Endpoint(kind, port, machine.address)
            StreamListener(
                machine, endpoint, "dns", lambda: ServerStream(200, 60.0), lambda: Serving(self.script, self.connections),
                traffic(machine.registry, "dns", "server"), alpn=ALPN,
            ).startService()  # fmt: skip

    def ask(self, number: int = 0, server: Server = SECURE, edns: bool = True) -> PooledUpstream:
        query = dns.message.make_query(f"n{number}.test", "A", id=7, use_edns=0 if edns else -1).to_wire()
        upstream = PooledUpstream(
            self.pool, server, (server.address, 53), lambda data, source: self.replies.append(data), self.replies.append
        )
        upstream.send(query)
        return upstream

    def run(self, script: Callable[[Machine], Any]) -> Any:
        return self.simulation.ask(self.client, script, self.machine)

    @property
    def counts(self) -> StreamCounts:
        return self.pool.counts

    def connected(self, role: str = "client") -> float | None:
        return self.machine.registry.get_sample_value("netstack_dns_connections_active", {"role": role})


def after(machine: Machine, seconds: float) -> Deferred[None]:
    return deferLater(machine.reactor, seconds)  # type: ignore[arg-type]


@pytest.mark.parametrize("server", [PLAIN, SECURE])
def test_queries_share_a_stream_and_replies_come_in_any_order(server: Server) -> None:
    held: list[bytes] = []

    def backwards(serving: Serving, query: bytes, connection: Connection) -> None:
        held.append(query)
        if len(held) == 20:
            for each in reversed(held):
                connection.send(SendReply(reply(each)))

    world = World(backwards)

    async def script(machine: Machine) -> None:
        for number in range(20):
            world.ask(number, server)
        await after(machine, 1)

    world.run(script)
    assert len({query[:2] for query in held}) == 20, "two queries in flight had one id"
    names = [str(dns.message.from_wire(data).question[0].name) for data in world.replies if isinstance(data, bytes)]
    assert names == [f"n{number}.test." for number in reversed(range(20))]
    assert {data[:2] for data in world.replies} == {b"\0\7"}
    assert (world.counts.opened, world.counts.reused) == (1, 19)
    at = opt_at(held[0])
    assert at is not None
    assert option(held[0], at, KEEPALIVE) == b""
    assert len(held[0]) == 128 if server.name else len(held[0]) < 60


def test_a_stream_rests_for_a_while_then_ends() -> None:
    world = World(limits=PoolLimits(idle=3))

    async def script(machine: Machine) -> None:
        for number in range(3):
            world.ask(number)
            await after(machine, 2)
        assert (len(world.pool), world.connected()) == (1, 1)
        await after(machine, 2)
        assert (len(world.pool), world.connected()) == (0, 0)
        world.ask()
        await after(machine, 1)

    world.run(script)
    assert (world.counts.opened, world.counts.reused, len(world.replies)) == (2, 2, 4)


@pytest.mark.parametrize(("value", "opened"), [(0.0, 3), (1.0, 3), (5.0, 1)])
def test_the_server_says_how_long_it_keeps_a_stream(value: float, opened: int) -> None:
    def telling(serving: Serving, query: bytes, connection: Connection) -> None:
        at = opt_at(query)
        assert at is not None
        bare = reply(query[: at + 9] + b"\0\0")  # without the client's options
        connection.send(SendReply(with_option(bare, KEEPALIVE, int(value * 10).to_bytes(2, "big"))))

    world = World(telling)

    async def script(machine: Machine) -> None:
        for number in range(3):
            world.ask(number)
            await after(machine, 2)

    world.run(script)
    assert (world.counts.opened, len(world.replies)) == (opened, 3)


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_kept_stream_that_ends_costs_nobody_the_reply(how: str) -> None:
    """RFC 7766 §6.2.4."""

    def ends(serving: Serving, query: bytes, connection: Connection) -> None:
        if serving.number == 0 and len(serving.seen) > 1:
            getattr(connection, how)()
        else:
            answers(serving, query, connection)

    world = World(ends)

    async def script(machine: Machine) -> None:
        world.ask()
        await after(machine, 1)
        for number in range(5):
            world.ask(number)
        await after(machine, 2)

    world.run(script)
    assert len([data for data in world.replies if isinstance(data, bytes)]) == 6
    assert (world.counts.opened, world.counts.repeated) == (2, 5)


def test_a_server_that_always_closes_is_asked_once() -> None:
    world = World(lambda serving, query, connection: connection.close())

    async def script(machine: Machine) -> None:
        world.ask()
        await after(machine, 2)

    world.run(script)
    assert world.replies == ["the connection was closed"]
    assert world.counts.opened == 1


def test_a_kept_stream_that_falls_silent_is_left_for_a_new_one() -> None:
    """The first query of the second kind is repeated by its owner; later ones do not try the silent stream."""

    def silent(serving: Serving, query: bytes, connection: Connection) -> None:
        if serving.number or len(serving.seen) == 1:
            answers(serving, query, connection)

    world = World(silent)

    async def script(machine: Machine) -> None:
        world.ask()
        await after(machine, 1)
        upstream = world.ask(1)
        await after(machine, 1)
        assert len(world.replies) == 1
        upstream.send(b"again")
        world.ask(2)
        await after(machine, 1)

    world.run(script)
    assert len(world.replies) == 3
    assert (world.counts.opened, world.counts.repeated) == (2, 1)


def test_one_query_without_a_reply_does_not_disturb_the_others() -> None:
    def picky(serving: Serving, query: bytes, connection: Connection) -> None:
        if b"\2n1" not in query:
            answers(serving, query, connection)

    world = World(picky)

    async def script(machine: Machine) -> None:
        dropped = world.ask(1)
        for number in range(2, 6):
            world.ask(number)
        await after(machine, 1)
        dropped.send(b"again")  # others were answered since: the stream lives, and the server will not say more
        await after(machine, 1)
        dropped.close()
        world.ask(6)
        await after(machine, 1)

    world.run(script)
    assert len(world.replies) == 5
    assert world.counts.opened == 1


def test_streams_are_bounded() -> None:
    def half(serving: Serving, query: bytes, connection: Connection) -> None:
        if b"\2n9" not in query:
            answers(serving, query, connection)

    world = World(half, PoolLimits(streams=2, pipeline=2))

    async def script(machine: Machine) -> None:
        for _ in range(5):
            world.ask(9)  # two on each, and one too many
        await after(machine, 1)

    world.run(script)
    assert world.replies == ["2 streams are open"]
    assert world.connected() == 2

    other = World(half, PoolLimits(streams=2))

    async def resting(machine: Machine) -> None:
        for number in range(3):
            other.ask(0, Server(f"10.0.0.{2 + number}", 53))
            await after(machine, 1)

    other.run(resting)
    assert len(other.replies) == 3
    assert other.connected() == 2


def test_the_largest_message_comes_whole() -> None:
    world = World(lambda serving, query, connection: connection.send(SendReply(reply(query) + bytes(65535 - len(query)))))

    async def script(machine: Machine) -> None:
        world.ask(edns=False)
        await after(machine, 2)

    world.run(script)
    assert [len(data) for data in world.replies] == [65535]


@pytest.mark.parametrize(
    ("server", "skew", "reason"),
    [
        (Server(ADDRESS, 853, "b.test"), 0, "b.test: its certificate is for another name"),
        (SECURE, 30 * YEAR, f"{NAME}: its certificate has expired"),
        (SECURE, -30 * YEAR, f"{NAME}: its certificate is not valid yet"),
        (Server(ADDRESS, 99, NAME), 0, "refused"),
        (Server(ADDRESS, 53, NAME), 0, ""),
    ],
)
def test_who_does_not_prove_its_name_gets_no_query(server: Server, skew: float, reason: str) -> None:
    world = World()
    world.client.skew = skew

    async def script(machine: Machine) -> None:
        world.ask(0, server)
        await after(machine, 70)

    world.run(script)
    [why] = world.replies
    assert isinstance(why, str)
    assert reason in why
    assert not any(each.seen for each in world.connections)
    assert len(world.pool) == 0


def test_without_a_ca_nobody_is_trusted() -> None:
    world = World()
    world.machine.tls.trust = ()  # type: ignore[attr-defined]

    async def script(machine: Machine) -> None:
        world.ask()
        await after(machine, 1)

    world.run(script)
    assert world.replies == ["a TLS client needs a CA to trust, and this host has none"]


def test_a_handshake_that_does_not_go_on_ends_in_its_time() -> None:
    """On both sides: a server that is silent, and a client."""
    world = World()

    async def script(machine: Machine) -> None:
        silent: Any = ServerFactory.forProtocol(Protocol)
        port = machine.reactor.listenTCP(853, silent, interface="10.0.0.1")
        world.ask(0, Server("10.0.0.1", 853, NAME))
        client: Any = Listening(machine)
        machine.reactor.connectTCP(ADDRESS, 853, client)
        await after(machine, machine.limits.handshake + machine.limits.linger + 1)
        assert client.gone
        await port.stopListening()  # type: ignore[misc]

    world.run(script)
    assert world.replies == ["timeout"]
    assert len(world.pool) == 0


class Listening(ServerFactory):
    """A client that connects and says nothing."""

    def __init__(self, machine: Machine) -> None:
        self.gone = False

    def startedConnecting(self, connector: object) -> None:
        pass

    def clientConnectionLost(self, connector: object, reason: object) -> None:
        self.gone = True

    def buildProtocol(self, address: object) -> Protocol:
        return Protocol()


def test_closing_the_pool_leaves_nothing() -> None:
    world = World(lambda serving, query, connection: None)

    async def script(machine: Machine) -> None:
        world.ask(0)
        world.ask(1, PLAIN)
        await after(machine, 1)
        world.ask(2, Server("10.0.0.3", 853, "b.test"))  # on its way up
        world.pool.close()
        await after(machine, 2 * machine.limits.discard)

    world.run(script)
    assert (len(world.pool), world.connected()) == (0, 0)
