"""The disk tier on a simulated disk: restarts, kills, losses of power, a full disk, and octets that change."""

import pytest

from netstack.cache.objects import Gone
from netstack.sansio import FileSlice
from tests.cache.stores import KIB, MIB, Host, body_of, octets_of, put


def test_what_was_stored_is_there_after_a_restart() -> None:
    host = Host().warm()
    for number in range(100):
        put(host.store, b"%d" % number, body_of(number, 1000), b"meta %d" % number)
    put(host.store, b"7", b"another variant", b"of seven")
    host.restart()
    host.warm()
    for number in range(100):
        found = host.load(b"%d" % number)
        assert [it.meta for it in found if it.meta != b"of seven"] == [b"meta %d" % number]
        assert [octets_of(it.body()) for it in found if it.meta != b"of seven"] == [body_of(number, 1000)]
    assert sorted(host.bodies(b"7")) == sorted([body_of(7, 1000), b"another variant"])
    assert host.load(b"100") == ()
    assert host.store.counts.loaded == 101
    assert host.store.counts.torn == 0
    host.check()
    assert host.store.find(b"7") is not None, "it is in memory now"


def test_what_was_written_is_there_after_a_kill() -> None:
    host = Host().warm()
    for number in range(100):
        put(host.store, b"%d" % number, body_of(number, 1000))
    host.settle()
    for number in range(100, 120):
        put(host.store, b"%d" % number, body_of(number, 1000))
    host.kill().warm()
    for number in range(120):
        assert host.bodies(b"%d" % number) == ([body_of(number, 1000)] if number < 100 else [])
    host.kill().warm()
    assert host.bodies(b"99") == [body_of(99, 1000)]
    host.check()


@pytest.mark.parametrize("seed", range(10))
def test_a_loss_of_power_loses_no_more_than_was_not_synced(seed: int) -> None:
    host = Host(seed).warm()
    for number in range(300):
        put(host.store, b"%d" % number, body_of(number, 1000))
    host.settle()
    host.power_off().warm()
    there = [number for number in range(300) if host.bodies(b"%d" % number)]
    assert all(host.bodies(b"%d" % number) == [body_of(number, 1000)] for number in there)
    host.check()
    put(host.store, b"new", b"body")
    host.settle()
    host.kill().warm()
    assert host.bodies(b"new") == [b"body"]
    assert there == [number for number in range(300) if host.bodies(b"%d" % number)]


@pytest.mark.parametrize("sealed", [True, False])
def test_what_was_removed_stays_so(sealed: bool) -> None:
    host = Host().warm()
    for number in range(10):
        put(host.store, b"%d" % number, b"x")
        put(host.store, b"%d" % number, b"y", b"other")
    if sealed:
        host.restart().warm()
    else:
        host.settle()
    assert host.store.remove(b"3") == 2
    (*_, variant) = [it for it in host.load(b"4") if it.meta == b"other"]
    host.store.discard(variant)
    host.settle()
    for _ in range(2):
        (host.power_off if sealed else host.kill)().warm()
        assert (host.bodies(b"3"), host.bodies(b"4"), sorted(host.bodies(b"5"))) == ([], [b"x"], [b"x", b"y"])
    host.check()


def test_what_is_removed_before_the_disk_is_known_stays_so() -> None:
    host = Host().warm()
    for number in range(10):
        put(host.store, b"%d" % number, b"x")
    host.restart()
    assert host.store.remove(b"3") == 0
    assert host.load(b"4") == ()
    put(host.store, b"3", b"newer")
    host.warm()
    assert (host.bodies(b"3"), host.bodies(b"4")) == ([b"newer"], [b"x"])
    host.kill().warm()
    assert (host.bodies(b"3"), host.bodies(b"4")) == ([b"newer"], [b"x"])


def test_a_purge_while_segments_are_read_holds_after_a_kill_in_the_middle() -> None:
    host = Host(disk=64 * KIB).warm()  # small segments, many of them
    for number in range(30):
        put(host.store, b"%d" % number, bytes(500))
    host.restart()
    disk = host.store.disk
    assert disk is not None
    host.simulation.run(stop=lambda: disk.warming.listed, for_seconds=10)
    assert disk.warming.going_on
    host.store.remove(b"0")
    host.settle()
    host.kill().warm()
    assert host.bodies(b"0") == []
    assert host.bodies(b"1") == [bytes(500)]


@pytest.mark.parametrize("large", [False, True])
def test_fresh_metadata_is_there_after_a_restart_and_the_old_is_not(large: bool) -> None:
    host = Host(inline=4 * KIB).warm()
    body = body_of(1, 20 * KIB if large else 2 * KIB)
    stored = put(host.store, b"k", body, b"old")
    host.settle()
    assert stored is not None
    assert host.store.freshen(stored, b"new") is stored
    host.settle()
    assert stored.slot > 0
    for _ in range(2):
        host.kill().warm()
        (found,) = host.load(b"k")
        assert (found.meta, octets_of(found.body())) == (b"new", body)
    host.check()


def test_an_object_evicted_from_memory_is_freshened_and_discarded_all_the_same() -> None:
    host = Host(memory=64 * KIB, inline=4 * KIB).warm()
    stored, other = put(host.store, b"k", b"body", b"old"), put(host.store, b"l", b"body", b"old")
    assert stored is not None
    assert other is not None
    host.settle()
    for number in range(100):
        put(host.store, b"%d" % number, bytes(2000))
    assert not stored.resident
    assert not stored.removed
    assert host.store.freshen(stored, b"new").meta == b"new"
    host.store.discard(other)
    host.settle()
    host.kill().warm()
    assert [it.meta for it in host.load(b"k")] == [b"new"]
    assert host.load(b"l") == ()


@pytest.mark.parametrize("size", [5 * KIB, 200 * KIB])
def test_a_large_body_goes_to_disk_while_it_comes(size: int) -> None:
    host = Host(memory=64 * KIB, inline=4 * KIB, window=20 * KIB).warm()
    body = body_of(1, size)
    writing = host.store.begin(b"k", b"meta")
    at = 0
    while at < size:
        if writing.full:
            rooms: list[int] = []
            writing.on_room = lambda rooms=rooms: rooms.append(writing.waiting)
            assert host.store.disk is not None
            host.store.disk.spills.feed(writing.spill)  # type: ignore[arg-type]
            host.settle()
            assert not writing.full
            assert rooms == [0]
        writing.write(body[at : at + 1000])
        at += 1000
    assert writing.storing
    assert writing.read(0, 10) == body[:10]
    stored = writing.end()
    assert stored is not None
    early = stored.body()
    assert isinstance(early, FileSlice)
    assert octets_of(early) == body
    assert host.bodies(b"k") == [body]
    host.settle()
    assert writing.read(4000, 100) == body[4000:4100]
    writing.close()
    assert host.store.memory.growing == 0
    part = stored.part(1000, 50)
    assert isinstance(part, FileSlice)
    assert octets_of(part) == body[1000:1050]
    host.restart().warm()
    (found,) = host.load(b"k")
    assert isinstance(found.body(), FileSlice)
    assert octets_of(found.body()) == body
    assert octets_of(found.part(size - 3, 100)) == body[-3:]
    assert host.store.remove(b"k") == 1
    host.settle()
    host.kill().warm()
    assert host.load(b"k") == ()
    host.check()


def test_a_large_body_that_is_given_up_leaves_nothing() -> None:
    host = Host(inline=4 * KIB, disk=4 * MIB).warm()
    writing = host.store.begin(b"k", b"meta")
    for _ in range(100):
        writing.write(bytes(5 * KIB))
    host.settle()
    assert len(host.disk.list("store/large/01")) == 1
    writing.abort()
    assert writing.read(0, 10) == bytes(10)
    writing.close()
    host.settle()
    assert host.disk.list("store/large/01") == []
    assert host.store.memory.growing == 0
    host.check()
    killed = host.store.begin(b"l", b"meta")
    for _ in range(100):
        killed.write(bytes(5 * KIB))
    host.settle()
    assert len(host.disk.list("store/large/02")) == 1
    host.kill().warm()
    assert host.store.counts.torn == 1
    assert host.disk.list("store/large/02") == []


def test_a_body_being_sent_outlives_its_eviction_and_takes_its_room_until_then() -> None:
    host = Host(disk=256 * KIB, inline=4 * KIB).warm()
    body = body_of(0, 60 * KIB)
    stored = put(host.store, b"0", body)
    assert stored is not None
    sending = stored.body()
    assert isinstance(sending, FileSlice)
    host.settle()
    host.store.remove(b"0")
    host.settle()
    assert host.store.disk is not None
    assert host.store.disk.files.used > 60 * KIB
    assert octets_of(sending) == body
    host.settle()
    assert host.store.disk.files.used < KIB
    host.check()


def test_the_disk_tier_keeps_its_bound_and_what_is_used() -> None:
    host = Host(memory=128 * KIB, disk=MIB, inline=16 * KIB).warm()
    used = [b"used %d" % number for number in range(50)]
    for key in used:
        put(host.store, key, body_of(int(key[5:]), 1000))
        host.settle()
    for number in range(10_000):
        put(host.store, b"scan %d" % number, bytes(1000))
        if number % 20 == 0:
            host.settle()
            host.check()
        if number % 100 == 0:
            missed = 0
            for key in used:
                if not host.bodies(key):
                    put(host.store, key, body_of(int(key[5:]), 1000))
                    host.settle()
                    missed += 1
            assert missed < 5
    there = [key for key in used if host.bodies(key) == [body_of(int(key[5:]), 1000)]]
    assert len(there) > 45
    host.restart().warm()
    assert len([key for key in used if host.bodies(key) == [body_of(int(key[5:]), 1000)]]) > 45
    assert len([number for number in range(10_000) if host.load(b"scan %d" % number)]) > 400
    host.check()


def test_large_and_small_objects_share_the_disk() -> None:
    host = Host(memory=128 * KIB, disk=MIB, inline=8 * KIB).warm()
    for number in range(400):
        size = 100 * KIB if number % 4 == 0 else 3000
        put(host.store, b"%d" % number, body_of(number, size))
        host.settle()
        host.check()
        assert host.bodies(b"%d" % number) in ([body_of(number, size)], [])
    assert host.store.counts.evicted_from_disk > 100
    there = [number for number in range(400) if host.bodies(b"%d" % number)]
    assert any(number % 4 == 0 for number in there)
    assert any(number % 4 for number in there)
    host.restart().warm()
    for number in there:
        assert host.bodies(b"%d" % number) in ([body_of(number, 100 * KIB if number % 4 == 0 else 3000)], [])


def test_the_number_of_objects_is_bounded() -> None:
    host = Host(objects=100, disk=MIB).warm()
    for number in range(1000):
        put(host.store, b"%d" % number, b"x")
        if number % 7 == 0:
            host.settle()
            host.check()
    host.limits = host.limits.__class__(memory=MIB, disk=MIB, objects=10)
    host.restart().warm()
    host.check()


def test_a_smaller_disk_than_before() -> None:
    host = Host(disk=MIB).warm()
    for number in range(800):
        put(host.store, b"%d" % number, bytes(1000))
        host.settle()
    host.limits = host.limits.__class__(memory=MIB, disk=128 * KIB)
    host.restart().warm()
    host.settle()
    host.check()


def test_a_full_disk_stores_nothing_and_service_goes_on() -> None:
    host = Host(memory=MIB, disk=MIB, inline=64 * KIB, retry=10.0).warm()
    for number in range(100):
        put(host.store, b"%d" % number, body_of(number, 1000))
    host.settle()
    host.disk.room = host.disk.used + 5000
    for number in range(100, 200):
        put(host.store, b"%d" % number, body_of(number, 1000))
        host.settle()
        assert host.bodies(b"%d" % number) == [body_of(number, 1000)], "from memory"
    writing = host.store.begin(b"large", b"meta")
    for _ in range(40):
        writing.write(bytes(5000))
    assert not writing.storing
    assert writing.read(0, 10) == bytes(10)
    writing.close()
    assert host.store.counts.disk_failed >= 1
    assert host.store.counts.not_written >= 95
    host.disk.room = float("inf")
    host.simulation.run(for_seconds=11)
    put(host.store, b"after", b"body")
    host.settle()
    host.check()
    host.kill().warm()
    assert host.bodies(b"after") == [b"body"]
    for number in range(100):
        assert host.bodies(b"%d" % number) in ([body_of(number, 1000)], [])


def test_a_disk_that_fills_while_a_large_body_comes() -> None:
    host = Host(memory=MIB, disk=10 * MIB, inline=64 * KIB, window=100 * KIB).warm()
    host.disk.room = host.disk.used + 300 * KIB
    body = body_of(1, 2 * MIB)
    writing, at = host.store.begin(b"k", b"meta"), 0
    read = b""
    told: list[bool] = []
    writing.on_room = lambda: told.append(writing.storing)
    while at < len(body):
        writing.write(body[at : at + 10_000])
        at += 10_000
        host.settle()
        while piece := writing.read(len(read), 1 << 20):
            read += piece
        writing.forget(len(read))
    assert not writing.storing
    assert False in told, "whoever receives learns that it may forget"
    assert writing.end() is None
    assert read == body
    with pytest.raises(Gone):
        writing.read(500 * KIB, 1)
    writing.close()
    host.settle()
    assert host.store.memory.growing == 0
    host.check()


def test_an_unknown_format_empties_the_store() -> None:
    host = Host().warm()
    put(host.store, b"k", b"body")
    host.restart()
    host.disk.write("store/format", b"something else")
    host.kill().warm()
    assert host.load(b"k") == ()
    assert host.store.counts.torn == 1
    put(host.store, b"k", b"body")
    host.restart().warm()
    assert host.bodies(b"k") == [b"body"]


def test_files_that_are_not_ours_are_left_alone() -> None:
    host = Host().warm()
    put(host.store, b"k", b"body")
    host.restart()
    host.disk.write("store/segments/notes.txt", b"mine")
    host.disk.write("store/large/00/l00000001", b"in the wrong directory")
    host.kill().warm()
    assert host.bodies(b"k") == [b"body"]
    assert host.disk.read("store/segments/notes.txt") == b"mine"


def test_everything_is_listed_wherever_it_is() -> None:
    host = Host(memory=64 * KIB, inline=4 * KIB).warm()
    for number in range(100):
        put(
            host.store,
            b"GET http://a/%d" % number,
            body_of(number, 9 * KIB if number % 10 == 0 else 1000),
            bytes(number * 20),
        )
        host.settle()
    put(host.store, b"GET http://b/", b"other")
    host.settle()
    assert len(host.store.memory) < 50

    async def keys(prefix: bytes) -> list[tuple[bytes, int, int]]:
        return sorted([(it.key, len(it.meta), it.size) async for it in host.store.everything(prefix)])

    expected = sorted((b"GET http://a/%d" % n, n * 20, 9 * KIB if n % 10 == 0 else 1000) for n in range(100))
    assert host.simulation.ask(host.host, keys, b"GET http://a/") == expected
    assert len(host.store.memory) < 50, "nothing was put into memory"
    host.restart()
    assert host.simulation.ask(host.host, keys, b"") == [*expected, (b"GET http://b/", 4, 5)]

    async def purge() -> int:
        count = sum([host.store.remove(it.key) async for it in host.store.everything(b"GET http://a/")])
        await host.store.removals()
        return count

    assert host.simulation.ask(host.host, purge) == 100
    host.kill().warm()
    assert host.simulation.ask(host.host, keys, b"") == [(b"GET http://b/", 4, 5)]


def test_a_disk_that_cannot_be_read_is_tried_again() -> None:
    host = Host(retry=5.0)
    host.disk.write("store", b"a file where the directory should be")
    put(host.store, b"early", b"body")
    host.settle()
    assert host.store.counts.disk_failed == 1
    assert host.bodies(b"early") == [b"body"], "from memory"
    assert host.store.remove(b"early") == 1
    put(host.store, b"k", b"body")
    host.disk.remove("store")
    host.simulation.run(for_seconds=6)
    host.warm()
    put(host.store, b"late", b"body")
    host.restart().warm()
    assert (host.bodies(b"early"), host.bodies(b"late")) == ([], [b"body"])
    host.check()


def test_removed_while_it_is_written() -> None:
    host = Host().warm()
    host.settle()
    assert host.store.disk is not None
    put(host.store, b"0", b"body")
    put(host.store, b"1", b"body")
    assert host.store.disk.lane.busy
    assert host.store.remove(b"0") == 1
    host.settle()
    assert host.store.counts.written == 2, "it was too late to stop it"
    host.kill().warm()
    assert (host.bodies(b"0"), host.bodies(b"1")) == ([], [b"body"])


def test_removed_while_it_is_copied() -> None:
    host = Host(memory=128 * KIB, disk=MIB, inline=16 * KIB).warm()
    used = [b"used %d" % number for number in range(10)]
    for key in used:
        put(host.store, key, b"body")
    host.settle()
    disk = host.store.disk
    assert disk is not None

    def copying() -> bool:
        """The first records are on their way into the main queue."""
        segment = disk.files.active.get("m")
        return segment is not None and segment.end > 0 and segment.table is not None and not len(segment.table)

    for number in range(2000):
        put(host.store, b"scan %d" % number, bytes(1000))
        for key in used:
            host.bodies(key)
        host.simulation.run(for_seconds=0.1, stop=copying)
        if copying():
            break
    assert copying()
    assert host.store.remove(used[3]) == 1
    host.settle()
    assert host.store.counts.copied >= 9
    host.kill().warm()
    assert [len(host.bodies(key)) for key in used] == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
