"""Which names, name servers and DS records are accepted; pure. RFC 1123 §2.1, RFC 5890-5892, RFC 9471, RFC 8624 §3.3."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import idna

from netstack.registrar.events import Delegation, NameServer
from netstack.sansio.bounds import positive

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
RESERVED = ("example", "invalid", "localhost", "nic", "rdds", "test", "whois", "www")
"""RFC 2606, RFC 6761 and what registries keep for themselves."""
DS_ALGORITHMS = frozenset({8, 10, 13, 14, 15, 16})
"""Those that RFC 8624 §3.1 does not forbid or advise against."""
DS_DIGESTS = frozenset({2, 4})
"""SHA-256 and SHA-384; SHA-1 must not be used for delegations (RFC 8624 §3.3)."""
LONGEST_TEXT = 200


class Invalid(Exception):
    """What was asked for is not accepted; `field` says which part of it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one registrar. Raises ValueError for rules that cannot be met."""

    registries: tuple[str, ...]
    """Top-level domains (or zones below one) in which domains are registered."""
    reserved: tuple[str, ...] = RESERVED
    """Labels that nobody gets."""
    least_servers: int = 2
    """A primary and a secondary (RFC 2182 §5)."""
    most_servers: int = 13
    most_addresses: int = 6
    """Of one name server."""
    most_ds: int = 8
    least_secret: int = 12
    """Characters of a secret that the registrant chooses."""
    most_years: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.least_servers <= self.most_servers:
            raise ValueError(f"least_servers: expected 1 to {self.most_servers}, got {self.least_servers}")
        for name in ("most_addresses", "most_ds", "least_secret", "most_years"):
            positive(name, getattr(self, name))

    def registry_of(self, name: str) -> str | None:
        """The registry that a name is, or would be, registered in: the closest one above it."""
        above = name.partition(".")[2]
        while above:
            if above in self.registries:
                return above
            above = above.partition(".")[2]
        return None

    def domain(self, text: str) -> str:
        """The name of a domain that can be registered, in A-labels; raises Invalid."""
        name = host_name("name", text)
        registry = self.registry_of(name)
        if registry is None:
            known = ", ".join(f".{each}" for each in self.registries)
            raise Invalid("name", f"{text.strip()[:80]} is not below a top-level domain that is served here: {known}")
        label = name[: -len(registry) - 1]
        if "." in label:
            raise Invalid(
                "name", f"domains are registered directly below .{registry}: try {label.rpartition('.')[2]}.{registry}"
            )
        if label in self.reserved:
            raise Invalid("name", f"{name} is reserved")
        return name

    def delegation(self, domain: str, servers: Sequence[tuple[str, Sequence[str]]], ds: Iterable[str]) -> Delegation:
        """Name servers, each with its addresses, and DS records for a domain; raises Invalid."""
        if not self.least_servers <= len(servers) <= self.most_servers:
            raise Invalid(
                "servers", f"{self.least_servers} to {self.most_servers} name servers are needed, not {len(servers)}"
            )
        found = [self._server(domain, f"servers[{number}]", *server) for number, server in enumerate(servers)]
        names = [server.name for server in found]
        if len(set(names)) < len(names):
            raise Invalid("servers", "a name server is given twice")
        return Delegation(tuple(found), self._ds(ds))

    def secret(self, text: str) -> str:
        """A secret that the registrant chose; raises Invalid."""
        if not self.least_secret <= len(text) <= LONGEST_TEXT or not text.isprintable():
            raise Invalid(
                "secret", f"{self.least_secret} to {LONGEST_TEXT} printable characters are needed, or none: then one is made"
            )
        return text

    def registrant(self, text: str) -> str:
        """Who the domain is for, as they wish to be called; raises Invalid."""
        if len(text) > LONGEST_TEXT or not text.isprintable():
            raise Invalid("registrant", f"at most {LONGEST_TEXT} printable characters")
        return text

    def years(self, years: object) -> int:
        """How long a domain is registered or renewed for; raises Invalid."""
        if isinstance(years, bool) or not isinstance(years, int) or not 1 <= years <= self.most_years:
            raise Invalid("years", f"a whole number from 1 to {self.most_years} is needed")
        return years

    def _server(self, domain: str, field: str, name: str, addresses: Sequence[str]) -> NameServer:
        server = host_name(field, name)
        if "." not in server:
            raise Invalid(field, f"{server} is not a name server's name: it needs a domain, such as dns1.{domain}")
        inside = server == domain or server.endswith("." + domain)
        if inside and not addresses:
            raise Invalid(field, f"{server} lies within {domain}: nobody finds it without its address (RFC 9471)")
        if not inside and addresses:
            raise Invalid(field, f"{server} is not within {domain}: its address is published by its own domain")
        if len(addresses) > self.most_addresses:
            raise Invalid(field, f"at most {self.most_addresses} addresses for one name server")
        return NameServer(server, tuple(dict.fromkeys(_address(field, address) for address in addresses)))

    def _ds(self, texts: Iterable[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for number, text in enumerate(texts):
            if number == self.most_ds:
                raise Invalid("ds", f"at most {self.most_ds} DS records")
            found[_ds_text(f"ds[{number}]", text)] = None
        return tuple(found)


def host_name(field: str, text: str) -> str:
    """A host's or domain's name in A-labels and lower case, no final dot; raises Invalid.

    Letters, digits and hyphens (RFC 1123 §2.1), or an internationalized name by the rules of IDNA 2008 (RFC 5891).
    """
    name = text.strip().rstrip(".").lower()
    if not name:
        raise Invalid(field, "a name is missing")
    if len(name) > LONGEST_TEXT + 53:
        raise Invalid(field, f"a name has at most 253 characters (RFC 1035 §2.3.4): {name[:40]}... has {len(name)}")
    try:
        ascii_name = name if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
        for label in ascii_name.split("."):
            if label.startswith("xn--"):
                idna.ulabel(label)
    except idna.IDNAError as error:
        raise Invalid(field, f"{name[:80]} is no internationalized name (RFC 5891): {error}") from None
    if len(ascii_name) > 253:
        raise Invalid(field, "a name has at most 253 characters as A-labels (RFC 1035 §2.3.4)")
    for label in ascii_name.split("."):
        if not _LABEL.fullmatch(label):
            raise Invalid(field, f"{label[:80]!r} is not 1 to 63 of a-z, 0-9 and -, no hyphen at either end (RFC 1123 §2.1)")
        if label[2:4] == "--" and not label.startswith("xn--"):
            raise Invalid(
                field, f"{label}: hyphens as third and fourth character are kept for encodings (RFC 5891 §4.2.3.1)"
            )
    return ascii_name


def unicode_name(name: str) -> str:
    """The name as people write it; itself where it is plain."""
    try:
        return idna.decode(name) if "xn--" in name else name
    except idna.IDNAError:
        return name


def _address(field: str, text: str) -> str:
    try:
        found = ip_address(text.strip())
    except ValueError:
        raise Invalid(field, f"{text.strip()[:80]!r} is not an IPv4 or IPv6 address") from None
    if found.is_unspecified or found.is_multicast or (found.version == 4 and int(found) == 2**32 - 1):
        raise Invalid(field, f"{found} is no address that a name server can have")
    return str(found)


def _ds_text(field: str, text: str) -> str:
    try:
        record: object = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.DS, text.strip())
    except (dns.exception.DNSException, ValueError) as error:
        raise Invalid(
            field, f"{text.strip()[:60]!r} is not KEYTAG ALGORITHM DIGESTTYPE DIGEST (RFC 4034 §5.3): {error}"
        ) from None
    algorithm, digest = int(getattr(record, "algorithm")), int(getattr(record, "digest_type"))  # noqa: B009  untyped
    if algorithm not in DS_ALGORITHMS or digest not in DS_DIGESTS:
        raise Invalid(
            field,
            f"algorithm {algorithm} with digest type {digest} is not accepted (RFC 8624 §3): use 13 with 2, for example",
        )
    return str(record)
