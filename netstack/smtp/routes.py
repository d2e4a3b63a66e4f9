"""Where mail for a domain goes: its exchanges in their order (RFC 5321 §5.1), or why there are none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from random import Random

from netstack.kernel.resolver import NameNotFound, ResolutionError, Resolver

MOST_EXCHANGES = 20


class NoRoute(Exception):
    """Mail for a domain cannot go anywhere; `status` is its enhanced code (RFC 3463 §3.5)."""

    def __init__(self, text: str, status: str) -> None:
        super().__init__(text)
        self.status = status

    @property
    def temporary(self) -> bool:
        """Whether trying again later may help."""
        return self.status.startswith("4")


@dataclass(frozen=True, slots=True)
class Route:
    """Hosts to try in turn, without their addresses; `port` is a standard one."""

    hosts: tuple[str, ...]
    port: int = 25
    by_mx: bool = True
    """From the DNS, and not set by hand."""


async def route(
    resolver: Resolver,
    rng: Random,
    domain: str,
    own_names: frozenset[str],
    by_hand: Mapping[str, Route],
    most: int = MOST_EXCHANGES,
) -> Route:
    """The route to a domain or an address literal; raises NoRoute.

    `by_hand` has routes for domains, for `.example.com` (all below) and for `*` (all others). Exchanges that are not
    preferred to ourselves are left out, so that mail does not go in circles (§5.1). At most `most` hosts are in a route.
    """
    parts = domain.split(".")
    for name in (domain, *("." + ".".join(parts[at:]) for at in range(1, len(parts))), "*"):
        if name in by_hand:
            return by_hand[name]
    if domain.startswith("["):
        return Route((domain.removeprefix("[IPv6:").removeprefix("[").removesuffix("]"),), by_mx=False)
    try:
        records = await resolver.records(domain, "MX")
    except NameNotFound:
        raise NoRoute(f"the domain {domain} does not exist", "5.1.2") from None
    except ResolutionError as error:
        raise NoRoute(f"{domain} cannot be looked up: {error}", "4.4.3" if error.temporary else "5.4.4") from None
    if not records:  # the domain itself, as if it were its exchange (§5.1)
        return Route((domain,))
    found = _exchanges(records)
    if [host for _, host in found] == [""]:  # whatever its preference
        raise NoRoute(f"the domain {domain} takes no mail (null MX)", "5.1.10")  # RFC 7505 §4.2
    ours = [preference for preference, host in found if host in own_names]
    if ours:
        found = [(preference, host) for preference, host in found if preference < min(ours)]
        if not found:
            raise NoRoute(f"the exchange of {domain} is this host, which does not take its mail", "5.4.6")
    hosts: list[str] = []
    for _, group in groupby(sorted(found), key=lambda each: each[0]):
        equal = [host for _, host in group]
        rng.shuffle(equal)
        hosts += equal
    return Route(tuple(dict.fromkeys(hosts))[:most])


def _exchanges(records: Sequence[str]) -> list[tuple[int, str]]:
    """Preference and host of each MX record; the host "" says that no mail is taken."""
    found = []
    for record in records:
        preference, _, host = record.partition(" ")
        name = host.strip().rstrip(".").lower()
        if preference.isdigit() and (name or len(records) == 1):
            found.append((int(preference), name))
    return found
