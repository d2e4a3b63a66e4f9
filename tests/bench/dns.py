"""DNS servers beside BIND, NSD and Unbound: queries/s and CPU per query on one core, authoritative and from the cache."""

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import dns.message

ORIGIN = "bench.test"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
TICKS = os.sysconf("SC_CLK_TCK")
PORT = 5300
HIT = re.compile(r"Queries completed:\s+(\d+).*?Run time \(s\):\s+([\d.]+)", re.DOTALL)
LOST = re.compile(r"Queries lost:\s+(\d+)")


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one server."""

    rate: float
    cpu: float
    """Seconds of the server's processes for each query."""
    lost: int


@dataclass(slots=True)
class Subject:
    """A server on an address of its own; `start` gives its command."""

    name: str
    address: str
    start: Callable[[Path, str], list[str]]
    group: str
    process: subprocess.Popen[bytes] | None = None


def serve(kind: str, address: str, zone: str) -> None:
    """One of ours, until it is killed: authoritative, plain (without the short way), single (no batches) or resolver."""
    from twisted.internet import reactor

    from netstack.dns import ZoneText
    from netstack.kernel import listen
    from netstack.kernel.real import real_machine
    from netstack.taps import dns as dns_tap
    from netstack.taps import resolver as resolver_tap

    machine = real_machine("bench", (address,), port_offset=PORT - 53)
    built: object
    if kind == "resolver":
        config = resolver_tap.Config(hints=(("ns.bench.test", zone),))
        built = resolver_tap.build(config, machine)
    else:
        text = Path(zone).read_text()
        built = dns_tap.build(dns_tap.Config(zones=(ZoneText(ORIGIN, text),)), machine)
    service: object = built
    for listener in getattr(service, "listeners", ()):
        if isinstance(listener, listen.DatagramListener):
            if kind == "plain":
                listener.driver.bypass = None
            if kind == "single":
                listen.available = lambda reactor: False  # type: ignore[assignment]
    service.startService()  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


def ours(kind: str, zone: str) -> Callable[[Path, str], list[str]]:
    return lambda directory, address: [sys.executable, "-m", "tests.bench.dns", "--serve", kind, address, zone]


def nsd(zone: Path) -> Callable[[Path, str], list[str]]:
    def start(directory: Path, address: str) -> list[str]:
        conf = directory / "nsd.conf"
        conf.write_text(
            f'server:\n  ip-address: {address}@{PORT}\n  server-count: 1\n  username: ""\n  chroot: ""\n  database: ""\n'
            f'  pidfile: "{directory}/nsd.pid"\n  zonesdir: "{directory}"\n  xfrdfile: "{directory}/xfrd"\n'
            f'  zonelistfile: "{directory}/list"\n  xfrdir: "{directory}"\n  logfile: "{directory}/nsd.log"\n'
            f"  minimal-responses: yes\nremote-control:\n  control-enable: no\n"
            f'zone:\n  name: {ORIGIN}\n  zonefile: "{zone}"\nzone:\n  name: .\n  zonefile: "{zone.with_name("root.zone")}"\n'
        )
        return ["nsd", "-d", "-c", str(conf)]

    return start


def bind(zone: Path) -> Callable[[Path, str], list[str]]:
    def start(directory: Path, address: str) -> list[str]:
        conf = directory / "named.conf"
        conf.write_text(
            f'options {{ directory "{directory}"; listen-on port {PORT} {{ {address}; }}; listen-on-v6 {{ none; }}; '
            f'recursion no; pid-file none; session-keyfile "{directory}/key"; minimal-responses yes; '
            f"dnssec-validation no; querylog no; }};\ncontrols {{ }};\n"
            f'logging {{ category default {{ default_stderr; }}; }};\nzone "{ORIGIN}" {{ type primary; file "{zone}"; }};\n'
        )
        return ["named", "-f", "-c", str(conf), "-n", "1", "-U", "1"]

    return start


def unbound(upstream: str) -> Callable[[Path, str], list[str]]:
    def start(directory: Path, address: str) -> list[str]:
        conf = directory / "unbound.conf"
        conf.write_text(
            f'server:\n  interface: {address}@{PORT}\n  num-threads: 1\n  do-daemonize: no\n  username: ""\n  chroot: ""\n'
            f'  directory: "{directory}"\n  pidfile: ""\n  use-syslog: no\n  logfile: "{directory}/unbound.log"\n'
            f'  access-control: 127.0.0.0/8 allow\n  module-config: "iterator"\n  do-not-query-localhost: no\n'
            f'  local-zone: "test." nodefault\n  msg-cache-size: 64m\n  rrset-cache-size: 128m\n'
            f'stub-zone:\n  name: "{ORIGIN}"\n  stub-addr: {upstream}@{PORT}\n'
        )
        return ["unbound", "-d", "-c", str(conf)]

    return start


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def processor_seconds(pid: int) -> float:
    """User and system time of a process with its threads and children."""
    ticks = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def resident(pid: int) -> int:
    """Octets in memory of a process and those below it; what they share is counted by the share."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def up(subject: Subject, directory: Path) -> None:
    """Start it on its core and wait for its first reply."""
    room = directory / re.sub(r"\W+", "-", subject.name)
    room.mkdir()
    with (room / "output").open("wb") as output:
        command = ["taskset", "-c", str(SERVER_CORE), *subject.start(room, subject.address)]
        subject.process = subprocess.Popen(command, stdout=output, stderr=output)
    query = dns.message.make_query(f"host0.{ORIGIN}", "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect((subject.address, PORT))
        for _ in range(1200):
            if subject.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                client.send(query)
                if client.recv(65535)[3] & 15 == 0:
                    return
            time.sleep(0.05)
    raise SystemExit(f"{subject.name} does not answer: {(room / 'output').read_text()[-2000:]}")


def load(subject: Subject, queries: Path, seconds: float, once: bool = False) -> Run:
    """dnsperf on the other core: 8 sockets, 100 queries in flight (20 and each question once to warm a cache)."""
    assert subject.process is not None
    pid = subject.process.pid
    before = processor_seconds(pid)
    options = ["-n", "1", "-q", "20"] if once else ["-l", str(seconds), "-q", "100"]
    command = ["dnsperf", "-s", subject.address, "-p", str(PORT), "-d", str(queries), "-c", "8", *options]
    done = subprocess.run(["taskset", "-c", str(LOAD_CORE), *command], capture_output=True, text=True, check=True)
    used = processor_seconds(pid) - before
    hit, lost = HIT.search(done.stdout), LOST.search(done.stdout)
    if hit is None or lost is None:
        raise SystemExit(f"dnsperf says: {done.stdout}{done.stderr}")
    count = max(1, int(hit[1]))
    return Run(count / float(hit[2]), used / count, int(lost[1]))


@contextlib.contextmanager
def running(subjects: list[Subject], directory: Path) -> Iterator[None]:
    try:
        for subject in subjects:
            up(subject, directory)
        yield
    finally:
        for subject in subjects:
            if subject.process is not None:
                subject.process.send_signal(signal.SIGTERM)
        for subject in subjects:
            if subject.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    subject.process.wait(5)
                subject.process.kill()
                subject.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "ADDRESS", "ZONE"), help=argparse.SUPPRESS)
    parser.add_argument("--names", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", choices=("authoritative", "cached"))
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return
    missing = [program for program in ("dnsperf", "nsd", "named", "unbound", "taskset") if shutil.which(program) is None]
    if missing:
        raise SystemExit(f"needs {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="netstack-bench-") as name:
        measure(Path(name), options.names, options.runs, options.seconds, options.only)


def measure(directory: Path, names: int, runs: int, seconds: float, only: str | None) -> None:
    directory.chmod(0o755)
    zone, queries, each = directory / "bench.zone", directory / "queries", directory / "each"
    hosts = "".join(f"host{n} A 10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}\n" for n in range(names))
    zone.write_text(f"$TTL 1d\n@ SOA ns hostmaster 1 2h 1h 2w 1h\n@ NS ns\nns A 127.78.0.3\n{hosts}")
    zone.with_name("root.zone").write_text(
        f"$TTL 1d\n@ SOA ns x 1 2h 1h 2w 1h\n@ NS ns.{ORIGIN}.\n{ORIGIN}. NS ns.{ORIGIN}.\nns.{ORIGIN}. A 127.78.0.3\n"
    )
    each.write_text("".join(f"host{n}.{ORIGIN} A\n" for n in range(names)))
    rng = Random(1)
    queries.write_text("".join(f"host{rng.randrange(names)}.{ORIGIN} A\n" for _ in range(100_000)))
    subjects = [
        Subject("netstack-dns", "127.78.0.1", ours("authoritative", str(zone)), "authoritative"),
        Subject("netstack-dns, no batches", "127.78.0.2", ours("single", str(zone)), "authoritative"),
        Subject("NSD", "127.78.0.3", nsd(zone), "authoritative"),
        Subject("BIND", "127.0.0.1", bind(zone), "authoritative"),  # it listens on addresses of interfaces alone
        Subject("netstack-dns, plain path", "127.78.0.5", ours("plain", str(zone)), "authoritative"),
        Subject("netstack-resolver", "127.78.0.6", ours("resolver", "127.78.0.3"), "cached"),
        Subject("Unbound", "127.78.0.7", unbound("127.78.0.3"), "cached"),
    ]
    used = [it for it in subjects if only is None or it.group == only or (only == "cached" and it.name == "NSD")]
    with running(used, directory):
        for group in ("authoritative", "cached") if only is None else (only,):
            members = [it for it in used if it.group == group]
            for subject in members:
                for _ in range(3):
                    load(subject, each, seconds, once=True)
            results: dict[str, list[Run]] = {it.name: [] for it in members}
            for _ in range(runs):
                for subject in members:
                    results[subject.name].append(load(subject, queries, seconds))
            report(group, members, results, names, runs, seconds)


def report(group: str, members: list[Subject], results: dict[str, list[Run]], names: int, runs: int, seconds: float) -> None:
    """Medians; the ratios are those of the runs that were made one after another."""
    own = results[members[0].name]
    print(f"{group}: {names} names, {runs} paired runs of {seconds:g} s, server on core {SERVER_CORE}, load on {LOAD_CORE}")
    print(f"{'':26}{'queries/s':>10}{'CPU us/query':>14}{'of our rate':>13}{'of our CPU':>12}{'lost':>6}{'MiB':>7}")
    for subject in members:
        found = results[subject.name]
        rate, cpu = statistics.median(it.rate for it in found), statistics.median(it.cpu for it in found) * 1e6
        rates = statistics.median(it.rate / mine.rate for it, mine in zip(found, own, strict=True))
        costs = statistics.median(it.cpu / mine.cpu for it, mine in zip(found, own, strict=True))
        memory = resident(subject.process.pid) / 2**20 if subject.process is not None else 0
        lost = sum(it.lost for it in found)
        print(f"  {subject.name:24}{rate:10.0f}{cpu:14.2f}{rates:13.2f}{costs:12.2f}{lost:6}{memory:7.0f}", flush=True)


if __name__ == "__main__":
    main()
