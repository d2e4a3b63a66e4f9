"""What Twisted's reactors promise, asked of the simulated one and of a real one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.error import (
    AlreadyCalled,
    AlreadyCancelled,
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from tests.world.simulated.ends import Accepting, Datagrams, End, HalfCloseable, Once
from tests.world.simulated.reactors import Place, Real, Simulated

Where = Simulated | Real


@pytest.fixture(scope="module", params=[Simulated, Real], ids=["simulated", "real"])
def where(request: pytest.FixtureRequest) -> Iterator[Where]:
    """Each test runs in both places."""
    place = request.param()
    yield place
    place.stop()


@implementer(IPushProducer)
class Pushing:
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def pauseProducing(self) -> None:
        self.events.append("pause")

    def resumeProducing(self) -> None:
        self.events.append("resume")

    def stopProducing(self) -> None:
        self.events.append("stop")


async def pair(place: Place, server: End | None = None, client: End | None = None) -> tuple[Any, Any, Any]:
    """A connection: (listening port, server's end, client's end)."""
    server, client = server or End(), client or End()
    port = place.reactor.listenTCP(0, Accepting(server), interface=place.address)
    place.reactor.connectTCP(place.address, port.getHost().port, Once(client), timeout=5)
    await client.made
    await server.made
    return port, server, client


def test_timers_fire_in_order_and_late(where: Where) -> None:
    async def case(place: Place) -> tuple[list[str], list[float]]:
        order: list[str] = []
        late: list[float] = []
        start = place.reactor.seconds()

        def fire(name: str, due: float) -> None:
            order.append(name)
            late.append(place.reactor.seconds() - start - due)

        place.reactor.callLater(0.03, fire, "c", 0.03)
        place.reactor.callLater(0.01, fire, "a", 0.01)
        place.reactor.callLater(0.02, fire, "b", 0.02)
        await place.sleep(0.05)
        return order, late

    order, late = where.run(case)
    assert order == ["a", "b", "c"]
    assert all(by >= 0 for by in late)


def test_calls_without_delay_all_happen(where: Where) -> None:
    async def case(place: Place) -> list[int]:
        order: list[int] = []
        for number in range(5):
            place.reactor.callLater(0, order.append, number)
        place.reactor.callFromThread(order.append, 5)
        await place.sleep(0.01)
        return order

    order = where.run(case)
    assert sorted(order) == [0, 1, 2, 3, 4, 5]
    if where.name == "simulated":
        assert order == [0, 1, 2, 3, 4, 5]


def test_timers_can_be_cancelled_and_moved(where: Where) -> None:
    async def case(place: Place) -> list[str]:
        order: list[str] = []
        reactor = place.reactor
        cancelled = reactor.callLater(0.01, order.append, "cancelled")
        later = reactor.callLater(0.01, order.append, "later")
        earlier = reactor.callLater(0.2, order.append, "earlier")
        delayed = reactor.callLater(0.02, order.append, "delayed")
        cancelled.cancel()
        later.reset(0.06)
        earlier.reset(0.03)
        delayed.delay(0.07)
        assert not cancelled.active()
        assert later.active()
        with pytest.raises(AlreadyCancelled):
            cancelled.cancel()
        await place.sleep(0.13)
        with pytest.raises(AlreadyCalled):
            later.cancel()
        with pytest.raises(AlreadyCalled):
            later.reset(1)
        return order

    assert where.run(case) == ["earlier", "later", "delayed"]


def test_delayed_calls_are_listed(where: Where) -> None:
    async def case(place: Place) -> tuple[int, bool]:
        call = place.reactor.callLater(5, lambda: None)
        call.reset(4)
        count = place.reactor.getDelayedCalls().count(call)
        call.cancel()
        return count, call in place.reactor.getDelayedCalls()

    assert where.run(case) == (1, False)


def test_looping_call_keeps_its_beat(where: Where) -> None:
    async def case(place: Place) -> list[int]:
        counts: list[int] = []
        loop = LoopingCall.withCount(counts.append)
        loop.clock = place.reactor
        done = loop.start(0.02, now=True)
        await place.sleep(0.11)
        loop.stop()
        await done
        return counts

    counts = where.run(case)
    assert 4 <= sum(counts) <= 7
    if where.name == "simulated":
        assert counts == [1] * 6


def test_call_when_running_is_immediate_in_a_running_reactor(where: Where) -> None:
    async def case(place: Place) -> list[str]:
        order: list[str] = []
        place.reactor.callWhenRunning(order.append, "called")
        order.append("after")
        return order

    assert where.run(case) == ["called", "after"]


def test_connection_with_addresses_and_data_both_ways(where: Where) -> None:
    async def case(place: Place) -> None:
        port, server, client = await pair(place)
        assert client.transport.getPeer().port == port.getHost().port
        assert client.transport.getHost() == server.transport.getPeer()
        assert server.transport.getHost().host == place.address
        client.transport.write(b"abc")
        client.transport.writeSequence([b"de", b"f"])
        assert await server.hears(6) == b"abcdef"
        server.transport.write(b"xyz")
        assert await client.hears(3) == b"xyz"
        client.transport.loseConnection()
        assert await client.lost is ConnectionDone
        assert await server.lost is ConnectionDone
        await port.stopListening()

    where.run(case)


def test_refused(where: Where) -> None:
    async def case(place: Place) -> Any:
        port = place.reactor.listenTCP(0, Accepting(), interface=place.address)
        number = port.getHost().port
        await port.stopListening()
        factory = Once(End())
        place.reactor.connectTCP(place.address, number, factory, timeout=5)
        return await factory.failed

    assert where.run(case) is ConnectionRefusedError


def test_connecting_can_be_stopped(where: Where) -> None:
    async def case(place: Place) -> Any:
        port = place.reactor.listenTCP(0, Accepting(), interface=place.address)
        factory = Once(End())
        connector = place.reactor.connectTCP(place.address, port.getHost().port, factory, timeout=5)
        connector.stopConnecting()
        failed = await factory.failed
        await port.stopListening()
        return failed

    assert where.run(case) is UserError


def test_connecting_times_out(where: Where) -> None:
    async def case(place: Place) -> Any:
        address, port, keep = place.full_port()
        factory = Once(End())
        place.reactor.connectTCP(address, port, factory, timeout=0.2)
        failed = await factory.failed
        for each in keep[1] + [keep[0]] if keep else []:
            each.close()
        return failed

    assert where.run(case) is TimeoutError


def test_a_client_binds_its_address_and_port(where: Where) -> None:
    async def case(place: Place) -> tuple[str, bool]:
        free = place.reactor.listenTCP(0, Accepting(), interface=place.address)
        number = free.getHost().port
        await free.stopListening()
        server, client = End(), End()
        port = place.reactor.listenTCP(0, Accepting(server), interface=place.address)
        place.reactor.connectTCP(place.address, port.getHost().port, Once(client), bindAddress=(place.address, number))
        await client.made
        await server.made
        peer: Any = server.transport.getPeer()  # type: ignore[union-attr]
        client.transport.abortConnection()  # type: ignore[union-attr]
        await client.lost
        await server.lost
        await port.stopListening()
        return peer.host == place.address, peer.port == number

    assert where.run(case) == (True, True)


def test_ipv6(where: Where) -> None:
    async def case(place: Place) -> tuple[Any, ...]:
        server, client = End(), End()
        port = place.reactor.listenTCP(0, Accepting(server), interface="::1")
        place.reactor.connectTCP("::1", port.getHost().port, Once(client))
        await client.made
        await server.made
        client.transport.write(b"six")  # type: ignore[union-attr]
        heard = await server.hears(3)
        ends = [end.transport.getPeer() for end in (server, client)]  # type: ignore[union-attr]
        client.transport.loseConnection()  # type: ignore[union-attr]
        await client.lost
        await server.lost
        await port.stopListening()
        return (heard, *((end.host, type(end).__name__) for end in ends))

    assert where.run(case) == (b"six", ("::1", "IPv6Address"), ("::1", "IPv6Address"))


def test_writing_after_the_end_does_nothing(where: Where) -> None:
    async def case(place: Place) -> tuple[bytes, list[str]]:
        port, server, client = await pair(place)
        client.transport.loseConnection()
        client.transport.write(b"late")
        await client.lost
        client.transport.write(b"later")
        client.transport.loseConnection()
        client.transport.abortConnection()
        await server.lost
        await port.stopListening()
        return server.heard, client.events

    heard, events = where.run(case)
    assert events == ["made", "lost"]
    assert heard in (b"", b"late")


def test_many_connections_at_once(where: Where) -> None:
    async def case(place: Place) -> int:
        servers, clients = [End() for _ in range(120)], [End() for _ in range(120)]
        port = place.reactor.listenTCP(0, Accepting(*servers), backlog=200, interface=place.address)
        for client in clients:
            place.reactor.connectTCP(place.address, port.getHost().port, Once(client))
        for end in (*clients, *servers):
            await end.made
        ports = {client.transport.getHost().port for client in clients}  # type: ignore[union-attr]
        for client in clients:
            client.transport.loseConnection()  # type: ignore[union-attr]
        for end in (*clients, *servers):
            await end.lost
        await port.stopListening()
        return len(ports)

    assert where.run(case) == 120


def test_a_port_in_use_cannot_be_bound(where: Where) -> None:
    async def case(place: Place) -> list[int]:
        port = place.reactor.listenTCP(0, Accepting(), interface=place.address)
        numbers = []
        for number, interface in ((port.getHost().port, place.address), (port.getHost().port, ""), (0, "203.0.113.9")):
            with pytest.raises(CannotListenError) as raised:
                place.reactor.listenTCP(number, Accepting(), interface=interface)
            error: Any = raised.value.socketError
            numbers.append(error.errno)
        await port.stopListening()
        again = place.reactor.listenTCP(0, Accepting(), interface=place.address)
        await again.stopListening()
        return numbers

    assert where.run(case) == [98, 98, 99]


def test_half_close_both_ways(where: Where) -> None:
    async def case(place: Place) -> tuple[list[str], list[str], bytes, bytes]:
        server, client = HalfCloseable(), HalfCloseable()
        port, _, _ = await pair(place, server, client)
        asking: Any = client.transport
        asking.write(b"question")
        asking.loseWriteConnection()
        await server.read_lost
        heard = server.heard
        answering: Any = server.transport
        answering.write(b"answer")
        answering.loseWriteConnection()
        await client.read_lost
        asking.loseConnection()
        answering.loseConnection()
        await client.lost
        await server.lost
        await port.stopListening()
        return client.events, server.events, heard, client.heard

    client, server, question, answer = where.run(case)
    assert (question, answer) == (b"question", b"answer")
    assert client == ["made", "write lost", "read lost", "lost"]
    assert server == ["made", "read lost", "write lost", "lost"]


def test_half_close_ends_a_protocol_that_knows_nothing_of_it(where: Where) -> None:
    async def case(place: Place) -> tuple[Any, Any]:
        port, server, client = await pair(place)
        client.transport.loseWriteConnection()
        result = await server.lost, await client.lost
        await port.stopListening()
        return result

    assert where.run(case) == (ConnectionDone, ConnectionDone)


@pytest.mark.parametrize("size", [1, 100_000, 5_000_000])
def test_lose_connection_sends_what_is_queued(where: Where, size: int) -> None:
    async def case(place: Place) -> bool:
        port, server, client = await pair(place)
        data = bytes(range(256)) * (size // 256) + b"e" * (size % 256)
        client.transport.write(data)
        client.transport.loseConnection()
        assert await client.lost is ConnectionDone
        assert await server.lost is ConnectionDone
        await port.stopListening()
        return bool(server.heard == data)

    assert where.run(case)


def test_abort_resets(where: Where) -> None:
    async def case(place: Place) -> tuple[Any, Any]:
        port, server, client = await pair(place)
        client.transport.write(b"x" * 10)
        client.transport.abortConnection()
        result = await client.lost, await server.lost
        await port.stopListening()
        return result

    assert where.run(case) == (ConnectionAborted, ConnectionLost)


def test_close_with_unread_input_ends_both(where: Where) -> None:
    """FIN and then a reset are sent: which of the two the peer sees is a matter of luck on a real network."""

    async def case(place: Place) -> Any:
        port, server, client = await pair(place)
        server.transport.pauseProducing()
        client.transport.write(b"nobody reads this")
        await place.sleep(0.05)
        server.transport.loseConnection()
        lost = await client.lost
        await server.lost
        await port.stopListening()
        return lost

    assert where.run(case) in (ConnectionDone, ConnectionLost)


def test_a_paused_reader_holds_the_writer_up(where: Where) -> None:
    total = 12_000_000

    async def case(place: Place) -> tuple[list[str], int, list[str], int]:
        port, server, client = await pair(place)
        server.transport.pauseProducing()
        producer = Pushing()
        client.transport.registerProducer(producer, True)
        client.transport.write(b"x" * total)
        await place.sleep(0.1)
        before, heard = list(producer.events), len(server.heard)
        server.transport.resumeProducing()
        while len(server.heard) < total:
            await place.sleep(0.01)
        await place.sleep(0.05)
        after = list(producer.events)
        client.transport.unregisterProducer()
        client.transport.loseConnection()
        await client.lost
        await server.lost
        await port.stopListening()
        return before, heard, after, len(server.heard)

    assert where.run(case) == (["pause"], 0, ["pause", "resume"], total)


def test_pull_producer_is_asked_again_and_again(where: Where) -> None:
    async def case(place: Place) -> Any:
        port, server, client = await pair(place)

        @implementer(IPullProducer)
        class Numbers:
            left = 5

            def resumeProducing(self) -> None:
                if self.left:
                    self.left -= 1
                    client.transport.write(b"%d" % self.left)
                else:
                    client.transport.unregisterProducer()
                    client.transport.loseConnection()

            def stopProducing(self) -> None:
                pass

        client.transport.registerProducer(Numbers(), False)
        await server.lost
        await port.stopListening()
        return server.heard

    assert where.run(case) == b"43210"


def test_a_producer_is_stopped_with_its_connection(where: Where) -> None:
    async def case(place: Place) -> list[str]:
        port, server, client = await pair(place)
        producer = Pushing()
        client.transport.registerProducer(producer, True)
        server.transport.abortConnection()
        await client.lost
        await server.lost
        await port.stopListening()
        return producer.events

    assert where.run(case) == ["stop"]


def test_a_factory_may_refuse_the_connection(where: Where) -> None:
    async def case(place: Place) -> bytes:
        port = place.reactor.listenTCP(0, Accepting(None), interface=place.address)
        client = End()
        place.reactor.connectTCP(place.address, port.getHost().port, Once(client), timeout=5)
        await client.made
        await client.lost
        await port.stopListening()
        return client.heard

    assert where.run(case) == b""


def test_stopping_a_port_leaves_its_connections(where: Where) -> None:
    async def case(place: Place) -> Any:
        port, server, client = await pair(place)
        await port.stopListening()
        client.transport.write(b"still there")
        heard = await server.hears(11)
        client.transport.loseConnection()
        await client.lost
        await server.lost
        return heard

    assert where.run(case) == b"still there"


def test_datagrams(where: Where) -> None:
    async def case(place: Place) -> None:
        one, two = Datagrams(), Datagrams()
        first = place.reactor.listenUDP(0, one, interface=place.address)
        second = place.reactor.listenUDP(0, two, interface=place.address)
        here, there = first.getHost(), second.getHost()
        assert here.host == place.address
        first.write(b"", (there.host, there.port))
        first.write(b"hello", (there.host, there.port))
        first.write(b"y" * 9000, (there.host, there.port))
        while len(two.heard) < 3:
            await place.sleep(0.01)
        source = (here.host, here.port)
        assert two.heard == [(b"", source), (b"hello", source), (b"y" * 8192, source)]
        with pytest.raises(CannotListenError):
            place.reactor.listenUDP(here.port, Datagrams(), interface=place.address)
        await first.stopListening()
        await second.stopListening()
        assert one.stopped

    where.run(case)


@pytest.mark.parametrize("place", [Simulated, Real.selecting], ids=["simulated", "real"])
def test_connected_datagrams_hear_their_peer_alone_and_of_refusals(place: Callable[[], Where]) -> None:
    async def case(place: Place) -> None:
        one, two, three = Datagrams(), Datagrams(), Datagrams()
        first = place.reactor.listenUDP(0, one, interface=place.address)
        second = place.reactor.listenUDP(0, two, interface=place.address)
        third = place.reactor.listenUDP(0, three, interface=place.address)
        first.connect(place.address, second.getHost().port)
        first.write(b"ping")
        await two.arrived
        to = (place.address, first.getHost().port)
        third.write(b"stranger", to)
        second.write(b"pong", to)
        await one.arrived
        assert [data for data, _ in one.heard] == [b"pong"]
        await second.stopListening()
        first.write(b"anybody?")
        await one.refused
        await first.stopListening()
        await third.stopListening()

    where = place()
    where.run(case)
    where.stop()
