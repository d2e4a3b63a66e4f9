"""What is wrong with a world: every problem at once, each with file, key and what was expected."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `key` is the path in the file, such as `hosts."cnn.com".site`."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


class WorldError(Exception):
    """A world file, or a generated world, cannot be used. Its text has one line for each problem."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(f"{file}: {problem}" for problem in problems))
        self.file = file
        self.problems = tuple(problems)


def path(*keys: str) -> str:
    """A key path in TOML's notation."""
    return ".".join(key if _bare(key) else f'"{key}"' for key in keys)


def one_of(names: Iterable[str]) -> str:
    """ "a, b or c", shortened when there are many."""
    listed = list(names)
    if len(listed) > 12:
        return ", ".join(listed[:12]) + f" or {len(listed) - 12} more"
    return " or ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:]))) or "none at all"


def nearest(name: str, names: Iterable[str]) -> str:
    """ "; did you mean A or B?" for names that resemble `name`: a typing error, or a name of which the rest was left out."""
    listed = list(names)
    begun = [each for each in listed if name and each.startswith(f"{name}.")]
    found = begun[:3] or get_close_matches(name, listed, 1, 0.75)
    return f"; did you mean {one_of(found)}?" if found else ""


def _bare(key: str) -> bool:
    return bool(key) and all(char.isascii() and (char.isalnum() or char in "-_") for char in key)
