"""How many messages does one look-up take? The chapter's walk from cse.nyu.edu to gaia.cs.umass.edu, counted.

With cold caches: 8 messages (4 queries, 4 replies) when the TLD server knows umass.edu's server, 10 when an intermediate
server stands between; 2 for the next host of the same site, whose resolver remembers. Where each server asks the next
one to do the rest, 8 as well, of which the local server sees 4 instead of all 8.
"""

from collections.abc import Iterator, Sequence

from netstack.kernel.journal import Row
from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.world.session import Session

TITLE = "Messages of one DNS look-up"
SUBSTRATES = ("simulated", "loopback")

NAME = "gaia.cs.umass.edu"
FIRST, SECOND = "cse.nyu.edu", "apricot.nyu.edu"
COLD = "messages to resolve " + NAME + " from " + FIRST + ", cold caches, {world}"
WARM = "messages for a second host of the same site, " + SECOND + ", {world}"
LOCAL = "messages of these that the local server sends or receives, cold caches, {world}"
MODEL = (
    ("textbook", COLD, 8),
    ("textbook", LOCAL, 8),
    ("textbook", WARM, 2),
    ("intermediate", COLD, 10),
    ("intermediate", LOCAL, 10),
    ("intermediate", WARM, 2),
    ("recursive", COLD, 8),
    ("recursive", LOCAL, 4),
    ("recursive", WARM, 2),
)


class WrongAnswer(Exception):
    """The look-up did not find the host's address: its messages prove nothing."""


def promised() -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [Claim(text.format(world=world), model, None, unit="messages") for world, text, model in MODEL]


def measure(bench: Bench) -> Iterator[Claim]:
    """Counts the journal's rows of the protocol dns, each message one row."""
    opened: dict[str, dict[str, int]] = {}
    for world, text, model in MODEL:
        if world not in opened:
            with bench.world(world) as internet:
                internet.flush()
                cold = _rows(internet, FIRST)
                local = internet.world.resolver_of(FIRST)
                seen = sum(local in (row.source_name, row.destination_name) for row in cold)
                opened[world] = {COLD: len(cold), LOCAL: seen, WARM: len(_rows(internet, SECOND))}
        yield Claim(text.format(world=world), model, opened[world][text], unit="messages")


def _rows(internet: Session, host: str) -> list[Row]:
    internet.record()
    answer = internet.resolve(NAME, "A", host=host)
    if answer.records != (internet.address(NAME),):
        raise WrongAnswer(f"{host} was told {answer.rcode} {' '.join(answer.records)} for {NAME}")
    return [row for row in internet.rows() if row.protocol == "dns"]
