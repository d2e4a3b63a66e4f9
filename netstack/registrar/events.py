"""What a registrar keeps and changes: values, in the nouns of RFC 9083 and RFC 2136."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["registration", "servers", "renewal", "transfer", "deletion"]
KINDS: tuple[Kind, ...] = ("registration", "servers", "renewal", "transfer", "deletion")


@dataclass(frozen=True, slots=True)
class NameServer:
    """A name server of a domain. Names are lower-case A-labels without a final dot."""

    name: str
    addresses: tuple[str, ...] = ()
    """Its glue: for servers at or below the domain alone."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """What a top-level domain says of a domain."""

    servers: tuple[NameServer, ...]
    """The primary first."""
    ds: tuple[str, ...] = ()
    """RDATA of DS records as text."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A registered domain. Times are seconds since 1970."""

    name: str
    delegation: Delegation
    registrant: str
    created: float
    changed: float
    expires: float
    verifier: str
    """Of the secret (`netstack.http.passwords`): the secret itself is nowhere kept."""


@dataclass(frozen=True, slots=True)
class Change:
    """A step in the life of a domain; None: not registered, before or after."""

    kind: Kind
    before: Registration | None
    after: Registration | None

    @property
    def name(self) -> str:
        """The domain."""
        found = self.after or self.before
        return found.name if found is not None else ""

    @property
    def delegations(self) -> tuple[Delegation | None, Delegation | None]:
        """What the top-level domain says before and after."""
        before, after = self.before, self.after
        return None if before is None else before.delegation, None if after is None else after.delegation
