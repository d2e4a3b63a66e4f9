"""How long something has been missing: a node that is silent, a promise that was forgotten."""

from collections.abc import Callable, Hashable

from netstack.ring.records import DataOptions

MOST = 1000
"""Things that are missing at once, as far as a node remembers."""


class Patience:
    """For how long something has been missing, as it was found again and again."""

    def __init__(self, clock: Callable[[], float], options: DataOptions) -> None:
        self._clock = clock
        self._options = options
        self._missing: dict[Hashable, tuple[float, float]] = {}

    def is_over(self, what: Hashable) -> bool:
        """It is missing now, too: has it been for as long as one waits for it?"""
        now, options = self._clock(), self._options
        begun, last = self._missing.get(what, (now, now))
        if now - last > options.patience + options.deadline:
            begun = now
        if len(self._missing) >= MOST and what not in self._missing:
            self._missing.clear()
        self._missing[what] = begun, now
        return now - begun >= options.patience

    def ended(self, what: Hashable) -> None:
        self._missing.pop(what, None)
