"""How every service finds addresses and routes: an interface that the dns house's client implements, and its fake."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Protocol


class ResolutionError(Exception):
    """The name could not be resolved. `temporary` says whether trying again later may help (SERVFAIL, no reply)."""

    def __init__(self, message: str, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary


class NameNotFound(ResolutionError):
    """NXDOMAIN: the name does not exist (RFC 8020)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not exist", temporary=False)


class Resolver(Protocol):
    """Names are text without a final dot; answers come in the order that the server gave."""

    async def addresses(self, name: str) -> Sequence[str]:
        """The IPv4 and IPv6 addresses of a host, aliases followed; literals come back unchanged.

        Raises NameNotFound or ResolutionError; a name without addresses is an empty list.
        """

    async def records(self, name: str, rdtype: str) -> Sequence[str]:
        """The records of a type ("MX", "TXT", ...) in presentation format (RFC 1035 §5), aliases followed."""

    async def proved(self, name: str, rdtype: str) -> Sequence[str] | None:
        """As `records`, but None where the resolver has not verified them (DNSSEC): for who must be sure (RFC 7672 §2.1).

        The way to the resolver is trusted. NameNotFound says nothing about proof.
        """


class FakeResolver:
    """Answers from a table {(name, type): [records]}; what is not in it does not exist."""

    def __init__(self, table: Mapping[tuple[str, str], Sequence[str]] | None = None) -> None:
        self.table = {(name.lower(), rdtype): list(found) for (name, rdtype), found in (table or {}).items()}
        self.asked: list[tuple[str, str]] = []
        self.signed: set[str] = set()
        """Names whose records are proved."""

    async def addresses(self, name: str) -> Sequence[str]:
        if is_address(name):
            return [name]
        return [*await self._find(name, "A", "AAAA")]

    async def records(self, name: str, rdtype: str) -> Sequence[str]:
        return await self._find(name, rdtype)

    async def proved(self, name: str, rdtype: str) -> Sequence[str] | None:
        found = await self._find(name, rdtype)
        return found if name.lower() in self.signed else None

    async def _find(self, name: str, *types: str) -> Sequence[str]:
        name = name.rstrip(".").lower()
        self.asked.extend((name, rdtype) for rdtype in types)
        if not any(key[0] == name for key in self.table):
            raise NameNotFound(name)
        return [record for rdtype in types for record in self.table.get((name, rdtype), ())]


class NoResolver:
    """What a service has that was given no resolver: literals are addresses, every name is an error that says so."""

    async def addresses(self, name: str) -> Sequence[str]:
        if is_address(name):
            return [name]
        raise ResolutionError(f"{name} cannot be looked up: no resolver is configured", temporary=False)

    async def records(self, name: str, rdtype: str) -> Sequence[str]:
        raise ResolutionError(f"{name} {rdtype} cannot be looked up: no resolver is configured", temporary=False)

    async def proved(self, name: str, rdtype: str) -> Sequence[str] | None:
        return None


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 literal."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
