"""Tunnels by CONNECT, and where a proxy goes for its clients, on the simulated Internet (RFC 9110 §9.3.6)."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from zope.interface import implementer

from netstack.cache.destinations import Destinations
from netstack.cache.options import TunnelLimits
from netstack.http.limits import HTTPLimits
from netstack.http.places import Place
from netstack.world.simulated import SimulatedHost
from tests.cache.town import ADDRESSES, CACHE, Town

FAR = "far.test"
CONNECT = f"CONNECT {FAR}:443 HTTP/1.1\r\nHost: {FAR}:443\r\n\r\n".encode()
OK = b"HTTP/1.1 200 OK\r\n\r\n"


@implementer(IHalfCloseableProtocol)
class End(Protocol):
    """One end of a tunnel, or of a connection to the proxy."""

    def __init__(self, greeting: bytes = b"") -> None:
        self.got = b""
        self.events: list[str] = []
        self.greeting = greeting
        self.reads = True

    def connectionMade(self) -> None:
        if not self.reads:
            self.transport.pauseProducing()  # type: ignore[union-attr]
        if self.greeting:
            self.transport.write(self.greeting)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def readConnectionLost(self) -> None:
        self.events.append("end")

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Any = None) -> None:
        self.events.append("lost")


class Both(Town):
    """A town with a far side that is no Web server."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.resolver.table[(FAR, "A")] = ["10.0.0.4"]
        self.far_host = self.simulation.host(FAR, "10.0.0.4")
        self.far_host.program = self._far
        self.far_host.start()
        self.fars: list[End] = []
        self.far_reads = True
        self.simulation.run(for_seconds=0.01)

    def _far(self, host: SimulatedHost) -> None:
        town = self

        class Fars(Factory):
            noisy = False

            def buildProtocol(self, addr: Any) -> End:
                end = End()
                end.reads = town.far_reads
                town.fars.append(end)
                return end

        for port in (443, 8443):
            host.reactor.listenTCP(port, Fars())

    def connect(self, greeting: bytes = b"", end: End | None = None) -> End:
        """A client of the proxy that says something."""
        end = end or End(greeting)

        class Once(ClientFactory):
            noisy = False

            def buildProtocol(self, addr: Any) -> End:
                return end

        self.simulation.call(self.client, lambda: self.client.reactor.connectTCP(ADDRESSES[CACHE], 3128, Once()))
        self.run(1.0)
        return end

    def run(self, seconds: float) -> None:
        self.simulation.run(for_seconds=seconds)

    def act(self, end: End, what: str, *arguments: Any) -> None:
        """Do something with an end's transport."""
        host = self.far_host if end in self.fars else self.client
        self.simulation.call(host, getattr(end.transport, what), *arguments)
        self.run(1.0)

    def counted(self, name: str, **labels: str) -> float:
        found: float | None = self.machine.registry.get_sample_value(f"netstack_cache_{name}", labels)
        return found or 0.0

    def settled(self) -> None:
        """Nothing is left of any tunnel."""
        assert self.counted("tunnels") == 0
        assert not self.proxy.tunnels._open
        assert not self.proxy.tunnels._by_client
        assert (self.machine.registry.get_sample_value("netstack_http_connections_active", {"role": "tunnel"}) or 0) == 0


def test_octets_go_both_ways_and_each_direction_ends_by_itself() -> None:
    town = Both()
    client = town.connect(CONNECT + b"early")
    [far] = town.fars
    assert (client.got, far.got) == (OK, b"early")
    town.act(far, "write", b"down")
    town.act(client, "write", b"up")
    assert (client.got, far.got) == (OK + b"down", b"earlyup")
    assert town.counted("tunnels") == 1
    town.act(client, "loseWriteConnection")
    assert far.events == ["end"]
    assert client.events == []
    town.act(far, "write", b"late")
    assert client.got.endswith(b"late")
    town.act(far, "loseConnection")
    town.run(10)
    assert client.events[0] == "end"
    assert far.events == ["end", "lost"]
    assert town.counted("tunnel_bytes_total", direction="up") == 7
    assert town.counted("tunnel_bytes_total", direction="down") == 8
    town.settled()


def test_the_far_side_may_end_first() -> None:
    town = Both()
    client = town.connect(CONNECT)
    [far] = town.fars
    town.act(far, "loseWriteConnection")
    assert client.events == ["end"]
    town.act(client, "write", b"late")
    assert far.got == b"late"
    town.act(client, "loseConnection")
    town.run(10)
    town.settled()


@pytest.mark.parametrize("who", ["client", "far"])
def test_a_reset_on_one_side_is_one_on_the_other(who: str) -> None:
    town = Both()
    client = town.connect(CONNECT)
    [far] = town.fars
    town.act(client if who == "client" else far, "abortConnection")
    assert (far if who == "client" else client).events == ["lost"], "no end in order"
    town.settled()


@pytest.mark.parametrize("up", [True, False])
def test_who_does_not_read_slows_the_other_and_nothing_grows(up: bool) -> None:
    town = Both()
    town.far_reads = not up
    client = End(CONNECT)
    town.connect(end=client)
    [far] = town.fars
    if not up:
        town.act(client, "pauseProducing")
    sender, receiver = (client, far) if up else (far, client)
    sent = bytes(range(256)) * 16_000
    town.act(sender, "write", sent)
    town.run(30)
    went = town.counted("tunnel_bytes_total", direction="up" if up else "down")
    assert went < 2_000_000, "the rest waits with who sends it"
    for _ in range(4):
        town.act(receiver, "resumeProducing")
        town.run(100)
    assert receiver.got.endswith(sent)
    assert len(receiver.got) == len(sent) + (0 if up else len(OK))


LIMITS = TunnelLimits(idle_seconds=20, half_seconds=5, seconds=60, tunnels=2, per_client=1)


def test_a_silent_tunnel_is_cut_and_one_that_is_half_closed_sooner() -> None:
    town = Both(tunnels=LIMITS)
    client = town.connect(CONNECT)
    town.run(15)
    town.act(client, "write", b"x")
    town.run(15)
    assert client.events == []
    town.run(10)
    assert client.events == town.fars[0].events == ["lost"]
    town.settled()
    client = town.connect(CONNECT)
    town.act(client, "loseWriteConnection")
    town.run(6)
    assert client.events == ["lost"]
    town.settled()


def test_a_tunnel_has_an_end_however_busy_it_is() -> None:
    town = Both(tunnels=LIMITS)
    client = town.connect(CONNECT)
    for _ in range(6):
        assert client.events == []
        town.run(9)
        town.act(client, "write", b"x")
    assert client.events == ["lost"]
    town.settled()


def test_tunnels_are_bounded_for_each_client() -> None:
    town = Both(tunnels=LIMITS)
    town.connect(CONNECT)
    second = town.connect(CONNECT)
    assert second.got.startswith(b"HTTP/1.1 503 ")
    assert town.counted("refused_total", why="busy") == 1
    assert town.counted("tunnels") == 1


@pytest.mark.parametrize(
    ("target", "config", "status", "says"),
    [
        (f"{FAR}:22", {}, 403, b"no tunnels to port 22"),
        (f"{FAR}:8443", {}, 403, b"no tunnels to port 8443"),
        (f"{FAR}:8443", {"tunnel_ports": "443,8000-9000"}, 200, b""),
        (f"{FAR}:443", {"denied": ("test",)}, 403, b"no tunnels to far.test"),
        (f"{FAR}.:443", {"denied": (FAR,)}, 403, b"no tunnels to far.test"),
        (f"{FAR}:443", {"denied": ("ar.test",)}, 200, b""),
        (f"{FAR}:443", {"tunnel_names": ("a.test",)}, 403, b"no tunnels to far.test"),
        (f"{FAR}:443", {"tunnel_names": ("Far.Test.",)}, 200, b""),
        (f"{FAR}:443", {"reach": ()}, 502, b"error=destination_ip_prohibited"),
        ("10.0.0.4:443", {"reach": ()}, 502, b"error=destination_ip_prohibited"),
        ("127.0.0.1:443", {}, 502, b"error=destination_ip_prohibited"),
        ("[::1]:443", {}, 502, b"error=destination_ip_prohibited"),
        ("[::ffff:127.0.0.1]:443", {}, 502, b"error=destination_ip_prohibited"),
        ("10.0.0.4:443", {}, 200, b""),
        ("nobody.test:443", {}, 502, b"error=dns_error"),
        ("2130706433:443", {}, 502, b"error=dns_error"),
        ("10.0.0.1:443", {}, 502, b"error=connection_refused"),
        (f"{FAR}:443", {"allow": ("192.0.2.0/24",)}, 403, b"own networks"),
        (f"{FAR}:443", {"forward": False, "sites": ("www.a.test=http://10.0.0.3",)}, 403, b"no forward proxy"),
        (f"{FAR}", {}, 400, b"host with a port"),
        ("http://far.test:443/", {}, 400, b"host with a port"),
    ],
)
def test_where_tunnels_lead(target: str, config: dict[str, Any], status: int, says: bytes) -> None:
    town = Both(**config)
    got = town.connect(f"CONNECT {target} HTTP/1.1\r\nHost: {FAR}\r\n\r\n".encode() + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert got.got.startswith(f"HTTP/1.1 {status} ".encode())
    assert says in got.got
    if status != 200:
        assert got.got.count(b"HTTP/1.1 ") == 1, "what was meant for the far side is no request"
        assert b"Connection: close\r\n" in got.got
        assert not town.fars
        town.run(20)
        assert "end" in got.events
        town.settled()


def test_a_client_that_leaves_before_there_is_a_tunnel() -> None:
    town = Both()
    town.far_host.power_off()
    client = town.connect(CONNECT)
    town.act(client, "abortConnection")
    town.settled()
    client = town.connect(CONNECT)
    town.run(12)
    assert client.got.startswith(b"HTTP/1.1 504 ")
    assert b"error=connection_timeout" in client.got


def test_a_proxy_that_stops_cuts_its_tunnels() -> None:
    town = Both()
    client = town.connect(CONNECT)
    town.simulation.call(town.cache, town.service.stopService)
    town.run(30)
    assert "lost" in client.events
    assert "lost" in town.fars[0].events


# HTTP/2 to the proxy


class Speaker(End):
    """A client of HTTP/2, by the library."""

    def __init__(self) -> None:
        super().__init__()
        self.library = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.seen: list[Any] = []

    def connectionMade(self) -> None:
        self.library.initiate_connection()
        self.flush()

    def dataReceived(self, data: bytes) -> None:
        for event in self.library.receive_data(data):
            self.seen.append(event)
            if isinstance(event, DataReceived):
                self.got += event.data or b""
                self.library.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.library.data_to_send())  # type: ignore[union-attr]

    def does(self, call: Callable[[H2Connection], None]) -> None:
        call(self.library)
        self.flush()

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kind)]


def spoken(town: Both, call: Callable[[H2Connection], None], speaker: Speaker) -> None:
    town.simulation.call(town.client, speaker.does, call)
    town.run(1.0)


def ask(library: H2Connection) -> None:
    library.send_headers(1, [(":method", "CONNECT"), (":authority", f"{FAR}:443")])
    library.send_data(1, b"early")


def test_a_stream_of_http2_is_a_tunnel() -> None:
    town = Both()
    speaker = Speaker()
    town.connect(end=speaker)
    spoken(town, ask, speaker)
    [far] = town.fars
    assert far.got == b"early"
    assert dict(speaker.of(ResponseReceived)[0].headers) == {":status": "200"}
    town.act(far, "write", b"down")
    spoken(town, lambda library: library.send_data(1, b"up"), speaker)
    assert (speaker.got, far.got) == (b"down", b"earlyup")
    spoken(town, lambda library: library.end_stream(1), speaker)
    assert far.events == ["end"]
    town.act(far, "write", b"late")
    town.act(far, "loseConnection")
    assert speaker.got == b"downlate"
    assert len(speaker.of(StreamEnded)) == 1
    assert speaker.events == [], "the connection goes on"
    town.settled()


@pytest.mark.parametrize("who", ["client", "far", "neither"])
def test_a_tunnel_of_http2_that_is_reset_or_refused(who: str) -> None:
    town = Both(denied=(FAR,) if who == "neither" else ())
    speaker = Speaker()
    town.connect(end=speaker)
    spoken(town, ask, speaker)
    if who == "client":
        spoken(town, lambda library: library.reset_stream(1), speaker)
        assert town.fars[0].events == ["lost"]
    elif who == "far":
        town.act(town.fars[0], "abortConnection")
        assert len(speaker.of(StreamReset)) == 1
    else:
        assert dict(speaker.of(ResponseReceived)[0].headers)[":status"] == "403"
        assert speaker.of(StreamEnded)
    assert speaker.events == []
    town.settled()


def test_a_far_side_that_does_not_read_closes_the_window_of_its_stream() -> None:
    town = Both(http=HTTPLimits(window=65_536, connection_window=1 << 22))
    town.far_reads = False
    speaker = Speaker()
    town.connect(end=speaker)
    spoken(town, ask, speaker)
    sent = 0
    for _ in range(200):
        room = min(speaker.library.local_flow_control_window(1), 16_384)
        if room:
            spoken(town, lambda library: library.send_data(1, b"x" * room), speaker)  # noqa: B023  called at once
            sent += room
    assert 100_000 < sent < 1_500_000
    assert speaker.library.local_flow_control_window(1) == 0
    town.act(town.fars[0], "resumeProducing")
    assert len(town.fars[0].got) == sent + len(b"early")
    assert speaker.library.local_flow_control_window(1) > 0


# Addresses


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("127.0.0.1", False), ("127.9.9.9", False), ("::1", False),
        ("0.0.0.0", False), ("::", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False),
        ("169.254.169.254", False), ("fe80::1", False), ("fe80::1%eth0", False), ("fd00::1", False), ("100.64.0.1", False),
        ("224.0.0.1", False), ("ff02::1", False), ("255.255.255.255", False), ("192.0.2.1", False), ("2001:db8::1", False),
        ("::ffff:127.0.0.1", False), ("::ffff:93.184.216.34", True), ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False),
        ("64:ff9b::5db8:d822", True), ("nonsense", False), ("10.99.0.1", True), ("::ffff:10.99.0.1", True),
    ],
)  # fmt: skip
def test_addresses_that_are_everybodys(address: str, permitted: bool) -> None:
    destinations = Destinations((ip_network("10.99.0.0/16"),), (), ((443, 443),), ())
    assert destinations.permits(Place(False, "a.test", 80), address) is permitted


def test_servers_of_our_own_choice_are_where_they_are() -> None:
    own = Place(False, "origin.test", 8080, own=True)
    destinations = Destinations((), (), (), ())
    assert destinations.permits(own, "127.0.0.1")
    assert not destinations.permits(Place(False, "origin.test", 8080), "127.0.0.1")


@pytest.mark.parametrize(("port", "actual"), [(443, 10443), (10443, 10443), (444, None), (20443, None)])
def test_standard_ports_of_a_world_that_shifts_them(port: int, actual: int | None) -> None:
    destinations = Destinations((), (), ((443, 443),), (), lambda each: each + 10_000, lambda each: each - 10_000)
    found = destinations.tunnel("a.test", port)
    assert (found.port if isinstance(found, Place) else None) == actual
