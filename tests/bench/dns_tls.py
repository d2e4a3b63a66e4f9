"""DNS over TLS and HTTPS beside Unbound: queries/s and CPU per cached answer on kept connections, CPU per handshake.

    python -m tests.bench.dns_tls [--names 1000] [--runs 3] [--seconds 2] [--json]

A resolver of ours and Unbound, each on the first core, one at a time under load; dnsperf, or a client that connects, asks
once and closes, on the second. What is asked is in their caches. UDP and TCP are there to compare with.
"""

import argparse
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dns.message

from netstack.kernel.authority import Authority
from tests.bench._dns_servers import (
    LOAD_CORE,
    ORIGIN,
    PORT,
    Run,
    Subject,
    load,
    nsd,
    processor_seconds,
    running,
    warm,
)

DOT, DOH = PORT + 853 - 53, PORT + 443 - 53
NSD = "127.78.2.3"
WAYS: dict[str, tuple[str, ...]] = {
    "udp": (),
    "tcp": ("-m", "tcp"),
    "tls": ("-m", "dot", "-p", str(DOT)),
    "https": ("-m", "doh", "-p", str(DOH), "-O", f"doh-uri=https://{ORIGIN}/dns-query"),
}


def serve(address: str, directory: str) -> None:
    """Our resolver, until it is killed."""
    from twisted.internet import reactor

    from netstack.kernel.real import real_machine
    from netstack.kernel.tls import HostTLS
    from netstack.taps import resolver

    tls = HostTLS.from_files(reactor, time.time, f"{directory}/leaf.pem", f"{directory}/leaf.key")
    machine = real_machine("bench", (address,), port_offset=PORT - 53, tls=tls)
    config = resolver.Config((("ns.bench.test", NSD),), ("udp:53", "tcp:53", "tls:853"), https=("tls:443",))
    service: Any = resolver.build(config, machine)
    service.startService()
    reactor.run()


def ours(directory: Path) -> Callable[[Path, str], list[str]]:
    return lambda room, address: [sys.executable, "-m", "tests.bench.dns_tls", "--serve", address, str(directory)]


def unbound(directory: Path) -> Callable[[Path, str], list[str]]:
    def start(room: Path, address: str) -> list[str]:
        conf = room / "unbound.conf"
        conf.write_text(
            "server:\n"
            + "".join(f"  interface: {address}@{port}\n" for port in (PORT, DOT, DOH))
            + f'  tls-port: {DOT}\n  https-port: {DOH}\n  tls-service-pem: "{directory}/leaf.pem"\n'
            f'  tls-service-key: "{directory}/leaf.key"\n  num-threads: 1\n  do-daemonize: no\n  username: ""\n'
            f'  chroot: ""\n  directory: "{room}"\n  pidfile: ""\n  use-syslog: no\n  logfile: "{room}/log"\n'
            f'  access-control: 127.0.0.0/8 allow\n  module-config: "iterator"\n  do-not-query-localhost: no\n'
            f'  local-zone: "test." nodefault\n  incoming-num-tcp: 100\n'
            f'stub-zone:\n  name: "{ORIGIN}"\n  stub-addr: {NSD}@{PORT}\n'
        )
        return ["unbound", "-d", "-c", str(conf)]

    return start


def connections(address: str, seconds: float) -> None:
    """Connect, ask one question, close, again and again; prints how often."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    query = dns.message.make_query(f"host0.{ORIGIN}", "A").to_wire()
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with context.wrap_socket(socket.create_connection((address, DOT), 5)) as stream:
            stream.sendall(len(query).to_bytes(2, "big") + query)
            assert len(stream.recv(65537)) > len(query)
        count += 1
    print(count)


def handshakes(subject: Subject, seconds: float) -> Run:
    """Such a client's rate, and what each connection costs the server."""
    before = processor_seconds(subject.pid)
    command = ["taskset", "-c", str(LOAD_CORE), sys.executable, "-m", "tests.bench.dns_tls", "--connect", subject.address]
    said = subprocess.run([*command, str(seconds)], capture_output=True, text=True, check=True).stdout
    used = processor_seconds(subject.pid) - before
    count = max(1, int(said))
    return Run(count / seconds, used / count, 0)


def bench(directory: Path, names: int, runs: int, seconds: float) -> list[dict[str, Any]]:
    """Paired runs: each server in turn, for each way."""
    leaf = Authority.kept(directory / "ca", time.time).issue([ORIGIN])
    for name, octets in zip(("leaf.pem", "leaf.key"), leaf.pem(), strict=True):
        (directory / name).write_bytes(octets)
    zone, queries = directory / "zone", directory / "names"
    head = "$TTL 1d\n@ SOA ns hostmaster 1 2h 1h 2w 1h\n@ NS ns\nns A 127.78.2.3\n"
    zone.write_text(head + "".join(f"host{n} A 10.0.{n >> 8 & 255}.{n & 255}\n" for n in range(names)))
    (directory / "root.zone").write_text(
        f"$TTL 1d\n@ SOA ns x 1 2h 1h 2w 1h\n@ NS ns.{ORIGIN}.\n{ORIGIN}. NS ns.{ORIGIN}.\nns.{ORIGIN}. A {NSD}\n"
    )
    queries.write_text("".join(f"host{n}.{ORIGIN} A\n" for n in range(names)))
    subjects = [Subject("netstack", "127.78.2.1", ours(directory)), Subject("Unbound", "127.78.2.2", unbound(directory))]
    results = []
    with running([Subject("NSD", NSD, nsd(zone)), *subjects], directory):
        for subject in subjects:
            warm(subject, queries)
        for way in (*WAYS, "handshakes"):
            found: dict[str, list[Run]] = {it.name: [] for it in subjects}
            for _ in range(runs):
                for subject in subjects:
                    made = handshakes(subject, seconds) if way not in WAYS else load(subject, queries, seconds, *WAYS[way])
                    found[subject.name].append(made)
            for subject in subjects:
                measured = found[subject.name]
                pairs = zip(measured, found["netstack"], strict=True)
                results.append(
                    {
                        "way": way, "server": subject.name, "rate": round(statistics.median(it.rate for it in measured)),
                        "cpu_us": round(statistics.median(it.cpu for it in measured) * 1e6, 1),
                        "of_our_cpu": round(statistics.median(it.cpu / own.cpu for it, own in pairs if own.cpu), 2),
                        "lost": sum(it.lost for it in measured),
                    }
                )  # fmt: skip
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--names", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--connect", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return 0
    if options.connect:
        connections(options.connect[0], float(options.connect[1]))
        return 0
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    with TemporaryDirectory() as directory:
        results = bench(Path(directory), options.names, options.runs, options.seconds)
    if options.json:
        print(json.dumps(results, indent=2))
        return 0
    print(f"medians of {options.runs} paired runs of {options.seconds:g} s; handshakes are connections with one query each")
    print(f"{'':12}{'server':12}{'a second':>10}{'CPU us each':>14}{'CPU of it / ours':>19}{'lost':>7}")
    for it in results:
        print(f"{it['way']:12}{it['server']:12}{it['rate']:>10}{it['cpu_us']:>14}{it['of_our_cpu']:>19}{it['lost']:>7}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
