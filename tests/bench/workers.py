"""netstack-dns with one worker and with two: queries a second by dnsperf, and acknowledged updates a second.

    python -m tests.bench.workers [--seconds 5] [--runs 3] [--names 10000]

The servers take turns, run by run. On a machine of two cores dnsperf needs one of them itself: what two workers gain there
is less than where it has a core of its own, and the CPU of each query tells more than the rate. `share` is the part of the
busier worker.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import dns.query
import dns.rcode
import dns.update

from tests.bench._dns_servers import processor_seconds
from tests.dns.killed import KEY, RING
from tests.processes import Running, twistd

OFFSET = 24000
PORT = 53 + OFFSET
CLIENTS = 4
COUNTS = (1, 2)


@dataclass
class Run:
    """One measurement."""

    rate: float
    cpu: float
    """Seconds of CPU for each query, parent and workers."""
    share: float
    lost: float
    updates: float
    """A second."""


def start(directory: Path, workers: int) -> Running:
    """The server, ready."""
    command = twistd(
        "netstack-dns", f"--address=127.9.2.{workers}", f"--port-offset={OFFSET}", f"--zone=bench.test={directory}/zone",
        f"--state={directory}/state{workers}", f"--tsig={directory}/keys", "--update=bench.test=updates zone",
        f"--workers={workers}",
    )  # fmt: skip
    server = Running(command, {**os.environ})
    server.wait_for("on tcp:", workers, 120)
    return server


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def measure(server: Running, workers: int, directory: Path, seconds: float) -> Run:
    address, pid = f"127.9.2.{workers}", server.process.pid
    processes = children(pid) or [pid]
    total, before = processor_seconds(pid), [processor_seconds(each) for each in processes]
    command = [
        "dnsperf", "-s", address, "-p", str(PORT), "-d", str(directory / "queries"), "-c", "16", "-q", "200",
        "-l", str(seconds),
    ]  # fmt: skip
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    total = processor_seconds(pid) - total
    busy = [processor_seconds(each) - old for each, old in zip(processes, before, strict=True)]
    sent, completed = (
        int(found[1]) for found in (re.search(rf"Queries {word}:\s+(\d+)", told) for word in ("sent", "completed")) if found
    )
    rate = re.search(r"Queries per second:\s+([\d.]+)", told)
    assert rate is not None, told
    done = update(address, seconds / 2)
    return Run(float(rate[1]), total / completed, max(busy) / sum(busy), 1 - completed / sent, done)


def update(address: str, seconds: float) -> float:
    """Acknowledged updates a second, of CLIENTS at once, each with a connection for every one."""
    end = time.monotonic() + seconds
    done = [0] * CLIENTS

    def client(number: int) -> None:
        while time.monotonic() < end:
            message = dns.update.UpdateMessage("bench.test", keyring=RING)
            message.replace(f"u{number}", 60, "A", f"10.1.{done[number] >> 8 & 255}.{done[number] & 255}")
            assert dns.query.tcp(message, address, port=PORT, timeout=20).rcode() == dns.rcode.NOERROR
            done[number] += 1

    threads = [Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return sum(done) / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--names", type=int, default=10_000)
    options = parser.parse_args()
    if shutil.which("dnsperf") is None:
        print("dnsperf is not installed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        names = "".join(f"h{number} A 10.0.{number >> 8 & 255}.{number & 255}\n" for number in range(options.names))
        (directory / "zone").write_text("$TTL 60\n@ SOA dns h 1 60 60 60 60\n@ NS dns\ndns A 10.0.0.1\n" + names)
        (directory / "queries").write_text("".join(f"h{number}.bench.test A\n" for number in range(options.names)))
        (directory / "keys").write_text(KEY)
        servers = {workers: start(directory, workers) for workers in COUNTS}
        found: dict[int, list[Run]] = {workers: [] for workers in COUNTS}
        try:
            for _ in range(options.runs):
                for workers, server in servers.items():
                    found[workers].append(measure(server, workers, directory, options.seconds))
        finally:
            for server in servers.values():
                server.end()
    print(f"{os.cpu_count()} cores, {options.names} names, {options.runs} runs of {options.seconds:g} s, medians")
    print(f"{'workers':>8}{'queries/s':>12}{'us CPU':>9}{'share':>8}{'lost %':>8}{'updates/s':>11}")
    for workers, runs in found.items():
        rate, cpu, share, lost, updates = (
            statistics.median(getattr(run, name) for run in runs) for name in ("rate", "cpu", "share", "lost", "updates")
        )
        print(f"{workers:8}{rate:12.0f}{cpu * 1e6:9.2f}{share:8.2f}{lost * 100:8.2f}{updates:11.0f}")
    pairs = zip(*found.values(), strict=True)
    print(
        f"queries/s of 2 workers to those of 1, pair by pair: {' '.join(f'{two.rate / one.rate:.2f}' for one, two in pairs)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
