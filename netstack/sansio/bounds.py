"""Checks of bounds: what is wrong with one is said with its name, as it is an option or a field of a configuration."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

Bounds = TypeVar("Bounds")


def positive(key: str, value: float, at_least: float = 0.0) -> None:
    """Raises ValueError, which names `key`, unless `value` is above zero and not below `at_least`."""
    if not (value > 0 and value >= at_least):
        raise ValueError(f"{key}: expected a number {f'from {at_least:g}' if at_least else 'above 0'}, got {value!r}")


def all_positive(limits: Any, or_none: tuple[str, ...] = ()) -> None:
    """The same of every field of a dataclass, but of bounds inside of it; those of `or_none` may be 0."""
    for field in fields(limits):
        value = getattr(limits, field.name)
        if not is_dataclass(value) and (value != 0 or field.name not in or_none):
            positive(field.name, value)


def bounds_of(kind: type[Bounds], options: Mapping[str, Any], names: Mapping[str, str]) -> Bounds:
    """Bounds from options; raises ValueError that names the option. `names`: option -> field."""
    with by_option(names):
        return kind(**{field: options[option] for option, field in names.items()})


@contextmanager
def by_option(names: Mapping[str, str]) -> Iterator[None]:
    """A ValueError that names a field names the option that sets it. `names`: option -> field."""
    try:
        yield
    except ValueError as error:
        said, colon, rest = str(error).partition(":")
        option = next((option for option, field in names.items() if field == said), said)
        raise ValueError(f"{option}{colon}{rest}") from None
