"""From the command to everything ready: seconds and memory of worlds of 10 to 300 hosts (goal at 30: 1.5 s, 150 MB).

    python -m tests.bench.startup [--runs 5] [--json]

Each run is `netstack up` in a process of its own, from exec(2) until it has printed its table: every listener is bound by
then, and one look-up through the hierarchy and one page are asked of it to see that it is so. The first run of each world
makes its certificates and pages and is reported apart.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from netstack.dns.wire import Question, make_query
from netstack.world.generated import generated_file
from tests.processes import cpu_of

SIZES = (10, 30, 100, 300)
GOAL_SECONDS, GOAL_MEGABYTES = 1.5, 150
OFFSET = 10_000


def one(world: Path, environment: dict[str, str]) -> tuple[float, float, float]:
    """(seconds, CPU seconds of the process, megabytes) until ready."""
    command = [sys.executable, "-m", "netstack.cli", "up", "--world", str(world), "--port-offset", str(OFFSET), "--json"]
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines: list[bytes] = []
    while not lines or lines[-1] != b"}\n":
        lines.append(process.stdout.readline())
        assert lines[-1], f"ended before it was ready: {lines}"
    seconds = time.monotonic() - started
    cpu, megabytes = _used(process.pid)
    status = json.loads(b"".join(lines))
    try:
        _works(status)
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        process.wait(30)
    return seconds, cpu, megabytes


def _used(pid: int) -> tuple[float, float]:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return cpu_of(pid), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _works(status: dict[str, Any]) -> None:
    """A name is found through the whole hierarchy, and a page is there."""
    import socket

    import dns.message
    import dns.name
    from dns.rdatatype import RdataType

    hosts = status["hosts"]
    web = next(name for name in hosts if name.startswith("www0."))
    with urllib.request.urlopen(f"http://{hosts[web]['address']}:{80 + OFFSET}/", timeout=10) as page:
        assert web.encode() in page.read()
    resolver = next(name for name in hosts if name.startswith("resolver."))
    query = make_query(7, Question(dns.name.from_text(web), RdataType.A), True, 1232)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(query, (hosts[resolver]["address"], 53 + OFFSET))
        reply = dns.message.from_wire(client.recv(4096))
    assert [str(rdata) for rrset in reply.answer for rdata in rrset] == [hosts[web]["address"]]


def measure(runs: int) -> list[dict[str, float]]:
    """The worlds in turn, so that a busy minute of the machine does not fall on one of them alone: medians and least."""
    with TemporaryDirectory() as folder:
        runtime = Path(folder) / "run"
        runtime.mkdir(mode=0o700)
        environment = {**os.environ, "XDG_STATE_HOME": str(Path(folder) / "state"), "XDG_RUNTIME_DIR": str(runtime)}
        files = {hosts: Path(folder) / f"generated{hosts}.toml" for hosts in SIZES}
        for hosts, file in files.items():
            file.write_text(generated_file(hosts))
        first = {hosts: one(file, environment)[0] for hosts, file in files.items()}
        found: dict[int, list[tuple[float, float, float]]] = {hosts: [] for hosts in SIZES}
        for _ in range(runs):
            for hosts, file in files.items():
                found[hosts].append(one(file, environment))
    rows = []
    for hosts, runs_of in found.items():
        seconds, cpu, megabytes = zip(*runs_of, strict=True)
        rows.append(
            {
                "hosts": hosts,
                "first": first[hosts],
                "seconds": statistics.median(seconds),
                "least": min(seconds),
                "cpu": min(cpu),
                "megabytes": statistics.median(megabytes),
            }
        )
    return rows


def main() -> int:
    """Print the table; 0 when the goal at 30 hosts is met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.runs)
    few, many = rows[0], rows[-1]
    added = many["hosts"] - few["hosts"]
    per_host = {
        "milliseconds": (many["least"] - few["least"]) / added * 1e3,
        "kilobytes": (many["megabytes"] - few["megabytes"]) / added * 1e3,
    }
    goal = next(row for row in rows if row["hosts"] == 30)
    met = goal["seconds"] <= GOAL_SECONDS and goal["megabytes"] <= GOAL_MEGABYTES
    if options.json:
        print(json.dumps({"rows": rows, "per_added_host": per_host, "met": met}))
    else:
        print("hosts  first run s  ready s (median, least)  CPU s     MB")
        for row in rows:
            ready = f"{row['seconds']:.2f}, {row['least']:.2f}"
            print(f"{row['hosts']:5}  {row['first']:11.2f}  {ready:>23}  {row['cpu']:5.2f}  {row['megabytes']:5.0f}")
        print(f"each added host: {per_host['milliseconds']:.1f} ms, {per_host['kilobytes']:.0f} kB")
        print(f"goal at 30 hosts ({GOAL_SECONDS} s, {GOAL_MEGABYTES} MB): {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
