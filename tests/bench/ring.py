"""Nodes of the ring in virtual time: node-seconds for a second of CPU, memory of a node, look-ups."""

import argparse
import gc
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--lookups", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [
        measured(nodes, pause, pause * 10_000 / nodes, options.lookups) for nodes in options.nodes for pause in (1.0, 30.0)
    ]
    if options.json:
        print(json.dumps({"rings": [asdict(row) for row in rows]}, indent=2))
        return
    print("  nodes  pause   node-seconds/s  messages/s  KiB/node  look-ups/s   path")
    for row in rows:
        print(
            f"  {row.nodes:6} {row.pause:4.0f} s   {row.node_seconds:14,.0f}  {row.messages:10,.0f}  {row.kib:8.2f}  "
            f"{row.lookups:10,.0f}  {row.path:5.2f}"
        )


if __name__ == "__main__":
    main()
