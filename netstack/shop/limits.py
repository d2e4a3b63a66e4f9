"""What a shop keeps of its visitors, and how much of it."""

from dataclasses import dataclass

from netstack.sansio.bounds import positive


@dataclass(frozen=True, slots=True)
class ShopLimits:
    """Bounds of one shop."""

    first_visitor: int = 1678
    """The number of its first visitor."""
    visitors: int = 100_000
    """Visitors that are known; then one is forgotten for a new one: who only looked, or left a cart, longest ago."""
    views: int = 200
    """Pages that are remembered of one visitor, the newest."""
    cart: int = 50
    """Products in one cart."""
    pieces: int = 99
    """Pieces of one product in a cart."""
    orders: int = 500
    """Orders that are kept of one visitor; then no more are taken."""
    text: int = 200
    """Characters of a name, and of an address."""
    cookie_days: int = 365
    """Days for which a browser keeps the visitor's number."""

    def __post_init__(self) -> None:
        for name in ("first_visitor", "visitors", "views", "cart", "pieces", "orders", "text"):
            positive(name, getattr(self, name))
        if not 1 <= self.cookie_days <= 400:
            raise ValueError(f"cookie_days: expected 1 to 400 (RFC 6265bis §5.5), got {self.cookie_days!r}")
