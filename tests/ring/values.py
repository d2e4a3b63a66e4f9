"""Messages of every kind, made by hypothesis from their classes."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies

from netstack.ring.identifiers import MOST_BITS, Contact
from netstack.ring.messages import Message
from netstack.ring.wire import KINDS, Hello

IDENTIFIERS = ("key", "ident", "path", "start", "end")
ADDRESSES = strategies.sampled_from(["192.0.2.1:4160", "node1.ring.test:4160", "[2001:db8::1]:65535", "a:1"])


def messages(bits: int) -> strategies.SearchStrategy[Message]:
    """Any message of a circle of so many bits."""
    return strategies.one_of([record(kind, bits) for kind in KINDS.values()])


def record(kind: Any, bits: int) -> strategies.SearchStrategy[Any]:
    """A message or a record of one."""
    if kind is Contact:
        return strategies.builds(Contact, strategies.integers(0, (1 << bits) - 1), ADDRESSES)
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(kind._fields)
    wide = MOST_BITS if kind is Hello else bits
    return strategies.builds(kind, **{name: value(hints[name], name, wide) for name in names})


def value(hint: Any, name: str, bits: int) -> strategies.SearchStrategy[Any]:
    """Of one field."""
    if hint is bool:
        return strategies.booleans()
    if hint is int:
        return strategies.integers(0, (1 << (bits if name in IDENTIFIERS else MOST_BITS)) - 1)
    if hint is bytes:
        return strategies.binary(max_size=300)
    if hint is str:
        return strategies.text(max_size=100)
    if hint is float:
        return strategies.floats(allow_nan=False)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        return strategies.none() | value(arguments[0], name, bits)
    if origin is tuple or origin is Sequence:
        return strategies.lists(value(arguments[0], name, bits), max_size=5).map(tuple)
    return record(hint, bits)
