"""The two taps over real sockets: a small Internet on loopback, all ports shifted."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from dns.rcode import Rcode
from prometheus_client import generate_latest
from twisted.application.service import IServiceMaker
from twisted.internet.defer import maybeDeferred
from twisted.plugin import getPlugins
from twisted.python import usage

from netstack.dns import StubResolver, ZoneText, query
from netstack.dns.limits import ResolverLimits, ServerLimits
from netstack.dns.zone import ZoneError
from netstack.kernel.journal import Journal
from netstack.kernel.listen import ListenError
from netstack.kernel.machine import Machine
from netstack.kernel.real import real_machine
from netstack.kernel.resolver import NameNotFound, ResolutionError
from netstack.taps import dns as dns_tap
from netstack.taps import resolver as resolver_tap
from tests.addresses import own_address

OFFSET = 21000
SOA = "$TTL 2d\n@ SOA ns. hostmaster. 1 2h 1h 2w 1h\n"


class World:
    """Machines on addresses of their own with one journal."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.names: dict[str, str] = {}
        self.journal = Journal(names=lambda address: self.names.get(address, address), standard=lambda port: port - OFFSET)

    def machine(self, name: str) -> Machine:
        address = own_address()
        self.names[address] = name
        made = real_machine(name, (address,), self.directory / name, OFFSET, journal=self.journal)
        self.journal.enable(name)
        return made


def listen(machine: Machine) -> tuple[str, ...]:
    return (f"udp:53:interface={machine.address}", f"tcp:53:interface={machine.address}")


@asynccontextmanager
async def running(service: Any) -> AsyncIterator[Any]:
    service.startService()
    try:
        yield service
    finally:
        await maybeDeferred(service.stopService)


def authoritative(machine: Machine, *zones: tuple[str, str], **options: Any) -> Any:
    texts = tuple(ZoneText(origin, SOA + text) for origin, text in zones)
    return dns_tap.build(dns_tap.Config(texts, listen(machine), **options), machine)


@asynccontextmanager
async def textbook(world: World, **options: Any) -> AsyncIterator[tuple[Any, Machine, Machine]]:
    """Root, edu, umass.edu and a resolver: (its service, its machine, a client)."""
    root, edu, umass, local, client = (
        world.machine(name)
        for name in ("a.root-servers.net", "a.edu-servers.net", "dns.umass.edu", "dns.nyu.edu", "cse.nyu.edu")
    )
    many = "".join(f"many A 10.{n // 250}.{n % 250}.1\n" for n in range(300))
    services = [
        authoritative(
            root,
            (
                ".",
                f"@ NS a.root-servers.net.\na.root-servers.net. A {root.address}\n"
                f"edu. NS a.edu-servers.net.\na.edu-servers.net. A {edu.address}\n",
            ),
        ),
        authoritative(edu, ("edu", f"@ NS a.edu-servers.net.\numass NS dns.umass\ndns.umass A {umass.address}\n")),
        authoritative(umass, ("umass.edu", f"@ NS dns\ndns A {umass.address}\ngaia.cs A 10.1.2.3\n{many}")),
    ]
    config = resolver_tap.Config((("a.root-servers.net", root.address),), listen(local), profile="textbook", **options)
    service: Any = resolver_tap.build(config, local)
    async with AsyncExitStack() as stack:
        for each in (*services, service):
            await stack.enter_async_context(running(each))
        yield service, local, client


@pytest_twisted.ensureDeferred
async def test_eight_messages_then_two(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with textbook(world) as (service, local, client):
        stub = StubResolver(client, [(local.address, local.port(53))], types=("A",))
        for _ in range(2):
            assert await stub.addresses("gaia.cs.umass.edu") == ["10.1.2.3"]
            rows = [(row.source_name, row.destination_name, row.summary) for row in world.journal]
            assert rows == [
                ("cse.nyu.edu", "dns.nyu.edu", "A gaia.cs.umass.edu?"),
                ("dns.nyu.edu", "a.root-servers.net", "A gaia.cs.umass.edu?"),
                ("a.root-servers.net", "dns.nyu.edu", "referral to edu NS a.edu-servers.net"),
                ("dns.nyu.edu", "a.edu-servers.net", "A gaia.cs.umass.edu?"),
                ("a.edu-servers.net", "dns.nyu.edu", "referral to umass.edu NS dns.umass.edu"),
                ("dns.nyu.edu", "dns.umass.edu", "A gaia.cs.umass.edu?"),
                ("dns.umass.edu", "dns.nyu.edu", "A gaia.cs.umass.edu: 10.1.2.3"),
                ("dns.nyu.edu", "cse.nyu.edu", "A gaia.cs.umass.edu: 10.1.2.3"),
            ]
            world.journal.clear()
            assert await stub.addresses("gaia.cs.umass.edu") == ["10.1.2.3"]
            assert len(tuple(world.journal)) == 2
            world.journal.clear()
            service.flush()
        assert service.counters()["cache_hits"] == 2
        assert service.counters()["queries"] == 6


@pytest_twisted.ensureDeferred
async def test_truncation_leads_to_tcp_on_both_legs(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with textbook(world) as (service, local, client):
        stub = StubResolver(client, [(local.address, local.port(53))])
        assert len(await stub.records("many.umass.edu", "A")) == 300
        assert {row.transport for row in world.journal} == {"udp", "tcp"}
        assert service.recursor.counts.queries_tcp == 1
        with pytest.raises(NameNotFound):
            await stub.addresses("nowhere.umass.edu")
        assert await stub.records("gaia.cs.umass.edu", "TXT") == []


@pytest_twisted.ensureDeferred
async def test_strangers_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with textbook(world, allow=("10.0.0.0/8",)) as (service, local, client):
        server = (local.address, local.port(53))
        reply = await query(client, server, "gaia.cs.umass.edu")
        assert reply.rcode() == Rcode.REFUSED
        assert service.counters()["queries"] == 0
        with pytest.raises(ResolutionError, match="REFUSED") as error:
            await StubResolver(client, [server], attempts=1).addresses("gaia.cs.umass.edu")
        assert error.value.temporary


@pytest_twisted.ensureDeferred
async def test_silence_is_an_error_and_the_next_server_is_asked(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with textbook(world) as (_, local, client):
        nobody = (own_address(), local.port(53))
        stub = StubResolver(client, [nobody, (local.address, local.port(53))], types=("A",), patience=0.1)
        assert await stub.addresses("gaia.cs.umass.edu") == ["10.1.2.3"]
        with pytest.raises(ResolutionError, match="no reply"):
            await query(client, nobody, "gaia.cs.umass.edu", patience=0.05, attempts=2)
        with pytest.raises(ResolutionError, match="not a domain name"):
            await stub.addresses("a..b")
        assert await stub.addresses("10.0.0.1") == ["10.0.0.1"]


@pytest_twisted.ensureDeferred
async def test_metrics_are_shaped_as_coredns_has_them(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with textbook(world) as (_, local, client):
        await query(client, (local.address, local.port(53)), "gaia.cs.umass.edu")
        await query(client, (local.address, local.port(53)), "x.umass.edu", "TYPE4711")
        value = local.registry.get_sample_value
        assert value("netstack_dns_requests_total", {"server": "resolver", "proto": "udp", "family": "1", "type": "A"}) == 1
        labels = {"server": "resolver", "proto": "udp", "family": "1", "type": "other"}
        assert value("netstack_dns_requests_total", labels) == 1
        assert value("netstack_dns_responses_total", {"server": "resolver", "rcode": "NXDOMAIN"}) == 1
        assert value("netstack_dns_request_duration_seconds_count", {"server": "resolver"}) == 2
        assert value("netstack_dns_resolver_queries_total", {"proto": "udp"}) == 4
        assert value("netstack_dns_resolver_responses_total", {"rcode": "NXDOMAIN"}) == 1
        assert value("netstack_dns_resolver_query_duration_seconds_count") == 4
        assert value("netstack_dns_cache_entries") == 6
        assert b"netstack_dns_cache_hits_total 0.0" in generate_latest(local.registry)


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    machine = world.machine("ns")
    async with running(authoritative(machine, ("x", "@ NS ns.x.\n"))):
        with pytest.raises(ListenError, match=rf"udp:{53 + OFFSET}:interface={machine.address}"):
            authoritative(machine, ("x", "@ NS ns.x.\n")).startService()


def test_zone_files_come_from_the_machines_disk(tmp_path: Path) -> None:
    machine = real_machine("ns", ("127.0.0.1",), tmp_path)
    machine.disk.write("edu.zone", b"@ 60 NS ns\n")
    config = dns_tap.Config((dns_tap.ZoneFile("edu", "edu.zone"),))
    with pytest.raises(ZoneError, match=r"edu\.zone: zone edu: .*SOA"):
        dns_tap.build(config, machine)
    machine.disk.write("edu.zone", (SOA + "@ NS ns\n").encode())
    dns_tap.build(config, machine)


ZONE = ZoneText("edu", SOA + "@ NS ns\n")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dns_tap.Config(()), "zones: expected at least one"),
        (lambda: dns_tap.Config((ZONE, ZoneText("EDU.", ""))), "zones: edu is given more than once"),
        (lambda: dns_tap.Config((ZONE,), ()), "listen: expected at least one endpoint"),
        (lambda: dns_tap.Config((ZONE,), ("53",)), "listen: '53' is not an endpoint"),
        (lambda: dns_tap.Config((ZONE,), rotation="best"), "rotation: expected one of cyclic, random, fixed"),  # type: ignore[arg-type]
        (lambda: resolver_tap.Config(()), "hints: expected at least one"),
        (lambda: resolver_tap.Config((("a", "b"),)), "hints: a: expected an IP address, got 'b'"),
        (lambda: resolver_tap.Config((("a..b", "1.2.3.4"),)), "hints: expected a domain name"),
        (lambda: resolver_tap.Config((("a", "1.2.3.4"),), allow=("x",)), "allow: expected networks"),
        (lambda: resolver_tap.Config((("a", "1.2.3.4"),), profile="soft"), "profile: expected one of"),  # type: ignore[arg-type]
        (lambda: resolver_tap.Config((("a", "1.2.3.4"),), port=0), "port: expected"),
        (lambda: resolver_tap.Config((("a", "1.2.3.4"),), rotation="x"), "rotation: expected one of cyclic, fixed"),  # type: ignore[arg-type]
        (lambda: resolver_tap.Config((("a", "1.2.3.4"),), features=("no-x",)), "features: expected some of mixed-case"),
        (lambda: resolver_tap.Config((), forward=("edu=1.2.3.4",)), "hints: expected at least one"),
        (lambda: resolver_tap.Config((), forward=("edu",)), "forward: expected ADDRESS, tls:.*, got 'edu'"),
        (lambda: resolver_tap.Config((), forward=("a..b=1.2.3.4",)), "forward: expected a domain name"),
        (lambda: ResolverLimits(queries=0), "queries: expected a number above 0, got 0"),
        (lambda: ServerLimits(udp_payload=100), "udp_payload: expected 512 to 65535, got 100"),
    ],
)  # fmt: skip
def test_a_bad_configuration_names_its_field(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_options_of_the_authoritative_server(tmp_path: Path) -> None:
    path = tmp_path / "edu.zone"
    path.write_text(SOA + "@ NS ns\n")
    options = dns_tap.Options()
    options.parseOptions([f"--zone=edu={path}", "--listen=udp:5300", "--rotation=fixed", "--tcp-idle=2.5"])  # type: ignore[no-untyped-call]
    config = options.config()
    assert config == dns_tap.Config(tuple(options.zones), ("udp:5300",), "fixed", ServerLimits(tcp_idle=2.5))
    assert [(source.origin, source.file, source.read().remarks) for source in options.zones] == [("edu", "edu.zone", ())]
    for wrong in (
        ["--zone=edu"],
        [f"--zone=edu={path}x"],
        [f"--zone=com={tmp_path}"],
        [],
        [f"--zone=edu={path}", "--listen=x"],
    ):
        with pytest.raises(usage.UsageError):
            dns_tap.Options().parseOptions(wrong)  # type: ignore[no-untyped-call]
    path.write_text("@ 60 NS ns\n")
    with pytest.raises(usage.UsageError, match="SOA"):
        dns_tap.Options().parseOptions([f"--zone=edu={path}"])  # type: ignore[no-untyped-call]


def test_options_of_the_resolver(tmp_path: Path) -> None:
    hints = tmp_path / "named.root"
    hints.write_text(". 3600000 NS A.ROOT-SERVERS.NET.\nA.ROOT-SERVERS.NET. 3600000 A 198.41.0.4\n")
    options = resolver_tap.Options()
    options.parseOptions([f"--hints={hints}", "--hint=b=192.0.2.1", "--allow=10.0.0.0/8", "--max-queries=9"])  # type: ignore[no-untyped-call]
    config = options.config()
    assert config.hints == (("A.ROOT-SERVERS.NET", "198.41.0.4"), ("b", "192.0.2.1"))
    assert config.allow == ("10.0.0.0/8",)
    assert config.limits == ResolverLimits(queries=9)
    bounds = resolver_tap.Options()
    bounds.parseOptions(["--hint=b=192.0.2.1", "--max-resolutions=7", "--max-sockets=8", "--tcp-pipeline=9"])  # type: ignore[no-untyped-call]
    config = bounds.config()
    assert config.limits == ResolverLimits(resolutions=7, sockets=8)
    assert config.server_limits == ServerLimits(tcp_pipeline=9)
    forwarding = resolver_tap.Options()
    forwarding.parseOptions(["--forward=192.0.2.1", "--forward=edu=192.0.2.2", "--feature=no-prefetch", "--stale-wait=1"])  # type: ignore[no-untyped-call]
    config = forwarding.config()
    assert (config.hints, config.forward) == ((), ("192.0.2.1", "edu=192.0.2.2"))
    assert (config.features, config.limits) == (("no-prefetch",), ResolverLimits(stale_wait=1))
    for wrong in (
        [],
        ["--feature=x"],
        ["--forward=x"],
        ["--hint=a=b"],
        [f"--hints={tmp_path}"],
        [f"--hints={hints}", "--profile=x"],
    ):
        with pytest.raises(usage.UsageError):
            resolver_tap.Options().parseOptions(wrong)  # type: ignore[no-untyped-call]


def test_twistd_finds_the_plugins() -> None:
    found = {plugin.tapname: plugin.module for plugin in getPlugins(IServiceMaker)}
    assert found["netstack-dns"] == "netstack.taps.dns"
    assert found["netstack-resolver"] == "netstack.taps.resolver"


def test_a_connection_leaves_nothing_behind() -> None:
    config = dns_tap.Config((ZoneText("umass.edu", SOA + "@ NS ns.\n"),), ("tcp:53",))
    service: Any = dns_tap.build(config, real_machine("dns"))
    (listener,) = service.listeners
    watchers = len(service.authority.watchers)
    roles = [listener.factory.role() for _ in range(10)]
    assert len({id(role.plain) for role in roles}) == 1
    assert len(service.authority.watchers) == watchers
