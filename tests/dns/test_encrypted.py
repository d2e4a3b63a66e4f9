"""Servers that are asked over TLS: how options name them, and a resolver of a simulated world that forwards to one."""

from typing import Any

import dns.message
import pytest
from dns.edns import OptionType
from dns.rcode import Rcode
from twisted.internet.task import deferLater
from twisted.python import usage

from netstack.dns import StubResolver, query
from netstack.dns.access import name_of
from netstack.dns.doh import MEDIA, target
from netstack.dns.engine import ClientStream
from netstack.dns.events import ReplyReceived, SendQuery
from netstack.dns.forwarders import Forwarder
from netstack.dns.streams import Server
from netstack.http import fetch
from netstack.kernel.listen import connect_stream
from netstack.kernel.metrics import traffic
from netstack.kernel.roles import Connection
from netstack.sansio import Event
from netstack.taps import resolver as resolver_tap
from netstack.taps.changing import Changing, Peer
from netstack.world.loader import parse
from netstack.world.session import Session, open_session

HOST, RESOLVER, UPSTREAM, SERVER = "host.lan.edu", "resolver.lan.edu", "resolver.isp.edu", "ns.lan.edu"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.1", ("10.0.0.1", "udp", "10.0.0.1", 0, "", "")),
        ("2001:db8::1", ("2001:db8::1", "udp", "2001:db8::1", 0, "", "")),
        ("tls://10.0.0.1#dns.test", ("", "tls", "10.0.0.1", 853, "dns.test", "")),
        ("tls://10.0.0.1:8853#dns.test.", ("", "tls", "10.0.0.1", 8853, "dns.test", "")),
        ("tls://[2001:db8::1]:8853#dns.test", ("", "tls", "2001:db8::1", 8853, "dns.test", "")),
        ("https://dns.test/dns-query@10.0.0.1", ("", "https", "10.0.0.1", 443, "dns.test", "/dns-query")),
        ("https://dns.test:8443/@[2001:db8::1]", ("", "https", "2001:db8::1", 8443, "dns.test", "/")),
        *((wrong, None) for wrong in (
            "", "dns.test", "tls://10.0.0.1", "tls://dns.test#dns.test", "tls://10.0.0.1#", "tls://10.0.0.1/x#dns.test",
            "tls://10.0.0.1:0x#dns.test", "https://dns.test/dns-query", "https://dns.test/?x@10.0.0.1", "http://dns.test/@10.0.0.1",
            "tls://user@10.0.0.1#dns.test", "https://@10.0.0.1",
        )),
    ],
)  # fmt: skip
def test_forwarders(text: str, found: tuple[Any, ...] | None) -> None:
    if found is None:
        with pytest.raises(ValueError, match="expected ADDRESS"):
            Forwarder.parse(text)
    else:
        assert Forwarder.parse(text) == Forwarder(text, *found[1:])


def test_forwarding_over_tls_needs_a_ca() -> None:
    options = resolver_tap.Options()
    with pytest.raises(usage.UsageError, match="needs --trust"):
        options.parseOptions(["--forward", "tls://10.0.0.1#dns.test"])


def world(forward: str, upstream: dict[str, Any] | None = None) -> Session:
    """A resolver at home that forwards to the one of an ISP."""
    table = {
        "sites": {"core": {"resolver": False}, "lan": {"resolver": RESOLVER}, "isp": {"resolver": UPSTREAM}},
        "zones": {".": {"site": "core", "servers": ["a.root"]}, "root": {"servers": ["a.root"]},
                  "edu": {"site": "core", "servers": ["ns.edu"]},
                  "lan.edu": {"site": "core", "servers": [SERVER], "records": "www.cs A 10.9.9.9\n"
                              + "".join(f"large TXT \"{number}{'x' * 200}\"\n" for number in range(100))}},
        "hosts": {RESOLVER: {"site": "lan", "services": {"resolver": {"forward": [forward]}}}, HOST: {"site": "lan"},
                  UPSTREAM: {"site": "isp", "services": {"resolver": upstream or {}}}},
    }  # fmt: skip
    internet = open_session(parse(table), "simulated", seed=5)
    internet.record()
    return internet


def between(internet: Session) -> list[tuple[str, int, bool]]:
    """Messages between the two resolvers: transport, the upstream's port, whether it was under TLS."""
    return [
        (row.transport, row.destination[1] if row.source_name == RESOLVER else row.source[1], row.secure)
        for row in internet.rows()
        if {row.source_name, row.destination_name} == {RESOLVER, UPSTREAM}
    ]


def test_a_resolver_asks_its_forwarder_over_one_stream() -> None:
    with world(f"tls://{UPSTREAM}") as internet:
        for name in ("www.cs.lan.edu", "cs.lan.edu", "x.lan.edu", "ns.edu"):
            internet.resolve(name, host=HOST)
        assert internet.resolve("www.cs.lan.edu", host=HOST).records == ("10.9.9.9",)
        assert between(internet) == [("tcp", 853, True)] * 8
        assert len(internet.resolve("large.lan.edu", "TXT", host=HOST).records) == 100
        assert sampled(internet, "netstack_dns_tls_handshakes_total", role="client") == 1
        assert sampled(internet, "netstack_dns_resolver_queries_total", proto="tls") == 5
        assert sampled(internet, "netstack_dns_resolver_streams_reused_total") == 4


def sampled(internet: Session, name: str, **labels: str) -> float | None:
    found: float | None = internet.running.hosts[RESOLVER].machine.registry.get_sample_value(name, labels)
    return found


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        ("tls://{}#www.lan.edu", "www.lan.edu: its certificate is for another name"),
        ("tls://{}:854#" + UPSTREAM, "refused"),
        ("tls://{}:53#" + UPSTREAM, "servers of .: "),
        ("https://www.lan.edu/dns-query@{}", "www.lan.edu: its certificate is for another name"),
        ("https://" + UPSTREAM + ":444/dns-query@{}", "refused"),
        ("https://" + UPSTREAM + "/other@{}", "no DNS message but HTTP 404"),
    ],
)
def test_a_forwarder_that_is_not_proved_is_not_asked_in_the_clear(forward: str, why: str) -> None:
    with world(f"tls://{UPSTREAM}") as known:
        address = known.running.table.hosts[UPSTREAM][0]
    with world(forward.format(address)) as internet:
        resolver = internet.running.table.hosts[RESOLVER][0]

        async def ask(machine: Any) -> Any:
            return await query(machine, (resolver, 53), "www.cs.lan.edu", attempts=1, patience=60)

        reply = internet.ask(HOST, ask)
        assert reply.rcode() == Rcode.SERVFAIL
        [error] = [option for option in reply.options if option.otype == OptionType.EDE]
        assert error.code == 22
        assert why in error.text
        assert all(secure for _, _, secure in between(internet))
        service: Any = internet.running.hosts[RESOLVER].services[0].service
        assert service.recursor.counts.queries_udp == service.recursor.counts.queries_tcp == 0


def test_a_stub_resolver_may_trust_one_server_alone() -> None:
    with world(f"tls://{UPSTREAM}") as internet:
        address = internet.running.table.hosts[UPSTREAM][0]

        async def ask(machine: Any) -> Any:
            stub = StubResolver(machine, [Server(address, 853, UPSTREAM)], types=("A",))
            found = [await stub.addresses("www.cs.lan.edu"), await stub.addresses("ns.edu")]
            stub.streams.close()
            return found

        [found, _] = internet.ask(HOST, ask)
        assert found == ["10.9.9.9"]
        assert {(row.transport, row.secure) for row in internet.rows() if row.source_name == HOST} == {("tcp", True)}


def test_a_resolver_asks_its_forwarder_over_https() -> None:
    with world(f"https://{UPSTREAM}") as internet:
        for name in ("www.cs.lan.edu", "cs.lan.edu", "x.lan.edu", "ns.edu"):
            internet.resolve(name, host=HOST)
        assert internet.resolve("www.cs.lan.edu", host=HOST).records == ("10.9.9.9",)
        assert len(internet.resolve("large.lan.edu", "TXT", host=HOST).records) == 100
        assert set(between(internet)) == {("tcp", 443, True)}
        assert sampled(internet, "netstack_dns_resolver_queries_total", proto="https") == 5
        machine = internet.running.hosts[UPSTREAM].machine
        assert machine.registry.get_sample_value("netstack_http_requests_total", {"method": "GET", "code": "200"}) == 5
        labels = {"server": "resolver", "proto": "https", "family": "1", "type": "A"}
        assert machine.registry.get_sample_value("netstack_dns_requests_total", labels) == 4


QUERY = dns.message.make_query("www.cs.lan.edu", "A", id=0, use_edns=0, pad=128).to_wire()
DNS = ("Content-Type", MEDIA)


@pytest.mark.parametrize(
    ("method", "place", "fields", "body", "status"),
    [
        ("GET", target("/dns-query", QUERY), (), b"", 200),
        ("HEAD", target("/dns-query", QUERY), (), b"", 200),
        ("POST", "/dns-query", (DNS,), QUERY, 200),
        ("POST", "/dns-query", (("Content-Type", "text/plain"),), QUERY, 415),
        ("POST", "/dns-query", (DNS,), bytes(65536), 413),
        ("POST", "/dns-query", (DNS,), QUERY[:5], 400),
        ("POST", "/dns-query", (DNS,), QUERY[:2] + b"\x81" + QUERY[3:], 400),
        ("GET", "/dns-query", (), b"", 400),
        ("GET", "/dns-query?dns=" + "A" * 9000, (), b"", 414),
        ("GET", "/", (), b"", 404),
        ("DELETE", "/dns-query", (), b"", 405),
    ],
)
def test_requests_over_https(method: str, place: str, fields: tuple[tuple[str, str], ...], body: bytes, status: int) -> None:
    with world(f"tls://{UPSTREAM}") as internet:

        async def get(machine: Any) -> Any:
            return await fetch(machine, f"https://{UPSTREAM}{place}", method, fields, body)

        found = internet.ask(HOST, get)
        assert found.status == status
        if status == 405:
            assert found.field("allow") == "GET, HEAD, POST"
        if status != 200:
            return
        assert found.field("content-type") == MEDIA
        assert found.field("cache-control") == "max-age=172800"
        assert found.field("content-length") == "468"
        if method == "HEAD":
            assert found.body == b""
        else:
            reply = dns.message.from_wire(found.body)
            assert (reply.id, str(reply.answer[0][0])) == (0, "10.9.9.9")


def test_nothing_is_asked_in_the_clear_instead() -> None:
    hints = (("a.root-servers.net", "10.0.0.9"),)
    with pytest.raises(ValueError, match="forward_first: expected no tls"):
        resolver_tap.Config(hints, forward=("tls://10.0.0.1#dns.test",), forward_first=True)


def test_primaries_over_tls() -> None:
    assert Peer.parse("tls://10.0.0.1#dns.test%key") == Peer("10.0.0.1", 853, name_of("key"), "dns.test")
    assert Peer.parse("tls://[2001:db8::1]:8853#dns.test") == Peer("2001:db8::1", 8853, None, "dns.test")
    with pytest.raises(ValueError, match="expected ADDRESS"):
        Peer.parse("tls://10.0.0.1")
    with pytest.raises(ValueError, match="notify: edu: expected no tls"):
        Changing(notify=(("edu", "tls://10.0.0.1#dns.test"),))


class Client:
    """The role of a client's connection."""

    def __init__(self) -> None:
        self.replies = 0
        self.why: str | None = None

    def handle(self, event: Event, connection: Connection) -> None:
        self.replies += isinstance(event, ReplyReceived)

    def lost(self, reason: str) -> None:
        self.why = reason


def test_clients_over_tls_are_bounded_and_may_leave_as_they_like() -> None:
    """Three where two may be; then one that resets its connection in the middle, and one that rests too long."""
    with world(f"tls://{UPSTREAM}", {"server_limits": {"tcp-connections": 2, "tcp-idle": 3}}) as internet:
        address, upstream = internet.running.table.hosts[UPSTREAM][0], internet.running.hosts[UPSTREAM].machine

        async def script(machine: Any) -> Any:
            clients = [Client() for _ in range(3)]
            drivers = []
            for client in clients:
                counted = traffic(machine.registry, "dns", "client")
                connecting = connect_stream(
                    machine, address, 853, "dns", ClientStream(), client, counted, tls_name=UPSTREAM, alpn=("dot",)
                )
                try:
                    drivers.append(await connecting)
                except Exception:
                    drivers.append(None)
            first, second, third = drivers
            assert (first is None, second is None, third is None) == (False, False, True)
            first.send(SendQuery(QUERY))
            second.send(SendQuery(QUERY[:20]))
            second.abort()
            await deferLater(machine.reactor, 2)
            active = upstream.registry.get_sample_value("netstack_dns_connections_active", {"role": "server"})
            await deferLater(machine.reactor, 10)
            return clients[0].replies, active, clients[0].why

        replies, active, why = internet.ask(HOST, script)
        assert (replies, active, why) == (1, 1, "closed")
        sample = upstream.registry.get_sample_value
        assert sample("netstack_dns_connections_active", {"role": "server"}) == 0
        assert sample("netstack_dns_tls_handshakes_total", {"role": "server"}) == 2
        assert sample("netstack_dns_connections_refused_total", {"role": "server"}) == 1
