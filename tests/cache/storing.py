"""A process that checks what a former one left in a store, then stores until it is killed."""

import sys
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from netstack.cache.limits import StoreLimits
from netstack.cache.objects import Stored
from netstack.cache.store import Store
from netstack.kernel.real import real_machine
from tests.cache.stores import KIB, MIB, octets_of

KEYS = 1000
LIMITS = StoreLimits(memory=4 * MIB, disk=16 * MIB, inline=64 * KIB)


def body_of(serial: int) -> bytes:
    """Of each object another one; every fiftieth is large."""
    rng = Random(serial)
    return rng.randbytes(300 * KIB if serial % 50 == 0 else rng.randrange(20 * KIB))


def is_right(key: bytes, stored: Stored, removed: dict[bytes, int]) -> bool:
    """Whether an object is as it was stored, and not removed since."""
    serial = int(stored.meta)
    return octets_of(stored.body()) == body_of(serial) and serial > removed.get(key, -1)


async def run(reactor: Any, directory: str, first: int, removed: dict[bytes, int]) -> None:
    store = Store(real_machine("localhost", state_directory=directory, reactor=reactor), LIMITS)
    store.start()
    assert store.disk is not None
    while store.disk.warming.going_on:
        await store.flush()
        await deferLater(reactor, 0.001)
    right = wrong = 0
    for number in range(KEYS):
        key = b"key %d" % number
        for stored in store.find(key) or await store.load(key):
            if is_right(key, stored, removed):
                right += 1
            else:
                wrong += 1
    counts = store.counts
    print(f"found {right} {wrong} {counts.torn} {counts.corrupt}", flush=True)
    rng, serial = Random(first), first
    while True:
        key = b"key %d" % rng.randrange(KEYS)
        body = body_of(serial)
        for stored in store.find(key) or await store.load(key):
            store.discard(stored)
        writing = store.begin(key, b"%d" % serial, len(body))
        for at in range(0, len(body), 64 * KIB):
            writing.write(body[at : at + 64 * KIB])
        writing.end()
        writing.close()
        if serial % 40 == 0:
            gone = b"key %d" % rng.randrange(KEYS)
            store.remove(gone)
            await store.flush()
            print(f"removed {gone.decode()} {serial}", flush=True)
        elif serial % 10 == 0:
            await deferLater(reactor, 0)
        serial += 1
        if serial - first == KEYS:
            print("stored", flush=True)


def main(reactor: Any, directory: str, first: str, *removals: str) -> "Deferred[None]":
    pairs = (text.rsplit(" ", 1) for text in removals)
    removed = {key.encode(): int(serial) for key, serial in pairs}
    return Deferred.fromCoroutine(run(reactor, directory, int(first), removed))


if __name__ == "__main__":
    react(main, sys.argv[1:])
