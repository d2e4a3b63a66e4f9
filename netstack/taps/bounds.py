"""Bounds as options of a command line: rows of (option, the defaults that it is one of, field, what it says)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from netstack.sansio.bounds import by_option

Row = tuple[str, Any, str, str]
Bounds = TypeVar("Bounds")


def number(option: str, kind: type[Any]) -> Callable[[str], float]:
    """Reads an option's value; the error names the option."""

    def read(text: str) -> float:
        try:
            found: float = kind(text)
        except ValueError:
            raise ValueError(f"--{option} {text!r}: a number was expected") from None
        return found

    return read


def parameters(rows: Sequence[Row]) -> list[list[Any]]:
    """optParameters of the bounds."""
    made = []
    for option, defaults, name, told in rows:
        default = getattr(defaults, name)
        made.append([option, None, default, told, number(option, type(default))])
    return made


def given(rows: Sequence[Row], defaults: Bounds, options: Any) -> Bounds:
    """The bounds that a command line gives in place of `defaults`; raises ValueError that names the option."""
    names = {option: name for option, of, name, _ in rows if of is defaults}
    changed: dict[str, Any] = {name: options[option] for option, name in names.items()}
    with by_option(names):
        return replace(defaults, **changed)  # type: ignore[type-var]  # a dataclass
