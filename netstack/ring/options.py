"""What can be set of a node: times, and bounds of what others can cause."""

from dataclasses import dataclass

from netstack.sansio.bounds import all_positive


@dataclass(frozen=True, slots=True)
class RingOptions:
    """Of one node. Times in seconds."""

    successors: int = 2
    """Kept in the list (r of the paper); the chapter has two."""
    shortcuts: bool = True
    """A finger table: for each bit the node that is responsible for the identifier that far away (§4.3)."""
    stabilize: float = 1.0
    """Between two looks at the successor, the chapter's ping."""
    fix: float = 1.0
    """Between two looks at one shortcut, in turn."""
    spread: float = 0.0
    """The part of `stabilize` and `fix` by which each such pause may be shorter or longer; 0.5 in the paper."""
    hurry: float = 1.0
    """After neighbours have changed, the part of `stabilize` until the next look, then twice as long up to all of it; 1: no
    hurry, as in the paper."""
    calm: float = 1.0
    """How many times as long pauses of `stabilize` and `fix` get, each half as long again as the last, while all stays as it
    is; 1: none gets longer, as in the chapter."""
    timeout: float = 0.5
    """For an answer."""
    hops: int = 1000
    """Of one look-up, which then fails: nodes may lie."""
    lookups: int = 1000
    """Of one node under way at once."""
    candidates: int = 8
    """Nodes that an answer to a step names."""
    paths: int = 1
    """Ways that a look-up goes at once, which have no node in common: against nodes that lie."""
    patience: float = 30.0
    """For a look-up, which then fails."""
    recursive: float = 5.0
    """For one that is passed on."""
    forget: float = 10.0
    """A node that did not answer is not asked again for so long."""
    silent: int = 256
    """Such nodes that are kept in mind."""
    rejoin: float = 10.0
    """Between two looks whether one of the nodes that were lost is there again: the ring may have been torn. 0 for never."""
    lost: int = 32
    """Such nodes that are kept in mind."""
    named: int = 64
    """In one list of a message, which is refused with more."""

    def __post_init__(self) -> None:
        all_positive(self, or_none=("shortcuts", "rejoin", "spread"))
        if not self.calm >= 1:
            raise ValueError(f"calm: expected at least 1, got {self.calm}")
        if not self.hurry <= 1:
            raise ValueError(f"hurry: expected more than 0 and at most 1, got {self.hurry}")
        if not self.spread < 1:
            raise ValueError(f"spread: expected at least 0 and less than 1, got {self.spread}")
