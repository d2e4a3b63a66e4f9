"""A message in one line, for the journal: `Step: key 14`, `StepAnswer: nodes 12, 8`."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from netstack.ring.identifiers import Contact
from netstack.ring.messages import Message

MOST = 8
"""Items of a sequence that are shown."""
LONGEST = 40
"""Octets or characters of a value that are shown."""
_SILENT = frozenset({"number", "magic", "version", "instance"})
"""Fields that say nothing to a reader."""
_DECIMAL = 1 << 20


def summary(message: Message) -> str:
    """Its name and its fields, those left out that are false, empty or of no interest."""
    shown = []
    for field in fields(message):  # type: ignore[arg-type]  # every message is a dataclass
        value = getattr(message, field.name)
        if field.name in _SILENT or value is None or value is False or (isinstance(value, Sequence) and not value):
            continue
        shown.append(field.name if value is True else f"{field.name} {_value(value)}")
    name = type(message).__name__
    return f"{name}: {', '.join(shown)}" if shown else name


def ident(value: int) -> str:
    """An identifier: small ones as numbers, long ones by their first digits (which are those of 160 bits)."""
    return str(value) if value < _DECIMAL else f"{value:040x}"[:10]


def _value(value: Any) -> str:
    if isinstance(value, Contact):
        return ident(value.ident)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return ident(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bytes):
        text = value[:LONGEST].decode("utf-8", "replace")
        return repr(text) if len(value) <= LONGEST and text.isprintable() else f"({len(value)} octets)"
    if isinstance(value, str):
        return value if len(value) <= LONGEST else value[:LONGEST] + "..."
    if is_dataclass(value):
        inner = (_value(getattr(value, field.name)) for field in fields(value))
        return f"({' '.join(inner)})"
    rest = len(value) - MOST
    return " ".join(map(_value, value[:MOST])) + (f" and {rest} more" if rest > 0 else "")
