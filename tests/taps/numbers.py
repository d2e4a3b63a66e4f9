"""Options of taps that are numbers: each bounds something, and an error names it."""

import re
from collections.abc import Callable
from typing import Any

from twisted.python.usage import Options, UsageError

ELSEWHERE = ("workers", "health", "port-offset")
"""Of all taps, tested with those."""


def numbers(options: type[Options]) -> list[str]:
    """The options of one tap that are numbers."""
    rows: list[Any] = options.optParameters
    return [row[0] for row in rows if isinstance(row[2], int | float) and row[0] not in ELSEWHERE]


def taken(parse: Callable[[str], Any], option: str) -> list[str]:
    """Which of -1 and 0 it takes, and does not refuse with an error that names it; `parse` reads a command line with it."""
    found = []
    for value in ("-1", "0"):
        try:
            parse(f"--{option}={value}")
        except UsageError as error:
            if re.match(rf"{option}: .*expected", str(error)):
                continue
        found.append(value)
    return found
