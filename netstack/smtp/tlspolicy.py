"""How sure a server's TLS has to be before it gets mail: DANE (RFC 7672), MTA-STS (RFC 8461), else whatever there is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256, sha512
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet.defer import Deferred, succeed

from netstack.kernel.machine import Machine
from netstack.kernel.resolver import NameNotFound, ResolutionError
from netstack.sansio import Security
from netstack.smtp.mta_sts import PolicyFetcher, STSLimits, STSPolicies, STSPolicy

STS, TLSA = "sts", "tlsa"
"""Kinds of policies (RFC 8460 §4.4)."""


class Level(Enum):
    """What a host has to prove."""

    NONE = "none"
    """TLS if it likes, with any certificate (RFC 7435)."""
    ENCRYPTED = "encrypted"
    """TLS, with any certificate: TLSA records are there, none of which can be used (RFC 7672 §2.2)."""
    DANE = "dane"
    STS = "sts"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a host is not who it has to be."""

    result: str
    """By RFC 8460's names (§4.3)."""
    text: str


@dataclass(frozen=True, slots=True)
class Demand:
    """Of one host."""

    level: Level
    tlsa: tuple[tuple[int, int, int, bytes], ...] = ()
    names: tuple[str, ...] = ()
    """For which a certificate below a DANE-TA record may be (RFC 7672 §3.2.2)."""
    excluded: bool = False
    """The domain's MTA-STS policy does not know the host: it gets no mail, whatever it proves."""
    testing: bool = False
    """The policy is tried: what is wrong is counted, and the mail sent (RFC 8461 §5)."""

    @property
    def binding(self) -> bool:
        """Mail waits rather than go to a host that does not prove it."""
        return self.level is not Level.NONE and not self.testing

    @property
    def kind(self) -> str:
        """Of the policy that it follows from."""
        return STS if self.level is Level.STS else TLSA

    def trouble(self, security: Security | None, host: str, wall: float) -> Trouble | None:
        """What is wrong with a host and its TLS; None when it may have mail."""
        if self.level is Level.NONE:
            return None
        if self.excluded:
            return Trouble("validation-failure", f"{host} is not in the MTA-STS policy of its domain")
        if security is None:
            return Trouble("starttls-not-supported", f"{host} has to speak TLS, and does not")
        if self.level is Level.STS and security.trouble:
            return Trouble(_FAULTS.get(security.fault, "certificate-not-trusted"), security.trouble)
        if self.level is Level.DANE and not _matches(self.tlsa, security.chain(), self.names or (host,), wall):
            return Trouble("validation-failure", f"the certificate of {host} is none that its TLSA records name")
        return None


_FAULTS = {"name": "certificate-host-mismatch", "time": "certificate-expired"}


class Policies:
    """Those of all domains; MTA-STS's are kept for as long as they say."""

    def __init__(
        self, machine: Machine, fetch: PolicyFetcher | None, dane: bool = True, limits: STSLimits | None = None
    ) -> None:
        """Without `fetch` there is no MTA-STS."""
        self.counts: dict[tuple[str, str], int] = {}
        """Sessions and fetches by kind of policy and what came of them, by RFC 8460's names (§4.3)."""
        self._machine = machine
        self._dane = dane
        self._sts: STSPolicies | None = None
        if fetch is not None:
            self._sts = STSPolicies(machine, fetch, limits or STSLimits(), lambda result: self.count(STS, result))

    def start(self) -> None:
        """Read what is on disk."""
        if self._sts is not None:
            self._sts.start()

    def stop(self) -> Deferred[None]:
        """Fetch no more; fires when all is on disk."""
        return succeed(None) if self._sts is None else self._sts.stop()

    def count(self, kind: str, result: str) -> None:
        """One session, or fetch: "successful-session", or why it is not."""
        self.counts[kind, result] = self.counts.get((kind, result), 0) + 1

    async def sts(self, domain: str) -> STSPolicy | None:
        """The domain's MTA-STS policy, where it has one."""
        return None if self._sts is None else await self._sts.find(domain)

    async def demand(self, domain: str, host: str, port: int, by_mx_proved: bool, policy: STSPolicy | None) -> Demand:
        """What a host has to prove that takes mail for a domain, by DANE where it can be, else by MTA-STS (RFC 8461 §2).

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
                return Demand(Level.DANE, usable, (host, domain)) if usable else Demand(Level.ENCRYPTED)
        if policy is not None and policy.mode != "none":
            return Demand(Level.STS, excluded=not policy.allows(host), testing=policy.mode == "testing")
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


def _matches(
    records: Sequence[tuple[int, int, int, bytes]], chain: Sequence[bytes], names: Sequence[str], wall: float
) -> bool:
    """Whether a record names the server's certificate (DANE-EE), whatever it says itself (RFC 7672 §3.1.1), or one above it
    that it leads to (DANE-TA); that one has to be valid now, and of one of these names (§3.1.2)."""
    for usage, selector, matching, data in records:
        for place, der in enumerate(chain):
            if (usage == 3) != (place == 0) or _digest(der, selector, matching) != data:
                continue
            if usage == 3 or (_is_of(chain[0], names, wall) and _leads_to(chain, place)):
                return True
    return False


def _digest(der: bytes, selector: int, matching: int) -> bytes:
    octets = der
    if selector == 1:
        key = x509.load_der_x509_certificate(der).public_key()
        octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {0: lambda: octets, 1: lambda: sha256(octets).digest(), 2: lambda: sha512(octets).digest()}[matching]()


def _is_of(der: bytes, names: Sequence[str], wall: float) -> bool:
    leaf = x509.load_der_x509_certificate(der)
    if not leaf.not_valid_before_utc <= datetime.fromtimestamp(wall, UTC) <= leaf.not_valid_after_utc:
        return False
    try:
        own = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        return False
    wanted = {form for name in names for form in (name.lower(), "*." + name.lower().partition(".")[2])}
    return any(name.lower() in wanted for name in own)


def _leads_to(chain: Sequence[bytes], place: int) -> bool:
    """Whether each certificate up to that place was issued by the next one."""
    loaded = [x509.load_der_x509_certificate(der) for der in chain[: place + 1]]
    try:
        for issued, issuer in pairwise(loaded):
            issued.verify_directly_issued_by(issuer)
    except Exception:
        return False
    return True
