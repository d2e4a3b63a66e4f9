"""Bounds of the store; every one is an option of the taps that keep mail."""

from dataclasses import dataclass

from netstack.sansio.bounds import all_positive


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Sizes in octets, times in seconds."""

    message: int = 50 * 1024 * 1024
    """Of one message: MessageTooLarge."""
    octets: int = 1024 * 1024 * 1024
    """Of all messages of an account that has no bound of its own: OverQuota."""
    messages: int = 1_000_000
    """Of an account that has no bound of its own: OverQuota."""
    inline: int = 64 * 1024
    """A message up to here is committed with its row, and written to its file afterwards; a larger one to its file first."""
    unsettled: int = 64 * 1024 * 1024
    """Committed messages of all accounts that are not in their files yet; then deliveries wait."""
    settle_seconds: float = 0.2
    """That committed messages wait for others, to be written to their files together."""
    waiting: int = 1000
    """Deliveries and other work of one account that wait for their turn: StoreBusy."""
    accounts: int = 256
    """Whose databases are open at once; more are closed, those used longest ago first."""
    folders: int = 1000
    """Of an account."""
    name: int = 255
    """Of a folder, with those that it is in."""
    keywords: int = 64
    """Of one message, besides the system's flags."""
    remembered: int = 10_000
    """Deliveries of an account whose `once` is remembered."""
    vanished: int = 10_000
    """Expunged messages of a folder that are remembered for clients which come back (RFC 7162 §3.2)."""
    index: int = 4 * 1024 * 1024 * 1024
    """Of an account's database."""
    ledger: int = 1024 * 1024
    """Octets that a ledger may have above twice what it needs; then it is written anew."""

    def __post_init__(self) -> None:
        all_positive(self)
