"""The supervisor with hosts of a few lines of Python; each test in a process of its own, which leaves its namespaces."""

import subprocess
import sys
import textwrap
from pathlib import Path

from tests.world.namespaces.allowed import needs_namespaces

PREAMBLE = """
import os, signal, socket, subprocess, sys, time
from pathlib import Path
from netstack.world.namespaces import linux
from netstack.world.namespaces.supervisor import HostFailed, HostPlan, Supervisor

def plans(count, files={}):
    return [HostPlan(f"h{n}.test", (f"10.66.0.{n + 1}",), files) for n in range(count)]
"""


pytestmark = needs_namespaces


def run(code: str) -> str:
    """Run a script; its output."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(code)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hosts_talk_on_their_own_addresses_and_standard_ports() -> None:
    out = run("""
        def serve(plan, ready):
            with socket.socket() as server:
                server.bind((plan.addresses[0], 80))
                server.listen()
                ready()
                connection, peer = server.accept()
                connection.sendall(f"{socket.gethostname()} to {peer[0]}".encode())
                connection.close()

        supervisor = Supervisor(plans(3), 16, serve)
        supervisor.start()
        pids = supervisor.pids
        if os.fork() == 0:
            linux.enter(pids["h0.test"])
            print(socket.create_connection(("10.66.0.3", 80)).recv(100).decode(), flush=True)
            os._exit(0)
        os.wait()
        supervisor.stop()
        """)
    assert out == "h2.test to 10.66.0.1\n"


def test_a_host_sees_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 10.66.0.2\n")
    out = run(f"""
        def serve(plan, ready):
            ready()
            print(Path("/etc/resolv.conf").read_text(), end="", flush=True)

        Supervisor(plans(1, {{Path("/etc/resolv.conf"): Path("{tmp_path}/resolv.conf"), Path("/no/such"): Path("/x")}}), 16,
                   serve).start()
        os.wait()
        """)
    assert out == "nameserver 10.66.0.2\n"
    assert "10.66.0.2" not in Path("/etc/resolv.conf").read_text()


def test_a_failing_host_is_named_and_the_others_are_ended() -> None:
    out = run("""
        def serve(plan, ready):
            if plan.name == "h1.test":
                raise RuntimeError("port 80 is taken")
            ready()
            time.sleep(60)

        supervisor = Supervisor(plans(3), 16, serve)
        try:
            supervisor.start()
        except HostFailed as error:
            print(error)
        try:
            os.wait()
        except ChildProcessError:
            print("none left")
        """)
    assert out == "h1.test: port 80 is taken\nnone left\n"


def test_a_silent_host_ends_the_wait() -> None:
    out = run("""
        try:
            Supervisor(plans(1), 16, lambda plan, ready: time.sleep(60), patience=0.5).start()
        except HostFailed as error:
            print(error)
        """)
    assert out == "not ready within 0.5 s: h0.test\n"


def test_hosts_die_with_a_killed_supervisor() -> None:
    out = run("""
        reader, writer = os.pipe()
        def serve(plan, ready):
            ready()
            time.sleep(60)

        if (first := os.fork()) == 0:
            supervisor = Supervisor(plans(2), 16, serve)
            supervisor.start()
            os.write(writer, " ".join(map(str, supervisor.pids.values())).encode())
            time.sleep(60)
        pids = [int(pid) for pid in os.read(reader, 100).split()]
        os.kill(first, signal.SIGKILL)
        os.wait()
        deadline = time.monotonic() + 60
        def alive(pid):
            try:
                return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
            except OSError:
                return False
        while any(map(alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.02)
        print(len(pids), any(map(alive, pids)))
        """)
    assert out == "2 False\n"


def test_stop_asks_then_kills() -> None:
    out = run("""
        def serve(plan, ready):
            if plan.name == "h0.test":
                signal.signal(signal.SIGTERM, lambda *_: (print("asked", flush=True), os._exit(0)))
            else:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            ready()
            time.sleep(60)

        supervisor = Supervisor(plans(2), 16, serve)
        supervisor.start()
        began = time.monotonic()
        supervisor.stop(grace=0.5)
        print(0.4 < time.monotonic() - began < 50)
        """)
    assert out == "asked\nTrue\n"
