"""Processes of the ring, of kademlia (PyPI) and of OpenDHT (Debian): requests, CPU, keys that are left after equal churn."""

import argparse
import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import IO, Any, Protocol

from tests.processes import cpu_of
from tests.ring.fleet import Fleet, Process

NODE = Path(__file__).with_name("_dht_node.py")
DEBIAN = "/usr/bin/python3"
PORT = 19_300
SECONDS = 15.0
"""For an answer; then it has failed."""
SETTLE, MEND, IDLE = 10.0, 20.0, 5.0
"""Seconds until all have found each other; after the last change, before keys are read; for the CPU of idle nodes."""


class Program(Protocol):
    """Nodes of one kind; `there` are those that run, in the order in which they came."""

    name: str
    copies: int
    there: list[Any]

    def start(self, through: Any) -> None: ...
    def kill(self, node: Any) -> None: ...
    def put(self, node: Any, key: str, value: str) -> bool: ...
    def get(self, node: Any, key: str) -> str | None: ...
    def requests(self, keys: Sequence[str], rng: Random) -> float:
        """To other nodes for one get; for the ring, the questions of the look-up and of the read."""
        ...

    def close(self) -> None: ...


class Ring:
    """Ours: asked by way of HTTP at each node's gateway."""

    def __init__(self, copies: int) -> None:
        self.copies = copies
        self.name = f"ring, {copies} copies"
        self._directory = tempfile.TemporaryDirectory()
        self._fleet = Fleet(Path(self._directory.name), successors=copies + 2, data={"copies": copies})
        self.there: list[Process] = []

    def start(self, through: Process | None) -> None:
        self.there += self._fleet.start()

    def kill(self, node: Process) -> None:
        self._fleet.kill([node])
        self.there.remove(node)

    def put(self, node: Process, key: str, value: str) -> bool:
        return self._fleet.ask(node, "PUT", f"/keys/{key}", value.encode(), SECONDS).status == 204

    def get(self, node: Process, key: str) -> str | None:
        answer = self._fleet.ask(node, "GET", f"/keys/{key}", seconds=SECONDS)
        return answer.body.decode() if answer.status == 200 else None

    def requests(self, keys: Sequence[str], rng: Random) -> float:
        """Each node of the path is asked, the responsible one whether it is there, and it asks the others of the quorum."""
        ways = [json.loads(self._fleet.ask(rng.choice(self.there), "GET", f"/lookup/{key}").body) for key in keys]
        return fmean(each["forwards"] for each in ways) + 1 + self.copies - 1

    def close(self) -> None:
        self._fleet.__exit__(None, None, None)
        self._directory.cleanup()


@dataclass(eq=False)
class Other:
    """One node of another program."""

    port: int
    process: "subprocess.Popen[str]"
    ready: bool = False
    number: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid


class Others:
    """Kademlia's or OpenDHT's nodes, with 127.0.0.1 and a port each."""

    def __init__(self, program: str, copies: int, ports: int) -> None:
        self.program, self.copies = program, copies
        self.name = f"{program}, {copies} copies"
        self.there: list[Other] = []
        self._next = ports

    def start(self, through: Other | None) -> None:
        self._next += 1
        interpreter = DEBIAN if self.program == "opendht" else sys.executable
        arguments = [self.program, str(self._next), str(through.port if through else 0), f"node {self._next}"]
        process = subprocess.Popen(
            [interpreter, str(NODE), *arguments, str(self.copies)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.there.append(Other(self._next, process))

    def kill(self, node: Other) -> None:
        self.there.remove(node)
        node.process.kill()
        node.process.wait()

    def put(self, node: Other, key: str, value: str) -> bool:
        return self._ask(node, "put", key, value) is True

    def get(self, node: Other, key: str) -> str | None:
        found = self._ask(node, "get", key, "")
        return found if isinstance(found, str) else None

    def requests(self, keys: Sequence[str], rng: Random) -> float:
        def sent() -> int:
            return sum(int(str(self._ask(each, "asked", "", "") or 0)) for each in self.there)

        sent()
        for key in keys:
            self.get(rng.choice(self.there), key)
        return sent() / len(keys)

    def close(self) -> None:
        for node in [*self.there]:
            self.kill(node)

    def _ask(self, node: Other, *what: str) -> object:
        assert node.process.stdin is not None
        assert node.process.stdout is not None
        node.number += 1
        end = time.monotonic() + SECONDS
        with suppress(OSError, ValueError):
            if not node.ready and self._line(node.process.stdout, end) == "ready\n":
                node.ready = True
            if node.ready:
                print(json.dumps([node.number, *what]), file=node.process.stdin, flush=True)
            while node.ready and (line := self._line(node.process.stdout, end)):
                number, answer = json.loads(line)
                if number == node.number:
                    return answer
        return None

    @staticmethod
    def _line(out: IO[str], end: float) -> str:
        ready, _, _ = select.select([out], [], [], max(0.0, end - time.monotonic()))
        return out.readline() if ready else ""


@dataclass(slots=True)
class Row:
    """What one program did."""

    program: str
    nodes: int
    requests: float
    """To other nodes for one get at a random node."""
    get_ms: float
    """Median, one after another."""
    gets: float
    """In a second, four at once."""
    cpu_ms: float
    """Of all nodes for one get, beyond what they take anyway."""
    idle: float
    """CPU seconds that one node takes in an hour without anything to do."""
    put_failed: int
    during: float
    """The part of gets during the churn that gave the value, of those whose put was answered."""
    left: float
    """The same after it: keys that are readable."""
    kills: int
    joins: int


def changes(seed: int, nodes: int, pause: float, seconds: float) -> list[tuple[float, bool, float]]:
    """When, whether a node comes or is killed, and which of those that are there, as a part: the same for each program."""
    rng = Random(f"churn {seed}")
    found, when, count = [], 0.0, nodes
    while (when := when + rng.expovariate(1 / pause)) < seconds:
        comes = rng.random() < 0.5 if 0.75 * nodes < count < 1.25 * nodes else count <= nodes
        count += 1 if comes else -1
        found.append((when, comes, rng.random()))
    return found


def cpu(program: Program) -> float:
    """Seconds of all nodes."""
    seconds = 0.0
    for each in program.there:
        with suppress(FileNotFoundError):
            seconds += cpu_of(each.pid)
    return seconds


def measured(
    program: Program, nodes: int, keys: int, gets: int, plan: Sequence[tuple[float, bool, float]], seed: int
) -> Row:
    """Start, write, read; then nodes come and are killed while somebody reads, then everything is read."""
    rng = Random(f"use {seed}")
    for number in range(nodes):
        program.start(program.there[rng.randrange(number)] if number else None)
        time.sleep(0.3)
    time.sleep(SETTLE)
    names = [f"key{number}" for number in range(keys)]
    kept = [name for name in names if program.put(rng.choice(program.there), name, name)]
    time.sleep(2)
    began = cpu(program)
    time.sleep(IDLE)
    idle = (cpu(program) - began) / IDLE
    requests = program.requests(kept[:50], rng)
    took = []
    for name in rng.choices(kept, k=50):
        begun = time.monotonic()
        program.get(rng.choice(program.there), name)
        took.append(time.monotonic() - begun)
    began, begun = cpu(program), time.monotonic()
    with ThreadPoolExecutor(4) as pool:

        def read(share: int) -> None:
            mine, draw = program.there[share::4], Random(share)
            for _ in range(gets // 4):
                program.get(draw.choice(mine), draw.choice(kept))

        list(pool.map(read, range(4)))
    elapsed = time.monotonic() - begun
    used = cpu(program) - began - idle * elapsed
    right, asked = _churn(program, plan, kept, rng)
    time.sleep(MEND)
    left = fmean(program.get(rng.choice(program.there), name) == name for name in kept)
    return Row(
        program.name, nodes, requests, median(took) * 1e3, gets / elapsed, used / gets * 1e3, idle / nodes * 3600,
        keys - len(kept), right / max(1, asked), left,
        sum(not comes for _, comes, _ in plan), sum(comes for _, comes, _ in plan),
    )  # fmt: skip


def _churn(program: Program, plan: Sequence[tuple[float, bool, float]], kept: Sequence[str], rng: Random) -> tuple[int, int]:
    """Gets that were right, and all: one after another at random nodes that have been there for a moment."""
    begun, right, asked = time.monotonic(), 0, 0
    came: dict[int, float] = {}
    for when, comes, which in plan:
        while (left := begun + when - time.monotonic()) > 0:
            ready = [each for each in program.there if time.monotonic() - came.get(id(each), 0.0) > 5]
            name = rng.choice(kept)
            asked += 1
            right += program.get(rng.choice(ready), name) == name
            time.sleep(min(left, 0.1))
        chosen = program.there[int(which * len(program.there))]
        if comes:
            program.start(chosen)
            came[id(program.there[-1])] = time.monotonic()
        else:
            program.kill(chosen)
    return right, asked


def programs(ports: int) -> dict[str, Any]:
    """How to make each."""
    return {
        "ring": lambda: Ring(3),
        "ring-8": lambda: Ring(8),
        "opendht": lambda: Others("opendht", 8, ports),
        "kademlia": lambda: Others("kademlia", 20, ports + 200),
        "kademlia-8": lambda: Others("kademlia", 8, ports + 400),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", nargs="+", default=list(programs(0)), choices=list(programs(0)))
    parser.add_argument("--nodes", type=int, default=24)
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--gets", type=int, default=400)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two changes, on the average")
    parser.add_argument("--seconds", type=float, default=60.0, help="of churn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plan = changes(options.seed, options.nodes, options.pause, options.seconds)
    rows = []
    for name in options.programs:
        if (
            name == "opendht"
            and subprocess.run([DEBIAN, "-c", "import opendht"], capture_output=True, check=False).returncode
        ):
            print("OpenDHT is not installed: apt-get install python3-opendht", file=sys.stderr)
            continue
        with ExitStack() as ends:
            program = programs(options.port)[name]()
            ends.callback(program.close)
            rows.append(measured(program, options.nodes, options.keys, options.gets, plan, options.seed))
        if not options.json:
            _print(rows[-1], len(rows) == 1)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))


def _print(row: Row, first: bool) -> None:
    if first:
        print(f"{row.nodes} nodes, {row.joins} come and {row.kills} are killed")
        print(
            "program               requests  ms a get  gets/s  CPU ms a get  CPU s/h idle  puts failed  read in churn  left"
        )
    print(
        f"{row.program:20}  {row.requests:8.1f}  {row.get_ms:8.1f}  {row.gets:6.0f}  {row.cpu_ms:12.2f}  {row.idle:12.0f}  "
        f"{row.put_failed:11}  {row.during:13.1%}  {row.left:5.1%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
