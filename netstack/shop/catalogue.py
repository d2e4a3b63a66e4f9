"""What the shop sells. Pictures are drawn with a few shapes each."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Product:
    """Something to buy."""

    slug: str
    name: str
    kind: str
    cents: int
    about: str
    drawing: str
    """SVG within 0 0 100 100."""

    @property
    def price(self) -> str:
        """For people."""
        return f"${self.cents // 100}.{self.cents % 100:02}"


_ALL = (
    Product(
        "teapot", "Stoneware teapot", "kitchen", 3400, "Holds four cups and keeps them warm through one lecture.",
        '<ellipse cx="48" cy="58" rx="28" ry="22"/><path d="M74 52q16-6 16-16h-6q-2 8-14 8z"/>'
        '<circle cx="48" cy="32" r="5"/>'
        '<path d="M22 50q-16 2-10 20q4 6 14 4" fill="none" stroke-width="5" stroke="currentColor"/>',
    ),
    Product(
        "mug", "Mug with a handshake", "kitchen", 1250, "SYN on one side, SYN ACK on the other. For long round trips.",
        '<rect x="22" y="28" width="42" height="48" rx="6"/>'
        '<path d="M64 38q18 0 18 14t-18 14" fill="none" stroke-width="6" stroke="currentColor"/>',
    ),
    Product(
        "kettle", "Whistling kettle", "kitchen", 4900, "Says when it is done. Never polls.",
        '<path d="M24 76h52l-6-34q-20-14-40 0z"/>'
        '<path d="M34 38q16-24 32 0" fill="none" stroke-width="5" stroke="currentColor"/>'
        '<path d="M72 50l14-8v9l-13 8z"/>',
    ),
    Product(
        "radio", "Pocket radio", "sound", 2700, "Streams since 1954, without a buffer.",
        '<rect x="14" y="38" width="72" height="40" rx="6"/><circle cx="36" cy="58" r="13" fill="#fff"/>'
        '<rect x="58" y="50" width="20" height="4" fill="#fff"/><rect x="58" y="60" width="20" height="4" fill="#fff"/>'
        '<path d="M70 38L84 14" stroke-width="4" stroke="currentColor"/>',
    ),
    Product(
        "headphones", "Headphones", "sound", 8900, "Two channels, one cable, no jitter.",
        '<path d="M20 62q-2-42 30-42t30 42" fill="none" stroke-width="7" stroke="currentColor"/>'
        '<rect x="14" y="54" width="16" height="26" rx="6"/><rect x="70" y="54" width="16" height="26" rx="6"/>',
    ),
    Product(
        "metronome", "Metronome", "sound", 3900, "Beats like a clock; drifts less than most.",
        '<path d="M38 18h24l16 62H22z"/><path d="M50 66L66 22" stroke-width="4" stroke="#fff"/>'
        '<circle cx="61" cy="36" r="5" fill="#fff"/>',
    ),
    Product(
        "kite", "Red kite", "outdoors", 2200, "A line of forty metres. Best effort.",
        '<path d="M50 12l26 28-26 34-26-34z"/>'
        '<path d="M50 74q10 6 2 14t6 10" fill="none" stroke-width="3" stroke="currentColor"/>',
    ),
    Product(
        "compass", "Brass compass", "outdoors", 4600, "Points to the next hop.",
        '<circle cx="50" cy="50" r="34"/><circle cx="50" cy="50" r="26" fill="#fff"/><path d="M50 28l8 22-8 22-8-22z"/>',
    ),
    Product(
        "tent", "Tent for two", "outdoors", 12900, "Pitched in one round trip, struck in another.",
        '<path d="M50 20L90 78H10z"/><path d="M50 42l14 36H36z" fill="#fff"/>',
    ),
    Product(
        "globe", "Globe", "desk", 5400, "All autonomous systems, to scale.",
        '<circle cx="50" cy="44" r="30"/>'
        '<path d="M50 14q-22 30 0 60q22-30 0-60M21 44h58" fill="none" stroke="#fff" stroke-width="3"/>'
        '<rect x="36" y="80" width="28" height="6" rx="3"/><rect x="47" y="72" width="6" height="10"/>',
    ),
    Product(
        "lamp", "Reading lamp", "desk", 4100, "Always on, hardly any load.",
        '<path d="M30 20h34l14 30H22z"/><rect x="47" y="50" width="6" height="28"/>'
        '<rect x="32" y="78" width="36" height="6" rx="3"/>',
    ),
    Product(
        "notebook", "Squared notebook", "desk", 950, "96 pages of 512 squares. Survives a crash.",
        '<rect x="26" y="16" width="50" height="68" rx="5"/><rect x="36" y="30" width="30" height="4" fill="#fff"/>'
        '<rect x="36" y="42" width="30" height="4" fill="#fff"/><rect x="36" y="54" width="20" height="4" fill="#fff"/>'
        '<path d="M20 26h12M20 42h12M20 58h12M20 74h12" stroke-width="4" stroke="currentColor"/>',
    ),
)  # fmt: skip
PRODUCTS: Mapping[str, Product] = {each.slug: each for each in _ALL}
"""By their names in URLs."""
KINDS: tuple[str, ...] = tuple(dict.fromkeys(each.kind for each in _ALL))
