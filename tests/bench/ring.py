"""Nodes of the ring in virtual time: node-seconds for a second of CPU, memory of a node, look-ups; beside kademlia's."""

import argparse
import asyncio
import gc
import importlib
import importlib.util
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from netstack.lab.ring_lookups import SUCCESSORS, exponential, look_ups, ring, still
from netstack.ring.engine import RingOptions

PAGE = 4096


@dataclass(slots=True)
class Row:
    """One ring of engines."""

    nodes: int
    pause: float
    """Seconds between two looks at successor and shortcuts."""
    node_seconds: float
    """Simulated in a second of CPU."""
    messages: float
    """Carried in a second of CPU."""
    kib: float
    """Of memory for each node, in use after that time."""
    lookups: float
    """In a second of CPU, on a ring that only looks up."""
    path: float


def memory() -> int:
    """Octets of this process that are resident."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE


def measured(nodes: int, pause: float, seconds: float, lookups: int) -> Row:
    """A ring that looks after itself for so long; then one that only looks up."""
    gc.collect()
    before = memory()
    options = RingOptions(SUCCESSORS, stabilize=pause, fix=pause, spread=0.5)
    network = ring(nodes, "bench", options, exponential)
    began = time.process_time()
    network.run(seconds)
    took = time.process_time() - began
    kib = (memory() - before) / nodes / 1024
    carried = network.messages
    del network
    quiet = ring(nodes, "bench", still())
    began = time.process_time()
    found = look_ups(quiet, lookups, Random(1))
    asked = time.process_time() - began
    return Row(nodes, pause, nodes * seconds / took, carried / took, kib, lookups / asked, found.path)


# Beside: the package of PyPI, real datagrams on loopback


@dataclass(slots=True)
class Beside:
    """kademlia (PyPI): all nodes in one process, over UDP on 127.0.0.1. A key is kept at the 20 closest nodes."""

    nodes: int
    sets_ms: float
    """CPU of one set, all nodes together."""
    gets_ms: float
    kept: float
    """The part of keys that can be read after half of the nodes has gone at once."""
    first: int = 18468


async def kademlia(nodes: int, keys: int) -> Beside:
    """Keys set and read at random nodes, half of which then go without a word."""
    network: Any = importlib.import_module("kademlia.network")
    rng = Random(1)
    found = Beside(nodes, 0.0, 0.0, 0.0)
    servers: list[Any] = [network.Server() for _ in range(nodes)]
    try:
        for number, server in enumerate(servers):
            await server.listen(found.first + number, "127.0.0.1")
            if number:
                await server.bootstrap([("127.0.0.1", found.first + rng.randrange(number))])
        began = time.process_time()
        for number in range(keys):
            await rng.choice(servers).set(f"key {number}", "1")
        found.sets_ms = (time.process_time() - began) / keys * 1e3
        began = time.process_time()
        for number in range(keys):
            await rng.choice(servers).get(f"key {number}")
        found.gets_ms = (time.process_time() - began) / keys * 1e3
        gone = rng.sample(servers, nodes // 2)
        for server in gone:
            server.stop()
        servers = [server for server in servers if server not in gone]
        found.kept = fmean([await rng.choice(servers).get(f"key {number}") == "1" for number in range(keys)])
    finally:
        for server in servers:
            server.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--lookups", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--beside", type=int, default=16, help="nodes of kademlia; 0 for none")
    options = parser.parse_args()
    rows = [
        measured(nodes, pause, pause * 10_000 / nodes, options.lookups) for nodes in options.nodes for pause in (1.0, 30.0)
    ]
    beside = None
    if options.beside and importlib.util.find_spec("kademlia") is not None:
        beside = asyncio.run(kademlia(options.beside, 20))
    elif options.beside:
        print("kademlia is not installed: pip install kademlia", file=sys.stderr)
    if options.json:
        print(json.dumps({"rings": [asdict(row) for row in rows], "kademlia": asdict(beside) if beside else None}, indent=2))
        return
    print("  nodes  pause   node-seconds/s  messages/s  KiB/node  look-ups/s   path")
    for row in rows:
        print(
            f"  {row.nodes:6} {row.pause:4.0f} s   {row.node_seconds:14,.0f}  {row.messages:10,.0f}  {row.kib:8.2f}  "
            f"{row.lookups:10,.0f}  {row.path:5.2f}"
        )
    if beside:
        print(
            f"  kademlia, {beside.nodes} nodes over UDP: {beside.sets_ms:.1f} ms of CPU a set, {beside.gets_ms:.1f} a get; "
            f"{beside.kept:.0%} of the keys left after half of the nodes has gone"
        )


if __name__ == "__main__":
    main()
