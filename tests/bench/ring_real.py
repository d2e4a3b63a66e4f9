"""Nodes of the ring as processes: look-ups, latency of put and get, memory of a node, at 8 and 64 nodes, plain and TLS."""

import argparse
import http.client
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from tests.processes import cpu_of
from tests.ring.fleet import GATEWAY, Fleet, Process

TOGETHER = 8
"""Nodes that are started at once."""
SECONDS = 240.0
OPTIONS: dict[str, Any] = {"calm": 8.0, "timeout": 2.0, "data": {"timeout": 4.0, "deadline": 30.0}}
"""Many processes for few processors: nodes that wait for one are not gone."""


@dataclass(slots=True)
class Row:
    """One ring. Times in ms; CPU is that of all nodes together, less what they take when idle."""

    nodes: int
    way: str
    idle_cpu: float
    """Of one node in a second."""
    lookups: float
    """In a second, by four clients."""
    lookup_cpu: float
    forwards: float
    put: tuple[float, float]
    """Median and 99th percentile, one client."""
    put_cpu: float
    get: tuple[float, float]
    get_cpu: float
    rss: float
    """MiB of a node, and its share where nodes have memory in common."""
    pss: float


class Client:
    """One connection to each of some nodes, used in turn."""

    def __init__(self, nodes: list[Process]) -> None:
        self.connections = [http.client.HTTPConnection(each.address, GATEWAY, timeout=60) for each in nodes]
        self.asked = 0

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes, float]:
        """Status, body, and how long it took, in ms."""
        connection = self.connections[self.asked % len(self.connections)]
        self.asked += 1
        begun = time.perf_counter()
        connection.request(method, path, body)
        answer = connection.getresponse()
        got = answer.read()
        return answer.status, got, 1000 * (time.perf_counter() - begun)

    def close(self) -> None:
        for each in self.connections:
            each.close()


def cpu(fleet: Fleet) -> float:
    """Of all nodes so far, in ms."""
    return 1000 * sum(cpu_of(each.pid) for each in fleet.nodes.values())


def spread(times: list[float]) -> tuple[float, float]:
    return median(times), sorted(times)[int(0.99 * len(times))]


def measured(nodes: int, secure: bool, count: int) -> Row:
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder), secure, patience=SECONDS, **OPTIONS) as fleet:
        while len(fleet.nodes) < nodes:
            fleet.start(min(TOGETHER, nodes - len(fleet.nodes)))
            fleet.settle(SECONDS)
        time.sleep(10)
        before, begun = cpu(fleet), time.monotonic()
        time.sleep(10)
        idle = (cpu(fleet) - before) / (time.monotonic() - begun)  # ms in a second, of all

        def taken(since: tuple[float, float], operations: int) -> float:
            return (cpu(fleet) - since[0] - idle * (time.monotonic() - since[1])) / operations

        there = fleet.ordered()
        some = there[:: max(1, len(there) // 8)]
        clients = [Client(some[at:] + some[:at]) for at in range(4)]

        def look_ups(client: Client) -> list[int]:
            found = []
            for number in range(count // len(clients)):
                status, body, _ = client.ask("GET", f"/lookup/{id(client)}-{number}")
                assert status == 200, body
                found.append(int(body.partition(b'"forwards": ')[2].split(b",")[0]))
            return found

        with ThreadPoolExecutor(len(clients)) as pool:
            list(pool.map(look_ups, clients))  # connections, and parse memos
            since = cpu(fleet), time.monotonic()
            forwards = [each for some in pool.map(look_ups, clients) for each in some]
        took = time.monotonic() - since[1]
        lookup_cpu = taken(since, len(forwards))
        value = os.urandom(1024)
        rows: dict[str, tuple[tuple[float, float], float]] = {}
        for method, good in (("PUT", 204), ("GET", 200)):
            since, times = (cpu(fleet), time.monotonic()), []
            for number in range(count):
                status, body, spent = clients[0].ask(method, f"/keys/key{number}", value if method == "PUT" else None)
                assert status == good, (status, body)
                times.append(spent)
            rows[method] = spread(times), taken(since, count)
        sizes = [each.resident() for each in fleet.nodes.values()]
        for each in clients:
            each.close()
        rss, pss = (fmean(size[at] for size in sizes) / 2**20 for at in (0, 1))
        return Row(
            nodes, "TLS" if secure else "plain", idle / nodes, len(forwards) / took, lookup_cpu, fmean(forwards),
            *rows["PUT"], *rows["GET"], rss, pss,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--count", type=int, default=400, help="look-ups, puts and gets")
    given = parser.parse_args()
    print("| nodes | | idle, ms/s | look-ups/s | CPU ms | forwards | put ms, p99 | CPU | get ms, p99 | CPU | MiB | share |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for nodes in given.nodes:
        for secure in (False, True):
            row = measured(nodes, secure, given.count)
            print(
                f"| {row.nodes} | {row.way} | {row.idle_cpu:.1f} | {row.lookups:.0f} | {row.lookup_cpu:.2f} | "
                f"{row.forwards:.2f} | {row.put[0]:.1f}, {row.put[1]:.1f} | {row.put_cpu:.2f} | "
                f"{row.get[0]:.1f}, {row.get[1]:.1f} | {row.get_cpu:.2f} | {row.rss:.1f} | {row.pss:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
