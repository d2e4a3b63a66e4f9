"""Who may transfer a zone and who may change what in it (RFC 5936 §5, RFC 3007 §3.1), by key and by network; pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal

import dns.exception
import dns.name
import dns.rdatatype
from dns.name import Name
from dns.rdatatype import RdataType

from netstack.dns.tsig import Key

Network = IPv4Network | IPv6Network
Scope = Literal["zone", "subdomain", "name", "self", "selfsub", "delegations"]
SCOPES: tuple[Scope, ...] = ("zone", "subdomain", "name", "self", "selfsub", "delegations")
DELEGATION = frozenset({RdataType.NS, RdataType.DS, RdataType.A, RdataType.AAAA})
"""Types that the scope `delegations` is about: a referral, its glue, and the child's key."""
ORDINARY = frozenset({RdataType.SOA, RdataType.NS, RdataType.RRSIG, RdataType.NSEC, RdataType.NSEC3})
"""Types that a grant without types leaves out, as BIND does, unless its scope is the zone."""


@dataclass(frozen=True, slots=True)
class Access:
    """Whoever has one of the keys, or comes unsigned from one of the networks."""

    keys: frozenset[Name] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, words: Iterable[str]) -> "Access":
        """From names of keys and networks such as 127.0.0.0/8; raises ValueError."""
        keys: set[Name] = set()
        networks: list[Network] = []
        for word in words:
            try:
                networks.append(ip_network(word))
            except ValueError:
                keys.add(name_of(word))
        return cls(frozenset(keys), tuple(networks))

    def allows(self, key: Key | None, address: str) -> bool:
        """Whether a request under a key (None: unsigned) from an address is allowed."""
        if key is not None and key.name in self.keys:
            return True
        if not self.networks:
            return False
        found = ip_address(address.partition("%")[0])
        return any(found in network for network in self.networks if network.version == found.version)


@dataclass(frozen=True, slots=True)
class Grant:
    """A key may change records of some names and types: one line of a policy."""

    key: Name
    scope: Scope
    name: Name | None = None
    types: frozenset[RdataType] = frozenset()
    """Empty: all, those in ORDINARY left out where the scope is not the zone."""

    @classmethod
    def parse(cls, text: str) -> "Grant":
        """From `KEY zone|self|selfsub|delegations [TYPE...]` or `KEY subdomain|name NAME [TYPE...]`; raises ValueError."""
        words = text.split()
        wrong = ValueError(
            f"{text!r}: expected KEY zone|self|selfsub|delegations [TYPE...] or KEY subdomain|name NAME [TYPE...]"
        )
        if len(words) < 2 or words[1] not in SCOPES:
            raise wrong
        scope: Scope = next(each for each in SCOPES if each == words[1])
        rest = words[2:]
        name = None
        if scope in ("subdomain", "name"):
            if not rest:
                raise wrong
            name = name_of(rest.pop(0))
        try:
            types = frozenset(dns.rdatatype.from_text(word) for word in rest)
        except (dns.exception.DNSException, ValueError) as error:
            raise ValueError(f"{text!r}: expected names of record types: {error}") from error
        return cls(name_of(words[0]), scope, name, types)

    def covers(self, name: Name, rdtype: RdataType) -> bool:
        """Whether records of a name and type are its to change; type ANY stands for all types at once."""
        if self.scope == "subdomain":
            inside = self.name is not None and name.is_subdomain(self.name)
        elif self.scope == "name":
            inside = name == self.name
        elif self.scope == "selfsub":
            inside = name.is_subdomain(self.key)
        elif self.scope == "delegations":  # the rest of the rule needs the zone: `update.only_delegations`
            return rdtype in (self.types or DELEGATION) & DELEGATION
        else:
            inside = self.scope == "zone" or name == self.key
        if not inside:
            return False
        if self.types:
            return rdtype in self.types
        return self.scope == "zone" or rdtype not in ORDINARY


class UpdatePolicy:
    """The grants of one zone: what no grant covers is refused (RFC 3007 §3.1)."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        self.grants = tuple(grants)

    def knows(self, key: Key | None) -> bool:
        """Whether a key may change anything at all."""
        return key is not None and any(grant.key == key.name for grant in self.grants)

    def allows(self, key: Key | None, name: Name, rdtype: RdataType) -> bool:
        """Whether a key may change records of a name and type."""
        return bool(self._covering(key, name, rdtype))

    def within_delegations(self, key: Key | None, name: Name, rdtype: RdataType) -> bool:
        """Whether a key may change records of a name and type as parts of delegations alone."""
        found = self._covering(key, name, rdtype)
        return bool(found) and all(grant.scope == "delegations" for grant in found)

    def _covering(self, key: Key | None, name: Name, rdtype: RdataType) -> list[Grant]:
        if key is None:
            return []
        return [grant for grant in self.grants if grant.key == key.name and grant.covers(name, rdtype)]


def name_of(text: str) -> Name:
    """A name in lower case; raises ValueError."""
    try:
        return dns.name.from_text(text).canonicalize()
    except dns.exception.DNSException as error:
        raise ValueError(f"{text!r}: expected a domain name: {error}") from error
