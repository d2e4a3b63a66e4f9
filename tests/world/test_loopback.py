"""Worlds on loopback: the chapter's message counts, two worlds side by side, ports in use, certificates kept."""

import os
import signal
import socket
import subprocess
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from netstack.kernel.disk import RealDisk
from netstack.kernel.resolver import NameNotFound
from netstack.world.addresses import Parameters, addresses
from netstack.world.generated import generated_world
from netstack.world.loader import find, load, parse
from netstack.world.loopback import LoopbackOptions, NetworkLock, bring_up, standard_ports_are_free
from netstack.world.model import World
from netstack.world.problems import WorldError
from netstack.world.running import BringUpError, Running
from tests.addresses import own_address
from tests.processes import PATIENCE, ROOT, running, twistd
from tests.processes import Running as Process


@asynccontextmanager
async def up(world: World | str, state: Path, **options: Any) -> AsyncIterator[Running]:
    loaded = load(world) if isinstance(world, str) else world
    run = await bring_up(loaded, LoopbackOptions(**{"state_directory": state, "port_offset": 10_000} | options))
    try:
        yield run
    finally:
        await run.stop()


async def messages(run: Running, host: str, name: str = "gaia.cs.umass.edu") -> list[tuple[str, str]]:
    """The messages of one look-up."""
    run.journal.clear()
    run.journal.enable(*run.hosts)
    found = await run.hosts[host].machine.resolver.addresses(name)
    assert sorted(found) == sorted(run.table.hosts[name])
    return [(row.source_name, row.destination_name) for row in run.journal]


@pytest.mark.parametrize(("world", "cold"), [("textbook", 8), ("intermediate", 10), ("small", 8)])
@pytest_twisted.ensureDeferred
async def test_messages_of_the_chapters_look_up(world: str, cold: int, tmp_path: Path) -> None:
    async with up(world, tmp_path) as run:
        first = await messages(run, "cse.nyu.edu")
        assert len(first) == cold
        assert first[0] == ("cse.nyu.edu", "dns.nyu.edu")
        assert first[-1] == ("dns.nyu.edu", "cse.nyu.edu")
        assert first[1][1] in run.world.roots()
        assert first[3][1] == "a.edu-servers.net"
        assert await messages(run, "apricot.nyu.edu") == [
            ("apricot.nyu.edu", "dns.nyu.edu"),
            ("dns.nyu.edu", "apricot.nyu.edu"),
        ]
        assert run.flush() > 0
        assert len(await messages(run, "cse.nyu.edu")) == cold


@pytest_twisted.ensureDeferred
async def test_every_name_resolves_from_every_site(tmp_path: Path) -> None:
    async with up("textbook", tmp_path) as run:
        world = run.world
        for host in ("cis.poly.edu", "alice.crepes.fr"):
            for name in (name for one in world.hosts.values() for name in (one.name, *one.aliases)):
                home = world.zone_of(name)
                if home is not None and not home.delegated:
                    with pytest.raises(NameNotFound):
                        await run.hosts[host].machine.resolver.addresses(name)
                    continue
                found = await run.hosts[host].machine.resolver.addresses(name)
                assert sorted(found) in [sorted(addresses) for addresses in run.table.hosts.values()], name


@pytest_twisted.ensureDeferred
async def test_status(tmp_path: Path) -> None:
    async with up("small", tmp_path, name="lecture") as run:
        status = run.status()
        assert (status["world"], status["substrate"], status["seed"]) == ("lecture", "loopback", 1)
        assert status["ca"] == str(tmp_path / "ca" / "ca.pem")
        assert list(status["hosts"]) == list(run.world.hosts)
        gaia = status["hosts"]["gaia.cs.umass.edu"]
        assert (gaia["state"], gaia["site"]) == ("ready", "umass")
        (service,) = gaia["services"]
        address = run.table.first("gaia.cs.umass.edu")
        assert service["plugin"] == "netstack-origin"
        assert service["endpoints"] == [
            {"transport": "tcp", "address": address, "port": 10_080, "tls": False},
            {"transport": "tcp", "address": address, "port": 10_443, "tls": True},
        ]
        head, _, body = (await deferToThread(ask, address, 10_080, b"GET / HTTP/1.0\r\n\r\n")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"<h1>gaia.cs.umass.edu</h1>" in body
        ready = await deferToThread(ask, address, 19_100, b"GET /readyz HTTP/1.0\r\n\r\n")
        assert service["health"] == f"http://{address}:19100/readyz"
        assert ready.startswith(b"HTTP/1.1 200 ")
    assert {host["state"] for host in run.status()["hosts"].values()} == {"down"}


def ask(address: str, port: int, request: bytes) -> bytes:
    with socket.create_connection((address, port), timeout=10) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest_twisted.ensureDeferred
async def test_two_worlds_side_by_side(tmp_path: Path) -> None:
    async with up("small", tmp_path / "a", name="a") as one, up("small", tmp_path / "b", name="b") as two:
        assert one.table.network != two.table.network
        for run in (one, two):
            assert len(await messages(run, "cse.nyu.edu")) == 8


@pytest_twisted.ensureDeferred
async def test_a_link_is_changed_while_the_world_runs(tmp_path: Path) -> None:
    async with up("small", tmp_path) as run:
        cse = run.hosts["cse.nyu.edu"].machine

        async def seconds(most: float) -> float:
            """Of several the first below `most`, else the least, for the machine may have other work."""
            took: list[float] = []
            while len(took) < 20 and not (took and took[-1] < most):
                run.flush()
                start = cse.reactor.seconds()
                await cse.resolver.addresses("gaia.cs.umass.edu")
                took.append(cse.reactor.seconds() - start)
            return min(took)

        assert await seconds(0.15) < 0.15
        run.links.change("umass", delay=0.1)
        assert 0.2 <= await seconds(0.35) < 0.35
        run.links.change("umass", delay=0.0)
        assert await seconds(0.15) < 0.15


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_a_clear_error_and_nothing_is_half_up(tmp_path: Path) -> None:
    world = load("small")
    lock = NetworkLock.take(200)
    number = lock.number
    lock.release()
    table = addresses(world, "loopback", Parameters(number))
    taken = socket.socket()
    taken.bind((table.first("dns.nyu.edu"), 10_053))
    taken.listen()
    options = LoopbackOptions("busy", number, 10_000, tmp_path)
    before = reactor.getDelayedCalls()  # type: ignore[attr-defined]
    with pytest.raises(BringUpError) as raised:
        await bring_up(world, options)
    assert str(raised.value) == (
        f"cannot listen on tcp:10053:interface={table.first('dns.nyu.edu')} for dns.nyu.edu: "
        "Address already in use; another process listens there: stop it or choose another port or address"
    )
    for name, found in table.hosts.items():
        for port in (10_053, 10_080, 10_443, 19_100):
            if (name, port) != ("dns.nyu.edu", 10_053):
                with socket.socket() as probe:
                    assert probe.connect_ex((found[0], port)) != 0, (name, port)
    assert len(reactor.getDelayedCalls()) <= len(before)  # type: ignore[attr-defined]
    taken.close()
    run = await bring_up(world, options)
    assert len(await messages(run, "cse.nyu.edu")) == 8
    await run.stop()


@pytest.mark.parametrize(
    ("section", "name", "changes", "expected"),
    [
        (
            "hosts",
            "www.nyu.edu",
            {"services": {"origin": {"content": "news"}}},
            "content: unknown content 'news'; expected plain",
        ),
        ("hosts", "www.nyu.edu", {"services": {"origin": {"sever": 1}}}, "sever: unknown option; expected .*listen"),
        ("zones", "x.nyu.edu", {"site": "nyu", "records": "www MX ten"}, "cannot build dns.x.nyu.edu: zone x.nyu.edu: line"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_only_the_services_can_judge(
    section: str, name: str, changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    table = tomllib.loads(find("small").read_text())
    table[section][name] = changes
    with pytest.raises((BringUpError, WorldError), match=expected):
        await bring_up(parse(table), LoopbackOptions(port_offset=10_000, state_directory=tmp_path))


@pytest_twisted.ensureDeferred
async def test_a_network_is_held_by_one_world(tmp_path: Path) -> None:
    async with up("small", tmp_path) as run:
        number = int(run.table.network.split(".")[1])
        with pytest.raises(BringUpError, match=rf"127\.{number}\.0\.0/16 is held by another world"):
            NetworkLock.take(number, only=True)
    NetworkLock.take(number, only=True).release()


@pytest_twisted.ensureDeferred
async def test_certificates_are_issued_once(tmp_path: Path) -> None:
    async with up("small", tmp_path):
        first = certificates(tmp_path)
    assert {"ca.pem", "ca.key", "leaf.pem", "leaf.key", "stamp"} <= {file.name for file in first}
    async with up("small", tmp_path):
        assert certificates(tmp_path) == first
    (tmp_path / "ca/ca.pem").unlink()
    async with up("small", tmp_path):
        other = certificates(tmp_path)
    assert all(other[file] != first[file] for file in first if file.suffix == ".pem")


def certificates(state: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for folder in ("ca", "hosts/*/tls") for file in state.glob(f"{folder}/*")}


@pytest_twisted.ensureDeferred
async def test_directories_above_the_hosts_are_synced_once_for_all(tmp_path: Path) -> None:
    """Each host for itself they would be half of the syncs of a world that comes up."""
    async with up("small", tmp_path) as run:
        disks = [host.machine.disk for host in run.hosts.values()]
    (above,) = {disk._above for disk in disks if isinstance(disk, RealDisk)}
    assert above is not None
    assert above.root == str(tmp_path)
    assert {disk.root for disk in disks if isinstance(disk, RealDisk)} == {f"{tmp_path}/hosts/{name}" for name in run.hosts}


@pytest_twisted.ensureDeferred
async def test_some_hosts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its network follows from its name: kept apart from other tests' worlds by a directory of locks and by ports.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    async with up("small", tmp_path, hosts=("gaia.cs.umass.edu",), port_offset=17_000) as run:
        assert list(run.hosts) == ["gaia.cs.umass.edu"]
    with pytest.raises(BringUpError, match=r"there is no host moon\.test in small"):
        await bring_up(load("small"), LoopbackOptions(hosts=("moon.test",), state_directory=tmp_path))


@pytest_twisted.ensureDeferred
async def test_a_generated_world(tmp_path: Path) -> None:
    async with up(generated_world(30), tmp_path) as run:
        assert len(run.hosts) == 30
        assert len(await messages(run, "host5.site1.test", "www0.site2.test")) == 8


def test_the_tap_brings_up_a_world(tmp_path: Path) -> None:
    """As a process of its own; killed outright, it leaves nothing in the way of the next."""
    options = ("--world", "small", "--name", "tap", "--port-offset", "10000", "--state", str(tmp_path))
    arguments = twistd("netstack-internet", *options)
    first = Process(arguments, {**os.environ, "PYTHONPATH": str(ROOT)})
    first.wait_for("serves HTTP", 2)
    line = next(line for line in first.lines if "serves HTTP" in line)
    arguments = (*arguments, "--network", line.partition("interface=127.")[2].partition(".")[0])
    first.process.send_signal(signal.SIGKILL)
    first.process.wait(PATIENCE)
    with running(*arguments, ready="serves HTTP", count=2):
        other = (*arguments, "--name", "other")
        refused = subprocess.run(other, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
        assert refused.returncode == 1
        assert "] netstack-internet: 127." in refused.stdout.splitlines()[-1]
        assert ".0.0/16 is held by another world: stop one" in refused.stdout.splitlines()[-1]
        assert "Traceback" not in refused.stdout + refused.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--world", "nowhere"), "nowhere: there is no such world"),
        (("--host", "moon.test"), "--host moon.test: there is no such host in textbook"),
        (("--substrate", "kubernetes"), "--substrate kubernetes needs --host"),
        (("--substrate", "moon"), "expected loopback, namespaces or kubernetes"),
        (("--name", "../elsewhere"), "--name ../elsewhere: expected letters, digits, - and _"),
        (("--port-offset", "x"), "--port-offset x: expected a whole number from 0 to 32000"),
    ],
)
def test_bad_options_of_the_tap(arguments: tuple[str, ...], expected: str) -> None:
    from twisted.python.usage import UsageError

    from netstack.world.tap import Options

    with pytest.raises(UsageError) as raised:
        Options().parseOptions(list(arguments))  # type: ignore[no-untyped-call]
    assert expected in str(raised.value)


def test_standard_ports_that_another_program_holds_are_not_free() -> None:
    """A resolver or Web server of the machine that listens on all addresses is in the way of every host."""
    address = own_address()
    free = standard_ports_are_free(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        if free:
            other.bind((address, 53))
        assert not (free and standard_ports_are_free(address))
    assert standard_ports_are_free(address) == free
