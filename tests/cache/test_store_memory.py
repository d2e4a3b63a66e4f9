"""The memory tier against a dictionary: what it has is what was put in, and its bounds hold whatever comes."""

import gc
import weakref
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from netstack.cache.limits import StoreLimits
from netstack.cache.memory import OVERHEAD
from netstack.cache.objects import Gone, Stored, Writing
from netstack.cache.store import Store
from netstack.kernel.machine import Machine
from netstack.world.simulated import Simulation


def a_machine() -> Machine:
    simulation = Simulation(seed=1)
    return simulation.machine(simulation.host("cache.someschool.edu", "10.0.0.1"))


def a_store(**limits: int) -> Store:
    return Store(a_machine(), StoreLimits(**{"memory": 1 << 20, **limits}))


def put(store: Store, key: bytes, body: bytes, meta: bytes = b"meta") -> Stored | None:
    writing = store.begin(key, meta, len(body))
    writing.write(body)
    stored = writing.end()
    writing.close()
    return stored


def found(store: Store, key: bytes) -> list[bytes]:
    variants = store.find(key)
    assert variants is not None
    return [it.body_octets for it in variants]


def test_variants_are_found_the_newest_first() -> None:
    store = a_store(variants=3)
    for body in (b"one", b"two", b"three", b"four"):
        put(store, b"k", body)
    assert found(store, b"k") == [b"four", b"three", b"two"]
    assert found(store, b"other") == []
    assert len(store.memory) == 3
    (_, second, _) = store.find(b"k") or ()
    store.discard(second)
    store.discard(second)
    assert found(store, b"k") == [b"four", b"two"]
    assert second.removed
    assert store.remove(b"k") == 2
    assert store.remove(b"k") == 0
    assert found(store, b"k") == []
    assert store.counts.removed == 4, "one of too many variants, too"


def test_parts() -> None:
    stored = put(a_store(), b"k", b"0123456789")
    assert stored is not None
    assert (stored.body(), stored.part(2, 3), stored.part(8, 5), stored.size) == (b"0123456789", b"234", b"89", 10)
    assert stored.uses == 3


def test_freshened_metadata_stays_with_the_body_and_does_not_bring_it_back() -> None:
    store = a_store()
    stored = put(store, b"k", b"body", b"old")
    assert stored is not None
    used = store.memory.used
    store.keep(stored, "decoded", 100)
    assert (stored.entry, store.memory.used) == ("decoded", used + 100)
    assert store.freshen(stored, b"longer") is stored
    assert (stored.meta, stored.entry, store.memory.used) == (b"longer", None, used + 3)
    store.remove(b"k")
    store.freshen(stored, b"again")
    assert found(store, b"k") == []
    assert store.counts.freshened == 1


def test_what_is_kept_with_objects_has_a_share_of_the_memory() -> None:
    store = a_store(memory=1 << 20)
    objects = [put(store, b"%d" % number, b"x") for number in range(100)]
    for stored in objects:
        assert stored is not None
        store.keep(stored, [1], 10_000)
    having = [stored is not None and stored.entry is not None for stored in objects]
    assert having == [False] * 74 + [True] * 26
    assert store.memory.used < 1 << 20


@pytest.mark.parametrize("length", [None, 11, 5])
def test_readers_follow_while_it_grows(length: int | None) -> None:
    store = a_store()
    writing = store.begin(b"k", b"meta", length)
    writing.write(b"hello ")
    assert (writing.read(0, 100), writing.read(2, 3), writing.read(6, 10)) == (b"hello ", b"llo", b"")
    writing.write(b"world")
    assert (writing.read(0, 100), writing.read(6, 100), writing.read(8, 2)) == (b"hello ", b"world", b"rl")
    stored = writing.end(b"other")
    assert writing.read(4, 100) == (b"o world" if length != 5 else b"o ")
    if length == 5:
        assert stored is None
        assert store.counts.incomplete == 1
    else:
        assert stored is not None
        assert (stored.body(), stored.meta) == (b"hello world", b"other")
    writing.close()
    assert store.memory.growing == 0


def test_too_large_a_body_is_kept_for_its_readers_alone() -> None:
    store = a_store(inline=100, window=150)
    rooms: list[int] = []
    writing = store.begin(b"k", b"meta")
    writing.on_room = lambda: rooms.append(writing.waiting)
    for number in range(10):
        writing.write(bytes([number]) * 50)
        assert writing.storing == (number < 2)
        assert writing.full == (number > 2)
    assert (store.counts.too_large, store.memory.growing) == (1, 500)
    writing.forget(120)
    assert (writing.start, writing.full, rooms) == (100, True, [150])
    assert writing.read(120, 100) == b"\2" * 30
    with pytest.raises(Gone):
        writing.read(99, 1)
    writing.forget(400)
    assert (writing.full, rooms) == (False, [150, 100])
    assert writing.end() is None
    assert writing.read(499, 100) == b"\x09"
    writing.close()
    assert store.memory.growing == 0
    assert store.begin(b"k", b"meta", 101).storing is False


def test_given_up_or_dropped() -> None:
    store = a_store()
    writing = store.begin(b"k", b"meta")
    writing.write(b"some")
    writing.abort()
    writing.abort()
    assert writing.read(0, 100) == b"some"
    with pytest.raises(ValueError, match="ended"):
        writing.write(b"more")
    del writing
    assert (found(store, b"k"), store.memory.growing, store.counts.incomplete) == ([], 0, 1)


def test_removed_while_it_was_received() -> None:
    store = a_store()
    writing = store.begin(b"k", b"meta")
    writing.write(b"of before")
    assert store.remove(b"k") == 0
    after = store.begin(b"k", b"meta")
    after.write(b"of after")
    assert writing.end() is None
    assert after.end() is not None
    assert found(store, b"k") == [b"of after"]
    assert store.counts.overtaken == 1


def test_what_is_held_keeps_its_place_and_nothing_else_comes() -> None:
    store = a_store(memory=1 << 16, inline=1 << 14)
    holding = []
    for number in range(100):
        stored = put(store, b"%d" % number, bytes(1 << 13))
        if stored is None:
            break
        stored.hold()
        holding.append(stored)
    assert len(holding) == 7
    assert store.counts.no_room == 1
    assert store.memory.used <= 1 << 16
    holding[4].release()
    assert put(store, b"more", bytes(1 << 13)) is not None
    assert holding[4].removed


def test_a_store_full_of_what_is_being_received() -> None:
    store = a_store(memory=1 << 16, inline=1 << 14)
    growing = [store.begin(b"%d" % number, b"") for number in range(20)]
    for writing in growing:
        writing.write(bytes(1 << 13))
    assert sum(it.storing for it in growing) == 7
    assert all(it.full != it.storing for it in growing)
    for writing in growing:
        writing.close()
    assert store.memory.growing == 0


def test_metadata_that_is_too_large_drives_nothing_out() -> None:
    store = a_store(memory=1 << 16, inline=1 << 14)
    put(store, b"k", b"x")
    assert put(store, b"large", b"x", bytes(1 << 15)) is None
    assert found(store, b"k") == [b"x"]
    assert store.counts.too_large == 1
    assert store.memory.growing == 0


def test_objects_are_no_work_for_the_collector_and_go_with_their_store() -> None:
    before = len(gc.get_objects())
    store = a_store()
    for number in range(1000):
        put(store, b"%d" % number, b"x")
    assert len(gc.get_objects()) - before < 500
    first = store.find(b"0")
    assert first is not None
    entry = Marked()
    store.keep(first[0], entry, 10)
    alive = weakref.ref(entry)
    del entry, first, store
    gc.collect()
    assert alive() is None


class Marked:
    """Something that can be seen to go."""


KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])


class AgainstADictionary(RuleBasedStateMachine):
    """Everything that is found was put there under that key, and not removed since; nothing is ever above its bound."""

    @initialize(memory=st.sampled_from([1 << 13, 1 << 15, 1 << 20]), objects=st.sampled_from([3, 1000]))
    def start(self, memory: int, objects: int) -> None:
        self.store = a_store(memory=memory, objects=objects, inline=2000, window=500, variants=3)
        self.model: dict[bytes, dict[int, tuple[bytes, bytes]]] = {}
        self.writings: list[tuple[Writing, bytes]] = []
        self.holding: list[Stored] = []
        self.serial = 0

    @rule(key=KEYS, size=st.integers(0, 3000), seed=st.integers(0, 9))
    def put(self, key: bytes, size: int, seed: int) -> None:
        body, meta = Random(seed).randbytes(size), b"%d" % self.serial
        self.serial += 1
        stored = put(self.store, key, body, meta)
        if stored is not None:
            self.model.setdefault(key, {})[id(stored)] = (meta, body)

    @rule(key=KEYS)
    def begin(self, key: bytes) -> None:
        if len(self.writings) < 5:
            self.writings.append((self.store.begin(key, b"growing"), b""))

    @rule(size=st.integers(1, 1000), which=st.integers(0, 4))
    def write(self, size: int, which: int) -> None:
        if which < len(self.writings):
            writing, sofar = self.writings[which]
            writing.write(bytes([which]) * size)
            self.writings[which] = (writing, sofar + bytes([which]) * size)
            assert writing.read(writing.start, 1 << 20) == writing.read(writing.start, 1 << 20)

    @rule(which=st.integers(0, 4), whole=st.booleans())
    def end(self, which: int, whole: bool) -> None:
        if which < len(self.writings):
            writing, body = self.writings.pop(which)
            stored = writing.end() if whole else writing.abort()
            if stored is not None:
                self.model.setdefault(writing.key, {})[id(stored)] = (b"growing", body)
            writing.close()

    @rule(key=KEYS)
    def remove(self, key: bytes) -> None:
        self.store.remove(key)
        self.model.pop(key, None)

    @rule(key=KEYS, meta=st.binary(max_size=50))
    def freshen(self, key: bytes, meta: bytes) -> None:
        for stored in (self.store.find(key) or ())[:1]:
            before = self.model[key][id(stored)][1]
            self.store.freshen(stored, meta)
            self.model[key][id(stored)] = (meta, before)

    @rule(key=KEYS, octets=st.integers(1, 5000))
    def keep(self, key: bytes, octets: int) -> None:
        for stored in self.store.find(key) or ():
            self.store.keep(stored, [key], octets)

    @rule(key=KEYS)
    def hold(self, key: bytes) -> None:
        for stored in self.store.find(key) or ():
            if len(self.holding) < 3:
                stored.hold()
                self.holding.append(stored)

    @rule()
    def release(self) -> None:
        while self.holding:
            self.holding.pop().release()

    @invariant()
    def what_is_found_is_what_was_put(self) -> None:
        count = octets = 0
        for key, variants in self.model.items():
            for stored in self.store.find(key) or ():
                assert (stored.meta, stored.body_octets) == variants[id(stored)]
                assert stored.octets == OVERHEAD + len(key) + len(stored.meta) + stored.size + stored.decoded
                count += 1
                octets += stored.octets
        memory = self.store.memory
        assert count == len(memory) <= memory.objects
        held = sum(stored.octets for stored in set(self.holding) if not stored.removed)
        growing = sum(writing.waiting for writing, _ in self.writings)
        assert memory.growing == growing
        ghosts = memory.used - octets - growing
        assert 0 <= ghosts <= memory.octets // 16
        assert memory.used <= max(memory.octets, held + growing + ghosts + OVERHEAD)


AgainstADictionary.TestCase.settings = settings(stateful_step_count=40)
TestAgainstADictionary = AgainstADictionary.TestCase
