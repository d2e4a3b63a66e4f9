"""The origin beside nginx and twisted.web: CPU per request, requests and octets per second, plain and under TLS."""

import argparse
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netstack.kernel.authority import Authority
from tests.processes import ROOT

NAME = "www.a.test"
SERVER_CORE, LOAD_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
TICK = os.sysconf("SC_CLK_TCK")
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Connection: keep-alive",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: none",
)
"""With Host ten fields, as a browser sends them."""
DISTINCT = """
local number = 0
request = function()
  number = number + 1
  wrk.headers["X-Request"] = number
  return wrk.format()
end
"""
TWISTED_WEB = """
import sys
from twisted.internet import reactor
from twisted.web.server import Site
from twisted.web.static import File
site = Site(File(sys.argv[1]), logPath=sys.argv[1] + "/../twisted.log", timeout=60)
reactor.listenTCP(int(sys.argv[2]), site, backlog=1024, interface="127.0.0.1")
if len(sys.argv) > 3:
    from twisted.internet.ssl import DefaultOpenSSLContextFactory
    reactor.listenSSL(int(sys.argv[3]), site, DefaultOpenSSLContextFactory(sys.argv[4], sys.argv[5]), interface="127.0.0.1")
reactor.run()
"""


@dataclass(frozen=True)
class Load:
    """One way to ask; `once` costs a connection for each request."""

    title: str
    path: str
    secure: bool = False
    fields: tuple[str, ...] = ()
    connections: int = 32
    distinct: bool = False


LOADS = (
    Load("1 KB", "/1k.txt"),
    Load("1 KB, 10 browser fields", "/1k.txt", fields=BROWSER),
    Load("1 KB, every head another", "/1k.txt", fields=BROWSER, distinct=True),
    Load("10 MB", "/10m.bin", connections=4),
    Load("1 KB, TLS", "/1k.txt", secure=True, fields=BROWSER),
    Load("1 KB, TLS, a connection each", "/1k.txt", secure=True, fields=("Connection: close",)),
    Load("10 MB, TLS", "/10m.bin", secure=True, connections=4),
)


@dataclass
class Subject:
    """A server in a process of its own on the first core."""

    name: str
    command: Sequence[str]
    port: int
    tls_port: int
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *self.command],
            cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for port in (self.port, self.tls_port):
            end = time.monotonic() + 20
            while time.monotonic() < end:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            else:
                raise SystemExit(f"{self.name} did not start: {' '.join(self.command)}")

    def cpu(self) -> float:
        """Seconds on a processor so far, of all threads: exact, where the times in `stat` are of whole clock ticks."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9

    def resident(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass(frozen=True)
class Measured:
    """One run: requests and octets a second, CPU microseconds a request."""

    requests: float
    octets: float
    cpu_us: float
    cpu_gb: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def measure(subject: Subject, load: Load, seconds: float, directory: Path) -> Measured:
    scheme, port = ("https", subject.tls_port) if load.secure else ("http", subject.port)
    script = directory / "distinct.lua"
    script.write_text(DISTINCT)
    command = [
        "taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{load.connections}", f"-d{seconds:.0f}s",
        *(option for line in (f"Host: {NAME}", *load.fields) for option in ("-H", line)),
        *(("-s", str(script)) if load.distinct else ()), f"{scheme}://127.0.0.1:{port}{load.path}",
    ]  # fmt: skip
    before = subject.cpu()
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    spent = subject.cpu() - before
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s), ([\d.]+)([KMG]?B) read", shown)
    assert found is not None, shown
    assert "Non-2xx" not in shown, shown
    count = int(found[1])
    took = float(found[2]) / (1000 if found[3] == "ms" else 1)
    octets = float(found[4]) * {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}[found[5]]
    return Measured(count / took, octets / took, spent / max(1, count) * 1e6, spent / octets * 1e9)


def subjects(directory: Path, http2: bool = False) -> list[Subject]:
    """Servers that are not started yet; with `http2` nginx speaks nothing else in the clear."""
    root = directory / "site"
    root.mkdir()
    (root / "1k.txt").write_bytes(b"x" * 1024)
    (root / "10m.bin").write_bytes(os.urandom(10_000_000))
    now = time.time()
    certificate, key = Authority.kept(directory / "ca", lambda: now).issue([NAME]).pem()
    leaf, secret = directory / "leaf.pem", directory / "leaf.key"
    leaf.write_bytes(certificate)
    secret.write_bytes(key)
    twistd = str(Path(sys.executable).with_name("twistd"))

    def ours(name: str, *options: str) -> Subject:
        port, tls_port = free_port(), free_port()
        command = [
            twistd, "--nodaemon", "--pidfile=", "netstack-origin", f"--listen=tcp:{port}", f"--listen=tls:{tls_port}",
            f"--site={NAME}={root}", f"--certificate={leaf}", f"--key={secret}", f"--health={free_port()}",
            f"--access-file={directory}/{port}.log", "--max-requests=0", "--max-connections=20000",
            "--idle-seconds=60", *options,
        ]  # fmt: skip
        return Subject(name, command, port, tls_port)

    found = [ours("netstack"), ours("netstack, no memo", "--memo=0")]
    if shutil.which("nginx"):
        port, tls_port = free_port(), free_port()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
        user = "user root;" if os.geteuid() == 0 else ""
        versions = " http2" if http2 else ""
        (directory / "nginx.conf").write_text(
            f"""{user} daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;
            events {{ worker_connections 20000; }}
            http {{
                access_log {directory}/nginx.log combined buffer=64k flush=1s; {places}
                keepalive_requests 100000000; open_file_cache max=1000; ssl_session_tickets off;
                server {{
                    listen 127.0.0.1:{port} backlog=1024{versions}; listen 127.0.0.1:{tls_port} ssl{versions};
                    ssl_certificate {leaf}; ssl_certificate_key {secret}; ssl_protocols TLSv1.2 TLSv1.3;
                    root {root}; sendfile off;
                    location /10m.bin {{ sendfile on; }}
                }}
            }}"""
        )
        command = ["nginx", "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")]
        found.append(Subject("nginx", command, port, tls_port))
    port, tls_port = free_port(), free_port()
    command = [sys.executable, "-c", TWISTED_WEB, str(root), *map(str, (port, tls_port, secret, leaf))]
    found.append(Subject("twisted.web", command, port, tls_port))
    return found


def report_row(title: str, runs: dict[str, list[Measured]]) -> None:
    print(f"\n{title}")
    base = runs["netstack"]
    print(f"  {'':20} {'requests/s':>11} {'GB/s':>7} {'CPU us/request':>15} {'CPU s/GB':>9}   CPU of it / CPU of netstack")
    for name, found in runs.items():
        rate, octets, cpu, gigabyte = (
            statistics.median(getattr(each, key) for each in found) for key in ("requests", "octets", "cpu_us", "cpu_gb")
        )
        ratio = statistics.median(other.cpu_us / our.cpu_us for other, our in zip(found, base, strict=True))
        print(f"  {name:20} {rate:11.0f} {octets / 1e9:7.2f} {cpu:15.1f} {gigabyte:9.2f}   {ratio:.2f}", flush=True)


def idle(subject: Subject, count: int, secure: bool = False) -> float:
    """Octets of memory for each of so many idle keep-alive connections."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    before = subject.resident()
    ends = []
    try:
        for _ in range(count):
            end = socket.create_connection(("127.0.0.1", subject.tls_port if secure else subject.port))
            if secure:
                end = context.wrap_socket(end, server_hostname=NAME)
            ends.append(end)
            end.sendall(f"GET /1k.txt HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            end.recv(4096)
        return (subject.resident() - before) / count
    finally:
        for end in ends:
            end.close()


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", help="names of servers that begin so")
    parser.add_argument("--load", type=int, action="append", help="number of a load; may be repeated")
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections, and as many under TLS")
    options = parser.parse_args(list(arguments))
    if SERVER_CORE == LOAD_CORE or not shutil.which("wrk"):
        print("two cores and wrk are needed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        directory = Path(temporary)
        chosen = [each for each in subjects(directory) if not options.only or each.name.startswith(options.only)]
        started: list[Subject] = []
        try:
            for subject in chosen:
                started.append(subject)
                subject.start()
            print(f"memory of {options.idle} idle connections after one request each, of servers just started")
            for subject in chosen:
                plain, secure = (idle(subject, options.idle, each) / 1024 for each in (False, True))
                print(f"  {subject.name:20} {plain:8.1f} KiB each, under TLS {secure:.1f}", flush=True)
            print(f"medians of {options.runs} paired runs of {options.seconds} s, one server at a time on one core")
            for number, load in enumerate(LOADS):
                if options.load and number not in options.load:
                    continue
                runs: dict[str, list[Measured]] = {subject.name: [] for subject in chosen}
                for subject in chosen:
                    measure(subject, load, 1, directory)
                for _ in range(options.runs):
                    for subject in chosen:
                        runs[subject.name].append(measure(subject, load, options.seconds, directory))
                report_row(f"{load.title} ({load.connections} connections)", runs)
        finally:
            for subject in started:
                subject.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
