"""The spool: what was acknowledged is there after any crash, what is done is gone, and files do not pile up."""

import tracemalloc
from dataclasses import replace
from math import inf
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from netstack.smtp.records import Record, encode, scan
from netstack.smtp.spool import Damaged, Spool, SpoolFull, SpoolLimits
from netstack.world.simulated import Simulation
from tests.disks import NoNewFiles

SMALL = SpoolLimits(segment=4000, together=5)


def opened(
    simulation: Simulation, limits: SpoolLimits = SMALL, heads: dict[int, Any] | None = None
) -> tuple[Spool, dict[int, Any]]:
    """A spool on the host "mail", and the heads of what is in it."""
    kept: dict[int, Any] = {} if heads is None else heads
    spool = Spool(simulation.machine(simulation.hosts["mail"]), limits, kept.__getitem__)
    kept.update(spool.open(dict, lambda head, change: head | change))
    return spool, kept


def simulated(seed: int = 1) -> Simulation:
    simulation = Simulation(seed)
    simulation.host("mail", "192.0.2.1")
    return simulation


def _disk_full(failure: Failure) -> None:
    failure.trap(OSError)


class User:
    """Who keeps messages, and knows what was acknowledged."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.heads: dict[int, Any] = {}
        self.known: dict[int, tuple[bytes, int]] = {}
        """Acknowledged: the content, and the last change that was."""
        self.asked: dict[int, int] = {}
        """The last change that was asked for."""
        self.gone: set[int] = set()
        self.count = 0

    def check(self, spool: Spool) -> None:
        """After a crash."""
        assert not self.gone & self.heads.keys()
        for kept, (content, change) in [*self.known.items()]:
            assert spool.content(kept) == content
            assert change <= self.heads[kept].get("change", 0) <= self.asked.get(kept, 0)
        self.known = {kept: (spool.content(kept), head.get("change", 0)) for kept, head in self.heads.items()}

    def work(self, spool: Spool) -> None:
        """One thing or the other."""
        choice = self.rng.random()
        if choice < 0.6 or not self.known:
            self.count += 1
            content, head = self.rng.randbytes(self.rng.choice((0, 10, 300, 3000))), {"n": self.count}
            spool.accept(head, content).addCallbacks(self.accepted, _disk_full, (content, head))
            return
        kept = self.rng.choice(list(self.known))
        if choice < 0.8:
            change = self.asked[kept] = self.asked.get(kept, 0) + 1
            self.heads[kept]["change"] = change
            spool.change(kept, {"change": change}).addCallbacks(self.changed, _disk_full, (change,))
        else:
            del self.known[kept]
            spool.done(kept).addCallbacks(self.gone.add, _disk_full)

    def accepted(self, kept: int, content: bytes, head: dict[str, int]) -> None:
        self.known[kept] = content, 0
        self.heads[kept] = head

    def changed(self, kept: int, change: int) -> None:
        if kept in self.known:
            self.known[kept] = self.known[kept][0], max(change, self.known[kept][1])


@pytest.mark.parametrize("synced", [True, False])
def test_messages_with_one_content_are_kept_together_or_not_at_all(synced: bool) -> None:
    simulation = simulated()
    host = simulation.hosts["mail"]
    spool, kept = opened(simulation)
    numbers = [spool.take_number() for _ in range(3)]
    others = [(number, {"n": number}) for number in numbers[1:]]
    if not synced:
        simulation.call(host, lambda: spool.accept({"n": 1}, b"hello", numbers[0], others).addBoth(lambda _: None))
        host.power_off()
        host.boot()
        spool, kept = opened(simulation)
        assert kept == {}
        return
    assert simulation.ask(host, spool.accept, {"n": 1}, b"hello", numbers[0], others) == numbers[0]
    simulation.ask(host, spool.done, numbers[1])
    for _ in range(2):
        assert len(spool) == 2
        assert [spool.content(number) for number in (numbers[0], numbers[2])] == [b"hello"] * 2
        host.power_off()
        host.boot()
        spool, kept = opened(simulation)
        assert kept == {numbers[0]: {"n": 1}, numbers[2]: {"n": 3}}
        assert spool.take_number() > numbers[2]


def test_messages_are_kept_changed_and_forgotten() -> None:
    simulation = simulated()
    spool, kept = opened(simulation)
    host = simulation.hosts["mail"]
    first = simulation.ask(host, spool.accept, {"to": "bob"}, b"hello\r\n")
    second = simulation.ask(host, spool.accept, {"to": "eve"}, b"x" * 5000)
    simulation.ask(host, spool.change, first, {"tried": 1})
    assert (spool.content(first), spool.length(second)) == (b"hello\r\n", 5000)
    host.power_off()
    host.boot()
    spool, kept = opened(simulation)
    assert kept == {first: {"to": "bob", "tried": 1}, second: {"to": "eve"}}
    assert spool.content(second) == b"x" * 5000
    simulation.ask(host, spool.done, first)
    with pytest.raises(KeyError):
        spool.content(first)
    host.power_off()
    host.boot()
    spool, kept = opened(simulation)
    assert list(kept) == [second]
    simulation.ask(host, spool.done, second)
    third = simulation.ask(host, spool.accept, {}, b"")
    assert third > second
    assert len(host.disk.list("queue")) == 1


@pytest.mark.parametrize("seed", range(25))
def test_nothing_is_lost_in_crashes(seed: int) -> None:
    """Power cuts at any moment, a disk that is full at times: acknowledged messages are there, changes too."""
    rng = Random(seed)
    simulation = simulated(seed)
    host = simulation.hosts["mail"]
    user = User(rng)
    for _ in range(8):
        spool, user.heads = opened(simulation)
        user.check(spool)
        for _ in range(rng.randrange(5, 60)):
            host.disk.room = inf if rng.random() < 0.9 else host.disk.used + rng.randrange(300)
            simulation.call(host, user.work, spool)
            simulation.run(for_seconds=rng.choice((0.0, 0.001, 0.005)))
        if rng.random() < 0.3:
            simulation.run()
        host.disk.room = inf
        host.power_off()
        host.boot()
    assert len(user.known) > 5


def test_files_go_when_their_messages_are_done() -> None:
    simulation = simulated()
    host = simulation.hosts["mail"]
    spool, heads = opened(simulation)
    stays = simulation.ask(host, spool.accept, {"stays": True}, b"s" * 100)
    heads[stays] = {"stays": True, "tried": 3}
    for _ in range(200):
        kept = simulation.ask(host, spool.accept, {}, b"x" * 500)
        simulation.ask(host, spool.done, kept)
    simulation.run()
    assert len(host.disk.list("queue")) <= 3
    assert spool.content(stays) == b"s" * 100
    host.power_off()
    host.boot()
    assert opened(simulation)[1] == {stays: {"stays": True, "tried": 3}}


def test_messages_that_come_together_share_a_write() -> None:
    simulation = simulated()
    spool, _ = opened(simulation, SpoolLimits())
    waiting: list[Deferred[int]] = []
    simulation.call(simulation.hosts["mail"], lambda: waiting.extend(spool.accept({}, b"x") for _ in range(500)))
    simulation.run()
    assert len(spool) == 500
    assert spool.commits == 2
    assert len({each.result for each in waiting}) == 500


def test_a_file_that_cannot_be_made_is_tried_again() -> None:
    simulation = simulated()
    host = simulation.hosts["mail"]
    disk: Any = NoNewFiles(host.disk)
    heads: dict[int, Any] = {}
    spool = Spool(replace(simulation.machine(host), disk=disk), SMALL, heads.__getitem__)
    assert spool.open(dict, lambda head, change: head | change) == []
    with pytest.raises(OSError, match="Too many open files"):
        simulation.ask(host, spool.accept, {}, b"refused")
    assert (len(spool), spool.octets, host.disk.list("queue")) == (0, 0, [])
    disk.refuses = False
    number = simulation.ask(host, spool.accept, {}, b"accepted")
    host.power_off()
    host.boot()
    spool, kept = opened(simulation)
    assert list(kept) == [number]
    assert spool.content(number) == b"accepted"


def test_bounds() -> None:
    simulation = simulated()
    host = simulation.hosts["mail"]
    spool, _ = opened(simulation, SpoolLimits(messages=1, waiting=10))
    with pytest.raises(SpoolFull, match="written"):
        spool.accept({}, b"x" * 11)
    simulation.ask(host, spool.accept, {}, b"x" * 10)
    with pytest.raises(SpoolFull, match="queue is full"):
        spool.accept({}, b"")
    simulation.ask(host, spool.close)
    with pytest.raises(SpoolFull, match="closed"):
        spool.change(1, {})


def test_damage_costs_one_message() -> None:
    simulation = simulated()
    host = simulation.hosts["mail"]
    spool, _ = opened(simulation, SpoolLimits())
    numbers = [simulation.ask(host, spool.accept, {}, bytes([65 + n]) * 100) for n in range(3)]
    [name] = host.disk.list("queue")
    octets = host.disk.read(f"queue/{name}")
    host.disk.write(f"queue/{name}", octets.replace(b"B" * 100, b"B" * 99 + b"C"))
    host.kill()
    host.boot()
    spool, kept = opened(simulation, SpoolLimits())
    assert list(kept) == [numbers[0], numbers[2]]  # the newest file is read whole
    assert spool.damaged == 1
    numbers.append(simulation.ask(host, spool.accept, {}, b"new"))
    assert numbers[3] > numbers[2]
    octets = octets.replace(b"B" * 100, b"B" * 99 + b"C").replace(b"A" * 100, b"A" * 99 + b"C")
    host.disk.write(f"queue/{name}", octets)
    host.kill()
    host.boot()
    spool, kept = opened(simulation, SpoolLimits())
    assert list(kept) == [numbers[0], *numbers[2:]]  # what was torn when its file was the newest has never been a message
    with pytest.raises(Damaged):
        spool.content(numbers[0])
    assert spool.content(numbers[2]) == b"C" * 100


@pytest.mark.parametrize("starts", [1, 2, 3])
def test_what_was_torn_is_no_message_at_any_later_start(starts: int) -> None:
    """Also where the host dies again, and again, before it has noted so."""
    simulation = simulated()
    host = simulation.hosts["mail"]
    spool, _ = opened(simulation)
    safe = simulation.ask(host, spool.accept, {}, b"A" * 100)
    simulation.ask(host, spool.accept, {}, b"B" * 100)
    [name] = host.disk.list("queue")
    host.disk.write(f"queue/{name}", host.disk.read(f"queue/{name}").replace(b"B" * 100, b"B" * 50 + bytes(50)))
    for start in range(starts):
        host.kill()
        host.disk.write(f"queue/segment-{100 * start + 100:016x}", b"NSq")
        host.boot()
        spool, kept = opened(simulation)
        assert list(kept) == [safe]
    simulation.ask(host, spool.accept, {}, b"C" * 100)
    host.kill()
    host.boot()
    spool, kept = opened(simulation)
    assert [spool.content(number) for number in kept] == [b"A" * 100, b"C" * 100]


def test_every_torn_end_is_recognised() -> None:
    whole = encode(Record.MESSAGE, 1, {"a": 1}, b"content") + encode(Record.CHANGE, 1, {"b": 2}) + encode(Record.DONE, 1)
    ends = [found.end for found in scan(lambda at, length: whole[at : at + length], len(whole))]
    assert len(ends) == 3
    assert ends[-1] == len(whole)
    for size in range(len(whole)):
        torn = whole[:size]
        found = [each.end for each in scan(lambda at, length, torn=torn: torn[at : at + length], size)]  # type: ignore[misc]
        assert found == [end for end in ends if end <= size]
    for at in range(len(encode(Record.CHANGE, 1, {"b": 2}))):
        wrong = bytearray(whole)
        wrong[ends[0] + at] ^= 1
        assert len(list(scan(lambda at, length, wrong=wrong: bytes(wrong[at : at + length]), len(wrong)))) == 1  # type: ignore[misc]


def test_a_start_holds_no_changes() -> None:
    """A message that was tried for days has hundreds of changes on disk, and one state in memory."""
    simulation = simulated()
    spool, _ = opened(simulation, SpoolLimits())
    written = spool.accept({"change": 0}, b"lunch?")
    simulation.run(1.0)
    number: Any = written.result
    for change in range(3000):
        spool.change(number, {"change": change, "said": f"{change:1000}"})
    simulation.run(10.0)
    tracemalloc.start()
    try:
        _, kept = opened(simulation, SpoolLimits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept[number]["change"] == 2999
    assert peak < 1_000_000
