"""Both tiers against a dictionary, through restarts, kills and losses of power: nothing wrong is ever found."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from netstack.cache.objects import Writing
from tests.cache.stores import KIB, Host, body_of, octets_of, put

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"])


class AgainstADictionary(RuleBasedStateMachine):
    """`may` is what may be found: metadata -> body. What was removed, and synced since, may never be found again."""

    @initialize(
        seed=st.integers(0, 1000),
        memory=st.sampled_from([32 * KIB, 256 * KIB]),
        disk=st.sampled_from([64 * KIB, 512 * KIB]),
        objects=st.sampled_from([8, 1000]),
    )
    def begin(self, seed: int, memory: int, disk: int, objects: int) -> None:
        self.host = Host(seed, memory=memory, disk=disk, objects=objects, inline=3000, window=8 * KIB, variants=4)
        self.may: dict[bytes, dict[bytes, bytes]] = {}
        self.dying: dict[bytes, dict[bytes, bytes]] = {}
        """Removed, but a crash may bring it back until the removal is on disk."""
        self.growing: list[tuple[Writing, int, int]] = []
        self.serial = 0

    def meta(self) -> bytes:
        self.serial += 1
        return b"meta %d" % self.serial

    @rule(key=KEYS, size=st.sampled_from([0, 10, 700, 2500, 9000]))
    def put(self, key: bytes, size: int) -> None:
        meta, body = self.meta(), body_of(self.serial, size)
        self.may.setdefault(key, {})[meta] = body
        put(self.host.store, key, body, meta, piece=4000)

    @rule(key=KEYS)
    def begin_one(self, key: bytes) -> None:
        if len(self.growing) < 3:
            self.serial += 1
            self.growing.append((self.host.store.begin(key, b"meta %d" % self.serial), self.serial, 0))

    @rule(pieces=st.integers(1, 8))
    def write(self, pieces: int) -> None:
        for place, (writing, number, size) in enumerate(self.growing):
            for _ in range(pieces):
                writing.write(body_of(number, 20_000)[size : size + 1000])
                size += 1000
            self.growing[place] = (writing, number, size)
            body = body_of(number, 20_000)
            assert writing.read(writing.start, 500) == body[writing.start : writing.start + 500][: writing.size]
            if size >= 12_000:
                self.end()

    @rule()
    def end(self) -> None:
        while self.growing:
            writing, number, size = self.growing.pop()
            self.may.setdefault(writing.key, {})[writing.meta] = body_of(number, 20_000)[:size]
            writing.end()
            writing.close()

    @rule(key=KEYS)
    def remove(self, key: bytes) -> None:
        for _, number, size in [it for it in self.growing if it[0].key == key]:
            self.dying.setdefault(key, {})[b"meta %d" % number] = body_of(number, 20_000)[:size]
        self.growing = [it for it in self.growing if it[0].key != key or it[0].close() is not None]
        self.host.store.remove(key)
        self.dying.setdefault(key, {}).update(self.may.pop(key, {}))

    @rule(key=KEYS, which=st.integers(0, 3))
    def discard(self, key: bytes, which: int) -> None:
        found = self.host.load(key)
        if which < len(found):
            self.host.store.discard(found[which])
            self.dying.setdefault(key, {})[found[which].meta] = self.may[key].pop(found[which].meta)

    @rule(key=KEYS, which=st.integers(0, 3))
    def freshen(self, key: bytes, which: int) -> None:
        found = self.host.load(key)
        if which < len(found):
            before, meta = found[which].meta, self.meta()
            fresh = self.host.store.freshen(found[which], meta)
            if fresh.meta == meta and fresh.resident:
                self.may[key][meta] = self.may[key][before]
                self.dying.setdefault(key, {})[before] = self.may[key].pop(before)

    @rule()
    def flush(self) -> None:
        self.host.settle()
        disk = self.host.store.disk
        assert disk is not None
        if disk.works and not disk.warming.going_on:
            self.dying.clear()

    @rule(key=KEYS)
    def look(self, key: bytes) -> None:
        for stored in self.host.load(key):
            assert octets_of(stored.body()) == self.may[key][stored.meta]

    @rule(way=st.sampled_from(["restart", "kill", "power_off"]), warm=st.booleans())
    def crash(self, way: str, warm: bool) -> None:
        for writing, _, _ in self.growing:
            writing.close()
        self.growing = []
        getattr(self.host, way)()
        for key, variants in self.dying.items():
            self.may.setdefault(key, {}).update(variants)
        if warm:
            self.host.warm()

    @rule(room=st.sampled_from([1000, 20_000, None]))
    def fill(self, room: int | None) -> None:
        self.host.disk.room = float("inf") if room is None else self.host.disk.used + room

    @invariant()
    def bounds_are_kept(self) -> None:
        self.host.check()

    def teardown(self) -> None:
        if not hasattr(self, "host"):
            return
        self.end()
        self.host.disk.room = float("inf")
        self.host.simulation.run(for_seconds=20)
        self.host.settle()
        self.host.restart().warm()
        for key in (b"a", b"b", b"c", b"d", b"e", b"f"):
            for stored in self.host.load(key):
                known = {**self.may.get(key, {}), **self.dying.get(key, {})}
                assert octets_of(stored.body()) == known[stored.meta]
        self.host.check()


AgainstADictionary.TestCase.settings = settings(stateful_step_count=30)
TestAgainstADictionary = AgainstADictionary.TestCase
