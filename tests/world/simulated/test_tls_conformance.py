"""TLS over the simulated reactor's transports and over a real one's: handshake, STARTTLS, refusal of a wrong name."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from zope.interface import implementer

from netstack.kernel.authority import Authority, TLSError
from netstack.kernel.tls import HostTLS
from tests.world.simulated.ends import Accepting, End, Once
from tests.world.simulated.reactors import Place, Real, Simulated

Where = Simulated | Real
NOW = 1_800_000_000.0


@pytest.fixture(scope="module", params=[Simulated, Real], ids=["simulated", "real"])
def where(request: pytest.FixtureRequest) -> Iterator[Where]:
    """Each test runs in both places."""
    place = request.param()
    yield place
    place.stop()


@implementer(IHandshakeListener)
class Secure(End):
    """Notes the handshake."""

    def handshakeCompleted(self) -> None:
        self.events.append("secure")


def hosts(place: Place) -> tuple[HostTLS, HostTLS]:
    """TLS of a server called server.test, and of a client."""
    authority = Authority.seeded(Random(1), NOW - 1e6, NOW + 1e6)
    leaf = authority.issue(("server.test",))
    return (
        HostTLS(place.reactor, lambda: NOW, (leaf,)),
        HostTLS(place.reactor, lambda: NOW, (), (authority.certificate,)),
    )


def test_data_both_ways_and_a_clean_end(where: Where) -> None:
    async def case(place: Place) -> tuple[Any, ...]:
        serving, asking = hosts(place)
        server, client = Secure(), Secure()
        port = place.reactor.listenTCP(0, serving.server(Accepting(server)), interface=place.address)
        factory = asking.client(Once(client), "server.test")
        place.reactor.connectTCP(place.address, port.getHost().port, factory)
        await client.made
        client.transport.write(b"q" * 100_000)  # type: ignore[union-attr]
        await server.hears(100_000)
        server.transport.write(b"a" * 1_000_000)  # type: ignore[union-attr]
        server.transport.loseConnection()  # type: ignore[union-attr]
        lost = await client.lost, await server.lost
        await port.stopListening()
        return (*lost, len(client.heard), client.events, server.events)

    events = ["made", "secure", "lost"]
    assert where.run(case) == (ConnectionDone, ConnectionDone, 1_000_000, events, events)


def test_a_wrong_name_is_refused_by_the_client(where: Where) -> None:
    async def case(place: Place) -> tuple[Any, bytes]:
        serving, asking = hosts(place)
        server, client = Secure(), Secure()
        port = place.reactor.listenTCP(0, serving.server(Accepting(server)), interface=place.address)
        place.reactor.connectTCP(place.address, port.getHost().port, asking.client(Once(client), "other.test"))
        await client.made
        client.transport.write(b"a secret")  # type: ignore[union-attr]
        lost = await client.lost
        await server.lost
        await port.stopListening()
        return lost, server.heard

    assert where.run(case) == (TLSError, b"")


def test_starttls(where: Where) -> None:
    async def case(place: Place) -> tuple[bytes, bytes, bool]:
        serving, asking = hosts(place)
        server, client = Secure(), Secure()
        port = place.reactor.listenTCP(0, Accepting(server), interface=place.address)
        place.reactor.connectTCP(place.address, port.getHost().port, Once(client))
        await client.made
        await server.made
        client.transport.write(b"STARTTLS\r\n")  # type: ignore[union-attr]
        await server.hears(10)
        server.transport.write(b"220 go\r\n")  # type: ignore[union-attr]
        serving.start(server.transport, server, None)
        await client.hears(8)
        asking.start(client.transport, client, "server.test")
        client.transport.write(b"under TLS")  # type: ignore[union-attr]
        await server.hears(19)
        server.transport.write(b"as well")  # type: ignore[union-attr]
        await client.hears(15)
        client.transport.loseConnection()  # type: ignore[union-attr]
        await client.lost
        await server.lost
        await port.stopListening()
        return server.heard, client.heard, "secure" in client.events and "secure" in server.events

    assert where.run(case) == (b"STARTTLS\r\nunder TLS", b"220 go\r\nas well", True)
