"""Long lists handed out piece by piece, to those who ask for the next piece when they have read the last; pure."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")
MOST = 4
"""Lists under way at once; the oldest is given up for one more."""
PIECE = 500
"""Items in a piece: what is done in one turn of the reactor."""


class Pages(Generic[T]):
    """Lists under way, by number."""

    def __init__(self) -> None:
        self._lists: OrderedDict[int, Iterator[T]] = OrderedDict()
        self._last = 0

    def begin(self, items: Iterator[T]) -> int:
        """A list of which nothing is made before it is asked for; its number."""
        self._last += 1
        self._lists[self._last] = items
        while len(self._lists) > MOST:
            self._lists.popitem(last=False)
        return self._last

    def take(self, number: int, size: int = PIECE) -> tuple[list[T], bool]:
        """The next piece, and whether there may be more; raises KeyError for a list that is over or was given up."""
        self._lists.move_to_end(number)
        piece = list(islice(self._lists[number], size))
        more = len(piece) == size
        if not more:
            del self._lists[number]
        return piece, more
