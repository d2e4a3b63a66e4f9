"""The cache beside Squid and Varnish: hits, misses, memory of objects, restart with a full disk, slow clients.

    python -m tests.bench.cache [--seconds 2] [--runs 7] [--objects 50000] [--only NAME]

All stand before the same nginx as reverse proxies and take turns, run by run, on the first core; wrk has the second, and so
has nginx, which hits leave alone. CPU of a server is that of all its processes. Squid and ours log each request to a file;
Varnish has its log in shared memory alone.
"""

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bench.http import BROWSER, LOAD_CORE, NAME, SERVER_CORE, Load, Measured, Subject, free_port
from tests.bench.http import DISTINCT as ANOTHER_HEAD
from tests.processes import cpu_of, family

PARTS = ("hits", "misses", "overhead", "tail", "memory", "restart")
DISTINCT = """
local number = tonumber(os.getenv("FIRST") or "0")
request = function()
  number = number + 1
  return wrk.format("GET", PATH .. number)
end
"""
NGINX = """{user} daemon off; master_process off; pid {directory}/origin.pid; error_log {directory}/error.log;
events {{ worker_connections 20000; }}
http {{
    access_log off; {places} keepalive_requests 100000000; open_file_cache max=1000; etag on;
    server {{
        listen 127.0.0.1:{port} backlog=1024; root {root};
        location /fresh/ {{ add_header Cache-Control max-age=86400; rewrite ^/fresh/(1k|100k|10m).* /$1 break; }}
        location /never/ {{ add_header Cache-Control no-store; rewrite ^ /1k break; }}
    }}
}}"""
SQUID = """http_port 127.0.0.1:{port} accel defaultsite={name} no-vhost
cache_peer 127.0.0.1 parent {origin} 0 no-query originserver name=o
http_access allow all
cache_mem 512 MB
maximum_object_size_in_memory 20 MB
maximum_object_size 20 MB
memory_cache_mode always
access_log stdio:{directory}/squid/access.log combined
buffered_logs on
cache_log {directory}/squid/cache.log
pid_filename {directory}/squid/pid
coredump_dir {directory}/squid
cache_effective_user proxy
shutdown_lifetime 1 seconds
pinger_enable off
"""


class Tree(Subject):
    """A server that may have children; their CPU and memory are its own."""

    def processes(self) -> list[int]:
        return sorted(family(self.process.pid))

    def cpu(self) -> float:
        total = 0.0
        for pid in self.processes():
            with suppress(OSError):
                total += cpu_of(pid)
        return total

    def resident(self) -> int:
        pages = 0
        for pid in self.processes():
            try:
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                continue
        return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Way:
    """A load, and what is counted of it."""

    title: str
    load: Load
    one_url: bool = False
    """Heads differ in a field, not in the URL."""


HITS = (
    Way("1 KB hits", Load("", "/fresh/1k")),
    Way("1 KB hits, 10 browser fields", Load("", "/fresh/1k", fields=BROWSER)),
    Way("1 KB hits, 10 browser fields, every head another", Load("", "/fresh/1k", fields=BROWSER, distinct=True), True),
    Way("100 KB hits", Load("", "/fresh/100k", connections=8)),
)
MISSES = (
    Way("1 KB misses that are stored", Load("", "/fresh/1k-", connections=8, distinct=True)),
    Way("1 KB passed on (no-store)", Load("", "/never/", connections=8, distinct=True)),
)


def subjects(directory: Path) -> tuple[Subject, list[Subject]]:
    """The origin, and the caches before it; none is started yet."""
    root = directory / "site"
    root.mkdir()
    for name, size in (("1k", 1024), ("100k", 102_400), ("10m", 10_000_000)):
        (root / name).write_bytes(os.urandom(size))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    origin_port, user = free_port(), "user root;" if os.geteuid() == 0 else ""
    config = directory / "origin.conf"
    config.write_text(NGINX.format(user=user, directory=directory, places=places, port=origin_port, root=root))
    origin = Tree("direct", ["nginx", "-c", str(config), "-e", str(directory / "error.log")], origin_port, origin_port)
    found: list[Subject] = []
    twistd = str(Path(sys.executable).with_name("twistd"))
    port = free_port()
    found.append(
        Tree(
            "netstack",
            [
                twistd, "--nodaemon", "--pidfile=", "netstack-cache", f"--listen=tcp:{port}", "--no-forward",
                f"--origin={NAME}=http://127.0.0.1:{origin_port}", f"--state={directory}/state", f"--health={free_port()}",
                f"--access-file={directory}/access.log", "--max-requests=0", "--store-memory=536870912",
                "--store-inline=20000000",
            ],
            port, port,
        )
    )  # fmt: skip
    if shutil.which("squid"):
        port = free_port()
        config = directory / "squid.conf"
        (directory / "squid").mkdir()
        (directory / "squid").chmod(0o777)
        config.write_text(SQUID.format(port=port, name=NAME, origin=origin_port, directory=directory))
        found.append(Tree("squid", ["squid", "-N", "-n", f"bench{port}", "-f", str(config)], port, port))
    if shutil.which("varnishd"):
        port = free_port()
        command = [
            "varnishd", "-F", "-n", str(directory / "varnish"), "-a", f"127.0.0.1:{port}", "-b", f"127.0.0.1:{origin_port}",
            "-s", "malloc,512m", "-p", "thread_pools=1", "-T", "none",
        ]  # fmt: skip
        found.append(Tree("varnish", command, port, port))
    return origin, found


def ask(subject: Subject, way: Way, seconds: float, directory: Path, first: int = 0) -> Measured:
    """One run of wrk; CPU of the server."""
    load = way.load
    script = directory / "distinct.lua"
    script.write_text(ANOTHER_HEAD if way.one_url else DISTINCT.replace("PATH", f'"{load.path}"'))
    command = [
        "taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{load.connections}", f"-d{seconds:.0f}s",
        *(option for line in (f"Host: {NAME}", *load.fields) for option in ("-H", line)),
        *(("-s", str(script)) if load.distinct else ()), f"http://127.0.0.1:{subject.port}{load.path}",
    ]  # fmt: skip
    before = subject.cpu()
    shown = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=seconds + 30, env={**os.environ, "FIRST": str(first)}
    ).stdout
    spent = subject.cpu() - before
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s), ([\d.]+)([KMG]?B) read", shown)
    assert found is not None, shown
    assert "Non-2xx" not in shown, shown
    count, took = int(found[1]), float(found[2]) / (1000 if found[3] == "ms" else 1)
    octets = float(found[4]) * {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}[found[5]]
    return Measured(count / took, octets / took, spent / max(1, count) * 1e6, spent / octets * 1e9)


def row(title: str, runs: dict[str, list[Measured]]) -> None:
    print(f"\n{title}")
    base = runs["netstack"]
    print(f"  {'':12} {'requests/s':>11} {'CPU us/request':>15}   CPU of it / CPU of netstack")
    for name, found in runs.items():
        rate, cpu = (statistics.median(getattr(each, key) for each in found) for key in ("requests", "cpu_us"))
        ratio = statistics.median(other.cpu_us / our.cpu_us for other, our in zip(found, base, strict=True))
        print(f"  {name:12} {rate:11.0f} {cpu:15.1f}   {ratio:.2f}", flush=True)


def latency(port: int, path: Callable[[int], str], count: int) -> list[float]:
    """Seconds of requests one after another on one connection."""
    found = []
    with socket.create_connection(("127.0.0.1", port)) as end:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(count):
            start = time.perf_counter()
            end.sendall(f"GET {path(number)} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            read_response(end)
            found.append(time.perf_counter() - start)
    return found


def read_response(end: socket.socket) -> int:
    """Read one response that has a Content-Length; its octets."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += end.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length is not None, head
    size = int(length[1])
    got = len(body)
    while got < size:
        got += len(end.recv(1 << 20))
    return size


def overhead(origin: Subject, caches: Sequence[Subject], count: int) -> None:
    """What a miss costs beside asking the origin itself."""
    print(f"\nmiss overhead: medians of {count} requests one after another, microseconds")
    direct = statistics.median(latency(origin.port, lambda n: f"/fresh/1k-d{n}", count))
    print(f"  {'direct':12} {direct * 1e6:8.0f}")
    for cache in caches:
        found = statistics.median(latency(cache.port, lambda n, c=cache: f"/fresh/1k-{c.name}{n}", count))  # type: ignore[misc]
        hit = statistics.median(latency(cache.port, lambda n: "/fresh/1k", count))
        print(
            f"  {cache.name:12} {found * 1e6:8.0f}   overhead {(found - direct) * 1e6:.0f}, a hit {hit * 1e6:.0f}",
            flush=True,
        )


def memory(caches: Sequence[Subject], count: int) -> None:
    """Growth of the resident set while so many objects of 1 KB are stored."""
    print(f"\nmemory of {count} objects of 1 KB, extrapolated to a million")
    for cache in caches:
        before = cache.resident()
        fill(cache, count, "m")
        grown = (cache.resident() - before) / count
        print(f"  {cache.name:12} {grown:8.0f} octets each: {grown * 1e6 / 2**30:.2f} GiB for a million", flush=True)


def tail(caches: Sequence[Subject], seconds: float) -> None:
    """1 KB hits of 99 connections while one more reads 10 MB at a crawl."""
    print("\ntail latency of 99 connections without and with one slow reader of 10 MB (wrk --latency, ms)")
    for cache in caches:
        shown = []
        for slow in (False, True):
            stop = threading.Event()
            reader = threading.Thread(target=crawl, args=(cache.port, stop))
            if slow:
                reader.start()
            command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", "-c99", f"-d{seconds:.0f}s", "--latency",
                       "-H", f"Host: {NAME}", f"http://127.0.0.1:{cache.port}/fresh/1k"]  # fmt: skip
            out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
            stop.set()
            if slow:
                reader.join()
            shown.append(dict(re.findall(r"(50|99)%\s+(\S+)", out)))
        text = ", ".join(f"p50 {each.get('50')} p99 {each.get('99')}" for each in shown)
        print(f"  {cache.name:12} {text}", flush=True)


def restart(directory: Path, origin: Subject, count: int) -> None:
    """A store on disk with so many objects of 1 KB: the cache is killed, and started again."""
    print(f"\nrestart after kill -9 with {count} objects of 1 KB on disk")
    for cache in on_disk(directory, origin):
        cache.start()
        try:
            fill(cache, count, "r")
            time.sleep(5)  # what waits to be written
            cache.process.kill()
            cache.process.wait()
            start = time.perf_counter()
            cache.start()
            up, spent = time.perf_counter() - start, cache.cpu()
            hits, times, sample = 0, [], 2000
            with socket.create_connection(("127.0.0.1", cache.port)) as end:
                for number in range(sample):
                    before = time.perf_counter()
                    end.sendall(f"GET /fresh/1k-r{number * count // sample} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
                    hits += not missed(end)
                    times.append(time.perf_counter() - before)
            times.sort()
            print(
                f"  {cache.name:12} accepts after {up:.2f} s ({spent:.2f} s of CPU); of the next {sample} requests "
                f"{hits / sample:.1%} are hits, "
                f"p50 {times[sample // 2] * 1e6:.0f} us, p99 {times[sample * 99 // 100] * 1e6:.0f} us",
                flush=True,
            )
        finally:
            cache.stop()


def missed(end: socket.socket) -> bool:
    """Read a response; whether the origin was asked for it: its time is that of now."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += end.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length, age = re.search(rb"(?i)content-length: (\d+)", head), re.search(rb"(?i)\r\nage: (\d+)", head)
    assert length is not None, head
    got = len(body)
    while got < int(length[1]):
        got += len(end.recv(65536))
    return age is None or int(age[1]) < 5


def on_disk(directory: Path, origin: Subject) -> list[Subject]:
    """Caches whose store is on disk. Varnish keeps nothing over a restart."""
    twistd, port = str(Path(sys.executable).with_name("twistd")), free_port()
    ours = [
        twistd, "--nodaemon", "--pidfile=", "netstack-cache", f"--listen=tcp:{port}", "--no-forward",
        f"--origin={NAME}=http://127.0.0.1:{origin.port}", f"--state={directory}/restart", "--max-requests=0",
        f"--access-file={directory}/restart.log", "--store-disk=4000000000", "--store-memory=16000000",
    ]  # fmt: skip
    found: list[Subject] = [Tree("netstack", ours, port, port)]
    if shutil.which("squid"):
        port = free_port()
        config, place = directory / "disk.conf", directory / "squid" / "rock"
        place.mkdir()
        place.chmod(0o777)
        text = SQUID.format(port=port, name=NAME, origin=origin.port, directory=directory).replace("512 MB", "16 MB")
        text = text.replace("/squid/pid", "/squid/pid-disk")
        config.write_text(text.replace("memory_cache_mode always\n", "") + f"cache_dir ufs {place} 4000 16 256\n")
        command = ["squid", "-N", "-n", f"bench{port}", "-f", str(config)]
        subprocess.run([*command, "-z"], check=True, capture_output=True, timeout=60)
        found.append(Tree("squid", command, port, port))
    return found


def fill(cache: Subject, count: int, letter: str) -> None:
    """Store so many objects of 1 KB."""
    with socket.create_connection(("127.0.0.1", cache.port)) as end:
        for number in range(count):
            end.sendall(f"GET /fresh/1k-{letter}{number} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            read_response(end)


def crawl(port: int, stop: threading.Event) -> None:
    """Ask for 10 MB and take 10 KB now and then."""
    with socket.create_connection(("127.0.0.1", port)) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        end.sendall(f"GET /fresh/10m HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        while not stop.wait(0.05):
            end.recv(10_000)


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--objects", type=int, default=50_000)
    parser.add_argument("--only", help="names of caches that begin so; netstack is always there")
    parser.add_argument("--part", choices=PARTS, action="append")
    options = parser.parse_args(list(arguments))
    parts = options.part or list(PARTS)
    if SERVER_CORE == LOAD_CORE or not (shutil.which("wrk") and shutil.which("nginx")):
        print("two cores, wrk and nginx are needed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        directory = Path(temporary)
        directory.chmod(0o755)
        origin, caches = subjects(directory)
        caches = [each for each in caches if not options.only or each.name.startswith(("netstack", options.only))]
        started: list[Subject] = []
        try:
            for subject in (origin, *caches):
                started.append(subject)
                subject.start()
            subprocess.run(["taskset", "-p", "-c", str(LOAD_CORE), str(origin.process.pid)], check=True, capture_output=True)
            print(f"medians of {options.runs} paired runs of {options.seconds} s, one cache at a time on one core")
            first = 0
            for part, ways in (("hits", HITS), ("misses", MISSES)):
                for way in ways if part in parts else ():
                    runs: dict[str, list[Measured]] = {cache.name: [] for cache in caches}
                    for cache in caches:
                        ask(cache, way, 1, directory, first)
                        first += 1_000_000
                    for _ in range(options.runs):
                        for cache in caches:
                            runs[cache.name].append(ask(cache, way, options.seconds, directory, first))
                            first += 1_000_000
                    row(f"{way.title} ({way.load.connections} connections)", runs)
            if "overhead" in parts:
                overhead(origin, caches, 2000)
            if "tail" in parts:
                tail(caches, options.seconds)
            if "memory" in parts:
                memory(caches, options.objects)
            if "restart" in parts:
                restart(directory, origin, options.objects)
        finally:
            for subject in started:
                subject.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
