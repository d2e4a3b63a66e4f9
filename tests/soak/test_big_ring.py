"""A ring of a hundred thousand nodes in virtual time: a thousand of them fail, it mends itself, and look-ups are right."""

import gc
import os
import time
from pathlib import Path
from random import Random

from netstack.lab.ring_lookups import SPREAD, STABILIZE, SUCCESSORS, TIMEOUT, exponential, look_ups, ring
from netstack.ring.engine import RingOptions

NODES = int(os.environ.get("RING_NODES", "100000"))
GONE = NODES // 100
SECONDS = 2 * STABILIZE
LOOKUPS = 2000
MOST_KIB = 8.0


def resident() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4


def test_a_hundred_thousand_nodes() -> None:
    before = resident()
    network = ring(
        NODES,
        "big",
        RingOptions(SUCCESSORS, stabilize=STABILIZE, fix=STABILIZE, spread=SPREAD, timeout=TIMEOUT),
        exponential,
    )
    gc.freeze()
    rng = Random(1)
    for each in rng.sample(sorted(network.nodes), GONE):
        network.fail(each)
    began = time.process_time()
    network.run(SECONDS)
    took = time.process_time() - began
    kib = (resident() - before) / NODES
    found = look_ups(network, LOOKUPS, rng)
    gc.unfreeze()
    print(
        f"{NODES} nodes: {NODES * SECONDS / took:,.0f} node-seconds in a second of CPU, {kib:.2f} KiB for each node, "
        f"path {found.path:.2f}, time-outs {found.waits:.3f}"
    )
    assert found.failed == 0
    assert kib < MOST_KIB
