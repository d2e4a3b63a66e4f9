"""The tripwire run: every service of the default world does its work while nothing outside of its Machine can be reached."""

from collections.abc import Iterator
from typing import Any

import dns.message
import pytest

from netstack.http.client import HTTPClient
from netstack.http.jar import Jar
from netstack.kernel.machine import Machine
from netstack.world.loader import load
from netstack.world.model import PLUGINS, without
from netstack.world.simulated.world import SimulatedWorld, bring_up
from tests.world.simulated.ends import Datagrams, End, Once

CLIENT = "cse.nyu.edu"


@pytest.fixture(scope="module")
def up() -> Iterator[SimulatedWorld]:
    """The textbook's world; an error in any of its hosts fails the test that runs then."""
    up = bring_up(load("textbook"), journal=True)
    yield up
    up.stop()


def address(up: SimulatedWorld, plugin: str) -> tuple[str, str]:
    """Name and address of a host that runs a plugin."""
    host, _ = next(iter(up.running.with_plugin(plugin)))
    return host.name, host.machine.address


async def query(machine: Machine, server: str, name: str, transport: str) -> Any:
    """The answer section's text, over one of the transports (RFC 7766)."""
    asked = dns.message.make_query(name, "A", id=77).to_wire()
    if transport == "udp":
        heard = Datagrams()
        socket: Any = machine.reactor.listenUDP(0, heard, machine.address)
        socket.write(asked, (server, 53))
        await heard.arrived
        await socket.stopListening()
        reply = heard.heard[0][0]
    else:
        end = End()
        machine.reactor.connectTCP(server, 53, Once(end))
        await end.made
        transport_of: Any = end.transport
        transport_of.write(len(asked).to_bytes(2, "big") + asked)
        reply = (await end.hears(2))[2:]
        transport_of.loseConnection()
        await end.lost
    return [rrset.to_text() for rrset in dns.message.from_wire(reply).answer]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("plugin", ["dns", "resolver"])
def test_name_servers(up: SimulatedWorld, plugin: str, transport: str) -> None:
    server = up.running.table.first("dns.umass.edu" if plugin == "dns" else "dns.nyu.edu")
    reply = up.ask(CLIENT, query, server, "gaia.cs.umass.edu", transport)
    assert up.running.table.first("gaia.cs.umass.edu") in str(reply)


async def get(machine: Machine, url: str) -> Any:
    from netstack.http.client import fetch

    return await fetch(machine, url)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_origin(up: SimulatedWorld, scheme: str) -> None:
    page = up.ask(CLIENT, get, f"{scheme}://www.someschool.edu/somedepartment/home.index")
    assert page.status == 200
    assert page.body.count(b"<img") == 10
    rows = [row for row in up.running.journal if row.protocol == "http"]
    assert [row.secure for row in rows[-2:]] == [scheme == "https"] * 2


async def shout(machine: Machine, server: str, transport: str) -> Any:
    from netstack.sockets.client import ask_datagram, ask_stream

    asking = ask_datagram if transport == "udp" else ask_stream
    return await asking(machine, server, 12000, b"hello")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_upper(up: SimulatedWorld, transport: str) -> None:
    _, server = address(up, "upper")
    assert up.ask(CLIENT, shout, server, transport) == b"HELLO"


def test_metrics_can_be_read_in_virtual_time(up: SimulatedWorld) -> None:
    from prometheus_client import generate_latest

    for host in up.running.hosts.values():
        text = up.ask(host.name, lambda machine: generate_latest(machine.registry))
        assert isinstance(text, bytes)


def test_every_plugin_was_there(up: SimulatedWorld) -> None:
    assert {service.plugin for host in up.running.hosts.values() for service in host.services} == set(PLUGINS)


def test_idle_services_do_not_tick() -> None:
    up = bring_up(without(load("textbook"), "ring"))  # whose nodes look after each other
    up.simulation.run(for_seconds=600)
    before = up.simulation.scheduler.events
    up.simulation.run(for_seconds=86400)
    assert up.simulation.scheduler.events - before < 100
    up.stop()


async def shopping(machine: Machine) -> list[int]:
    """Statuses of a visit to the chapter's shop and of its two forms."""
    jar = Jar()
    client = HTTPClient(machine, jar=jar)
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    found = [await client.fetch("https://www.bigshop.com/product/mug")]
    page = found[0].body.decode()
    token = page.partition('name="token" value="')[2].partition('"')[0]
    for path, text in (("cart", "product=mug"), ("account", "name=Susan&address=Here"), ("buy", f"once={'0' * 16}")):
        body = f"token={token}&{text}".encode()
        found.append(await client.fetch(f"https://www.bigshop.com/{path}", "POST", form, body))
    found.append(await client.fetch("http://www.somesite.com/animalsearch?monkeys&bananas"))
    found.append(await client.fetch("http://www.somesite.com/upload", "POST", form, b"animals=monkeys"))
    client.close()
    return [each.status for each in found]


def test_applications(up: SimulatedWorld) -> None:
    assert up.ask(CLIENT, shopping) == [200, 303, 303, 303, 200, 200]
