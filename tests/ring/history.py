"""What clients did and saw, and whether one order of it all explains that (linearizability, Herlihy and Wing 1990).

The check is that of Wing and Gong, with Lowe's memory of what was tried: search for an order of a key's operations that
keeps the order of those that did not overlap, and in which every read gives just what is there. An operation of which
nobody knows the outcome may have happened at any time after it began, or never.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

State = frozenset[bytes]


@dataclass(slots=True)
class Operation:
    """One of a client, on a key."""

    kind: str
    """put, replace, remove (of a value), clear or get."""
    key: bytes
    value: bytes
    begun: float
    ended: float = inf
    """inf where the outcome is not known."""
    seen: State = frozenset()
    """By a get."""
    version: tuple[int, int] = (0, 0)
    client: str = ""

    def after(self, state: State) -> State | None:
        """The state that follows, or None where it cannot have happened in this one."""
        if self.kind == "get":
            return state if self.seen == state else None
        if self.kind == "put":
            return state | {self.value}
        if self.kind == "replace":
            return frozenset((self.value,))
        return state - {self.value} if self.kind == "remove" else frozenset()


def is_linearizable(operations: Iterable[Operation], most: int = 2_000_000) -> bool:
    """Of one key. Raises RuntimeError where the search takes too long."""
    seen = {value for each in operations for value in each.seen}
    chosen = [each for each in operations if each.ended < inf or (each.kind != "get" and not _is_unseen(each, seen))]
    chosen.sort(key=lambda each: each.begun)
    count = len(chosen)
    all_done = sum(1 << at for at, each in enumerate(chosen) if each.ended < inf)
    tried: set[tuple[int, State]] = set()
    stack: list[tuple[int, State]] = [(0, frozenset())]
    while stack:
        done, state = stack.pop()
        if (done, state) in tried:
            continue
        tried.add((done, state))
        if len(tried) > most:
            raise RuntimeError(f"{count} operations on one key are too many")
        if done & all_done == all_done:
            return True
        first_end = min(each.ended for at, each in enumerate(chosen) if not done >> at & 1)
        following = []
        for at, each in enumerate(chosen):
            if each.begun > first_end:
                break
            if done >> at & 1:
                continue
            after = each.after(state)
            if after is not None:
                if each.kind == "get":  # it changes nothing: no other order can do without it here
                    following = [(done | 1 << at, state)]
                    break
                following.append((done | 1 << at, after))
        stack.extend(following)
    return False


def _is_unseen(each: Operation, seen: set[bytes]) -> bool:
    """A put without an outcome, of a value that nobody saw: as if it had never been."""
    return each.kind == "put" and each.value not in seen


def wrong_keys(operations: Sequence[Operation]) -> list[bytes]:
    """Keys whose history has no order."""
    keys = sorted({each.key for each in operations})
    return [key for key in keys if not is_linearizable([each for each in operations if each.key == key])]


def of_key(operations: Sequence[Operation], key: bytes) -> str:
    """To be read by a person."""
    return "\n".join(
        f"{each.begun:8.3f} {each.ended:8.3f} {each.client:>12} {each.kind:8} {each.value.decode():6}"
        f" {each.version[0]:4} {sorted(value.decode() for value in each.seen) if each.kind == 'get' else ''}"
        for each in sorted(operations, key=lambda each: each.begun)
        if each.key == key
    )


def thin_air(operations: Sequence[Operation]) -> list[bytes]:
    """Values that were seen and that nobody had begun to put before."""
    first: dict[tuple[bytes, bytes], float] = {}
    for each in operations:
        if each.kind in ("put", "replace"):
            where = each.key, each.value
            first[where] = min(each.begun, first.get(where, inf))
    return [
        value for each in operations for value in each.seen if first.get((each.key, value), inf) > each.ended
    ]  # fmt: skip


def lost(operations: Sequence[Operation], found: Mapping[bytes, State]) -> list[Operation]:
    """Writes that were acknowledged, that no other one with a greater version undid, and that are not among what is found.

    Versions are given apart in parts of a ring that do not reach each other: there the greater one need not be the later.
    """
    return [
        each
        for each in operations
        if each.kind in ("put", "replace")
        and each.ended < inf
        and each.value not in found[each.key]
        and not any(
            other is not each
            and other.key == each.key
            and (other.version > each.version or other.ended == inf)
            and (other.kind in ("clear", "replace") or (other.kind == "remove" and other.value == each.value))
            for other in operations
        )
    ]
