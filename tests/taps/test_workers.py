"""`--workers`, with real processes on loopback: what was sent is counted, and a worker that dies costs no listener."""

import os
import select
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from tests.addresses import own_address
from tests.processes import PATIENCE, Running, running, twistd

HEALTH = 9100
START = 60.0
"""Seconds for interpreters to start on a busy machine."""


@contextmanager
def upper(address: str, *options: str) -> Iterator[Running]:
    command = twistd(
        "netstack-upper", f"--address={address}", "--listen=tcp:12000", "--listen=udp:12000", "--workers=2",
        f"--health={HEALTH}", *options,
    )  # fmt: skip
    with running(*command, ready="starting up") as process:
        process.wait_for("runs", 2, START)
        yield process


def ask(address: str) -> None:
    """One sentence by each transport, from ports of their own."""
    with socket.create_connection((address, 12000), timeout=10) as stream:
        stream.sendall(b"over tcp")
        assert stream.recv(100) == b"OVER TCP"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(10)
        datagrams.sendto(b"over udp", (address, 12000))
        assert datagrams.recv(100) == b"OVER UDP"


def metrics(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{address}:{HEALTH}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}


def workers_of(process: Running) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()]


def served_by(process: Running) -> dict[int, int]:
    """Sockets of each worker."""
    return {
        pid: sum("socket:" in os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()) for pid in workers_of(process)
    }


def test_metrics_are_what_was_sent_and_a_kill_loses_no_listener() -> None:
    address = own_address()
    with upper(address) as process:
        with urllib.request.urlopen(f"http://{address}:{HEALTH}/readyz", timeout=10) as reply:
            assert reply.read() == b"ok\n"
        for _ in range(40):
            ask(address)
        before = metrics(address)
        assert before['netstack_sockets_connections_total{role="server"}'] == 40
        assert before['netstack_sockets_datagrams_received_total{role="server"}'] == 40
        assert before["netstack_kernel_workers"] == 2
        assert len(served_by(process)) == 2

        victim = workers_of(process)[0]
        os.kill(victim, signal.SIGKILL)
        process.wait_for("has ended, starts again")
        for _ in range(20):
            ask(address)  # while there is one
        process.wait_for("runs", 3, START)
        for _ in range(20):
            ask(address)
        after = metrics(address)
        assert after['netstack_sockets_connections_total{role="server"}'] == 80
        assert after['netstack_sockets_datagrams_received_total{role="server"}'] == 80
        assert after["netstack_kernel_worker_restarts_total"] == 1
        assert after["netstack_kernel_workers"] == 2
        assert victim not in workers_of(process)


def test_the_end_drains_all_workers() -> None:
    """What is open is served to its end; nobody new is let in."""
    address = own_address()
    with upper(address) as process:
        waiting = [socket.create_connection((address, 12000), timeout=10) for _ in range(8)]
        counted = 'netstack_sockets_connections_total{role="server"}'
        process.wait_until(lambda: metrics(address)[counted] >= 8, "8 connections are counted")
        process.process.send_signal(signal.SIGTERM)
        process.wait_for("Received SIGTERM", 3)
        for each in waiting:
            with each:
                each.sendall(b"still here")
                assert each.recv(100) in (b"STILL HERE", b"")
        process.process.wait(PATIENCE)
    with pytest.raises(ConnectionRefusedError), socket.create_connection((address, 12000), timeout=10):
        pass


def test_workers_end_with_their_parent() -> None:
    address = own_address()
    command = twistd("netstack-upper", f"--address={address}", "--listen=tcp:12000", "--workers=2")
    process = Running(command, {**os.environ})
    process.wait_for("runs", 2, START)
    pids = workers_of(process)
    ends = [os.pidfd_open(pid) for pid in pids]
    process.process.kill()
    process.end()
    for end in ends:
        assert select.select([end], [], [], PATIENCE)[0], "a worker outlived its parent"
        os.close(end)


def test_a_worker_that_cannot_start_ends_the_service(tmp_path: Path) -> None:
    address = own_address()
    command = twistd(
        "netstack-upper", f"--address={address}", "--listen=tcp:12000", "--workers=2", "--worker-stop=5"
    )  # fmt: skip
    process = Running(command, {**os.environ, "PYTHONPATH": str(broken(tmp_path))})
    process.process.wait(START)
    process.end()
    assert process.process.returncode != 0
    assert any("worker" in line and "does not start" in line for line in process.lines), "".join(process.lines)


def broken(directory: Path) -> Path:
    """What ends every process that was started as a worker."""
    (directory / "sitecustomize.py").write_text("import os\nif os.environ.get('NETSTACK_WORKER'):\n    os._exit(3)\n")
    return directory


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--workers=0",), "workers: expected a number from 1 to 64"),
        (("--workers=2", "--listen=tcp:0"), "workers: expected endpoints with a port"),
        (("--worker-silence=0",), "worker-silence: expected a number above 0"),
    ],
)
def test_what_cannot_be(options: tuple[str, ...], said: str) -> None:
    from netstack.taps.upper import Options

    with pytest.raises(UsageError, match=said):
        Options().parseOptions(list(options))


def test_an_operators_signals_reach_the_workers(tmp_path: Path) -> None:
    """SIGUSR1 has each write its cache, SIGHUP has nothing to read again, and none of both ends a process."""
    command = twistd(
        "netstack-resolver", f"--address={own_address()}", "--forward=127.0.0.1", "--listen=udp:5353", "--workers=2",
        f"--state={tmp_path}",
    )  # fmt: skip
    with running(*command, ready="starting up") as process:
        process.wait_for("runs", 2, START)
        process.process.send_signal(signal.SIGUSR1)
        process.wait_for("0 entries of the cache are in", 2)
        assert sorted(path.name for path in tmp_path.glob("*.dump")) == ["cache-1.dump", "cache.dump"]
        process.process.send_signal(signal.SIGHUP)
        process.wait_for("nothing is read again at SIGHUP", 2)
        assert process.process.poll() is None
        assert len(workers_of(process)) == 2
