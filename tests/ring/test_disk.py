"""Records on disk: what was acknowledged is there after any crash, what was dropped is not, and files stay small."""

from dataclasses import replace
from math import inf
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from netstack.ring.disk import LogFull, LogLimits, RecordLog
from netstack.ring.records import NEVER, DataOptions, Record, Value, Version
from netstack.ring.stored import Frame, decode_record, encode_drop, encode_record, encode_seen, scan
from netstack.ring.table import Table, name_of
from netstack.world.simulated import Simulation
from tests.disks import NoNewFiles

SMALL = LogLimits(segment=3000, together=5, chunk=3)
DAY = 86400.0


def simulated(seed: int = 1) -> Simulation:
    simulation = Simulation(seed)
    simulation.host("node", "192.0.2.1")
    return simulation


def record(key: bytes, *data: bytes, counter: int = 1, life: float = inf, cleared: Version = NEVER) -> Record:
    return Record(key, cleared, 100.0, tuple(Value(name_of(each), Version(counter, 7), life, False, each) for each in data))


class Host:
    """A node's log, its table, and what was acknowledged."""

    def __init__(self, simulation: Simulation, limits: LogLimits = SMALL) -> None:
        self.simulation = simulation
        self.host = simulation.hosts["node"]
        self.limits = limits
        self.known: dict[bytes, set[tuple[Version, bytes]]] = {}
        """Acknowledged values of each key."""
        self.doubtful: set[bytes] = set()
        """Keys of which a drop was begun, and not acknowledged."""
        self.open()

    def open(self, longest_away: float = DAY) -> None:
        self.table = Table(DataOptions())
        self.log = RecordLog(self.simulation.machine(self.host), self.limits, longest_away, held=self.held)
        for each in self.log.open():
            self.table.merge(each, self.now)

    @property
    def now(self) -> float:
        return self.simulation.machine(self.host).reactor.seconds()

    def held(self) -> list[Record]:
        return [each.record(self.now) for each in self.table]

    def change(self, each: Record) -> None:
        self.table.merge(each, self.now)
        self.log.keep((each,), ()).addCallbacks(self.kept, _no_room, (each,))

    def kept(self, result: None, each: Record) -> None:
        if each.key not in self.doubtful:
            self.known.setdefault(each.key, set()).update((value.version, value.data) for value in each.values)

    def drop(self, key: bytes) -> None:
        self.table.drop(key)
        self.doubtful.add(key)
        self.known.pop(key, None)
        self.log.keep((), (key,)).addCallbacks(lambda _: self.doubtful.discard(key), _no_room)

    def crash(self) -> None:
        self.host.power_off()
        self.host.boot()
        self.open()

    def check(self) -> None:
        for key, values in self.known.items():
            held = self.table.get(key)
            assert held is not None, key
            for version, data in values:
                entry = held.values.get(name_of(data))
                assert version < held.cleared or (entry is not None and entry.version >= version), (key, version)


def _no_room(failure: Failure) -> None:
    failure.trap(OSError)


def test_records_are_kept_and_dropped() -> None:
    node = Host(simulated())
    node.change(record(b"a", b"1", b"2", life=50.0))
    node.change(record(b"b", b"x" * 5000))
    node.change(record(b"c", b"3", cleared=Version(9, 9), counter=10))
    node.simulation.run(for_seconds=1)
    node.drop(b"b")
    node.simulation.run(for_seconds=9)
    node.crash()
    assert {each.key for each in node.table} == {b"a", b"c"}
    found = {each.key: each for each in node.held()}
    assert found[b"c"].cleared == Version(9, 9)
    assert {value.data for value in found[b"a"].values} == {b"1", b"2"}
    assert all(39 < value.life <= 41 for value in found[b"a"].values)
    node.simulation.run(for_seconds=60)
    node.crash()
    node.table.expire(node.now)
    assert not node.table.get(b"a") or all(entry.dead for entry in node.table.get(b"a").values.values())  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_in_crashes(seed: int) -> None:
    """Power cuts at any moment, snapshots under way, a disk that is full at times."""
    rng = Random(seed)
    node = Host(simulated(seed))
    count = 0
    for _ in range(8):
        for _ in range(rng.randrange(5, 60)):
            node.host.disk.room = inf if rng.random() < 0.9 else node.host.disk.used + rng.randrange(300)
            count += 1
            key = b"key %d" % rng.randrange(12)
            if rng.random() < 0.85:
                data = b"%d " % count + bytes(rng.choice((0, 10, 300)))
                node.simulation.call(node.host, node.change, record(key, data, counter=count))
            elif node.table.get(key) is not None:
                node.simulation.call(node.host, node.drop, key)
            node.simulation.run(for_seconds=rng.choice((0.0, 0.001, 0.005, 0.02)))
        node.host.disk.room = inf
        node.crash()
        node.check()
    assert sum(map(len, node.known.values())) > 5


def test_files_do_not_grow_for_ever() -> None:
    node = Host(simulated())
    for count in range(1, 1500):
        node.change(Record(b"k%d" % (count % 7), Version(count, 1), 1.0, record(b"", b"x" * 50, counter=count).values))
        if count % 20 == 0:
            node.simulation.run(for_seconds=0.2)
    node.simulation.run(for_seconds=5)
    assert node.log.snapshots > 3
    assert sum(node.host.disk.stat(f"records/{name}").size for name in node.host.disk.list("records")) < 20_000
    node.crash()
    assert len(node.table) == 7
    node.check()


def test_changes_that_come_together_share_a_write() -> None:
    node = Host(simulated(), LogLimits())
    node.simulation.run(for_seconds=1)
    before = node.log.commits
    node.simulation.call(node.host, lambda: [node.change(record(b"k%d" % each, b"v")) for each in range(500)])
    node.simulation.run(for_seconds=1)
    assert node.log.commits - before == 2
    assert len(node.known) == 500


def test_who_was_away_too_long_begins_without() -> None:
    """It does not know what was removed meanwhile."""
    simulation = simulated()
    node = Host(simulation)
    node.change(record(b"a", b"1"))
    simulation.run(for_seconds=3 * DAY)  # idle, but up
    node.crash()
    assert len(node.table) == 1
    simulation.run(for_seconds=1)
    node.host.power_off()
    simulation.run(for_seconds=2 * DAY)
    node.host.boot()
    node.open()
    assert len(node.table) == 0
    assert len(node.log.open()) == 0


def test_a_log_that_cannot_be_made_is_tried_again() -> None:
    node = Host(simulated())
    disk: Any = NoNewFiles(node.host.disk)
    log = RecordLog(replace(node.simulation.machine(node.host), disk=disk), SMALL)
    node.simulation.call(node.host, log.open)
    with pytest.raises(OSError, match="Too many open files"):
        node.simulation.ask(node.host, log.keep, (record(b"refused", b"1"),), ())
    disk.refuses = False
    node.simulation.ask(node.host, log.keep, (record(b"kept", b"1"),), ())
    assert log.failed == 2  # the note that the node is up, too
    node.crash()
    assert {each.key for each in node.table} == {b"kept"}


def test_bounds() -> None:
    node = Host(simulated(), LogLimits(waiting=500))
    outcomes: list[Deferred[None]] = []
    node.simulation.call(node.host, lambda: outcomes.append(node.log.keep((record(b"a", b"x" * 500),), ())))
    node.simulation.run(for_seconds=0.001)
    with pytest.raises(LogFull, match="waits"):
        outcomes[0].result.raiseException()  # type: ignore[attr-defined]
    outcomes[0].addErrback(lambda failure: None)
    node.simulation.ask(node.host, node.log.close)
    node.simulation.call(node.host, lambda: outcomes.append(node.log.keep((), (b"a",))))
    node.simulation.run(for_seconds=0.001)
    with pytest.raises(LogFull, match="closed"):
        outcomes[1].result.raiseException()  # type: ignore[attr-defined]
    outcomes[1].addErrback(lambda failure: None)


def test_every_torn_end_and_every_wrong_octet_is_recognised() -> None:
    one = record(b"key", b"value", b"", life=10.0, cleared=Version(3, 4))
    whole = encode_record(one, 1000.0) + encode_drop(b"other") + encode_seen(7.0)
    found = list(scan(lambda at, length: whole[at : at + length], len(whole)))
    assert [each.kind for each in found] == [Frame.RECORD, Frame.DROP, Frame.SEEN]
    assert decode_record(found[0].body, 1000.0) == one
    assert [value.life for value in decode_record(found[0].body, 1004.0).values] == [6.0, 6.0]
    ends = [each.end for each in found]
    for size in range(len(whole)):
        torn = whole[:size]
        assert [each.end for each in scan(lambda at, length, torn=torn: torn[at : at + length], size)] == [  # type: ignore[misc]
            end for end in ends if end <= size
        ]
    for at in range(ends[0]):
        wrong = bytearray(whole)
        wrong[at] ^= 1
        assert list(scan(lambda at, length, wrong=wrong: bytes(wrong[at : at + length]), len(wrong))) == []  # type: ignore[misc]
    for size in range(len(found[0].body)):
        with pytest.raises(ValueError, match="no record"):
            decode_record(found[0].body[:size], 0.0)
