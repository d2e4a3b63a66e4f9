"""Which object goes when a cache is full: S3-FIFO (Yang et al., "FIFO queues are all you need", SOSP 2023).

New objects wait in a small queue. Who is asked for twice there goes on to the main queue, the others leave soon: a scan
passes through a tenth of the cache. Who left the small queue is remembered for a while (`Ghost`), and enters the main queue
when it comes again. The main queue gives its oldest another round for each of up to three uses.
"""

from array import array
from typing import Generic, TypeVar

USES = 3
"""Uses that are counted of one object."""
SMALL = 10
"""One part in so many of the cache is the small queue's."""
CHANCES = 64
"""Objects that one eviction may pass over; then it takes the next, so that no eviction takes long."""
_WAYS = 4
"""Places of the ghost queue in which a number may be."""


class Item:
    """What a queue holds: a link in it, and what eviction must know."""

    __slots__ = ("after", "before", "held", "octets", "queue", "uses")

    def __init__(self, octets: int) -> None:
        self.octets = octets
        self.uses = 0
        """A hit adds 1, `USES` at most."""
        self.held = 0
        """Above 0: it may not go now."""
        self.queue: Queue | None = None
        self.before: Item | None = None
        self.after: Item | None = None

    @property
    def mark(self) -> int:
        """32 bits of a hash of its name, for the ghost queue."""
        raise NotImplementedError


class Queue:
    """A FIFO of items, linked through them: any of them leaves in the same short time, and no memory is needed beside."""

    __slots__ = ("count", "first", "last", "octets")

    def __init__(self) -> None:
        self.first: Item | None = None
        """The oldest."""
        self.last: Item | None = None
        self.count = 0
        self.octets = 0

    def push(self, item: Item) -> None:
        """An item that is in no queue becomes the newest."""
        last = self.last
        item.queue, item.before, item.after = self, last, None
        if last is None:
            self.first = item
        else:
            last.after = item
        self.last = item
        self.count += 1
        self.octets += item.octets

    def take(self, item: Item) -> None:
        """An item of this queue leaves it."""
        before, after = item.before, item.after
        if before is None:
            self.first = after
        else:
            before.after = after
        if after is None:
            self.last = before
        else:
            after.before = before
        item.queue = item.before = item.after = None
        self.count -= 1
        self.octets -= item.octets


class Ghost:
    """Numbers of 32 bits that were put in lately: 8 octets each, a few are forgotten early, one in a thousand is made up."""

    __slots__ = ("_cells", "_mask", "_now")

    def __init__(self, expected: int) -> None:
        buckets = 1
        while buckets * _WAYS < expected:
            buckets *= 2
        self._mask = buckets - 1
        self._cells = array("Q", bytes(8 * buckets * _WAYS))
        self._now = 0
        """Numbers put in so far; each cell has its number above the instant at which it came."""

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def octets(self) -> int:
        """Memory that it takes."""
        return 8 * len(self._cells)

    def remember(self, mark: int) -> None:
        """The newest; what is oldest among those that might be in the same places is forgotten."""
        self._now = (self._now + 1) & 0xFFFFFFFF or 1
        cells, first = self._cells, (mark & self._mask) * _WAYS
        oldest, age = first, -1
        for place in range(first, first + _WAYS):
            cell = cells[place]
            if not cell or cell >> 32 == mark:
                oldest = place
                break
            since = (self._now - cell) & 0xFFFFFFFF
            if since > age:
                oldest, age = place, since
        cells[oldest] = mark << 32 | self._now

    def forget(self, mark: int, lately: int) -> bool:
        """Whether a number was among the last `lately` ones; it is not any more."""
        cells, first = self._cells, (mark & self._mask) * _WAYS
        for place in range(first, first + _WAYS):
            cell = cells[place]
            if cell and cell >> 32 == mark:
                cells[place] = 0
                return (self._now - cell) & 0xFFFFFFFF < lately
        return False


Kind = TypeVar("Kind", bound=Item)


class S3FIFO(Generic[Kind]):
    """The queues of a cache of `capacity` octets. Nothing goes by itself: its owner evicts while it has too much."""

    def __init__(self, capacity: int, ghosts: int = 64) -> None:
        self.capacity = capacity
        self.small = Queue()
        self.main = Queue()
        self.ghost = Ghost(ghosts)

    def __len__(self) -> int:
        return self.small.count + self.main.count

    @property
    def octets(self) -> int:
        """Of all items."""
        return self.small.octets + self.main.octets

    def add(self, item: Kind) -> None:
        """A new item, or one that comes again."""
        if self.ghost.forget(item.mark, max(self.main.count, len(self.ghost) // 2)):
            self.main.push(item)
        else:
            self.small.push(item)

    def remove(self, item: Kind) -> None:
        """It goes for another reason; nothing remains of it."""
        if item.queue is not None:
            item.queue.take(item)

    def demote(self, item: Kind) -> None:
        """It has to be used again to stay in the main queue."""
        if item.queue is self.main:
            self.main.take(item)
            self.small.push(item)

    def resize(self, item: Kind, octets: int) -> None:
        """It has become larger or smaller."""
        if item.queue is not None:
            item.queue.octets += octets - item.octets
        item.octets = octets

    def evict(self) -> Kind | None:
        """The item that goes now, out of its queue; None where there is none that may."""
        small, main = self.small, self.main
        chances, held = CHANCES, 0
        while held <= CHANCES:
            queue = small if small.octets * SMALL > self.capacity or main.first is None else main
            item = queue.first
            if item is None:
                return None
            queue.take(item)
            if item.held:
                held += 1
                main.push(item)
            elif queue is small and item.uses > 1:
                item.uses = 0
                main.push(item)
            elif queue is main and item.uses and chances:
                chances -= 1
                item.uses -= 1
                main.push(item)
            else:
                if queue is small:
                    if main.count > len(self.ghost):
                        self.ghost = Ghost(2 * len(self.ghost))  # an empty one: to fill it would take long
                    self.ghost.remember(item.mark)
                else:
                    item.uses = USES - 1  # it came here by as many: the tier below may want to know
                return item  # type: ignore[return-value]  # items come in by `add` alone
        return None
