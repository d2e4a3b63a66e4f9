"""The mail host beside Postfix: durable messages accepted and delivered into a mailbox per second, CPU of each.

    python -m tests.bench.smtp [--count 2000] [--runs 5] [--sessions 20] [--only TEXT] [--directory PATH]

Both listen on loopback, have one mailbox, and take turns run by run. Every process of a server is on the first core,
Postfix's smtp-source has the second. Delivered is what the mailbox holds, accepted what smtp-source was told; both
servers sync a message before they say 250. Postfix comes unpacked from Debian's package, with its defaults but for the
flow of its queue. Files are made by both: ext4 without a journal makes them slowly for minutes after others were removed.
"""

import argparse
import os
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.addresses import own_address
from tests.bench.http import LOAD_CORE, SERVER_CORE, TICK
from tests.bench.mail_store import probe
from tests.interop.debian import unpacked
from tests.interop.dns_secure import Trust
from tests.interop.mail_servers import BOX, PORT, mail_server
from tests.processes import family, running, twistd

BOB = "bob@hamburger.edu"
POSTFIX = "in_flow_delay = 0\n"
"""Postfix slows a sender down that is faster than its deliveries; then accepted is delivered."""
PATIENCE = 120.0


@dataclass(frozen=True)
class Way:
    """How mail comes: `kept` sends message after message over a connection, else each has one of its own."""

    title: str
    octets: int
    kept: bool
    part: float = 1.0
    """Of the count that is asked for."""


WAYS = (
    Way("1 KB, a connection for each message", 1024, kept=False),
    Way("1 KB, connections kept", 1024, kept=True),
    Way("100 KB, a connection for each message", 102_400, kept=False, part=0.2),
    Way("100 KB, connections kept", 102_400, kept=True, part=0.2),
)


@dataclass(frozen=True)
class Server:
    """One that runs."""

    name: str
    pid: int
    target: str
    recipient: str
    delivered: Callable[[], int]
    """Messages in the mailbox."""

    def cpu(self) -> float:
        """Seconds of all its processes, those that have ended as well."""
        return sum(map(_spent, family(self.pid))) / TICK


@dataclass(frozen=True)
class Measured:
    accepted: float
    delivered: float
    cpu_us: float


def _spent(pid: int) -> int:
    """User, system, and both of the children that were waited for: clock ticks."""
    try:
        return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    except OSError:
        return 0


@contextmanager
def _on(core: int) -> Iterator[None]:
    """What is started meanwhile stays on that core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def netstack(directory: Path) -> Iterator[Server]:
    address, state = own_address(), directory / "netstack"
    (directory / "accounts").write_text(f"{BOB}\n")
    index = state / "mail" / "accounts" / BOB / "index.sqlite"
    command = twistd(
        "netstack-smtp", "--domain=hamburger.edu", f"--accounts={directory}/accounts", f"--state={state}",
        f"--listen=tcp:{PORT}:interface={address}", "--no-authentication", "--no-dane", "--no-mta-sts",
        f"--store-octets={1 << 40}",
    )  # fmt: skip
    with ExitStack() as stack:
        with _on(SERVER_CORE):
            process = stack.enter_context(running(*command, ready="takes mail"))

        def delivered() -> int:
            if not index.exists():
                return 0
            database = sqlite3.connect(f"file:{index}?mode=ro", uri=True)
            try:
                found: int = database.execute("SELECT messages FROM account").fetchone()[0]
            except sqlite3.OperationalError:  # it is being made
                return 0
            finally:
                database.close()
            return found

        yield Server("netstack", process.process.pid, f"inet:{address}:{PORT}", BOB, delivered)


@contextmanager
def postfix(directory: Path) -> Iterator[Server]:
    trust = Trust(directory)
    with ExitStack() as stack:
        with _on(SERVER_CORE):
            server = stack.enter_context(mail_server("postfix", trust, "127.0.0.1", POSTFIX))
        box = server.root / "var" / "mail" / BOX / "new"

        def delivered() -> int:
            return sum(1 for _ in os.scandir(box)) if box.is_dir() else 0

        yield Server("postfix", server.process.process.pid, f"inet:{server.address}:{PORT}", "box@postfix.test", delivered)


def measure(server: Server, way: Way, count: int, sessions: int) -> Measured:
    """One run of smtp-source."""
    package = unpacked("postfix")
    command = [
        "taskset", "-c", str(LOAD_CORE), str(package / "usr/sbin/smtp-source"), "-s", str(sessions), "-m", str(count),
        "-l", str(way.octets), "-f", "alice@crepes.fr", "-t", server.recipient, *(("-d",) if way.kept else ()),
        server.target,
    ]  # fmt: skip
    before, spent = server.delivered(), server.cpu()
    environment = {**os.environ, "LD_LIBRARY_PATH": str(package / "usr/lib/postfix")}
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environment, timeout=PATIENCE)
    accepted = time.perf_counter() - began
    while server.delivered() < before + count:
        if time.perf_counter() - began > PATIENCE:
            raise SystemExit(f"{server.name}: {server.delivered() - before} of {count} messages were delivered")
        time.sleep(0.01)
    delivered = time.perf_counter() - began
    time.sleep(1)  # what is done afterwards belongs to the message, too
    return Measured(count / accepted, count / delivered, (server.cpu() - spent) / count * 1e6)


def compare(servers: Sequence[Server], way: Way, count: int, runs: int, sessions: int) -> None:
    found: dict[str, list[Measured]] = {server.name: [] for server in servers}
    for server in servers:
        measure(server, way, max(sessions, count // 4), sessions)
    for _ in range(runs):
        for server in servers:
            found[server.name].append(measure(server, way, count, sessions))
    print(f"\n{way.title}: {runs} paired runs of {count} messages, {sessions} sessions")
    print(f"  {'':10} {'accepted/s':>11} {'delivered/s':>12} {'CPU us/message':>15}")
    for name, each in found.items():
        values = [statistics.median(getattr(one, key) for one in each) for key in ("accepted", "delivered", "cpu_us")]
        print(f"  {name:10} {values[0]:11.0f} {values[1]:12.0f} {values[2]:15.0f}")
    if "postfix" in found:
        pairs = list(zip(found["netstack"], found["postfix"], strict=True))
        accepted, delivered, cpu = (
            statistics.median(getattr(ours, key) / getattr(theirs, key) for ours, theirs in pairs)
            for key in ("accepted", "delivered", "cpu_us")
        )
        print(f"  {'ratio':10} {accepted:11.2f} {delivered:12.2f} {cpu:15.2f}   (medians of pairs)")
    sys.stdout.flush()


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--only", default="", help="loads whose title has this text")
    parser.add_argument("--alone", action="store_true", help="without Postfix")
    parser.add_argument("--directory", help="on the disk that both use (default: that of temporary files)")
    options = parser.parse_args(list(arguments))
    tempfile.tempdir = options.directory
    if SERVER_CORE == LOAD_CORE:
        print("two cores are needed: one for the server, one for the load", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-smtp-") as name, ExitStack() as stack:
        directory = Path(name)
        directory.chmod(0o755)
        print(f"fdatasync: {probe(directory):.2f} ms")
        servers = [stack.enter_context(netstack(directory))]
        if not options.alone:
            servers.append(stack.enter_context(postfix(directory)))
        for way in WAYS:
            if re.search(options.only, way.title):
                compare(servers, way, max(options.sessions, int(options.count * way.part)), options.runs, options.sessions)
        print(f"\nfdatasync: {probe(directory):.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
