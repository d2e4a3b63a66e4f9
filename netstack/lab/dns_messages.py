"""How many messages does one look-up take? The chapter's walk from cse.nyu.edu to gaia.cs.umass.edu, counted.

With cold caches: 8 messages (4 queries, 4 replies) when the TLD server knows umass.edu's server, 10 when an intermediate
server stands between; 2 for the next host of the same site, whose resolver remembers; 6 for another name of the same TLD,
whose server's address is known, so that the root is not asked. Where each server asks the next one to do the rest, 8 as
well, but between other pairs: local server and root, root and TLD server, TLD and authoritative server.
"""

from collections.abc import Callable, Iterator, Sequence

from netstack.kernel.journal import Row
from netstack.lab.bench import Bench
from netstack.lab.claims import Claim
from netstack.world.session import Session

TITLE = "Messages of one DNS look-up"
SUBSTRATES = ("simulated", "loopback", "namespaces")

NAME, SIBLING = "gaia.cs.umass.edu", "www.someschool.edu"
FIRST, SECOND = "cse.nyu.edu", "apricot.nyu.edu"
COLD = "messages to resolve " + NAME + " from " + FIRST + ", cold caches, {world}"
LOCAL = "messages of these that the local server sends or receives, cold caches, {world}"
UPPER = "messages of these between root and TLD server, cold caches, {world}"
LOWER = "messages of these between TLD and authoritative server, cold caches, {world}"
WARM = "messages for a second host of the same site, " + SECOND + ", {world}"
NEXT = "messages to resolve " + SIBLING + " next, the TLD server's address known, {world}"
ROOT = "messages of these that the root sends or receives, {world}"
MODEL = (
    ("textbook", (8, 8, 0, 0, 2, 6, 0)),
    ("intermediate", (10, 10, 0, 0, 2, 6, 0)),
    ("recursive", (8, 4, 2, 2, 2, 8, 4)),
)
"""In the order of TEXTS."""
TEXTS = (COLD, LOCAL, UPPER, LOWER, WARM, NEXT, ROOT)


class WrongAnswer(Exception):
    """The look-up did not find the host's address: its messages prove nothing."""


def promised(on: str = "simulated") -> Sequence[Claim]:
    """The claims, unmeasured."""
    return [claim for world, numbers in MODEL for claim in _claims(world, numbers, [None] * len(TEXTS))]


def measure(bench: Bench) -> Iterator[Claim]:
    """Counts the journal's rows of the protocol dns, each message one row."""
    for world, numbers in MODEL:
        with bench.world(world) as internet:
            internet.flush()
            yield from _claims(world, numbers, _counted(internet))


def _claims(world: str, model: Sequence[int], measured: Sequence[int | None]) -> Iterator[Claim]:
    for text, wanted, found in zip(TEXTS, model, measured, strict=True):
        yield Claim(text.format(world=world), wanted, found, unit="messages")


def _counted(internet: Session) -> list[int]:
    world = internet.world
    local, roots = {str(world.resolver_of(FIRST))}, set(world.roots())
    tld, own = set(world.zones["edu"].servers), set(world.zones["umass.edu"].servers)
    cold = _rows(internet, FIRST, NAME)
    warm = _rows(internet, SECOND, NAME)
    following = _rows(internet, FIRST, SIBLING)
    return [
        len(cold),
        sum(map(_of(local), cold)),
        sum(_of(roots)(row) and _of(tld)(row) for row in cold),
        sum(_of(tld)(row) and _of(own)(row) for row in cold),
        len(warm),
        len(following),
        sum(map(_of(roots), following)),
    ]


def _of(hosts: set[str]) -> Callable[[Row], bool]:
    """Whether one end of a message is among these."""
    return lambda row: not hosts.isdisjoint((row.source_name, row.destination_name))


def _rows(internet: Session, host: str, name: str) -> list[Row]:
    internet.record()
    answer = internet.resolve(name, "A", host=host)
    if answer.records != (internet.address(name),):
        raise WrongAnswer(f"{host} was told {answer.rcode} {' '.join(answer.records)} for {name}")
    return [row for row in internet.rows() if row.protocol == "dns"]
