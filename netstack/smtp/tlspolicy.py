"""How sure a server's TLS has to be before it gets mail: DANE (RFC 7672), MTA-STS (RFC 8461), else whatever there is."""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256, sha512
from itertools import pairwise
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from netstack.kernel.machine import Machine
from netstack.kernel.resolver import NameNotFound, ResolutionError
from netstack.sansio import Security
from netstack.smtp.authentication.lookup import TemporaryError, texts

MOST_POLICIES = 10_000
"""Domains whose MTA-STS policy is remembered."""
LONGEST_POLICY = 64 * 1024
_STS_RECORD = re.compile(r"v=STSv1\s*;\s*id=([A-Za-z0-9]{1,32})\s*;?(?:.*)?", re.DOTALL)
_MX_PATTERN = re.compile(r"(?:\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


class Level(Enum):
    """What a host has to prove."""

    NONE = "none"
    """TLS if it likes, with any certificate (RFC 7435)."""
    ENCRYPTED = "encrypted"
    """TLS, with any certificate: TLSA records are there, none of which can be used (RFC 7672 §2.2)."""
    DANE = "dane"
    STS = "sts"


@dataclass(frozen=True, slots=True)
class Demand:
    """Of one host."""

    level: Level
    tlsa: tuple[tuple[int, int, int, bytes], ...] = ()

    def trouble(self, security: Security | None, host: str, wall: float) -> str:
        """Why the host gets no mail; empty when it may have it."""
        if self.level is Level.NONE:
            return ""
        if security is None:
            return f"{host} has to speak TLS, and does not"
        if self.level is Level.STS:
            return security.trouble
        if self.level is Level.DANE and not _matches(self.tlsa, security.chain(), host, wall):
            return f"the certificate of {host} is none that its TLSA records name"
        return ""


class PolicyFetcher(Protocol):
    """Gets a policy by HTTPS, the certificate verified."""

    async def __call__(self, url: str) -> str:
        """The text of a response 200; raises LookupError that says why there is none."""


@dataclass(frozen=True, slots=True)
class STSPolicy:
    """What a domain says about its exchanges (RFC 8461 §3.2)."""

    mode: str
    patterns: tuple[str, ...]
    max_age: int

    def allows(self, host: str) -> bool:
        """Whether a host is one of its exchanges (§4.1)."""
        name = host.lower().rstrip(".")
        return any(name == each or (each.startswith("*.") and name.partition(".")[2] == each[2:]) for each in self.patterns)


def parse_policy(text: str) -> STSPolicy:
    """A policy file; raises ValueError."""
    found: dict[str, str] = {}
    patterns: list[str] = []
    for line in text.split("\n"):
        key, colon, value = line.rstrip("\r").partition(":")
        if not colon:
            continue
        key, value = key.strip(), value.strip()
        if key == "mx":
            if not _MX_PATTERN.fullmatch(value.lower()):
                raise ValueError(f"mx: {value[:60]!r}")
            patterns.append(value.lower())
        else:
            found.setdefault(key, value)
    mode, age = found.get("mode", ""), found.get("max_age", "")
    if found.get("version") != "STSv1" or mode not in ("enforce", "testing", "none"):
        raise ValueError("no policy of version STSv1")
    if not age.isdigit() or int(age) > 31_557_600 or (not patterns and mode != "none"):
        raise ValueError("max_age or mx is missing or wrong")
    return STSPolicy(mode, tuple(patterns), int(age))


class Policies:
    """Those of all domains; MTA-STS's are remembered for as long as they say, in memory."""

    def __init__(self, machine: Machine, fetch: PolicyFetcher | None, dane: bool = True) -> None:
        self.counts: dict[str, int] = {}
        """Sessions by what came of them, by RFC 8460's names (§4.3)."""
        self._machine = machine
        self._fetch = fetch
        self._dane = dane
        self._kept: OrderedDict[str, tuple[str, float, STSPolicy]] = OrderedDict()

    def count(self, result: str) -> None:
        """One connection: "successful", or why it is not."""
        self.counts[result] = self.counts.get(result, 0) + 1

    async def sts(self, domain: str) -> STSPolicy | None:
        """The domain's policy, where it has one (§3.1): a new one where its id has changed."""
        if self._fetch is None:
            return None
        now = self._machine.wall()
        kept = self._kept.get(domain)
        try:
            found = await texts(self._machine.resolver, f"_mta-sts.{domain}") or ()
        except TemporaryError:
            found = ()
        records = [match for each in found if (match := _STS_RECORD.fullmatch(each.strip()))]
        valid = kept[2] if kept is not None and now < kept[1] else None
        if len(records) != 1 or (valid is not None and kept is not None and kept[0] == records[0][1]):
            return valid  # who can suppress the record cannot undo the policy (§10.2)
        try:
            policy = parse_policy(await self._fetch(f"https://mta-sts.{domain}/.well-known/mta-sts.txt"))
        except (LookupError, ValueError):
            self.count("sts-policy-fetch-error")
            return valid
        self._kept[domain] = records[0][1], now + policy.max_age, policy
        self._kept.move_to_end(domain)
        while len(self._kept) > MOST_POLICIES:
            self._kept.popitem(last=False)
        return policy

    async def demand(self, host: str, port: int, by_mx_proved: bool, policy: STSPolicy | None) -> Demand | None:
        """What a host has to prove; None when it gets no mail at all (MTA-STS does not know it).

        Raises ResolutionError, temporary, where TLSA records may be hidden (RFC 7672 §2.1.1).
        """
        if self._dane and by_mx_proved:
            try:
                secure = await self._machine.resolver.proved(host, "A")
                if secure is None:
                    secure = await self._machine.resolver.proved(host, "AAAA")
                records = None if secure is None else await self._machine.resolver.proved(f"_{port}._tcp.{host}", "TLSA")
            except NameNotFound:
                records = None
            if records:
                usable = tuple(each for record in records if (each := _tlsa(record)) is not None)
                return Demand(Level.DANE, usable) if usable else Demand(Level.ENCRYPTED)
        if policy is not None and policy.mode == "enforce":
            return Demand(Level.STS) if policy.allows(host) else None
        return Demand(Level.NONE)

    async def exchanges_proved(self, domain: str) -> bool:
        """Whether the domain's MX records are, or that it has none (RFC 7672 §2.2.1)."""
        if not self._dane:
            return False
        try:
            return await self._machine.resolver.proved(domain, "MX") is not None
        except ResolutionError as error:
            return not error.temporary and isinstance(error, NameNotFound)


def _tlsa(record: str) -> tuple[int, int, int, bytes] | None:
    """A record that can be used for SMTP: DANE-TA or DANE-EE (RFC 7672 §3.1)."""
    words = record.split()
    try:
        usage, selector, matching = (int(word) for word in words[:3])
        data = bytes.fromhex("".join(words[3:]))
    except ValueError:
        return None
    length = {1: 32, 2: 64}.get(matching)
    if usage not in (2, 3) or selector not in (0, 1) or matching not in (0, 1, 2) or (length and len(data) != length):
        return None
    return usage, selector, matching, data


def _matches(records: Sequence[tuple[int, int, int, bytes]], chain: Sequence[bytes], host: str, wall: float) -> bool:
    """Whether a record names the server's certificate (DANE-EE), whatever it says itself (RFC 7672 §3.1.1), or one above it
    that it leads to (DANE-TA); that one has to be valid now, and of this host (§3.1.2)."""
    for usage, selector, matching, data in records:
        for place, der in enumerate(chain):
            if (usage == 3) != (place == 0) or _digest(der, selector, matching) != data:
                continue
            if usage == 3 or (_is_of(chain[0], host, wall) and _leads_to(chain, place)):
                return True
    return False


def _digest(der: bytes, selector: int, matching: int) -> bytes:
    octets = der
    if selector == 1:
        key = x509.load_der_x509_certificate(der).public_key()
        octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {0: lambda: octets, 1: lambda: sha256(octets).digest(), 2: lambda: sha512(octets).digest()}[matching]()


def _is_of(der: bytes, host: str, wall: float) -> bool:
    leaf = x509.load_der_x509_certificate(der)
    if not leaf.not_valid_before_utc <= datetime.fromtimestamp(wall, UTC) <= leaf.not_valid_after_utc:
        return False
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        return False
    wanted = host.lower()
    return any(name.lower() in (wanted, "*." + wanted.partition(".")[2]) for name in names)


def _leads_to(chain: Sequence[bytes], place: int) -> bool:
    """Whether each certificate up to that place was issued by the next one."""
    loaded = [x509.load_der_x509_certificate(der) for der in chain[: place + 1]]
    try:
        for issued, issuer in pairwise(loaded):
            issued.verify_directly_issued_by(issuer)
    except Exception:
        return False
    return True
