"""TLS of listeners on the real reactor, both ways: straight on the socket, and by Twisted's layer, which is its oracle."""

import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from time import sleep
from typing import Any

import pytest
import pytest_twisted
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher

from netstack.kernel import listen
from netstack.kernel.authority import Authority, TLSError
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import connect_stream
from netstack.kernel.metrics import Traffic
from netstack.kernel.secure import SecureTransport
from tests.kernel.echo import EchoRole, Reply, make_machine
from tests.kernel.test_driver import (  # noqa: F401  fixtures among them
    Server,
    _Collector,
    authority,
    host_tls,
    serve,
)
from tests.processes import PATIENCE

Serve = Callable[..., Server]


@pytest.fixture(params=["socket", "layer"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "layer":
        monkeypatch.setattr(listen, "accept_secure", lambda *_: False)
    way: str = request.param
    return way


@pytest.fixture
def secure(serve: Serve, authority: Authority) -> Serve:  # noqa: F811
    def make(*arguments: Any, **options: Any) -> Server:
        return serve(*arguments, tls=host_tls(authority, "a.test"), kind="tls", **options)

    return make


class Client:
    """OpenSSL over memory at the other end of a blocking socket."""

    def __init__(self, server: Server, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, room: int = 0) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = version
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="a.test")
        self.socket = socket.socket()
        if room:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", server.port))

    def until(self, action: Callable[[], Any]) -> Any:
        while True:
            try:
                result = action()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.socket.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            else:
                self.flush()
                return result

    def flush(self) -> None:
        self.socket.sendall(self.outgoing.read())

    def records(self, *texts: bytes) -> bytes:
        for text in texts:
            self.tls.write(text)
        return self.outgoing.read()

    def says(self, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            part = self.until(lambda: self.tls.read(65536))
            if not part:
                break
            data += part
        return data

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


async def up(server: Server, **options: Any) -> Client:
    client = Client(server, **options)
    await deferToThread(client.until, client.tls.do_handshake)
    return client


@pytest_twisted.ensureDeferred
async def test_what_a_handshake_agrees_on(secure: Serve, authority: Authority, tmp_path: Path, way: str) -> None:  # noqa: F811
    content = Random(2).randbytes(700_000)
    (tmp_path / "file").write_bytes(content)
    server = secure(alpn=["line/2", "line/1"])
    client = make_machine(reactor, "client", "127.0.0.2", tls=host_tls(authority))
    engine, role = _Collector(), EchoRole()
    driver = await connect_stream(
        client, "127.0.0.1", server.port, "line", engine, role, Traffic(), tls_name="a.test", alpn=["line/1"]
    )
    assert driver.peer.security is not None
    assert driver.peer.security.alpn == "line/1"
    driver.send(Reply((b"file 700000\n",)))
    await server.settle(lambda: len(engine.got) >= 700_002)
    assert engine.got == b"<" + content + b">"
    assert (type(server.roles[0].connection.transport) is SecureTransport) == (way == "socket")
    security = server.roles[0].ups[0].security
    assert security is not None
    assert (security.alpn, security.server_name, security.version) == ("line/1", "a.test", "TLSv1.3")
    assert server.roles[0].ups[0].remote[0] == "127.0.0.2"
    driver.close()
    await server.settle(lambda: server.roles[0].lost_reason == "closed" and role.lost_reason == "closed")
    assert server.roles[0].ended  # the end of TLS is the end of the peer's stream


@pytest_twisted.ensureDeferred
async def test_a_wrong_name_fails_the_connection(secure: Serve, authority: Authority) -> None:  # noqa: F811
    server = secure()
    client = make_machine(reactor, "client", tls=host_tls(authority))
    role = EchoRole()
    with pytest.raises(TLSError, match=r"b\.test: its certificate is for another name"):
        await connect_stream(client, "127.0.0.1", server.port, "line", _Collector(), role, Traffic(), tls_name="b.test")
    assert role.ups == []
    await server.settle(lambda: server.traffic.active == 0)
    assert server.roles[0].ups == []


@pytest_twisted.ensureDeferred
async def test_handshakes_end_in_their_time(secure: Serve) -> None:
    server = secure(StreamLimits(handshake=0.1, connections=1))
    wire = await server.connect()
    await server.settle(lambda: server.traffic.active == 1)
    refused = await server.connect()
    await refused.closed()
    await wire.closed()
    await server.settle(lambda: server.traffic.active == 0)
    assert (server.traffic.timeouts, server.traffic.refused) == (1, 1)


@pytest_twisted.ensureDeferred
async def test_records_wherever_they_are_cut(secure: Serve) -> None:
    server = secure()
    client = await up(server)
    record = client.records(b"echo one\n")
    for cut in range(1, len(record)):
        client.socket.sendall(record[:cut])
        await deferLater(reactor, 0.001)  # type: ignore[arg-type]
        client.socket.sendall(record[cut:])
        assert await deferToThread(client.says, 4) == b"one\n"
        record = client.records(b"echo one\n")
    client.socket.sendall(record + client.records(b"echo two\necho ", b"three\n", b"echo four\n"))
    assert await deferToThread(client.says, 19) == b"one\ntwo\nthree\nfour\n"
    client.reset()
    await server.settle(lambda: server.roles[0].lost_reason == "reset")


@pytest_twisted.ensureDeferred
async def test_close_notify_both_ways(secure: Serve) -> None:
    server = secure()
    leaves, stays = await up(server), await up(server)
    leaves.socket.sendall(leaves.records(b"echo last\n"))
    assert await deferToThread(leaves.says, 5) == b"last\n"
    await deferToThread(leaves.until, leaves.tls.unwrap)  # it raises when the server does not say good-bye too
    await server.settle(lambda: server.roles[0].lost_reason == "closed")
    assert server.roles[0].ended
    stays.socket.sendall(stays.records(b"close\n"))
    assert await deferToThread(stays.says, 100) == b"bye\n"
    assert server.traffic.active == 1  # until the peer has said it too, or linger is over
    await deferToThread(stays.until, stays.tls.unwrap)
    await server.settle(lambda: server.roles[1].lost_reason == "closed")
    assert server.traffic.timeouts == 0


@pytest_twisted.ensureDeferred
async def test_the_peers_close_notify_is_not_waited_for_without_end(secure: Serve) -> None:
    server = secure(StreamLimits(linger=0.1))
    client = await up(server)
    client.socket.sendall(client.records(b"close\n"))
    await server.settle(lambda: server.traffic.active == 0)
    assert server.traffic.timeouts == 1
    client.socket.close()


@pytest_twisted.ensureDeferred
async def test_unhappy_beginnings_and_ends(secure: Serve) -> None:
    logged: list[Any] = []
    server = secure()
    globalLogPublisher.addObserver(logged.append)
    hello = Client(server)
    with pytest.raises(ssl.SSLWantReadError):
        hello.tls.do_handshake()
    whole = hello.outgoing.read()
    hello.socket.close()
    beginnings = (
        b"GET / HTTP/1.0\r\n\r\n", b"\0" * 600, whole[:100], whole, whole + b"garbage, not a record",
        whole + bytes.fromhex("15030300020100"), bytes.fromhex("16030100020100"), whole.replace(b"a.test", b"\xff.t\xc3t"),
    )  # fmt: skip
    for beginning in beginnings:
        with socket.create_connection(("127.0.0.1", server.port)) as end:
            end.sendall(beginning)
            end.shutdown(socket.SHUT_WR)
            end.settimeout(PATIENCE)
            try:
                while await deferToThread(end.recv, 65536):
                    pass
            except ConnectionResetError:
                pass
    await server.settle(lambda: server.traffic.active == 0)
    assert [role.ups for role in server.roles] == [[]] * (len(beginnings) + 1)
    records = b"\x17\x03\x03\x40\x00half of a record", b"\x17\x03\x03\x00\x20" + b"x" * 32, b"plain text"
    for index, broken in enumerate(records):
        for cut_off in (False, True):
            client = await up(server)
            client.socket.sendall(client.records(b"echo fine\n"))
            assert await deferToThread(client.says, 5) == b"fine\n"
            client.socket.sendall(broken)
            if cut_off:
                client.reset()
            else:
                client.socket.close()
            await server.settle(lambda: server.traffic.active == 0)
            role = server.roles[len(beginnings) + 1 + 2 * index + cut_off]
            assert role.lost_reason not in (None, "closed")
            assert not role.ended
    globalLogPublisher.removeObserver(logged.append)
    assert not [event for event in logged if event.get("log_failure")]


@pytest_twisted.ensureDeferred
async def test_a_client_that_reads_slowly_stops_us(secure: Serve) -> None:
    server = secure()
    client = await up(server, room=4096)
    client.socket.sendall(client.records(b"big 65536\n" * 400))
    await server.settle(lambda: bool(server.roles[0].seen) and not server.roles[0].connection.writable)
    await deferLater(reactor, 0.2)  # type: ignore[arg-type]
    assert server.traffic.sent < 200 * 65536
    driver = server.roles[0].connection
    assert not driver.writable
    for plain in range(100):  # and one that reads quickly is served meanwhile
        if plain == 0:
            other = await up(server)
        other.socket.sendall(other.records(b"echo x\n"))
        assert await deferToThread(other.says, 2) == b"x\n"
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    assert await deferToThread(client.says, 400 * 65536) == b"x" * (400 * 65536)
    other.reset()
    client.reset()


@pytest_twisted.ensureDeferred
async def test_a_peer_that_leaves_while_much_is_queued(secure: Serve) -> None:
    server = secure()
    client = await up(server, room=4096)
    client.socket.sendall(client.records(b"big 4000000\n" * 4))
    await server.settle(lambda: server.traffic.sent > 0)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    client.flush()
    client.socket.close()
    await server.settle(lambda: server.traffic.active == 0)


@pytest_twisted.ensureDeferred
async def test_nothing_is_written_after_the_end(secure: Serve, way: str) -> None:
    """One wake-up may bring the end and room for more; Twisted has both looked at."""
    if way == "layer":
        return
    server = secure()
    client = await up(server)
    await server.settle(lambda: server.roles[0].connection is not None)
    driver: Any = server.roles[0].connection
    driver.transport._dataReceived(b"")
    assert driver.transport.doWrite() is None
    assert server.traffic.active == 0
    client.socket.close()


@pytest_twisted.ensureDeferred
async def test_new_keys_and_no_new_handshakes(secure: Serve) -> None:
    """RFC 8446 §4.6.3, RFC 9325 §3.5: as OpenSSL's own client asks for them."""
    server = secure()

    def talk(version: str, command: bytes) -> bytes:
        arguments = ["openssl", "s_client", "-quiet", "-no_ign_eof", version, "-connect", f"127.0.0.1:{server.port}"]
        with Popen(arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            said = b""
            for text in (b"echo one\n", command, b"echo two\n"):
                process.stdin.write(text)
                process.stdin.flush()
                if text is command:
                    sleep(0.1)  # it is one only when it is read alone
                else:
                    said += process.stdout.readline()
            process.kill()
            return said

    assert await deferToThread(talk, "-tls1_3", b"K\n") == b"one\ntwo\n"
    refused = SSL.Context(SSL.TLS_METHOD)
    refused.set_max_proto_version(SSL.TLS1_2_VERSION)
    asking = SSL.Connection(refused, None)
    asking.set_connect_state()
    wire = await server.connect()

    async def exchange(done: Callable[[], Any]) -> Any:
        while True:
            try:
                return done()
            except SSL.WantReadError:
                pass
            with suppress(SSL.WantReadError):
                wire.transport.write(asking.bio_read(65536))  # type: ignore[union-attr]
            await wire.until(lambda: bool(wire.data) or wire.lost is not None)
            asking.bio_write(wire.data)
            wire.data = b""

    await exchange(asking.do_handshake)
    asking.send(b"echo one\n")
    assert await exchange(lambda: asking.recv(100)) == b"one\n"
    assert asking.renegotiate()
    with pytest.raises(SSL.Error, match="no renegotiation"):
        await exchange(asking.do_handshake)
    wire.transport.abortConnection()  # type: ignore[union-attr]
    await server.settle(lambda: server.traffic.active == 0)
