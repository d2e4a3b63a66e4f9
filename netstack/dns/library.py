"""What dnspython remembers of the messages that it reads, bounded; pure. To be imported before any message is read.

It keeps an entry for each pair of class and type that it does not know, of which there are 2**32, after it has looked for
a module of that name on the disk; and Python's enumerations keep each combination of header flags. Senders choose both.
"""

import enum
from typing import Any

import dns.flags
import dns.rdata

COMBINATIONS = 256
"""Combinations of flags that are kept."""


class Known(dict[Any, Any]):
    """Types' classes, without those of types that are not known."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if value is not dns.rdata.GenericRdata:
            super().__setitem__(key, value)


class Kept(dict[int, Any]):
    """Combinations of flags, the first so many; others are made anew each time."""

    def setdefault(self, key: int, default: Any = None) -> Any:
        found = self.get(key)
        if found is None and len(self) < COMBINATIONS:
            found = super().setdefault(key, default)
        return default if found is None else found


def bound() -> None:
    """Have dnspython remember no more; types that it knows are loaded now, and it looks for no others."""
    library: Any = dns.rdata
    library.load_all_types()
    library._rdata_classes = Known(library._rdata_classes)
    for flags in (dns.flags.Flag, dns.flags.EDNSFlag):
        _bound_flags(flags)


def _bound_flags(flags: type[enum.IntFlag]) -> None:
    flags._value2member_map_ = Kept(flags._value2member_map_)


bound()
