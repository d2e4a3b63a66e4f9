"""Twisted's own servers and clients run on simulated hosts unchanged, with whatever they import globally."""

from typing import Any

from twisted.application.internet import ClientService
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint, clientFromString, serverFromString
from twisted.internet.protocol import Factory
from twisted.web import client as web_client
from twisted.web import resource, server

from netstack.kernel.links import LinkSettings
from netstack.kernel.resolver import FakeResolver
from netstack.world.simulated import SimulatedHost, Simulation
from tests.world.simulated.ends import End


def two() -> tuple[Simulation, SimulatedHost, SimulatedHost]:
    """A client that knows the server's name."""
    simulation = Simulation(1, LinkSettings(delay=0.05))
    a, b = simulation.host("a", "10.0.0.1"), simulation.host("www.test", "10.0.0.2")
    simulation.machine(a, resolver=FakeResolver({("www.test", "A"): ["10.0.0.2"]}))
    return simulation, a, b


def test_web_server_and_agent() -> None:
    simulation, a, b = two()

    class Page(resource.Resource):
        isLeaf = True

        def render_GET(self, request: Any) -> bytes:
            return b"hello " + request.uri

    def serve() -> None:
        site = server.Site(Page())
        site.noisy = False
        TCP4ServerEndpoint(b.reactor, 80).listen(site)

    async def fetch() -> tuple[int, bytes, Any]:
        reactor: Any = a.reactor
        agent = web_client.Agent(reactor, pool=web_client.HTTPConnectionPool(reactor, persistent=False))
        response = await agent.request(b"GET", b"http://www.test/page")
        return response.code, await web_client.readBody(response), response.headers.getRawHeaders(b"date")

    simulation.call(b, serve)
    code, body, date = simulation.ask(a, fetch)
    assert (code, body) == (200, b"hello /page")
    assert date == [b"Tue, 14 Nov 2023 22:13:20 GMT"], "the date of the simulated clock"


def test_client_service_reconnects_after_a_crash() -> None:
    simulation, a, b = two()
    ends: list[End] = []

    class Many(Factory):
        noisy = False

        def buildProtocol(self, addr: Any) -> Any:
            ends.append(End())
            return ends[-1]

    def serve(host: SimulatedHost) -> None:
        serverFromString(host.reactor, "tcp:7").listen(Many())

    b.program = serve
    b.start()
    service = ClientService(clientFromString(a.reactor, "tcp:www.test:7"), Factory.forProtocol(End), clock=a.reactor)
    simulation.call(a, service.startService)
    simulation.at(10, b.kill)
    simulation.at(30, b.boot)
    simulation.run(until=120)
    assert len(ends) == 2
    simulation.call(a, service.stopService)
    simulation.run(until=130)
    assert ends[1].lost.called
    assert isinstance(service, ClientService)


def test_host_name_endpoint_without_an_address_fails() -> None:
    simulation, a, _ = two()

    async def connect() -> str:
        endpoint = HostnameEndpoint(a.reactor, "nowhere.test", 80)
        try:
            await endpoint.connect(Factory.forProtocol(End))
        except Exception as error:
            return type(error).__name__
        return "connected"

    assert simulation.ask(a, connect) == "DNSLookupError"
