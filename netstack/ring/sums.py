"""A tree over the places of keys that tells in a few steps how many lie between two places, and a sum over what they hold.

A Merkle tree whose inner nodes are sums of their leaves' digests, modulo 2^128: so a sum between any two places, which are
the ends of arcs, comes from whole branches but at the edges, and a change costs one addition for each level.
"""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from netstack.ring.records import POSITION_BITS

LEAF = 32
"""Keys of a branch that is not divided."""
_FAN = 4
_WAYS = 1 << _FAN
_MASK = (1 << 128) - 1


class Placed(Protocol):
    """What the tree holds."""

    position: int
    digest: int


P = TypeVar("P", bound=Placed)


class _Branch(Generic[P]):
    __slots__ = ("branches", "count", "held", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0
        self.held: list[P] = []
        self.branches: list[_Branch[P] | None] = []
        """None in a leaf, which holds keys instead."""


class Sums(Generic[P]):
    """Keys by place; who changes the digest of one that is in it says so."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: _Branch[P] = _Branch()

    def add(self, each: P) -> None:
        self._place(self._root, POSITION_BITS, each)

    def discard(self, each: P) -> None:
        """Remove one that is in it."""
        path = self._down(each.position)
        for branch in path:
            branch.count -= 1
            branch.sum = (branch.sum - each.digest) & _MASK
        path[-1].held.remove(each)
        for branch in path[-2::-1]:
            if branch.count > LEAF // 2:
                break
            branch.held = list(_below(branch))
            branch.branches = []

    def changed(self, each: P, before: int) -> None:
        """Its digest is another one than it was."""
        for branch in self._down(each.position):
            branch.sum = (branch.sum + each.digest - before) & _MASK

    def measure(self, first: int, last: int) -> tuple[int, int]:
        """How many lie from one place to another, both included, and the sum of their digests."""
        count, total = self._measure(self._root, POSITION_BITS, 0, first, last)
        return count, total & _MASK

    def between(self, first: int, last: int) -> Iterator[P]:
        """Those that lie there, in order."""
        return self._between(self._root, POSITION_BITS, 0, first, last)

    def _down(self, position: int) -> list[_Branch[P]]:
        path = [self._root]
        bits = POSITION_BITS
        while path[-1].branches:
            path.append(self._way(path[-1], bits, position))
            bits -= _FAN
        return path

    def _place(self, branch: _Branch[P], bits: int, each: P) -> None:
        while True:
            branch.count += 1
            branch.sum = (branch.sum + each.digest) & _MASK
            if not branch.branches:
                branch.held.append(each)
                if len(branch.held) > LEAF and bits:
                    held, branch.held, branch.branches = branch.held, [], [None] * _WAYS
                    for one in held:
                        self._place(self._way(branch, bits, one.position), bits - _FAN, one)
                return
            branch = self._way(branch, bits, each.position)
            bits -= _FAN

    def _way(self, branch: _Branch[P], bits: int, position: int) -> _Branch[P]:
        which = position >> (bits - _FAN) & _WAYS - 1
        found = branch.branches[which]
        if found is None:
            found = branch.branches[which] = _Branch()
        return found

    def _measure(self, branch: _Branch[P], bits: int, start: int, first: int, last: int) -> tuple[int, int]:
        end = start + (1 << bits) - 1
        if first <= start and end <= last:
            return branch.count, branch.sum
        count = total = 0
        if not branch.branches:
            for each in branch.held:
                if first <= each.position <= last:
                    count += 1
                    total += each.digest
            return count, total
        width = 1 << (bits - _FAN)
        for which, below in enumerate(branch.branches):
            at = start + which * width
            if below is not None and at <= last and at + width > first:
                more, of_them = self._measure(below, bits - _FAN, at, first, last)
                count += more
                total += of_them
        return count, total

    def _between(self, branch: _Branch[P], bits: int, start: int, first: int, last: int) -> Iterator[P]:
        if not branch.branches:
            yield from sorted(
                (each for each in branch.held if first <= each.position <= last), key=lambda each: each.position
            )
            return
        width = 1 << (bits - _FAN)
        for which, below in enumerate(branch.branches):
            at = start + which * width
            if below is not None and at <= last and at + width > first:
                yield from self._between(below, bits - _FAN, at, first, last)


def _below(branch: _Branch[P]) -> Iterator[P]:
    yield from branch.held
    for below in branch.branches:
        if below is not None:
            yield from _below(below)
