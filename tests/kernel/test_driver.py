"""The stream driver on the real reactor, over loopback: other people's sockets at the other end."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from netstack.kernel.authority import Authority
from netstack.kernel.disk import RealDisk
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint, StreamListener, connect_stream
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import Traffic
from netstack.kernel.tls import HostTLS
from netstack.sansio import Event, StartTLS
from tests.kernel.echo import Asked, Do, EchoRole, LineEngine, Reply, come_to_pass, make_machine
from tests.processes import PATIENCE

WALL = 1_750_000_000.0


class Wire(Protocol):
    """The other end: raw octets, and waits for them."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: Failure | None = None
        self._waits: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._look()

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.lost = reason
        self._look()

    async def until(self, done: Callable[[], bool]) -> None:
        if not done():
            wait: Deferred[None] = Deferred()
            self._waits.append((done, wait))
            await wait.addTimeout(PATIENCE, reactor)

    async def says(self, end: bytes) -> bytes:
        await self.until(lambda: self.data.endswith(end) or self.lost is not None)
        assert self.data.endswith(end), self.data[-200:]
        data, self.data = self.data, b""
        return data

    async def closed(self) -> None:
        await self.until(lambda: self.lost is not None)

    def _look(self) -> None:
        for done, wait in tuple(self._waits):
            if done():
                self._waits.remove((done, wait))
                wait.callback(None)


class Server:
    """A listener of LineEngines with all that a test looks at."""

    def __init__(self, machine: Machine, kind: str = "tcp", timer: float | None = None, **options: Any) -> None:
        self.roles: list[EchoRole] = []
        self.engines: list[LineEngine] = []
        self.traffic = Traffic()
        self.machine = machine

        def engine() -> LineEngine:
            self.engines.append(LineEngine(timer))
            return self.engines[-1]

        def role() -> EchoRole:
            self.roles.append(EchoRole(machine.disk))
            return self.roles[-1]

        endpoint = Endpoint.parse(f"{kind}:0:interface=127.0.0.1")
        self.listener = StreamListener(machine, endpoint, "line", engine, role, self.traffic, **options)
        self.listener.startService()
        self.port: int = self.listener.port.getHost().port  # type: ignore[union-attr]

    async def connect(self) -> Wire:
        made: Deferred[Wire] = Deferred()

        class Once(Factory):
            def buildProtocol(self, addr: object) -> Wire:
                wire = Wire()
                wire.connectionMade = lambda: made.callback(wire)  # type: ignore[method-assign]
                return wire

            def startedConnecting(self, connector: object) -> None: ...
            def clientConnectionLost(self, connector: object, reason: object) -> None: ...
            def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
                made.errback(reason)

            noisy = False

        reactor.connectTCP("127.0.0.1", self.port, Once())  # type: ignore[attr-defined]
        return await made

    async def settle(self, done: Callable[[], bool]) -> None:
        """Let the reactor turn until the server's side shows it."""
        await come_to_pass(done)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(limits: StreamLimits | None = None, tls: Any = None, **options: Any) -> Server:
        disk = RealDisk(tmp_path)
        machine = make_machine(reactor, disk=disk, limits=limits, tls=tls)
        servers.append(Server(machine, **options))
        return servers[-1]

    yield make
    for server in servers:
        for driver in tuple(server.listener.factory.drivers):
            driver.abort("test over")
        stopped = server.listener.stopService()
        pytest_twisted.blockon(stopped)


@pytest_twisted.ensureDeferred
async def test_requests_and_replies(serve: Callable[..., Server]) -> None:
    server = serve()
    wire = await server.connect()
    wire.transport.write(b"echo one\n")
    assert await wire.says(b"\n") == b"one\n"
    wire.transport.write(b"echo two\necho three\necho ")
    assert await wire.says(b"three\n") == b"two\nthree\n"
    wire.transport.write(b"four\nclose\n")
    assert await wire.says(b"bye\n") == b"four\nbye\n"
    await wire.closed()
    await server.settle(lambda: server.traffic.active == 0)
    role = server.roles[0]
    assert role.lost_reason == "closed"
    assert role.ups[0].local == ("127.0.0.1", server.port)
    assert (server.traffic.connections, server.traffic.protocol_errors, server.traffic.timeouts) == (1, 0, 0)
    assert (server.traffic.received, server.traffic.sent) == (9 + 25 + 11, 4 + 10 + 9)


@pytest_twisted.ensureDeferred
async def test_pipelined_input_waits_while_a_request_is_in_hand(serve: Callable[..., Server]) -> None:
    server = serve()
    wire = await server.connect()
    wire.transport.write(b"slow\necho after\n")
    await server.settle(lambda: bool(server.roles and server.roles[0].seen))
    wire.transport.write(b"x" * 4_000_000)  # far more than the kernel takes: it stays with the peer
    await deferLater(reactor, 0.1)  # type: ignore[arg-type]
    role = server.roles[0]
    assert role.seen == [b"slow"]
    assert server.traffic.received <= 65536 * 2
    role.connection.send(Reply((b"done\n",)))
    await wire.until(lambda: wire.data.endswith(b"after\n"))
    assert wire.data == b"done\nafter\n"
    assert role.seen == [b"slow", b"echo after"]
    wire.transport.abortConnection()


@pytest_twisted.ensureDeferred
async def test_a_client_that_does_not_read_stops_us(serve: Callable[..., Server]) -> None:
    server = serve()
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", server.port))
        lazy.setblocking(False)
        sent = 0
        request = b"big 100000\n" * 20
        for _ in range(40):
            try:
                sent += lazy.send(request)
            except BlockingIOError:
                break
            await deferLater(reactor, 0.005)  # type: ignore[arg-type]
        driver = next(iter(server.listener.factory.drivers))
        await server.settle(lambda: not driver.writable)
        asked = len(server.roles[0].seen)
        await deferLater(reactor, 0.1)  # type: ignore[arg-type]
        assert len(server.roles[0].seen) == asked < sent // 11  # it reads no more
        held = driver._queued + len(driver.transport.dataBuffer) + driver.transport._tempDataLen  # type: ignore[union-attr]
        assert held < 600_000
        whole = sent // 11 * 100_000
        lazy.setblocking(False)
        got = 0

        async def read() -> None:
            nonlocal got
            while got < whole:
                try:
                    got += len(lazy.recv(1 << 20))
                except BlockingIOError:
                    await deferLater(reactor, 0.001)  # type: ignore[arg-type]

        await Deferred.fromCoroutine(read()).addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]
        assert got == whole
        assert server.roles[0].writables > 0


@pytest.mark.parametrize("size", [0, 1, 200_000, 5_000_000])
@pytest_twisted.ensureDeferred
async def test_files(serve: Callable[..., Server], tmp_path: Path, size: int) -> None:
    content = Random(1).randbytes(size)
    (tmp_path / "file").write_bytes(content)
    server = serve()
    wire = await server.connect()
    wire.transport.write(b"file %d\necho next\n" % size)
    await wire.until(lambda: len(wire.data) >= size + 7)
    assert wire.data == b"<" + content + b">next\n"
    assert server.traffic.sent == size + 7


@pytest_twisted.ensureDeferred
async def test_a_file_that_became_shorter_breaks_the_connection(serve: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    server = serve()
    wire = await server.connect()
    wire.transport.write(b"file 2000\n")
    await wire.closed()
    await server.settle(lambda: server.roles[0].lost_reason is not None)
    assert server.roles[0].lost_reason == "file changed"


@pytest_twisted.ensureDeferred
async def test_files_are_closed_when_the_peer_goes(serve: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 20_000_000)
    server = serve()
    opened: list[Any] = []
    plain = server.machine.disk.open
    server.machine.disk.open = lambda path: (opened.append(plain(path)), opened[-1])[1]  # type: ignore[method-assign]
    wire = await server.connect()
    wire.transport.pauseProducing()
    wire.transport.write(b"file 20000000\n")
    await server.settle(lambda: bool(opened))
    assert opened[0].fileno() >= 0
    wire.transport.abortConnection()
    await server.settle(lambda: server.roles[0].lost_reason is not None)
    assert opened[0].fileno() == -1


@pytest_twisted.ensureDeferred
async def test_half_close_of_ours(serve: Callable[..., Server]) -> None:
    server = serve()
    with socket.socket() as peer:
        peer.connect(("127.0.0.1", server.port))
        peer.setblocking(False)
        peer.send(b"fin\n")
        got: list[bytes] = []

        def read() -> bool:
            try:
                got.append(peer.recv(100))
            except BlockingIOError:
                return False
            return got[-1] == b""

        await server.settle(read)
        assert b"".join(got) == b"fin\n"
        peer.send(b"still heard\n")
        await server.settle(lambda: server.roles[0].seen[-1] == b"still heard")
        server.roles[0].connection.send(Reply(()))
        peer.shutdown(socket.SHUT_WR)
        await server.settle(lambda: server.roles[0].lost_reason == "closed")


@pytest_twisted.ensureDeferred
async def test_half_close_of_the_peers(serve: Callable[..., Server]) -> None:
    server = serve()
    wire = await server.connect()
    wire.transport.write(b"echo last")
    wire.transport.write(b"\n")
    wire.transport.loseWriteConnection()
    assert await wire.says(b"\n") == b"last\n"
    await wire.closed()
    await server.settle(lambda: server.roles[0].lost_reason == "closed")
    assert server.roles[0].ended


@pytest_twisted.ensureDeferred
async def test_an_error_reply_reaches_a_peer_that_is_still_sending(serve: Callable[..., Server]) -> None:
    server = serve()
    wire = await server.connect()
    wire.transport.write(b"big 300000\n! wrong\n" + b"more\n" * 200_000)
    await wire.closed()
    assert wire.data == b"x" * 300000 + b"error\n"
    assert wire.lost is not None
    assert wire.lost.type.__name__ == "ConnectionDone"  # and not a reset
    await server.settle(lambda: server.roles[0].lost_reason is not None)
    assert server.roles[0].lost_reason == "protocol error"
    assert server.traffic.protocol_errors == 1
    assert server.traffic.timeouts == 0


@pytest_twisted.ensureDeferred
async def test_a_last_reply_larger_than_the_socket_takes_arrives_whole(serve: Callable[..., Server]) -> None:
    server = serve()
    wire = await server.connect()
    wire.transport.pauseProducing()
    wire.transport.write(b"big 9000000\n! wrong\n" + b"more\n" * 1000)
    await server.settle(lambda: server.traffic.sent > 0 and server.roles[0].lost_reason is None)
    wire.transport.resumeProducing()
    await wire.closed()
    assert len(wire.data) == 9_000_006
    assert wire.data.endswith(b"xerror\n")
    assert wire.lost is not None
    assert wire.lost.type.__name__ == "ConnectionDone"


@pytest_twisted.ensureDeferred
async def test_the_last_octets_and_the_fin_come_together(serve: Callable[..., Server]) -> None:
    server = serve()
    with socket.socket() as peer:
        peer.connect(("127.0.0.1", server.port))
        for _ in range(3):
            assert peer.send(b"echo hello\n") == 11
            await server.settle(lambda: server.traffic.sent % 6 == 0 and server.traffic.sent > 0)
            assert peer.recv(100) == b"hello\n"
            server.traffic.sent = 0
        peer.send(b"close\n")
        await server.settle(lambda: server.traffic.sent == 4)
        assert (peer.recv(100), peer.recv(100)) == (b"bye\n", b"")  # blocks: the reactor does not turn between them
    await server.settle(lambda: server.roles[0].lost_reason == "closed")
    assert server.traffic.active == 0


@pytest_twisted.ensureDeferred
async def test_accepted_sockets_send_small_replies_at_once(serve: Callable[..., Server]) -> None:
    server = serve()
    wire = await server.connect()
    wire.transport.write(b"echo hello\n")
    await wire.says(b"hello\n")
    (driver,) = server.listener.factory.drivers
    assert driver.transport.getTcpNoDelay()
    assert driver.peer.local == ("127.0.0.1", server.port)
    assert driver.peer.remote == (wire.transport.getHost().host, wire.transport.getHost().port)


@pytest_twisted.ensureDeferred
async def test_a_peer_that_never_closes_is_left_after_a_while(serve: Callable[..., Server]) -> None:
    server = serve(StreamLimits(discard=0.1))
    with socket.socket() as peer:
        peer.connect(("127.0.0.1", server.port))
        peer.send(b"close\n")
        await server.settle(lambda: bool(server.roles) and server.roles[0].lost_reason is not None)
        assert server.roles[0].lost_reason == "closed"
        assert server.traffic.timeouts == 0
        assert peer.recv(100) == b"bye\n"


@pytest_twisted.ensureDeferred
async def test_a_peer_that_takes_nothing_is_reset_after_a_while(serve: Callable[..., Server]) -> None:
    server = serve(StreamLimits(linger=0.1))
    with socket.socket() as peer:
        peer.connect(("127.0.0.1", server.port))
        peer.send(b"big 20000000\n")
        await server.settle(
            lambda: bool(server.roles) and server.roles[0].lost_reason is None and bool(server.roles[0].seen)
        )
        server.roles[0].connection.close()
        await server.settle(lambda: server.roles[0].lost_reason is not None)
        assert server.roles[0].lost_reason == "timeout"
        assert server.traffic.timeouts == 1


@pytest_twisted.ensureDeferred
async def test_idle_connections_are_closed(serve: Callable[..., Server]) -> None:
    server = serve(StreamLimits(idle=0.1))
    wire = await server.connect()
    await wire.closed()
    await server.settle(lambda: server.roles[0].lost_reason == "timeout")
    assert server.traffic.timeouts == 1


@pytest_twisted.ensureDeferred
async def test_an_engines_timer(serve: Callable[..., Server]) -> None:
    server = serve(timer=0.05)
    wire = await server.connect()
    assert await wire.says(b"late\n") == b"late\n"
    await wire.closed()


@pytest_twisted.ensureDeferred
async def test_no_more_connections_than_the_limit(serve: Callable[..., Server]) -> None:
    server = serve(StreamLimits(connections=2))
    one, two = await server.connect(), await server.connect()
    await server.settle(lambda: server.traffic.active == 2)
    three = await server.connect()
    await three.closed()
    assert server.traffic.refused == 1
    one.transport.loseConnection()
    await server.settle(lambda: server.traffic.active == 1)
    four = await server.connect()
    four.transport.write(b"echo in\n")
    assert await four.says(b"\n") == b"in\n"
    two.transport.write(b"echo too\n")
    assert await two.says(b"\n") == b"too\n"


@pytest_twisted.ensureDeferred
async def test_abort_is_a_reset(serve: Callable[..., Server]) -> None:
    server = serve()
    wire = await server.connect()
    wire.transport.write(b"abort\n")
    await wire.closed()
    assert wire.lost is not None
    assert wire.lost.type.__name__ == "ConnectionLost"
    await server.settle(lambda: server.roles[0].lost_reason == "aborted")


@pytest_twisted.ensureDeferred
async def test_a_reset_by_the_peer(serve: Callable[..., Server]) -> None:
    server = serve()
    wire = await server.connect()
    wire.transport.write(b"echo x\n")
    await wire.says(b"\n")
    wire.transport.abortConnection()
    await server.settle(lambda: server.roles[0].lost_reason == "reset")
    server.roles[0].connection.send(Reply((b"too late",)))
    assert server.traffic.active == 0


@pytest_twisted.ensureDeferred
async def test_drain(serve: Callable[..., Server]) -> None:
    server = serve(grace=0.2)
    polite, stubborn = await server.connect(), await server.connect()
    await server.settle(lambda: server.traffic.active == 2)
    server.roles[1].drain = lambda connection: None  # type: ignore[attr-defined]
    stopped = server.listener.stopService()
    await polite.closed()
    assert not stopped.called
    await stopped.addTimeout(5, reactor)
    await stubborn.closed()
    assert sorted(str(role.lost_reason) for role in server.roles) == ["closed", "stopped"]
    with socket.socket() as late, pytest.raises(ConnectionRefusedError):
        late.connect(("127.0.0.1", server.port))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.seeded(Random(1), WALL - 86400, WALL + 86400)


def host_tls(authority: Authority, *names: str) -> HostTLS:
    leaves = [authority.issue(names)] if names else []
    return HostTLS(reactor, lambda: WALL, leaves, [authority.certificate])


@pytest_twisted.ensureDeferred
async def test_starttls(serve: Callable[..., Server], authority: Authority) -> None:
    server = serve(tls=host_tls(authority, "a.test"))
    client = make_machine(reactor, "client", tls=host_tls(authority))
    engine, role = LineEngine(), _Follower()
    driver = await connect_stream(client, "127.0.0.1", server.port, "line", engine, role, Traffic(), start_tls_name="a.test")
    assert driver.peer.security is None
    driver.send(Reply((b"tls\n",)))  # the server answers "tls" and begins; so does our role when it reads that line
    await server.settle(lambda: len(role.ups) == 2 and len(server.roles[0].ups) == 2)
    assert role.ups[1].security is not None
    assert server.roles[0].ups[1].security.server_name == "a.test"  # type: ignore[union-attr]
    driver.send(Reply((b"echo secret\n",)))
    await server.settle(lambda: b"secret" in role.seen)
    assert server.roles[0].seen == [b"tls", b"echo secret"]
    driver.close()
    await server.settle(lambda: server.traffic.active == 0)


class _Follower(EchoRole):
    """A client's role that begins TLS when the server agrees."""

    def handle(self, event: Event, connection: Any) -> None:
        super().handle(event if event != Asked(b"tls") else Asked(b""), connection)
        if event == Asked(b"tls"):
            connection.send(Do(StartTLS()))


class _Collector(LineEngine):
    """A client's engine that keeps what comes."""

    def __init__(self) -> None:
        super().__init__()
        self.got = b""

    def receive(self, data: bytes, now: Any) -> Any:
        self.got += data
        return ()


@pytest_twisted.ensureDeferred
async def test_a_message_is_one_row_whoever_sends(serve: Callable[..., Server]) -> None:
    server = serve()
    journal = server.machine.journal
    journal.enable("host", "client")
    client = make_machine(reactor, "client", "127.0.0.2", journal=journal)
    engine, role = _Collector(), EchoRole()
    driver = await connect_stream(client, "127.0.0.1", server.port, "line", engine, role, Traffic())
    driver.send(Reply((b"echo one\n",)))
    await server.settle(lambda: engine.got == b"one\n")
    rows = [(row.source[0], row.destination[0], row.data, row.by_sender) for row in journal]
    assert rows == [("127.0.0.2", "127.0.0.1", b"echo one\n", True), ("127.0.0.1", "127.0.0.2", b"one\n", True)]
    driver.close()
    journal.clear()
    foreign = await server.connect()
    foreign.transport.write(b"echo two\n")
    await foreign.says(b"\n")
    assert [(row.summary, row.by_sender) for row in journal] == [("echo two", False), ("reply", True)]
    foreign.transport.loseConnection()
    await server.settle(lambda: not journal.ours)


@pytest_twisted.ensureDeferred
async def test_connecting_fails_with_the_reason() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    machine = make_machine(reactor)
    role = EchoRole()
    with pytest.raises(Exception, match="refused"):
        await connect_stream(machine, "127.0.0.1", port, "line", LineEngine(), role, Traffic())
    assert role.lost_reason is None


@pytest_twisted.ensureDeferred
async def test_a_bug_of_a_role_ends_its_connection_alone(serve: Callable[..., Server]) -> None:
    from twisted.logger import globalLogPublisher

    logged: list[Any] = []
    globalLogPublisher.addObserver(logged.append)
    server = serve()
    good, bad = await server.connect(), await server.connect()
    bad.transport.write(b"bug\n")
    await bad.closed()
    good.transport.write(b"echo fine\n")
    assert await good.says(b"\n") == b"fine\n"
    globalLogPublisher.removeObserver(logged.append)
    assert any("ZeroDivisionError" in str(event.get("log_text")) for event in logged)
