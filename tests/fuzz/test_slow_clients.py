"""Clients that say little or nothing: each is closed in its time, and nobody else has to wait for it."""

import resource
import selectors
import socket
from pathlib import Path
from time import monotonic

import pytest

from tests.fuzz.servers import PATIENCE, SERVERS, Server, connect, read_all, started
from tests.processes import Running, Watch

IDLE = 4
"""Seconds of the shortened time-out."""
SLACK = 8
"""Seconds more in which the last one of thousands is closed."""
CONNECTIONS = 5_000
DRIP_EVERY = 0.5
SLOWEST = 0.050
"""Seconds: the 99th percentile of another client's exchanges."""


def allow_files(count: int) -> None:
    """Raise this process's limit on descriptors, which the server inherits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.fail(f"{count} descriptors are needed; the hard limit (ulimit -Hn) is {hard}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


class Idlers:
    """Connections that say nothing, watched together."""

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.open = 0
        for _ in range(count):
            connection = connect(address)
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ)
            self.open += 1

    def look(self, seconds: float) -> None:
        """Wait up to `seconds`, and close our side of what the server has closed."""
        for key, _ in self.selector.select(seconds):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            try:
                closed = connection.recv(65536) == b""
            except ConnectionResetError:
                closed = True
            if closed:
                self.selector.unregister(connection)
                connection.close()
                self.open -= 1

    def close(self) -> None:
        for key in list(self.selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self.selector.close()


def exchange(server: Server, process: Running, address: tuple[str, int]) -> float:
    """Seconds for a right question to have its right answer."""
    watch = Watch(process)
    assert server.answers(address)
    return watch.seconds()


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@pytest.mark.slow
@pytest.mark.timeout(600)  # its own times do not count what others take of the cores
@pytest.mark.xdist_group("latency")
@pytest.mark.parametrize("server", [server for server in SERVERS if server.latency], ids=lambda server: server.name)
def test_five_thousand_idle_connections(server: Server, tmp_path: Path) -> None:
    allow_files(CONNECTIONS + 500)
    latencies: list[float] = []
    with started(server, tmp_path, *server.idle(IDLE)) as (process, address):
        alone = [exchange(server, process, address) for _ in range(300)]
        idlers = Idlers(address, CONNECTIONS)
        try:
            watch = Watch(process)
            while idlers.open and watch.seconds() < IDLE + SLACK:
                latencies.append(exchange(server, process, address))
                idlers.look(0.005)
            print(
                f"{server.name}: {len(latencies)} exchanges beside {CONNECTIONS} idle connections: "
                f"median {percentile(latencies, 0.5) * 1000:.1f} ms, 99 % {percentile(latencies, 0.99) * 1000:.1f} ms"
            )
            assert idlers.open == 0, f"{idlers.open} of {CONNECTIONS} idle connections are still open"
        finally:
            idlers.close()
        assert len(latencies) >= 100
        assert percentile(latencies, 0.99) < max(SLOWEST, 3 * percentile(alone, 0.99))


@pytest.mark.slow
@pytest.mark.parametrize("server", [server for server in SERVERS if server.drip], ids=lambda server: server.name)
def test_an_octet_now_and_then_does_not_keep_a_connection(server: Server, tmp_path: Path) -> None:
    """The time-out is for the whole message: octets that come one by one do not put it off."""
    with started(server, tmp_path, *server.idle(2)) as (process, address), connect(address) as slow:
        begin, watch = monotonic(), Watch(process)
        slow.settimeout(DRIP_EVERY)
        for octet in server.drip:
            try:
                slow.send(bytes((octet,)))
                if not slow.recv(65536):
                    break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
            finally:
                assert watch.seconds() < 2 + SLACK, "still open"
        assert monotonic() - begin >= 1.5
        assert server.answers(address)


def test_the_first_octet_is_answered_at_once(tmp_path: Path) -> None:
    """Upper case needs no second octet: a slow client has its answer, and no connection, before it sends one."""
    (upper,) = (server for server in SERVERS if server.name == "upper")
    with started(upper, tmp_path) as (_, address), connect(address) as slow:
        slow.sendall(b"h")
        assert read_all(slow) == b"H"


def test_a_client_that_does_not_read_is_let_go(tmp_path: Path) -> None:
    """An answer that nobody takes holds the connection for `--linger` and `--discard` seconds, and no longer."""
    (upper,) = (server for server in SERVERS if server.name == "upper")
    with started(upper, tmp_path, "--linger=1", "--discard=1") as (process, address), socket.socket() as deaf:
        counts = []
        for _ in range(10):  # the connection that found the server up may still be there
            counts.append(process.descriptors())
            process.wait_a_little()
        before = min(counts)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(PATIENCE)
        deaf.connect(address)
        deaf.sendall("ΐ".encode() * 30_000)
        process.wait_until(lambda: process.descriptors() > before, "the connection is there")
        watch = Watch(process)
        process.wait_until(lambda: process.descriptors() <= before, "the connection is let go")
        assert watch.seconds() < 2 + SLACK
        assert upper.answers(address)
