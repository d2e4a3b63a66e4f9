"""Who is responsible for which arc, as those know it that have its copies: configurations with epochs, promised as ballots.

A configuration is an arc, its owner and its holders, the other nodes that have copies. Who wants another one (the owner,
because a holder is gone or new; a successor, because the owner is gone) takes a greater epoch and asks the holders of all
configurations that may still be in use: those that promise it serve no smaller epoch any more. A write was acknowledged
by the owner and at least `quorum` - 1 holders, so an owner needs the promises of `quorum` - 1 holders, and who takes over
those of all but `quorum` - 2: any two such sets have one in common, who knows of both, and of every write one is asked
who has it. This is the reasoning of Vertical Paxos and RAMBO; an arc is what they call a register's configuration.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netstack.ring.identifiers import Contact
from netstack.ring.records import POSITION_BITS

MOST = 64
"""Claims that a node remembers; beyond it forgets those in which it has no part, of the smallest epochs first."""
Span = tuple[int, int]
"""Places from one to another, both included."""
Mark = tuple[int, Contact]
"""The epoch and owner of a configuration: what it is known by."""


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration."""

    start: int
    """Identifiers of the arc (start, end]; the whole circle where the two are one."""
    end: int
    epoch: int
    owner: Contact
    holders: Sequence[Contact]

    def spans(self, bits: int) -> list[Span]:
        """Places of the arc's keys."""
        return spans_of(self.start, self.end, bits)


def mark_of(config: Config) -> Mark:
    return config.epoch, config.owner


def spans_of(start: int, end: int, bits: int) -> list[Span]:
    """Places of the keys of an arc."""
    shift, size = POSITION_BITS - bits, 1 << bits
    first, last = (start + 1) % size, end
    if start == end:
        return [(0, (1 << POSITION_BITS) - 1)]
    if first <= last:
        return [(first << shift, ((last + 1) << shift) - 1)]
    return [(0, ((last + 1) << shift) - 1), (first << shift, (1 << POSITION_BITS) - 1)]


def overlap(these: Iterable[Span], those: Sequence[Span]) -> bool:
    """Whether any place is in both."""
    return any(first <= other[1] and other[0] <= last for first, last in these for other in those)


def without(these: Iterable[Span], those: Iterable[Span]) -> list[Span]:
    """The places of the first that are not in the second."""
    left = [*these]
    for start, end in those:
        parts = []
        for first, last in left:
            if last < start or first > end:
                parts.append((first, last))
                continue
            if first < start:
                parts.append((first, start - 1))
            if last > end:
                parts.append((end + 1, last))
        left = parts
    return left


class _Claim:
    __slots__ = ("config", "in_use", "renewed", "seen", "spans")

    def __init__(self, config: Config, spans: list[Span], in_use: bool, seen: float) -> None:
        self.config = config
        self.spans = spans
        """Where no later one that is in use has taken its place."""
        self.in_use = in_use
        self.seen = seen
        self.renewed = spans
        """Where its owner has said it last."""


class Claims:
    """What a node has promised."""

    def __init__(self, bits: int, me: Contact) -> None:
        self._bits = bits
        self._me = me
        self._claims: list[_Claim] = []

    def __len__(self) -> int:
        return len(self._claims)

    def at(self, position: int) -> Config | None:
        """The one of the greatest epoch at a place."""
        best = None
        for claim in self._claims:
            if (best is None or claim.config.epoch > best.epoch) and overlap(claim.spans, ((position, position),)):
                best = claim.config
        return best

    def known(self, start: int, end: int) -> Iterator[tuple[Config, bool]]:
        """Those that have to do with an arc, and whether they are in use."""
        spans = spans_of(start, end, self._bits)
        return ((claim.config, claim.in_use) for claim in self._claims if overlap(claim.spans, spans))

    def promise(self, config: Config, in_use: bool, now: float) -> bool:
        """Follow a configuration from now on; False when a greater epoch, or as great a one of another, was promised."""
        spans = config.spans(self._bits)
        for claim in self._claims:
            other = claim.config
            greater = other.epoch > config.epoch or (other.epoch == config.epoch and other.owner != config.owner)
            if greater and overlap(claim.spans, spans):
                return False
        for claim in self._claims:
            other = claim.config
            if other == config and in_use and not claim.in_use:
                self._use(claim)
            if other == config or (
                other.owner == config.owner and other.epoch == config.epoch and not without(spans, claim.spans)
            ):
                claim.seen, claim.renewed = now, spans  # all of it, or the part of which the rest was handed over
                return True
        for other_claim in self._claims:
            if other_claim.config.owner == config.owner and not other_claim.in_use:
                other_claim.spans = without(other_claim.spans, spans)  # its owner has given it up
        self._claims = [each for each in self._claims if each.spans]
        claim = _Claim(config, spans, in_use, now)
        self._claims.append(claim)
        if in_use:
            self._use(claim)
        if len(self._claims) > MOST:
            self._claims.remove(min(self._claims, key=self._worth))
        return True

    def holds(self, owner: Contact, epoch: int) -> bool:
        """Whether a claim is remembered."""
        return any(claim.config.owner == owner and claim.config.epoch == epoch for claim in self._claims)

    def copies(self, me: Contact, since: float) -> list[Span]:
        """Places of which this node is to have copies, as owners have said since then."""
        found: list[Span] = []
        for claim in self._claims:
            if me in claim.config.holders and claim.seen >= since:
                found.extend(without(claim.spans, without(claim.spans, claim.renewed)))
        return found

    def holding(self, me: Contact, since: float) -> bool:
        """Whether an owner counts on this node, as it has said since then."""
        return any(me in claim.config.holders and claim.seen >= since for claim in self._claims)

    def _worth(self, claim: _Claim) -> tuple[bool, int]:
        """Others ask it for those that count on it; what it only heard of, it names to who asks where an arc is."""
        config = claim.config
        return self._me == config.owner or self._me in config.holders, config.epoch

    def _use(self, claim: _Claim) -> None:
        claim.in_use = True
        for other in self._claims:
            if other is not claim and other.config.epoch <= claim.config.epoch:
                other.spans = without(other.spans, claim.spans)
        self._claims = [each for each in self._claims if each.spans]


class Heard:
    """Of an arc that a node wants: what configurations there are, as it knows itself and others tell it."""

    def __init__(self, start: int, end: int, bits: int) -> None:
        self.target = spans_of(start, end, bits)
        self._bits = bits
        self._known: dict[Mark, tuple[Config, bool]] = {}

    def learn(self, config: Config, in_use: bool) -> None:
        """Of one that is known with several arcs, the larger one stays."""
        mark, size = mark_of(config), 1 << self._bits
        before = self._known.get(mark)
        if before is not None:
            in_use = in_use or before[1]
            if ((before[0].end - before[0].start) % size or size) >= ((config.end - config.start) % size or size):
                config = before[0]
        self._known[mark] = config, in_use

    def all(self) -> Iterable[tuple[Config, bool]]:
        """Those that are known, and whether they are in use."""
        return self._known.values()

    def in_use(self, config: Config) -> bool:
        return self._known[mark_of(config)][1]

    def epoch(self) -> int:
        """The greatest one."""
        return max((epoch for epoch, _ in self._known), default=0)

    def configs(self) -> list[Config]:
        """Those that may be in use in some places of the arc."""
        return to_be_asked(self.target, dict(self._known.values()), self._bits)

    def nodes(self) -> set[Contact]:
        """Owners and holders of these."""
        return {each for config in self.configs() for each in (config.owner, *config.holders)}

    def unknown(self) -> list[Span]:
        """Places of which it is not known who surely served them."""
        spans = (span for config, in_use in self._known.values() if in_use for span in config.spans(self._bits))
        return without(self.target, spans)

    def is_taking(self, rights: Collection[Mark], me: Contact) -> bool:
        """Whether some of it is, or was, another node's that did not hand it over."""
        return bool(self.unknown()) or any(each.owner != me and mark_of(each) not in rights for each in self.configs())


def to_be_asked(target: Sequence[Span], known: Mapping[Config, bool], bits: int) -> list[Config]:
    """Configurations that may be in use somewhere in some places: at each the latest that surely was, and all after it."""
    regions = {config: config.spans(bits) for config in known}
    found: list[Config] = []
    left = {config: list(spans) for config, spans in regions.items()}
    later: list[Span] = []
    for config in sorted(known, key=lambda each: -each.epoch):
        here = without(left[config], later)
        if overlap(here, target):
            found.append(config)
        if known[config]:
            later.extend(regions[config])
    return found


def enough(config: Config, is_right: bool, promised: Collection[Contact], quorum: int) -> bool:
    """Whether so many holders of a configuration have promised to leave it.

    `is_right`: it is its owner who asks, or whom the owner gave the arc.
    """
    holders = len(config.holders)
    needed = quorum - 1 if is_right else holders - quorum + 2
    if holders < quorum - 1:
        needed = 0  # nothing was ever acknowledged
    return sum(each in promised for each in config.holders) >= needed
