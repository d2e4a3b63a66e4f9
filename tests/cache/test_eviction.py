"""Which object goes: the queues of S3-FIFO, their links, and the ghosts."""

from collections import deque
from random import Random
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from netstack.cache.eviction import CHANCES, S3FIFO, Ghost, Item, Queue


class Named(Item):
    """An item for tests, known by a number."""

    __slots__ = ("name",)

    def __init__(self, name: int, octets: int = 1) -> None:
        super().__init__(octets)
        self.name = name

    @property
    def mark(self) -> int:
        return crc32(b"%d" % self.name)


def names(queue: Queue) -> list[int]:
    """From the oldest on, by the links in both directions."""
    found: list[int] = []
    item = queue.first
    while item is not None:
        assert isinstance(item, Named)
        assert item.queue is queue
        found.append(item.name)
        assert item.after is None or item.after.before is item
        assert item.after is not None or queue.last is item
        item = item.after
    assert len(found) == queue.count
    return found


class Cache:
    """A cache of so many octets in front of nothing."""

    def __init__(self, capacity: int) -> None:
        self.queues: S3FIFO[Named] = S3FIFO(capacity)
        self.items: dict[int, Named] = {}

    def request(self, name: int, octets: int = 1) -> bool:
        """Whether it was there; it is now."""
        item = self.items.get(name)
        if item is not None:
            item.uses = min(item.uses + 1, 3)
            return True
        item = self.items[name] = Named(name, octets)
        self.queues.add(item)
        while self.queues.octets > self.queues.capacity:
            gone = self.queues.evict()
            assert gone is not None
            del self.items[gone.name]
        return False


@given(st.lists(st.tuples(st.sampled_from(["push", "take"]), st.integers(0, 9)), max_size=60))
def test_a_queue_is_a_deque_from_which_any_can_be_taken(steps: list[tuple[str, int]]) -> None:
    queue, model = Queue(), deque[int]()
    items = {number: Named(number, number + 1) for number in range(10)}
    for step, number in steps:
        if step == "push" and items[number].queue is None:
            queue.push(items[number])
            model.append(number)
        elif step == "take" and items[number].queue is queue:
            queue.take(items[number])
            model.remove(number)
        assert names(queue) == list(model)
        assert queue.octets == sum(number + 1 for number in model)


def test_who_comes_once_leaves_by_the_small_queue() -> None:
    cache = Cache(10)
    for name in range(25):
        cache.request(name)
    assert names(cache.queues.small) == list(range(15, 25))
    assert names(cache.queues.main) == []


def test_who_is_asked_for_twice_goes_to_the_main_queue_with_its_uses_forgotten() -> None:
    cache = Cache(10)
    for name in range(10):
        cache.request(name)
    for _ in range(2):
        cache.request(0)
    cache.request(1)
    cache.request(10)
    assert names(cache.queues.main) == [0]
    assert cache.items[0].uses == 0
    assert 1 not in cache.items


def test_a_ghost_comes_back_into_the_main_queue_once() -> None:
    cache = Cache(10)
    for name in range(11):
        cache.request(name)
    assert 0 not in cache.items
    assert not cache.request(0)
    assert names(cache.queues.main) == [0]
    cache.queues.remove(cache.items.pop(0))
    assert not cache.request(0)
    assert 0 in names(cache.queues.small)


def test_a_scan_leaves_what_is_used() -> None:
    cache = Cache(100)
    for _ in range(4):
        for name in range(80):
            cache.request(name)
    for name in range(1000, 11_000):
        cache.request(name)
    assert sum(name in cache.items for name in range(80)) >= 78


def test_one_use_is_one_more_round_of_the_main_queue() -> None:
    queues: S3FIFO[Named] = S3FIFO(4)
    items = [Named(number) for number in range(4)]
    for item, uses in zip(items, (1, 0, 3, 0), strict=True):
        queues.main.push(item)
        item.uses = uses
    assert [queues.evict(), queues.evict(), queues.evict(), queues.evict()] == [items[1], items[3], items[0], items[2]]
    assert queues.evict() is None


def test_an_eviction_passes_over_so_many_and_no_more() -> None:
    queues: S3FIFO[Named] = S3FIFO(1000)
    for number in range(1000):
        item = Named(number)
        queues.main.push(item)
        item.uses = 3
    gone = queues.evict()
    assert gone is not None
    assert gone.name == CHANCES


def test_what_is_held_stays() -> None:
    cache = Cache(5)
    for name in range(5):
        cache.request(name)
        cache.items[name].held = 1
    assert cache.queues.evict() is None
    cache.items[3].held = 0
    gone = cache.queues.evict()
    assert gone is not None
    assert gone.name == 3
    assert len(cache.queues) == 4


def test_ghosts_are_the_last_ones() -> None:
    ghost = Ghost(1000)
    marks = [Random(4).getrandbits(32) for _ in range(1)] + [crc32(b"%d" % number) for number in range(3000)]
    for mark in marks:
        ghost.remember(mark)
    assert not any(ghost.forget(mark, 500) for mark in marks[:-500])
    known = sum(ghost.forget(mark, 500) for mark in marks[-500:])
    assert known > 450  # the others had to make room
    assert not any(ghost.forget(mark, 500) for mark in marks), "each is forgotten when it was known once"
    assert ghost.octets == 8 * len(ghost) == 8 * 1024


@given(st.sampled_from([1, 7]), st.lists(st.integers(0, 40), max_size=300))
def test_bounds_are_kept(octets: int, requests: list[int]) -> None:
    cache = Cache(20)
    for name in requests:
        cache.request(name, 1 + name % octets)
        queues = cache.queues
        assert queues.octets <= 20
        assert sorted(names(queues.small) + names(queues.main)) == sorted(cache.items)
        assert queues.octets == sum(item.octets for item in cache.items.values())
