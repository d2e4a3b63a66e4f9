"""What do attacks on the DNS achieve, and what do defences change? Poisoning, a man in the middle, floods, amplification.

Simulated alone: nothing forged leaves the process.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from netstack.lab import dns_amplification, dns_flood, dns_middle, dns_poisoning
from netstack.lab.bench import Bench
from netstack.lab.claims import Claim

TITLE = "Attacks on the DNS and what stops them"
SUBSTRATES = ("simulated",)
PARTS: tuple[Any, ...] = (dns_poisoning, dns_middle, dns_flood, dns_amplification)
NOT_SHOWN = (
    "side channels by which a forger finds the port in use (rate limits of ICMP, SAD DNS; fragments): the simulated network"
    " has neither.",
    "the time that replies take to be worked on: a race is bound by the number of forged replies, not by anybody's CPU.",
    *dns_middle.NOT_SHOWN,
    *dns_flood.NOT_SHOWN,
)


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [claim for part in PARTS for claim in part.promised()]


def measure(bench: Bench) -> Iterator[Claim]:
    """Part after part."""
    for part in PARTS:
        yield from part.measure(bench)


def draw(figure: Any, claims: Sequence[Claim]) -> None:
    """Poisoning: the odds."""
    dns_poisoning.draw(figure, claims)
