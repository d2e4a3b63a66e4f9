"""The cache's store: a million objects of 1 KB in memory and on disk: octets for each, CPU per operation, restart."""

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater, react

from netstack.cache.limits import StoreLimits
from netstack.cache.memory import OVERHEAD
from netstack.cache.store import Store
from netstack.kernel.real import real_machine

GROUPS = ("memory", "million")
GIB = 1 << 30
META = 400
"""Octets of metadata: a usual head of a response."""


def key_of(number: int) -> bytes:
    return b"GET http://www.someschool.edu:80/somedepartment/page-%07d.html" % number


def resident() -> int:
    """Octets of memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Clock:
    """CPU of this process for a number of operations."""

    def __init__(self) -> None:
        self._began = time.process_time()

    def each(self, count: int) -> float:
        """Microseconds for one of so many."""
        used, self._began = time.process_time() - self._began, time.process_time()
        return round(used / count * 1e6, 2)


def store_one(store: Store, number: int, body: bytes) -> None:
    writing = store.begin(key_of(number), b"%d " % number + bytes(META), len(body))
    writing.write(body + b"%08d" % number)
    writing.length = writing.size
    writing.end()
    writing.close()


async def in_memory(clock: Any, count: int) -> dict[str, Any]:
    """Objects in the memory tier alone."""
    store = Store(real_machine("localhost", reactor=clock), StoreLimits(memory=8 * GIB, objects=count))
    body, rng = bytes(1016), Random(1)
    before, timer = resident(), Clock()
    for number in range(count):
        store_one(store, number, body)
    told: dict[str, Any] = {"objects": count, "store_us": timer.each(count)}
    gc.collect()
    payload = len(key_of(0)) + META + 8 + 1024
    told["octets"] = round((resident() - before) / count)
    told["beside_payload"] = told["octets"] - payload
    told["counted_beside_payload"] = round(store.memory.used / count) - payload
    told["constant"] = OVERHEAD
    keys = [key_of(rng.randrange(count)) for _ in range(200_000)]
    timer = Clock()
    for key in keys:
        (stored,) = store.find(key)  # type: ignore[misc]
        stored.body()
    told["find_us"] = timer.each(len(keys))
    return told


async def fill(clock: Any, directory: str, count: int) -> dict[str, Any]:
    """Objects on disk, with little memory."""
    store = Store(real_machine("localhost", state_directory=directory, reactor=clock), on_disk(count))
    store.start()
    body, timer, began = bytes(1016), Clock(), time.monotonic()
    for number in range(count):
        store_one(store, number, body)
        if number % 1000 == 0:
            while store.disk is not None and store.disk.behind > store.limits.behind // 2:
                await deferLater(clock, 0.001)
    await store.flush()
    told = {"write_us": timer.each(count), "write_seconds": round(time.monotonic() - began, 1)}
    await store.stop()
    assert store.counts.not_written == 0
    told["disk_octets"] = round(on_files(directory) / count)
    return told


def on_files(directory: str) -> int:
    """Octets of all files below it."""
    return sum(it.stat().st_size for it in Path(directory).rglob("*") if it.is_file())


def on_disk(count: int) -> StoreLimits:
    return StoreLimits(memory=256 << 20, disk=8 * GIB, objects=max(count, 1000))


async def restart(clock: Any, directory: str, count: int) -> dict[str, Any]:
    """A new process finds them."""
    before = resident()
    store = Store(real_machine("localhost", state_directory=directory, reactor=clock), on_disk(count))
    turns: list[float] = []
    last = time.thread_time()

    def turn() -> None:
        nonlocal last
        now = time.thread_time()  # of this thread: other programs on the machine do not count
        turns.append(now - last)
        last = now

    looping = LoopingCall(turn)
    looping.clock = clock
    looping.start(0.001)
    timer, began = Clock(), time.monotonic()
    store.start()
    assert store.disk is not None
    while store.disk.warming.going_on:
        await deferLater(clock, 0.01)
    told: dict[str, Any] = {"warm_seconds": round(time.monotonic() - began, 2), "warm_us": timer.each(count)}
    looping.stop()
    turns.sort()
    told["longest_turn_cpu_ms"] = round(turns[-1] * 1e3, 1)
    told["p99_turn_cpu_ms"] = round(turns[len(turns) * 99 // 100] * 1e3, 1)
    gc.collect()
    told["index_octets"] = round((resident() - before) / count, 1)
    told["index_counted"] = round(store.disk.files.index.octets / count, 1)
    rng = Random(2)
    some = [rng.randrange(count) for _ in range(50_000)]
    timer, waited = Clock(), 0
    for number in some:
        found = store.find(key_of(number))
        if found is None:
            waited += 1
            found = await store.load(key_of(number))
        assert bytes(found[0].body_octets or b"")[-8:] == b"%08d" % number
    told["find_us"], told["waited"] = timer.each(len(some)), waited
    told["found"] = len(store.disk.files.index)
    timer = Clock()
    for number in range(count, count + 20_000):
        store.find(key_of(number))
    told["absent_us"] = timer.each(20_000)
    await store.stop()
    return told


def of(name: str, count: int, directory: str) -> dict[str, Any]:
    """One measurement in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "tests.bench.cache_store",
        "--child",
        name,
        "--objects",
        str(count),
        "--directory",
        directory,
    ]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def child(name: str, count: int, directory: str) -> None:
    async def run(clock: Any) -> None:
        if name == "memory":
            told = await in_memory(clock, count)
        else:
            told = await (fill if name == "fill" else restart)(clock, directory, count)
        print(json.dumps(told))

    react(lambda clock: Deferred.fromCoroutine(run(clock)), _reactor=reactor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--only", choices=GROUPS, action="append")
    parser.add_argument("--directory", help="for the disk tier; by default a temporary one")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.child:
        child(options.child, options.objects, options.directory or "")
        return
    told: dict[str, dict[str, Any]] = {}
    groups = options.only or GROUPS
    if "memory" in groups:
        told["memory"] = of("memory", options.objects, "")
    if "million" in groups:
        with tempfile.TemporaryDirectory(prefix="netstack-bench-", dir=options.directory) as directory:
            told["million"] = {"objects": options.objects} | of("fill", options.objects, directory)
            told["million"] |= of("restart", options.objects, directory)
    if options.json:
        print(json.dumps(told, indent=2))
        return
    for group, rows in told.items():
        print(group)
        for name, value in rows.items():
            print(f"  {name:24}{value:>12}")


if __name__ == "__main__":
    main()
