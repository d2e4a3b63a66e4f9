"""Bounds of mail's vocabulary; those of the store are `store/limits.py`'s."""

from dataclasses import dataclass

from netstack.sansio.bounds import all_positive


@dataclass(frozen=True, slots=True)
class AddressLimits:
    """Octets (RFC 5321 §4.5.3.1.1 to §4.5.3.1.3): a longer one is refused."""

    local: int = 253
    """RFC 5321 asks for 64, and for no limit where that can be: senders that carry a recipient's address in theirs (VERP,
    SRS) have more."""
    domain: int = 255
    path: int = 256

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Bounds of what is looked at of a head; the rest of it is carried, and not understood."""

    octets: int = 256 * 1024
    fields: int = 1000

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(frozen=True, slots=True)
class MimeLimits:
    """Bounds of a message's structure; beyond them what follows belongs to the part that is open."""

    depth: int = 50
    """Parts in parts."""
    parts: int = 1000
    delimiters: int = 100_000
    """Lines that begin as a delimiter does."""
    head: HeadLimits = HeadLimits()
    """Of each part."""

    def __post_init__(self) -> None:
        all_positive(self)
