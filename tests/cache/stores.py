"""A store on a simulated host, through restarts, kills and losses of power; and one on a real disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from netstack.cache.limits import StoreLimits
from netstack.cache.objects import Stored
from netstack.cache.store import Store
from netstack.sansio import FileSlice
from netstack.world.simulated import Simulation

KIB, MIB = 1 << 10, 1 << 20


def octets_of(body: bytes | FileSlice) -> bytes:
    """All of a body, whose file is closed then."""
    if isinstance(body, bytes):
        return body
    parts, at = [], body.offset
    while at < body.offset + body.length:
        part = body.file.read_at(at, min(1 << 16, body.offset + body.length - at))
        assert part, "the file is too short"
        parts.append(part)
        at += len(part)
    body.file.close()
    return b"".join(parts)


def put(store: Store, key: bytes, body: bytes, meta: bytes = b"meta", piece: int = 1 << 16) -> Stored | None:
    """Store an object that comes in pieces."""
    writing = store.begin(key, meta, len(body))
    for at in range(0, len(body), piece):
        writing.write(body[at : at + piece])
    stored = writing.end()
    writing.close()
    return stored


def body_of(number: int, size: int) -> bytes:
    """Octets that look like no others."""
    return Random(number).randbytes(size)


class Host:
    """A store in the simulation."""

    def __init__(self, seed: int = 1, **limits: Any) -> None:
        self.simulation = Simulation(seed=seed)
        self.host = self.simulation.host("cache.someschool.edu", "10.0.0.1")
        self.limits = StoreLimits(**{"memory": MIB, "disk": MIB, **limits})
        self.open()

    @property
    def disk(self) -> Any:
        return self.host.disk

    def open(self) -> None:
        """A store of this boot, with nothing known of the disk yet."""
        self.store = Store(self.simulation.machine(self.host), self.limits)
        self.store.start()

    def warm(self) -> "Host":
        """Until all that is on disk is known, and written what waits."""
        for _ in range(1000):
            self.settle()
            assert self.store.disk is not None
            if not self.store.disk.warming.going_on:
                return self
            self.simulation.run(for_seconds=1)
        raise AssertionError("the disk is never known")

    def settle(self) -> None:
        self.simulation.ask(self.host, self.store.flush)

    def restart(self) -> "Host":
        """As an operator does it."""
        self.simulation.ask(self.host, self.store.stop)
        return self.kill()

    def kill(self) -> "Host":
        """kill -9; what the kernel has, it keeps."""
        self.host.kill()
        return self._boot()

    def power_off(self) -> "Host":
        """What was not synced is lost, but for some of it."""
        self.host.power_off()
        return self._boot()

    def _boot(self) -> "Host":
        self.host.boot()
        self.open()
        return self

    def load(self, key: bytes) -> tuple[Stored, ...]:
        """All variants."""
        found = self.store.find(key)
        return self.simulation.ask(self.host, self.store.load, key) if found is None else found

    def bodies(self, key: bytes) -> list[bytes]:
        return [octets_of(it.body()) for it in self.load(key)]

    def check(self) -> None:
        """What is counted is what is there, and within its bounds."""
        check(self.store)


def check(store: Store) -> None:
    """Bounds, and sums that must agree."""
    memory, disk = store.memory, store.disk
    assert disk is not None
    files, index = disk.files, disk.files.index
    assert files.taken <= store.limits.disk
    assert len(index) <= store.limits.objects
    unlinked = files.used - sum(it.octets for it in (*files.segments.values(), *files.leaving, *files.left))
    assert unlinked == 0 or (unlinked > 0 and disk.lane.busy)
    assert files.small_octets == sum(it.octets for it in files.small.values())
    assert {**files.small, **files.main} == files.segments
    for slot, stored in files.resident.items():
        assert stored.slot == slot
        assert stored.resident
        assert index.files[slot] in files.segments
        assert index.hashes[slot] == disk.hash_of(stored.key)
    live = [slot for slot in range(1, len(index.files)) if index.files[slot]]
    assert len(live) == len(index)
    assert all(slot in index.find(index.hashes[slot]) for slot in live)
    here = list(memory.variants(b""))
    assert len(here) == len(memory)
    for stored in here:
        assert stored.resident
        assert not stored.removed
        assert stored.slot == 0 or files.resident[stored.slot] is stored
    held = sum(it.octets for it in here if it.held)
    assert memory.used <= max(memory.octets, held + memory.growing + memory.index() + memory.queues.ghost.octets)


@contextmanager
def counted(store: Store, **expected: int) -> Iterator[None]:
    """So much more is counted at the end."""
    before = {name: getattr(store.counts, name) for name in expected}
    yield
    assert {name: getattr(store.counts, name) - before[name] for name in expected} == expected
