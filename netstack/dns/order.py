"""The names of a zone in canonical order (RFC 4034 §6.1): neighbours and subtrees in logarithmic time; pure."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterable, Iterator

from dns.name import Name

_MANY = 64
"""Names that are put in one by one; more are sorted together with all others."""

Key = tuple[bytes, ...]


def canonical(name: Name) -> Key:
    """What orders names as RFC 4034 §6.1 says: their labels from the root down, without case."""
    return tuple(label.lower() for label in name.labels[::-1])


class Order:
    """Sorted names. It never changes: `altered` makes the next one."""

    __slots__ = ("_keys", "_names")

    def __init__(self, names: Iterable[Name]) -> None:
        pairs = sorted(((canonical(name), name) for name in names), key=_first)
        self._keys: list[Key] = [key for key, _ in pairs]
        self._names: list[Name] = [name for _, name in pairs]

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, at: int) -> Name:
        return self._names[at]

    def __iter__(self) -> Iterator[Name]:
        return iter(self._names)

    def upto(self, name: Name) -> int:
        """The place of the last name that is not after this one; -1: all are."""
        return bisect_right(self._keys, canonical(name)) - 1

    def after(self, name: Name) -> int:
        """The place of the first name after this one; the length: none is."""
        return bisect_right(self._keys, canonical(name))

    def before(self, name: Name) -> int:
        """The place of the last name before this one; -1: none is."""
        return bisect_left(self._keys, canonical(name)) - 1

    def below(self, name: Name) -> Iterator[Name]:
        """The names at and below one, which lie together."""
        key = canonical(name)
        at, length, keys = bisect_left(self._keys, key), len(key), self._keys
        while at < len(keys) and keys[at][:length] == key:
            yield self._names[at]
            at += 1

    def altered(self, added: Collection[Name], removed: Collection[Name]) -> "Order":
        """With some names more and some less; those that are there already, or are not, count for nothing."""
        if len(added) + len(removed) > _MANY:
            gone = {canonical(name) for name in removed}
            kept = [name for key, name in zip(self._keys, self._names, strict=True) if key not in gone]
            there = {canonical(name) for name in kept}
            return Order([*kept, *(name for name in added if canonical(name) not in there)])
        made = Order(())
        made._keys, made._names = list(self._keys), list(self._names)
        for name in removed:
            key = canonical(name)
            at = bisect_left(made._keys, key)
            if at < len(made._keys) and made._keys[at] == key:
                del made._keys[at], made._names[at]
        for name in added:
            key = canonical(name)
            at = bisect_left(made._keys, key)
            if at == len(made._keys) or made._keys[at] != key:
                insort(made._keys, key)
                made._names.insert(at, name)
        return made


def _first(pair: tuple[Key, Name]) -> Key:
    return pair[0]
